"""A training step of OPeN against one of ERM, in time and memory; and evaluation of the trained network."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.harness import interleave, mark, rounds_within, show
from benchmarks.workload import Setting, make_step
from oponm.models import WideResNet, resnet32
from oponm.nn import convert_batchnorm
from oponm.nn.functional import NOISE_GRADS

NETWORKS: dict[str, Callable[[], nn.Module]] = {"ResNet-32": resnet32, "WRN-16-2": partial(WideResNet, 16, 2)}
# The last one is what training makes of the first where memory format or autocast put noise rows last.
WAYS: dict[str, dict[str, Any]] = {name: {"noise_grad": name} for name in NOISE_GRADS} | {
    "none, split": {"noise_grad": "none", "split_noise": True}
}
FORMATS = {"contiguous": False, "channels_last": True}


def peak_bytes(step: Callable[[], object]) -> int:
    """The most memory that a call holds at once beyond what was held before, by torch's count of each allocation."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events: Any = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def measure_steps(budget: float) -> None:
    """Print the table of training steps.

    Args:
        budget: seconds for each line.
    """
    rows = []
    for name, make_network in NETWORKS.items():
        for memory_format, channels_last in FORMATS.items():
            steps = {"ERM": make_step(make_network, "erm", Setting(channels_last=channels_last))}
            for way, options in WAYS.items():
                steps[way] = make_step(make_network, "open", Setting(channels_last=channels_last, **options))
            timings = interleave(steps, rounds_within(4 * budget, steps, least=8, most=60), clock=time.thread_time)
            plain = timings["ERM"]
            plain_peak = peak_bytes(steps["ERM"])
            for way in WAYS:
                ratio, (low, high) = timings[way].ratio(plain), timings[way].ratio_quartiles(plain)
                peak = peak_bytes(steps[way])
                rows.append(
                    [
                        *(name, memory_format, way, f"{1e3 * plain.median:.0f}"),
                        f"{1e3 * timings[way].median:.0f}",
                        f"{ratio:.3f} ({low:.3f} to {high:.3f}) {mark(ratio <= 1.05)}",
                        *(f"{plain_peak / 2**20:.0f}", f"{peak / 2**20:.0f}"),
                        f"{peak / plain_peak:.2f} {mark(peak <= 1.1 * plain_peak)}",
                    ]
                )
    show(
        "A training step, OPeN against ERM",
        "Noise, normalization, forward, loss, backward and SGD on 128 images of 32x32, a quarter of them noise; "
        "float32, one thread; medians of the thread's milliseconds. Targets: 1.05 times the time and 1.1 times the "
        "memory of ERM at most. The limit is ERM itself: OPeN adds no arithmetic to it but the noise. `none, split` is "
        "`trainer.split_noise=true`, and what training does by itself with `none` and `channels_last` on the CPU: "
        "noise rows go through the network by themselves, and not back. Memory is the most "
        "that a step holds beyond weights and optimizer, by torch's count of each allocation.",
        [
            *("network", "format", "noise_grad", "ERM", "OPeN", "OPeN / ERM"),
            *("ERM, MiB", "OPeN, MiB", "OPeN / ERM"),
        ],
        rows,
    )


def measure_evaluation(budget: float) -> None:
    """Print the table of evaluation.

    Args:
        budget: seconds for each line.
    """
    rows = []
    images = torch.rand(128, 3, 32, 32)
    for name, make_network in NETWORKS.items():
        plain = make_network().eval()
        routed = convert_batchnorm(copy.deepcopy(plain))
        with torch.inference_mode():
            same = torch.equal(plain(images), routed(images))
            runs = {"plain": partial(plain, images), "routed": partial(routed, images)}
            timings = interleave(runs, rounds_within(2 * budget, runs, least=20, most=100), clock=time.thread_time)
        ratio = timings["routed"].ratio(timings["plain"])
        low, high = timings["routed"].ratio_quartiles(timings["plain"])
        rows.append(
            [
                *(name, f"{1e3 * timings['plain'].median:.1f}", f"{1e3 * timings['routed'].median:.1f}"),
                *(f"{ratio:.3f} ({low:.3f} to {high:.3f}) {mark(low <= 1)}", "yes" if same else "no"),
            ]
        )
    show(
        "Evaluation, DAR-BN against batch norm",
        "128 images of 32x32, float32, one thread; medians of the thread's milliseconds. Target and limit: 1.00; both "
        "call the same kernels.",
        ["network", "batch norm", "DAR-BN", "DAR-BN / batch norm", "same logits to the bit"],
        rows,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    measure_steps(seconds)
    measure_evaluation(seconds)
