"""Reads the config that a run's folder records, to resume or evaluate the run.

``resume=RUN_DIR`` and ``resume=auto`` resume an unfinished run; a finished run is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from oponm.configs import CONF_DIR, compose_choices, groups, read_settings
from oponm.errors import InputError
from oponm.renamed import with_new_names
from oponm.run_files import CHOICES_FILE, CONFIG_FILE, OVERRIDES_FILE
from oponm.run_settings import GONE

NAME = "recorded"  # name of the primary config that Hydra composes
_WITHIN = ("experiment", "sweep", "hparams_search", "debug")  # groups without settings of their own


@dataclass(frozen=True)
class Recorded:
    """The recorded config of a run; empty if there is no run.

    Attributes:
        config: content of ``config.yaml``, resolved; old names of keys are replaced by the current ones.
        overrides: content of ``overrides.yaml``, as ``key=value``.
        choices: content of ``choices.yaml``, a dict from config group to choice.
    """

    config: dict[str, Any] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    choices: dict[str, str] = field(default_factory=dict)

    def identify(self) -> dict[str, Any]:
        """Return a description of the run whose config Hydra has composed.

        A new choice replaces the recorded choice of its group; new overrides are appended to the recorded ones, without
        ``resume`` and ``output_dir``.

        Returns:
            ``{"choices": {group: choice}, "overrides": [...]}``.
        """
        hydra = HydraConfig.get()
        new = {name: choice for name, choice in hydra.runtime.choices.items() if "/" not in name and choice}
        aside = ("resume=", "output_dir=") if self.config else ()
        task: Any = OmegaConf.to_container(hydra.overrides.task)  # as ${...} in them refers to the run's config
        since = [one for one in task if not one.startswith(aside) and one not in self.overrides]
        return {"choices": {**self.choices, **new}, "overrides": [*self.overrides, *since]}


def read_recorded(folder: Path, key: str) -> Recorded:
    """Read a run's folder; no code in it is executed.

    Args:
        folder: the run's folder.
        key: the key that named the folder; error messages start with it.

    Raises:
        InputError: naming a damaged file.
    """
    overrides = [str(override) for override in _load(folder / OVERRIDES_FILE, key, list)]
    config = with_new_names(_load(folder / CONFIG_FILE, key, dict))
    kept = {name: value for name, value in config.items() if name not in GONE}
    if "logger" in kept:  # which writes to the folder that the run was begun in, unless that was moved or copied
        kept["logger"] = _moved(kept["logger"], Path(str(config.get("output_dir"))), folder.resolve())
    choices = _load(folder / CHOICES_FILE, key, dict)
    if kept and not choices:  # a run of an earlier version
        choices = _composed(_choices(overrides))
    return Recorded(kept, overrides, {str(group): str(choice) for group, choice in choices.items()})


def resumed_run(arguments: Sequence[str]) -> tuple[Recorded, list[str]]:
    """Read the run that ``resume=RUN_DIR`` names; without this argument, return an empty record.

    Args:
        arguments: arguments of the command.

    Returns:
        The record of the run's folder; and the arguments, with ``output_dir`` set to that folder.

    Raises:
        InputError: if the folder holds no run, or if ``resume`` names one run in a sweep.
    """
    given = [argument.partition("=")[2] for argument in arguments if argument.startswith("resume=")]
    if not given or given[-1] in ("auto", "null", ""):
        return Recorded(), list(arguments)
    folder = Path(given[-1]).expanduser()
    if {"-m", "--multirun"} & set(arguments):
        raise InputError("names one run: to resume a sweep, take resume=auto and the sweep's output_dir", "resume")
    if not all((folder / name).is_file() for name in (CONFIG_FILE, OVERRIDES_FILE)):
        raise InputError(f"{folder} holds no run ({CONFIG_FILE} and {OVERRIDES_FILE})", "resume")
    return read_recorded(folder, "resume"), [*arguments, f"output_dir={folder.resolve()}"]


def compose_with(recorded: Recorded, arguments: Sequence[str], command: str) -> list[str]:
    """Register the recorded config with Hydra under the name :data:`NAME`, for Hydra to compose in place of the files.

    A config group that an argument sets is composed from its file, and so is every other group that this choice sets.

    Args:
        recorded: the recorded run.
        arguments: arguments of the command.
        command: name of the command. If it is not ``"train"``, the keys of the command's config file are added, and the
            run's loggers are removed.

    Returns:
        The arguments, without those that repeat a choice of the recorded run.
    """
    train = read_settings(CONF_DIR / "train.yaml")
    in_order = [group for item in train.pop("defaults") if isinstance(item, dict) for group in item]
    node = {**train, **recorded.config}
    trainer = recorded.config.get("trainer")
    node["trainer"] = read_settings(CONF_DIR / "trainer/default.yaml") | (trainer if isinstance(trainer, dict) else {})
    own_choices = recorded.choices
    if command != "train":
        own_choices["logger"] = "none"
        node |= {"logger": {}, **read_settings(CONF_DIR / f"{command}.yaml")}
    arguments = [one for one in arguments if not (_choices([one]).items() & own_choices.items())]
    given = _choices(arguments)
    for group in ("experiment", "sweep", "hparams_search"):
        if group in given:
            raise InputError("chooses another run than the recorded one: leave it out", group)
    default = compose_choices({})[0]
    again = given.keys() | {group for group, choice in _composed(given).items() if choice != default.get(group)}
    before = [{group: None} for group in in_order if group in again and group not in _WITHIN]
    for group in again:
        node.pop(group, None)
    order_of_groups = [*before, "_self_", *({group: None} for group in _WITHIN)]
    ConfigStore.instance().store(NAME, {**node, "defaults": order_of_groups, "hydra": train["hydra"]})
    return arguments


def _choices(overrides: Sequence[str]) -> dict[str, str]:
    """Dict from config group to choice, of the overrides that set a config group."""
    pairs = [override.partition("=") for override in overrides]
    return {key: value for key, _, value in pairs if key in groups() and value not in ("", "null")}


def _composed(given: Mapping[str, str]) -> dict[str, str]:
    """Complete some choices to one per config group; a choice without a file in this project sets no other group."""
    known = {group: choice for group, choice in given.items() if choice in groups()[group]}
    return {**compose_choices(known)[0], **given}


def _moved(settings: Any, old: Path, new: Path) -> Any:
    """Replace the folder ``old`` by ``new`` in all paths in settings."""
    if isinstance(settings, dict):
        return {key: _moved(value, old, new) for key, value in settings.items()}
    if isinstance(settings, str) and old.is_absolute() and Path(settings).is_relative_to(old):
        return str(new / Path(settings).relative_to(old))
    return settings


def _load(file: Path, key: str, kind: type) -> Any:
    if not file.is_file():
        return kind()
    try:
        found = OmegaConf.to_container(OmegaConf.load(file), resolve=kind is dict)
        if isinstance(found, kind):
            return found
        reason = f"it holds no {kind.__name__}"
    except (ValueError, YAMLError, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())[:100]
    remedy = "put back a copy of it, or train again into another folder"
    raise InputError(f"{file} is damaged ({reason}): {remedy}", key)
