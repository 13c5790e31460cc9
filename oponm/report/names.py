"""Names of groups: the method, and what tells it apart from the others of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oponm.report.settings import apart, run_name, setting_lines, settings_of, split_override
from oponm.report.text import printable, value_text

Run = dict[str, Any]
_NAMING = ("method", "experiment")  # are in the name already


def group_names(groups: Sequence[Sequence[Run]]) -> list[str]:
    """A name for each group of runs: its experiment or method, and what else was chosen for it and not for all.

    Choices that make no difference between the groups are left out. Where names would be the same, the settings that
    differ are added to them; where these are the same, the splits to all names, and what was tested or validated on.

    Args:
        groups: runs of one setting each, see :func:`~oponm.report.settings.setting_key`.

    Returns:
        As many names, each one of a kind.

    Example:
        >>> runs = [{"choices": {"method": "open"}, "overrides": said} for said in ([], ["norm=aux", "seed=1"])]
        >>> group_names([[run] for run in runs])
        ['open', 'open norm=aux']
    """
    folders = {run_name(runs[0]).rpartition("/")[0] for runs in groups}
    labels = [run_name(runs[0]) for runs in groups]
    if len(folders) == 1:  # which all experiments share
        labels = [label.rpartition("/")[2] for label in labels]
    said = [_said(runs) for runs in groups]
    idle = {override for override in set().union(*said) if _makes_no_difference(override, groups, said)}
    names = [" ".join([label, *sorted(map(printable, own - idle))]) for label, own in zip(labels, said, strict=True)]
    names = _told_apart(names, groups)
    for more in (_split, _test, _test_images, _val_images):
        longer = [f"{name} {more(runs[0])}" for name, runs in zip(names, groups, strict=True)]
        if len(set(names)) < len(set(longer)):
            names = longer
    return names


def _said(runs: Sequence[Run]) -> set[str]:
    """The overrides that all runs of a group have and that bear on the result, but those that name it."""
    said = set.intersection(*({override.lstrip("+") for override in run["overrides"]} for run in runs))
    keys = {override: split_override(override)[0] for override in said}
    return {override for override, key in keys.items() if not apart(key) and key not in _NAMING}


def _makes_no_difference(override: str, groups: Sequence[Sequence[Run]], said: Sequence[set[str]]) -> bool:
    """Whether all groups have it, or have the settings that it makes, or the same choice by default."""
    if all(override in own for own in said):
        return True
    key, value = split_override(override)
    first = [runs[0] for runs in groups]
    if all(run["choices"].get(key) == value for run in first):
        return True
    made = [
        tuple((name, value_text(found)) for name, found in sorted(settings_of(run).items()) if _below(name, key))
        for run in first
    ]
    return any(made) and len(set(made)) == 1


def _below(name: str, key: str) -> bool:
    return name == key or name.startswith(f"{key}.")


def _split(run: Run) -> str:
    return f"split {printable(str(run.get('content_digest') or run.get('split_digest') or ''))[:8]}"


def _test(run: Run) -> str:
    return f"tested on {sum(run.get('test_counts') or [])} images"


def _test_images(run: Run) -> str:
    return f"test images {_start(run.get('test_digest'))}"


def _val_images(run: Run) -> str:
    return f"validation images {_start(run.get('val_digest'))}"


def _start(digest: object) -> str:
    return printable(str(digest or "unknown"))[:8]


def _told_apart(names: Sequence[str], groups: Sequence[Sequence[Run]]) -> list[str]:
    """Names, and after those that several groups have the settings in which these differ."""
    lines = [setting_lines(runs[0]) for runs in groups]
    told = []
    for name, own in zip(names, lines, strict=True):
        shared = set.intersection(*(set(other) for other, named in zip(lines, names, strict=True) if named == name))
        told.append(" ".join([name, *(line for line in own if line not in shared and line not in name.split())]))
    return told
