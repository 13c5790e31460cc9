from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from PIL import Image

from oponm.report import Group, recall_figure
from oponm.report.figure import _draw


def group(name: str = "erm", num_classes: int = 10, seeds: int = 1, names: list[str] | None = None, **changes) -> Group:
    rng = np.random.default_rng(len(name))
    run = {
        "class_counts": [max(1, int(500 / 2**label)) for label in range(num_classes)],
        "class_names": names or [str(label) for label in range(num_classes)],
        **changes,
    }
    return Group(name, [{"recall": rng.random(num_classes).tolist(), **run, "seed": s} for s in range(seeds)])


def drawn(path) -> np.ndarray:
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def draw(tmp_path, *groups: Group, name: str = "figure.png") -> np.ndarray:
    recall_figure(groups, tmp_path / name)
    pixels = drawn(tmp_path / name)
    assert min(pixels.shape[:2]) > 300
    return pixels


@pytest.mark.parametrize("num_classes", [2, 10, 20, 21, 25, 100])
@pytest.mark.parametrize("seeds", [1, 3])
def test_it_is_a_picture_for_any_number_of_classes(tmp_path, num_classes, seeds):
    pixels = draw(tmp_path, group(num_classes=num_classes, seeds=seeds))
    assert pixels.std() > 5


@pytest.mark.parametrize("number", [1, 4, 12])
def test_every_group_has_a_line_of_its_own(tmp_path, number):
    groups = [group(f"open delta={i}", num_classes=4) for i in range(number)]
    before = draw(tmp_path, *groups)
    groups[-1].runs[0]["recall"] = [0.5, 0.4, 0.3, 0.2]
    assert (draw(tmp_path, *groups) != before).any()


@pytest.mark.parametrize("length", [3, 12])
def test_names_of_classes_may_be_long(tmp_path, length):
    short = draw(tmp_path, group())
    long = draw(tmp_path, group(names=[f"{label}" * length for label in range(10)]))
    assert not np.array_equal(long, short)
    assert (long[:, 0] == 255).all()  # nothing is cut off at the left edge
    assert (long[-1] == 255).all()  # nor at the lower one


def test_classes_are_ordered_by_their_counts_not_their_labels(tmp_path):
    counts, recall, names = [5, 500, 50], [0.1, 0.9, 0.5], ["c", "a", "b"]
    order = [1, 2, 0]
    figures = []
    for arrangement in ([0, 1, 2], order):
        run = {
            "class_counts": [counts[i] for i in arrangement],
            "recall": [recall[i] for i in arrangement],
            "class_names": [names[i] for i in arrangement],
        }
        figures.append(draw(tmp_path, Group("erm", [run])))
    assert np.array_equal(*figures)


@pytest.mark.parametrize(
    "name", ["$_$", r"$\nowhere$", "US$ and CA$", "a_b^c", "{", "élan", "_hidden", "a" * 40], ids=ascii
)
def test_any_name_can_be_drawn(tmp_path, name):
    one, other = (
        draw(tmp_path, group(f"open x={shown}", num_classes=2, names=[shown, "other"], recall=[0.5, 0.4]))
        for shown in (name, "x" * len(name))
    )
    assert one.shape == other.shape
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    "changes", [{"class_counts": [499, *([1] * 9)]}, {"num_classes": 3}, {"names": list("abcdefghij")}], ids=str
)
def test_groups_on_other_classes_have_a_panel_of_their_own(tmp_path, changes):
    together = draw(tmp_path, group(), group("open"))
    apart = draw(tmp_path, group(), group("open", **changes))
    assert len(apart) == 2 * len(together)


def test_a_class_without_test_images_is_a_gap(tmp_path):
    one = group(seeds=2)
    before = draw(tmp_path, one)
    for run in one.runs:
        run["recall"][3] = None
    assert (draw(tmp_path, one) != before).any()


def test_names_of_many_groups_do_not_cover_the_lines(tmp_path):
    few, many = (draw(tmp_path, *(group(f"open {i}") for i in range(number))) for number in (6, 7))
    assert many[:, -150:].std() > 5  # the legend stands at the right
    assert few.shape == many.shape


@pytest.mark.parametrize("suffix", ["svg", "pdf"])
def test_other_formats_go_by_the_suffix(tmp_path, suffix):
    recall_figure([group()], tmp_path / f"figure.{suffix}")
    assert (tmp_path / f"figure.{suffix}").read_bytes()[:5] in (b"<?xml", b"%PDF-")


def test_no_backend_is_chosen_for_the_caller(tmp_path):
    import matplotlib
    import matplotlib.pyplot

    before = matplotlib.rcParams.copy(), matplotlib.pyplot.get_fignums()
    recall_figure([group()], tmp_path / "figure.png")
    assert (matplotlib.rcParams.copy(), matplotlib.pyplot.get_fignums()) == before


def axes(*groups: Group) -> Any:
    from matplotlib.figure import Figure

    figure = Figure()
    _draw(figure.add_subplot(), groups)
    return figure.axes[0]


def test_points_stand_alone_on_an_axis_from_zero():
    drawn = axes(group(seeds=3), group("open"))
    assert drawn.get_ylim()[0] == 0
    assert drawn.get_ylim()[1] >= 100
    points = [line for line in drawn.lines if len(line.get_xdata()) == 10]
    assert len(points) == 2
    assert {line.get_linestyle() for line in points} == {"None"}
    assert {line.get_marker() for line in points} == {"o", "s"}


def test_points_of_many_groups_stay_with_their_class():
    drawn = axes(*(group(f"open {number}") for number in range(12)))
    places = [line.get_xdata() for line in drawn.lines if len(line.get_xdata()) == 10]
    assert max(abs(place - round(place)) for own in places for place in own) < 0.5


@pytest.mark.parametrize("name", ["x" * 300, "ضفدع " * 30, "犬", "<b>&amp;</b>\n"], ids=ascii)
def test_any_name_leaves_room_for_the_figure(tmp_path, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module="pyparsing|matplotlib", category=DeprecationWarning)  # of each other
        draw(tmp_path, group(names=[name, *"bcdefghij"]))
