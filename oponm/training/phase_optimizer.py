"""Adds to an optimizer what phases of the classifier need: a separate learning rate, and a limit on weight norms."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from oponm.errors import InputError
from oponm.models import LearnableScale
from oponm.models.classifier import find_linear_classifier

RADIUS = "max_norm"  # key of a parameter group; the optimizer's state saves and restores it


def raise_rate_of_scale(optimizer: torch.optim.Optimizer, model: nn.Module, factor: float) -> None:
    """Move the learnable scale of a classifier to its own parameter group, before the others, with its own rate.

    Args:
        optimizer: a new optimizer with the scale in one of its groups; changed in place.
        model: the network; without a scale nothing is changed.
        factor: the learning rate of the scale, relative to that of the group that the scale was in.

    Example:
        >>> from oponm.models.two_stage import wrap_scale
        >>> model = nn.Sequential(nn.Linear(8, 3))
        >>> wrap_scale(model)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> raise_rate_of_scale(optimizer, model, factor=5)
        >>> [(len(group["params"]), group["lr"]) for group in optimizer.param_groups]
        [(1, 0.5), (2, 0.1)]
    """
    for scale in [part.scale for part in model.modules() if isinstance(part, LearnableScale)]:
        groups: list[dict[str, Any]] = []
        for group in optimizer.param_groups:
            others = [each for each in group["params"] if each is not scale]
            if len(others) < len(group["params"]):
                groups.insert(0, {**group, "params": [scale], "lr": group["lr"] * factor})
            if others:
                groups.append({**group, "params": others})
        optimizer.param_groups[:] = groups


def limit_norms(optimizer: torch.optim.Optimizer, model: nn.Module, share: float, num_classes: int) -> None:
    r"""After each step, project the weight rows of the linear classifier into a ball: MaxNorm.

    .. math:: w_i \leftarrow \min\left(1, \frac{r}{\|w_i\|}\right) w_i, \quad
        r = \min_j \|w_j\| + s \, (\max_j \|w_j\| - \min_j \|w_j\|)

    The radius r is computed from the weights when this is called, and stays fixed; the optimizer's state dict contains
    it. Rows within the ball stay as they are. The bias has no limit.

    Args:
        optimizer: an optimizer with the classifier's weight in one of its groups; changed in place.
        model: the network.
        share: s, in [0, 1]; 0 is the length of the shortest row, 1 that of the longest.
        num_classes: number of outputs of the classifier, see :func:`~oponm.models.find_classifier`.

    Raises:
        InputError: for a network without a linear classifier, or if r is 0.

    References:
        Alshammari et al., "Long-Tailed Recognition via Weight Balancing", CVPR 2022, and the authors' code.

    Example:
        >>> model = nn.Linear(2, 2, bias=False)
        >>> _ = model.weight.data.copy_(torch.tensor([[3.0, 4.0], [0.6, 0.8]]))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> limit_norms(optimizer, model, share=0.25, num_classes=2)
        >>> optimizer.step()
        >>> model.weight.norm(dim=1)
        tensor([2., 1.], grad_fn=<LinalgVectorNormBackward0>)
    """
    weight = find_linear_classifier(model, num_classes)[1].weight
    norms = weight.detach().norm(dim=1)
    radius = float(norms.min() + share * (norms.max() - norms.min()))
    if radius == 0:
        raise InputError(
            "would keep all weight rows of the classifier at zero, as one row is zero: set a larger value", RADIUS
        )
    for group in optimizer.param_groups:
        if any(each is weight for each in group["params"]):
            group[RADIUS] = radius

    def project(made: torch.optim.Optimizer, *_: Any) -> None:
        (limit,) = (group[RADIUS] for group in made.param_groups if RADIUS in group)
        with torch.no_grad():
            weight.copy_(weight.renorm(2, 0, limit))

    optimizer.register_step_post_hook(project)
