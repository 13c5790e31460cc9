"""Functions for the second stage of decoupled training: freeze parts of a network, reset or scale its classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, register_parametrization, remove_parametrizations

from oponm.errors import InputError, check_choice, check_real
from oponm.models.classifier import find_classifier, find_linear_classifier

PARTS = ("all", "classifier", "scale")
_FROZEN = "_frozen_by_set_trainable"  # attribute of a network with the parameters to unfreeze


def reset_classifier(model: nn.Module, num_classes: int | None = None) -> None:
    """Draw new weights of the classifier from the global generator: the start of classifier re-training (cRT).

    Args:
        model: any network; changed in place.
        num_classes: number of outputs of the classifier, see :func:`~oponm.models.find_classifier`.

    Raises:
        InputError: as in :func:`find_classifier`; and for a classifier with a learnable scale.

    References:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, Sec. 4.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(8, 10))
        >>> before = model[1].weight.detach().clone()
        >>> reset_classifier(model)
        >>> bool((model[1].weight == before).any())
        False
    """
    _, classifier = find_classifier(model, num_classes)
    if is_parametrized(classifier):
        raise InputError("the classifier has a learnable scale: call fold_scale(model) before resetting the classifier")
    layers = [layer for layer in classifier.modules() if callable(getattr(layer, "reset_parameters", None))]
    if not layers:
        raise InputError(
            f"the classifier is a {type(classifier).__name__}, which cannot draw its weights: give it a method "
            "reset_parameters()"
        )
    for layer in layers:
        layer.reset_parameters()  # type: ignore[operator]


class LearnableScale(nn.Module):
    """Learnable weight scaling (LWS): the weight rows of a linear classifier become ``f_i * w_i``, f_i = 1 at first.

    It is a parametrization of the layer's weight (``torch.nn.utils.parametrize``), added by :func:`wrap_scale` and
    merged into the weights by :func:`fold_scale`. The bias is not scaled.

    Args:
        num_classes: number of rows.

    References:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, Sec. 4; its
        equation scales weights alone, where some code bases scale the logits, bias included.

    Example:
        >>> LearnableScale(3)(torch.ones(3, 2)).tolist()
        [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(num_classes))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight (num_classes, features), each row times its scale."""
        return self.scale[:, None] * weight


def wrap_scale(model: nn.Module, num_classes: int | None = None) -> None:
    """Give the linear classifier a :class:`LearnableScale`; predictions stay the same.

    The state dict has the weight as ``parametrizations.weight.original`` until :func:`fold_scale`.

    Args:
        model: any network; changed in place.
        num_classes: number of outputs of the classifier, see :func:`~oponm.models.find_classifier`.

    Raises:
        InputError: for a network without a linear classifier (a cosine classifier has no use for lengths), or one that
            has a scale already.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(8, 10, bias=False))
        >>> wrap_scale(model)
        >>> set_trainable(model, "scale")
        >>> [tuple(parameter.shape) for parameter in model.parameters() if parameter.requires_grad]
        [(10,)]
    """
    _, classifier = find_linear_classifier(model, num_classes)
    if is_parametrized(classifier):
        raise InputError("the classifier has a learnable scale already: call fold_scale(model) first")
    scale = LearnableScale(classifier.out_features).to(classifier.weight.device, classifier.weight.dtype)
    register_parametrization(classifier, "weight", scale.train(classifier.training))


def fold_scale(model: nn.Module) -> None:
    """Multiply the scale of :func:`wrap_scale` into the weights: a plain linear layer with the same predictions.

    The weight stays the same parameter, so an optimizer that holds it keeps training it.

    Args:
        model: any network; changed in place, unless it has no scale.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(8, 10))
        >>> wrap_scale(model)
        >>> fold_scale(model)
        >>> list(model.state_dict())
        ['1.weight', '1.bias']
    """
    for layer in [scale[0] for scale in _scaled_layers(model)]:
        remove_parametrizations(layer, "weight", leave_parametrized=True)
        # The weight is registered after the bias now; optimizers number parameters by their order.
        layer.register_parameter("bias", layer._parameters.pop("bias"))


def tau_normalize(model: nn.Module, tau: float, num_classes: int | None = None) -> None:
    """Normalize the weight rows of the linear classifier, ``w_i / ||w_i||^tau``, and drop its bias, in place.

    tau = 0 keeps the weights, tau = 1 gives all rows the same length. The published classifier has no bias; here the
    bias becomes zero, so that the state dict keeps its form. A row of zeros stays as it is.

    Args:
        model: any network; changed in place.
        tau: at least 0; usually between 0 and 1, chosen on validation images.
        num_classes: number of outputs of the classifier, see :func:`~oponm.models.find_classifier`.

    Raises:
        InputError: for a negative tau, a network without a linear classifier (rows of a cosine classifier have
            length 1 already), or one with a learnable scale.

    References:
        Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, Sec. 4.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 10))
        >>> tau_normalize(model, 1.0)
        >>> bool(torch.allclose(model[0].weight.norm(dim=1), torch.ones(10)))
        True
    """
    check_real("tau", tau, 0)
    _, classifier = find_linear_classifier(model, num_classes)
    if is_parametrized(classifier):
        raise InputError("the classifier has a learnable scale: call fold_scale(model) first")
    with torch.no_grad():
        norms = classifier.weight.norm(dim=1, keepdim=True)
        classifier.weight.div_(torch.where(norms > 0, norms, 1.0) ** tau)
        if classifier.bias is not None:
            classifier.bias.zero_()


def set_trainable(model: nn.Module, part: str, num_classes: int | None = None) -> None:
    """Make a part of the network trainable and freeze the rest, by ``requires_grad``.

    Parameters that were frozen elsewhere stay frozen, for any part: the network remembers which ones this function
    froze, and only those are unfrozen.

    Running statistics of batch norm are no parameters: they are still updated unless the layers are in evaluation mode.

    Args:
        model: any network; changed in place.
        part: ``"all"`` parameters, those of the ``"classifier"``, or only the ``"scale"`` of :func:`wrap_scale`.
        num_classes: number of outputs of the classifier, see :func:`~oponm.models.find_classifier`.

    Raises:
        InputError: for an unknown part, a part that the network does not have, or one that is completely frozen;
            nothing is changed then.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 10))
        >>> _ = model[0].requires_grad_(False)
        >>> for part in ("classifier", "all"):
        ...     set_trainable(model, part)
        ...     [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        ['2.weight', '2.bias']
        ['1.weight', '1.bias', '2.weight', '2.bias']
    """
    trained: list[nn.Module] = [model]
    if check_choice("part", part, PARTS) == "classifier":
        trained = [find_classifier(model, num_classes)[1]]
    elif part == "scale":
        trained = [scale for _, scale in _scaled_layers(model)]
        if not trained:
            raise InputError("is scale, and the classifier has none: call wrap_scale(model) first", "part")
    frozen = list(vars(model).get(_FROZEN, []))
    kept = {id(parameter) for module in trained for parameter in module.parameters()}
    able = [parameter for parameter in model.parameters() if parameter.requires_grad] + frozen
    if part != "all" and not any(id(parameter) in kept for parameter in able):
        raise InputError(
            f"is {part}, whose parameters were all frozen before training: set their requires_grad to True", "part"
        )
    vars(model).pop(_FROZEN, None)
    if part != "all":
        vars(model)[_FROZEN] = [parameter for parameter in able if id(parameter) not in kept]
    for parameter in able:
        parameter.requires_grad_(id(parameter) in kept)


def _scaled_layers(model: nn.Module) -> list[tuple[nn.Module, LearnableScale]]:
    return [
        (layer, step)
        for layer in model.modules()
        if is_parametrized(layer, "weight")
        for step in layer.parametrizations["weight"]  # type: ignore[index]
        if isinstance(step, LearnableScale)
    ]
