"""CIFAR-10 in the format and order of the published files, rebuilt from JPEGs and the order of the labels."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.datasets import CIFAR10

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
JPEGS, LABELS = SHARED / "cifar10-jpeg.tar.xz", SHARED / "cifar_label_order.npz"
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def write_cifar10(root: Path) -> Path:
    """Write the batch files below ``root``, as torchvision lays them out."""
    with np.load(LABELS) as arrays:
        labels = {"train": arrays["cifar10_train"], "test": arrays["cifar10_test"]}
    places = {part: [np.flatnonzero(order == label) for label in range(10)] for part, order in labels.items()}
    pixels = {part: np.zeros((len(order), 3072), dtype=np.uint8) for part, order in labels.items()}
    with tarfile.open(JPEGS, "r|xz") as archive:
        for member in archive:
            if member.isfile():
                part, name, file = Path(member.name).parts[-3:]
                with Image.open(io.BytesIO(archive.extractfile(member).read())) as image:
                    place = places[part][NAMES.index(name)][int(Path(file).stem)]
                    pixels[part][place] = np.asarray(image).transpose(2, 0, 1).reshape(3072)
    folder = root / CIFAR10.base_folder
    folder.mkdir(parents=True)
    for part, files in (("train", CIFAR10.train_list), ("test", CIFAR10.test_list)):
        for (name, _), rows, own in zip(
            files, np.split(pixels[part], len(files)), np.split(labels[part], len(files)), strict=True
        ):
            (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": own.tolist()}, protocol=2))
    (folder / CIFAR10.meta["filename"]).write_bytes(pickle.dumps({"label_names": NAMES}, protocol=2))
    return root
