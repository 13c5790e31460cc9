"""Checks the keys in the config of a run, before slow imports."""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from oponm.configs import CONF_DIR
from oponm.errors import InputError, check_int, check_real
from oponm.nearest import did_you_mean
from oponm.renamed import old_names

_REFUSED = {
    ("logger", None): "is a group of its own: logger=csv,wandb and others",
    ("callbacks", None): "are a group of their own: callbacks=early_stopping and others",
    ("default_root_dir", None): "is the run's folder: set output_dir",
    ("use_distributed_sampler", True): "would draw again what the phases draw: leave it out",
    ("enable_checkpointing", False): "cannot be false, as a run resumes from its checkpoints: leave it out",
    ("limit_train_batches", 0): "cannot be 0, as nothing would be trained: leave it out",
    ("max_steps", 0): "cannot be 0, as nothing would be trained: leave it out",
    ("limit_test_batches", 0): "cannot be 0, as a run is evaluated when it has been trained: leave it out",
    ("barebones", True): "removes parts that resuming and reporting need: leave it out",
}
_SPAWNS = ("spawn", "fork", "notebook")
_PARTS = {"augmentation", "callbacks", "data", "logger", "loss", "method", "mixing"}  # the groups that a run is made of
_PARTS |= {"model", "noise", "norm", "optimizer", "schedule", "shots", "trainer"}
_GROUPS = {
    "method": {"phases", "tau"},
    "shots": {"many_over", "few_under"},
    "": _PARTS | {"checkpoint", "optimized_metric", "output_dir", "phase_cache", "resume", "seed"},
}


def check_settings(config: DictConfig) -> None:
    """Check that the keys are known, and that no setting of the trainer contradicts the phases or exact resumption.

    The keys at the top level and those of ``method``, ``shots`` and ``trainer`` are checked here. Keys of other groups,
    such as ``data``, are arguments of the group's ``_target_``; an unknown one raises an error when that is called.

    Args:
        config: the run's config.

    Raises:
        InputError: with the full key of a setting that cannot be used.
    """
    for path, new in old_names(OmegaConf.to_container(config, resolve=False)):  # type: ignore[arg-type]
        raise InputError(f"is now {new}", path)
    if missing := sorted(_PARTS - {str(key) for key in config}):
        raise InputError("is missing: a run needs a choice of each group", missing[0])
    for group, known in {**_GROUPS, "trainer": own_options()}.items():
        node = config.get(group) if group else config
        if not OmegaConf.is_dict(node):
            raise InputError(f"must be a group of settings, got {node!r}", group)
        for key in (str(key) for key in node if key not in known):
            path = f"{group}.{key}" if group else key
            if group != "trainer" or key not in {"_target_", *lightnings_options()}:
                meant = did_you_mean(path)
                raise InputError(f"is no setting{meant or ';'} 'oponm train --cfg job' lists the keys", path)
    _check_trainer(config.trainer)
    if OmegaConf.is_missing(config.model, "_target_"):
        raise InputError("must be given: model._target_=my.module.MyNet", "model._target_")
    if str(config.data.get("val")) != "none":
        if config.trainer.get("limit_val_batches") == 0:
            raise InputError("cannot be 0 where epochs are validated: set data.val=none", "trainer.limit_val_batches")
    else:
        for name, settings in config.callbacks.items():
            if OmegaConf.is_dict(settings) and str(settings.get("monitor", "")).startswith("val/"):
                remedy = "set data.val=split, or monitor a metric of training such as train/loss"
                raise InputError(
                    f"watches {settings.monitor}, but the run has no validation: {remedy}", f"callbacks.{name}"
                )


@functools.cache
def own_options() -> frozenset[str]:
    """Return the keys under ``trainer`` that belong to this package; all others go to Lightning's trainer.

    Example:
        >>> {"channels_last", "num_threads"} <= own_options(), "precision" in own_options()
        (True, False)
    """
    listed = OmegaConf.load(CONF_DIR / "trainer/default.yaml")
    return frozenset(map(str, listed)) - lightnings_options() - {"_target_"}


@functools.cache
def lightnings_options() -> frozenset[str]:
    """Return the names of the arguments of Lightning's trainer, read from its source, as an import takes seconds.

    Example:
        >>> {"max_epochs", "gradient_clip_val"} <= lightnings_options()
        True
    """
    spec = importlib.util.find_spec("pytorch_lightning")
    assert spec is not None
    source = Path(str(spec.origin)).parent / "trainer/trainer.py"
    tree = ast.parse(source.read_text(encoding="utf-8"))
    (trainer,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Trainer")
    (make,) = (node for node in trainer.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    return frozenset(argument.arg for argument in (*make.args.args, *make.args.kwonlyargs)) - {"self"}


def _check_trainer(trainer: DictConfig) -> None:
    for (key, value), reason in _REFUSED.items():
        given = trainer.get(key)
        if given is not None and value in (None, given):
            raise InputError(reason, f"trainer.{key}")
    for key in ("accumulate_grad_batches", "check_val_every_n_epoch"):
        if trainer.get(key) is not None:
            check_int(f"trainer.{key}", trainer[key], minimum=1)
    if trainer.get("checkpoint_every_n_steps") is not None:
        check_int("trainer.checkpoint_every_n_steps", trainer.checkpoint_every_n_steps, minimum=1)
    check_real("trainer.checkpoint_every_minutes", trainer.get("checkpoint_every_minutes", 0), 0)
    if trainer.get("deterministic") not in (None, True, False, "warn"):
        raise InputError(f"must be true, false or warn, got {trainer.deterministic!r}", "trainer.deterministic")
    if any(word in str(trainer.get("strategy")) for word in _SPAWNS):
        raise InputError(
            "starts processes of its own, which trainer.devices already does: set trainer.strategy=ddp",
            "trainer.strategy",
        )
    if trainer.get("accumulate_grad_batches") not in (None, 1) and trainer.on_nonfinite == "skip":
        raise InputError(
            "cannot be skip with trainer.accumulate_grad_batches, as a skipped step would also drop the gradients of "
            "earlier batches: leave one of the two out",
            "trainer.on_nonfinite",
        )
