"""Checks what a data set contains and what is missing, without training on it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from oponm.data.module import LongTailDataModule
from oponm.data.sources.base import Part
from oponm.data.sources.file_lists import check_present
from oponm.data.sources.pack import Pack, UnusablePack
from oponm.data.which_method import which_method
from oponm.errors import InputError
from oponm.longtail.draws import DRAWS


@dataclass
class DataCheck:
    """Findings about a data set.

    :func:`check_data` returns them, and so does the method ``survey`` of data sets with published files or lists.

    Attributes:
        findings: a line of text for each file or list that was checked, good or bad. From :func:`check_data` it is
            empty if the data set has no problems.
        problems: errors that would stop training.
        class_names: names in label order; empty if they are not known yet.
        counts: dict from split to the number of images of each class: after the draw, or, if there are problems, as the
            lists say.
        facts: lines of text: imbalance ratio, draw, digests, mean and standard deviation, validation, duplicates, files
            left out, pack, and the suggested method with its reason.
        parts: dict from split to its files and labels, for data sets with published lists; else empty.

    Example:
        >>> found = DataCheck()
        >>> found.note("training list", "as published")
        >>> found.refuse("test list", InputError("test.txt: is missing"))
        >>> found.findings, len(found.problems)
        (['training list: as published', 'test list: test.txt: is missing'], 1)
    """

    findings: list[str] = field(default_factory=list)
    problems: list[InputError] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)
    counts: dict[str, list[int]] = field(default_factory=dict)
    facts: list[str] = field(default_factory=list)
    parts: dict[str, Part] = field(default_factory=dict)

    def note(self, what: str, finding: str) -> None:
        """Add a good finding: what was checked, and the result."""
        self.findings.append(f"{what}: {finding}")

    def refuse(self, what: str, error: InputError) -> None:
        """Add a problem: what was checked, and the error that training would raise."""
        self.findings.append(f"{what}: {error.message}")
        self.problems.append(error)

    def add_part(self, name: str, part: Part, num_classes: int, archive: str, layout: str) -> None:
        """Count the images of a split, and check that their files exist; missing files are a problem.

        Args:
            name: name of the split, such as ``"training"``.
            part: files and labels of the split.
            num_classes: K.
            archive: the download that contains the images, for the error.
            layout: layout of the images in their folder, in words, for the error.
        """
        self.parts[name], self.counts[name] = part, np.bincount(part.labels, minlength=num_classes).tolist()
        try:
            check_present(part.files, archive, layout)
            self.note(f"{name} images", f"all {len(part.files)} are there")
        except InputError as error:
            self.refuse(f"{name} images", error)

    def checked_parts(self) -> tuple[Part, Part | None, Part]:
        """Return the training, validation and test images.

        Raises:
            InputError: the first problem, if the data set has any.
        """
        if self.problems:
            raise self.problems[0]
        return self.parts["training"], self.parts.get("validation"), self.parts["test"]


def check_data(data: LongTailDataModule, measured: bool = True, max_epochs: int = 200) -> DataCheck:
    """Check that every file exists, draw the training set, and check hashes and packs; nothing is written.

    ``oponm data check`` prints the result; :func:`oponm.logging.sheet.data_sheet` draws the images.

    Args:
        data: any data module; it is set up if no file is missing.
        measured: whether to report the mean and standard deviation; False if ``data`` was made with others in place of
            its own ones, which training measures.
        max_epochs: length of the planned run in epochs; the suggested method depends on it.

    Raises:
        InputError: for problems that names of files do not show, such as a file that cannot be decoded, or a damaged
            pack.

    Example:
        >>> from oponm.data import DigitsLT
        >>> found = check_data(DigitsLT(imbalance_ratio=50))
        >>> found.problems, found.counts["train"], found.facts[0]
        ([], [128, 82, 53, 34, 22, 14, 9, 6, 3, 2], 'imbalance ratio 64, draw ldam, images 8x8 of 1 channels')
    """
    found: DataCheck = getattr(data, "survey", DataCheck)()
    if not found.problems:
        try:
            data.setup()
        except InputError as error:
            if error.key != "pack":
                raise
            found.refuse("pack", error)
    if found.problems:
        of_labels = [str(label) for label in range(len(next(iter(found.counts.values()), [])))]
        return replace(found, class_names=found.class_names or of_labels)
    counts = {"train": data.class_counts, "val": data.val_counts, "test": data.test_counts}
    settings, reason = which_method(data.class_counts, max_epochs)
    advice = [f"suggestion: {settings} (docs/which_method.md)", f"because: {reason}"]
    facts = [*describe_data(data, measured), *_pack(data), *advice]
    return DataCheck(class_names=data.class_names, counts=counts, facts=facts)


def describe_data(data: LongTailDataModule, measured: bool = True) -> list[str]:
    """Describe a data set in lines of text.

    Args:
        data: the data module, set up.
        measured: whether to report the mean and standard deviation; False if training is to measure them.

    Example:
        >>> from oponm.data import DigitsLT
        >>> data = DigitsLT(imbalance_ratio=10)
        >>> data.setup()
        >>> describe_data(data)[0]
        'imbalance ratio 10.67, draw ldam, images 8x8 of 1 channels'
    """
    ratio = max(data.class_counts) / min(data.class_counts)
    channels, height, width = data.image_shape
    mean, std = _numbers(data.statistics.mean), _numbers(data.statistics.std)
    colors = f"mean {mean}, std {std} ({data.facts['normalized by']})"
    resized = "" if data.resize == "crop" else f", data.resize={data.resize}"
    drawn = data.imbalance_ratio is not None or data.draw not in DRAWS
    draw = f", draw {data.draw}" if drawn else ""
    return [
        f"imbalance ratio {ratio:.4g}{draw}, images {height}x{width} of {channels} channels{resized}",
        *([f"split digest {data.digest}"] if drawn or data.val == "split" else []),
        colors if measured else "mean and std: own, measured when training starts",
        f"test digest {data.test_digest}" if data.test_counts else "no test set",
        *([f"validation digest {data.val_digest}"] if data.val_digest else []),
        f"validation: {data.val}" + (f", which is {data.facts['validation']}" if data.val != "none" else ""),
        *(
            f"{name}: {fact}"
            for name, fact in data.facts.items()
            if name not in ("validation", "test", "normalized by")
        ),
        *(f"left out: {line}" for line in data.skipped),
    ]


def _pack(data: LongTailDataModule) -> list[str]:
    if (folder := getattr(data, "pack", None)) is None:
        return []
    pack = Pack(folder)
    try:
        pack.verify()
    except UnusablePack as error:
        raise InputError(f"{folder}: {error}; run 'oponm data prepare' with the same settings") from error
    return [f"pack: {pack.description()}: whole, all checksums right"]


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
