"""DAR-BN and OPeN on a GPU: tests, ratios to batch norm and to ERM, throughput, memory, runs side by side.

``python -m benchmarks.gpu --minutes 10`` on a machine with a GPU. The most valuable part comes first; each line is
written when it is known, to the terminal and to the end of a file; at the time limit it stops where it is.
``--tiny`` rehearses every part on the CPU in under a minute; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import Timing, interleave, mark, rounds_within
from benchmarks.workload import CLASS_COUNTS, Setting, make_step
from oponm.models import WideResNet, resnet32
from oponm.models.libraries import torchvision_model
from oponm.nn import DARBatchNorm2d, noise_routing
from oponm.nn.kernel import VARIABLE

ROOT = Path(__file__).parents[1]
LAYER_TARGET, STEP_TARGET = 1.10, 1.05
EPOCHS, NOISE_EPOCHS = 200, 40  # of the published run
STEPS_A_RUN = EPOCHS * -(-sum(CLASS_COUNTS) // 128)
CIFAR_SIZE = 32
INSIST = 1.0  # seconds until the time limit is raised again, where code has swallowed it
NEEDS_CUDA = "needs a CUDA device"  # the reason by which tests are skipped elsewhere
BATCH_NORM, ERM = "batch norm", "ERM"


@dataclass(frozen=True)
class Network:
    """A network and the batch it trains on."""

    make: Callable[[], nn.Module]
    batch_size: int = 128
    image_size: int = CIFAR_SIZE


@dataclass(frozen=True)
class Size:
    """What is run: the real thing or its likeness for a rehearsal."""

    device: str
    shapes: tuple[tuple[int, ...], ...]
    networks: dict[str, Network]
    seconds: float  # a line of a table is measured for, compilation apart
    repeats: int  # of a layer in one measurement
    backend: str
    matrix: int
    processes: tuple[int, ...]
    worker: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the card, or the CPU."""
        return torch.cuda.get_device_name() if self.device == "cuda" else "CPU"

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernels that the machine can run."""
        triton = self.device == "cuda" and importlib.util.find_spec("triton") is not None
        return ("torch", "triton") if triton else ("torch",)


REAL = Size(
    device="cuda",
    shapes=((128, 16, 32, 32), (128, 64, 8, 8), (128, 160, 32, 32), (128, 640, 8, 8), (64, 256, 56, 56)),
    networks={
        "ResNet-32": Network(resnet32),
        "WRN-28-10": Network(partial(WideResNet, 28, 10)),
        "ResNet-50, 224 px": Network(partial(torchvision_model, "resnet50", num_classes=10), 64, 224),
    },
    seconds=1.5,
    repeats=10,
    backend="inductor",
    matrix=8192,
    processes=(1, 2, 4, 8),
)
TINY = Size(
    device="cpu",
    shapes=((8, 4, 4, 4),),
    networks={"WRN-10-1": Network(partial(WideResNet, 10, 1), 8)},
    seconds=0.1,
    repeats=1,
    backend="aot_eager",  # inductor would need a C++ compiler, and a minute
    matrix=64,
    processes=(1, 2),
    worker=("--tiny",),
)


class TimeUp(BaseException):
    """The time limit has come; no error, which a compiler would wrap in one of its own."""


@dataclass
class Report:
    """Prints lines of Markdown as they come, and appends them to a file."""

    file: Path
    part: str = ""

    def line(self, text: str = "") -> None:
        """Write one line, at once."""
        print(text, flush=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")

    def table(self, title: str, note: str, columns: Sequence[str]) -> None:
        """Begin a section with one table."""
        self.part = title
        for text in (f"\n## {title}\n", f"{note}\n", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"):
            self.line(text)

    def row(self, *cells: str) -> None:
        """Write a line of the table."""
        self.line(f"| {' | '.join(cells)} |")

    @contextmanager
    def failures(self, *cells: str) -> Iterator[None]:
        """Write an error as a line, since what comes next is worth having."""
        try:
            yield
        except Exception as error:
            text = f"{self.part} failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            self.row(*cells, text.replace("|", "\\|"))


def synchronized_clock(device: str) -> Callable[[], float]:
    """Seconds of the wall, read when the device has finished."""

    def clock() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    return clock


def timed(size: Size, runs: dict[str, Callable[[], Any]]) -> dict[str, Timing]:
    """Time candidates in turn, for as long as a line may take."""
    for run in runs.values():
        run()  # compiles
    clock = synchronized_clock(size.device)
    clock()
    return interleave(runs, rounds_within(size.seconds, runs, least=5, most=100), clock=clock)


def with_kernel(kernel: str, run: Callable[[], Any]) -> Callable[[], Any]:
    """A run with a kernel chosen. Compiled graphs keep theirs until ``torch._dynamo.reset``."""

    def chosen() -> Any:
        os.environ[VARIABLE] = kernel
        return run()

    return chosen


def captured(run: Callable[[], Any]) -> Callable[[], Any]:
    """A run as a CUDA graph: the time of the device alone, without Python's."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def ratio_cell(mine: Timing, baseline: Timing, target: float) -> str:
    """The ratio with its quartiles, and whether it keeps the target."""
    ratio, (low, high) = mine.ratio(baseline), mine.ratio_quartiles(baseline)
    return f"{ratio:.3f} ({low:.3f} to {high:.3f}) {mark(ratio <= target)}"


