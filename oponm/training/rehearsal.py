"""Runs the components of a run together on a few images, to find errors before anything is written."""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn

from oponm.data import LongTailDataModule
from oponm.errors import InputError, check_flag
from oponm.losses import batch_loss
from oponm.nn import convert_batchnorm, noise_routing
from oponm.nn.kernel import chosen_kernel
from oponm.rng import derived_randomness
from oponm.training.distributed import world_size
from oponm.training.features import logits_and_loss
from oponm.training.margins import check_margins
from oponm.training.module import Parts
from oponm.training.noise_pass import split_obstacle
from oponm.training.parameter_groups import optimizer_of
from oponm.training.parts import enter_part, rehearse, set_modes
from oponm.training.phases import Phase, PhasePlan

log = logging.getLogger(__name__)


def try_parts(
    data: LongTailDataModule,
    parts: Parts,
    norm: Mapping[str, str],
    compile: bool = False,
    split_noise: bool | str = "auto",
) -> bool:
    """Check by small forward and backward passes that the components of a run work together; convert batch norm.

    Args:
        data: the data module, set up.
        parts: the components of the module. The network's batch norm is converted in place if a phase has noise.
        norm: dict of the arguments ``kind`` and ``noise_grad`` of :func:`~oponm.nn.convert_batchnorm`.
        compile: whether the network will run through ``torch.compile``.
        split_noise: True, False or ``"auto"``: whether noise rows have a separate forward pass. True raises an error if
            that is impossible.

    Returns:
        Whether some weights never get a gradient, such as those of a head that the logits do not use.

    Raises:
        InputError: naming the component that cannot be used.
    """
    plan, model, optimizer, schedule, loss, _ = parts
    classes = len(data.class_names)
    chosen_kernel()  # which raises for one that is not there
    try_part("augmentation", lambda: _augmented(data))
    logits = try_part("model", lambda: _one_image(model, data.image_shape, classes))
    idle = _has_idle_weights(model, logits)
    try_part("phases", lambda: rehearse(model, plan, classes))
    if plan.uses_noise:
        convert_batchnorm(model, **norm)
    for make in (loss, *(phase.loss for phase in plan.phases if phase.loss)):
        try_part("loss", partial(_two_losses, make, data.class_counts))
    for number, phase in enumerate(plan.phases):
        made = (phase.loss or loss)(data.class_counts)
        check_margins(made, model, classes)
        if compile is True and getattr(made, "takes_features", False):
            raise InputError("cannot be true with a loss that needs the features: leave one of the two out", "compile")
        try_part("model", partial(_one_step, model, phase, number, data, made))
    try_part("schedule", lambda: float(schedule(0)))
    if check_flag("compile", compile):
        try_part("compile", lambda: torch.compile(torch.neg)(torch.ones(2)))  # which fails without a compiler
    if split_noise is True and plan.uses_noise:
        _check_split(model, plan, data.image_shape, classes, compile)
    try_part("phases", lambda: [plan.rate(epoch, schedule) for epoch in range(plan.max_epochs)])
    trained = partial(optimizer_of, optimizer, model, classes)
    try_part("optimizer", trained, _MISTAKES[:-1])  # a setting of groups of weights keeps its own key
    for decay in {phase.weight_decay for phase in plan.phases if phase.weight_decay is not None}:
        try_part("phases", partial(trained, weight_decay=decay))
    return idle


_MISTAKES = (TypeError, ValueError, RuntimeError, AssertionError, ImportError, MisconfigurationException)


def try_part(key: str, make: Callable[[], Any], mistakes: tuple[type[Exception], ...] = _MISTAKES) -> Any:
    """Call a factory before anything is written, to find out whether its settings can be used.

    Args:
        key: key that the error names if the call fails.
        make: function without arguments.
        mistakes: classes of the exceptions which mean that a setting is wrong. Only if it is not given, an
            InputError that names another key is raised again for ``key``.

    Returns:
        What ``make`` returns.

    Raises:
        InputError: with ``key``, if one of these exceptions is raised.
    """
    try:
        return make()
    except InputError as error:
        if error.key == key or mistakes is not _MISTAKES:
            raise
        raise InputError(f"cannot be used: {' '.join(str(error).split())}", key) from error
    except mistakes as error:
        unexpected = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        remedy = f"; ~{key}.{unexpected[1]} leaves it out" if unexpected else ""
        raise InputError(f"cannot be used: {' '.join(str(error).split())}{remedy}", key) from error


def _augmented(data: LongTailDataModule) -> torch.Tensor:
    """Augment two black images, as some recipes need color images."""
    with derived_randomness(0, "trial"):
        return data.pipeline.augmentation(torch.zeros(2, *data.image_shape))


