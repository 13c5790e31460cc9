"""The LightningDataModule that all data sets share: draw the tail, keep it on the device, make batches with noise."""

from __future__ import annotations

import copy
import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from typing_extensions import Self, TypedDict

from oponm.configs import chosen
from oponm.data.augmentation import no_augmentation
from oponm.data.decode import UnusableFiles
from oponm.data.duplicates import shared_images
from oponm.data.loader import Batches, Loader
from oponm.data.memory import too_large
from oponm.data.mixing import no_mixing
from oponm.data.noise import NoiseFactory, make_noise, no_noise
from oponm.data.pipeline import DevicePipeline, RawBatch, ResidentImages
from oponm.data.progress import track
from oponm.data.samplers import EpochBatches, IndexBatch
from oponm.data.source import Pool, Source
from oponm.data.statistics import PUBLISHED, Statistics, channel_statistics, class_statistics, statistics_sample
from oponm.data.stream import StreamedImages
from oponm.errors import InputError, check_choice, check_int
from oponm.longtail import draw_indices, fit_counts, read_indices, split_digest, stratified_split
from oponm.longtail.draws import DRAWS
from oponm.longtail.split import check_held_out
from oponm.noise import Batch
from oponm.renamed import refuse_arguments

log = logging.getLogger(__name__)
VALIDATIONS = ("none", "split", "test")
ON_DUPLICATE, ON_MISSING_CLASS = ("warn", "drop", "raise"), ("raise", "warn")


