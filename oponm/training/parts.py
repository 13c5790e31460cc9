"""The part of a network that a phase trains, and the modes of the rest."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from oponm.models.classifier import find_classifier, find_linear_classifier
from oponm.models.two_stage import (
    LearnableScale,
    fold_scale,
    reset_classifier,
    set_trainable,
    tau_normalize,
    wrap_scale,
)
from oponm.rng import derived_randomness
from oponm.training.phases import PhasePlan

SCALED = ("scale", "scaled_classifier")  # parts with a learnable scale


def enter_part(model: nn.Module, part: str, reset: bool, num_classes: int) -> None:
    """Prepare a network for a phase that begins.

    Args:
        model: the network, changed in place.
        part: ``"all"``, ``"classifier"``, ``"scale"`` or ``"scaled_classifier"``, see :class:`~oponm.training.Phase`.
        reset: give the classifier new initial weights, from torch's global generators.
        num_classes: number of outputs of the classifier.
    """
    if reset:
        reset_classifier(model, num_classes)
    if part in SCALED:
        wrap_scale(model, num_classes)
    set_trainable(model, "classifier" if part == "scaled_classifier" else part, num_classes)


def leave_part(model: nn.Module) -> None:
    """Restore the plain network, with the same predictions; all is trainable except what the user froze."""
    fold_scale(model)
    set_trainable(model, "all")


def set_modes(model: nn.Module, part: str, batchnorm: str | None, num_classes: int) -> None:
    """Put the trained part into training mode and what is frozen into evaluation mode.

    A frozen batch norm standardizes by its running statistics, which stay as they are; so the features are those of
    evaluation, and dropout is off. With ``batchnorm="batch"`` it standardizes by the batch, natural and noise rows
    apart, and its running statistics are still updated.
    """
    model.train(part == "all")
    if part != "all":
        find_classifier(model, num_classes)[1].train()
        if batchnorm == "batch":
            for module in model.modules():
                if isinstance(module, _BatchNorm):
                    module.train()


def finish_classifier(model: nn.Module, tau: float | None, num_classes: int) -> dict[str, Tensor]:
    """Normalize the classifier's weights if the method has a ``tau``.

    Returns:
        The previous weights, by their names in the model's state dict; empty without ``tau``.
    """
    if tau is None:
        return {}
    name, classifier = find_classifier(model, num_classes)
    before = {f"{name}.{key}": tensor.clone() for key, tensor in classifier.state_dict().items()}
    tau_normalize(model, tau, num_classes)
    return before


def exported_weights(
    model: nn.Module, tau: float | None, num_classes: int, weights: dict[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The state dict that the finished plain network would have; the model itself is not changed.

    Args:
        model: the network as it is trained.
        tau: exponent of the norms, see :func:`finish_classifier`.
        num_classes: number of outputs of the classifier.
        weights: a state dict of the model, such as an average; None is the model's own.

    Returns:
        ``weights`` itself where nothing changes.
    """
    weights = model.state_dict() if weights is None else weights
    if tau is None and not any(isinstance(part, LearnableScale) for part in model.modules()):
        return weights
    name, classifier = find_linear_classifier(model, num_classes)
    prefix = f"{name}." if name else ""
    layer = copy.deepcopy(classifier)
    layer.load_state_dict({key.removeprefix(prefix): each for key, each in weights.items() if key.startswith(prefix)})
    plain = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None)
    plain.to(layer.weight.device, layer.weight.dtype)
    with torch.no_grad():
        plain.weight.copy_(layer.weight)
        if layer.bias is not None:
            plain.bias.copy_(layer.bias)
    finish_classifier(plain, tau, num_classes)
    others = {key: tensor for key, tensor in weights.items() if not key.startswith(prefix)}
    return others | {f"{prefix}{key}": tensor for key, tensor in plain.state_dict().items()}


def rehearse(model: nn.Module, plan: PhasePlan, num_classes: int) -> None:
    """Go through a plan's phases with a copy of the network, as some phases need a classifier of a known kind.

    Raises:
        InputError: for a phase, or a final normalization, that does not work with this network.
    """
    if plan.tau is None and not any(phase.reset_classifier or phase.trainable != "all" for phase in plan.phases):
        return
    copied = copy.deepcopy(model)
    with derived_randomness(0, "rehearsal"):
        for phase in plan.phases:
            if phase.max_norm is not None:
                find_linear_classifier(copied, num_classes)
            enter_part(copied, phase.trainable, phase.reset_classifier, num_classes)
            leave_part(copied)
    finish_classifier(copied, plan.tau, num_classes)
