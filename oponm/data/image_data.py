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
    """Settings of the training batches of an epoch.

    Attributes:
        sampler: a name in :data:`oponm.data.samplers.SAMPLERS`.
        noise: whether the batches get noise images.
        mixing: whether images are mixed with each other, as by mixup.
        progress: fraction of the phase that has passed, in [0, 1], for samplers and noise that change over it.
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
        val: ``"none"`` for no validation; any other text to validate on ``val_set``.
        in_memory: whether the sets are kept in memory, as :class:`~oponm.data.pipeline.ResidentImages`.
        num_workers: number of processes that read the images of each batch, for ``in_memory=False``.
    """

    train_set: ImageSet
    val_set: ImageSet | None  # None for neither a validation nor a test set
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
        """SHA-256 of the lengths in bytes of the training images' files, if these are streamed; else empty."""
        return self.train_set.lengths_digest()

    @property
    def test_digest(self) -> str:
        """SHA-256 of the labels and the pixels, or files if streamed, of the test set; empty without a test set."""
        return "" if self.test_set is None else self.test_set.contents_digest()

    @property
    def val_digest(self) -> str:
        """SHA-256 of the labels and the pixels, or files if streamed, of the validation set; empty without one."""
        return "" if self.val == "none" or self.val_set is None else self.val_set.contents_digest()

    def epoch_input(self, epoch: int) -> EpochInput:
        """Return the settings of an epoch's training batches.

        They are those of the LightningModule's phase, or the defaults if it has no method ``epoch_input``.

        Args:
            epoch: zero-based.
        """
        ask = getattr(getattr(self.trainer, "lightning_module", None), "epoch_input", None)
        return EpochInput() if ask is None else ask(epoch)

    def train_dataloader(self) -> Loader:
        """Return one loader for all epochs, whose epoch the trainer sets.

        With ``overfit_batches``, every epoch has the same order.
        """
        overfits = self.trainer is not None and getattr(self.trainer, "overfit_batches", False)
        epoch = 0 if self.trainer is None or overfits else self.trainer.current_epoch  # also when a run resumes
        loader = self._loader("train_set", self._batches_of(epoch))
        return loader if overfits else loader.by_epoch(self._batches_of)

    def val_dataloader(self) -> Loader | list[Any]:
        """Return a loader of the validation set in order; an empty list for ``val="none"``."""
        return [] if self.val == "none" else self._in_order("val_set")

    def test_dataloader(self) -> Loader:
        """Return a loader of the test set in order.

        Raises:
            InputError: if there is no test set.
        """
        if self.test_set is None:
            raise InputError(NO_TEST, "test_fraction")
        return self._in_order("test_set")

    def predict_dataloader(self) -> Loader:
        """Return a loader of the test set in order, for ``trainer.predict``."""
        return self.test_dataloader()

    def teardown(self, stage: str | None = None) -> None:
        """Stop the decoding processes when training or testing is over."""
        for loader in self._standing.values():
            loader.close()
        self._standing.clear()

    def transfer_batch_to_device(self, batch: RawBatch, device: torch.device, dataloader_idx: int) -> RawBatch:
        """Move the batch's tensors to ``device``.

        Lightning's own method, which searches the batch for tensors, takes a tenth of a small network's step.
        """
        images, targets = (tensor.to(device, non_blocking=True) for tensor in batch[:2])
        return batch._replace(images=images, targets=targets)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        """Turn stored pixels into the batch that the network gets."""
        training = self.trainer is not None and self.trainer.training
        return self.make_batch(batch, training)

    def make_batch(self, raw: RawBatch, training: bool) -> Batch:
        """Augment, add noise if the epoch has noise, and normalize.

        Args:
            raw: a batch that a loader yields.
            training: whether to do all of this; False only scales to [0, 1] and normalizes.
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
        """Return the loader of a set, over some batches; it is the same object for as long as the trainer runs."""
        images = getattr(self, name)
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        if isinstance(images, ResidentImages):
            try:
                images = images.to(device)
            except torch.OutOfMemoryError as error:
                raise too_large(images.images.nbytes, f"{device} has too little memory") from error
            setattr(self, name, images)  # the set is moved once
        loader = self._standing.get(name)
        if loader is None or loader.images is not images:
            loader = Loader(images, self.num_workers, pin_memory=not self.in_memory and device.type == "cuda")
            self._standing[name] = loader
        return loader.over(batches)

    def _place(self) -> tuple[int, int]:
        """The rank of this process, and the number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
