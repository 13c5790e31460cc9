"""A DAR-BN layer forward and backward, against batch norm and against the formulation that gathers rows by a mask."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.harness import copy_bandwidth, interleave, mark, rounds_within, show
from oponm.nn import DARBatchNorm2d, noise_routing
from oponm.nn.functional import NOISE_GRADS

SHAPES = ((128, 16, 32, 32), (128, 64, 8, 8), (128, 160, 32, 32))
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
NOISE_SHARE = 0.25
# Forward: statistics read the input, normalizing reads it again and writes. Backward: the same with two tensors read.
TENSORS_MOVED = 3 + 5


def gathered_batch_norm(layer: nn.BatchNorm2d, x: Tensor, is_noise: Tensor, noise_grad: str) -> Tensor:
    """DAR-BN as its publication prints it: split by the mask, normalize each part, scatter back (Algorithm 2)."""
    output = torch.empty_like(x)
    output[~is_noise] = layer(x[~is_noise])
    weight, bias = layer.weight, layer.bias
    if noise_grad != "full":
        weight, bias = weight.detach(), bias.detach()
    with torch.no_grad() if noise_grad == "none" else nullcontext():
        noise = functional.batch_norm(x[is_noise], None, None, weight, bias, training=True)
    output[is_noise] = noise
    return output


def candidates(
    shape: tuple[int, ...], memory_format: torch.memory_format, noise_grad: str, compiled: bool = False
) -> dict[str, Callable[[], None]]:
    """The formulations on one input, noise rows after the others as training has them, or anywhere.

    Args:
        shape: (N, C, H, W).
        memory_format: of the input and of the gradient.
        noise_grad: reading of DAR-BN.
        compiled: batch norm and DAR-BN through ``torch.compile`` as well.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).contiguous(memory_format=memory_format).requires_grad_()
    grad = torch.randn(shape, generator=generator).contiguous(memory_format=memory_format)
    is_noise = torch.arange(len(x)) >= (1 - NOISE_SHARE) * len(x)
    anywhere = is_noise[torch.randperm(len(x), generator=generator)]
    plain, gathered = nn.BatchNorm2d(shape[1]), nn.BatchNorm2d(shape[1])
    routed = DARBatchNorm2d(shape[1], noise_grad=noise_grad)

    def run(layer: nn.Module, forward: Callable[[], Tensor]) -> None:
        x.grad = None
        layer.zero_grad()
        forward().backward(grad)

    def route(layer: Callable[[Tensor], Tensor], mask: Tensor) -> Tensor:
        with noise_routing(mask):
            return layer(x)

    found = {
        "batch norm": lambda: run(plain, lambda: plain(x)),
        "DAR-BN": lambda: run(routed, lambda: route(routed, is_noise)),
        "anywhere": lambda: run(routed, lambda: route(routed, anywhere)),
        "gather": lambda: run(gathered, lambda: gathered_batch_norm(gathered, x, is_noise, noise_grad)),
    }
    if compiled:
        torch._dynamo.reset()
        fast_plain, fast_routed = torch.compile(plain), torch.compile(routed)
        found["compiled batch norm"] = lambda: run(plain, lambda: fast_plain(x))
        found["compiled DAR-BN"] = lambda: run(routed, lambda: route(fast_routed, anywhere))
    return found


