"""Loads, compares, counts and measures the training, validation and test sets."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from oponm.data.decode import UnusableFiles
from oponm.data.duplicates import shared_images
from oponm.data.loader import Loader
from oponm.data.pipeline import ImageSet, RawBatch, ResidentImages
from oponm.data.progress import track
from oponm.data.samplers import IndexBatch
from oponm.data.sources.base import Part, Pool, Source
from oponm.data.split import Indices
from oponm.data.statistics import Statistics, channel_statistics, class_statistics, statistics_sample
from oponm.data.stream import StreamedImages
from oponm.errors import InputError, first_of

log = logging.getLogger(__name__)


class ImageSets(NamedTuple):
    """The sets of a data module.

    Attributes:
        train: the training set.
        test: the test set; None for a source without one.
        val: the validation set; the test set itself if no images validate; None if there is no test set either.
        drawn: indices into ``source.train`` of the images of ``train``, (N,), int64.
        tested: indices into ``source.test`` of the images of ``test``, (M,), int64.
        validated: indices of the images of ``val``, (L,), int64: into ``source.val``, or into ``source.train`` if the
            source has no validation set; empty if ``val`` is the test set or None.
    """

    train: ImageSet
    test: ImageSet | None
    val: ImageSet | None
    drawn: Indices
    tested: Indices
    validated: Indices


def load_sets(source: Source, drawn: Indices, held_out: Indices | None, in_memory: bool, seed: int) -> ImageSets:
    """Load all sets; one error names all files that cannot be used.

    Args:
        source: the data set.
        drawn: indices into ``source.train`` of the training images.
        held_out: indices of the validation images into ``source.val``, or into ``source.train`` if the source has no
            validation set, see :func:`~oponm.data.split.hold_out`; None takes the test set as validation set.
        in_memory: whether images are decoded now and kept in memory.
        seed: seed of the crops of streamed images.

    Raises:
        UnusableFiles: naming the files that cannot be used.
        InputError: if the images cannot be streamed, or do not fit in memory.
    """
    refused: list[InputError] = []

    def load(pool: Pool, wanted: Indices, training: bool = False) -> tuple[Any, Indices]:
        try:
            if in_memory:
                images, kept = pool.read(wanted)
                return ResidentImages(images, torch.from_numpy(pool.labels[wanted[kept]])), wanted[kept]
            if pool.stream is None:
                remedy = "with data.on_error=skip, only from a data.pack"
                raise InputError(f"must be true: this data set cannot be streamed; {remedy}", "in_memory")
            streamed, kept = pool.stream(wanted, training, seed)
            return streamed, wanted[kept]
        except UnusableFiles as error:
            refused.extend(error.errors)
            return None, wanted

    train, drawn = load(source.train, drawn, training=True)
    nothing = np.arange(0)
    test, tested = load(source.test, np.arange(len(source.test.labels))) if source.test else (None, nothing)
    val, validated = (test, nothing) if held_out is None else load(source.val or source.train, held_out)
    if refused:
        raise UnusableFiles(refused)
    if source.skipped:
        log.warning("%d files could not be read and were left out", len(source.skipped))
    return ImageSets(train, test, val, drawn, tested, validated)


def list_parts(source: Source, sets: ImageSets) -> dict[str, list[Part]]:
    """List the images of each part by their names in the source: paths, or indices.

    Args:
        source: the data set.
        sets: the sets that were loaded from it.

    Returns:
        Dict from part to its images: ``"train"``, ``"val"`` and ``"test"``, in the order of each set; and ``"none"``,
        the images that are in no set: not drawn, not held out, or not readable.
    """
    pools = {"train": (source.train, sets.drawn), "test": (source.test, sets.tested)}
    pools["val"] = (source.val or source.train, sets.validated)
    parts = {name: [pool.listed(own)] for name, (pool, own) in pools.items() if pool is not None and len(own)}
    unused = []
    for pool in (source.train, source.val, source.test):
        if pool is not None:
            used = [own for other, own in pools.values() if other is pool]
            unused.append(pool.listed(np.setdiff1d(np.arange(len(pool.labels)), np.concatenate([*used, np.arange(0)]))))
    return {**{name: parts.get(name, []) for name in ("train", "val", "test")}, "none": unused}


def look_for_duplicates(sets: ImageSets, on_duplicate: str) -> tuple[ImageSets, str]:
    """Find training images that are also in the validation or test set, and treat them as ``on_duplicate`` says.

    Args:
        sets: the loaded sets.
        on_duplicate: ``"warn"`` logs their number, ``"drop"`` removes them from training, ``"raise"`` raises an error.

    Returns:
        The resulting sets, and a description of the duplicates.

    Raises:
        InputError: for duplicates, with ``on_duplicate="raise"``.
    """
    given = {"test": sets.test} | ({} if sets.val is sets.test else {"validation": sets.val})
    others = {name: images for name, images in given.items() if images is not None}
    lines, doubled = [], np.zeros(len(sets.drawn), dtype=bool)
    for name, images in others.items():
        in_train, in_other = shared_images(sets.train, images)
        doubled |= in_train
        number = f"{in_other.sum() or 'none'} of {len(images)} {name} images"
        lines.append(f"{number} {'is' if in_other.sum() == 1 else 'are'} in training too")
    found = "; ".join(lines) or "nothing to compare the training images with"
    if not doubled.any():
        log.info("exact duplicates: %s", found)
        return sets, found
    if on_duplicate == "raise":
        raise InputError(f"is raise, but {found}: remove the duplicates, or choose drop or warn", "on_duplicate")
    if on_duplicate == "drop":
        found += f"; the {doubled.sum()} training images were left out"
        kept = np.flatnonzero(~doubled)
        sets = sets._replace(train=sets.train.only(kept), drawn=sets.drawn[kept])
    log.warning("exact duplicates: %s%s", found, "" if on_duplicate == "drop" else " (data.on_duplicate)")
    return sets, found


def image_shape(images: ImageSet) -> tuple[int, int, int]:
    """(C, H, W) of the images of a set, from its first image."""
    channels, height, width = images.__getitems__(IndexBatch(torch.tensor([0]), 0, 0)).images.shape[1:]
    return channels, height, width


def count_images(targets: Tensor, class_names: list[str], name: str, may_miss: bool = False) -> list[int]:
    """Count the images of each class.

    Args:
        targets: (N,), int64.
        class_names: names in label order.
        name: name of the set, for errors.
        may_miss: whether some classes (not all) may have no image.

    Raises:
        InputError: naming the classes without an image.

    Example:
        >>> count_images(torch.tensor([0, 1, 1]), ["cat", "dog"], "training")
        [1, 2]
    """
    counts: list[int] = torch.bincount(targets, minlength=len(class_names)).tolist()
    if 0 in counts and not (may_miss and any(counts)):
        remedy = "" if name == "training" else ", or set data.on_missing_class=warn"
        raise InputError(f"class {_absent(counts, class_names)} has no {name} image left: add some{remedy}")
    return counts


def missing_classes(counts: dict[str, list[int]], class_names: list[str]) -> dict[str, str]:
    """Log a warning that names the classes without images in a set, and return the same text for ``result.json``.

    Args:
        counts: dict from the name of a set to its images of each class; an empty list for a set that does not exist.
        class_names: names in label order.

    Returns:
        ``{"missing classes": text}``; empty if no class is missing.

    Example:
        >>> missing_classes({"test": [3, 0], "validation": []}, ["cat", "dog"])
        {'missing classes': "no test images of 'dog'"}
    """
    absent = {name: _absent(own, class_names) for name, own in counts.items() if 0 in own}
    if not absent:
        return {}
    missing = "; ".join(f"no {name} images of {classes}" for name, classes in absent.items())
    log.warning("%s: means over classes leave them out", missing)
    return {"missing classes": missing}


def _absent(counts: list[int], class_names: list[str]) -> str:
    """Names of the classes without an image, at most five, as text."""
    return first_of([repr(name) for name, count in zip(class_names, counts, strict=True) if not count], 5)


def measure(images: ImageSet, batch_size: int = 128, num_workers: int = 0) -> Statistics:
    """Measure the statistics of all images in memory, or of the center squares of a sample of streamed images.

    Args:
        images: the training set.
        batch_size: images that are read at a time, if they are streamed.
        num_workers: number of processes that read them; 0 for this process.

    Example:
        >>> measure(ResidentImages(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1])))
        Statistics(mean=(0.0,), std=(0.0,))
    """
    if isinstance(images, ResidentImages):
        return channel_statistics(images.images)
    read = _uncropped(images, statistics_sample(len(images)), batch_size, num_workers, "colors")
    return channel_statistics(raw.images for raw in read)


def measure_classes(
    images: ImageSet, num_classes: int, batch_size: int = 128, num_workers: int = 0
) -> list[Statistics]:
    """Measure the statistics of each class, from all its images.

    Args:
        images: the training set.
        num_classes: K.
        batch_size: images that are read at a time, if they are streamed.
        num_workers: number of processes that read them; 0 for this process.
    """
    batches: Iterable[tuple[Tensor, Tensor]]
    if isinstance(images, ResidentImages):
        batches = [(images.images, images.targets)]
    else:
        everything = torch.arange(len(images))
        read = _uncropped(images, everything, batch_size, num_workers, "colors of classes")
        batches = (raw[:2] for raw in read)
    return class_statistics(batches, num_classes)


def measured_on(images: ImageSet) -> str:
    """Describe the images that :func:`measure` uses, in words.

    Example:
        >>> measured_on(ResidentImages(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1])))
        'own'
    """
    number = len(images)
    sample = number if isinstance(images, ResidentImages) else len(statistics_sample(number))
    return "own" if sample == number else f"own (of {sample:,} of the {number:,} training images, drawn by seed 0)"


def _uncropped(images: ImageSet, indices: Tensor, batch_size: int, num_workers: int, title: str) -> Iterable[RawBatch]:
    """Read training images as in evaluation, independent of any seed."""
    assert isinstance(images, StreamedImages)
    images = copy.copy(images)
    images.training = False
    batches = [IndexBatch(part, epoch=0, step=step) for step, part in enumerate(indices.split(batch_size))]
    return track(Loader(images, num_workers).over(batches), len(batches), f"measuring {title}")
