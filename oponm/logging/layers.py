"""Measures how far the statistics of natural and of noise rows differ at the batch norms of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from oponm.nn import noise_routing
from oponm.rng import derived_randomness


class LayerStatistics(NamedTuple):
    """Statistics of the input of a batch-norm layer, of natural rows (0) and of noise rows (1).

    Attributes:
        name: name of the layer in the network.
        mean: means, (2, C).
        var: biased variances, (2, C).

    Example:
        >>> layer = LayerStatistics("norm", torch.tensor([[0.0], [3.0]]), torch.tensor([[4.0], [1.0]]))
        >>> layer.distance, layer.log_ratio.round(decimals=3)
        (tensor([1.5000]), tensor([-1.3860]))
    """

    name: str
    mean: Tensor
    var: Tensor

    @property
    def distance(self) -> Tensor:
        r"""Distance of the two means in natural standard deviations, :math:`|\mu_1 - \mu_0| / \sigma_0`, (C,)."""
        return (self.mean[1] - self.mean[0]).abs() / self.var[0].clamp(min=1e-5).sqrt()

    @property
    def log_ratio(self) -> Tensor:
        r"""Natural logarithm of the ratio of the variances, :math:`\ln(\sigma_1^2 / \sigma_0^2)`, (C,)."""
        return self.var[1].clamp(min=1e-5).log() - self.var[0].clamp(min=1e-5).log()


@torch.no_grad()
def layer_statistics(model: nn.Module, images: Tensor, is_noise: Tensor) -> list[LayerStatistics]:
    """Run a batch through a network as in training, and compare the two kinds of rows at the input of each batch norm.

    The network is not changed: modes, running statistics and torch's generators are restored. Layers of any kind are
    measured, including plain ones, which standardize both kinds of rows by one set of statistics.

    Args:
        model: the network, (N, C, H, W) -> logits.
        images: (N, C, H, W), normalized.
        is_noise: which rows are noise, (N,), bool.

    Returns:
        One entry per batch-norm layer, in the order in which the batch passes them; a layer passed several times
        counts at its last pass. Empty unless both kinds have at least two rows.

    Example:
        >>> images, is_noise = torch.tensor([[0.0], [2.0], [11.0], [13.0]]), torch.arange(4) > 1
        >>> (layer,) = layer_statistics(nn.Sequential(nn.BatchNorm1d(1)), images, is_noise)
        >>> layer.name, layer.mean.tolist(), layer.var.tolist()
        ('0', [[1.0], [12.0]], [[1.0], [1.0]])
    """
    if min(int(is_noise.sum()), int((~is_noise).sum())) < 2:
        return []
    found: dict[str, LayerStatistics] = {}
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, _BatchNorm)]
    hooks = [layer.register_forward_pre_hook(_noting(name, is_noise, found)) for name, layer in layers]
    modes = {part: part.training for part in model.modules()}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.train()
    try:
        eager = torch.compiler.set_stance("force_eager")
        randomness = derived_randomness(0, "layer_statistics", device=images.device)
        with eager, randomness, noise_routing(is_noise):
            torch.func.functional_call(model, buffers, (images,))
    finally:
        for hook in hooks:
            hook.remove()
        for part, training in modes.items():
            part.training = training
    return list(found.values())


def _noting(name: str, is_noise: Tensor, found: dict[str, LayerStatistics]) -> Callable[[nn.Module, Any], None]:
    def note(layer: nn.Module, inputs: Any) -> None:
        rows = inputs[0].float()
        across = [dim for dim in range(rows.dim()) if dim != 1]
        moments = [torch.var_mean(rows[kind], across, correction=0) for kind in (~is_noise, is_noise)]
        var, mean = (torch.stack(pair).cpu() for pair in zip(*moments, strict=True))
        found[name] = LayerStatistics(name, mean, var)

    return note
