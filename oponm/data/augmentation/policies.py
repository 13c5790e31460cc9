"""AutoAugment and RandAugment with separate draws for every image.

kornia's and torchvision's modules draw one sub-policy per call, so one for the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from oponm.data.augmentation.operations import OPERATIONS, apply_to_rows, check_color
from oponm.data.augmentation.recipes import fitting_cutout, flip_crop
from oponm.errors import InputError, check_int

LEVELS = 10  # of AutoAugment, 0 to 9
TOP_MAGNITUDE = 30  # of RandAugment


def autoaugment(image_size: tuple[int, int], padding: int = 4, cutout: int = 16) -> nn.Module:
    """Flip, crop, AutoAugment's policy for CIFAR-10 and one Cutout.

    Args:
        image_size: (H, W) of color images.
        padding: pixels of black added on each side before the crop.
        cutout: side of the square that is blacked out, in pixels.

    Raises:
        InputError: for a padding below 0, a Cutout below 1 or larger than the image; in ``forward`` for images that are
            not of 3 channels.

    References:
        Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data", CVPR 2019, Sec. 4.1 and Table 7.

    Example:
        >>> autoaugment((32, 32))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 3, 32, 32])
    """
    return nn.Sequential(flip_crop(image_size, padding), AutoAugment(), fitting_cutout(image_size, cutout))


def randaugment(image_size: tuple[int, int], padding: int = 4, num_ops: int = 2, magnitude: int = 10) -> nn.Module:
    """Flip, crop and RandAugment.

    Args:
        image_size: (H, W) of color images.
        padding: pixels of black added on each side before the crop.
        num_ops: number of operations on each image.
        magnitude: strength of all operations, a whole number from 0 to 30.

    Raises:
        InputError: for a padding below 0, fewer than 1 operation or a magnitude outside its range; in ``forward`` for
            images that are not of 3 channels.

    References:
        Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", NeurIPS 2020.

    Example:
        >>> randaugment((32, 32))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 3, 32, 32])
    """
    return nn.Sequential(flip_crop(image_size, padding), RandAugment(num_ops, magnitude))


class AutoAugment(nn.Module):
    """Apply one of 25 sub-policies to each image: two operations, each with its own probability and level.

    The direction of an operation, if it has one, is drawn as well.

    References:
        Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data", CVPR 2019, Table 7.

    Example:
        >>> AutoAugment()(torch.rand(4, 3, 32, 32)).shape
        torch.Size([4, 3, 32, 32])
    """

    def __init__(self) -> None:
        super().__init__()
        from kornia.augmentation.auto.autoaugment.autoaugment import cifar10_policy

        self.names = list(OPERATIONS)
        # Each (25, 2). They stay on the CPU, where the draws are made.
        self.operations = torch.tensor([[self.names.index(name) for name, _, _ in pair] for pair in cifar10_policy])
        self.probabilities = torch.tensor([[probability for _, probability, _ in pair] for pair in cifar10_policy])
        self.strengths = torch.tensor([[(level or 0) / (LEVELS - 1) for *_, level in pair] for pair in cifar10_policy])

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> the augmented images."""
        check_color(images)
        policy = torch.randint(len(self.operations), (len(images),))
        for turn in range(2):
            skipped = torch.rand(len(images)) >= self.probabilities[policy, turn]
            chosen = self.operations[policy, turn].masked_fill(skipped, len(self.names))
            images = apply_operations(images, self.names, chosen, random_sign(self.strengths[policy, turn]))
        return images


class RandAugment(nn.Module):
    """Apply ``num_ops`` operations to each image, all of the same strength.

    They are drawn with replacement from 13 operations and the identity.

    The direction of an operation, if it has one, is drawn as well.

    Args:
        num_ops: number of operations on each image.
        magnitude: strength of all operations, a whole number from 0 to 30.

    Raises:
        InputError: for fewer than 1 operation or a magnitude outside its range.

    References:
        Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", NeurIPS 2020.

    Example:
        >>> RandAugment(2, 10)(torch.rand(4, 3, 32, 32)).shape
        torch.Size([4, 3, 32, 32])
    """

    def __init__(self, num_ops: int = 2, magnitude: int = 10) -> None:
        super().__init__()
        self.num_ops = check_int("num_ops", num_ops, minimum=1)
        self.magnitude = check_int("magnitude", magnitude, minimum=0)
        if magnitude > TOP_MAGNITUDE:
            raise InputError(f"must be at most {TOP_MAGNITUDE}, got {magnitude}", "magnitude")
        self.names = [name for name in OPERATIONS if name != "invert"]

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> the augmented images."""
        check_color(images)
        strength = torch.full((len(images),), self.magnitude / TOP_MAGNITUDE)
        for _ in range(self.num_ops):
            chosen = torch.randint(len(self.names) + 1, (len(images),))
            images = apply_operations(images, self.names, chosen, random_sign(strength))
        return images


def apply_operations(images: Tensor, names: Sequence[str], chosen: Tensor, strengths: Tensor) -> Tensor:
    """Apply one operation to each image; images with the same operation are processed together.

    Args:
        images: (N, 3, H, W) in [0, 1].
        names: keys of :data:`~oponm.data.augmentation.operations.OPERATIONS`.
        chosen: index into ``names`` for each image, (N,), int64, on the CPU; ``len(names)`` leaves the image as it is.
        strengths: strength of each image's operation, (N,), in [-1, 1].

    Example:
        >>> images = torch.zeros(2, 3, 4, 4)
        >>> apply_operations(images, ["invert"], torch.tensor([0, 1]), torch.zeros(2)).amax((1, 2, 3))
        tensor([1., 0.])
    """
    images, strengths = images.clone(), strengths.to(images, non_blocking=True)
    for index, name in enumerate(names):
        apply_to_rows(images, (chosen == index).nonzero().flatten(), OPERATIONS[name], strengths)
    return images


def random_sign(strengths: Tensor) -> Tensor:
    """Negate each strength with probability 1/2."""
    return torch.where(torch.rand(len(strengths)) < 0.5, -strengths, strengths)
