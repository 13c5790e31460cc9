"""Finds the layer of a network that gives its logits, by one forward pass."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from oponm.errors import InputError
from oponm.models.classifier import KINDS, NOTED

_ROWS = 2  # more than one, as a factor that is equal for all classes must be equal for all rows as well
_log = logging.getLogger(__name__)


def trace_classifier(model: nn.Module, images: Tensor, candidates: Mapping[str, nn.Module]) -> str | None:
    """Find the layer whose output is the logits.

    In one forward pass, in evaluation mode, the output of each candidate is replaced by its own random numbers. The
    layer whose numbers the network returns is the classifier. The network may scale or shift the logits of all classes
    equally after this layer (a temperature, a log-softmax).

    Args:
        model: maps images (N, C, H, W) to logits (N, K); it is not changed.
        images: (N, C, H, W).
        candidates: layers of the network that may be the classifier, by name.

    Returns:
        The name of the layer; None if the network returns no candidate's output.

    Example:
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.stem, self.fc, self.auxiliary = nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 3)
        ...     def forward(self, images):
        ...         return self.fc(self.stem(images.flatten(1)).relu())
        >>> model = Net()
        >>> trace_classifier(model, torch.rand(2, 1, 2, 2), dict(model.named_children()))
        'fc'
    """
    source = torch.Generator().manual_seed(0)
    answers: dict[str, Tensor] = {}
    outputs: Any = None

    def answering(name: str) -> Callable[..., Tensor | None]:
        def answer(layer: nn.Module, inputs: Any, output: Any) -> Tensor | None:
            if not isinstance(output, Tensor) or output.ndim < 2 or output.shape[0] != len(images):
                return None
            if output.shape[1:].numel() != output.shape[1]:
                return None
            if name not in answers or answers[name].numel() != output.numel():
                answers[name] = torch.randn(output.shape, generator=source).flatten(1)
            return answers[name].reshape(output.shape).to(output, copy=True)

        return answer

    modes = {part: part.training for part in model.modules()}
    hooks = [layer.register_forward_hook(answering(name)) for name, layer in candidates.items()]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            outputs = model.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
        for part, training in modes.items():
            part.training = training
    if not isinstance(outputs, Tensor):
        return None
    logits = outputs.detach().cpu().float()
    return next((name for name, answer in answers.items() if _same_but_for_scale(logits, answer)), None)


def settle_classifier(
    model: nn.Module, num_classes: int, image_shape: Sequence[int], name: str | None = None
) -> str | None:
    """Find the classifier of a network, and record it on the network for :func:`~oponm.models.find_classifier`.

    If the network fails on images of this shape, nothing is recorded and no error is raised.

    Args:
        model: maps images (N, C, H, W) to logits (N, K); only the record is added.
        num_classes: number of classes K.
        image_shape: (C, H, W) of the images.
        name: name of the classifier in ``named_modules``, for a network whose classifier is not found, or is more than
            one layer. None searches the linear layers, 1x1 convolutions and cosine classifiers.

    Returns:
        The name of the layer; None if none of these layers gives the logits, or if nothing is recorded.

    Raises:
        InputError: if there is no layer of that name, or its output is not the logits.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3))
        >>> settle_classifier(model, 3, (1, 2, 2))
        '3'
        >>> settle_classifier(model, 3, (1, 2, 2), "1")
        Traceback (most recent call last):
        oponm.errors.InputError: classifier is 1, whose output is not the logits of Sequential: those are of 3
    """
    layers = dict(model.named_modules())
    vars(model).pop(NOTED, None)
    if name is not None and name not in layers:
        close = get_close_matches(str(name), layers, n=3) or list(layers)[-3:]
        raise InputError(
            f"is {name!r}, and {type(model).__name__} has no such layer: close are {', '.join(close)}", "classifier"
        )
    fit = {path: layer for path, layer in layers.items() if isinstance(layer, KINDS)}
    like = next((each for each in model.parameters() if each.is_floating_point()), torch.zeros(0))
    images = torch.rand(_ROWS, *image_shape, generator=torch.Generator().manual_seed(0)).to(like.device, like.dtype)
    try:
        found = trace_classifier(model, images, fit if name is None else {name: layers[name]})
        right = found if name is None or found is not None else trace_classifier(model, images, fit)
    except Exception:  # a network can raise anything for unsuitable images; training reports it elsewhere
        return None
    if name is not None and found is None:
        remedy = f": those are of {right or 'the network itself'}" if right is not None else ""
        raise InputError(f"is {name}, whose output is not the logits of {type(model).__name__}{remedy}", "classifier")
    vars(model)[NOTED] = found
    if found is None:
        _log.info("classifier: no single layer gives the logits of %s", type(model).__name__)
    else:
        _log.info("classifier: the logits are the output of %s, %s", found or "the network itself", layers[found])
    return found


def _same_but_for_scale(logits: Tensor, answer: Tensor) -> bool:
    if logits.shape != answer.shape:
        return False
    logits, answer = (each - each.mean(1, keepdim=True) for each in (logits, answer))
    factor = (logits * answer).sum() / (answer * answer).sum()
    return bool(factor > 0) and torch.allclose(logits, factor * answer, rtol=1e-3, atol=1e-3 * float(factor))
