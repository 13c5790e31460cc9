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
    "sampler": "method",
    "mixer": "noise",
}
_OF_CHOICES = ("name", "type", "choice")  # keys that other programs have for the choice in a group


def nearest_key(key: str) -> str | None:
    """Return the known key that is most similar to an unknown one; None if no key is similar.

    Args:
        key: the key as given, without ``+`` or ``~``.

    Example:
        >>> [nearest_key(key) for key in ("lr", "epochs", "optimizer.learning_rate", "noise.detla", "qqq")]
        ['optimizer.lr', 'trainer.max_epochs', 'optimizer.lr', 'noise.delta', None]
        >>> [nearest_key(key) for key in ("data.delta", "loss.name", "data.sampler")]
        ['noise.delta', 'loss', 'method']
    """
    known = [*groups(), *_keys(compose_choices({})[1])]
    group, _, last = key.rpartition(".")
    if last in _ELSEWHERE:
        return _ELSEWHERE[last]
    if last in _OF_CHOICES and group in groups():
        return group
    by_last = [path for path in known if path.rpartition(".")[2] == last]
    own = {path.rpartition(".")[2]: path for path in known if path.rpartition(".")[0] == group} if group else {}
    close = by_last or [own[name] for name in get_close_matches(last, own, n=1, cutoff=0.7)]
    close = close or ([] if group else get_close_matches(key, known, n=1, cutoff=0.7))
    if not close:
        names = get_close_matches(last, [path.rpartition(".")[2] for path in known], n=1, cutoff=0.75)
        close = [path for path in known if names and path.rpartition(".")[2] == names[0]]
    return min(close, key=lambda path: path.count("."), default=None)


def did_you_mean(key: str) -> str:
    """Return ``": did you mean KEY?"`` as the end of an error message, or an empty text if no key is similar.

    Args:
        key: the unknown key.

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
