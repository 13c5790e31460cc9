"""Separates settings that determine the result of a run from those that say where it is stored and what is logged."""

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
    """Return the name of a run by its choices: ``EXPERIMENT/METHOD``, or ``METHOD`` without an experiment.

    An experiment in a subfolder of ``conf/experiment``, such as ``celeba5/drs``, has its method in its name, so the
    method is not added.

    Args:
        choices: dict from config group to choice.

    Example:
        >>> recipe_and_method({"method": "open"}), recipe_and_method({"experiment": "cifar10_lt_ir50", "method": "rs"})
        ('open', 'cifar10_lt_ir50/rs')
        >>> recipe_and_method({"experiment": "celeba5/drs", "method": "drs"})
        'celeba5/drs'
    """
    experiment, method = str(choices.get("experiment") or ""), str(choices.get("method") or "?")
    return f"{experiment}/{method}".lstrip("/") if "/" not in experiment else experiment


def determining_settings(config: Mapping[str, Any], free: Collection[str] = FREE, prefix: str = "") -> dict[str, Any]:
    """Return the settings that determine the result of a run.

    Args:
        config: the run's config, resolved, as plain values; old names of keys are replaced by the current ones. Or one
            group of the config, with its ``prefix``.
        free: full keys, of settings or of whole groups, that do not affect the result and are left out.
        prefix: full key of the group that ``config`` is, with a dot at the end; empty for the whole config.

    Returns:
        Flat dict from full key to value: nested groups are flattened, empty groups are left out.

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
