"""Describes objects by the settings that would make them, for the ``config.yaml`` of a run that a program starts.

A description has the form of a config file: ``{"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.1}``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from oponm.configs import choice_settings, groups


def public_name(thing: Callable[..., Any]) -> str:
    """Return the shortest full name by which a class or function can be imported.

    Example:
        >>> from oponm.losses import Focal
        >>> public_name(Focal)
        'oponm.losses.Focal'
    """
    module, name = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", type(thing).__qualname__)
    parts = module.split(".")
    for length in range(1, len(parts)):
        package = ".".join(parts[:length])
        if getattr(sys.modules.get(package), name, None) is thing:
            return f"{package}.{name}"
    return f"{module}.{name}"


def as_settings(thing: Any) -> Any:
    """Describe an object by plain values, as a config file would.

    Args:
        thing: a plain value, a class, a function, a ``functools.partial`` of one, or a collection of these. Any other
            object is described by the name of its class.

    Example:
        >>> import torch
        >>> as_settings(partial(torch.optim.SGD, lr=0.1))
        {'_target_': 'torch.optim.SGD', '_partial_': True, 'lr': 0.1}
    """
    if thing is None or isinstance(thing, (bool, int, float, str)):
        return thing
    if isinstance(thing, Path):
        return str(thing)
    if isinstance(thing, timedelta):
        return {"_target_": "datetime.timedelta", "seconds": thing.total_seconds()}
    if isinstance(thing, (Tensor, np.ndarray)):
        return thing.tolist()
    if isinstance(thing, Mapping):
        return {str(key): as_settings(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [as_settings(value) for value in thing]
    if isinstance(thing, partial):
        positional = {"_args_": as_settings(thing.args)} if thing.args else {}
        keywords = {key: as_settings(value) for key, value in thing.keywords.items()}
        return {"_target_": public_name(thing.func), "_partial_": True, **positional, **keywords}
    if isinstance(thing, nn.Module) or not callable(thing):
        return {"_target_": public_name(type(thing))}
    return {"_target_": public_name(thing), "_partial_": True}


def nearest_choice(group: str, node: Mapping[str, Any]) -> str | None:
    """Return the choice of a config group whose ``_target_`` is that of an object and whose settings differ least.

    Settings without ``_target_``, such as those of a method, match a choice only if they are equal. None if no choice
    matches.

    Args:
        group: name of the config group.
        node: settings of the object, as :func:`as_settings` returns them.

    Example:
        >>> nearest_choice("optimizer", {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.01})
        'adam'
    """
    found = {choice: choice_settings(group, choice) for choice in groups()[group]}
    if "_target_" not in node:
        return next((choice for choice, other in found.items() if other == node), None)
    same = {choice: other for choice, other in found.items() if other.get("_target_") == node["_target_"]}
    return min(same, key=lambda choice: len(_apart(complete(node, same[choice]), same[choice])), default=None)


def complete(node: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Add to an object's settings the defaults in the signature of its ``_target_``, for keys that ``other`` has.

    Args:
        node: settings of the object, as :func:`as_settings` returns them; not changed.
        other: settings whose keys are compared later, such as those of a config file.

    Example:
        >>> complete({"_target_": "oponm.losses.Focal", "_partial_": True}, {"gamma": 2.0, "unknown": 1})
        {'_target_': 'oponm.losses.Focal', '_partial_': True, 'gamma': 2.0}
    """
    completed = dict(node)
    module, _, name = str(node.get("_target_", "")).rpartition(".")
    if function := getattr(sys.modules.get(module), name, None):
        parameters = inspect.signature(function).parameters
        for key in other:
            if key not in completed and key in parameters and parameters[key].default is not inspect.Parameter.empty:
                completed[key] = as_settings(parameters[key].default)
    return completed


def overrides(settings: Mapping[str, Any], base: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the overrides, in the command line's grammar, that turn the settings ``base`` into ``settings``.

    Args:
        settings: the new settings, as nested dicts of plain values.
        base: the settings to start from.
        prefix: full key of the group that both are, with a dot at the end; empty for a whole config.

    Example:
        >>> overrides({"optimizer": {"lr": 0.1, "nesterov": True}}, {"optimizer": {"lr": 0.2, "momentum": 0.9}})
        ['optimizer.lr=0.1', '~optimizer.momentum', '+optimizer.nesterov=true']
    """
    lines: list[str] = []
    for key in sorted(settings.keys() | base.keys()):
        new, old, path = settings.get(key), base.get(key), f"{prefix}{key}"
        if key not in settings:
            lines.append(f"~{path}")
        elif key not in base:
            lines.append(f"+{path}={_word(new)}")
        elif isinstance(new, Mapping) and isinstance(old, Mapping):
            lines += overrides(new, old, f"{path}.")
        elif new != old:
            lines.append(f"{path}={_word(new)}")
    return lines


def _apart(node: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [key for key in node.keys() | other.keys() if node.get(key) != other.get(key)]


def _word(value: Any) -> str:
    """Write a value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_word(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_word, value)) + "]"
    if isinstance(value, str) and not value.replace("_", "").replace(".", "").isalnum():
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return str(value)
