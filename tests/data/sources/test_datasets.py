from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset, TensorDataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from oponm.data import DatasetLT, DigitsLT, ImageFolderLT, LongTailDataModule
from oponm.data.sources.datasets import as_data_module
from oponm.errors import InputError

PIXELS = np.random.default_rng(0).integers(256, size=(30, 8, 8, 3)).astype(np.uint8)
LABELS = [number % 3 for number in range(30)]


class Own:
    """Pairs, their images in one of the forms that datasets give."""

    def __init__(self, form, labels=LABELS) -> None:
        self.form, self.labels = form, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        if index >= len(self):
            raise IndexError(index)
        return self.form(PIXELS[index]), self.labels[index]


FORMS = {
    "pillow": Image.fromarray,
    "numpy": lambda image: image,
    "torch bytes": lambda image: torch.from_numpy(image).permute(2, 0, 1),
    "torch in [0, 1]": lambda image: torch.from_numpy(image).permute(2, 0, 1) / 255,
    "ToTensor": lambda image: transforms.ToTensor()(Image.fromarray(image)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_images_of_every_form_are_the_same_bytes(form):
    data = DatasetLT(Own(form), test_dataset=Own(form))
    data.setup()
    assert data.test_set.images.permute(0, 2, 3, 1).numpy().tolist() == PIXELS.tolist()
    assert data.test_set.targets.tolist() == LABELS
    assert data.class_names == ["0", "1", "2"]


def test_a_dataset_of_torchvision(tmp_path):
    for name, number in (("cat", 10), ("dog", 20)):
        (tmp_path / name).mkdir()
        for index in range(number):
            Image.fromarray(PIXELS[index]).save(tmp_path / name / f"{index}.png")
    data = as_data_module(ImageFolder(str(tmp_path)))
    data.setup()
    assert (data.class_names, data.class_counts, data.test_counts) == (["cat", "dog"], [8, 16], [2, 4])
    assert data.image_shape == (3, 8, 8)
    part = DatasetLT(Subset(ImageFolder(str(tmp_path)), range(5, 20)), imbalance_ratio=2, image_size=4)
    part.setup()
    assert part.image_shape == (3, 4, 4)
    assert max(part.class_counts) == 2 * min(part.class_counts)
    assert isinstance(as_data_module(str(tmp_path)), ImageFolderLT)
    assert isinstance(as_data_module(tmp_path), ImageFolderLT)


def test_grey_images_stay_grey_and_sizes_become_one():
    pairs = [(Image.new("L", (10 + index % 3, 9)), index % 2) for index in range(12)]
    data = DatasetLT(pairs, val_dataset=pairs[:4], val="split")
    data.setup()
    assert data.image_shape == (1, 9, 9)
    assert (data.val_counts, data.facts["validation"]) == ([2, 2], "own dataset")


def test_images_of_another_form():
    wide = Image.new("RGB", (24, 12), (255, 0, 0))
    wide.paste((0, 0, 255), (12, 0, 24, 12))
    data = DatasetLT([(wide, index % 2) for index in range(10)], image_size=(6, 12), channels=1)
    data.setup()
    assert data.image_shape == (1, 6, 12)
    padded = DatasetLT([(wide.convert("L"), index % 2) for index in range(10)], image_size=8, resize="pad")
    padded.setup()
    assert padded.train_set.images[0, 0, 0].tolist() == [52] * 8  # the mean of 76 and 29


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (Own(lambda image: torch.from_numpy(image).permute(2, 0, 1) / 50), r"dataset has images .* not in \[0, 1\]"),
        (Own(lambda image: image.astype(np.int32)), "dataset has images of int32"),
        (Own(lambda image: Image.fromarray(image).convert("CMYK")), "dataset has images of Pillow's mode CMYK"),
        (Own(Image.fromarray, [-1, *LABELS[1:]]), "dataset has labels from -1 to 2 for 3 classes"),
        (Own(Image.fromarray, [0.5, *LABELS[1:]]), "dataset must have one whole number as label for each image"),
        (TensorDataset(torch.zeros(4, 1, 8, 8)), "dataset must give an image and its label"),
        ([], "dataset holds no image"),
    ],
)
def test_what_cannot_be_used(dataset, words):
    with pytest.raises(InputError, match=words):
        DatasetLT(dataset).setup()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nowhere", "data is not a folder: nowhere"),
        ("", "data is not a folder"),
        (DataLoader(TensorDataset(torch.zeros(3))), "data must be a data module, a folder of images, or a dataset"),
        (None, "data must be a data module"),
    ],
)
def test_what_is_no_data(given, words):
    with pytest.raises(InputError, match=words):
        as_data_module(given)


def test_from_datasets():
    for made in (LongTailDataModule, DatasetLT):
        data = made.from_datasets(Own(Image.fromarray), test_dataset=Own(Image.fromarray), batch_size=4)
        assert isinstance(data, DatasetLT)
        assert data.batch_size == 4
    with pytest.raises(InputError, match=r"DigitsLT has images of its own: call oponm\.data\.DatasetLT"):
        DigitsLT.from_datasets(Own(Image.fromarray))
    with pytest.raises(InputError, match="dataset must have a length"):
        DatasetLT.from_datasets(iter([]))


def test_choices_by_name():
    data = DigitsLT(augmentation="flip_crop", noise="uniform", mixing="mixup")
    assert data.make_augmentation.keywords == {"padding": 4}
    assert data.make_noise.keywords["distribution"] == "uniform"
    assert data.make_mixing.keywords["alpha"] == 1.0
    with pytest.raises(InputError, match=r"augmentation must be one of autoaugment, .*got 'flip'"):
        DigitsLT(augmentation="flip")
