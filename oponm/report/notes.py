"""Notes for readers of the tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oponm.errors import InputError
from oponm.longtail import THIRDS, shot_groups
from oponm.report.compare import Comparison
from oponm.report.group import Group, known
from oponm.report.published import published_difference, published_fifths, published_figures, remarks, sources_of
from oponm.report.settings import shots_of
from oponm.report.text import value_text

_TOLD = 3  # largest number of training splits whose counts are listed


def notes(groups: Sequence[Group], comparisons: Sequence[Comparison] = ()) -> list[str]:
    """The notes that readers of the tables need.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
        comparisons: comparisons with baselines, see :func:`~oponm.report.compare`.
    """
    repeats = "seeds and folds" if any(group.folds for group in groups) else "seeds"
    lines = [f"percent, mean ± standard error over {repeats}; seconds a run, those of reused phases included"]
    if any(group.folds for group in groups):
        lines.append(
            "folds: each of them was the test set of a run on the others, so that their training images overlap, and "
            "the standard error is rather too small"
        )
    if untested := [group.name for group in groups if not any(run["metrics"] for run in group.runs)]:
        lines.append(f"no test set, no test metrics: {', '.join(untested)}")
    lines += [*third_notes(groups), *shot_notes(groups)]
    if any(known(group.mean_and_error("worst_class")[0]) for group in groups):
        lines.append("worst class: the lowest accuracy of a class, of several runs the mean of each run's lowest")
    if sources := sources_of(map(published_figures, groups)):
        lines.append(f"{', '.join(sources)}: published top-1 accuracy")
    if any(map(published_fifths, groups)):
        lines.append(
            "head to tail: accuracy by fifths of the classes, most to fewest training images; published below ours"
        )
    lines += remarks(groups)
    if any(group.tuned_on_test for group in groups):
        lines.append("* the test set doubled as validation set (data.val=test): metrics of the best epoch are too high")
    if comparisons:
        lines.append(
            "differences in points, paired on equal seeds and split, with 95 % confidence intervals (t distribution); "
            f"p: paired t-test, adjusted by Holm's method over the {len(comparisons)} rows of a column; "
            "-: fewer than two pairs, or differences without spread"
        )
        if sources := sources_of(map(published_difference, comparisons)):
            lines.append(f"{', '.join(sources)} among the differences: published, in points of top-1 accuracy")
        if not any(group.folds for group in groups):
            lines.append("intervals and tests speak of other seeds, not of another draw of the training or test images")
    return lines


def shot_notes(groups: Sequence[Group]) -> list[str]:
    """Return notes on the thresholds of many, medium and few, and on the class counts that they apply to.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.

    Returns:
        A line for each pair of thresholds; runs without a known config have no line.

    Example:
        >>> settings = {"shots.many_over": 100, "shots.few_under": 20}
        >>> run = {"settings": settings, "class_counts": [500, 50, 5, 2]}
        >>> for line in shot_notes([Group("erm", [run])]):
        ...     print(line)
        many: classes with more than 100 training images, few: with fewer than 20, medium: the others, counted in the
        training set as drawn, without validation images (500 to 2 a class: 1 many, 1 medium, 2 few)
    """
    found: dict[tuple[str, str], dict[str, None]] = {}
    for run in (group.runs[0] for group in groups if group.runs):
        many, few = shots_of(run)
        if many is None and few is None:
            continue
        try:
            members = shot_groups(run["class_counts"], many, few)
        except InputError:
            continue
        many, few = 100 if many is None else many, 20 if few is None else few
        found.setdefault((value_text(many), value_text(few)), {})[_sizes(run, members)] = None
    return [
        f"many: classes with more than {many} training images, few: with fewer than {few}, medium: the others, counted "
        f"in the training set as drawn, without validation images{_told(list(splits))}"
        for (many, few), splits in found.items()
    ]


def third_notes(groups: Sequence[Group]) -> list[str]:
    """Return the note that defines head, middle and tail, if a run has metrics of them.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.

    Returns:
        A list with one line; empty if no run has these metrics.

    Example:
        >>> run = {"metrics": {"tail": 0.5}, "class_counts": [500, 50, 5, 2]}
        >>> for line in third_notes([Group("erm", [run])]):
        ...     print(line)
        head, middle, tail: thirds of the classes by their training images, from most to fewest (500 to 2 a class: 1
        head, 2 middle, 1 tail)
    """
    cut = [group.runs[0] for group in groups if set(THIRDS) & group.runs[0]["metrics"].keys()]
    if not cut:
        return []
    splits = list(dict.fromkeys(_sizes(run, shot_groups(run["class_counts"], None, None)) for run in cut))
    return [f"head, middle, tail: thirds of the classes by their training images, from most to fewest{_told(splits)}"]


def _sizes(run: dict[str, Any], members: dict[str, list[int]]) -> str:
    counts = run["class_counts"]
    sizes = ", ".join(f"{len(labels)} {name}" for name, labels in members.items())
    return f"{max(counts)} to {min(counts)} a class: {sizes}"


def _told(splits: Sequence[str]) -> str:
    return f" ({'; '.join(splits)})" if len(splits) <= _TOLD else ""
