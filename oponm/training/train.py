"""Trains and evaluates with Lightning's trainer."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins import CheckpointIO
from pytorch_lightning.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch.nn.modules.batchnorm import _BatchNorm

from oponm.data import LongTailDataModule
from oponm.errors import InputError, check_choice
from oponm.metrics import write_confusion, write_predictions
from oponm.metrics.evaluation import unmeasured
from oponm.models import settle_classifier
from oponm.models.classifier import NOTED
from oponm.signals import Stopped
from oponm.training.batchnorm_sync import BatchNormSync
from oponm.training.callbacks.averaging import check_averages
from oponm.training.callbacks.checkpoint import BEST, LAST, MONITOR, Checkpoints, check_callbacks, state_of
from oponm.training.callbacks.fork import Fork
from oponm.training.callbacks.nonfinite import REACTIONS, NonFinite
from oponm.training.callbacks.signals import OwnSignals
from oponm.training.distributed import largest, rank, world_size
from oponm.training.module import LongTailModule, clips_mixed
from oponm.training.noise_answers import noise_answers
from oponm.training.phase_cache import PhaseCache
from oponm.training.phases import PhasePlan
from oponm.training.rehearsal import try_part
from oponm.training.temperature import calibrate, check_temperature, temperature_of
from oponm.training.weights import load_weights

log = logging.getLogger(__name__)


def train(
    module: LongTailModule,
    data: LongTailDataModule,
    plan: PhasePlan,
    run_dir: Path,
    loggers: list[Logger] | None = None,
    phase_cache: PhaseCache | None = None,
    resume: dict[str, Any] | None = None,
    checkpoint_every: timedelta = timedelta(minutes=5),
    checkpoint_every_n_steps: int | None = None,
    on_nonfinite: str = "stop",
    temperature_scaling: bool = False,
    callbacks: Sequence[pl.Callback] = (),
    ready: Callable[[], None] = lambda: None,
    **trainer_options: Any,
) -> dict[str, Any]:
    """Train through all phases, save the last weights, and evaluate them on the test set.

    If the data module validates, the weights of the best epoch are saved too, in ``checkpoints/best.ckpt``,
    and evaluated in addition.

    Args:
        module: the module to train, in place; it has the last weights afterwards.
        data: the data module, set up.
        plan: the phases.
        run_dir: the run's folder; ``checkpoints/last.ckpt`` in it is written periodically and at the end.
        loggers: Lightning loggers; None uses none.
        phase_cache: cache in which the state at the end of each phase but the last is stored. If it has a state of
            another run with the same first phases, this run starts from that state, and gets identical weights. None
            uses no cache.
        resume: the state that :func:`~oponm.training.weights.load_state` read from this run's ``last.ckpt``, to resume
            from. The weights are then identical to those of a run that was not interrupted. None starts a new run.
        checkpoint_every: minimum time between two writes of ``last.ckpt``, as a timedelta.
        checkpoint_every_n_steps: also write ``last.ckpt`` after each multiple of this number of steps; None does not.
        on_nonfinite: reaction to a non-finite loss: ``"stop"`` ends the run, ``"skip"`` undoes the step, see
            :class:`~oponm.training.callbacks.nonfinite.NonFinite`.
        temperature_scaling: whether to fit a temperature on the validation set after training, and to divide the
            classifier's weights by it (:func:`~oponm.training.temperature.calibrate`).
        callbacks: Lightning callbacks, in addition to those of every run.
        ready: function that is called after all settings have been checked, and before anything is written.
        **trainer_options: options of :func:`make_trainer`: ``accelerator``, ``precision``, ``sync_batchnorm`` and
            others.

    Returns:
        The content of ``result.json`` that is measured here: what :func:`evaluate` returns, and the following keys. The
        confusion matrix is written to ``run_dir`` by :func:`~oponm.metrics.write_confusion`, and
        ``test_predictions.csv`` by :func:`~oponm.metrics.write_predictions`. ``best``, only with validation: epoch
        (zero-based), validation metric, test metrics and accuracy of each class of the best weights. ``reused``: number
        of epochs taken from the phase cache, and the seconds that their training took; None without any.
        ``validation_metrics``: metrics of the last epoch, by their names in the logs; empty without validation.
        ``no_batch_norm``: true if a network without batch norm was trained with noise, so that noise rows were not
        treated separately; else missing. ``skipped_steps``: number of steps undone by ``on_nonfinite="skip"``.
        ``temperature``: only if one was fitted.

    Raises:
        InputError: if the loss is not finite, or a checkpoint cannot be written.
        Stopped: at SIGINT, SIGTERM, SIGHUP, SIGUSR1 or SIGUSR2, after the step, with ``last.ckpt`` of it.

    Example:
        >>> import tempfile
        >>> from oponm.data import DigitsLT
        >>> from oponm.models import SmallCNN
        >>> from oponm.nn import convert_batchnorm
        >>> from oponm.training import Phase
        >>> data = DigitsLT(imbalance_ratio=50)
        >>> data.setup()
        >>> module = LongTailModule(convert_batchnorm(SmallCNN(in_channels=1)), class_counts=data.class_counts)
        >>> plan = PhasePlan([Phase(1), Phase(1, "class_balanced", noise=True)], max_epochs=2)
        >>> folder = Path(tempfile.mkdtemp())
        >>> result = train(module, data, plan, folder, accelerator="cpu")
        >>> result["phases"][1], (folder / "checkpoints/last.ckpt").is_file()
        ({'name': 'class_balanced+noise', 'start': 1}, True)
    """
    check_callbacks(callbacks)
    check_averages(callbacks, plan)
    if temperature_scaling:
        if data.val == "none":
            raise InputError("needs validation images to fit on: set data.val=split", "trainer.temperature_scaling")
        check_temperature(module.model, len(data.class_names))
    module.plan = plan
    if NOTED not in vars(module.model):
        settle_classifier(module.model, len(data.class_names), data.image_shape)
    for phase, start in zip(plan.phases, plan.starts, strict=True):
        log.info("phase %s from epoch %d", phase.name, start)
    validating = data.val != "none"
    guard = NonFinite(check_choice("on_nonfinite", on_nonfinite, REACTIONS))
    checkpoints = Checkpoints(run_dir / "checkpoints", guard, validating, checkpoint_every, checkpoint_every_n_steps)
    history, stop = checkpoints.history, checkpoints.stop
    plugins = [checkpoints.files, *trainer_options.get("plugins", [])]
    if others := [type(plugin).__name__ for plugin in plugins[1:] if isinstance(plugin, CheckpointIO)]:
        message = f"contain {others[0]}, but a run writes its checkpoints itself, atomically: leave it out"
        raise InputError(message, "trainer.plugins")
    options = {"limit_val_batches": 1.0 if validating else 0, **trainer_options, "plugins": plugins}
    parts = module.trains_parts or module.has_idle_weights
    own: dict[str, Any] = {"max_epochs": plan.max_epochs, "default_root_dir": run_dir, "parts": parts}
    trainer = try_part(
        "trainer", lambda: make_trainer([*callbacks, guard, checkpoints], [*(loggers or []), history], **own, **options)
    )
    module.scales_loss = getattr(trainer.precision_plugin, "scaler", None) is not None
    module.clips_mixed = clips_mixed(trainer)
    with stop, ExitStack() as resources:
        state = resume
        if phase_cache:
            key: dict[str, Any] = {"options": trainer_options, "callbacks": callbacks}
            fork = Fork(phase_cache, module, data, trainer, checkpoints, resume["epoch"] if resume else 0, **key)
            state = resources.enter_context(fork).state or resume
            trainer.callbacks.insert(0, fork)
        rows = state_of(state)["history"] if state else []

        def begin() -> None:
            ready()
            history.replay(rows, loggers or [])

        checkpoints.begin = begin
        if state:
            checkpoints.files.held[LAST] = dict(state)
        try:
            trainer.fit(module, datamodule=data, ckpt_path=LAST if state else None)
        except Exception as error:
            refusing = "callbacks" if _in_file_of(error, "pytorch_lightning/callbacks/") else "trainer"
            if (
                isinstance(error, InputError)
                or not _of_lightning(error)
                or (checkpoints.begun and refusing == "trainer")
            ):
                raise
            raise InputError(f"cannot be used: {' '.join(str(error).split())}", refusing) from error
        if not checkpoints.begun:  # training was over already
            begin()
        if not checkpoints.ended:
            checkpoints.ended = True
            checkpoints.save_last(trainer)
        (received,) = largest([stop.received or 0])  # a signal after the last check between steps
        if received:
            raise Stopped(received, trainer.global_step)
    module.finish()
    result = {"train_seconds": round(checkpoints.elapsed, 3), "epochs": trainer.current_epoch, "validation": data.val}
    result["data_facts"] = data.facts
    result["phases"] = [
        {"name": phase.name, "start": start} for phase, start in zip(plan.phases, plan.starts, strict=True)
    ]
    if plan.uses_noise and not any(isinstance(part, _BatchNorm) for part in module.model.modules()):
        result["no_batch_norm"] = True
    result["validation_metrics"] = history.last("val/")
    if temperature_scaling:
        result["temperature"] = calibrate(
            module, data, checkpoints.folder / LAST, lambda: make_trainer(**trainer_options)
        )
    tested = _test(trainer, module, data)
    matrix = tested.pop("confusion_matrix")
    tested["confusion_matrix"] = write_confusion(run_dir, matrix) if rank() == 0 else None
    if rank() == 0:
        write_predictions(run_dir, module.predicted)
    result["reused"], result["skipped_steps"] = checkpoints.reused, guard.skipped
    if checkpoints.best:
        result["best"] = _test_best(module, data, checkpoints, temperature_scaling, **trainer_options)
    return {**tested, **result}


def _of_lightning(error: Exception) -> bool:
    """Whether an error is Lightning's refusal of a setting."""
    if isinstance(error, MisconfigurationException):
        return True
    return isinstance(error, TypeError | ValueError | RuntimeError) and _in_file_of(error, "pytorch_lightning")


