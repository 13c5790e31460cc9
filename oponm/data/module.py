"""The LightningDataModule of all data sets: draws a long-tailed training set, and makes batches with noise."""

from __future__ import annotations

import copy
import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from typing_extensions import Self

from oponm.configs import chosen
from oponm.data.augmentation import no_augmentation
from oponm.data.image_data import ImageDataModule
from oponm.data.image_sets import (
    count_images,
    image_shape,
    list_parts,
    load_sets,
    look_for_duplicates,
    measure,
    measure_classes,
    measured_on,
    missing_classes,
)
from oponm.data.mixing import no_mixing
from oponm.data.noise import NoiseFactory, make_noise, no_noise
from oponm.data.pipeline import DevicePipeline
from oponm.data.sources.base import Source
from oponm.data.split import VALIDATIONS, check_draw, check_seed, describe_validation, draw_tail, hold_out
from oponm.data.split_file import image_names, kind_of_names, root_of
from oponm.data.statistics import Statistics, check_statistics, chosen_statistics
from oponm.data.stream import StreamedImages
from oponm.errors import InputError, check_choice, check_int
from oponm.longtail import split_digest
from oponm.longtail.split import check_held_out
from oponm.renamed import refuse_arguments

log = logging.getLogger(__name__)
ON_DUPLICATE, ON_MISSING_CLASS = ("warn", "drop", "raise"), ("raise", "warn")


