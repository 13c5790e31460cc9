"""Measures the layers of a trained network on a batch of its last epoch with noise."""

from __future__ import annotations

from typing import Any

from oponm.data import LongTailDataModule
from oponm.data.samplers import EpochBatches
from oponm.logging.layers import LayerStatistics, layer_statistics
from oponm.training import LongTailModule


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
