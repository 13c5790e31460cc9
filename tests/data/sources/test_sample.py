from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oponm.data.sources.sample import sample_files
from oponm.errors import InputError


def files(folder: Path, *images: Image.Image, suffix: str = "tiff") -> np.ndarray:
    paths = [folder / f"{number}.{suffix}" for number in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    return np.array(paths)


def grey(*values: float, dtype: str) -> Image.Image:
    return Image.fromarray(np.array(values, dtype=dtype).reshape(1, -1))


@pytest.mark.parametrize(
    ("dtype", "largest", "expected"),
    [
        *(("u2", 200, 255), ("u2", 256, 1023), ("u2", 4000, 4095), ("u2", 9000, 16383), ("u2", 65535, 65535)),
        *(("i4", 255, 255), ("i4", 60000, 65535)),
        *(("f4", 0.9, 1), ("f4", 1.0, 1), ("f4", 254.5, 255), ("f4", 60000, 65535)),
    ],
)
def test_white_is_that_of_the_set(tmp_path, dtype, largest, expected):
    found = sample_files(files(tmp_path, grey(0, largest / 4, dtype=dtype), grey(0, largest, dtype=dtype)))
    assert found.pixel_max == expected
    assert f"{expected} is taken as white" in found.pixels


def test_eight_bits_say_nothing(tmp_path):
    found = sample_files(files(tmp_path, Image.new("RGB", (4, 2)), Image.new("L", (2, 2))))
    assert (found.sizes, found.pixel_max, found.pixels) == ([(4, 2), (2, 2)], None, "")


def test_what_is_said_goes_before(tmp_path):
    found = sample_files(files(tmp_path, grey(0, 900, dtype="u2")), pixel_max=4095)
    assert found.pixel_max == 4095
    assert "4095 is white, as data.pixel_max says" in found.pixels


def test_floats_beside_whole_numbers_are_refused(tmp_path):
    with pytest.raises(InputError, match="some images hold floats"):
        sample_files(files(tmp_path, grey(0.5, dtype="f4"), grey(500, dtype="u2")))


def sixteen_bit_color(path: Path, largest: int) -> Path:
    """A PNG of 16 bits a channel, which Pillow cannot write."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    pixels = b"\0" + struct.pack(">6H", *([largest] * 6))
    data = chunk(b"IDAT", zlib.compress(pixels))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
    return path


def test_colors_that_pillow_would_cut_are_refused(tmp_path):
    assert sample_files(np.array([sixteen_bit_color(tmp_path / "full.png", 65535)])).pixel_max is None
    with pytest.raises(InputError, match="Pillow reads the upper 8"):
        sample_files(np.array([sixteen_bit_color(tmp_path / "twelve.png", 4095)]))
