"""Separates settings that determine the result of a run from those of its location and observation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from oponm.renamed import with_new_names

GONE = ("published", "published_leads", "published_fifths", "published_note")  # keys in the configs of earlier versions
FREE = frozenset(
    {
        *("resume", "output_dir", "phase_cache", "logger", "optimized_metric", *GONE),
        *("trainer.checkpoint_every_minutes", "trainer.checkpoint_every_n_steps"),
        *("trainer.max_restarts", "trainer.accelerator", "trainer.confusion_matrix", "trainer._target_"),
        *("trainer.profiler", "trainer.log_every_n_steps", "trainer.enable_model_summary", "trainer.detect_anomaly"),
        *("callbacks.progress_bar", "callbacks.epoch_lines", "callbacks.dashboard", "callbacks.lr_monitor"),
    }
)


def recipe_and_method(choices: Mapping[str, Any]) -> str:
    """The name of a run by its choices: the experiment, if there is one, and the method.

    The name of an experiment in a folder includes its method.

    Args:
        choices: the choice in each config group.

    Example:
        >>> recipe_and_method({"method": "open"}), recipe_and_method({"experiment": "cifar10_lt_ir50", "method": "rs"})
        ('open', 'cifar10_lt_ir50/rs')
        >>> recipe_and_method({"experiment": "celeba5/drs", "method": "drs"})
        'celeba5/drs'
    """
    experiment, method = str(choices.get("experiment") or ""), str(choices.get("method") or "?")
    return f"{experiment}/{method}".lstrip("/") if "/" not in experiment else experiment


def determining_settings(config: Mapping[str, Any], free: Collection[str] = FREE, prefix: str = "") -> dict[str, Any]:
    """The settings that determine a result, by their full keys.

    Args:
        config: the run's config, resolved, as plain values; old names of settings count as their current names.
        free: full keys, of settings or of whole groups, that do not affect the result.
        prefix: full key of the group that ``config`` is.

    Returns:
        ``{full key: value}``; no value is a mapping, and empty ones are left out.

    Example:
        >>> determining_settings({"trainer": {"max_epochs": 20, "max_restarts": 3}, "output_dir": "run"})
        {'trainer.max_epochs': 20}
    """
    found: dict[str, Any] = {}
    for key, value in (config if prefix else with_new_names(config)).items():
        path = f"{prefix}{key}"
        if path in free:
            continue
        if isinstance(value, Mapping):
            found |= determining_settings(value, free, f"{path}.")
        else:
            found[path] = value
    return found
