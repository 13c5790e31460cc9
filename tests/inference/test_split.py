from __future__ import annotations

import pytest
import torch

from oponm.data import ImageFolderLT
from oponm.errors import InputError
from oponm.inference import serve_split
from tests.inference.small import photos
from tests.training.small import make_data


def served(data) -> tuple[torch.Tensor, torch.Tensor]:
    batches = [data.make_batch(raw, training=False) for raw in data.test_dataloader()]
    return torch.cat([batch.images for batch in batches]), torch.cat([batch.targets for batch in batches])


def test_the_training_set_in_order_and_not_augmented():
    data = make_data()
    serve_split(data, "train")
    images, targets = served(data)
    assert torch.equal(targets, data.train_set.targets)
    mean, std = data.pipeline.mean, data.pipeline.std
    assert torch.equal(images, (data.train_set.images.float() / 255 - mean) / std)
    assert data.test_counts == data.class_counts == torch.bincount(targets).tolist()


def test_the_validation_set():
    data = make_data(val="split", val_size=5)
    serve_split(data, "val")
    _, targets = served(data)
    assert data.test_counts == [5] * 10 == torch.bincount(targets).tolist()


def test_images_decoded_by_the_batch_are_not_cropped_at_random(tmp_path):
    folder, sets = photos(tmp_path / "photos", number=8), []
    for in_memory in (True, False):
        data = ImageFolderLT(folder, image_size=8, in_memory=in_memory, statistics="imagenet")
        data.setup()
        serve_split(data, "train")
        sets.append(served(data))
    assert torch.equal(sets[0][1], sets[1][1])
    assert torch.equal(sets[0][0], sets[1][0])
    assert data.train_set.training


def test_no_validation_set():
    with pytest.raises(InputError, match="split is val, and the run has no validation set"):
        serve_split(make_data(), "val")


def test_another_name():
    with pytest.raises(InputError, match="split must be one of test, val, train"):
        serve_split(make_data(), "dev")
