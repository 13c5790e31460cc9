"""Images per second from files: the streaming data module against a bare DataLoader, and what a step waits for them."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import RandomResizedCrop

from benchmarks.harness import interleave, mark, show
from oponm.data import ImageFolderLT

FILES, SIDE, SIZE, BATCH, WORKERS, ROUNDS = 2500, 256, 224, 50, 2, 4
COMPUTE = (0.5, 1.0, 2.0)  # of a step, in units of the time that the loader takes for a batch


class Files(Dataset[tuple[Tensor, int]]):
    """The same decoding and the same crop, image by image, as scripts have it.

    Args:
        files: one image each.
    """

    def __init__(self, files: list[Path]) -> None:
        self.files, self.crop = files, RandomResizedCrop((SIZE, SIZE))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.files[index]) as image:
            cropped = self.crop(image.convert("RGB"))
        return torch.from_numpy(np.array(cropped)).permute(2, 0, 1), 0


def write_photos(folder: Path, number: int) -> None:
    """JPEGs of 256x256 in two classes, smooth with some grain, so that they are about as large as photographs."""
    random = np.random.default_rng(0)
    for index in range(number):
        path = folder / ("left", "right")[index % 2] / f"{index:05}.jpg"
        path.parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.int16)
        grain = random.integers(-12, 13, smooth.shape, dtype=np.int16)
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(path, quality=85)


def seconds_waited(batches: Iterable[Any], compute: float) -> float:
    """Median seconds a step waits for its batch, where each step then computes for so long.

    The computing is elsewhere, as on an accelerator: this process sleeps meanwhile, and the workers have the cores.
    """
    iterator, waits = iter(batches), []
    while True:
        started = time.perf_counter()
        if next(iterator, None) is None:
            break
        waits.append(time.perf_counter() - started)
        time.sleep(compute)
    return statistics.median(waits[len(waits) // 4 :])  # what was read ahead before the first step is gone by then


def consumed(batches: Iterable[Any]) -> Callable[[], None]:
    """Read an epoch and do nothing with it."""

    def run() -> None:
        for _ in batches:
            pass

    return run


def main(number: int = FILES, rounds: int = ROUNDS, batch_size: int = BATCH, workers: int = WORKERS) -> None:
    """Print the tables.

    Args:
        number: of files.
        rounds: epochs of each loader, in turn.
        batch_size: images a batch.
        workers: processes of each loader.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder), number)
        options = {"in_memory": False, "num_workers": workers, "batch_size": batch_size, "statistics": "imagenet"}
        data = ImageFolderLT(Path(folder), image_size=SIZE, **options)  # type: ignore[arg-type]
        data.setup()
        files = [Path(file) for file in data.train_set.files]  # type: ignore[union-attr]
        bare: DataLoader[Any] = DataLoader(
            Files(files), batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0
        )
        loaders: dict[str, Iterable[Any]] = {"bare DataLoader": bare, "oponm": data.train_dataloader()}
        timings = interleave({name: consumed(loader) for name, loader in loaders.items()}, rounds, warmup=1)
        a_batch = timings["bare DataLoader"].median / len(bare)
        waits = {
            share: {name: seconds_waited(loader, share * a_batch) for name, loader in loaders.items()}
            for share in COMPUTE
        }
        data.teardown()
    ratio = timings["bare DataLoader"].ratio(timings["oponm"])
    low, high = timings["bare DataLoader"].ratio_quartiles(timings["oponm"])
    rows = []
    for name, timing in timings.items():
        rates = sorted(len(files) / seconds for seconds in timing.seconds)
        compared = f"{ratio:.2f} ({low:.2f} to {high:.2f}) {mark(ratio >= 0.95)}"
        rows.append(
            [
                *(name, f"{statistics.median(rates):.0f}", f"{rates[0]:.0f} to {rates[-1]:.0f}"),
                "1" if name == "bare DataLoader" else compared,
            ]
        )
    show(
        "Images from files",
        f"{len(files):,} JPEGs of {SIDE}x{SIDE}, decoded, cropped at random and scaled to {SIZE}x{SIZE} by {workers} "
        f"workers that stay, batches of {batch_size}; whole epochs, {rounds} of each in turn, their start included. "
        "Both decode with the same library; crops of `oponm` are a function of the step. Target: 0.95 of the bare "
        "loader's images a second at least; the limit is 1.",
        ["loader", "images/s (median)", "range", "oponm / bare"],
        rows,
    )
    show(
        "Decoding while a step computes",
        f"Median milliseconds that a step waits for its batch, where it computes elsewhere for a share of the "
        f"{1e3 * a_batch:.0f} ms that the bare loader takes for a batch; decoding and computing overlap, if there is "
        "no more to wait for than the difference, the limit. There is no transfer without an accelerator; with one, "
        "batches are pinned and moved while it computes.",
        ["compute, ms", "limit, ms", *(f"{name} waits, ms" for name in loaders)],
        [
            [f"{1e3 * share * a_batch:.0f}", f"{1e3 * max(0.0, 1 - share) * a_batch:.0f}"]
            + [f"{1e3 * waited:.1f}" for waited in waits[share].values()]
            for share in COMPUTE
        ],
    )


if __name__ == "__main__":
    main()