def run_tests(size: Size, report: Report) -> None:
    """Run the tests that need a GPU."""
    files = [file for file in (ROOT / "tests").rglob("test_*.py") if NEEDS_CUDA in file.read_text(encoding="utf-8")]
    if size is TINY:
        files = [ROOT / "tests/test_rng.py"]
    command = [sys.executable, "-m", "pytest", "-n", "0", "-m", "cuda", "-rfE", "--tb=short", *map(str, sorted(files))]
    report.table("The tests that need a GPU", "`pytest -m cuda`.", ["outcome"])
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output = process.communicate()[0]
    finally:
        process.kill()
    for line in output.splitlines():
        if re.match(r"(FAILED|ERROR) |E  |.*\d+ (passed|failed|skipped)", line):
            report.row(line.strip().replace("|", "\\|")[:300])
    if process.returncode not in (0, 1):
        report.row(f"pytest ended with exit code {process.returncode}: {output.strip()[-300:]!r}")


def layer_run(layer: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor, mask: Tensor | None):
    """Forward and backward of one layer."""

    def run() -> None:
        x.grad = None
        layer.zero_grad()
        with noise_routing(mask):
            forward(x).backward(grad)

    return run


def layer_ways(size: Size) -> dict[str, tuple[str, str]]:
    """How a layer is run, and on which kernel."""
    ways = {f"{kernel}, eager": (kernel, "eager") for kernel in size.kernels}
    if size.device == "cuda":
        ways |= {f"{kernel}, CUDA graph": (kernel, "captured") for kernel in size.kernels}
    return ways | {f"{kernel}, compiled": (kernel, "compiled") for kernel in size.kernels}


def measure_layers(size: Size, report: Report, dtype: torch.dtype, memory_format: torch.memory_format) -> None:
    """Write the ratios of single layers to torch's batch norm."""
    report.table(
        f"DAR-BN against batch norm, {dtype}, {memory_format}",
        f"Forward and backward, {size.name}; microseconds, medians. Target: {LAYER_TARGET:.2f} times batch norm in "
        "bfloat16 and channels_last. A CUDA graph shows the device's time without Python's; its batch norm is one too. "
        "Compiled layers are compared with batch norm run eagerly.",
        ["shape", "DAR-BN", BATCH_NORM, "DAR-BN, µs", "DAR-BN / batch norm"],
    )
    for shape in size.shapes:
        x, grad = (torch.randn(shape, device=size.device, dtype=dtype) for _ in range(2))
        x, grad = (tensor.contiguous(memory_format=memory_format) for tensor in (x, grad))
        x.requires_grad_()
        is_noise = torch.arange(shape[0], device=size.device) % 4 == 0
        for way, (kernel, mode) in layer_ways(size).items():
            with report.failures(str(shape), way):
                torch._dynamo.reset()
                plain, routed = (kind(shape[1]).to(size.device) for kind in (nn.BatchNorm2d, DARBatchNorm2d))
                forward = torch.compile(routed, backend=size.backend) if mode == "compiled" else routed
                runs = {
                    BATCH_NORM: layer_run(plain, plain, x, grad, None),
                    way: with_kernel(kernel, layer_run(routed, forward, x, grad, is_noise)),
                }
                if mode == "captured":
                    runs = {name: captured(run) for name, run in runs.items()}
                repeated = {name: partial(repeat, run, size.repeats) for name, run in runs.items()}
                timings = timed(size, repeated)
                microseconds = [f"{1e6 * timing.median / size.repeats:.0f}" for timing in timings.values()]
                report.row(str(shape), way, *microseconds, ratio_cell(timings[way], timings[BATCH_NORM], LAYER_TARGET))


