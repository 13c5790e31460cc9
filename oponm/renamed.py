"""Old names of settings, arguments and targets with their current names; old names are refused with the new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from oponm.errors import InputError

SETTINGS = {  # by full key
    "data.mixer": "noise",
    "data.augmentation": "augmentation",
    "data.mixing": "mixing",
    "data.seed": "seed",
}
ARGUMENTS = {"mixer": "noise"}  # arguments of data modules
TARGETS = {"oponm.data.mixers.make_mixer": "oponm.data.noise.make_noise"}  # values of _target_ in settings


def old_names(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Find old names in a config; yields the full key of each, and its current name.

    Args:
        config: the run's config, as plain values.
        prefix: full key of the group that ``config`` is.

    Example:
        >>> list(old_names({"noise": {"_target_": "oponm.data.mixers.make_mixer"}, "data": {"mixer": None}}))
        [('noise._target_', 'oponm.data.noise.make_noise'), ('data.mixer', 'noise')]
    """
    for key, value in config.items():
        path = f"{prefix}{key}"
        if path in SETTINGS:
            yield path, SETTINGS[path]
        elif key == "_target_" and value in TARGETS:
            yield path, TARGETS[value]
        elif isinstance(value, Mapping):
            yield from old_names(value, f"{path}.")


def refuse_arguments(given: Mapping[str, Any], function: str) -> None:
    """Refuse unknown arguments of a function, as Python does, and old names with their current names.

    Args:
        given: arguments by name.
        function: name of the function.

    Raises:
        InputError: for an old name.
        TypeError: for any other.

    Example:
        >>> refuse_arguments({"mixer": None}, "DigitsLT")
        Traceback (most recent call last):
        oponm.errors.InputError: mixer is now noise
    """
    for name in given:
        if name in ARGUMENTS:
            raise InputError(f"is now {ARGUMENTS[name]}", name)
        raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


def with_new_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """Replace old names in the config of an earlier run by the current ones.

    An old key is removed if the current key is there too and has the same value. With another value the old key stays,
    and :func:`old_names` finds it later.

    Args:
        config: the run's config, as plain values, resolved.

    Example:
        >>> with_new_names({"seed": 1, "data": {"seed": 1, "val": "none"}})
        {'seed': 1, 'data': {'val': 'none'}}
    """
    repeated = {key for key, new in SETTINGS.items() if new in config}
    return _renamed({**config}, {key: config[SETTINGS[key]] for key in repeated}, "")


def _renamed(config: dict[str, Any], repeated: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        path = f"{prefix}{key}"
        if path in repeated and value == repeated[path]:
            continue
        if isinstance(value, Mapping):
            value = _renamed({**value}, repeated, f"{path}.")
        found[key] = TARGETS.get(value, value) if key == "_target_" and isinstance(value, str) else value
    return found
