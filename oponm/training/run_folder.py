"""The files of a run's folder: what was run, what came out, and whether a run may go on with them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from oponm.errors import InputError
from oponm.run_files import CONFIG_FILE, OVERRIDES_FILE, RESULT_FILE, write_whole
from oponm.run_settings import determining_settings
from oponm.training.checkpoint import load_state
from oponm.training.checkpoints import LAST
from oponm.training.result import environment, write_json

log = logging.getLogger(__name__)


def begin(folder: Path, config: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Write down what is about to run: the resolved config, and the overrides that made it.

    A run has begun once there is a config, which is therefore written last, and never in place.

    Args:
        folder: of the run; made if need be.
        config: plain values, or OmegaConf's, which are resolved.
        overrides: as the command line takes them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / OVERRIDES_FILE, OmegaConf.to_yaml(OmegaConf.create(list(overrides))))
    write_whole(folder / CONFIG_FILE, OmegaConf.to_yaml(OmegaConf.create(_plain(config))))


def finish(
    folder: Path, identity: Mapping[str, Any], measured: Mapping[str, Any], started: float, published: Mapping[str, Any]
) -> dict[str, Any]:
    """Write ``result.json``.

    Args:
        folder: of the run.
        identity: what was run: ``choices``, ``overrides``, ``seed``.
        measured: by :func:`~oponm.training.train`.
        started: ``time.perf_counter()`` at the start of the run.
        published: what others report of the same, by the keys :data:`~oponm.run_settings.PUBLISHED`.

    Returns:
        Its content.
    """
    seconds = round(time.perf_counter() - started, 3)
    result = {**identity, **measured, "seconds": seconds, "published": {}, **published, **environment()}
    write_json(folder / RESULT_FILE, result)
    return result


def finished_result(folder: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The result of a run that is done, or None if it is not, or was not begun.

    Args:
        folder: of the run.
        config: of the run that is to go on with it.

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
    file = folder / "checkpoints" / LAST
    if not file.is_file():
        log.warning("%s came to no checkpoint and begins anew", folder)
        return None
    state = load_state(file)
    log.warning("%s goes on at step %d, in epoch %d", folder, state["step"], state["epoch"])
    return state


def _require_same_settings(file: Path, config: Mapping[str, Any]) -> None:
    before = determining_settings(_plain(OmegaConf.load(file)))
    now = determining_settings(_plain(config))
    for path in sorted(before.keys() | now.keys()):
        if before.get(path) != now.get(path):
            raise InputError(f"was {before.get(path)!r} when {file.parent} was begun, and is {now.get(path)!r}", path)


def _plain(config: Any) -> Any:
    return OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else dict(config)
