"""Guesses the setting that a mistyped key means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from oponm.configs import compose_choices, groups

# Names that other programs use, and that resemble several settings here.
_ELSEWHERE = {
    "epochs": "trainer.max_epochs",
    "num_epochs": "trainer.max_epochs",
    "learning_rate": "optimizer.lr",
    "wd": "optimizer.weight_decay",
    "gpus": "trainer.devices",
    "workers": "data.num_workers",
    "output": "output_dir",
}


def nearest_key(key: str) -> str | None:
    """The known key most similar to an unknown one.

    Args:
        key: the key as given, without ``+`` or ``~``.

    Example:
        >>> [nearest_key(key) for key in ("lr", "epochs", "optimizer.learning_rate", "noise.detla", "qqq")]
        ['optimizer.lr', 'trainer.max_epochs', 'optimizer.lr', 'noise.delta', None]
    """
    known = [*groups(), *_keys(compose_choices({})[1])]
    group, _, last = key.rpartition(".")
    if last in _ELSEWHERE:
        return _ELSEWHERE[last]
    by_last = [path for path in known if path.rpartition(".")[2] == last]
    own = [path for path in known if path.rpartition(".")[0] == group] if group else known
    close = get_close_matches(key, own, n=1, cutoff=0.7) or by_last
    if not close:
        names = get_close_matches(last, [path.rpartition(".")[2] for path in known], n=1, cutoff=0.75)
        close = [path for path in known if names and path.rpartition(".")[2] == names[0]]
    return min(close, key=lambda path: path.count("."), default=None)


def did_you_mean(key: str) -> str:
    """A question that ends a message; empty if no key is similar.

    Example:
        >>> did_you_mean("lr")
        ': did you mean optimizer.lr?'
    """
    found = nearest_key(key)
    return f": did you mean {found}?" if found and found != key else ""


def _keys(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")
