from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, features

from oponm.data.decode import Form, decode_ahead, read_image, to_rgb
from oponm.errors import InputError

COLORS = np.array([[[250, 10, 20], [30, 240, 50]], [[40, 60, 230], [245, 235, 25]]], dtype=np.uint8)
QUARTERS = COLORS.repeat(16, 0).repeat(16, 1)


def channels_last(images: torch.Tensor) -> np.ndarray:
    return images.permute(1, 2, 0).numpy().astype(int)


def saved(folder: Path, image: Image.Image, name: str, **options) -> Path:
    image.save(folder / name, **options)
    return folder / name


def encoded(image_format: str, image: Image.Image | None = None, **options) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(QUARTERS) if image is None else image).save(buffer, image_format, **options)
    return buffer.getvalue()


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def assert_refused(path: Path) -> InputError:
    with pytest.raises(InputError) as error:
        read_image(path, Form(8))
    assert str(path) in error.value.message
    assert "\n" not in error.value.message
    return error.value


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.bmp", {}),
        ("a.gif", {}),
        ("a.webp", {"lossless": True}),
        ("a.tiff", {}),
        ("a.PNG", {}),
        ("no_suffix", {"format": "PNG"}),
        ("misnamed.jpg", {"format": "PNG"}),
    ],
)
def test_lossless_files_are_read_to_the_bit(tmp_path, name, options):
    image = read_image(saved(tmp_path, Image.fromarray(QUARTERS), name, **options), Form(32))
    assert image.dtype == torch.uint8
    assert image.shape == (3, 32, 32)
    assert image.is_contiguous()
    assert np.array_equal(channels_last(image), QUARTERS)


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.jpg", {"quality": 95, "subsampling": 0}), ("a.JPEG", {"progressive": True}), ("a.webp", {"quality": 95})],
)
def test_lossy_files_are_read_closely(tmp_path, name, options):
    image = channels_last(read_image(saved(tmp_path, Image.fromarray(QUARTERS), name, **options), Form(32)))
    assert np.abs(image - QUARTERS.astype(int))[4:12, 4:12].max() <= 12
    assert np.abs(image - QUARTERS.astype(int)).mean() <= 8


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime")]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert (channels_last(read_image(path, Form(8))) == (255, 0, 0)).all()


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.webp"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_laid_on_white(tmp_path, mode, name):
    if (mode, name) == ("LA", "a.webp"):
        mode = "RGBA"
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (16, 16, len(mode)), dtype=np.uint8)
    pixels[:4, :, -1], pixels[4:8, :, -1] = 0, 255
    path = saved(tmp_path, Image.fromarray(pixels, mode), name, **({"lossless": True} if "webp" in name else {}))
    color, alpha = pixels[..., :-1].astype(float), pixels[..., -1:].astype(float) / 255
    result = channels_last(read_image(path, Form(16)))
    assert np.abs(result - (color * alpha + 255 * (1 - alpha))).max() <= 1
    assert (result[:4] == 255).all()


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_a_transparent_palette_entry_is_white(tmp_path, name):
    image = Image.fromarray(np.arange(4, dtype=np.uint8).repeat(16).reshape(8, 8), "P")
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 150, 0, 0, 0, 90])
    result = channels_last(read_image(saved(tmp_path, image, name, transparency=1), Form(8)))
    expected = np.array([[10, 20, 30], [255, 255, 255], [0, 150, 0], [0, 0, 90]]).repeat(16, 0).reshape(8, 8, 3)
    assert np.array_equal(result, expected)


@pytest.mark.parametrize(("mode", "transparent"), [("L", 100), ("RGB", (100, 0, 0))])
def test_a_transparent_color_is_white(tmp_path, mode, transparent):
    image = Image.new(mode, (8, 8), 0)
    image.paste(transparent, (0, 0, 8, 4))
    result = channels_last(read_image(saved(tmp_path, image, "a.png", transparency=transparent), Form(8)))
    assert (result[:4] == 255).all()
    assert (result[4:] == 0).all()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tiff"])
def test_grey_is_the_same_in_every_channel(tmp_path, name):
    values = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)
    result = channels_last(read_image(saved(tmp_path, Image.fromarray(values), name), Form(8)))
    assert np.abs(result - values[..., None].astype(int)).max() <= (4 if name == "a.jpg" else 0)