def measure(threads: int, budget: float) -> None:
    """Print the table for a number of threads.

    Args:
        threads: of torch's operators. A single one is timed by the processor time of its thread, which other processes
            disturb less; several by the wall.
        budget: seconds for each line.
    """
    torch.set_num_threads(threads)
    clock = time.thread_time if threads == 1 else time.perf_counter
    rows = []
    for shape in SHAPES:
        limit = 1e3 * TENSORS_MOVED * 4 * torch.Size(shape).numel() / copy_bandwidth(torch.ones(shape))
        for name, memory_format in FORMATS.items():
            for noise_grad in NOISE_GRADS:
                runs = candidates(shape, memory_format, noise_grad)
                timings = interleave(runs, rounds_within(budget, runs, least=8, most=200), clock=clock)
                plain, routed, anywhere, gathered = timings.values()
                ratio, faster = routed.ratio(plain), gathered.ratio(routed)
                low, high = routed.ratio_quartiles(plain)
                row = [str(shape), name, noise_grad, f"{limit:.2f}"]
                row += [f"{1e3 * timing.median:.2f}" for timing in (plain, routed, gathered)]
                row += [
                    f"{ratio:.2f} ({low:.2f} to {high:.2f}) {mark(ratio <= 1.15)}",
                    f"{faster:.1f} {mark(faster >= 2)}",
                    f"{anywhere.ratio(plain):.2f}",
                ]
                rows.append(row)
    show(
        f"DAR-BN against batch norm, {threads} thread{'s' if threads > 1 else ''}",
        "Forward and backward of one layer, float32, a quarter of the rows noise, after the others as training has "
        "them; the last column has them anywhere, as a loop of one's own may. Milliseconds "
        f"of the {'thread' if threads == 1 else 'wall'}, medians; ratios of medians, with quartiles of the ratios "
        "within a round. Targets: 1.15 times batch norm at most, half the time of the gather at most; ✗ marks what "
        f"misses its target. The limit is the time to move {TENSORS_MOVED} tensors of the input's size at the speed "
        "of a copy in the same process: batch norm must read the input twice and write once, and on the way back read "
        "two tensors twice and write once. It leaves out that output and gradient are fresh memory, which the "
        "operating system clears first; with the largest shape this is most of everybody's time.",
        [
            *("shape", "format", "noise_grad", "limit", "batch norm", "DAR-BN", "gather"),
            *("DAR-BN / batch norm", "gather / DAR-BN", "rows anywhere / batch norm"),
        ],
        rows,
    )


def measure_compiled(threads: int, budget: float) -> None:
    """Print the table of layers that went through ``torch.compile``, which needs a C++ compiler.

    Args:
        threads: of torch's operators; timed by the wall.
        budget: seconds for each line, without compiling.
    """
    torch.set_num_threads(threads)
    names = ("batch norm", "compiled batch norm", "compiled DAR-BN", "gather")
    rows = []
    for shape in SHAPES:
        for name, memory_format in FORMATS.items():
            for noise_grad in NOISE_GRADS:
                found = candidates(shape, memory_format, noise_grad, compiled=True)
                runs = {each: found[each] for each in names}
                for run in runs.values():
                    run()  # compiles
                timings = interleave(runs, rounds_within(budget, runs, least=8, most=200))
                plain, fast_plain, routed, gathered = timings.values()
                low, high = routed.ratio_quartiles(plain)
                rows.append(
                    [
                        *(str(shape), name, noise_grad),
                        *(f"{1e3 * timing.median:.2f}" for timing in timings.values()),
                        f"{routed.ratio(plain):.2f} ({low:.2f} to {high:.2f}) {mark(routed.ratio(plain) <= 1.15)}",
                        f"{routed.ratio(fast_plain):.2f} {mark(routed.ratio(fast_plain) <= 1.15)}",
                        f"{gathered.ratio(routed):.1f} {mark(gathered.ratio(routed) >= 2)}",
                    ]
                )
    show(
        f"DAR-BN against batch norm, compiled, {threads} thread{'s' if threads > 1 else ''}",
        "The same through `torch.compile` (`trainer.compile=true`), noise rows anywhere; milliseconds of the wall. One "
        "graph serves every number of noise rows.",
        [
            *("shape", "format", "noise_grad", *names),
            *("compiled DAR-BN / batch norm", "/ compiled batch norm", "gather / compiled DAR-BN"),
        ],
        rows,
    )


if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    for number in (1, 2):
        measure(number, seconds)
    measure_compiled(2, seconds)
