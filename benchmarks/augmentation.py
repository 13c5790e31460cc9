"""Images per second of the full paper augmentation on one core: kornia on batches against torchvision on samples."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from PIL import Image
from torchvision.transforms import v2

from oponm.data.augmentation import simclr

BATCH, REPEATS = 128, 15


def torchvision_recipe() -> Callable[[Image.Image], torch.Tensor]:
    """The same recipe as a chain of torchvision transforms for one image, as torchvision's data sets yield it."""
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomCrop(32, padding=4),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], p=0.5),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0)),
        ]
    )


def main(batch_size: int = BATCH, repeats: int = REPEATS) -> None:
    """Print medians of interleaved repeats, and their ratio."""
    torch.set_num_threads(1)
    stored = torch.randint(256, (batch_size, 3, 32, 32), dtype=torch.uint8)
    arrays = stored.permute(0, 2, 3, 1).numpy()
    batched, single = simclr((32, 32)), torchvision_recipe()
    seconds: dict[str, list[float]] = {"kornia, batch": [], "torchvision, per sample": []}
    for _ in range(repeats + 2):
        for name, run in (
            ("kornia, batch", lambda: batched(stored.float() / 255)),
            ("torchvision, per sample", lambda: torch.stack([single(Image.fromarray(array)) for array in arrays])),
        ):
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values[2:]) for name, values in seconds.items()}
    for name, median in medians.items():
        spread = statistics.quantiles(seconds[name][2:], n=4)
        print(f"{name:24} {batch_size / median:8.0f} images/s   {1e3 * median:6.1f} ms a batch of {batch_size}", end="")
        print(f"   quartiles {1e3 * spread[0]:.1f} to {1e3 * spread[2]:.1f}")
    print(f"ratio {medians['torchvision, per sample'] / medians['kornia, batch']:.1f}")


if __name__ == "__main__":
    main()
