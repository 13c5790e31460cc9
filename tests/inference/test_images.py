from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from oponm.data.decode import Form, read_image
from oponm.errors import InputError
from oponm.inference.images import find_images, read_batches
from tests.inference.small import photos


def test_files_keep_the_order_given_and_come_once(tmp_path):
    folder = photos(tmp_path / "photos", ["bees", "ants"], number=2)
    odd = tmp_path / "picture-without-extension"
    (folder / "bees/0.png").rename(odd)
    files, others = find_images([odd, folder, folder / "bees/1.png"])
    assert [str(file.relative_to(tmp_path)) for file in files] == [
        "picture-without-extension",
        "photos/ants/0.png",
        "photos/ants/1.png",
        "photos/bees/1.png",
    ]
    assert others == []


def test_files_that_are_no_images_are_listed_and_clutter_is_not(tmp_path):
    folder = photos(tmp_path / "photos", ["ants"])
    for name in ("notes.txt", ".DS_Store", "Thumbs.db", ".cache/0.png"):
        (folder / "ants" / name).parent.mkdir(exist_ok=True)
        (folder / "ants" / name).write_text("")
    files, others = find_images([folder])
    assert len(files) == 4
    assert others == [f"{folder}/ants/notes.txt: is no image"]


def test_nothing_to_read(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image found in"):
        find_images([tmp_path / "empty"])
    with pytest.raises(InputError, match=r"gone\.jpg: no such file"):
        find_images([tmp_path / "gone.jpg"])


def test_a_grey_network_sees_grey_images_unchanged(tmp_path):
    pixels = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    assert torch.equal(read_image(tmp_path / "grey.png", Form(8, channels=1))[0], torch.from_numpy(pixels))


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_keep_order_and_name_what_cannot_be_read(tmp_path, batch_size):
    folder = photos(tmp_path / "photos", ["ants"], number=11)
    files, _ = find_images([folder])
    files[4].write_text("no image at all")
    batches = list(read_batches(files, Form((8, 8)), batch_size))
    assert [position for batch in batches for position in batch.kept] == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    images = torch.cat([batch.images for batch in batches])
    expected = torch.stack([read_image(file, Form(8)) for file in files if file != files[4]])
    assert torch.equal(images, expected)
    refused = {position: line for batch in batches for position, line in batch.refused.items()}
    assert refused == {4: f"{files[4]}: is no image; remove it"}