def repeat(run: Callable[[], Any], times: int) -> None:
    """Run so many times, without waiting for the device in between."""
    for _ in range(times):
        run()


def flops_of(network: Network) -> int:
    """Floating-point operations of a training step's forward and backward pass, counted operator by operator."""
    with torch.device("meta"):
        model, images = network.make(), torch.zeros(network.batch_size, 3, network.image_size, network.image_size)
        with FlopCounterMode(display=False) as counter:
            model(images).sum().backward()
    return counter.get_total_flops()


def matrix_peak(size: Size) -> float:
    """Operations a second of a large matrix product in bfloat16."""
    left, right = (torch.randn(size.matrix, size.matrix, device=size.device, dtype=torch.bfloat16) for _ in range(2))
    timing = timed(size, {"product": lambda: left @ right})["product"]
    return 2 * size.matrix**3 / timing.median


def peak_memory(size: Size, run: Callable[[], Any]) -> str:
    """MiB of the device that a step needs beside what other networks hold."""
    if size.device != "cuda":
        return "-"
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return f"{(torch.cuda.max_memory_allocated() - before) / 2**20:.0f}"


def measure_steps(size: Size, report: Report, compiled: bool) -> None:
    """Write the ratios of steps, throughput, memory and the projected time of the published run."""
    peak = matrix_peak(size)
    report.table(
        f"A training step, OPeN against ERM, {'compiled' if compiled else 'eager'}",
        f"bfloat16 autocast, channels_last, {size.name}; milliseconds, medians. Target: {STEP_TARGET:.2f} times ERM. "
        f"The matrix peak, {peak / 1e12:.1f} TFLOP/s, is that of a product of two {size.matrix} x {size.matrix} "
        "matrices here. Memory: MiB of a step beside weights. The last column projects a CIFAR-10-LT run at an "
        f"imbalance ratio of 100: {EPOCHS - NOISE_EPOCHS} epochs of ERM and {NOISE_EPOCHS} of OPeN, without data.",
        [
            *("network", "kernel", "ERM", "OPeN", "OPeN / ERM", "images/s", "of the matrix peak"),
            *("ERM, MiB", "OPeN, MiB", "run, minutes"),
        ],
    )
    for name, network in size.networks.items():
        flops = flops_of(network)
        setting = Setting(
            *(network.batch_size, size.device, torch.bfloat16),
            channels_last=True,
            compiled=compiled,
            image_size=network.image_size,
            backend=size.backend,
        )
        for kernel in size.kernels:
            with report.failures(name, kernel):
                torch._dynamo.reset()
                runs = {
                    method: with_kernel(kernel, make_step(network.make, method.lower(), setting))
                    for method in (ERM, "OPeN")
                }
                timings = timed(size, runs)
                erm, ours = timings[ERM].median, timings["OPeN"].median
                run = STEPS_A_RUN / EPOCHS * ((EPOCHS - NOISE_EPOCHS) * erm + NOISE_EPOCHS * ours)
                report.row(
                    *(name, kernel, f"{1e3 * erm:.2f}", f"{1e3 * ours:.2f}"),
                    ratio_cell(timings["OPeN"], timings[ERM], STEP_TARGET),
                    *(f"{network.batch_size / ours:,.0f}", f"{flops / ours / peak:.1%}"),
                    *(peak_memory(size, run) for run in runs.values()),
                    f"{run / 60:.1f}" if network.image_size == CIFAR_SIZE else "-",
                )
                del runs