class EpochInput(NamedTuple):
    """What the training input of an epoch is made of.

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


class DataOptions(TypedDict, total=False):
    """The options of :class:`LongTailDataModule`, for its subclasses to pass on."""

    imbalance_ratio: float | None
    profile: str
    draw: str
    draw_seed: int
    batch_size: int
    seed: int
    val: str
    val_size: int | float
    on_duplicate: str
    on_missing_class: str
    statistics: str
    in_memory: bool
    num_workers: int
    augmentation: str | Callable[[tuple[int, int]], nn.Module]
    noise: str | NoiseFactory
    mixing: str | Callable[[list[int]], nn.Module | None]


class LongTailDataModule(pl.LightningDataModule):
    """Draws a long-tailed training set from a source and serves it from the device's memory.

    After :meth:`setup`, its attributes tell what was drawn: ``class_names``, ``class_counts``, ``test_counts``,
    ``val_counts``, ``digest`` (of the indices drawn), ``content_digest`` (of labels and pixels, or file names),
    ``statistics``, ``image_shape``, ``pixel_max`` (white in images of more than 8 bits), ``skipped``, and ``facts``: in
    words, what results have to tell of the images. ``test_digest`` and ``val_digest`` are of labels and pixels, or of
    labels and the files' content, of the test and validation set.

    Args:
        imbalance_ratio: n_max / n_min of the tail to be drawn; None to take the images as they are.
        profile: ``"exponential"`` or ``"step"``.
        draw: ``"ldam"``, ``"m2m"``, ``"random"``, or the path of a file of indices, which then is the subset
            (``imbalance_ratio`` must be None).
        draw_seed: seed of the draw, apart from the run's seed; 0 is the published subset.
        batch_size: images a batch.
        seed: the run's seed: order, augmentation and noise.
        val: what models are compared on during training. ``"none"``: nothing. ``"split"``: images held out of the
            training images, the same of each class, before the tail is drawn (or the data set's own validation set,
            where it has one: a published list, a folder ``val``). ``"test"``: the test set itself, a habit of the
            literature that flatters.
        val_size: images of each class to hold out, a number or a share, for ``val="split"`` of sets without one.
        on_duplicate: where test or validation images are among the drawn training images too, pixel by pixel (or byte
            by byte of the files, for ``in_memory=False``): ``"warn"`` says how many, ``"drop"`` takes them out of
            training, ``"raise"`` refuses them.
        on_missing_class: a class without test or validation images: ``"raise"`` refuses it; ``"warn"`` names it, and
            means over classes leave it out.
        statistics: for normalisation: ``"own"``, those of the drawn training images; or published ones by name,
            ``"cifar10"``, ``"cifar100"``, ``"imagenet"``, for networks that were trained with them before. Noise has
            the own ones in any case, unless its options give others. For ``in_memory=False`` own ones are those of the
            centre squares of a sample, see :func:`~oponm.data.statistics.statistics_sample`. What was taken is logged.
        in_memory: keep all images decoded in the device's memory; False decodes the files of each batch anew, with a
            random resized crop for training, see :class:`~oponm.data.stream.StreamedImages`.
        num_workers: processes that decode, for ``in_memory=False``.
        augmentation: makes the augmentation from (H, W); or the name of a choice of the command line, as in the next
            two.
        noise: makes the noise transform from the training set's statistics, its class counts, and a function that gives
            the statistics of each class, see :func:`~oponm.data.noise.make_noise`.
        mixing: makes what mixes images with each other, from the class counts; see :mod:`oponm.data.mixing`.

        **others: none; an old name of an argument is answered with the new one.

    Raises:
        InputError: for a value out of range.
    """

    def __init__(
        self,
        imbalance_ratio: float | None = None,
        profile: str = "exponential",
        draw: str = "ldam",
        draw_seed: int = 0,
        batch_size: int = 128,
        seed: int = 0,
        val: str = "none",
        val_size: int | float = 0.1,
        on_duplicate: str = "warn",
        on_missing_class: str = "raise",
        statistics: str = "own",
        in_memory: bool = True,
        num_workers: int = 0,
        augmentation: str | Callable[[tuple[int, int]], nn.Module] = no_augmentation,
        noise: str | NoiseFactory = make_noise,
        mixing: str | Callable[[list[int]], nn.Module | None] = no_mixing,
        **others: Any,
    ) -> None:
        super().__init__()
        refuse_arguments(others, f"{type(self).__name__}.__init__")
        if draw not in DRAWS and imbalance_ratio is not None:
            read_indices(draw, num_images=2**63 - 1)
            raise InputError(f"must be null, as the images are listed in draw={draw}", "imbalance_ratio")
        self.imbalance_ratio, self.profile, self.draw = imbalance_ratio, profile, draw
        self.draw_seed = check_int("draw_seed", draw_seed, minimum=0)
        if draw_seed >= 2**32:
            raise InputError(f"must be below 2**32, got {draw_seed}", "draw_seed")
        self.batch_size = check_int("batch_size", batch_size, minimum=1)
        self.seed = check_int("seed", seed, minimum=0)
        self.val, self.val_size = check_choice("val", val, VALIDATIONS), check_held_out("val_size", val_size)
        self.on_duplicate = check_choice("on_duplicate", on_duplicate, ON_DUPLICATE)
        self.on_missing_class = check_choice("on_missing_class", on_missing_class, ON_MISSING_CLASS)
        self.statistics_name = check_choice("statistics", statistics, ("own", *PUBLISHED))
        self.in_memory, self.num_workers = in_memory, check_int("num_workers", num_workers, minimum=0)
        if in_memory and num_workers:
            raise InputError("must be 0 for in_memory=true, where nothing is left to decode", "num_workers")
        self.make_augmentation, self.make_noise = chosen("augmentation", augmentation), chosen("noise", noise)
        self.make_mixing = chosen("mixing", mixing)
        self.batches: EpochBatches | None = None  # of the epoch that is trained on
        self._ready = False
        self._own_statistics: Statistics | None = None  # once they are measured
        self._standing: dict[str, Loader] = {}  # whose processes stay from epoch to epoch

    @classmethod
    def from_datasets(  # type: ignore[override]
        cls, train_dataset: Any, val_dataset: Any = None, test_dataset: Any = None, **options: Any
    ) -> LongTailDataModule:
        """A data module of datasets, see :class:`~oponm.data.DatasetLT`.

        Args:
            train_dataset: to draw the training set from.
            val_dataset: for ``val="split"``; None holds it out of the training images.
            test_dataset: None holds it out of the training images.
            **options: of :class:`~oponm.data.DatasetLT`.

        Raises:
            InputError: for anything that is no dataset; and on a data set of its own, such as
                :class:`~oponm.data.DigitsLT`, whose images are no others.
        """
        from oponm.data.datasets import DatasetLT

        if not issubclass(DatasetLT, cls):
            raise InputError(f"{cls.__name__} has images of its own: call oponm.data.DatasetLT.from_datasets")
        return DatasetLT(train_dataset, test_dataset, val_dataset, **options)

    @abstractmethod
    def load_source(self) -> Source:
        """List the data set's images and labels, decoding nothing yet."""

    def setup(self, stage: str | None = None) -> None:
        """Draw the tail and decode it, once; then let the trainer's module make what depends on the data."""
        if not self._ready:
            self._draw_and_load()
        prepare = getattr(getattr(self.trainer, "lightning_module", None), "prepare", None)
        if stage == "fit" and prepare is not None:
            prepare(self, self.trainer)

    def _draw_and_load(self) -> None:
        source = self.load_source()
        candidates, held_out = self._hold_out(source)
        drawn = candidates[self._draw(source.train.labels[candidates], len(source.class_names))]
        everything = np.arange(len(source.test.labels))
        wanted = [(source.train, drawn, True), (source.test, everything, False)]
        wanted += [] if held_out is None else [(source.val or source.train, held_out, False)]
        (self.train_set, drawn), (self.test_set, _), *rest = self._load_all(wanted)
        self.val_set = rest[0][0] if rest else self.test_set
        drawn, duplicates = self._look_for_duplicates(source, drawn)

        self.class_names, self.skipped, self.pixel_max = source.class_names, source.skipped, source.pixel_max
        self.class_counts = self._count(self.train_set.targets, "training")
        self.test_counts = self._count(self.test_set.targets, "test")
        self.val_counts = [] if self.val == "none" else self._count(self.val_set.targets, "validation")
        self.digest, self.content_digest = split_digest(drawn), self.train_set.digest()
        self.image_shape = tuple(self.train_set.__getitems__(IndexBatch(torch.tensor([0]), 0, 0)).images.shape[1:])
        self.statistics = self._statistics()
        self.pipeline = self._pipeline()
        own = self._measured()
        self.facts = source.facts | {"validation": self._validation(source), "duplicates": duplicates}
        if missing := self._classes_missing({"test": self.test_counts, "validation": self.val_counts}):
            self.facts["missing classes"] = missing
            log.warning("%s: means over classes leave them out", missing)
        self.facts["normalised by"] = own if self.statistics_name == "own" else f"published {self.statistics_name}"
        self._ready = True
        log.info(
            "training set: %d images of %d classes, %d to %d a class, draw %s, digest %s",
            *(len(self.train_set), len(self.class_names), max(self.class_counts), min(self.class_counts)),
            *(self.draw, self.digest[:16]),
        )
        log.info("normalised by %s statistics: %s", self.facts["normalised by"], self.statistics)
        if self._own_statistics not in (None, self.statistics):
            log.info("colours of noise, unless given: %s statistics: %s", own, self._own_statistics)
        log.info("validation: %s", self.facts["validation"])
        if self.val == "test":
            log.warning("val=test: the test set doubles as validation set, so the best epoch's figure flatters")
        if self.skipped:
            log.warning("%d files could not be read and were left out", len(self.skipped))

    def for_run(self, seed: int | None = None, noise: NoiseFactory | None = None) -> Self:
        """The same images for a run of its own: set up, sharing pixels with this module, which stays as it is.

        Args:
            seed: of the run; None is this module's.
            noise: makes the noise transform; None is this module's.

        Raises:
            InputError: for a seed that is none, and as :meth:`setup`.
        """
        self.setup()
        other = copy.copy(self)
        other.trainer = None
        if seed is not None:
            other.seed = check_int("seed", seed, minimum=0)
        other.make_noise = noise or self.make_noise
        if isinstance(self.train_set, StreamedImages):  # its crops are drawn by the seed
            other.train_set = copy.copy(self.train_set)
            other.train_set.seed = other.seed
        other.pipeline = other._pipeline()
        return other

    def _pipeline(self) -> DevicePipeline:
        height, width = self.image_shape[1:]
        return DevicePipeline(
            self.make_augmentation((height, width)),
            self._noise_transform(),
            self.statistics,
            self.seed,
            self.make_mixing(self.class_counts),
        )

    def _noise_transform(self) -> nn.Module | None:
        if self.make_noise is no_noise:
            return None
        return self.make_noise(self.own_statistics(), self.class_counts, self._class_statistics)

    def _draw(self, labels: npt.NDArray[np.int64], num_classes: int) -> npt.NDArray[np.int64]:
        if self.draw not in DRAWS:
            return read_indices(self.draw, len(labels))
        if self.imbalance_ratio is None:
            return np.arange(len(labels))
        available = np.bincount(labels, minlength=num_classes).tolist()
        order = self.order_classes(available)
        fitted = fit_counts([available[label] for label in order], self.imbalance_ratio, self.profile)
        counts = [count for _, count in sorted(zip(order, fitted, strict=True))]
        return draw_indices(labels, counts, self.draw, self.draw_seed)

    def order_classes(self, available: list[int]) -> list[int]:
        """Classes from head to tail: in label order, as published subsets are.

        Args:
            available: images at hand of each class.
        """
        return list(range(len(available)))

    def _load_all(self, parts: Iterable[tuple[Pool, npt.NDArray[np.int64], bool]]) -> list[Any]:
        """Load all parts, and name the files of all that cannot be used."""
        refused: list[InputError] = []

        def attempt(part: tuple[Pool, npt.NDArray[np.int64], bool]) -> Any:
            try:
                return self._load(*part)
            except UnusableFiles as error:
                refused.extend(error.errors)

        loaded = [attempt(part) for part in parts]
        if refused:
            raise UnusableFiles(refused)
        return loaded

    def _load(
        self, pool: Pool, wanted: npt.NDArray[np.int64], training: bool = False
    ) -> tuple[ResidentImages | StreamedImages, npt.NDArray[np.int64]]:
        """The wanted part of a pool, and what of it there is."""
        if self.in_memory:
            images, kept = pool.read(wanted)
            return ResidentImages(images, torch.from_numpy(pool.labels[wanted[kept]])), wanted[kept]
        if pool.stream is None:
            raise InputError("must be true for this data set, and with on_error=skip and no data.pack", "in_memory")
        streamed, kept = pool.stream(wanted, training, self.seed)
        return streamed, wanted[kept]

    def _statistics(self) -> Statistics:
        if self.statistics_name != "own":
            if self.image_shape[0] != 3:
                raise InputError(f"of {self.statistics_name} are for colour images: take own", "statistics")
            return PUBLISHED[self.statistics_name]
        return self.own_statistics()

    def own_statistics(self) -> Statistics:
        """Those of the drawn training images, measured when first asked for; see ``statistics``."""
        if self._own_statistics is None:
            if isinstance(self.train_set, ResidentImages):
                self._own_statistics = channel_statistics(self.train_set.images)
            else:
                chosen = statistics_sample(len(self.train_set))
                self._own_statistics = channel_statistics(raw.images for raw in self._uncropped(chosen, "colours"))
        return self._own_statistics

    def _measured(self) -> str:
        """What the own statistics are of."""
        number = len(self.train_set)
        sample = number if self.in_memory else len(statistics_sample(number))
        return "own" if sample == number else f"own (of {sample:,} of the {number:,} training images, drawn by seed 0)"

    def _class_statistics(self) -> list[Statistics]:
        if isinstance(self.train_set, ResidentImages):
            batches: Iterable[tuple[Tensor, Tensor]] = [(self.train_set.images, self.train_set.targets)]
        else:
            everything = torch.arange(len(self.train_set))
            batches = (raw[:2] for raw in self._uncropped(everything, "colours of classes"))
        return class_statistics(batches, len(self.class_names))

    def _uncropped(self, indices: Tensor, title: str) -> Iterable[RawBatch]:
        """Training images that are not in memory, as an evaluation sees them: no seed has a part in it."""
        images: Any = copy.copy(self.train_set)
        images.training = False
        parts = indices.split(self.batch_size)
        batches = [IndexBatch(part, epoch=0, step=step) for step, part in enumerate(parts)]
        return track(Loader(images, self.num_workers).over(batches), len(batches), f"measuring {title}")

    def _hold_out(self, source: Source) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]:
        """Candidates for the training set, and what validates: indices into ``source.val`` if there is one."""
        everything = np.arange(len(source.train.labels))
        if self.val != "split":
            return everything, None
        if source.val is not None:
            return everything, np.arange(len(source.val.labels))
        try:
            return stratified_split(source.train.labels, self.val_size, seed=self.draw_seed)
        except InputError as error:
            raise InputError(f"asks for too much: {error.message}; lower it", "val_size") from error

    def _validation(self, source: Source) -> str:
        """The policy in words."""
        if self.val != "split":
            return {"none": "none", "test": "the test set"}[self.val]
        return "held out of the training images" if source.val is None else source.val_origin or "own validation set"

    def _look_for_duplicates(self, source: Source, drawn: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], str]:
        """Compare the training set with the others, and do what ``on_duplicate`` says of what is in both.

        Returns:
            What is drawn then, and what was found, in words.
        """
        sets = {"test": self.test_set} | ({} if self.val_set is self.test_set else {"validation": self.val_set})
        lines, doubled = [], np.zeros(len(drawn), dtype=bool)
        for name, images in sets.items():
            in_train, in_other = shared_images(self.train_set, images)
            doubled |= in_train
            number = f"{in_other.sum() or 'none'} of {len(images)} {name} images"
            lines.append(f"{number} {'is' if in_other.sum() == 1 else 'are'} in training too")
        found = "; ".join(lines)
        if not doubled.any():
            log.info("exact duplicates: %s", found)
            return drawn, found
        if self.on_duplicate == "raise":
            raise InputError(f"is raise, and {found}: remove them, or choose drop or warn", "on_duplicate")
        if self.on_duplicate == "drop":
            found += f"; the {doubled.sum()} training images were left out"
            drawn = drawn[~doubled]
            if isinstance(self.train_set, ResidentImages):
                kept = torch.from_numpy(~doubled)
                self.train_set = ResidentImages(self.train_set.images[kept], self.train_set.targets[kept])
            else:
                self.train_set, drawn = self._load(source.train, drawn, training=True)
        log.warning("exact duplicates: %s%s", found, "" if self.on_duplicate == "drop" else " (data.on_duplicate)")
        return drawn, found

    @property
    def lengths_digest(self) -> str:
        """SHA-256 of the lengths of the training images' files, where these are streamed; else empty."""
        return self.train_set.lengths_digest()

    @property
    def test_digest(self) -> str:
        """SHA-256 of labels and pixels of the test set; of files, of labels and content."""
        return self.test_set.contents_digest()

    @property
    def val_digest(self) -> str:
        """The same of the validation set; empty where there is none."""
        return "" if self.val == "none" else self.val_set.contents_digest()

    def normalise_as(self, statistics: Statistics) -> None:
        """Take the statistics that a network was trained with, whatever the training images have now.

        Args:
            statistics: of each channel.
        """
        if statistics != self.statistics:
            log.warning("normalised as in training, by %s; the images now have %s", statistics, self.statistics)
        if self.statistics_name == "own":
            self._own_statistics = statistics
        self.statistics = statistics
        self.pipeline = self._pipeline()

    def _count(self, targets: Tensor, name: str) -> list[int]:
        counts: list[int] = torch.bincount(targets, minlength=len(self.class_names)).tolist()
        if 0 in counts and (name == "training" or self.on_missing_class == "raise" or not any(counts)):
            remedy = "" if name == "training" else ", or set data.on_missing_class=warn"
            raise InputError(f"class {self._absent(counts)} has no {name} image left: add some{remedy}")
        return counts

    def epoch_input(self, epoch: int) -> EpochInput:
        """What the training input of an epoch is made of: what the trainer's module asks for, if it has phases.

        Args:
            epoch: zero-based.
        """
        ask = getattr(getattr(self.trainer, "lightning_module", None), "epoch_input", None)
        return EpochInput() if ask is None else ask(epoch)

    def _absent(self, counts: list[int]) -> str:
        """The classes without an image, at most five of them by name."""
        absent = [repr(name) for name, count in zip(self.class_names, counts, strict=True) if not count]
        return ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")

    def _classes_missing(self, counts: dict[str, list[int]]) -> str:
        """Which classes are missing from the sets that are evaluated on, in words; empty if none is."""
        lines = {name: self._absent(own) for name, own in counts.items() if 0 in own}
        return "; ".join(f"no {name} images of {absent}" for name, absent in lines.items())

    def _device(self) -> torch.device:
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    def _place(self) -> tuple[int, int]:
        """The rank of this process, and the number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def train_dataloader(self) -> Loader:
        """One loader for all epochs, which the trainer tells the epoch; with ``overfit_batches`` all have one order."""
        overfits = self.trainer is not None and getattr(self.trainer, "overfit_batches", False)
        epoch = 0 if self.trainer is None or overfits else self.trainer.current_epoch  # that of a run that resumes too
        loader = self._loader("train_set", self._batches_of(epoch))
        return loader if overfits else loader.by_epoch(self._batches_of)

    def _batches_of(self, epoch: int) -> EpochBatches:
        asked = self.epoch_input(epoch)
        rank, world_size = self._place()
        self.batches = EpochBatches(
            *(self.train_set.targets.cpu(), self.batch_size, asked.sampler, self.seed, epoch, asked.progress),
            rank=rank,
            world_size=world_size,
        )
        return self.batches

    def val_dataloader(self) -> Loader | list[Any]:
        """The validation set in order; empty for ``val="none"``."""
        return [] if self.val == "none" else self._in_order("val_set")

    def test_dataloader(self) -> Loader:
        """The test set in order."""
        return self._in_order("test_set")

    def predict_dataloader(self) -> Loader:
        """The test set in order, for ``trainer.predict``."""
        return self.test_dataloader()

    def teardown(self, stage: str | None = None) -> None:
        """Let the processes go that decode, when training or testing is over."""
        for loader in self._standing.values():
            loader.close()
        self._standing.clear()

    def _in_order(self, name: str) -> Loader:
        rank, world_size = self._place()
        mine = torch.arange(rank, len(getattr(self, name)), world_size)
        parts = mine.split(max(self.batch_size, 500) if self.in_memory else self.batch_size)
        batches = [IndexBatch(indices, epoch=0, step=step) for step, indices in enumerate(parts)]
        return self._loader(name, batches)

    def _loader(self, name: str, batches: Batches) -> Loader:
        """The loader of a set, over some batches; one for as long as the trainer goes on."""
        images, device = getattr(self, name), self._device()
        if isinstance(images, ResidentImages):
            try:
                images = images.to(device)
            except torch.OutOfMemoryError as error:
                raise too_large(images.images.nbytes, f"{device} has no room for them") from error
            setattr(self, name, images)  # moved once
        loader = self._standing.get(name)
        if loader is None or loader.images is not images:
            loader = Loader(images, self.num_workers, pin_memory=not self.in_memory and device.type == "cuda")
            self._standing[name] = loader
        return loader.over(batches)

    def transfer_batch_to_device(self, batch: RawBatch, device: torch.device, dataloader_idx: int) -> RawBatch:
        """Move what is elsewhere; Lightning's own search through the batch takes a tenth of a small network's step."""
        images, targets = (tensor.to(device, non_blocking=True) for tensor in batch[:2])
        return batch._replace(images=images, targets=targets)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
        """Turn stored pixels into the batch a network sees."""
        training = self.trainer is not None and self.trainer.training
        return self.make_batch(batch, training)

    def make_batch(self, raw: RawBatch, training: bool) -> Batch:
        """Augment, mix noise in as the epoch asks for, and normalise.

        Args:
            raw: what the loaders yield.
            training: False only scales and normalises.
        """
        rank = 0 if self.trainer is None else self.trainer.global_rank
        asked = self.epoch_input(raw.epoch)
        if self.pipeline.mean.device != raw.images.device:
            self.pipeline.to(raw.images.device)
        return self.pipeline(raw, training, asked.noise, rank, asked.progress, asked.mixing)
