"""Noise images with the power spectrum of natural images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from oponm.errors import check_real
from oponm.noise.gaussian import GaussianNoise


class SpectrumNoise(GaussianNoise):
    r"""Gaussian images whose amplitude falls off with the spatial frequency as 1/f^a.

    .. math:: x_c = \mu_c + \sigma_c \, \mathcal F^{-1}\big[ A \cdot \mathcal F[\varepsilon] \big], \quad
        A(f) = f^{-a} \Big/ \sqrt{\tfrac{1}{HW} \sum_{g \ne 0} g^{-2a}}, \quad A(0) = 0, \quad
        \varepsilon_{chw} \sim \mathcal N(0, 1)

    clipped to [0, 1], with f the length of the frequency in cycles per pixel. Before clipping, every pixel has mean mu
    and standard deviation sigma, like :class:`~oponm.noise.GaussianNoise`, but near pixels are similar. As f = 0
    is left out, mu is also the mean over each image. A 1x1 image has no other frequency, so its value is mu. Channels
    are independent.

    Args:
        mean: mean of each channel, in [0, 1]; if ``clip`` is False any number.
        std: standard deviation of each channel, at least 0.
        exponent: a, at least 0: 0 is white noise, 1 (power 1/f^2) like photographs.
        clip: whether to clip to [0, 1].

    Raises:
        InputError: for a value out of range.

    References:
        Field, "Relations between the statistics of natural images and the response properties of cortical cells",
        JOSA A 4(12), 1987 (the exponent of photographs). Baradad, Wulff, Wang, Isola, Torralba, "Learning to see by
        looking at noise", NeurIPS 2021 (such images to train on).

    Example:
        >>> noise = SpectrumNoise([0.5, 0.5, 0.5], [0.1, 0.1, 0.1])
        >>> images = noise(torch.tensor([7, 8]), (3, 32, 32), torch.Generator().manual_seed(0))
        >>> images.shape, images.mean((2, 3)).allclose(torch.tensor(0.5), atol=1e-2)
        (torch.Size([2, 3, 32, 32]), True)
    """

    def __init__(
        self,
        mean: Sequence[float] | Tensor,
        std: Sequence[float] | Tensor,
        exponent: float = 1.0,
        clip: bool = True,
    ) -> None:
        super().__init__(mean, std, clip)
        self.exponent = check_real("exponent", exponent, 0)

    def _unit(self, shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
        white = super()._unit(shape, generator, device)
        if white.numel() == 0:  # some FFT libraries refuse it
            return white
        height, width = shape[-2:]
        spectrum = torch.fft.rfft2(white) * _amplitude(height, width, self.exponent).to(device)
        return torch.fft.irfft2(spectrum, s=(height, width))


def _amplitude(height: int, width: int, exponent: float) -> Tensor:
    """The factor of each frequency of ``rfft2``, (H, W // 2 + 1), with which white noise keeps its variance."""
    rows, columns = (torch.fft.fftfreq(size, dtype=torch.float64) for size in (height, width))
    frequency = torch.hypot(rows[:, None], columns)
    # Relative to the lowest frequency, so that no exponent overflows.
    amplitude = (frequency * max(height, width)).pow(-exponent)
    amplitude[0, 0] = 0
    power = amplitude.square().mean()
    half = amplitude[:, : width // 2 + 1]
    return (half / power.sqrt() if power > 0 else half).float()
