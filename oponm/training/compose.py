"""Composes the config of a run that a program describes by names of choices and by objects."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from oponm.configs import compose_choices, groups
from oponm.data import LongTailDataModule
from oponm.data.noise import make_noise
from oponm.data.options import DataOptions, FileOptions
from oponm.data.sources.own_files import OwnFilesLT
from oponm.data.statistics import Statistics
from oponm.errors import InputError, check_choice
from oponm.models.build import HEAD_KEYS
from oponm.training.parameter_groups import GROUP_KEYS
from oponm.training.phases import Phase
from oponm.training.settings import as_settings, complete, nearest_choice, overrides, public_name

log = logging.getLogger(__name__)
_APART = ("augmentation", "noise", "mixing", "seed")  # arguments of data modules that have config groups of their own
_LIBRARIES = ("timm", "torchvision")  # their networks are named after a slash
_OWN_IMAGES = "image_folder"  # the choice whose settings are the defaults for data without a config file


class Composed(NamedTuple):
    """A run that a program describes, as the config and the overrides of ``oponm train``.

    Attributes:
        config: the run's config.
        choices: dict from config group to choice, or to a label of the object that replaces it.
        overrides: overrides that turn the command line's defaults into this config, as ``key=value``.
        given: dict from config group to the object that replaces it.
    """

    config: DictConfig
    choices: dict[str, str]
    overrides: list[str]
    given: dict[str, Any]


def compose_run(
    data: LongTailDataModule, chosen: Mapping[str, Any], seed: int, settings: Mapping[str, Mapping[str, Any]]
) -> Composed:
    """Complete names of choices and objects with the command line's defaults.

    Args:
        data: the data module. Settings that the config file of its data set makes in other groups apply too.
        chosen: dict from config group to the name of a choice, an object that replaces it, or None for the default.
        seed: seed of the run.
        settings: dict from config group to the values to set, by key. None keeps the default, except in ``shots``,
            where None is a value of its own.

    Raises:
        InputError: for an unknown name.
    """
    for group, values in settings.items():
        if not isinstance(values, Mapping):
            raise InputError(f"must be a dict of settings, got {values!r}", group)
    chosen, (default, _) = dict(chosen), compose_choices({})
    check_choice("norm", chosen["norm"], groups()["norm"])
    if isinstance(network := chosen.get("model"), str) and "/" in network:
        library, _, name = network.partition("/")
        chosen["model"] = check_choice("model", library, _LIBRARIES)
        settings = {**settings, "model": {**settings.get("model", {}), "name": name}}
    parts = {"noise": data.make_noise, "augmentation": data.make_augmentation, "mixing": data.make_mixing}
    if data.make_noise is make_noise:
        del parts["noise"]
    chosen = {**parts, **{group: choice for group, choice in chosen.items() if choice is not None}}
    given = {group: choice for group, choice in chosen.items() if not isinstance(choice, str)}
    for group, thing in given.items():
        listed = group == "method" and isinstance(thing, Sequence) and all(isinstance(each, Phase) for each in thing)
        if not (callable(thing) or listed):
            what = "a list of oponm.training.Phase" if group == "method" else "what makes it"
            raise InputError(f"must be the name of a choice, or {what}, got {thing!r}", group)
    nodes = {group: _node(group, thing) for group, thing in given.items()} | {"data": _data_node(data)}
    nearest = {group: nearest_choice(group, node) for group, node in nodes.items()}
    names = {group: name for group, name in {**chosen, **nearest}.items() if isinstance(name, str)}
    if "data" not in names:
        names |= {"data": _OWN_IMAGES} | ({} if isinstance(data, OwnFilesLT) else {"shots": default["shots"]})
    choices, base = compose_choices(names, seed)

    own = copy.deepcopy(base)
    for group, node in nodes.items():
        own[group] = {**_kept(group, base), **complete(node, base[group])}
    for group, values in settings.items():
        taken = values if group == "shots" else {key: value for key, value in values.items() if value is not None}
        own[group] |= {key: as_settings(value) for key, value in taken.items()}

    brought, _ = compose_choices({group: choices[group] for group in ("data", "method")})
    if brought["mixing"] not in (default["mixing"], choices["mixing"]):
        log.warning("method=%s is published with mixing=%s: give it to the data", choices["method"], brought["mixing"])
    expected = {**brought, "data": default["data"], "method": default["method"]}
    lines = [f"{group}={choice}" for group, choice in choices.items() if choice != expected[group]]
    lines += [f"seed={seed}"] if seed else []
    lines += overrides(own, base)
    labels = {group: _label(thing) for group, thing in {**given, "data": data}.items() if nearest[group] is None}
    objects = {group: thing for group, thing in given.items() if group not in ("augmentation", "mixing")}
    return Composed(OmegaConf.create(own), choices | labels, lines, {**objects, "data": data})  # which has these two


def _node(group: str, thing: Any) -> dict[str, Any]:
    if group == "method":
        return {"phases": [_phase_node(phase) for phase in thing], "tau": None}
    node: dict[str, Any] = as_settings(thing)
    if group == "model":  # which is not partial in config files
        node.pop("_partial_", None)
    return node


def _phase_node(phase: Phase) -> dict[str, Any]:
    """The settings of a phase that differ from the defaults."""
    values = {field.name: getattr(phase, field.name) for field in fields(phase)}
    defaults = {field.name: field.default for field in fields(phase)}
    return {name: as_settings(value) for name, value in values.items() if value != defaults[name]}


def _data_node(data: LongTailDataModule) -> dict[str, Any]:
    """The arguments that a data module was made with, as far as it keeps them."""
    options = FileOptions if isinstance(data, OwnFilesLT) else DataOptions
    names = [*inspect.signature(type(data).__init__).parameters, *options.__annotations__]
    values = {name: getattr(data, name) for name in names if name not in _APART and hasattr(data, name)}
    choice = data.statistics_choice
    values["statistics"] = choice._asdict() if isinstance(choice, Statistics) else choice
    return {"_target_": public_name(type(data)), **as_settings(values)}


def _kept(group: str, base: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that hold with any object: of the head, of initial weights, and of groups of weights."""
    kept = {"model": HEAD_KEYS, "optimizer": GROUP_KEYS}.get(group, ())
    return {key: base[group][key] for key in kept}


def _label(thing: Any) -> str:
    """The label in tables of an object that no config file describes."""
    if isinstance(thing, Sequence):
        return " > ".join(dict.fromkeys(phase.name for phase in thing))
    if isinstance(thing, partial):
        return _label(thing.func)
    return str(getattr(thing, "__name__", type(thing).__name__))