def _one_image(model: nn.Module, shape: tuple[int, ...], classes: int) -> torch.Tensor:
    """Pass a black image through the network, as some networks take one size only, or have other classes."""
    try:
        logits = model.eval()(torch.zeros(1, *shape))
    except AssertionError as error:  # raised by transformers, whose position embeddings have one size
        raise InputError(_size_remedy(model, shape[1:], str(error)), "model") from error
    model.train()
    given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
    if given != (1, classes):
        raise InputError(f"gives {given} for an image, not logits (1, {classes}), one for each class", "model")
    with torch.no_grad():  # so that tensors that the network stores have no graph, and it can be copied
        model.eval()(torch.zeros(1, *shape))
    model.train()
    return logits


def _size_remedy(model: nn.Module, size: tuple[int, ...], reason: str) -> str:
    height, width = size
    option = "image_size" if type(model).__module__.startswith("torchvision.") else "img_size"
    expected = [number for number in re.findall(r"\d+", reason) if int(number) not in size]
    resized = f"data.image_size={expected[0]}" if expected else "another data.image_size"
    own = f"set +model.{option}={height}, or {resized}" if height == width else f"set {resized}"
    return f"cannot take images of {height}x{width} ({reason.rstrip('.')}): {own}"


def _two_losses(make: Callable[..., nn.Module], class_counts: Sequence[int]) -> None:
    """Make a loss and compute it for two rows."""
    if isinstance(make, nn.Module):
        name = type(make).__name__
        raise InputError(
            f"must be a function from the class counts to the loss, such as lambda counts: {name}(), got a {name}",
            "loss",
        )
    made = make(class_counts)
    if not isinstance(made, nn.Module):
        raise InputError(
            f"must make a torch.nn.Module from the class counts, but makes a {type(made).__name__}", "loss"
        )
    features = {"feature_norms": torch.ones(2)} if getattr(made, "takes_features", False) else {}
    with derived_randomness(0, "trial"):
        losses = made(torch.zeros(2, len(class_counts)), torch.tensor([0, 1]), **features)
    if tuple(losses.shape) != (2,):
        raise InputError(
            f"gives {tuple(losses.shape)} for two rows, but must give a loss for each row, (2,): set reduction='none', "
            "as rows are weighted afterwards",
            "loss",
        )


def _has_idle_weights(model: nn.Module, logits: torch.Tensor) -> bool:
    """Whether some weights of the network do not affect the logits, such as those of a head for another task."""
    reached, seen, steps = set(), set(), [logits.grad_fn]
    while steps:
        step = steps.pop()
        if step is not None and step not in seen:
            seen.add(step)
            reached.add(id(getattr(step, "variable", None)))
            steps += [earlier for earlier, _ in step.next_functions]
    return any(each.requires_grad and id(each) not in reached for each in model.parameters())


def _one_step(model: nn.Module, phase: Phase, number: int, data: LongTailDataModule, loss: nn.Module) -> None:
    """Do a training step of a phase with a copy of the network: a fault in the last phase would show after hours.

    Some networks return something other than logits in training; others reorder rows, which noise rows reveal.
    """
    classes, rows = len(data.class_names), 4 if phase.noise else 2
    try:
        copied = _in_phase(copy.deepcopy(model), phase, classes)
    except (RuntimeError, TypeError) as error:
        log.info("phases are not rehearsed, as the network cannot be copied: %s", " ".join(str(error).split())[:200])
        return
    is_noise = torch.arange(rows) >= 2 if phase.noise else None
    try:
        with derived_randomness(0, "rehearsal"), noise_routing(is_noise):
            images = torch.randn(rows, *data.image_shape)
            logits, row_loss = logits_and_loss(lambda: copied(images), loss, copied, classes)
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
    targets = torch.arange(rows) % classes
    with derived_randomness(0, "rehearsal"):
        weights = phase.weights(data.class_counts)
        batch_loss(row_loss, logits, targets, weights, is_noise=is_noise, noise_weight=phase.noise_loss).backward()


def _check_split(model: nn.Module, plan: PhasePlan, shape: tuple[int, ...], classes: int, compiles: bool) -> None:
    """Raise InputError for ``split_noise=true`` if noise rows cannot have a separate pass in each phase with noise."""
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
    """A copy of the network as a phase trains it."""
    if phase.trainable == "all":
        return model.train()
    copied = copy.deepcopy(model)
    enter_part(copied, phase.trainable, False, classes)
    set_modes(copied, phase.trainable, phase.batchnorm, classes)
    return copied
