"""The LightningDataModule that serves sets of images: persistent loaders, and batches made on the device."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch

from oponm.data.loader import Batches, Loader
from oponm.data.memory import too_large
from oponm.data.pipeline import DevicePipeline, ImageSet, RawBatch, ResidentImages
from oponm.data.samplers import EpochBatches, IndexBatch
from oponm.errors import InputError
from oponm.noise import Batch

NO_TEST = "is 0, or the split has no test images: there is no test set; hold one out, or evaluate on a folder of images"


class EpochInput(NamedTuple):
    """Settings of the training input of an epoch.

    Attributes:
        sampler: a name in :data:`oponm.data.samplers.SAMPLERS`.
        noise: whether noise is mixed in.
        mixing: whether images are mixed with each other.
        progress: share of the phase that has passed, in [0, 1], for samplers and noise that change over it.
    """

    sampler: str = "instance"
    noise: bool = False
    mixing: bool = False
    progress: float = 1.0


class ImageDataModule(pl.LightningDataModule):
    """Serves a training, a validation and a test set, in the device's memory or read batch by batch.

    A subclass provides the sets and their pipeline in ``setup``.

    Args:
        batch_size: images per batch.
        seed: the run's seed: order, augmentation and noise.
        val: ``"none"`` if there is no validation.
        in_memory: whether the sets are kept in memory, as :class:`~oponm.data.pipeline.ResidentImages`.
        num_workers: processes that read images that are not in memory.
    """

    train_set: ImageSet
    val_set: ImageSet | None  # None where nothing validates or tests
    test_set: ImageSet | None
    pipeline: DevicePipeline

    def __init__(self, batch_size: int, seed: int, val: str, in_memory: bool, num_workers: int) -> None:
        super().__init__()
        self.batch_size, self.seed, self.val = batch_size, seed, val
        self.in_memory, self.num_workers = in_memory, num_workers
        self.batches: EpochBatches | None = None  # batches of the current epoch
        self._standing: dict[str, Loader] = {}  # loaders, which keep their processes from epoch to epoch

    @property
    def lengths_digest(self) -> str:
        """SHA-256 of the lengths of the training images' files, if these are streamed; else empty."""
        return self.train_set.lengths_digest()

    @property
    def test_digest(self) -> str:
        """SHA-256 of labels and pixels of the test set; of files, of labels and content; empty where there is none."""
        return "" if self.test_set is None else self.test_set.contents_digest()

    @property
    def val_digest(self) -> str:
        """The same of the validation set; empty where there is none."""
        return "" if self.val == "none" or self.val_set is None else self.val_set.contents_digest()

    def epoch_input(self, epoch: int) -> EpochInput:
        """The settings of an epoch's training input: those that the trainer's module asks for, if it has phases.

        Args:
            epoch: zero-based.
        """
        ask = getattr(getattr(self.trainer, "lightning_module", None), "epoch_input", None)
        return EpochInput() if ask is None else ask(epoch)

    def train_dataloader(self) -> Loader:
        """One loader for all epochs; the trainer sets its epoch; with ``overfit_batches`` all have the same order."""
        overfits = self.trainer is not None and getattr(self.trainer, "overfit_batches", False)
        epoch = 0 if self.trainer is None or overfits else self.trainer.current_epoch  # also when a run resumes
        loader = self._loader("train_set", self._batches_of(epoch))
        return loader if overfits else loader.by_epoch(self._batches_of)

    def val_dataloader(self) -> Loader | list[Any]:
        """The validation set in order; empty for ``val="none"``."""
        return [] if self.val == "none" else self._in_order("val_set")

    def test_dataloader(self) -> Loader:
        """The test set in order.

        Raises:
            InputError: if there is none.
        """
        if self.test_set is None:
            raise InputError(NO_TEST, "test_fraction")
        return self._in_order("test_set")

    def predict_dataloader(self) -> Loader:
        """The test set in order, for ``trainer.predict``."""
        return self.test_dataloader()

    def teardown(self, stage: str | None = None) -> None:
        """Stop the decoding processes when training or testing is over."""
        for loader in self._standing.values():
            loader.close()
        self._standing.clear()

    def transfer_batch_to_device(self, batch: RawBatch, device: torch.device, dataloader_idx: int) -> RawBatch:
        """Move tensors elsewhere; Lightning's own search in the batch takes a tenth of a small network's step."""
        images, targets = (tensor.to(device, non_blocking=True) for tensor in batch[:2])
        return batch._replace(images=images, targets=targets)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        """Turn stored pixels into the batch that the network gets."""
        training = self.trainer is not None and self.trainer.training
        return self.make_batch(batch, training)

    def make_batch(self, raw: RawBatch, training: bool) -> Batch:
        """Augment, mix noise in if the epoch has noise, and normalize.

        Args:
            raw: a batch that a loader yields.
            training: False only scales and normalizes.
        """
        rank, _ = self._place()
        asked = self.epoch_input(raw.epoch)
        if self.pipeline.mean.device != raw.images.device:
            self.pipeline.to(raw.images.device)
        return self.pipeline(raw, training, asked.noise, rank, asked.progress, asked.mixing)

    def _batches_of(self, epoch: int) -> EpochBatches:
        asked, (rank, world_size) = self.epoch_input(epoch), self._place()
        self.batches = EpochBatches(
            *(self.train_set.targets.cpu(), self.batch_size, asked.sampler, self.seed, epoch, asked.progress),
            rank=rank,
            world_size=world_size,
        )
        return self.batches

    def _in_order(self, name: str) -> Loader:
        rank, world_size = self._place()
        mine = torch.arange(rank, len(getattr(self, name)), world_size)
        parts = mine.split(max(self.batch_size, 500) if self.in_memory else self.batch_size)
        return self._loader(name, [IndexBatch(indices, epoch=0, step=step) for step, indices in enumerate(parts)])

    def _loader(self, name: str, batches: Batches) -> Loader:
        """The loader of a set over some batches; the same object for as long as the trainer runs."""
        images = getattr(self, name)
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        if isinstance(images, ResidentImages):
            try:
                images = images.to(device)
            except torch.OutOfMemoryError as error:
                raise too_large(images.images.nbytes, f"{device} has no room for them") from error
            setattr(self, name, images)  # the set is moved once
        loader = self._standing.get(name)
        if loader is None or loader.images is not images:
            loader = Loader(images, self.num_workers, pin_memory=not self.in_memory and device.type == "cuda")
            self._standing[name] = loader
        return loader.over(batches)

    def _place(self) -> tuple[int, int]:
        """The rank of this process, and the number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
