"""Runs noise rows in a separate forward pass without autograd, if their gradients reach only the classifier."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from oponm.errors import InputError
from oponm.models.classifier import find_classifier
from oponm.nn.routing import natural_route, noise_route, noise_routing, open_route
from oponm.rng import derived_randomness

_NATURAL, _NOISE = 7, 4  # rows of the trial; coprime, so that a network that groups rows mixes both kinds
_AGREEMENT = 1e-6  # relative; float64 rounding errors are a million times smaller


def split_logits(forward: Callable[[Tensor], Tensor], classifier: nn.Module, images: Tensor, natural: int) -> Tensor:
    """Compute the logits of a batch in two forward passes, one for the natural rows and one for the noise rows.

    With ``noise_grad="none"`` no gradient of a noise row passes a batch norm, so below the last batch norm the backward
    pass only multiplies zeros. The pass of the noise rows therefore builds its autograd graph from the classifier on.
    If :func:`split_obstacle` returns None, logits, gradients and running statistics equal those of one pass.

    Args:
        forward: the network, (N, C, H, W) -> logits (N, K).
        classifier: the layer of the network that gives the logits, the only one in which noise rows have gradients.
        images: the batch, (N, C, H, W).
        natural: number of natural rows, which come first in the batch; at least 1, and less than N.

    Returns:
        The logits, (N, K).

    Example:
        >>> model = nn.Linear(8, 3)
        >>> split_logits(model, model, torch.ones(4, 8), natural=3).shape
        torch.Size([4, 3])
    """
    rows = images.split([natural, len(images) - natural])
    with open_route(natural_route(rows[0])):  # opened first: recomputation of a checkpointed part uses the last route
        of_natural = forward(rows[0])
        with open_route(noise_route(rows[1])), _graph_from(classifier):
            of_noise = forward(rows[1])
    return torch.cat([of_natural, of_noise])


@contextmanager
def _graph_from(layer: nn.Module) -> Iterator[None]:
    """Build no autograd graph until a layer is called."""
    before = torch.is_grad_enabled()

    def begin(*_: object) -> None:
        torch.set_grad_enabled(before)

    hook = layer.register_forward_pre_hook(begin)
    try:
        with torch.no_grad():
            yield
    finally:
        hook.remove()


def split_obstacle(model: nn.Module, images: Tensor, num_classes: int) -> str | None:
    """Return the reason why noise rows cannot have a separate pass, found by a trial on a few rows; None if they can.

    Copies of the network, in float64 and without dropout, must give the same logits, gradients and buffers in one pass
    and in two. They do not if a gradient of a noise row passes a batch norm (``noise_grad`` other than ``"none"``), or
    if natural and noise rows affect each other. For networks with hooks, or with random operations other than dropout,
    a reason is returned without this comparison. The trial uses its own images and shifts the weights, so that the
    result depends on the network's structure, and not on weights that happen to be 0. Values that a network stores in
    attributes that are neither parameters nor buffers are not compared.

    Args:
        model: the network as it trains; it is not changed.
        images: (N, C, H, W), only shape and device matter.
        num_classes: number of outputs of the classifier.

    Returns:
        The reason, for an error message; None if a separate pass is possible.

    Example:
        >>> from oponm.nn import DARBatchNorm1d
        >>> images = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
        >>> for noise_grad in ("none", "input"):
        ...     model = nn.Sequential(nn.Linear(4, 4), DARBatchNorm1d(4, noise_grad=noise_grad), nn.Linear(4, 3))
        ...     split_obstacle(model, images, num_classes=3)
        'gradients of noise rows reach more than the classifier (0.weight, say): norm=dar with ...
    """
    if any(part._forward_hooks or part._forward_pre_hooks for part in model.modules()):
        return "the network has hooks, which a second pass would call again"
    try:
        find_classifier(model, num_classes)
        (logits, together), (of_split, apart) = (_tried(model, images, num_classes, split) for split in (False, True))
    except InputError as error:
        return error.message
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a network that cannot be copied or run in float64 trains well in one pass
        return f"a copy of the network cannot be tried out ({type(error).__name__}: {error})"
    if not _agree(logits, of_split):
        return "natural and noise rows of one batch affect each other's logits"
    for name, value in together.items():
        if not _agree(value, apart[name]):
            if name in dict(model.named_parameters()):
                return (
                    f"gradients of noise rows reach more than the classifier ({name}, say): "
                    "norm=dar with norm.noise_grad=none ends them"
                )
            return f"the buffer {name} of the network does not come out the same"
    return None


def _tried(model: nn.Module, images: Tensor, num_classes: int, split: bool) -> tuple[Tensor, dict[str, Tensor | None]]:
    """Logits, gradients and buffers after the forward and backward pass of a copy, without an optimizer step."""
    device = torch.device("cpu") if images.device.type == "mps" else images.device  # MPS has no float64
    model = copy.deepcopy(model).to(device, torch.float64)
    model.zero_grad()
    for part in model.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.eval()
    with derived_randomness(0, "noise_pass", device=device), torch.autocast(device.type, enabled=False):
        rows = torch.randn(_NATURAL + _NOISE, *images.shape[1:], dtype=torch.float64, device=device)
        weights = torch.randn(len(rows), num_classes, dtype=torch.float64, device=device)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        before = torch.get_rng_state()
        if split:
            logits = split_logits(model, find_classifier(model, num_classes)[1], rows, _NATURAL)
        else:
            with noise_routing(torch.arange(len(rows), device=device) >= _NATURAL):
                logits = model(rows)
        if not torch.equal(before, torch.get_rng_state()):
            raise InputError("the network has a random operation other than dropout")
        (logits * weights).sum().backward()
    state: dict[str, Tensor | None] = {name: part.grad for name, part in model.named_parameters()}
    return logits.detach(), {**state, **dict(model.named_buffers())}


def _agree(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.allclose(one.double(), other.double(), rtol=_AGREEMENT, atol=_AGREEMENT)
