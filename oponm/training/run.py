"""One training run, and one evaluation: thin shells around Lightning's trainer."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import Logger

from oponm.data import LongTailDataModule
from oponm.training.checkpoint import load_weights
from oponm.training.module import LongTailModule
from oponm.training.phases import PhasePlan
from oponm.training.progress import EpochProgress

log = logging.getLogger(__name__)
CHECKPOINT_INTERVAL = timedelta(minutes=5)
MONITOR = "val/balanced_accuracy"
TERMINATED = 143  # 128 + SIGTERM


def train(
    module: LongTailModule,
    data: LongTailDataModule,
    plan: PhasePlan,
    run_dir: Path,
    loggers: list[Logger] | None = None,
    **trainer_options: Any,
) -> dict[str, Any]:
    """Train through all phases, keep the last weights, and evaluate them on the test set.

    Where the data module validates, the weights of the best epoch are kept too, in ``checkpoints/best.ckpt``,
    and evaluated beside the last.

    Args:
        module: the model to train, in place; it ends with the last weights.
        data: set up already.
        plan: the phases.
        run_dir: receives ``checkpoints/last.ckpt``, every five minutes and at the end.
        loggers: Lightning loggers.
        **trainer_options: ``accelerator``, ``precision`` and others of ``pytorch_lightning.Trainer``.

    Returns:
        The content of ``result.json`` as far as it is measured here, see :func:`evaluate`; with validation also
        ``best``: epoch (zero-based), validation figure, test metrics and accuracy of each class of the best weights.

    Raises:
        InputError: if the loss is not finite.
        KeyboardInterrupt: if interrupted; the weights so far are in ``last.ckpt``.
        SystemExit: with code 143 after SIGTERM; the weights so far are in ``last.ckpt``.
    """
    data.epoch_input = lambda epoch: plan.at(epoch).input
    for phase, start in zip(plan.phases, plan.starts, strict=True):
        log.info("phase %s from epoch %d", phase.name, start)
    folder = run_dir / "checkpoints"
    validating = data.val != "none"
    best = _keep_best(folder) if validating else None
    trainer = make_trainer(
        [EpochProgress(plan), _keep_last(folder), *([best] if best else [])],
        loggers,
        max_epochs=plan.max_epochs,
        reload_dataloaders_every_n_epochs=1,  # each epoch has an order, and may have a sampler, of its own
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if validating else 0,
        **trainer_options,
    )
    started = time.perf_counter()
    try:
        trainer.fit(module, datamodule=data, weights_only=True)
    except SystemExit:  # how Lightning answers an interruption from the keyboard
        if not trainer.interrupted:
            raise
    seconds = time.perf_counter() - started
    trainer.save_checkpoint(folder / "last.ckpt")
    if trainer.received_sigterm:
        raise SystemExit(TERMINATED)
    if trainer.interrupted:
        raise KeyboardInterrupt
    result = {"train_seconds": round(seconds, 3), "epochs": plan.max_epochs, "validation": data.val}
    if best:
        result["best"] = _test_best(module, data, best, **trainer_options)
    return {**_test(trainer, module, data), **result}


def _keep_last(folder: Path) -> ModelCheckpoint:
    return ModelCheckpoint(folder, "last", train_time_interval=CHECKPOINT_INTERVAL, enable_version_counter=False)


def _keep_best(folder: Path) -> ModelCheckpoint:
    return ModelCheckpoint(folder, "best", monitor=MONITOR, mode="max", enable_version_counter=False)


def _test_best(
    module: LongTailModule, data: LongTailDataModule, best: ModelCheckpoint, **trainer_options: Any
) -> dict[str, Any]:
    """Evaluate the weights of the best validation epoch, and put the last ones back."""
    last = {name: tensor.clone() for name, tensor in module.model.state_dict().items()}
    path = Path(best.best_model_path)
    load_weights(module.model, path)
    tested = evaluate(module, data, **trainer_options)
    module.model.load_state_dict(last)
    return {
        "epoch": int(torch.load(path, map_location="cpu", weights_only=True)["epoch"]),
        MONITOR: round(float(best.best_model_score or 0.0), 6),
        "metrics": tested["metrics"],
        "recall": tested["recall"],
    }


def evaluate(
    module: LongTailModule, data: LongTailDataModule, loggers: list[Logger] | None = None, **trainer_options: Any
) -> dict[str, Any]:
    """Evaluate a model on the test set.

    Args:
        module: with its weights loaded.
        data: set up already.
        loggers: Lightning loggers.
        **trainer_options: ``accelerator``, ``precision`` and others of ``pytorch_lightning.Trainer``.

    Returns:
        ``metrics`` (scalars in [0, 1]), ``recall`` (of each class), and the split they refer to: ``class_names``,
        ``class_counts``, ``test_counts``, ``split_digest``.
    """
    return _test(make_trainer(loggers=loggers, **trainer_options), module, data)


def make_trainer(
    callbacks: list[pl.Callback] | None = None, loggers: list[Logger] | None = None, **options: Any
) -> pl.Trainer:
    """Make a trainer of one process that leaves samplers and the terminal alone.

    Args:
        callbacks: Lightning callbacks.
        loggers: Lightning loggers.
        **options: of ``pytorch_lightning.Trainer``.
    """
    return pl.Trainer(
        callbacks=callbacks,
        logger=loggers or False,
        devices=1,
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=bool(callbacks),
        **options,
    )


def _test(trainer: pl.Trainer, module: LongTailModule, data: LongTailDataModule) -> dict[str, Any]:
    trainer.test(module, datamodule=data, verbose=False, weights_only=True)
    return {
        "metrics": module.test_scalars,
        "recall": module.test_recall,
        "class_names": data.class_names,
        "class_counts": data.class_counts,
        "test_counts": data.test_counts,
        "split_digest": data.digest,
        "content_digest": data.content_digest,
    }
