from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from oponm.data import DatasetLT, DigitsLT
from oponm.data.noise import DISTRIBUTIONS, make_noise
from oponm.logging.sheet import AUGMENTED, NOISE, _images, data_sheet, sheet_figure


def digits(**options) -> DigitsLT:
    data = DigitsLT(imbalance_ratio=50, noise=partial(make_noise, **options))
    data.setup()
    return data


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("mode", ["replace", "append"])
def test_noise_images_are_shown_as_they_are(distribution, mode):
    images = _images(digits(distribution=distribution, mode=mode), label=0)
    assert images.shape == (1 + AUGMENTED + NOISE, 1, 8, 8)
    likeness = torch.corrcoef(images[[0, -2, -1]].flatten(1))
    assert (likeness[0, 1:].abs() < 0.5).all()
    assert not torch.equal(images[-1], images[-2])


def test_added_noise_is_shown_on_the_image():
    images = _images(digits(mode="add", std=[0.1]), label=0)
    likeness = torch.corrcoef(images[[0, -2, -1]].flatten(1))
    assert (likeness[0, 1:] > 0.9).all()
    assert not torch.equal(images[0], images[-1])
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.parametrize("mode", ["replace", "append", "add"])
def test_the_file_is_written_in_every_mode(mode, tmp_path):
    data_sheet(digits(mode=mode), tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000


class Named(list):
    """A dataset of black images."""

    def __init__(self, counts: dict[str, int], shape: tuple[int, int] = (8, 8)) -> None:
        pixels = np.zeros(shape, dtype=np.uint8)
        super().__init__((pixels, label) for label, count in enumerate(counts.values()) for _ in range(count))
        self.classes = list(counts)


LONG = "domestic long-haired cat of any color or age"
SETS = {
    "two": ({"normal": 9, "tumour": 3}, (8, 8), 0, "linear"),
    "long": ({LONG: 30, "$x$ & _": 1}, (8, 16), 0.5, "log"),
    "some": ({f"{LONG} {i}": 40 - i for i in range(38)}, (16, 8), 1, "log"),
    "many": ({f"{LONG} {i}": 60 - i for i in range(50)}, (8, 8), 0, "linear"),
}


@pytest.mark.parametrize("name", SETS)
def test_classes_are_named_within_the_figure(name):
    counts, shape, origin, scale = SETS[name]
    data = DatasetLT(Named(counts, shape), Named(counts, shape), image_size=shape)
    data.setup()
    figure = sheet_figure(data)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    bars, *images = figure.axes
    assert (bars.get_yscale(), bars.get_ylim()[0]) == (scale, origin)
    labels = [label for label in bars.get_xticklabels() if label.get_text()]
    assert len(labels) == (len(counts) if len(counts) <= 40 else 10)
    assert labels[0].get_text().replace("\n", " ") == next(iter(counts))
    boxes = [label.get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    boxes += [axes.yaxis.label.get_window_extent() for axes in [bars, *images] if axes.get_ylabel()]
    width, height = canvas.get_width_height()
    for box in boxes:
        assert box.x0 >= -1
        assert box.x1 <= width + 1
        assert box.y0 >= -1
        assert box.y1 <= height + 1
