"""Writes and reads the files of a run's folder, and checks that a run may resume with them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from oponm.configs import plain
from oponm.data import LongTailDataModule
from oponm.errors import InputError
from oponm.own_code import UnknownCode, own_code
from oponm.run_files import CHOICES_FILE, CONFIG_FILE, OVERRIDES_FILE, RESULT_FILE, write_whole
from oponm.run_settings import determining_settings
from oponm.training.callbacks.checkpoint import LAST
from oponm.training.weights import load_state

log = logging.getLogger(__name__)
_DIGESTS = {
    "content_digest": "training",
    "lengths_digest": "training",
    "test_digest": "test",
    "val_digest": "validation",
}


def begin(folder: Path, config: Mapping[str, Any], overrides: Sequence[str], choices: Mapping[str, str]) -> None:
    """Write ``overrides.yaml``, ``choices.yaml`` and ``config.yaml``, the resolved config, at the start of a run.

    A run counts as begun if its folder has a ``config.yaml``. Therefore this file is written last, and atomically.

    Args:
        folder: the run's folder; made if needed.
        config: the run's config, as plain values or as a DictConfig, which is resolved.
        overrides: overrides of the command line, as ``key=value``.
        choices: dict from config group to choice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / OVERRIDES_FILE, OmegaConf.to_yaml(OmegaConf.create(list(overrides))))
    write_whole(folder / CHOICES_FILE, OmegaConf.to_yaml(OmegaConf.create(dict(choices))))
    write_whole(folder / CONFIG_FILE, OmegaConf.to_yaml(OmegaConf.create(plain(config))))


def finished_result(folder: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the content of ``result.json``; None if the run in the folder is unfinished, or there is no run.

    Args:
        folder: the run's folder.
        config: config of the run that is to resume.

    Raises:
        InputError: naming the first setting that differs between ``config`` and the ``config.yaml`` of the folder.
    """
    if not (folder / CONFIG_FILE).is_file():
        return None
    _require_same_settings(folder / CONFIG_FILE, config)
    try:
        return dict(json.loads((folder / RESULT_FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return None


def state_to_resume(folder: Path, data: LongTailDataModule, code: Mapping[str, str] | None) -> dict[str, Any] | None:
    """Read the state in a run's last checkpoint; return None if there is no checkpoint.

    Args:
        folder: the run's folder.
        data: data module of the run that is to resume, set up.
        code: hashes of the user's own code, from :func:`code_of_run`; None if unknown.

    Raises:
        InputError: if images, classes or code are not those of the checkpoint.
    """
    file = folder / "checkpoints" / LAST
    if not file.is_file():
        log.warning("%s has no checkpoint and begins again", folder)
        return None
    state = load_state(file)
    require_same_input(folder, state["split"], data, code)
    log.warning("%s resumes at step %d, in epoch %d", folder, state["global_step"], state["epoch"])
    return state


def code_of_run(names: Iterable[str], *others: type) -> dict[str, str] | None:
    """Compute the hashes of the user's own code that a run executes, by :func:`~oponm.own_code.own_code`.

    Args:
        names: names of code in the run's config, which :func:`~oponm.own_code.targets` finds.
        *others: classes of objects that the config does not name.

    Returns:
        Dict from a module's name to the hash of its file; None if some of the code is in no file, as in a notebook.
    """
    try:
        return own_code([*names, *(f"{kind.__module__}.{kind.__qualname__}" for kind in others)])
    except UnknownCode:
        return None


def require_same_input(
    folder: Path, before: Mapping[str, Any], data: LongTailDataModule, code: Mapping[str, str] | None
) -> None:
    """Check that a run would resume with the images, the classes and the code that it was begun with.

    Args:
        folder: the run's folder.
        before: dict from the run's checkpoint or ``result.json``, with ``class_names``, ``class_counts``,
            ``content_digest``, ``lengths_digest``, ``test_digest``, ``val_digest`` and ``code``. Digests and ``code``
            that are missing or None are not checked.
        data: data module of the run that is to resume, set up.
        code: hashes of the user's own code, from :func:`code_of_run`; None if unknown.

    Raises:
        InputError: naming the first thing that changed.
    """
    now: dict[str, Any] = {name: getattr(data, name) for name in ("class_names", "class_counts", *_DIGESTS)}
    change = _changed_images({name: before.get(name) or value for name, value in now.items()}, now)
    if not change and code is not None and before.get("code") is not None:
        known = before["code"]  # a file that only one of them has is named by a file that changed as well
        edited = sorted(name for name in code.keys() & known.keys() if code[name] != known[name])
        change = f"the code of {edited[0]} has changed" if edited else ""
    if change:
        raise InputError(f"cannot resume {folder}: {change}; undo this change, or set a new output_dir", "resume")


def _changed_images(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Describe what has changed in images and classes, for an error; empty if nothing has."""
    if before["class_names"] != now["class_names"]:
        gone = [name for name in before["class_names"] if name not in now["class_names"]]
        new = [name for name in now["class_names"] if name not in before["class_names"]]
        parts = [f"class {gone[0]!r} is gone"] if gone else []
        parts += [f"class {new[0]!r} is new"] if new else []
        return " and ".join(parts) or "the classes are in another order"
    for name, old, new_count in zip(now["class_names"], before["class_counts"], now["class_counts"], strict=True):
        if old != new_count:
            return f"class {name!r} had {old} training images and has {new_count}"
    changed = [part for name, part in _DIGESTS.items() if before[name] != now[name]]
    return f"some {changed[0]} images have changed" if changed else ""


def _require_same_settings(file: Path, config: Mapping[str, Any]) -> None:
    before = determining_settings(plain(OmegaConf.load(file)))
    now = determining_settings(plain(config))
    for path in sorted(before.keys() | now.keys()):
        if before.get(path) != now.get(path):
            raise InputError(f"was {before.get(path)!r} when {file.parent} was begun, and is {now.get(path)!r}", path)
