"""Chooses the rows of a batch that become noise."""

from __future__ import annotations

import torch
from torch import Tensor

from oponm.errors import InputError


def check_targets(targets: Tensor, num_classes: int) -> None:
    """Check that each label is the number of a class; on an accelerator check the type only, which needs no wait.

    Args:
        targets: (N,).
        num_classes: K; labels lie in 0 to K - 1.

    Raises:
        InputError: if they are not int64, or one lies outside.

    Example:
        >>> check_targets(torch.tensor([0, 3]), num_classes=3)
        Traceback (most recent call last):
        oponm.errors.InputError: targets must lie in 0 to 2, one for each of 3 classes, got 3
    """
    if targets.dtype != torch.int64:
        raise InputError(f"must be int64, got {targets.dtype}", "targets")
    if targets.device.type == "cpu" and targets.numel():  # an accelerator would have to be waited for
        _check_range(targets, num_classes)


def _check_range(targets: Tensor, num_classes: int) -> None:
    wrong = [each for each in (int(targets.min()), int(targets.max())) if not 0 <= each < num_classes]
    if wrong:
        raise InputError(
            f"must lie in 0 to {num_classes - 1}, one for each of {num_classes} classes, got {wrong[0]}", "targets"
        )


def choose_rows(images: Tensor, targets: Tensor, probability: Tensor, generator: torch.Generator) -> Tensor:
    """Choose each row independently, with its class's probability.

    Args:
        images: (N, C, H, W), floating point in [0, 1]; not changed.
        targets: (N,), int64.
        probability: probability of each class, (K,).
        generator: source of all randomness; N draws, on its own device.

    Returns:
        (N,), bool, on the device of ``images``.

    Raises:
        InputError: if the images are integers, as noise in [0, 1] would be black among them; and as in
            :func:`check_targets`.

    Example:
        >>> source = torch.Generator().manual_seed(0)
        >>> choose_rows(torch.zeros(3, 1, 8, 8), torch.tensor([0, 1, 0]), torch.tensor([0.0, 1.0]), source)
        tensor([False,  True, False])
    """
    if not images.is_floating_point():
        raise InputError(f"must be floating point in [0, 1], got {images.dtype}: divide by 255", "images")
    check_targets(targets, len(probability))
    uniform = torch.rand(len(targets), generator=generator, device=generator.device).to(images.device)
    return uniform < probability.to(images.device)[targets]
