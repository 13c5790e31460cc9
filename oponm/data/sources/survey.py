"""Lists what a data set contains and what is missing, completely, without decoding an image."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from oponm.data.sources.base import Files
from oponm.data.sources.file_lists import check_present
from oponm.errors import InputError


class Survey:
    """Findings about the files of a data set.

    Attributes:
        lines: one line per finding, good or bad.
        problems: the errors among them, which would stop training.
        class_names: names in label order, as far as they are known.
        counts: listed images of each class, by split.

    Example:
        >>> survey = Survey()
        >>> survey.note("training list", "as published")
        >>> survey.refuse("test list", InputError("test.txt: is missing"))
        >>> survey.lines, len(survey.problems)
        (['training list: as published', 'test list: test.txt: is missing'], 1)
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.problems: list[InputError] = []
        self.class_names: list[str] = []
        self.counts: dict[str, list[int]] = {}

    def note(self, what: str, finding: str) -> None:
        """Add a good finding."""
        self.lines.append(f"{what}: {finding}")

    def refuse(self, what: str, error: InputError) -> None:
        """Add a bad finding."""
        self.lines.append(f"{what}: {error.message}")
        self.problems.append(error)

    def look_for(self, split: str, files: Files, archive: str, layout: str) -> None:
        """Add a finding on missing images of a split; see :func:`~oponm.data.sources.file_lists.check_present`."""
        try:
            check_present(files, archive, layout)
            self.note(f"{split} images", f"all {len(files)} are there")
        except InputError as error:
            self.refuse(f"{split} images", error)


@runtime_checkable
class Surveyed(Protocol):
    """A data set that can be checked when it is incomplete."""

    def survey(self) -> Survey:
        """Check every file by name, and the content of lists and archives."""
