"""From the parts of a run to a module that is ready to train, each part tried out before anything is written."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn

from oponm.data import LongTailDataModule
from oponm.errors import InputError, check_flag
from oponm.losses import batch_loss, class_weights
from oponm.nn import convert_batchnorm, noise_routing
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
    confusion_matrix: bool | str = "auto",
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
        confusion_matrix: see there.
        **trainer_options: for :func:`~oponm.training.make_trainer`.

    Raises:
        InputError: naming the part that cannot be used.
    """
    classes = len(data.class_names)
    _try("augmentation", lambda: _augmented(data))
    logits = _try("model", lambda: _one_image(model, data.image_shape, classes))
    idle = _has_idle_weights(model, logits)
    _try("phases", lambda: rehearse(model, plan, classes))
    if plan.uses_noise:
        convert_batchnorm(model, **norm)
    for make in (loss, *(phase.loss for phase in plan.phases if phase.loss)):
        _try("loss", partial(_two_losses, make, data.class_counts))
    for number, phase in enumerate(plan.phases):
        step = partial(_one_step, model, phase, number, data, (phase.loss or loss)(data.class_counts))
        _try("model", step)
    _try("schedule", lambda: float(schedule(0)))
    if check_flag("compile", compile):
        _try("compile", lambda: torch.compile(torch.neg)(torch.ones(2)))  # as it may lack a compiler
    if split_noise is True and plan.uses_noise:
        _check_split(model, plan, data.image_shape, classes, compile)
    execution = (check_flag("channels_last", channels_last), compile, split_noise, confusion_matrix)
    of_classes = (data.class_counts, optimizer, schedule, seed, dict(shots or {}), loss)
    module = LongTailModule(model, *of_classes, *execution)
    module.has_idle_weights = idle
    _try("phases", lambda: [plan.rate(epoch, schedule) for epoch in range(plan.max_epochs)])
    _try("optimizer", lambda: optimizer(module.parameters()))
    _try("trainer", lambda: make_trainer(**trainer_options))
    return module


def _augmented(data: LongTailDataModule) -> torch.Tensor:
    """Augment two black images, as some recipes take colour images only."""
    with derived_randomness(0, "trial"):
        return data.pipeline.augmentation(torch.zeros(2, *data.image_shape))


def _one_image(model: nn.Module, shape: tuple[int, ...], classes: int) -> torch.Tensor:
    """Show the network a black image, as some take one size only, or are made for other classes."""
    logits = model.eval()(torch.zeros(1, *shape))
    model.train()
    given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
    if given != (1, classes):
        raise InputError(f"gives {given} for an image, not logits (1, {classes}), one a class", "model")
    return logits


def _two_losses(make: Callable[..., nn.Module], class_counts: Sequence[int]) -> None:
    """Make a loss and ask it for that of two rows."""
    if isinstance(make, nn.Module):
        name = type(make).__name__
        raise InputError(f"must be what makes it from the class counts, got a {name}: lambda counts: {name}()", "loss")
    losses = make(class_counts)(torch.zeros(2, len(class_counts)), torch.tensor([0, 1]))
    if tuple(losses.shape) != (2,):
        raise InputError(
            f"gives {tuple(losses.shape)} for two rows, and must give a loss for each, (2,): reduction='none' in place "
            "of a mean, as rows are weighted here",
            "loss",
        )


def _has_idle_weights(model: nn.Module, logits: torch.Tensor) -> bool:
    """Whether some of its weights have no part in the logits, such as those of a head for another task."""
    reached, seen, steps = set(), set(), [logits.grad_fn]
    while steps:
        step = steps.pop()
        if step is not None and step not in seen:
            seen.add(step)
            reached.add(id(getattr(step, "variable", None)))
            steps += [earlier for earlier, _ in step.next_functions]
    return any(each.requires_grad and id(each) not in reached for each in model.parameters())


def _one_step(model: nn.Module, phase: Phase, number: int, data: LongTailDataModule, loss: nn.Module) -> None:
    """Make a training step of a phase with a copy of the network: else what fails in the last one fails after hours.

    Some networks give something else than logits in training; others reorder rows, which noise shows.
    """
    classes, rows = len(data.class_names), 4 if phase.noise else 2
    check_margins(loss, model, classes)
    copied = _in_phase(copy.deepcopy(model), phase, classes)
    is_noise = torch.arange(rows) >= 2 if phase.noise else None
    try:
        with derived_randomness(0, "rehearsal"), noise_routing(is_noise):
            logits = copied(torch.randn(rows, *data.image_shape))
    except InputError as error:
        if not phase.noise:
            raise
        raise InputError(
            f"cannot take noise ({error}): take another one, or a method without noise", "model"
        ) from error
    given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
    if given != (rows, classes):
        raise InputError(
            f"gives {given} for {rows} images in training (phase {number}, {phase.name}), not logits ({rows}, "
            f"{classes}): turn off what it adds there, such as auxiliary heads, or wrap it to return the logits alone",
            "model",
        )
    weights = class_weights(
        data.class_counts, phase.class_weights, **({} if phase.beta is None else {"beta": phase.beta})
    )
    targets = torch.arange(rows) % classes
    batch_loss(loss, logits, targets, weights, is_noise=is_noise, noise_weight=phase.noise_loss).backward()


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


def _try(key: str, make: Callable[[], Any]) -> Any:
    """Make a thing before anything is written, to see whether its settings can be used."""
    try:
        return make()
    except InputError as error:
        if error.key == key:
            raise
        raise InputError(f"cannot be used: {' '.join(str(error).split())}", key) from error
    except (TypeError, ValueError, RuntimeError, MisconfigurationException) as error:
        raise InputError(f"cannot be used: {' '.join(str(error).split())}", key) from error