def measure_side_by_side(size: Size, report: Report) -> None:
    """Write how many runs an hour several processes on one card come to."""
    name, network = next(iter(size.networks.items()))
    report.table(
        "Runs side by side",
        f"Processes that train {name} with OPeN on one card at the same time, {size.name}; a run is "
        f"{STEPS_A_RUN:,} steps of {network.batch_size} images.",
        ["processes", "steps/s of each", "runs/hour", "times one process"],
    )
    alone = None
    command = [sys.executable, "-m", "benchmarks.gpu", "--worker", str(2 * size.seconds), *size.worker]
    for number in size.processes:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        workers = [subprocess.Popen(command, cwd=ROOT, text=True, **pipes) for _ in range(number)]  # type: ignore[call-overload]
        try:
            for worker in workers:
                worker.stdout.readline()  # it is warm
            for worker in workers:
                worker.stdin.write("go\n")
                worker.stdin.flush()
            rates = [float(worker.communicate()[0]) for worker in workers]
        finally:
            for worker in workers:
                worker.kill()
        hourly = sum(rates) * 3600 / STEPS_A_RUN
        alone = alone or hourly
        report.row(str(number), f"{sum(rates) / number:.1f}", f"{hourly:.2f}", f"{hourly / alone:.2f}")


def work(size: Size, seconds: float) -> None:
    """Train in a process beside others: say that it is warm, wait for a line, say the steps a second."""
    torch.set_num_threads(1)
    network = next(iter(size.networks.values()))
    setting = Setting(network.batch_size, size.device, torch.bfloat16, channels_last=True)
    step, clock = make_step(network.make, "open", setting), synchronized_clock(size.device)
    for _ in range(3):
        step()
    clock()
    print("warm", flush=True)
    sys.stdin.readline()
    began, steps = clock(), 0
    while clock() - began < seconds:
        for _ in range(5):
            step()
        steps += 5
    print(steps / (clock() - began))


def parts(size: Size, report: Report) -> list[Callable[[], None]]:
    """The parts, the most valuable first."""
    formats = ((torch.bfloat16, torch.channels_last), (torch.float32, torch.contiguous_format))
    formats += ((torch.bfloat16, torch.contiguous_format), (torch.float16, torch.channels_last))
    layers = [partial(measure_layers, size, report, *each) for each in (formats[:2] if size is TINY else formats)]

    eager, compiled = (partial(measure_steps, size, report, each) for each in (False, True))
    tests, side_by_side = (partial(part, size, report) for part in (run_tests, measure_side_by_side))
    return [tests, layers[0], eager, side_by_side, compiled, *layers[1:]]


def main(arguments: list[str] | None = None) -> None:
    """Run the script.

    Args:
        arguments: of the command line; None for the process's own.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="the time limit")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs/gpu.md", help="the file that lines are appended to")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, on the CPU: a rehearsal")
    parser.add_argument("--worker", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    size = TINY if asked.tiny else REAL
    if size.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no GPU here; --tiny rehearses the script on the CPU")
    if asked.worker:
        return work(size, asked.worker)

    if size.device == "cpu":
        torch.set_num_threads(1)

    def stop(*_: object) -> None:
        raise TimeUp

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 60 * asked.minutes, INSIST)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    report = Report(asked.out)
    report.line(f"# {size.name}, torch {torch.__version__}, {time.strftime('%Y-%m-%d %H:%M')}\n")
    report.line(f"Targets: layer <= {LAYER_TARGET:.2f} of batch norm in bf16 channels_last, step <= {STEP_TARGET:.2f}.")
    try:
        for part in parts(size, report):
            with report.failures():
                part()
        report.line("\nAll parts are done.")
    except TimeUp:
        signal.setitimer(signal.ITIMER_REAL, 0)
        report.line(f"\nTime was up after {asked.minutes:g} minutes, in this part: {report.part}.")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


if __name__ == "__main__":
    main()
