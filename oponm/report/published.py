"""Published results for the same runs, from the table ``results/published.csv``.

Each row of the table is one published result. Its ``figure`` says what its ``value`` is: the top-1 ``accuracy`` in
percent; accuracies by ``fifths`` of the classes; or the ``lead``, the difference to the method in the column ``minus``
in percentage points, as one number or as minimum and maximum. ``source`` is who published it, ``note`` is for readers.
Every other column is a config group or key, named as on the command line; an empty cell matches every run.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from oponm.errors import InputError
from oponm.report.compare import Comparison
from oponm.report.group import Group
from oponm.report.settings import settings_of
from oponm.report.text import printable, value_text

FIFTHS = ("head", "2.", "3.", "4.", "tail")
_PACKAGE = Path(__file__).resolve().parents[1]
# In a checkout the file is beside the package, in a wheel inside it.
_FILES = (_PACKAGE / "published.csv", _PACKAGE.parent / "results/published.csv")
FILE = next(file for file in _FILES if file.is_file())
_OF_FIGURES = ("source", "figure", "value", "minus", "note")
_EPOCHS = 200  # of the published runs on CIFAR-LT
_CLOSE = 1e-3  # numbers this close are equal: thirds and sixths are rounded in the table


@cache
def published_lines(file: Path) -> list[dict[str, str]]:
    """Read the rows of the table.

    Args:
        file: file of the table.

    Raises:
        InputError: for a value that is no number.

    Example:
        >>> sorted({line["source"] for line in published_lines(FILE)})
        ['authors', 'bag_of_tricks', 'mislas', 'paper', 'reproduction']
    """
    with file.open(encoding="utf-8", newline="") as rows:
        lines = list(csv.DictReader(rows))
    for number, line in enumerate(lines, start=2):
        try:
            numbers = [float(value) for value in str(line["value"]).split()]
        except ValueError:
            numbers = []
        if not numbers:
            raise InputError(f"{file}, line {number}: value must be numbers, got {line['value']!r}")
    return lines


def published_of(run: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the rows of the table that match a run.

    Args:
        run: content of its ``result.json``, with ``settings`` where they are known.

    Example:
        >>> published_of({"choices": {"method": "open", "data": "digits_lt"}, "overrides": []})
        []
    """
    return [line for line in published_lines(FILE) if _is_of(line, run)]


def published_figures(group: Group) -> dict[str, float]:
    """Published top-1 accuracy for a group's config, in percent, by source."""
    return {line["source"]: float(line["value"]) for line in _lines(group, "accuracy")}


def sources_of(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the sources that have published a result, in order of appearance.

    Args:
        found: published results of several groups or comparisons, each a dict by source.

    Example:
        >>> sources_of([{"paper": 71.0}, {"authors": 70.0, "paper": 60.0}])
        ['paper', 'authors']
    """
    return list(dict.fromkeys(source for each in found for source in each))


def published_difference(comparison: Comparison) -> dict[str, tuple[float, float]]:
    """Return published differences between a group and its baseline, in percentage points.

    If a source states the difference to this baseline itself, it is taken. Otherwise it is the difference of the two
    accuracies of a source that has published both.

    Args:
        comparison: a comparison, see :func:`~oponm.report.compare`.

    Returns:
        A dict from source to (minimum, maximum), which are equal if one number was published.
    """
    ours, others = published_figures(comparison.group), published_figures(comparison.baseline)
    found = {source: (apart := round(ours[source] - others[source], 6), apart) for source in ours if source in others}
    for line in _lines(comparison.group, "lead"):
        if line["minus"] == comparison.baseline.method:
            bounds = [float(bound) for bound in line["value"].split()]
            found[line["source"]] = (bounds[0], bounds[-1])
    return found


def lead(bounds: tuple[float, float] | None) -> str:
    """Format a published difference, as precisely as it was stated.

    Args:
        bounds: minimum and maximum; None if nothing was published.

    Example:
        >>> lead((3.0, 4.0)), lead((1.6, 1.6)), lead((-0.5, -0.5)), lead(None)
        ('+3 to +4', '+1.6', '-0.5', '-')
    """
    if bounds is None:
        return "-"
    return " to ".join(dict.fromkeys(f"{round(bound, 1):+g}" for bound in bounds))


def published_fifths(group: Group) -> dict[str, list[float]]:
    """Published accuracy of each fifth of the classes, head to tail, in percent, by source."""
    return {line["source"]: [float(value) for value in line["value"].split()] for line in _lines(group, "fifths")}


def remarks(groups: Sequence[Group]) -> list[str]:
    """Return the notes on published results: one line per note, with the names of all groups that it applies to.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
    """
    by_note: dict[str, list[str]] = {}
    for group in groups:
        if note := remark(group):
            by_note.setdefault(note, []).append(group.name)
    lines = [f"{', '.join(names)}: {note}" for note, names in by_note.items()]
    short = [group for group in groups if published_figures(group) and _shortened(group)]
    if short:
        names = ", ".join(f"{group.name} {_shortened(group)}" for group in short)
        lines.append(f"published results are of {_EPOCHS} epochs; these runs have fewer: {names}")
    return lines


def _shortened(group: Group) -> int:
    """The epochs of a group's runs if they are fewer than the published ones, else 0."""
    epochs = settings_of(group.runs[0]).get("trainer.max_epochs")
    return epochs if isinstance(epochs, int) and epochs < _EPOCHS else 0


def remark(group: Group) -> str:
    """The note on a group's published results."""
    return printable("; ".join(dict.fromkeys(line["note"] for line in published_of(group.runs[0]) if line["note"])))


def _lines(group: Group, figure: str) -> list[dict[str, str]]:
    return [line for line in published_of(group.runs[0]) if line["figure"] == figure]


def _is_of(line: Mapping[str, str], run: Mapping[str, Any]) -> bool:
    """Whether a run matches all choices and settings of a line."""
    asked = {key: value for key, value in line.items() if value and key not in _OF_FIGURES}
    if any("." not in key and run.get("choices", {}).get(key) != value for key, value in asked.items()):
        return False
    settings = settings_of(run)
    return all(_same(value_text(settings.get(key)), value) for key, value in asked.items() if "." in key)


def _same(found: str, asked: str) -> bool:
    try:
        return abs(float(found) - float(asked)) < _CLOSE
    except ValueError:
        return found == asked
