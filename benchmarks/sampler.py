"""Each sampler's order of ten million images: seconds, memory beside that of the labels, and what is drawn."""

from __future__ import annotations

import multiprocessing
import resource
import time

import torch
from torch import Tensor

from oponm.data.samplers import SAMPLERS
from oponm.data.samplers.orders import CLASS_PROBABILITIES, sample_order
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


def main() -> None:
    """Print a table, a line a sampler, each measured in a process of its own."""
    torch.set_num_threads(1)
    weights = torch.arange(1, CLASSES + 1).double().reciprocal()
    labels = torch.multinomial(weights, IMAGES, replacement=True)
    labels[:CLASSES] = torch.arange(CLASSES)
    print(f"{IMAGES:,} labels of {CLASSES:,} classes: {labels.nbytes / 2**20:.0f} MiB. An epoch, half way of a phase:")
    print("sampler                  seconds  MiB beside  images seen  of a class  of a class   deviation")
    print("                                  the labels  once or more       most       least  (1 is fair)")
    for sampler in SAMPLERS:
        process = multiprocessing.get_context("fork").Process(target=measure, args=(sampler, labels))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
