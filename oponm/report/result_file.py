"""Checks that the content of a ``result.json`` is a training run's: other programs' files may hold anything."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from oponm.metrics.confusion import CONFUSION_FILE


def check_result(content: Any) -> list[str]:
    """Check the values that tables and plots need; values that cannot be drawn are removed.

    Args:
        content: content of a ``result.json``. Parts that only plots need (``confusion_matrix``, ``noise_histogram``,
            ``precision``, ``test_counts``, ``phases``) are removed if their shape is wrong.

    Returns:
        One line for each part removed.

    Raises:
        ValueError: naming the first required key that is missing or wrong.

    Example:
        >>> check_result({"metrics": {"accuracy": 0.5}})
        Traceback (most recent call last):
        ValueError: no result of a training run: recall is missing
    """
    if not isinstance(content, dict):
        raise ValueError("no result of a training run")
    for key, fits in _NEEDED.items():
        if content.get(key) is None:
            raise ValueError(f"no result of a training run: {key} is missing")
        if not fits(content[key]):
            raise ValueError(f"{key} is not what a training run writes")
    classes = len(content["class_counts"])
    if not classes == len(content["recall"]) == len(content["class_names"]) > 0:
        raise ValueError("recall, class_counts and class_names differ in length")
    for key, fits in _OPTIONAL.items():
        if content.get(key) is not None and not fits(content[key]):
            raise ValueError(f"{key} is not what a training run writes")
    odd = [key for key, fits in _DRAWN.items() if content.get(key) is not None and not fits(content[key], classes)]
    for key in odd:
        del content[key]
    return [f"{key} is not what a training run writes, and is not drawn" for key in odd]


def _number(value: Any) -> bool:
    """A real number or NaN."""
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isinf(float(value))


def _share(value: Any) -> bool:
    """Whether a value is in [0, 1], or None or NaN, as for a class without test images."""
    return value is None or (_number(value) and not (value < 0 or value > 1))


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_number, value.values()))


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _amounts(value: Any, *shape: int) -> bool:
    """Whether a value is nested lists of that shape with numbers of at least 0."""
    try:
        amounts = np.array(value)
    except ValueError:  # lists of different lengths
        return False
    return amounts.shape == shape and amounts.dtype.kind in "iuf" and bool(np.all((amounts >= 0) & (amounts < np.inf)))


_NEEDED = {
    "metrics": _numbers,
    "recall": lambda value: isinstance(value, list) and all(map(_share, value)),
    "class_counts": lambda value: isinstance(value, list) and all(map(_count, value)),
    "class_names": _strings,
    "choices": lambda value: isinstance(value, dict),
    "overrides": _strings,
    "seed": _count,
    "train_seconds": _number,
}
_OPTIONAL = {
    "cross_validation": lambda value: (
        isinstance(value, dict)
        and isinstance(value.get("digest"), str)
        and all(_count(value.get(key)) for key in ("folds", "fold"))
    ),
    "reused": lambda value: isinstance(value, dict) and _number(value.get("seconds", 0)),
}
_DRAWN = {
    # Older versions wrote the matrix itself.
    "confusion_matrix": lambda value, classes: value == CONFUSION_FILE or _amounts(value, classes, classes),
    "noise_histogram": _amounts,
    "precision": lambda value, classes: isinstance(value, list) and len(value) == classes and all(map(_share, value)),
    "test_counts": lambda value, classes: (
        isinstance(value, list) and len(value) in (0, classes) and all(map(_count, value))
    ),
    "phases": lambda value, _: (
        isinstance(value, list)
        and all(isinstance(item, dict) and _count(item.get("start")) and "name" in item for item in value)
    ),
}
