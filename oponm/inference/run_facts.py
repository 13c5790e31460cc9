"""Reads facts about a checkpoint from its run's folder."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFacts:
    """Facts about a training run; empty where its folder lacks them.

    Attributes:
        metrics: metrics of these weights on the test set, by name.
        recall: accuracy of each class on the test set; None for a class without test images.
        choices: a dict from config group to choice, such as ``{"method": "open"}``.
        epochs: number of epochs that these weights were trained for.
        phases: the phases of the method, as configured.
        starts: the first epoch (zero-based) of each phase.
        overrides: overrides of the run's command line.
        from_code: whether the run was started from code, so that values of its config may be objects.
        versions: a dict from library to version.
        git_commit: commit of oponm, if it ran from a checkout.
        tuned_on_test: whether the test set was also the validation set.
        no_batch_norm: whether the run trained on noise with a network without batch norm, so that noise rows were not
            routed.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    recall: list[float | None] = field(default_factory=list)
    choices: dict[str, str] = field(default_factory=dict)
    epochs: int | None = None
    phases: list[dict[str, Any]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    from_code: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    git_commit: str | None = None
    tuned_on_test: bool = False
    no_batch_norm: bool = False


def read_run_facts(checkpoint: Path, content_digest: str) -> RunFacts:
    """Read ``result.json`` and ``config.yaml`` of a checkpoint's run, as far as they exist.

    Args:
        checkpoint: ``RUN/checkpoints/last.ckpt``, or ``best.ckpt``, which has separate metrics.
        content_digest: digest of the checkpoint's training set; a result with another digest is ignored.

    Example:
        >>> read_run_facts(Path("alone.ckpt"), "").metrics
        {}
    """
    run = checkpoint.absolute().parent.parent
    result, config = _json(run / "result.json"), _yaml(run / "config.yaml")
    if result.get("content_digest") != content_digest:
        if result:
            log.warning("%s is of another training set than the checkpoint, and is ignored", run / "result.json")
        return RunFacts()
    best = checkpoint.name == "best.ckpt"
    measured = _dict(result.get("best")) if best else result
    epochs = measured.get("epoch" if best else "epochs")
    metrics = {k: float(v) for k, v in _dict(measured.get("metrics")).items() if isinstance(v, (int, float))}
    return RunFacts(
        metrics=metrics,
        recall=_list(measured.get("recall")),
        choices={str(group): str(choice) for group, choice in _dict(result.get("choices")).items()},
        epochs=epochs + best if isinstance(epochs, int) else None,  # the best epoch is zero-based
        phases=[phase for phase in _list(_dict(config.get("method")).get("phases")) if isinstance(phase, dict)],
        starts=[int(phase["start"]) for phase in _list(result.get("phases")) if isinstance(phase, dict)],
        overrides=[str(override) for override in _list(result.get("overrides"))],
        from_code="started_from" in result,
        versions={str(name): str(version) for name, version in _dict(result.get("versions")).items()},
        git_commit=result.get("git_commit"),
        tuned_on_test=result.get("validation") == "test",
        no_batch_norm=result.get("no_batch_norm") is True,
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        return _dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _yaml(path: Path) -> dict[str, Any]:
    try:
        return _dict(OmegaConf.to_container(OmegaConf.load(path)))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException):
        return {}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
