"""``resume=RUN_DIR`` and ``resume=auto``: go on with a run that ended early, or leave one that is done alone."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from oponm.cli.run_directory import CONFIG_FILE, OVERRIDES_FILE, RESULT_FILE
from oponm.errors import InputError

log = logging.getLogger(__name__)
AUTO = "auto"
# What may differ between a run and its continuation: where it runs and what is told of it, not what comes out.
_FREE = {"resume", "output_dir", "phase_cache", "logger", "published"}
_FREE_OF_TRAINER = {"checkpoint_every_minutes", "checkpoint_every_n_steps", "max_restarts", "accelerator"}


def with_overrides_of_run(arguments: list[str]) -> list[str]:
    """Complete ``resume=RUN_DIR`` by what the run had been told.

    Args:
        arguments: of the command.

    Raises:
        InputError: if the folder holds no run, or the resumption of one run is swept over.
    """
    given = [argument.partition("=")[2] for argument in arguments if argument.startswith("resume=")]
    if not given or given[-1] in (AUTO, "null", ""):
        return arguments
    folder = Path(given[-1]).expanduser()
    if {"-m", "--multirun"} & set(arguments):
        raise InputError("names one run: to go on with a sweep, take resume=auto and the sweep's output_dir", "resume")
    overrides = read_overrides(folder / OVERRIDES_FILE)
    if not (folder / CONFIG_FILE).is_file() or overrides is None:
        raise InputError(f"{folder} holds no run ({CONFIG_FILE} and {OVERRIDES_FILE})", "resume")
    kept = [override for override in overrides if not override.startswith(("resume=", "output_dir=", "sweep="))]
    return [*kept, *arguments, f"output_dir={folder.resolve()}"]


def read_overrides(file: Path) -> list[str] | None:
    """The overrides that a run had been given, or None if there is no such file."""
    return [str(override) for override in OmegaConf.load(file)] if file.is_file() else None


def finished_result(folder: Path, config: DictConfig) -> dict[str, Any] | None:
    """The result of a run that is done, or None if it is not, or was not begun.

    Raises:
        InputError: naming the first setting that differs from those the run was begun with.
    """
    if not (folder / CONFIG_FILE).is_file():
        return None
    _require_same_settings(folder / CONFIG_FILE, config)
    try:
        return dict(json.loads((folder / RESULT_FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return None


def state_to_go_on_from(folder: Path) -> dict[str, Any] | None:
    """The state in a run's last checkpoint; None if it came to none."""
    from oponm.training.checkpoint import load_state
    from oponm.training.checkpoints import LAST

    file = folder / "checkpoints" / LAST
    if not file.is_file():
        log.warning("%s came to no checkpoint and begins anew", folder)
        return None
    state = load_state(file)
    log.warning("%s goes on at step %d, in epoch %d", folder, state["step"], state["epoch"])
    return state


def _require_same_settings(file: Path, config: DictConfig) -> None:
    before = _settings(OmegaConf.load(file))
    now = _settings(OmegaConf.create(OmegaConf.to_container(config, resolve=True)))
    for path in sorted(before.keys() | now.keys()):
        if before.get(path) != now.get(path):
            raise InputError(f"was {before.get(path)!r} when {file.parent} was begun, and is {now.get(path)!r}", path)


def _settings(config: Any, prefix: str = "") -> dict[str, Any]:
    """The settings that determine a result, by their full keys."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        path = f"{prefix}{key}"
        if path in _FREE or (prefix == "trainer." and key in _FREE_OF_TRAINER):
            continue
        if OmegaConf.is_dict(value):
            found |= _settings(value, f"{path}.")
        else:
            found[path] = OmegaConf.to_container(value) if OmegaConf.is_list(value) else value
    return found
