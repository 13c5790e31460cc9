"""Ten million images: their list, the tail drawn from it, and each sampler's order, in seconds and memory."""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from oponm.data.samplers import SAMPLERS
from oponm.data.samplers.orders import CLASS_PROBABILITIES, sample_order
from oponm.data.sources.file_lists import read_list
from oponm.longtail import draw_indices, stratified_split
from oponm.rng import derive_generator

IMAGES, CLASSES, PROGRESS = 10_000_000, 10_000, 0.5


def peak_mib() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(sampler: str, labels: Tensor) -> None:
    """Print a line on one sampler; the process's peak must be that of holding the labels."""
    before = peak_mib()
    started = time.perf_counter()
    order = sample_order(sampler, labels, derive_generator(0, "sampler"), PROGRESS)
    seconds, peak = time.perf_counter() - started, peak_mib() - before
    counts, drawn = (torch.bincount(of, minlength=CLASSES) for of in (labels, labels[order]))
    expected = counts if sampler == "instance" else CLASS_PROBABILITIES[sampler](counts, PROGRESS) * IMAGES
    deviation = ((drawn - expected) / expected.sqrt()).square().mean().sqrt()
    share = len(order.unique()) / IMAGES
    print(f"{sampler:24}{seconds:8.1f}{peak:12.0f}{share:12.1%}{drawn.max():12,}{drawn.min():12,}{deviation:12.2f}")


def write_list(path: Path, labels: Tensor) -> None:
    """Write a list of images with these labels, in names as long as those of ImageNet."""
    with path.open("w") as file:
        for first, part in enumerate(labels.split(100_000)):
            rows = enumerate(part.tolist(), start=100_000 * first)
            file.writelines(f"train/n{label:08}/n{label:08}_{row}.JPEG {label}\n" for row, label in rows)


def measure_step(name: str, step: Callable[[], object], result_mib: Callable[[object], float]) -> None:
    """Print a line on one step of preparing a training set."""
    before = peak_mib()
    started = time.perf_counter()
    result = step()
    seconds, peak = time.perf_counter() - started, peak_mib() - before
    print(f"{name:24}{seconds:8.1f}{peak:12.0f}{result_mib(result):12.0f}")


def in_a_process(target: Callable[..., None], *given: object) -> None:
    """Call a function in a process of its own, whose peak of memory is that of the call alone."""
    process = multiprocessing.get_context("fork").Process(target=target, args=given)
    process.start()
    process.join()


def prepare(labels: Tensor, folder: Path) -> None:
    """Print a table on reading a list of images, drawing a tail from it and holding images out."""
    path, array = folder / "list.txt", labels.numpy()
    write_list(path, labels)
    counts = (np.bincount(array, minlength=CLASSES) // 2).tolist()
    size = path.stat().st_size / 2**20
    print(f"A list of them, {size:.0f} MiB of text, and what is made of it:")
    print("step                     seconds    MiB more  MiB of the")
    print("                                 at its peak      result")
    in_a_process(
        *(measure_step, "read_list", lambda: read_list(path, folder, CLASSES)),
        lambda part: sum(of.nbytes for of in (part[0].starts, part[0].lengths, part[1])) / 2**20 + size,
    )
    for draw in ("ldam", "m2m", "random"):
        in_a_process(
            measure_step,
            f"draw {draw}",
            lambda draw=draw: draw_indices(array, counts, draw),
            lambda of: of.nbytes / 2**20,
        )
    in_a_process(
        *(measure_step, "stratified_split", lambda: stratified_split(array, 0.1)),
        lambda of: sum(part.nbytes for part in of) / 2**20,
    )
    print()


def main() -> None:
    """Print tables, each of their lines measured in a process of its own."""
    torch.set_num_threads(1)
    weights = torch.arange(1, CLASSES + 1).double().reciprocal()
    labels = torch.multinomial(weights, IMAGES, replacement=True)
    labels[:CLASSES] = torch.arange(CLASSES)
    print(f"{IMAGES:,} labels of {CLASSES:,} classes: {labels.nbytes / 2**20:.0f} MiB.")
    with tempfile.TemporaryDirectory() as folder:
        prepare(labels, Path(folder))
    print("An epoch, half way of a phase:")
    print("sampler                  seconds  MiB beside  images seen  of a class  of a class   deviation")
    print("                                  the labels  once or more       most       least  (1 is fair)")
    for sampler in SAMPLERS:
        in_a_process(measure, sampler, labels)


if __name__ == "__main__":
    main()
