"""How cost grows: with classes, images, the share of noise and the size of a batch."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from benchmarks.harness import interleave, rounds_within, show
from benchmarks.workload import Setting, make_step
from oponm.data.samplers.orders import sample_order
from oponm.longtail import exponential_counts
from oponm.models import resnet32
from oponm.noise import GaussianNoise, ReplaceWithNoise

CLASSES = (10, 100, 1_000, 10_000)
IMAGES = (10_000, 100_000, 1_000_000, 10_000_000)
SHARES = (0.0, 0.125, 0.25, 0.375, 0.5)
BATCHES = (32, 64, 128, 256, 512)
FIGURE = Path(__file__).parents[1] / "docs" / "bench_scaling.png"
Points = list[tuple[float, float]]


def in_fresh_process(measure: Callable[..., list[float]], *args: int) -> list[float]:
    """What a function returns, run in a process of its own, so that peaks of memory are its own."""

    def send(to: Connection) -> None:
        torch.set_num_threads(1)
        to.send(measure(*args))

    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=send, args=(sender,))
    process.start()
    sender.close()
    answer = receiver.recv()
    process.join()
    return answer


def peak_mib() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def epoch_order(images: int, classes: int) -> list[float]:
    """Seconds for a class-balanced order of an epoch, and MiB of memory beside the labels."""
    weights = torch.arange(1, classes + 1).double().reciprocal()
    labels = torch.multinomial(weights, images, replacement=True)
    labels[:classes] = torch.arange(classes)
    before, started = peak_mib(), time.thread_time()
    sample_order("class_balanced", labels, torch.Generator().manual_seed(0))
    return [time.thread_time() - started, peak_mib() - before]


def mixing(classes: int) -> list[float]:
    """Seconds to mix noise into a batch of 128, for class counts of a long tail of so many classes."""
    transform = ReplaceWithNoise(exponential_counts(5000, classes, 100), 1 / 3, GaussianNoise([0.5] * 3, [0.2] * 3))
    images, targets = torch.rand(128, 3, 32, 32), torch.randint(classes, (128,))
    generator = torch.Generator().manual_seed(0)
    runs = {"mix": lambda: transform(images, targets, generator)}
    return [interleave(runs, 50, clock=time.thread_time)["mix"].median]


def steps(settings: dict[float, Setting], budget: float) -> tuple[Points, Points]:
    """Milliseconds of a step of ERM and of OPeN for each setting, ResNet-32."""
    points: tuple[Points, Points] = ([], [])
    for value, setting in settings.items():
        runs = {method: make_step(resnet32, method, setting) for method in ("erm", "open")}
        timings = interleave(runs, rounds_within(budget, runs, least=6, most=30), clock=time.thread_time)
        for line, method in zip(points, runs, strict=True):
            line.append((value, 1e3 * timings[method].median))
    return points


def main(budget: float) -> None:
    """Print the tables and draw the figure.

    Args:
        budget: seconds for each setting of a training step.
    """
    torch.set_num_threads(1)
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
    by_classes = {classes: in_fresh_process(epoch_order, 1_000_000, classes) for classes in CLASSES}
    by_images = {images: in_fresh_process(epoch_order, images, min(1000, images // 10)) for images in IMAGES}
    mixes = {classes: in_fresh_process(mixing, classes)[0] for classes in CLASSES}
    show(
        "Cost against the number of classes",
        "One thread, its seconds. The order of an epoch is that of a million images, class-balanced; the batch mixed "
        "has 128 images of 32x32. What must grow: nothing, as both look up one number of each drawn class.",
        ["classes", "order, s", "order, MiB beside the labels", "mixing, ms"],
        [
            [f"{classes:,}", f"{seconds:.3f}", f"{mib:.0f}", f"{1e3 * mixes[classes]:.2f}"]
            for classes, (seconds, mib) in by_classes.items()
        ],
    )
    show(
        "Cost against the number of images",
        "The class-balanced order of an epoch from labels alone, one thread, 1,000 classes. The limit is linear: the "
        "order itself takes 8 bytes an image.",
        ["images", "order, s", "ns an image", "MiB beside the labels", "bytes an image"],
        [
            [f"{n:,}", f"{seconds:.4f}", f"{1e9 * seconds / n:.0f}", f"{mib:.1f}", f"{mib * 2**20 / n:.0f}"]
            for n, (seconds, mib) in by_images.items()
        ],
    )
    by_share = steps({share: Setting(noise_share=share) for share in SHARES}, budget)
    by_batch = steps({size: Setting(batch_size=size) for size in BATCHES}, budget)
    for title, note, name, (plain, routed) in (
        (
            "Cost against the share of noise",
            "A step of OPeN with ResNet-32, 128 images, one thread, its milliseconds; ERM beside it. Without a noise "
            "row every layer is a plain batch norm.",
            "noise share",
            by_share,
        ),
        (
            "Cost against the size of a batch",
            "A step with ResNet-32, a quarter of the rows noise, one thread, its milliseconds. The limit is linear.",
            "batch size",
            by_batch,
        ),
    ):
        rows = [
            [f"{value:g}", f"{one:.1f}", f"{other:.1f}", f"{other / one:.3f}"]
            for (value, one), (_, other) in zip(plain, routed, strict=True)
        ]
        show(title, note, [name, "ERM", "OPeN", "OPeN / ERM"], rows)

    axes[0].loglog(list(by_classes), [seconds for seconds, _ in by_classes.values()], "o-", label="order of 10⁶ images")
    axes[0].loglog(list(mixes), list(mixes.values()), "o-", label="mixing 128 images")
    axes[0].set(xlabel="classes", ylabel="seconds")
    axes[1].loglog(list(by_images), [seconds for seconds, _ in by_images.values()], "o-", label="seconds")
    axes[1].loglog(list(by_images), [mib / 1024 for _, mib in by_images.values()], "o-", label="GiB beside the labels")
    axes[1].set(xlabel="images", ylabel="order of an epoch")
    for axis, name, lines in ((axes[2], "noise share", by_share), (axes[3], "batch size", by_batch)):
        for label, line in zip(("ERM", "OPeN"), lines, strict=True):
            axis.plot(*zip(*line, strict=True), "o-", label=label)
        axis.set(xlabel=name, ylabel="ms a step, ResNet-32", ylim=(0, None))
    for axis in axes:
        axis.legend(frameon=False, fontsize="small")
    figure.savefig(FIGURE, dpi=110)
    print(f"![how cost grows](../docs/{FIGURE.name})\n")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0)