def _in_file_of(error: Exception, part: str) -> bool:
    """Whether a file with a part in its path raised an error."""
    return part in Path(traceback.extract_tb(error.__traceback__)[-1].filename).as_posix()


def _test_best(
    module: LongTailModule, data: LongTailDataModule, checkpoints: Checkpoints, calibrates: bool, **trainer_options: Any
) -> dict[str, Any]:
    """Evaluate the weights of the best validation epoch, and restore the last ones."""
    assert checkpoints.best
    last = {name: tensor.clone() for name, tensor in module.model.state_dict().items()}
    load_weights(module.model, checkpoints.folder / BEST)
    if calibrates and temperature_of(checkpoints.folder / BEST) is None:
        calibrate(module, data, checkpoints.folder / BEST, lambda: make_trainer(**trainer_options))
    tested = evaluate(module, data, **trainer_options)
    module.model.load_state_dict(last)
    return {
        "epoch": checkpoints.best["epoch"],
        MONITOR: round(checkpoints.best["score"], 6),
        "metrics": tested["metrics"],
        "recall": tested["recall"],
    }


def evaluate(
    module: LongTailModule, data: LongTailDataModule, loggers: list[Logger] | None = None, **trainer_options: Any
) -> dict[str, Any]:
    """Evaluate a module on the test set. Without a test set ``metrics`` is empty.

    Afterwards the module's ``predicted`` has the predictions for the test set.

    Args:
        module: the module, with its weights loaded.
        data: the data module, set up.
        loggers: Lightning loggers; None uses none.
        **trainer_options: options of :func:`make_trainer`: ``accelerator``, ``precision``, ``sync_batchnorm`` and
            others.

    Returns:
        Dict with ``metrics`` (by name, in [0, 1]), ``recall``, ``precision``, ``fifths`` and ``confusion_matrix``
        (sparse, or None) of :class:`~oponm.metrics.Evaluation`; ``noise_histogram``, the result of
        :func:`~oponm.training.noise_answers.noise_answers`; a description of the data: ``class_names``,
        ``class_counts``, ``test_counts`` and digests; and ``cross_validation`` if the test set is a fold.

    Example:
        >>> from oponm.data import DigitsLT
        >>> from oponm.models import SmallCNN
        >>> data = DigitsLT(imbalance_ratio=50)
        >>> data.setup()
        >>> module = LongTailModule(SmallCNN(in_channels=1), class_counts=data.class_counts)
        >>> result = evaluate(module, data, accelerator="cpu")
        >>> int(result["confusion_matrix"].sum()), sum(result["noise_histogram"])
        (500, 1000)
    """
    return _test(make_trainer(loggers=loggers, **trainer_options), module, data)


