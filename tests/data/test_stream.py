from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from oponm.data import DigitsLT, ImageFolderLT
from oponm.data.decode import read_image
from oponm.data.samplers import IndexBatch
from oponm.data.stream import StreamedImages
from oponm.errors import InputError


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for name, number in (("ants", 20), ("bees", 10)):
        (folder / name).mkdir()
        for index in range(number):
            Image.fromarray(random.integers(0, 255, (30, 24, 3), dtype=np.uint8)).save(
                folder / name / f"{index:02}.png"
            )
    return folder


def stream(photos: Path, training: bool, seed: int = 0) -> StreamedImages:
    files = np.array(sorted(photos.rglob("*.png")), dtype=object)
    return StreamedImages(files, torch.arange(len(files)), 16, training, seed)


def first(data: StreamedImages, epoch: int = 0, step: int = 0) -> torch.Tensor:
    return data.__getitems__(IndexBatch(torch.tensor([3, 1, 3]), epoch, step)).images


def test_evaluation_decodes_as_a_set_in_memory_does(photos):
    data = stream(photos, training=False)
    assert torch.equal(first(data), torch.stack([read_image(data.files[index], 16) for index in (3, 1, 3)]))


def test_crops_are_a_function_of_seed_epoch_and_step(photos):
    torch.manual_seed(0)
    images = first(stream(photos, training=True))
    torch.manual_seed(1)
    assert torch.equal(first(stream(photos, training=True)), images)
    assert not torch.equal(images[0], images[2])
    for other in (
        first(stream(photos, True, seed=1)),
        first(stream(photos, True), epoch=1),
        first(stream(photos, True), step=1),
    ):
        assert not torch.equal(other, images)


@pytest.mark.parametrize("in_memory", [True, False])
def test_both_ways_draw_the_same_split(photos, in_memory):
    data = ImageFolderLT(photos, imbalance_ratio=4, in_memory=in_memory, image_size=16, val="split", val_size=2)
    data.setup()
    assert (data.class_counts, data.val_counts, data.test_counts) == ([14, 3], [2, 2], [4, 2])
    assert data.image_shape == (3, 16, 16)
    assert data.statistics.mean == pytest.approx([0.5] * 3, abs=0.03)


def test_the_number_of_workers_changes_nothing(photos):
    batches = []
    for workers in (0, 1, 2):
        data = ImageFolderLT(
            photos, in_memory=False, image_size=16, batch_size=4, num_workers=workers, statistics="imagenet"
        )
        data.setup()
        batches.append([data.make_batch(raw, training=True).images for raw in data.train_dataloader()])
    assert len(batches[0]) == 6
    for other in batches[1:]:
        assert all(torch.equal(one, two) for one, two in zip(batches[0], other, strict=True))


def test_a_damaged_file_is_named_from_within_a_worker(photos, tmp_path):
    for name in ("ants", "bees"):
        (tmp_path / name).mkdir()
        for file in sorted((photos / name).iterdir())[:6]:
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    for file in (tmp_path / "bees").iterdir():
        file.write_bytes(file.read_bytes()[:200])
    data = ImageFolderLT(tmp_path, in_memory=False, image_size=16, num_workers=1, statistics="imagenet")
    data.setup()
    with pytest.raises(InputError, match=r"bees/0\d.png: cannot be read"):
        list(data.train_dataloader())


def test_images_that_are_no_files_cannot_be_streamed():
    with pytest.raises(InputError, match="in_memory must be true"):
        DigitsLT(in_memory=False).setup()


def test_workers_are_for_streams():
    with pytest.raises(InputError, match="num_workers must be 0"):
        DigitsLT(num_workers=2)


def test_files_cannot_be_skipped_from_a_stream(photos):
    with pytest.raises(InputError, match="on_error"):
        ImageFolderLT(photos, in_memory=False, on_error="skip").setup()
