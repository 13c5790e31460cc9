"""The pipeline from stored pixels to the network's batch, all of it on the device."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from oponm.data.samplers import IndexBatch
from oponm.data.statistics import Statistics
from oponm.noise import Batch
from oponm.rng import derive_generator, derived_randomness


class RawBatch(NamedTuple):
    """Stored pixels of a batch, with its epoch and step, which determine all further randomness.

    Attributes:
        images: (N, C, H, W), uint8.
        targets: (N,), int64.
        epoch: zero-based epoch.
        step: zero-based batch within the epoch.
    """

    images: Tensor
    targets: Tensor
    epoch: int
    step: int


class ImageSet(torch.utils.data.Dataset[RawBatch]):
    """A set of images that is read a batch at a time; its digests are computed when they are asked for.

    Attributes:
        targets: labels, (N,), int64.
    """

    targets: Tensor
    _contents: str | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @abstractmethod
    def only(self, kept: npt.NDArray[np.int64]) -> ImageSet:
        """Return the subset of the images with the given indices.

        Args:
            kept: indices into this set, (M,), int64.
        """

    @abstractmethod
    def digest(self) -> str:
        """SHA-256 of the labels and images, or of their files' names, in order."""

    @abstractmethod
    def hash_contents(self) -> str:
        """SHA-256 of the labels and of the images' content, in order."""

    def contents_digest(self) -> str:
        """Return :meth:`hash_contents`, which is computed at the first call only."""
        if self._contents is None:
            self._contents = self.hash_contents()
        return self._contents

    def lengths_digest(self) -> str:
        """SHA-256 of the lengths of the files in bytes; empty if :meth:`digest` covers every pixel."""
        return ""

    def fingerprint(self) -> str:
        """SHA-256 of values that change if pixels do; empty if :meth:`digest` covers every pixel.

        The values are lengths and modification times of image files, or the checksums of a pack.
        """
        return ""

    @abstractmethod
    def __getitems__(self, batch: IndexBatch) -> RawBatch: ...


class ResidentImages(ImageSet):
    """A set of images in the memory of the network's device, read a batch at a time.

    Args:
        images: (N, C, H, W), uint8.
        targets: (N,), int64, on the same device.

    Example:
        >>> data = ResidentImages(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.arange(4))
        >>> data.__getitems__(IndexBatch(torch.tensor([3, 1]), epoch=0, step=0)).targets
        tensor([3, 1])
    """

    def __init__(self, images: Tensor, targets: Tensor) -> None:
        self.images, self.targets = images, targets

    def to(self, device: torch.device) -> ResidentImages:
        """Return the set in a device's memory; the set itself if it is there already."""
        if self.images.device == self.targets.device == device:
            return self
        moved = ResidentImages(self.images.to(device), self.targets.to(device))
        moved._contents = self._contents
        return moved

    def only(self, kept: npt.NDArray[np.int64]) -> ResidentImages:
        """Return the subset of the images with the given indices, see :meth:`ImageSet.only`."""
        return ResidentImages(self.images[kept], self.targets[kept])

    def digest(self) -> str:
        """SHA-256 of the labels and pixels, in order."""
        parts = (self.targets.cpu().numpy().astype("<i8"), self.images.cpu().contiguous().numpy())
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def hash_contents(self) -> str:
        """:meth:`digest`, which covers every pixel."""
        return self.digest()

    def __getitems__(self, batch: IndexBatch) -> RawBatch:
        indices = batch.indices.to(self.targets.device, non_blocking=True)
        return RawBatch(self.images[indices], self.targets[indices], batch.epoch, batch.step)


class DevicePipeline(nn.Module):
    """Scales to [0, 1], augments, adds noise, mixes images with each other, and normalizes.

    Noise images are drawn after the augmentation, so they are never augmented, and before the normalization, so they
    are noise in pixel space.

    Args:
        augmentation: takes and returns (N, C, H, W) in [0, 1]; its randomness comes from torch's global generators.
        noise_transform: takes images, targets, a generator and ``progress``, and returns a :class:`~oponm.noise.Batch`;
            None adds no noise.
        statistics: mean and standard deviation for the normalization.
        seed: the run's seed.
        mixing: takes a batch and a generator and mixes its natural images with each other; None mixes nothing.

    Example:
        >>> pipeline = DevicePipeline(nn.Identity(), None, Statistics((0.5,), (0.5,)), seed=0)
        >>> raw = RawBatch(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8), torch.tensor([0]), 0, 0)
        >>> pipeline(raw, training=False).images.item()
        1.0
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        augmentation: nn.Module,
        noise_transform: nn.Module | None,
        statistics: Statistics,
        seed: int,
        mixing: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.augmentation, self.noise_transform, self.seed, self.mixing = augmentation, noise_transform, seed, mixing
        self.register_buffer("mean", torch.tensor(statistics.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(statistics.std).clamp(min=1e-6).view(-1, 1, 1))

    @torch.no_grad()
    def forward(
        self,
        raw: RawBatch,
        training: bool,
        noise: bool = False,
        rank: int = 0,
        progress: float = 1.0,
        mixing: bool = False,
    ) -> Batch:
        """Make the batch of a step.

        Args:
            raw: stored pixels.
            training: whether to augment; evaluation only scales and normalizes.
            noise: whether to add noise.
            rank: rank of the process, which gives each process its own random draws.
            progress: fraction of the phase that has passed, in [0, 1], for noise that grows over it.
            mixing: whether to mix natural images with each other.
        """
        images = raw.images.float() / 255
        batch = Batch(images, raw.targets)
        if training:
            identity = (self.seed, "augmentation", raw.epoch, raw.step, rank)
            with derived_randomness(*identity, device=images.device):
                batch = Batch(self.augmentation(images), raw.targets)
            if noise and self.noise_transform is not None:
                generator = derive_generator(self.seed, "noise", raw.epoch, raw.step, rank, device=images.device)
                batch = self.noise_transform(*batch[:2], generator, progress)
            if mixing and self.mixing is not None:
                generator = derive_generator(self.seed, "mixing", raw.epoch, raw.step, rank, device=images.device)
                batch = self.mixing(batch, generator)
        return batch._replace(images=(batch.images - self.mean) / self.std)
