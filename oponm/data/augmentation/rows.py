"""Helpers of augmentations that change single images of a batch."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from oponm.errors import InputError


def apply_to_rows(images: Tensor, rows: Tensor, function: Callable[[Tensor, Tensor], Tensor], values: Tensor) -> None:
    """Replace some images of a batch by a function of them, in place.

    Args:
        images: (N, C, H, W).
        rows: indices of the images, int64, on the CPU, so that their number is known without waiting for the device.
        function: from (R, C, H, W) and (R,) to (R, C, H, W).
        values: one for each image, (N,), on the images' device.

    Example:
        >>> import torch
        >>> images = torch.ones(3, 1, 1, 1)
        >>> apply_to_rows(images, torch.tensor([2]), lambda x, v: x + v[:, None, None, None], torch.arange(3))
        >>> images.flatten()
        tensor([1., 1., 3.])
    """
    if len(rows):
        rows = rows.to(images.device, non_blocking=True)
        images.index_copy_(0, rows, function(images[rows], values[rows]))


def check_color(images: Tensor) -> None:
    """Refuse images that have no colors.

    Raises:
        InputError: for other than three channels.

    Example:
        >>> import torch
        >>> check_color(torch.zeros(2, 1, 8, 8))
        Traceback (most recent call last):
        oponm.errors.InputError: augmentation needs color images of 3 channels, got 1; choose none, flip_crop or cutout
    """
    if images.shape[1] != 3:
        raise InputError(
            f"needs color images of 3 channels, got {images.shape[1]}; choose none, flip_crop or cutout",
            "augmentation",
        )
