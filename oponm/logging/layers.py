"""Measures how far statistics of natural and noise rows differ at each batch norm, as a table and as a plot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from oponm.data import LongTailDataModule
from oponm.data.samplers import EpochBatches
from oponm.nn import noise_routing
from oponm.rng import derived_randomness
from oponm.training import LongTailModule

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    """Run a batch through a network as in training; compare natural and noise rows at the input of each batch norm.

    The network is not changed: modes, running statistics and torch's generators are restored. Batch norms of any kind
    are measured, including torch's own, which standardize both kinds of rows by one set of statistics.

    Args:
        model: the network, which maps images (N, C, H, W) to logits.
        images: (N, C, H, W), normalized.
        is_noise: which rows are noise, (N,), bool.

    Returns:
        One entry per batch-norm layer, in the order in which they are called; of a layer that is called several times,
        the last call. Empty unless there are at least two natural and two noise rows.

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


def measure_layers(module: LongTailModule, data: LongTailDataModule) -> list[LayerStatistics]:
    """Compare natural and noise rows in each batch norm, on the first batch of the last epoch that mixed noise in.

    It runs once, after training, so no step is slower. With several processes, one measures.

    Args:
        module: the trained module; its device and state stay as they are.
        data: the data module of training.

    Returns:
        The list of :func:`~oponm.logging.layer_statistics`; empty for a method without pure noise rows.
    """
    plan, trainer = module.plan, module.trainer
    epochs = [epoch for epoch in range(plan.max_epochs) if plan.at(epoch).noise]
    if not epochs:
        return []
    asked = data.epoch_input(epochs[-1])
    labels = data.train_set.targets.cpu()
    first = next(iter(EpochBatches(labels, data.batch_size, asked.sampler, data.seed, epochs[-1], asked.progress)))
    batch = data.make_batch(data.train_set.__getitems__(first), training=True)
    if batch.is_noise is None:
        return []
    dtype: Any = module.dtype
    home, device = module.device, trainer.strategy.root_device
    module.to(device)  # Lightning moves it to the CPU after a test
    try:
        with trainer.precision_plugin.forward_context():
            images = batch.images.to(device, dtype, memory_format=module.memory_format)
            return layer_statistics(module.model, images, batch.is_noise.to(device))
    finally:
        module.to(home)


COLUMNS = (
    *("layer", "channels", "natural mean", "noise mean", "natural variance", "noise variance"),
    *("distance of means", "log variance ratio"),
)


def layer_rows(layers: Sequence[LayerStatistics]) -> list[list[Any]]:
    """Return one row of :data:`COLUMNS` per layer; each value is the mean over the layer's channels.

    Example:
        >>> import torch
        >>> layer = LayerStatistics("norm", torch.tensor([[0.0], [3.0]]), torch.tensor([[4.0], [1.0]]))
        >>> layer_rows([layer])
        [['norm', 1, 0.0, 3.0, 4.0, 1.0, 1.5, -1.386294]]
    """
    return [
        [layer.name, layer.mean.shape[1]]
        + [round(float(values.mean()), 6) for values in (*layer.mean, *layer.var, layer.distance, layer.log_ratio)]
        for layer in layers
    ]


def layers_figure(layers: Sequence[LayerStatistics]) -> Figure:
    """Draw the distance of the means and the ratio of the variances for each layer: median and 10-90 % of its channels.

    Args:
        layers: statistics of at least one layer.
    """
    from matplotlib.figure import Figure

    places = list(range(len(layers)))
    figure = Figure(figsize=(9, max(2.6, min(14, 0.27 * len(layers) + 1.5))), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    panels = (
        (left, [layer.distance for layer in layers], "distance of the means (natural standard deviations)"),
        (right, [layer.log_ratio for layer in layers], "ln(noise variance / natural variance)"),
    )
    for axes, values, label in panels:
        low, middle, high = ([float(channels.quantile(share)) for channels in values] for share in (0.1, 0.5, 0.9))
        axes.hlines(places, low, high, color="#2b6cb0", alpha=0.35, lw=4)
        axes.plot(middle, places, "o", color="#2b6cb0", ms=5)
        axes.axvline(0, color="0.55", lw=1)
        axes.set_xlabel(label, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    left.set_xlim(left=0)
    left.set_ylim(-0.6, len(layers) - 0.4)
    step = -(-len(layers) // 50)
    left.set_yticks(places[::step], [layer.name for layer in layers][::step], parse_math=False, fontsize=8)
    left.invert_yaxis()  # shared: from the input down to the output
    title = "Noise against natural rows in front of each batch norm (0: alike; dot: median channel, bar: 10-90 %)"
    figure.suptitle(title, fontsize=9.5, x=0.01, ha="left")
    return figure
