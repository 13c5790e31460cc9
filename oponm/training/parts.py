"""Freezes and unfreezes parts of a network at phase boundaries, sets train and eval mode, and normalizes at the end."""

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
    """Prepare a network for a phase that begins: reset the classifier, add a scale, and freeze what is not trained.

    Args:
        model: the network, changed in place.
        part: what the phase trains: ``"all"``; ``"classifier"``, the last layer; ``"scale"``, a factor for each class's
            weights in the last layer, which is added here; or ``"scaled_classifier"``, the last layer and this scale.
        reset: whether to give the classifier new initial weights, from torch's global generators.
        num_classes: number of outputs of the classifier.
    """
    if reset:
        reset_classifier(model, num_classes)
    if part in SCALED:
        wrap_scale(model, num_classes)
    set_trainable(model, "classifier" if part == "scaled_classifier" else part, num_classes)


def leave_part(model: nn.Module) -> None:
    """Fold the scale into the classifier, which keeps the predictions; unfreeze all that the user did not freeze."""
    fold_scale(model)
    set_trainable(model, "all")


def set_modes(model: nn.Module, part: str, batchnorm: str | None, num_classes: int) -> None:
    """Put the trained part into training mode and what is frozen into evaluation mode.

    Args:
        model: the network, changed in place.
        part: what the phase trains, as in :func:`enter_part`.
        batchnorm: ``"batch"`` lets frozen batch norms standardize by the batch, natural and noise rows separately, and
            update their running statistics. ``"running"`` or None lets them standardize by their running statistics,
            which stay as they are, so the features are those of evaluation. Dropout of frozen parts is off.
        num_classes: number of outputs of the classifier.
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

    Args:
        model: the network, changed in place.
        tau: exponent of :func:`~oponm.models.two_stage.tau_normalize`; None changes nothing.
        num_classes: number of outputs of the classifier.

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
    """Return the state dict of the network with its scale folded in and ``tau`` applied; the model is not changed.

    Args:
        model: the network as it is trained.
        tau: exponent of :func:`~oponm.models.two_stage.tau_normalize`; None normalizes nothing.
        num_classes: number of outputs of the classifier.
        weights: a state dict of the model, such as an average; None takes the model's own.

    Returns:
        The new state dict; ``weights`` itself if there is neither a scale nor ``tau``.
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
    """Apply the start and the end of each phase to a copy of the network, to find phases that do not support it.

    Nothing is trained. Some phases need a linear classifier, for example.

    Args:
        model: the network; it is not changed.
        plan: the phases.
        num_classes: number of outputs of the classifier.

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
