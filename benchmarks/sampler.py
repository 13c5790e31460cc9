"""Class-balanced sampling over ten million labels: seconds, and memory beside that of the labels."""

from __future__ import annotations

import resource
import time

import torch

from oponm.data.samplers import EpochBatches, class_balanced_order
from oponm.rng import derive_generator

IMAGES, CLASSES = 10_000_000, 10_000


def peak_mib() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the time of an epoch's order and of its first batch, and the memory they took."""
    torch.set_num_threads(1)
    weights = torch.arange(1, CLASSES + 1).double().reciprocal()
    labels = torch.multinomial(weights, IMAGES, replacement=True)
    labels[:CLASSES] = torch.arange(CLASSES)
    before = peak_mib()
    started = time.perf_counter()
    order = class_balanced_order(labels, derive_generator(0, "sampler"))
    seconds = time.perf_counter() - started
    drawn = torch.bincount(labels[order], minlength=CLASSES).double()
    print(f"{IMAGES:,} labels of {CLASSES:,} classes ({labels.nbytes / 2**20:.0f} MiB): order in {seconds:.1f} s")
    print(
        f"draws a class: mean {drawn.mean():.0f}, deviation {drawn.std():.1f}, a fair draw's {drawn.mean().sqrt():.1f}"
    )
    print(f"peak memory above the labels: {peak_mib() - before:.0f} MiB")
    started = time.perf_counter()
    batch = next(iter(EpochBatches(labels, 256, "class_balanced", seed=0, epoch=1)))
    print(f"first batch of the next epoch ({len(batch.indices)} images): {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