def make_trainer(
    callbacks: Sequence[pl.Callback] = (),
    loggers: list[Logger] | None = None,
    parts: bool = False,
    sync_batchnorm: bool = False,
    trainer_class: type[pl.Trainer] = pl.Trainer,
    **options: Any,
) -> pl.Trainer:
    """Make a trainer; if this process has joined a process group, the trainer uses DDP in all processes of the group.

    Unlike Lightning's default, it replaces no samplers and shows no progress bar and no model summary.

    Args:
        callbacks: Lightning callbacks; one of them writes the checkpoints, if any are written.
        loggers: Lightning loggers; None uses none.
        parts: whether some weights get no gradient in some steps: DDP's ``find_unused_parameters``.
        sync_batchnorm: whether batch norms standardize by the rows of all processes.
        trainer_class: class of the trainer.
        **options: options of ``pytorch_lightning.Trainer``, which override the values that this function sets.

    Raises:
        InputError: for an option that Lightning refuses, or one that contradicts the phases or exact resumption.
    """
    made: dict[str, Any] = {"num_sanity_val_steps": 0, "enable_progress_bar": False, "enable_model_summary": False}
    made |= {"use_distributed_sampler": False, "enable_checkpointing": bool(callbacks)}
    size = world_size()
    plugins: list[Any] = [LightningEnvironment()]  # not SLURM's, even if its variables are set
    made |= {"devices": 1}
    if size > 1:
        made["devices"] = int(os.environ.get("LOCAL_WORLD_SIZE", size))
        made |= {"num_nodes": size // made["devices"], "strategy": DDPStrategy(find_unused_parameters=parts)}
        plugins = [TorchElasticEnvironment(), *([BatchNormSync()] if sync_batchnorm else [])]
    if options.get("strategy") == "auto":
        del options["strategy"]
    made |= {**options, "plugins": [*plugins, *options.get("plugins", [])]}
    return trainer_class(callbacks=[OwnSignals(), *callbacks], logger=loggers or False, **made)


def _test(trainer: pl.Trainer, module: LongTailModule, data: LongTailDataModule) -> dict[str, Any]:
    if data.test_counts:
        trainer.test(module, datamodule=data, verbose=False, weights_only=True)
    else:
        module.evaluation, module.predicted = unmeasured(data.class_counts), None
    crossed = {} if data.cross_validation is None else {"cross_validation": data.cross_validation}
    return {
        **crossed,
        "metrics": module.evaluation.scalars,
        "recall": module.evaluation.recall,
        "precision": module.evaluation.precision,
        "fifths": module.evaluation.fifths,
        "confusion_matrix": module.evaluation.confusion_matrix,
        "noise_histogram": noise_answers(trainer, module, data),
        "class_names": data.class_names,
        "class_counts": data.class_counts,
        "test_counts": data.test_counts,
        "split_digest": data.digest,
        "content_digest": data.content_digest,
        "lengths_digest": data.lengths_digest,
        "test_digest": data.test_digest,
        "val_digest": data.val_digest,
    }