@pytest.mark.parametrize(("name", "dtype"), [("a.png", "<u2"), ("a.tiff", "<u2"), ("a.tiff", ">u2"), ("a.pgm", "<u2")])
def test_sixteen_bit_grey_keeps_its_shades(tmp_path, name, dtype):
    values = np.array([0, 255, 256, 4096, 32768, 40000, 65279, 65535], dtype=np.uint16)
    image = Image.fromarray(values.repeat(8).reshape(8, 8).astype(dtype))
    assert image.mode.startswith("I;16")
    result = channels_last(read_image(saved(tmp_path, image, name), Form(8)))
    expected = (values // 256).repeat(8).reshape(8, 8, 1).repeat(3, 2)
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff"])
def test_one_bit_is_black_and_white(tmp_path, name):
    bits = np.arange(64).reshape(8, 8) % 3 == 0
    result = channels_last(read_image(saved(tmp_path, Image.fromarray(bits), name), Form(8)))
    assert np.array_equal(result, 255 * bits[..., None].repeat(3, 2))


@pytest.mark.parametrize("name", ["a.jpg", "a.tiff"])
@pytest.mark.parametrize(
    ("ink", "color"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((255, 0, 0, 0), (0, 255, 255)),
    ],
)
def test_cmyk_is_turned_to_rgb(tmp_path, name, ink, color):
    result = channels_last(read_image(saved(tmp_path, Image.new("CMYK", (8, 8), ink), name), Form(8)))
    assert np.abs(result - np.array(color)).max() <= 3


TURNED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_pictures_stand_upright(tmp_path, orientation, name):
    upright = np.concatenate([QUARTERS, QUARTERS[:, :16] // 2], axis=1)[:, 4:44]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif, "lossless": True} if name == "a.webp" else {"exif": exif}
    stored = Image.fromarray(np.ascontiguousarray(TURNED[orientation](upright)))
    assert stored.size == ((40, 32) if orientation < 5 else (32, 40))
    result = channels_last(read_image(saved(tmp_path, stored, name, **options), Form(32)))
    difference = np.abs(result - upright[:, 4:36].astype(int))
    assert difference.mean() < 12 if name == "a.jpg" else difference.max() == 0


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_means_nothing_turns_nothing(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = read_image(saved(tmp_path, Image.fromarray(QUARTERS), "a.png", exif=exif), Form(32))
    assert np.array_equal(channels_last(result), QUARTERS)


@pytest.mark.parametrize("size", [20, 10, 40])
@pytest.mark.parametrize("tall", [False, True])
def test_the_center_square_is_cut(tmp_path, size, tall):
    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    pixels[:, :20, 0], pixels[:, 20:40, 1], pixels[:, 40:, 2] = 255, 255, 255
    if tall:
        pixels = pixels.swapaxes(0, 1)
    result = channels_last(read_image(saved(tmp_path, Image.fromarray(pixels), "a.png"), Form(size)))
    assert (result.argmax(2) == 1).all()
    blurred = 0 if size == 20 else size // 5
    inside = slice(blurred, size - blurred)
    assert (result[inside, inside] == (0, 255, 0)).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (7, 5), (100, 33)], ids=str)
@pytest.mark.parametrize("size", [4, 32])
def test_the_size_is_always_the_one_asked_for(tmp_path, shape, size):
    result = read_image(saved(tmp_path, Image.new("RGB", shape, "teal"), "a.png"), Form(size))
    assert result.shape == (3, size, size)
    assert (channels_last(result) == (0, 128, 128)).all()


def test_scaling_averages(tmp_path):
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    result = channels_last(read_image(saved(tmp_path, Image.fromarray(checks), "a.png"), Form(8)))
    assert np.abs(result - 127).max() <= 4


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_file_is_named(tmp_path, image_format, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    content = encoded(image_format, noise)
    error = assert_refused(written(tmp_path, "cut.jpg", content[: int(share * len(content))]))
    assert "data.on_error=skip" in error.message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.png", b""),
        ("text.jpg", b"these are words, not pixels\n"),
        ("page.png", b"<!DOCTYPE html><html>404</html>"),
        ("zeros.jpg", bytes(4096)),
    ],
)
def test_a_file_that_is_no_image_is_named(tmp_path, name, content):
    error = assert_refused(written(tmp_path, name, content))
    assert "is no image; remove it, or set data.on_error=skip" in error.message


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    assert_refused(tmp_path / "missing.png")
    assert_refused(tmp_path)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_a_file_that_would_fill_the_memory_is_named(tmp_path):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(99))) + png_chunk(b"IEND", b"")
    assert_refused(written(tmp_path, "bomb.png", bomb))


