"""Starts a training run from Python: as ``oponm train`` does, with names of its choices or with objects."""

from __future__ import annotations

import atexit
import inspect
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from torch import nn

from oponm.configs import choice_settings, groups
from oponm.data import LongTailDataModule
from oponm.data.noise import NoiseFactory
from oponm.data.sources.datasets import as_data_module
from oponm.errors import InputError, check_choice, check_int, check_path
from oponm.launched import launched_elsewhere, restarted
from oponm.training.compose import compose_run
from oponm.training.distributed import first_says, join_for_good, rank
from oponm.training.phase_cache import PhaseCache
from oponm.training.phases import Phase
from oponm.training.run import run
from oponm.training.runs import Run
from oponm.training.settings import as_settings


def fit(
    data: LongTailDataModule | str | PathLike[str] | Any,
    model: str | nn.Module | Callable[..., nn.Module] = "small_cnn",
    method: str | Sequence[Phase] = "open",
    *,
    max_epochs: int = 200,
    seed: int | None = None,
    noise: str | NoiseFactory | None = None,
    norm: str = "dar",
    noise_grad: str | None = None,
    optimizer: str | Callable[..., torch.optim.Optimizer] = "sgd",
    schedule: str | Callable[..., Callable[[int], float]] | None = None,
    loss: str | Callable[[Sequence[int]], nn.Module] | None = None,
    head: str | None = None,
    weights: str | PathLike[str] | None = None,
    classifier: str | None = None,
    tau: float | None = None,
    shots: Mapping[str, int | None] | None = None,
    output_dir: str | PathLike[str] | None = None,
    resume: bool = False,
    phase_cache: PhaseCache | str | PathLike[str] | None = None,
    loggers: Logger | Sequence[Logger] | None = None,
    callbacks: str | pl.Callback | Sequence[str | pl.Callback] = (),
    **trainer_options: Any,
) -> Run:
    """Train a network on long-tailed data by a method, evaluate it on the test set, and save the run.

    Defaults are those of ``oponm train`` for the same data, and the weights are identical to those of the command.
    Names are those of the command line's choices (``oponm --help`` lists them).

    For a sweep, call ``fit`` in a loop. With one ``phase_cache``, each phase that several runs share is trained once.
    :func:`oponm.report.read_report` reads the runs.

    With ``devices=4``, ``fit`` starts four processes, trains in them and returns the run. The processes import the
    calling script, so the call must stand below ``if __name__ == "__main__":``. If ``torchrun`` or ``srun`` has started
    the script in that many processes, call ``fit`` in each of them: rank 0 writes, and all return the run.

    Args:
        data: the data module, with its augmentation, mixing and noise. It is not changed, and can serve many runs. Or a
            folder of images, see :class:`~oponm.data.ImageFolderLT`; or a dataset of torch or torchvision, see
            :class:`~oponm.data.DatasetLT`.
        model: a name, with ``"timm/..."`` and ``"torchvision/..."`` for networks of these libraries; or a function
            called with ``num_classes`` and ``in_channels`` that makes the network; or a network, which is trained in
            place.
        method: a name, or the phases of your own method.
        max_epochs: number of epochs of the run; lengths of phases and the schedule scale with it.
        seed: whole number, at least 0, that determines the order of images, augmentation, noise, dropout and initial
            weights; None takes the seed of the data module.
        noise: a name, or a factory of the noise transform with the arguments of :func:`~oponm.data.noise.make_noise`;
            None takes the noise of the data module.
        norm: kind of batch norm: ``"dar"``, ``"aux"`` or ``"standard"``, as in :func:`~oponm.nn.convert_batchnorm`.
        noise_grad: how far gradients of noise rows reach: ``"none"``, ``"input"`` or ``"full"``, as in
            :func:`~oponm.nn.routed_batch_norm`; None means ``"none"`` for DAR-BN, else ``"full"``.
        optimizer: a name, or a function from parameters to an optimizer, such as ``partial(torch.optim.SGD, lr=0.1)``.
        schedule: a name, or a function called with ``max_epochs`` that returns the learning rate's factor as a function
            of the epoch; None takes the command's default for the data: ``"step"`` for the digits, else ``"paper"``.
        loss: a name, or a function from the class counts to the loss; None takes the loss of the method.
        head: ``"linear"`` or ``"cosine"``; None takes the head of the method.
        weights: a file of initial weights.
        classifier: the name, in the network's ``named_modules``, of the layer that gives the logits; None finds it by
            a forward pass.
        tau: at the end, each weight row of the classifier is divided by this power of its norm, see
            :class:`~oponm.training.PhasePlan`; None takes the method's.
        shots: dict with ``many_over`` and ``few_under``, the thresholds of :func:`~oponm.longtail.shot_groups`; both
            None groups the classes into thirds. A missing key has the command's default for the data: thirds for your
            own files, else 100 and 20. None stands for an empty dict.
        output_dir: the run's folder, empty or new; None makes a temporary one, deleted when the program ends.
        resume: true resumes the unfinished run in ``output_dir``, if there is one; a finished run is only read. False
            refuses a folder that holds a run.
        phase_cache: a folder of phases that runs share, or a :class:`~oponm.training.PhaseCache`; None uses no cache.
        loggers: one or several loggers of Lightning; None writes ``metrics.csv`` into the folder.
        callbacks: callbacks in addition to the command line's default ones: objects of Lightning, or names of the
            command line's choices, such as ``"ema"``.
        **trainer_options: settings under ``trainer`` of the command line, described in ``conf/trainer/default.yaml``,
            such as ``accelerator``, ``devices``, ``precision``, ``compile``, ``num_threads``, ``on_nonfinite`` or
            ``checkpoint_every_minutes``; and options of ``pytorch_lightning.Trainer``, such as ``gradient_clip_val`` or
            ``limit_train_batches``. They are values, or objects such as a strategy or a profiler.

    Returns:
        The finished run.

    Raises:
        InputError: naming the argument that cannot be used, before anything is written; or later, if the loss diverges.
        Stopped: at SIGINT, SIGTERM, SIGHUP, SIGUSR1 or SIGUSR2, after the step; ``resume=True`` resumes there.
        ChildProcessError: if one of the processes that ``fit`` started died.

    Example:
        >>> from oponm.data import DigitsLT
        >>> run = fit(DigitsLT(imbalance_ratio=50), method="open", max_epochs=2)
        >>> run.result["class_counts"]
        [128, 82, 53, 34, 22, 14, 9, 6, 3, 2]
        >>> [phase["name"] for phase in run.result["phases"]]
        ['instance', 'class_balanced+noise']
        >>> run.network(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 10])
    """
    data, listed = as_data_module(data), _listed(loggers)
    seed = check_int("seed", data.seed if seed is None else seed, minimum=0)
    check_path("output_dir", output_dir or ".")
    if output_dir is None and resume and not restarted():
        raise InputError("must name the folder of the run to resume", "output_dir")
    chosen: dict[str, Any] = {"model": model, "method": method, "noise": noise, "norm": norm}
    chosen |= {"optimizer": optimizer, "schedule": schedule, "loss": loss}
    for name in {"augmentation", "mixing"} & trainer_options.keys():
        raise InputError(f"is a setting of the data: {type(data).__name__}({name}=...)", name)
    named_callbacks, own_callbacks = _callbacks(callbacks)
    of_network = {"head": head, "weights": weights, "classifier": classifier}
    own: dict[str, Mapping[str, Any]] = {"trainer": {"max_epochs": max_epochs, **trainer_options}, "model": of_network}
    own |= {"method": {"tau": tau}, "norm": {"noise_grad": noise_grad}, "shots": shots or {}}
    composed = compose_run(data, chosen, seed, own)
    objects = {name: value for name, value in trainer_options.items() if as_settings(value) != value}
    if launched_elsewhere():
        join_for_good()  # as all processes share one temporary folder
    folder = first_says(_temporary() if output_dir is None and rank() == 0 else output_dir)
    config, choices, overrides = composed.config, composed.choices, composed.overrides
    for choice in named_callbacks:
        config.callbacks.merge_with(choice_settings("callbacks", choice))
    if named_callbacks:
        choices = {**choices, "callbacks": ",".join(named_callbacks)}
        overrides = [*overrides, f"callbacks=[{','.join(named_callbacks)}]"]
    config.output_dir, config.resume = str(Path(folder).expanduser()), "auto" if resume else None
    cache = phase_cache if isinstance(phase_cache, PhaseCache) else None
    config.phase_cache = "off"
    if not (phase_cache is None or isinstance(phase_cache, PhaseCache)):
        config.phase_cache = str(check_path("phase_cache", phase_cache))
    try:
        return run(
            *(config,),
            choices=choices,
            overrides=overrides,
            loggers=listed,
            callbacks=own_callbacks,
            phase_cache=cache,
            started_from="oponm.training.fit",
            **{**composed.given, "trainer": objects},
        )
    except BaseException as error:
        if output_dir is None:
            shutil.rmtree(folder, ignore_errors=True)
        argument = str(getattr(error, "key", None)).rpartition(".")[2]
        if isinstance(error, InputError) and argument in {*inspect.signature(fit).parameters, *trainer_options}:
            raise InputError(error.message, argument) from error
        raise


def _temporary() -> str:
    """A folder that is deleted when the program ends."""
    folder = tempfile.mkdtemp(prefix="oponm-run-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _callbacks(given: Any) -> tuple[list[str], list[Any]]:
    """The callbacks that are named, and those that are objects."""
    listed = [given] if isinstance(given, (str, pl.Callback)) else given or []
    if not isinstance(listed, Sequence) or not all(isinstance(each, (str, pl.Callback)) for each in listed):
        raise InputError(f"must be Lightning's, or names of choices, one or a list of them, got {given!r}", "callbacks")
    names = [check_choice("callbacks", each, groups()["callbacks"]) for each in listed if isinstance(each, str)]
    return names, [each for each in listed if not isinstance(each, str)]


def _listed(loggers: Any) -> list[Logger] | None:
    """One logger or several as a list."""
    listed = [loggers] if isinstance(loggers, Logger) else loggers
    if listed is None or (isinstance(listed, Sequence) and all(isinstance(each, Logger) for each in listed)):
        return None if listed is None else list(listed)
    raise InputError(f"must be Lightning's, one or a list of them, got {loggers!r}", "loggers")
