from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from oponm.data import DigitsLT, ImageFolderLT, memory
from oponm.data.pipeline import ResidentImages
from oponm.errors import InputError
from tests.data.sources.test_image_folder import split_in_two


def test_images_too_large_for_memory_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    data = ImageFolderLT(split_in_two(tmp_path), image_size=100)
    monkeypatch.setattr(memory, "total_memory", lambda: 25 * 3 * 100**2)  # of 20 training images and 9 test images
    with pytest.raises(InputError, match="in_memory must be false: decoded, the images take") as error:
        data.setup()
    assert error.value.key == "in_memory"
    streamed = ImageFolderLT(tmp_path, image_size=100, in_memory=False)
    streamed.setup()
    assert len(streamed.train_set) == 20


def test_what_no_machine_has_is_refused():
    with pytest.raises(InputError, match=r"take 3000000000.0 GB"):
        memory.room_for(10**12, (3, 1000, 1000))


def test_the_memory_is_that_of_the_machine_or_less():
    assert 2**20 < memory.total_memory() < 2**50


def test_an_accelerator_that_is_too_small_is_named(monkeypatch):
    data = DigitsLT(imbalance_ratio=50)
    data.setup()
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(strategy=strategy, global_rank=0, world_size=1, current_epoch=0)

    def full(self, device):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(ResidentImages, "to", full)
    with pytest.raises(InputError, match=r"in_memory must be false: .* cpu has too little memory"):
        data.train_dataloader()
