"""From the parts of a run to a module that is ready to train, each part tried out before anything is written."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn

from oponm.data import LongTailDataModule
from oponm.errors import InputError, check_flag
from oponm.nn import convert_batchnorm
from oponm.rng import derived_randomness
from oponm.training.margins import check_margins
from oponm.training.module import LongTailModule
from oponm.training.noise_pass import split_obstacle
from oponm.training.parts import enter_part, rehearse, set_modes
from oponm.training.phases import Phase, PhasePlan
from oponm.training.processes import world_size
from oponm.training.run import make_trainer


def assemble(
    data: LongTailDataModule,
    model: nn.Module,
    plan: PhasePlan,
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[[int], float],
    loss: Callable[[Sequence[int]], nn.Module],
    norm: Mapping[str, str],
    seed: int = 0,
    shots: Mapping[str, int] | None = None,
    channels_last: bool = False,
    compile: bool = False,
    split_noise: bool | str = "auto",
    **trainer_options: Any,
) -> LongTailModule:
    """Make the module of a run, and see that each of its parts can be used with the others.

    Args:
        data: set up.
        model: with its initial weights; its batch norm is converted in place where the plan has noise.
        plan: the phases.
        optimizer: see :class:`~oponm.training.LongTailModule`, as the next two.
        schedule: see there.
        loss: see there.
        norm: ``kind`` and ``noise_grad`` of :func:`~oponm.nn.convert_batchnorm`.
        seed: the run's.
        shots: see :class:`~oponm.training.LongTailModule`.
        channels_last: see there, as the next two.
        compile: see there.
        split_noise: see there; true where it cannot be done is an error.
        **trainer_options: for :func:`~oponm.training.make_trainer`.

    Raises:
        InputError: naming the part that cannot be used.
    """
    classes = len(data.class_names)
    _try("augmentation", lambda: _augmented(data))
    _try("model", lambda: _one_image(model, data.image_shape, classes))
    _try("phases", lambda: rehearse(model, plan, classes))
    if plan.uses_noise:
        convert_batchnorm(model, **norm)
    _try("schedule", lambda: float(schedule(0)))
    if check_flag("compile", compile):
        _try("compile", lambda: torch.compile(torch.neg)(torch.ones(2)))  # as it may lack a compiler
    if split_noise is True and plan.uses_noise:
        _check_split(model, plan, data.image_shape, classes, compile)
    execution = (check_flag("channels_last", channels_last), compile, split_noise)
    of_classes = (data.class_counts, optimizer, schedule, seed, dict(shots or {}), loss)
    module = LongTailModule(model, *of_classes, *execution)
    for phase in plan.phases:
        module.follow(phase)
        check_margins(module.loss, model, classes)
    _try("phases", lambda: [plan.rate(epoch, schedule) for epoch in range(plan.max_epochs)])
    _try("optimizer", lambda: optimizer(module.parameters()))
    _try("trainer", lambda: make_trainer(**trainer_options))
    return module


def _augmented(data: LongTailDataModule) -> torch.Tensor:
    """Augment two black images, as some recipes take colour images only."""
    with derived_randomness(0, "trial"):
        return data.pipeline.augmentation(torch.zeros(2, *data.image_shape))


@torch.no_grad()
def _one_image(model: nn.Module, shape: tuple[int, ...], classes: int) -> None:
    """Show the network a black image, as some take one size only, or are made for other classes."""
    try:
        logits = model.eval()(torch.zeros(1, *shape))
    except AssertionError as error:  # of a transformer, whose positions are those of one size
        raise InputError(_size_remedy(model, shape[-1], str(error)), "model") from error
    model.train()
    if tuple(logits.shape) != (1, classes):
        raise InputError(f"gives {tuple(logits.shape)} for an image, not logits (1, {classes}), one a class", "model")


def _size_remedy(model: nn.Module, size: int, reason: str) -> str:
    option = "image_size" if type(model).__module__.startswith("torchvision.") else "img_size"
    expected = [number for number in re.findall(r"\d+", reason) if int(number) != size]
    resized = f"data.image_size={expected[0]}" if expected else "another data.image_size"
    return f"cannot take images of {size}x{size} ({reason.rstrip('.')}): set +model.{option}={size}, or {resized}"


def _check_split(model: nn.Module, plan: PhasePlan, shape: tuple[int, ...], classes: int, compiles: bool) -> None:
    """Refuse ``split_noise=true`` where noise rows cannot have a pass of their own in each phase that has some."""
    if compiles:
        obstacle: str | None = "torch.compile needs batches of one shape: leave one of the two out"
    elif world_size() > 1:
        obstacle = "it is for one process: use devices=1"
    else:
        tried = {(phase.trainable, phase.batchnorm): phase for phase in plan.phases if phase.noise}.values()
        found = (split_obstacle(_in_phase(model, phase, classes), torch.zeros(1, *shape), classes) for phase in tried)
        obstacle = next(filter(None, found), None)
    if obstacle:
        raise InputError(f"cannot be true: {obstacle}", "split_noise")


def _in_phase(model: nn.Module, phase: Phase, classes: int) -> nn.Module:
    """A network as a phase trains it."""
    if phase.trainable == "all":
        return model.train()
    copied = copy.deepcopy(model)
    enter_part(copied, phase.trainable, False, classes)
    set_modes(copied, phase.trainable, phase.batchnorm, classes)
    return copied


def _try(key: str, make: Callable[[], Any]) -> None:
    """Make a thing before anything is written, only to see whether its settings can be used."""
    try:
        make()
    except InputError as error:
        if error.key == key:
            raise
        raise InputError(f"cannot be used: {' '.join(str(error).split())}", key) from error
    except (TypeError, ValueError, RuntimeError, AssertionError, ImportError, MisconfigurationException) as error:
        raise InputError(f"cannot be used: {' '.join(str(error).split())}", key) from error
