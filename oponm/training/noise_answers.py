"""What a trained network says of the noise that it is, or could have been, trained with."""

from __future__ import annotations

import pytorch_lightning as pl
import torch

from oponm.data import LongTailDataModule
from oponm.metrics import noise_histogram
from oponm.noise import AppendNoise, GaussianNoise, ReplaceWithNoise
from oponm.rng import derive_generator
from oponm.training.module import LongTailModule

NUM_IMAGES = 1000
BATCH = 100  # fixed, as the images drawn depend on it


def noise_answers(trainer: pl.Trainer, module: LongTailModule, data: LongTailDataModule) -> list[int]:
    """How often each class is predicted for 1,000 pure noise images, in evaluation mode.

    The images are those of the data module's noise; where it mixes in no pure noise, Gaussian ones with the training
    images' statistics. They are drawn for each class in turn, which matters to noise that depends on the class, and are
    a function of the seed alone.

    Args:
        trainer: which has the device and the precision.
        module: its predictions are asked for; it stays where and as it is.
        data: the data module, set up.

    Returns:
        Number of images predicted as each class, length K, see :func:`~oponm.metrics.noise_histogram`.
    """
    transform, home = data.pipeline.noise_transform, module.device
    noise = (
        transform.noise if isinstance(transform, ReplaceWithNoise | AppendNoise) else GaussianNoise(*data.statistics)
    )
    device = trainer.strategy.root_device
    pipeline = data.pipeline.to(device)
    generator = derive_generator(data.seed, "noise_histogram")  # on the CPU: the same images on every device
    labels = torch.arange(NUM_IMAGES, device=device) % len(data.class_names)
    images = (noise(part, data.image_shape, generator) for part in labels.split(BATCH))
    module.to(device)  # a test on an accelerator leaves it on the CPU
    try:
        with trainer.precision_plugin.forward_context():
            batches = ((batch - pipeline.mean) / pipeline.std for batch in images)
            return noise_histogram(module, batches, len(data.class_names))
    finally:
        module.to(home)
