from __future__ import annotations

import numpy as np
import pytest
import torch

from oponm.logging.figures import accuracy_figure, confusion_figure, counts_figure, noise_figure, pixels
from oponm.logging.layers import LayerStatistics, layer_rows, layers_figure
from oponm.longtail import head_to_tail

COUNTS = [5, 500, 50]
NAMES = ["owl", "cat", "dog"]


def names_of(axes, which: str) -> list[str]:
    return [text.get_text() for text in getattr(axes, f"get_{which}ticklabels")()]


@pytest.mark.parametrize("number", [2, 10, 31, 100, 1000])
def test_any_number_of_classes_can_be_drawn(number):
    names = [f"$class_{label}" for label in range(number)]
    counts = [max(1, 500 // (label + 1)) for label in range(number)]
    figures = [
        counts_figure(names, counts),
        accuracy_figure(names, counts, [0.5, None] * (number // 2) + [0.1] * (number % 2)),
        confusion_figure(names, counts, np.eye(number, dtype=int).tolist()),
        noise_figure(names, counts, counts),
    ]
    for figure in figures:
        picture = pixels(figure)
        assert min(picture.shape[:2]) > 300
        assert picture.std() > 5
        assert len(names_of(figure.axes[0], "x")) <= 30


def test_the_curve_falls_from_head_to_tail():
    axes = counts_figure(NAMES, COUNTS).axes[0]
    assert axes.lines[0].get_ydata().tolist() == [500, 50, 5]
    assert names_of(axes, "x") == ["cat", "dog", "owl"]
    assert "555 images, imbalance ratio 100" in axes.get_title(loc="left")


def test_bars_stand_for_their_classes_and_a_class_without_test_images_has_none():
    axes = accuracy_figure(NAMES, COUNTS, [0.25, 0.75, None]).axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    assert [heights[0], heights[2]] == [75, 25]
    assert np.isnan(heights[1])
    assert names_of(axes, "x") == ["cat\n500", "dog\n50", "owl\n5"]
    assert "50.0 %" in axes.get_title(loc="left")


def test_the_confusion_matrix_is_in_percent_of_the_true_class():
    axes = confusion_figure(NAMES, COUNTS, [[1, 3, 0], [0, 8, 2], [0, 0, 0]]).axes[0]
    assert axes.images[0].get_array().tolist() == [[80, 20, 0], [0, 0, 0], [75, 0, 25]]
    assert names_of(axes, "y") == ["cat", "dog", "owl"]


def test_layers_are_drawn_from_the_input_down():
    layers = [
        LayerStatistics(f"norm{n}", torch.tensor([[0.0] * 3, [float(n)] * 3]), torch.full((2, 3), 4.0)) for n in (1, 2)
    ]
    figure = layers_figure(layers)
    left = figure.axes[0]
    assert names_of(left, "y") == ["norm1", "norm2"]
    assert left.yaxis_inverted()
    assert list(left.lines[0].get_xdata()) == [0.5, 1.0]
    assert pixels(figure).std() > 5
    assert [row[-2:] for row in layer_rows(layers)] == [[0.5, 0.0], [1.0, 0.0]]


def test_a_deep_network_keeps_its_figure_legible():
    layers = [LayerStatistics(f"layer{n}.norm", torch.zeros(2, 3), torch.ones(2, 3)) for n in range(160)]
    figure = layers_figure(layers)
    assert len(names_of(figure.axes[0], "y")) <= 50
    assert figure.get_figheight() <= 14


def test_answers_to_noise_are_shares_of_all_noise_images():
    axes = noise_figure(NAMES, COUNTS, [20, 20, 160]).axes[0]
    assert sorted(bar.get_height() for bar in axes.patches) == pytest.approx([10, 10, 80])
    assert axes.patches[head_to_tail(COUNTS).index(2)].get_height() == pytest.approx(80)
    assert "200 pure noise images" in axes.get_title(loc="left")
    assert pixels(noise_figure(NAMES, COUNTS, [0, 0, 0])).std() > 1
