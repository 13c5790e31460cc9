"""Finds the config files and composes them."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from oponm.errors import InputError, check_choice

_PACKAGE = Path(__file__).resolve().parent
# In a checkout the folder is beside the package, in a wheel inside it.
CONF_DIR = next(folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir())


@cache
def groups() -> dict[str, list[str]]:
    """Return a dict from config group to its choices, read from the folders of config files.

    Example:
        >>> groups()["norm"]
        ['aux', 'dar', 'standard']
    """
    return {
        folder.name: sorted(
            file.relative_to(folder).with_suffix("").as_posix()
            for file in folder.rglob("*.yaml")
            if not file.stem.startswith("_")
        )
        for folder in sorted(CONF_DIR.iterdir())
        if folder.is_dir()
    }


def read_settings(path: Path) -> dict[str, Any]:
    """Return the content of a config file as plain values, unresolved.

    Args:
        path: the file.

    Example:
        >>> read_settings(CONF_DIR / "norm/dar.yaml")["kind"]
        'dar'
    """
    from omegaconf import OmegaConf  # not PyYAML, which reads 1e-3 as text

    content = OmegaConf.to_container(OmegaConf.load(path))
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no settings")
    return {str(key): value for key, value in content.items()}


def plain(node: Any) -> Any:
    """Convert a config node to plain Python values, resolved; return any other object unchanged.

    Example:
        >>> from omegaconf import OmegaConf
        >>> plain(OmegaConf.create({"cat": 0.2})), plain("balanced")
        ({'cat': 0.2}, 'balanced')
    """
    from omegaconf import OmegaConf

    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


@cache
def _composed(overrides: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf, open_dict

    outer = GlobalHydra.instance().hydra  # the state of a program that uses Hydra itself
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            config = compose("train", [*overrides, "output_dir=''"], return_hydra_config=True)
    finally:
        if outer:
            GlobalHydra.instance().initialize(outer)
    choices = {name: choice for name, choice in config.hydra.runtime.choices.items() if "/" not in name and choice}
    with open_dict(config):
        del config["hydra"]
    settings: Any = OmegaConf.to_container(config, resolve=True)
    return choices, {**settings, "logger": OmegaConf.to_container(config.logger)}  # unresolved: the folder has no name


def compose_choices(choices: Mapping[str, str], seed: int = 0) -> tuple[dict[str, str], dict[str, Any]]:
    """Compose the settings of ``oponm train`` with these choices and no other arguments.

    Args:
        choices: dict from config group to choice, for some of the groups; other groups have the choice that these
            choices set for them, or the command line's default.
        seed: seed of the run, which other settings refer to.

    Returns:
        Dict from config group to choice, for all groups; and the config as plain values, resolved except for
        ``logger``.

    Raises:
        InputError: for an unknown group or choice.

    Example:
        >>> chosen, settings = compose_choices({"method": "ldam_drw"})
        >>> chosen["loss"], chosen["schedule"], settings["model"]["head"]
        ('ldam', 'step', 'cosine')
        >>> settings["method"]["phases"]
        [{'epochs': 160}, {'epochs': 40, 'class_weights': 'effective_number'}]
    """
    for group, choice in choices.items():
        check_choice("group", group, list(groups()))
        check_choice(group, choice, groups()[group])
    chosen, settings = _composed((*(f"{group}={choice}" for group, choice in choices.items()), f"seed={seed}"))
    return dict(chosen), copy.deepcopy(settings)


def chosen(group: str, choice: Any) -> Any:
    """Return the factory that a choice of a config group describes; return an object that is not a name unchanged.

    Args:
        group: name of a config group whose choices are ``{_target_: ..., _partial_: true}``.
        choice: name of a choice in this group, or any object.

    Raises:
        InputError: for an unknown name.

    Example:
        >>> chosen("augmentation", "flip_crop").keywords
        {'padding': 4}
        >>> chosen("augmentation", print) is print
        True
    """
    if not isinstance(choice, str):
        return choice
    settings = choice_settings(group, check_choice(group, choice, groups()[group]))
    module, _, name = settings["_target_"].rpartition(".")
    options = {key: value for key, value in settings.items() if not key.startswith("_")}
    return partial(getattr(importlib.import_module(module), name), **options)


@cache
def choice_settings(group: str, choice: str) -> dict[str, Any]:
    """Return the settings that the file of one choice has for its own group, unresolved.

    Args:
        group: name of the config group.
        choice: name of a choice in this group.

    Example:
        >>> choice_settings("norm", "dar")
        {'kind': 'dar', 'noise_grad': 'none'}
    """
    from omegaconf import OmegaConf

    settings = OmegaConf.to_container(_contents(group, choice)).get(group, {})  # type: ignore[union-attr]
    return dict(settings)


def _contents(group: str, choice: str) -> Any:
    """The content of the file of a choice, with its defaults from the same group."""
    from omegaconf import OmegaConf

    path = CONF_DIR / group / f"{choice}.yaml"
    body = read_settings(path)
    defaults = [item.partition("@")[0] for item in body.pop("defaults", []) if isinstance(item, str)]
    everywhere = path.read_text(encoding="utf-8").startswith("# @package _global_")
    content = OmegaConf.create({})
    for item in defaults if "_self_" in defaults else [*defaults, "_self_"]:
        content.merge_with((body if everywhere else {group: body}) if item == "_self_" else _contents(group, item))
    return content
