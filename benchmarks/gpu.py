"""DAR-BN and OPeN on a GPU: ratios to batch norm and ERM, throughput, and the time of the published run.

``python -m benchmarks.gpu`` on a machine with a GPU; ``--tiny`` tries the script itself on any machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import interleave, mark, show
from benchmarks.workload import CLASS_COUNTS, Setting, make_step
from oponm.models import WideResNet, resnet32
from oponm.nn import DARBatchNorm2d, noise_routing

# Dense bfloat16, as the vendor states it.
PEAK_TFLOPS = {"H200": 989.0, "H100": 989.0, "A100": 312.0}
EPOCHS, NOISE_EPOCHS = 200, 40


@dataclass(frozen=True)
class Size:
    """What is run: the real thing or its likeness for a trial."""

    device: str
    shapes: tuple[tuple[int, ...], ...]
    networks: dict[str, Callable[[], nn.Module]]
    batch_size: int
    rounds: int
    compiled: tuple[bool, ...]


REAL = Size(
    device="cuda",
    shapes=((128, 16, 32, 32), (128, 64, 8, 8), (128, 160, 32, 32), (128, 640, 8, 8)),
    networks={"ResNet-32": resnet32, "WRN-28-10": partial(WideResNet, 28, 10)},
    batch_size=128,
    rounds=50,
    compiled=(False, True),
)
TINY = Size(
    device="cpu",
    shapes=((8, 4, 4, 4),),
    networks={"WRN-10-1": partial(WideResNet, 10, 1)},
    batch_size=8,
    rounds=2,
    compiled=(False,),
)


def synchronised_clock(device: str) -> Callable[[], float]:
    """Seconds of the wall, read when the device has finished."""

    def clock() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    return clock


def layer_run(layer: nn.Module, x: Tensor, grad: Tensor, is_noise: Tensor | None, compiled: bool) -> Callable[[], None]:
    """Forward and backward of one layer."""
    forward = torch.compile(layer) if compiled else layer

    def run() -> None:
        x.grad = None
        layer.zero_grad()
        with noise_routing(is_noise):
            forward(x).backward(grad)

    return run


def measure_layers(size: Size) -> None:
    """Print the ratios of single layers, in bfloat16 and channels_last."""
    rows = []
    for shape in size.shapes:
        for compiled in size.compiled:
            x, grad = (torch.randn(shape, device=size.device, dtype=torch.bfloat16) for _ in range(2))
            x, grad = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (x, grad))
            x.requires_grad_()
            is_noise = torch.arange(shape[0], device=size.device) % 4 == 0
            layers = {"batch norm": nn.BatchNorm2d(shape[1]), "DAR-BN": DARBatchNorm2d(shape[1])}
            runs = {
                name: layer_run(layer.to(size.device), x, grad, None if name == "batch norm" else is_noise, compiled)
                for name, layer in layers.items()
            }
            timings = interleave(runs, size.rounds, warmup=5, clock=synchronised_clock(size.device))
            ratio = timings["DAR-BN"].ratio(timings["batch norm"])
            low, high = timings["DAR-BN"].ratio_quartiles(timings["batch norm"])
            rows.append(
                [
                    *(str(shape), "yes" if compiled else "no"),
                    *(f"{1e6 * timing.median:.0f}" for timing in timings.values()),
                    f"{ratio:.2f} ({low:.2f} to {high:.2f}) {mark(ratio <= 1.15)}",
                ]
            )
    show(
        "GPU: DAR-BN against batch norm",
        f"Forward and backward, bfloat16, channels_last, {device_name(size.device)}; microseconds, medians.",
        ["shape", "compiled", "batch norm", "DAR-BN", "DAR-BN / batch norm"],
        rows,
    )


def flops_of(make_network: Callable[[], nn.Module], batch_size: int) -> int:
    """Floating-point operations of a training step's forward and backward pass, counted operator by operator."""
    network, images = make_network(), torch.zeros(batch_size, 3, 32, 32)
    with FlopCounterMode(display=False) as counter:
        network(images).sum().backward()
    return counter.get_total_flops()


def device_name(device: str) -> str:
    """The name of the GPU, or the CPU."""
    return torch.cuda.get_device_name() if device == "cuda" else "CPU"


def measure_steps(size: Size) -> None:
    """Print the ratios of steps, throughput and the projected time of the published run."""
    rows = []
    peak = next((peak for card, peak in PEAK_TFLOPS.items() if card in device_name(size.device)), None)
    for name, make_network in size.networks.items():
        flops = flops_of(make_network, size.batch_size)
        for compiled in size.compiled:
            setting = Setting(size.batch_size, size.device, dtype=torch.bfloat16, channels_last=True, compiled=compiled)
            runs = {method: make_step(make_network, method, setting) for method in ("erm", "open")}
            if not compiled:
                runs["split"] = make_step(make_network, "open", replace(setting, split_noise=True))
            timings = interleave(runs, size.rounds, warmup=5, clock=synchronised_clock(size.device))
            ratio = timings["open"].ratio(timings["erm"])
            low, high = timings["open"].ratio_quartiles(timings["erm"])
            steps = sum(CLASS_COUNTS) // size.batch_size + 1
            run = steps * ((EPOCHS - NOISE_EPOCHS) * timings["erm"].median + NOISE_EPOCHS * timings["open"].median)
            tflops = flops / timings["open"].median / 1e12
            rows.append(
                [
                    *(name, "yes" if compiled else "no"),
                    *(f"{1e3 * timings[method].median:.2f}" for method in ("erm", "open")),
                    f"{ratio:.3f} ({low:.3f} to {high:.3f}) {mark(ratio <= 1.05)}",
                    f"{timings['split'].ratio(timings['erm']):.3f}" if "split" in timings else "-",
                    f"{size.batch_size / timings['open'].median:,.0f}",
                    f"{tflops:.2f}",
                    "-" if peak is None else f"{tflops / peak:.1%}",
                    f"{run / 60:.1f}",
                ]
            )
    show(
        "GPU: a training step, OPeN against ERM",
        f"bfloat16 autocast, channels_last, batches of {size.batch_size}, {device_name(size.device)}; milliseconds, "
        "medians. With `trainer.split_noise=true` noise rows have a pass of their own. The limit is the card's dense "
        "bfloat16 peak. The last column projects a CIFAR-10-LT run at an "
        f"imbalance ratio of 100: {EPOCHS - NOISE_EPOCHS} epochs of ERM and {NOISE_EPOCHS} of OPeN, without data.",
        [
            *("network", "compiled", "ERM", "OPeN", "OPeN / ERM", "with split_noise", "images/s"),
            *("TFLOP/s", "of the card's peak", "run, minutes"),
        ],
        rows,
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the script.

    Args:
        arguments: of the command line; None for the process's own.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, on the CPU: a trial of the script")
    size = TINY if parser.parse_args(arguments).tiny else REAL
    if size.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no GPU here; --tiny tries the script on the CPU")
    measure_layers(size)
    measure_steps(size)


if __name__ == "__main__":
    main()