def tiff_directory(*entries: tuple[int, int, int, bytes]) -> bytes:
    packed = b"".join(struct.pack(">HHI4s", *entry) for entry in entries)
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + packed + bytes(4)


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize(
    "entry",
    [
        pytest.param((0x0128, 11, 1, struct.pack(">f", 1.5)), id="float unit"),
        pytest.param((0x0128, 2, 4, b"abc\0"), id="text unit"),
        pytest.param((0x0100, 7, 4, b"abcd"), id="bytes width"),
        pytest.param((0x0132, 12, 1, b"\0\0\0\x08"), id="number date"),
        pytest.param((0x011A, 5, 1, b"\0\0\xff\xff"), id="offset beyond"),
        pytest.param((0x9999, 99, 1, bytes(4)), id="unknown type"),
    ],
)
def test_broken_exif_beside_an_orientation_does_no_harm(tmp_path, entry):
    exif = b"Exif\0\0" + tiff_directory((0x0112, 3, 1, b"\0\3\0\0"), entry)
    path = written(tmp_path, "a.jpg", encoded("JPEG", exif=exif, quality=95, subsampling=0))
    try:
        result = channels_last(read_image(path, Form(32)))
    except InputError as error:
        assert str(path) in error.message  # noqa: PT017
    else:
        assert np.abs(result - QUARTERS[::-1, ::-1].astype(int)).mean() < 8


def tiff_with_offset_of_type(kind: int) -> bytes:
    sizes = [(tag, 4, 1, struct.pack(">I", value)) for tag, value in ((256, 8), (257, 8), (258, 8), (259, 1), (262, 1))]
    rest = [(tag, 4, 1, struct.pack(">I", value)) for tag, value in ((277, 1), (278, 8), (279, 64))]
    directory = tiff_directory(*sizes, (273, kind, 1 if kind in (4, 11) else 4, struct.pack(">I", 200)), *rest)
    return directory.ljust(200, b"\0") + bytes(range(64))


def test_the_handmade_tiff_is_sound(tmp_path):
    result = read_image(written(tmp_path, "a.tiff", tiff_with_offset_of_type(4)), Form(8))
    assert result[0].flatten().tolist() == list(range(64))


@pytest.mark.parametrize("kind", [2, 7, 11])
def test_a_tiff_whose_offset_is_no_number_is_named(tmp_path, kind):
    assert_refused(written(tmp_path, "a.tiff", tiff_with_offset_of_type(kind)))


@pytest.mark.skipif(not features.check("avif"), reason="needs Pillow with AVIF")
@pytest.mark.parametrize("damage", ["cut", "half written", "lost table"])
def test_a_damaged_avif_is_named(tmp_path, damage):
    content = encoded("AVIF")
    assert read_image(written(tmp_path, "whole.avif", content), Form(8)).shape == (3, 8, 8)
    payload = content.index(b"mdat") + 4
    content = {
        "cut": content[: payload + 4],
        "half written": content[:payload] + bytes(len(content) - payload),
        "lost table": content.replace(b"iloc", b"free"),
    }[damage]
    assert_refused(written(tmp_path, "a.avif", content))


@pytest.mark.parametrize("pixel_max", [None, "set"])
@pytest.mark.parametrize(
    ("name", "dtype", "white"),
    [
        *(("a.tiff", "f4", 1), ("a.tiff", "f4", 255), ("a.tiff", "f4", 65535)),
        *(("a.tiff", "i4", 255), ("a.tiff", "i4", 65535)),
        *(("a.png", "u2", 4095), ("a.png", "u2", 65535), ("a.tiff", "u2", 1023), ("a.tiff", "u2", 16383)),
    ],
)
def test_brightness_does_not_depend_on_the_depth(tmp_path, name, dtype, white, pixel_max):
    values = np.random.default_rng(0).random((64, 64)) * white
    path = saved(tmp_path, Image.fromarray(values.astype(dtype)), name)
    result = read_image(path, Form(64, None if pixel_max is None else white)).float()
    assert abs(result.mean().item() - 127.5) < 2
    assert np.abs(channels_last(result)[..., 0] - values * (255 / white)).max() <= 1.1


@pytest.mark.parametrize(
    ("dtype", "values", "words"),
    [
        ("i4", [-5, 3], "values from -5 to 3"),
        ("i4", [0, 70000], "values from 0 to 70000"),
        ("f4", [0, float("nan")], "values from nan"),
        ("u2", [0, 5000], "up to 5000, but 4095 is the value of white"),
        ("f4", [0, 0.5], "up to 0.5, but 4095 is the value of white"),
    ],
)
def test_values_that_would_come_out_wrong_are_refused(tmp_path, dtype, values, words):
    path = saved(tmp_path, Image.fromarray(np.array([values], dtype=dtype)), "a.tiff")
    with pytest.raises(InputError, match=words) as error:
        read_image(path, Form(8, 4095))
    assert str(path) in error.value.message


