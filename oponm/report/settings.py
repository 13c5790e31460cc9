"""The config keys that determine a run's result: resolved, without the seed and keys that affect no result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oponm.report.text import printable, value_text
from oponm.run_settings import FREE, determining_settings, recipe_and_method

# In addition to settings that a resumed run may change: the seed, and how files are read.
_APART = FREE | {"seed", "hydra", "sweep", "hparams_search"}
_APART |= {f"data.{key}" for key in ("num_workers", "pack", "verify", "on_error", "download")}
_APART |= {f"data.{key}" for key in ("on_duplicate", "on_missing_class", "nested")}  # digests tell what they changed
_PLACES = ("data.root", "data.lists", "data.table", "data.split")  # where a known content lies does not change it


def read_settings(path: Path) -> dict[str, Any]:
    r"""Read the settings in a run's ``config.yaml`` that determine its result, by their full keys.

    Args:
        path: the file.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not that of a training run.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "config.yaml")
        >>> _ = file.write_text("seed: 1\nmethod: {tau: 0.5}\ndata: {batch_size: 64}\nresume: auto\n")
        >>> read_settings(file)
        {'method.tau': 0.5, 'data.batch_size': 64}
    """
    import yaml

    try:
        # Ten times as fast as OmegaConf, which has resolved the file when it wrote it.
        content = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not isinstance(content, dict) or not {"method", "data"} <= content.keys():
        raise ValueError("not that of a training run")
    return result_settings(content)


def result_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a resolved config that determine a result, except the seed; null settings are left out.

    Args:
        config: plain values, as ``config.yaml`` holds them.

    Example:
        >>> result_settings({"data": {"pack": "fast/places", "pack_size": 256, "in_memory": True}, "seed": 3})
        {'data.in_memory': True}
    """
    found = determining_settings(config, _APART)
    data = config.get("data")
    if not isinstance(data, Mapping) or not data.get("pack") or data.get("in_memory", True):
        found.pop("data.pack_size", None)  # it changes the pixels of streamed packs only
    return {key: value for key, value in found.items() if value is not None}


def settings_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the config keys that determine a run's result.

    Args:
        run: content of its ``result.json``. Values are those of its ``settings``, which :func:`read_settings` returns;
            without them, its choices and overrides.

    Returns:
        A dict from full key to value. Its ``code`` is a digest of the user's own files that the run executed, if any.

    Example:
        >>> settings_of({"choices": {"method": "open"}, "overrides": ["+norm=aux", "seed=1"]})
        {'method': 'open', 'norm': 'aux'}
    """
    if "settings" in run:
        settings = dict(run["settings"])
    else:
        given = dict(split_override(override) for override in run["overrides"])
        settings = {key: value for key, value in {**run["choices"], **given}.items() if not apart(key)}
    if run.get("code"):  # the user's own code, by file
        settings["code"] = hashlib.sha256(json.dumps(run["code"], sort_keys=True).encode()).hexdigest()[:8]
    if fold_of(run):
        settings.pop("data.fold", None)
    if run.get("content_digest"):
        settings = {key: value for key, value in settings.items() if key not in _PLACES}
    return settings


def shots_of(run: Mapping[str, Any]) -> tuple[Any, Any]:
    """The thresholds of many and few, ``shots.many_over`` and ``shots.few_under``; None where they are not known.

    Args:
        run: content of its ``result.json``, with ``settings`` where the config is known.

    Example:
        >>> shots_of({"settings": {"shots.many_over": 100}})
        (100, None)
    """
    settings = run.get("settings") or {}
    return settings.get("shots.many_over"), settings.get("shots.few_under")


def setting_key(run: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the key that all runs of a group share: config keys without seed and fold, and digests of the images.

    Args:
        run: content of its ``result.json``, see :func:`settings_of`.
    """
    if crossed := fold_of(run):  # of a fold the images differ, of all folds together they do not
        return (crossed[0], *setting_lines(run))
    digests = [run.get("content_digest") or run.get("split_digest"), run.get("test_digest"), run.get("val_digest")]
    return (*(str(digest or "") for digest in digests), str(run.get("test_counts", "")), *setting_lines(run))


def fold_of(run: Mapping[str, Any]) -> tuple[str, int, int] | None:
    """Return the cross-validation of a run: the digest of all images, the fold for testing, and the number of folds.

    Args:
        run: content of its ``result.json``.

    Returns:
        The three; None if the run's test set is no fold.

    Example:
        >>> fold_of({"cross_validation": {"folds": 5, "fold": 0, "digest": "1f"}})
        ('1f', 0, 5)
    """
    crossed = run.get("cross_validation")
    return (str(crossed["digest"]), int(crossed["fold"]), int(crossed["folds"])) if crossed else None


def repeat_of(run: Mapping[str, Any]) -> tuple[int, int]:
    """Return seed and fold of a run; runs of a group differ only in these. Without cross-validation the fold is 0.

    Args:
        run: content of its ``result.json``.

    Example:
        >>> repeat_of({"seed": 3})
        (3, 0)
    """
    return run["seed"], (fold_of(run) or ("", 0, 0))[1]


def setting_lines(run: Mapping[str, Any]) -> list[str]:
    """The settings of a run in the command line's form, sorted.

    Args:
        run: content of its ``result.json``, see :func:`settings_of`.

    Example:
        >>> setting_lines({"settings": {"norm.kind": "dar", "data.imbalance_ratio": 50.0}})
        ['data.imbalance_ratio=50', 'norm.kind=dar']
    """
    return sorted(f"{printable(str(key))}={value_text(value)}" for key, value in settings_of(run).items())


def run_name(run: Mapping[str, Any]) -> str:
    """The experiment and the method of a run, see :func:`~oponm.run_settings.recipe_and_method`.

    Args:
        run: content of its ``result.json``.
    """
    return printable(recipe_and_method(run["choices"]))


def split_override(override: str) -> tuple[str, str]:
    """Split an override of the command line into key and value.

    Example:
        >>> split_override("+noise.delta=0.5")
        ('noise.delta', '0.5')
    """
    key, _, value = override.lstrip("+~").partition("=")
    return key, value


def apart(key: str) -> bool:
    """Whether a config key, or a group that contains it, has no effect on results.

    Example:
        >>> apart("logger.wandb.project"), apart("hydra/launcher"), apart("data.imbalance_ratio")
        (True, True, False)
    """
    return any(key == free or key.startswith((f"{free}.", f"{free}/")) for free in _APART)
