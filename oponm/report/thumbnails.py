"""Small pictures of test images for a page: read from files, or from the data set, and kept within a budget."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from oponm.errors import InputError

_LEVELS = ((128, 80), (96, 75), (80, 65), (64, 50), (48, 40))  # longest side in pixels and quality, until all fit
_TINY = 48  # images up to this side keep their pixels
DIGITS, CIFAR = "oponm.data.DigitsLT", "oponm.data.CifarLT"


def pictures(run: Mapping[str, Any], kind: str, names: Sequence[str]) -> tuple[list[Image.Image | None], str]:
    """Read some test images of a run: at most 128 pixels wide and high, upright, in RGB.

    Args:
        run: content of its ``result.json``, with ``folder`` and ``settings``, see :func:`~oponm.report.collect_runs`.
        kind: what ``names`` are: ``"path"`` or ``"index"``.
        names: names of the images, as in ``test_predictions.csv``.

    Returns:
        An image for each name, None for one that cannot be read; and a text with the reason, empty if all were read.
    """
    if kind == "index":
        return _of_data_set(run.get("settings") or {}, names)
    root = image_root(run)
    with ThreadPoolExecutor() as threads:
        images = list(threads.map(lambda name: _read(root / name, run), names))
    missing = images.count(None)
    reason = f"{missing} of {len(names)} images cannot be read below {root}" if missing else ""
    return images, reason


def image_root(run: Mapping[str, Any]) -> Path:
    """Return the folder that the paths of a run's images are relative to.

    If the config names a relative path, it is searched for in the current folder, then in the parents of the run's
    folder.

    Args:
        run: content of its ``result.json``, with ``folder`` and ``settings``.
    """
    settings = run.get("settings") or {}
    table = settings.get("data.table")
    named = settings.get("data.root") or (Path(str(table)).parent if table else "")
    root = Path(str(named)).expanduser()
    above = [Path(), *Path(run["folder"]).resolve().parents]
    return next((folder / root for folder in above if (folder / root).is_dir()), root)


def _read(path: Path, run: Mapping[str, Any]) -> Image.Image | None:
    from oponm.data.decode import open_rgb

    try:
        image = open_rgb(path, run["settings"].get("data.pixel_max"))
    except InputError:
        return None
    image.thumbnail((_LEVELS[0][0],) * 2)
    return image


def _of_data_set(settings: Mapping[str, Any], names: Sequence[str]) -> tuple[list[Image.Image | None], str]:
    """The images of data sets whose images have indices; only those that can be read at once."""
    nothing: list[Image.Image | None] = [None] * len(names)
    try:
        wanted = np.array([int(name) for name in names])
        if settings.get("data._target_") == DIGITS:
            from oponm.data.sources.digits import read_digits

            pixels = (read_digits()[0][wanted] * (255 / 16)).round().astype(np.uint8)
        elif settings.get("data._target_") == CIFAR:
            pixels = _cifar(Path(str(settings["data.root"])).expanduser(), settings["data.num_classes"], wanted)
        else:
            return nothing, "the images of this data set have no paths, so that none is shown"
    except (InputError, OSError, KeyError, ValueError, IndexError) as error:
        return nothing, f"the images of this data set cannot be read ({' '.join(str(error).split())})"
    return [Image.fromarray(image) for image in pixels], ""


def _cifar(root: Path, num_classes: int, wanted: np.ndarray) -> np.ndarray:
    """Test images of CIFAR, (N, 32, 32, 3); nothing is downloaded or unpacked."""
    from oponm.data.sources.cifar import PUBLISHED, CifarLT

    folder = root / PUBLISHED[num_classes].base_folder
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}")
    source = CifarLT(root, num_classes, download=False, verify=False).load_source()
    assert source.test is not None
    return source.test.read(wanted).images.permute(0, 2, 3, 1).numpy()


def data_uris(images: Sequence[Image.Image | None], budget: int) -> list[str]:
    """Encode images for a page: as large and as good as the budget allows.

    Args:
        images: the images in order of importance; None for one that could not be read.
        budget: largest total number of characters of all data URIs.

    Returns:
        A data URI for each image; empty for None, and for the last ones if not even the smallest pictures fit.

    Example:
        >>> uris = data_uris([Image.new("RGB", (8, 8)), None], budget=1000)
        >>> uris[0][:22], uris[1]
        ('data:image/png;base64,', '')
    """
    uris: list[str] = []
    for side, quality in _LEVELS:
        uris = ["" if image is None else _encoded(image, side, quality) for image in images]
        if sum(map(len, uris)) <= budget:
            return uris
    spent = np.cumsum([len(uri) for uri in uris])
    return [uri if total <= budget else "" for uri, total in zip(uris, spent, strict=True)]


def _encoded(image: Image.Image, side: int, quality: int) -> str:
    file, tiny = io.BytesIO(), max(image.size) <= _TINY
    if tiny:
        image.save(file, "PNG", optimize=True)
    else:
        smaller = image.copy()
        smaller.thumbnail((side, side))
        smaller.save(file, "JPEG", quality=quality)
    return f"data:image/{'png' if tiny else 'jpeg'};base64,{base64.b64encode(file.getvalue()).decode()}"