@pytest.mark.parametrize("mode", Image.MODES)
def test_white_and_black_are_so_in_every_mode(mode):
    level = {"I": 65535, "F": 1.0}.get(mode[0], 255)
    many = len(Image.new(mode, (1, 1)).getbands())
    values = {"CMYK": [(0, 0, 0, 0), (0, 0, 0, 255)], "YCbCr": [(255, 128, 128), (0, 128, 128)]}
    values |= {"LAB": [(255, 128, 128), (0, 128, 128)], "HSV": [(0, 0, 255), (0, 0, 0)]}
    black = (*[0] * (many - 1), 255) if mode in ("LA", "La", "PA", "RGBA", "RGBa") else (0,) * many
    white, black = values.get(mode, [(level,) * many, black])
    for color, expected in ((white, 255), (black, 0)):
        image = Image.new(mode, (2, 2))
        if mode in ("P", "PA"):
            image.putpalette([value for value in range(256) for _ in range(3)])
        image.paste(color if many > 1 else color[0], (0, 0, 2, 2))
        found = np.asarray(to_rgb(image, level if mode[0] in "IF" else None)).astype(int)
        assert found.shape == (2, 2, 3)
        assert np.abs(found - expected).max() <= 1


def test_a_damaged_jpeg_says_what_is_wrong(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    content = encoded("JPEG", noise)
    error = assert_refused(written(tmp_path, "cut.jpg", content[: len(content) // 2]))
    assert "truncated" in error.message
    assert "Orientation" not in error.message


def test_a_named_pipe_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "is no regular file" in assert_refused(tmp_path / "pipe.png").message


def halves(width: int = 40, height: int = 20) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), (240, 0, 0))
    image.paste((0, 0, 200), (width // 2, 0, width, height))
    return image


def test_a_stretched_image_is_there_to_its_edges(tmp_path):
    pixels = channels_last(read_image(saved(tmp_path, halves(), "a.png"), Form(8, resize="stretch")))
    assert pixels.shape == (8, 8, 3)
    assert (pixels[:, :2] == (240, 0, 0)).all()
    assert (pixels[:, 6:] == (0, 0, 200)).all()


def test_a_padded_image_lies_on_its_mean_color(tmp_path):
    pixels = channels_last(read_image(saved(tmp_path, halves(), "a.png"), Form(8, resize="pad")))
    assert (pixels[:2] == (120, 0, 100)).all()
    assert (pixels[-2:] == (120, 0, 100)).all()
    assert (pixels[2:6, :2] == (240, 0, 0)).all()
    assert (pixels[2:6, 6:] == (0, 0, 200)).all()


def test_a_rectangle_is_height_and_width(tmp_path):
    file = saved(tmp_path, halves(), "a.png")
    for resize in ("crop", "stretch", "pad"):  # which are one, as the image has the rectangle's shape
        pixels = channels_last(read_image(file, Form((8, 16), resize=resize)))
        assert pixels.shape == (8, 16, 3)
        assert (pixels[:, :6] == (240, 0, 0)).all()
        assert (pixels[:, 10:] == (0, 0, 200)).all()


def test_one_channel_is_luma(tmp_path):
    pixels = read_image(saved(tmp_path, Image.new("RGB", (8, 8), (255, 0, 0)), "a.png"), Form(4, channels=1))
    assert (tuple(pixels.shape), pixels.unique().tolist()) == ((1, 4, 4), [76])
    values = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    assert read_image(saved(tmp_path, values, "b.png"), Form(8, channels=1)).flatten().tolist() == [*range(64)]


def test_crops_are_taken_from_the_shape_of_the_result():
    assert Form((8, 16), resize="pad").shape(halves()).size == (40, 20)
    for resize in ("stretch", "pad"):
        whole = Form(8, resize=resize).shape(halves())
        assert whole.size == (40, 40)
        assert np.abs(np.subtract(Form(8).fit(whole), Form(8, resize=resize).fit(halves()), dtype=int)).mean() < 6
    assert Form((4, 400), resize="stretch").shape(Image.new("RGB", (1, 500))).size == (50000, 500)


def test_files_are_decoded_in_order_and_only_a_little_ahead():
    begun = []

    def decode(path: Path) -> str:
        begun.append(path)
        if path.name == "3":
            raise InputError("3: is no image")
        return path.name

    found = decode_ahead([Path(str(number)) for number in range(20)], decode, ahead=4, threads=2)
    assert next(found) == "0"
    assert len(begun) <= 5
    names = [str(result) for result in found]
    assert names == ["1", "2", "3: is no image", *map(str, range(4, 20))]
