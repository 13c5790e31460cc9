"""The training step that benchmarks time: ERM's, and OPeN's with its noise and its routed batch norm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from oponm.longtail import exponential_counts
from oponm.models.classifier import find_classifier
from oponm.nn import convert_batchnorm, noise_routing
from oponm.noise import GaussianNoise, ReplaceWithNoise
from oponm.training.noise_pass import split_logits

CLASS_COUNTS = exponential_counts(5000, 10, 100)  # CIFAR-10-LT, imbalance ratio 100
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True)
class Setting:
    """How to train.

    Attributes:
        batch_size: images a step.
        device: where.
        dtype: of autocast; None for float32 throughout.
        channels_last: memory format of weights and images.
        compiled: through ``torch.compile``.
        backend: of ``torch.compile``.
        image_size: pixels of a side.
        noise_grad: the reading of DAR-BN.
        split_noise: noise rows in a pass of their own, as training has them where nothing else is lost by it.
        noise_share: expected share of noise rows; a quarter is what the publication's delta of 1/3 gives here.
        class_counts: training images of each class.
    """

    batch_size: int = 128
    device: str = "cpu"
    dtype: torch.dtype | None = None
    channels_last: bool = False
    compiled: bool = False
    noise_grad: str = "none"
    split_noise: bool = False
    noise_share: float = 0.25
    class_counts: tuple[int, ...] = tuple(CLASS_COUNTS)
    backend: str = "inductor"
    image_size: int = 32


def make_step(make_network: Callable[[], nn.Module], method: str, setting: Setting) -> Callable[[], Tensor]:
    """A step on one fixed batch of random images, drawn class-balanced.

    Args:
        make_network: makes the network.
        method: ``"erm"``, or ``"open"`` for noise and DAR-BN.
        setting: the batch, the network and the device.

    Returns:
        Trains one step each time it is called, and returns the loss.
    """
    device = torch.device(setting.device)
    memory_format = torch.channels_last if setting.channels_last else torch.contiguous_format
    torch.manual_seed(0)
    network = make_network()
    if method == "open":
        convert_batchnorm(network, noise_grad=setting.noise_grad)
    network.to(device, memory_format=memory_format)
    classifier = find_classifier(network)[1]
    forward = torch.compile(network, backend=setting.backend) if setting.compiled else network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=2e-4, fused=True)

    counts = torch.tensor(setting.class_counts, dtype=torch.float64)
    side = setting.image_size
    images = torch.rand(setting.batch_size, 3, side, side, device=device)
    targets = torch.randint(len(counts), (setting.batch_size,), device=device)
    mean, std = (torch.tensor(table, device=device).view(3, 1, 1) for table in (MEAN, STD))
    delta = min(1.0, setting.noise_share / float((1 - counts / counts.max()).mean()))
    transform = ReplaceWithNoise(list(setting.class_counts), delta, GaussianNoise(MEAN, STD)).to(device)
    generator = torch.Generator(device).manual_seed(0)

    def step() -> Tensor:
        if method == "open":
            batch_images, batch_targets, is_noise = transform(images, targets, generator).natural_first()[:3]
        else:
            batch_images, batch_targets, is_noise = images, targets, None
        normalized = ((batch_images - mean) / std).contiguous(memory_format=memory_format)
        with torch.autocast(device.type, setting.dtype, enabled=setting.dtype is not None), noise_routing(is_noise):
            if setting.split_noise and is_noise is not None:
                logits = split_logits(forward, classifier, normalized, natural=int((~is_noise).sum()))
            else:
                logits = forward(normalized)
        loss = functional.cross_entropy(logits.float(), batch_targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
