"""Finds and replaces the layer of a network that gives the logits."""

from __future__ import annotations

from torch import nn

from oponm.errors import InputError, check_choice
from oponm.models.cosine import CosineClassifier

HEADS = ("linear", "cosine")
KINDS = (nn.Linear, nn.Conv2d, CosineClassifier)
NOTED = "_gives_logits"  # attribute: the name of a network's classifier, or None; see settle_classifier


def find_classifier(model: nn.Module, num_classes: int | None = None) -> tuple[str, nn.Module]:
    """Find the layer that gives the logits.

    Training finds the layer by a forward pass (:func:`~oponm.models.settle_classifier`) and records it on the network.
    Without a record the layer is guessed: for a timm network it is the layer that ``get_classifier()`` returns; for any
    other, the last ``nn.Linear`` or :class:`CosineClassifier`, in the order of registration, with ``num_classes``
    outputs.

    Args:
        model: any network.
        num_classes: number of outputs of the layer; None allows any number.

    Returns:
        The layer's qualified name (empty if the network is only that layer) and the layer.

    Raises:
        InputError: if there is none, or if timm's is more than one layer (distilled transformers).

    Example:
        >>> find_classifier(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 10)))
        ('2', Linear(in_features=8, out_features=10, bias=True))
    """
    if NOTED in vars(model):
        return _noted(model)
    if callable(getter := getattr(model, "get_classifier", None)):
        classifier = getter()
        if not isinstance(classifier, KINDS):
            raise InputError(
                f"{type(model).__name__} ends in a {type(classifier).__name__}, which is not a single layer: "
                "choose another network, or leave its classifier as it is"
            )
        layers = [(name, layer) for name, layer in model.named_modules() if layer is classifier]
    else:
        kinds = (nn.Linear, CosineClassifier)
        layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, kinds)]
    found = [pair for pair in layers if num_classes is None or _outputs(pair[1]) == num_classes]
    if not found:
        outputs = "" if num_classes is None else f" with {num_classes} outputs"
        raise InputError(
            f"{type(model).__name__} has no classifier{outputs}: a linear layer (nn.Linear) that gives the logits"
        )
    return found[-1]


def find_linear_classifier(model: nn.Module, num_classes: int | None = None) -> tuple[str, nn.Linear]:
    """Find a classifier as :func:`find_classifier` does, and check that it is an ``nn.Linear``.

    Raises:
        InputError: as in :func:`find_classifier`, and if the classifier is not an ``nn.Linear``.

    Example:
        >>> find_linear_classifier(CosineClassifier(8, 10))
        Traceback (most recent call last):
        oponm.errors.InputError: the classifier must be an nn.Linear, and is a CosineClassifier: use head=linear
    """
    name, classifier = find_classifier(model, num_classes)
    if not isinstance(classifier, nn.Linear):
        remedy = "use head=linear" if isinstance(classifier, CosineClassifier) else "choose another network"
        raise InputError(f"the classifier must be an nn.Linear, and is a {type(classifier).__name__}: {remedy}")
    return name, classifier


def replace_classifier(model: nn.Module, head: nn.Module, num_classes: int | None = None) -> nn.Module:
    """Replace the classifier by another layer, which takes the old one's device, dtype and training mode.

    Args:
        model: any network; changed in place.
        head: the new layer, which maps (N, features) to (N, number of classes).
        num_classes: number of outputs of the old classifier; None allows any number.

    Returns:
        ``model``; ``head``, if the network is only its classifier.

    Raises:
        InputError: as in :func:`find_classifier`.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(8, 10))
        >>> replace_classifier(model, nn.Linear(8, 3))[1].out_features
        3
    """
    name, old = find_classifier(model, num_classes)
    weight = next(old.parameters())
    head.to(weight.device, weight.dtype).train(old.training)
    if not name:
        return head
    model.set_submodule(name, head)
    return model


def with_head(model: nn.Module, head: str = "linear", scale: float = 30.0, num_classes: int | None = None) -> nn.Module:
    """Give a network a linear or cosine classifier.

    Args:
        model: any network; changed in place.
        head: ``"linear"`` leaves the network as it is, ``"cosine"`` makes its linear classifier a
            :class:`CosineClassifier` with weights drawn from the global generator.
        scale: scale of the cosine classifier.
        num_classes: number of outputs of the classifier; None allows any number.

    Returns:
        The network, as :func:`replace_classifier` returns it.

    Raises:
        InputError: for an unknown ``head``, or a network without a linear classifier to replace.

    Example:
        >>> with_head(nn.Sequential(nn.Flatten(), nn.Linear(8, 10)), "cosine")[1]
        CosineClassifier(in_features=8, out_features=10, scale=30)
    """
    if check_choice("head", head, HEADS) == "linear":
        return model
    try:
        _, old = find_linear_classifier(model, num_classes)
    except InputError as error:
        raise InputError(f"cannot be {head}: {error.message}", "head") from error
    return replace_classifier(model, CosineClassifier(old.in_features, old.out_features, scale), num_classes)


def _noted(model: nn.Module) -> tuple[str, nn.Module]:
    name = vars(model)[NOTED]
    if name is None:
        raise InputError(
            f"no single layer of {type(model).__name__} gives its logits: end it in a linear layer (nn.Linear), or set "
            "model.classifier to the name of its classifier"
        )
    return name, model.get_submodule(name)


def _outputs(layer: nn.Module) -> int:
    outputs = layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features
    return int(outputs)  # type: ignore[arg-type]