class LongTailDataModule(ImageDataModule):
    """Draws a long-tailed training set from a source, and serves it from memory or file by file.

    After :meth:`setup`, its attributes describe what was drawn: ``class_names``, ``class_counts``, ``test_counts``,
    ``val_counts``, ``digest`` (of the indices drawn), ``content_digest`` (of labels and pixels, or file names),
    ``statistics``, ``image_shape``, ``pixel_max`` (the value of white in images of more than 8 bits), ``skipped``, and
    ``facts``: a dict of descriptions of the images, as text, for ``result.json``. ``test_digest`` and ``val_digest``
    are of labels and pixels, or of labels and the files' content, of the test and validation set. ``listed`` is a dict
    from ``"train"``, ``"val"``, ``"test"`` and ``"none"`` (images in none of the three) to lists of
    :class:`~oponm.data.sources.base.Part`. A set without test images has ``test_set`` None and empty ``test_counts``.

    Args:
        imbalance_ratio: n_max / n_min of the tail to draw; None takes the images as they are.
        profile: shape of the class counts from head to tail: ``"exponential"`` decays geometrically, ``"step"`` has
            n_max images in the first half of the classes and n_min in the others.
        draw: the images of each class that are taken. ``"ldam"``: random ones, as LDAM's code draws them; ``"m2m"``:
            the first ones, as in M2m's code; ``"random"``: random ones; with the same seed, a larger draw contains
            every smaller one. Else the path of a file with the indices of the whole subset, one per line or as a
            ``.npy`` array; ``imbalance_ratio`` must then be None.
        draw_seed: seed of the draw, independent of the run's seed; 0 with ``"ldam"`` is the published CIFAR subset.
        split_seed: seed of the choice of held-out images, for testing (if the set has no test images of its own) and
            for ``val="split"``. None is 0 for testing, and ``draw_seed`` for validation.
        batch_size: images per batch, over all processes.
        seed: the run's seed: order, augmentation and noise.
        val: the validation set. ``"none"``: no validation. ``"split"``: the data set's own validation set, if it has
            one (a published list, a folder ``val``); else images held out of the training images, the same number or
            share of each class, before the tail is drawn. ``"test"``: the test set itself, as in much of the
            literature; results are then too optimistic.
        val_size: images of each class to hold out, a number (int) or a share in (0, 1), for ``val="split"`` of sets
            without a validation set.
        on_duplicate: reaction to test or validation images that are also among the drawn training images, pixel by
            pixel (or byte by byte of the files, for ``in_memory=False``): ``"warn"`` logs their number, ``"drop"``
            removes them from training, ``"raise"`` raises an error.
        on_missing_class: reaction to a class without test or validation images: ``"raise"`` raises an error; ``"warn"``
            logs its name, and means over classes leave it out.
        statistics: mean and standard deviation for normalization: ``"own"`` takes those of the drawn training images.
            Networks pretrained with others take published ones by name, ``"cifar10"``, ``"cifar100"`` or
            ``"imagenet"``; or values, as :class:`~oponm.data.statistics.Statistics` or a mapping with ``mean`` and
            ``std`` in [0, 1], one value per channel. Noise images always use the statistics of the drawn training
            images, unless ``noise.mean`` and ``noise.std`` are set. For ``in_memory=False``, these are measured on
            the center squares of a sample, see :func:`~oponm.data.statistics.statistics_sample`. The choice is logged.
        in_memory: whether to keep all images decoded in the device's memory; False decodes the files of each batch
            again, with a random resized crop for training, see :class:`~oponm.data.stream.StreamedImages`.
        num_workers: number of processes that decode, for ``in_memory=False``.
        augmentation: function from (H, W) to the augmentation, or the name of a choice of the config group
            ``augmentation``. Likewise, ``noise`` and ``mixing`` may be the name of a choice of their group.
        noise: function from the training set's statistics, its class counts, and a function that returns the
            statistics of each class, to the noise transform, see :func:`~oponm.data.noise.make_noise`.
        mixing: function from the class counts to the module that mixes images, or to None, see
            :mod:`oponm.data.mixing`.

        **others: not accepted; for an old name of an argument, the error gives the new one.

    Raises:
        InputError: for a value out of range.
    """

    resize = "crop"  # how images of another shape are brought to one size, see oponm.data.decode.Form

    def __init__(
        self,
        imbalance_ratio: float | None = None,
        profile: str = "exponential",
        draw: str = "ldam",
        draw_seed: int = 0,
        split_seed: int | None = None,
        batch_size: int = 128,
        seed: int = 0,
        val: str = "none",
        val_size: int | float = 0.1,
        on_duplicate: str = "warn",
        on_missing_class: str = "raise",
        statistics: str | Statistics | Mapping[str, Sequence[float]] = "own",
        in_memory: bool = True,
        num_workers: int = 0,
        augmentation: str | Callable[[tuple[int, int]], nn.Module] = no_augmentation,
        noise: str | NoiseFactory = make_noise,
        mixing: str | Callable[[list[int]], nn.Module | None] = no_mixing,
        **others: Any,
    ) -> None:
        refuse_arguments(others, f"{type(self).__name__}.__init__")
        check_draw(draw, draw_seed, imbalance_ratio)
        check_choice("val", val, VALIDATIONS)
        super().__init__(
            check_int("batch_size", batch_size, minimum=1),
            check_int("seed", seed, minimum=0),
            val,
            in_memory,
            check_int("num_workers", num_workers, minimum=0),
        )
        self.imbalance_ratio, self.profile, self.draw, self.draw_seed = imbalance_ratio, profile, draw, draw_seed
        self.split_seed = None if split_seed is None else check_seed("split_seed", split_seed)
        self.val_size = check_held_out("val_size", val_size)
        self.on_duplicate = check_choice("on_duplicate", on_duplicate, ON_DUPLICATE)
        self.on_missing_class = check_choice("on_missing_class", on_missing_class, ON_MISSING_CLASS)
        self.statistics_choice = check_statistics(statistics)
        if in_memory and num_workers:
            raise InputError("must be 0 for in_memory=true, which decodes all images before training", "num_workers")
        self.make_augmentation, self.make_noise = chosen("augmentation", augmentation), chosen("noise", noise)
        self.make_mixing = chosen("mixing", mixing)
        self._ready = False
        self._own_statistics: Statistics | None = None  # None until they are measured

    @classmethod
    def from_datasets(  # type: ignore[override]
        cls, train_dataset: Any, val_dataset: Any = None, test_dataset: Any = None, **options: Any
    ) -> LongTailDataModule:
        """Make a data module from datasets, see :class:`~oponm.data.DatasetLT`.

        Args:
            train_dataset: dataset to draw the training set from.
            val_dataset: validation set for ``val="split"``; None holds validation images out of ``train_dataset``.
            test_dataset: test set; None holds test images out of ``train_dataset``.
            **options: options of :class:`~oponm.data.DatasetLT`.

        Raises:
            InputError: for an object that is no dataset; and when called on a class with its own images, such as
                :class:`~oponm.data.DigitsLT`.
        """
        from oponm.data.sources.datasets import DatasetLT

        if not issubclass(DatasetLT, cls):
            raise InputError(f"{cls.__name__} has images of its own: call oponm.data.DatasetLT.from_datasets")
        return DatasetLT(train_dataset, test_dataset, val_dataset, **options)

    @abstractmethod
    def load_source(self) -> Source:
        """List the data set's images and labels; nothing is decoded yet."""

    def order_classes(self, available: list[int]) -> list[int]:
        """Return the labels from head to tail: in label order, as in published subsets.

        Args:
            available: number of available images of each class.
        """
        return list(range(len(available)))

    def setup(self, stage: str | None = None) -> None:
        """Draw the training set and load all sets, once; then call the LightningModule's ``prepare`` for a fit.

        ``prepare`` builds what depends on the data, such as the network and the loss.

        Args:
            stage: Lightning's stage, such as ``"fit"``; None for a call without a trainer.
        """
        if not self._ready:
            self._draw_and_load()
            self._ready = True
        prepare = getattr(getattr(self.trainer, "lightning_module", None), "prepare", None)
        if stage == "fit" and prepare is not None:
            prepare(self, self.trainer)

    def _draw_and_load(self) -> None:
        source = self.load_source()
        self.class_names, self.skipped, self.pixel_max = source.class_names, source.skipped, source.pixel_max
        seed = self.draw_seed if self.split_seed is None else self.split_seed
        candidates, held_out = hold_out(source, self.val, self.val_size, seed)
        labels, tail = source.train.labels[candidates], (self.imbalance_ratio, self.profile, self.draw, self.draw_seed)
        drawn = candidates[draw_tail(labels, len(self.class_names), self.order_classes, *tail)]
        loaded = load_sets(source, drawn, held_out, self.in_memory, self.seed)
        sets, duplicates = look_for_duplicates(loaded, self.on_duplicate)
        self.train_set, self.test_set, self.val_set, drawn, *_ = sets
        self.listed, self.cross_validation = list_parts(source, sets), source.cross_validation
        names, may_miss = self.class_names, self.on_missing_class == "warn"
        self.class_counts = count_images(self.train_set.targets, names, "training")
        tests, validates = self.test_set, self.val_set if self.val != "none" else None
        self.test_counts = [] if tests is None else count_images(tests.targets, names, "test", may_miss)
        self.val_counts = [] if validates is None else count_images(validates.targets, names, "validation", may_miss)
        self.digest, self.content_digest = split_digest(drawn), self.train_set.digest()
        self.image_shape = image_shape(self.train_set)
        choice, own = self.statistics_choice, measured_on(self.train_set)
        self.statistics = self.own_statistics() if choice == "own" else chosen_statistics(choice, self.image_shape)
        self.pipeline = self._pipeline()
        self.facts = source.facts | {"validation": describe_validation(source, self.val), "duplicates": duplicates}
        self.facts |= missing_classes({"test": self.test_counts, "validation": self.val_counts}, names)
        self.facts |= {"test": "no test set"} if tests is None else {}
        published = f"published {choice}" if isinstance(choice, str) else "given"
        self.facts["normalized by"] = own if choice == "own" else published
        log.info(
            "training set: %d images of %d classes, %d to %d a class, draw %s, digest %s",
            *(len(self.train_set), len(self.class_names), max(self.class_counts), min(self.class_counts)),
            *(self.draw, self.digest[:16]),
        )
        log.info("normalized by %s statistics: %s", self.facts["normalized by"], self.statistics)
        if self._own_statistics not in (None, self.statistics):
            log.info("colors of noise, unless given: %s statistics: %s", own, self._own_statistics)

    def for_run(self, seed: int | None = None, noise: NoiseFactory | None = None) -> Self:
        """Copy this module for another run; the copy is set up and shares its pixels. This module does not change.

        Args:
            seed: the run's seed; None takes this module's.
            noise: function that makes the noise transform, as for ``__init__``; None takes this module's.

        Raises:
            InputError: for an invalid seed, and as in :meth:`setup`.
        """
        self.setup()
        other = copy.copy(self)
        other.trainer = None
        if seed is not None:
            other.seed = check_int("seed", seed, minimum=0)
        other.make_noise = noise or self.make_noise
        if isinstance(self.train_set, StreamedImages):  # its crops depend on the seed
            other.train_set = copy.copy(self.train_set)
            other.train_set.seed = other.seed
        other.pipeline = other._pipeline()
        return other

    def _pipeline(self) -> DevicePipeline:
        augmentation, noise, counts = self.make_augmentation(self.image_shape[1:]), None, self.class_counts
        if self.make_noise is not no_noise:
            noise = self.make_noise(self.own_statistics(), counts, self._class_statistics)
            if noise is not None and not callable(noise):
                raise InputError(
                    f"must make a noise transform, such as oponm.noise.ReplaceWithNoise, got {noise!r}", "noise"
                )
        return DevicePipeline(augmentation, noise, self.statistics, self.seed, self.make_mixing(counts))

    def test_names(self) -> tuple[str, list[str]]:
        """Return the name of a column and the names of the test images in it, in order.

        They are ``"path"`` and paths relative to the folder of the data set, or, for images that are not in files,
        ``"index"`` and indices into the source.
        """
        listed = self.listed["test"]
        return kind_of_names(listed), image_names(listed, root_of(self))

    def own_statistics(self) -> Statistics:
        """Return the statistics of the drawn training images, which are measured at the first call."""
        if self._own_statistics is None:
            self._own_statistics = measure(self.train_set, self.batch_size, self.num_workers)
        return self._own_statistics

    def _class_statistics(self) -> list[Statistics]:
        return measure_classes(self.train_set, len(self.class_names), self.batch_size, self.num_workers)

    def normalize_as(self, statistics: Statistics) -> None:
        """Normalize by the statistics that a network was trained with, not by those of this training set.

        Args:
            statistics: mean and standard deviation of each channel.
        """
        if statistics != self.statistics:
            log.warning("normalized as in training, by %s; the images now have %s", statistics, self.statistics)
        if self.statistics_choice == "own":
            self._own_statistics = statistics
        self.statistics = statistics
        self.pipeline = self._pipeline()
