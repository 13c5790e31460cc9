"""Color jitter with a separate order of operations for every image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from oponm.data.augmentation.operations import apply_to_rows, check_color
from oponm.errors import check_real


class ColorJitter(nn.Module):
    """Brightness, contrast, saturation and hue, changed in a random order.

    An image is changed with probability ``p``. Its factors of brightness, contrast and saturation are uniform in
    [1 - strength, 1 + strength], its shift of hue in [-hue, hue] turns of the color wheel; operations of strength 0 are
    left out. Each image has its own order, as with torchvision on single images; kornia's ``ColorJitter`` draws one
    order per batch.

    Args:
        brightness: strength, in [0, 1].
        contrast: strength, in [0, 1].
        saturation: strength, in [0, 1].
        hue: strength, in [0, 0.5].
        p: probability that an image is changed.

    Raises:
        InputError: for a value outside its range; in ``forward`` for images that are not of 3 channels.

    References:
        Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, App. A.

    Example:
        >>> images = torch.rand(4, 3, 8, 8)
        >>> ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8)(images).shape
        torch.Size([4, 3, 8, 8])
    """

    def __init__(self, brightness: float, contrast: float, saturation: float, hue: float, p: float = 1.0) -> None:
        super().__init__()
        from kornia import enhance

        strengths = (
            (enhance.adjust_brightness_accumulative, 1.0, check_real("brightness", brightness, 0, 1)),
            (enhance.adjust_contrast_with_mean_subtraction, 1.0, check_real("contrast", contrast, 0, 1)),
            (enhance.adjust_saturation_with_gray_subtraction, 1.0, check_real("saturation", saturation, 0, 1)),
            (adjust_hue, 0.0, check_real("hue", hue, 0, 0.5)),
        )
        self.steps = [step for step in strengths if step[2] > 0]
        self.p = check_real("p", p, 0, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> the jittered images."""
        check_color(images)
        factors = 2 * torch.rand(len(images), len(self.steps)) - 1
        order = torch.rand(len(images), len(self.steps)).argsort(1)
        order.masked_fill_(torch.rand(len(images), 1) >= self.p, -1)

        images, factors = images.clone(), factors.to(images, non_blocking=True)
        for position in order.unbind(1):
            for index, (function, neutral, strength) in enumerate(self.steps):
                rows = (position == index).nonzero().flatten()
                apply_to_rows(images, rows, function, neutral + strength * factors[:, index])
        return images


def adjust_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the colors of each image around the color wheel.

    With ``v`` the largest and ``c`` the largest minus the smallest channel of a pixel and ``h`` its hue in sixths of a
    turn, channel ``i`` of (red, green, blue) becomes ``v - c * clip(min(k, 4 - k), 0, 1)`` for
    ``k = (h + 6 turns + (5, 3, 1)[i]) mod 6``. The result is that of kornia's ``adjust_hue``, without its conversion to
    HSV, whose modulo operations took most of the augmentation's time.

    Args:
        images: (N, 3, H, W) in [0, 1].
        turns: shift of the hue of each image, (N,); 1 is a full turn.

    Returns:
        (N, 3, H, W) in [0, 1].

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        >>> adjust_hue(red, torch.tensor([1 / 3])).flatten()
        tensor([0., 1., 0.])
    """
    red, green, blue = images.split(1, dim=1)
    largest = torch.maximum(torch.maximum(red, green), blue)
    spread = largest - torch.minimum(torch.minimum(red, green), blue)
    # Products with masks, as torch.where takes more than ten times as long on a CPU.
    is_red, is_green = largest == red, largest == green
    sector = is_red * (green - blue) + (is_green & ~is_red) * (blue - red + 2 * spread)
    sector = sector + ~(is_red | is_green) * (red - green + 4 * spread)
    hue = sector / spread.clamp(min=1e-12) + 6 * turns.view(-1, 1, 1, 1)
    channels = []
    for offset in (5, 3, 1):
        k = hue + offset
        k = k - 6 * torch.floor(k / 6)
        channels.append(largest - spread * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.cat(channels, dim=1)
