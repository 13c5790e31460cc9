"""Counts the predictions of a trained network for noise images like those of its training."""

from __future__ import annotations

import pytorch_lightning as pl
import torch

from oponm.data import LongTailDataModule
from oponm.metrics import noise_histogram
from oponm.noise import AppendNoise, GaussianNoise, ReplaceWithNoise
from oponm.rng import derive_generator
from oponm.training.module import LongTailModule

NUM_IMAGES = 1000
BATCH = 100  # fixed, as the drawn images depend on it


def noise_answers(trainer: pl.Trainer, module: LongTailModule, data: LongTailDataModule) -> list[int]:
    """Count how often each class is predicted for 1,000 pure noise images, in evaluation mode.

    The images are drawn from the noise of the data module. If the data module adds no pure noise images to batches,
    Gaussian noise with the statistics of the training images is used. Images are drawn for each class in turn, as noise
    may depend on the class. They depend on the seed only.

    Args:
        trainer: determines the device and the precision.
        module: the trained module; its device and state stay as they are.
        data: the data module, set up.

    Returns:
        Number of images predicted as each class, length K.
    """
    transform, home = data.pipeline.noise_transform, module.device
    noise = (
        transform.noise if isinstance(transform, ReplaceWithNoise | AppendNoise) else GaussianNoise(*data.statistics)
    )
    device = trainer.strategy.root_device
    pipeline = data.pipeline.to(device)
    generator = derive_generator(data.seed, "noise_histogram")  # on the CPU, so that every device gets the same images
    labels = torch.arange(NUM_IMAGES, device=device) % len(data.class_names)
    images = (noise(part, data.image_shape, generator) for part in labels.split(BATCH))
    module.to(device)  # Lightning moves it to the CPU after a test
    try:
        with trainer.precision_plugin.forward_context():
            batches = ((batch - pipeline.mean) / pipeline.std for batch in images)
            return noise_histogram(module, batches, len(data.class_names))
    finally:
        module.to(home)
