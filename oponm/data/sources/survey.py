"""What of a data set is there and what is missing, told in full, without an image being decoded."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from oponm.data.sources.base import Files
from oponm.data.sources.file_lists import check_present
from oponm.errors import InputError


class Survey:
    """Findings about the files of a data set.

    Attributes:
        lines: one a finding, good or bad.
        problems: of the bad ones, the errors that training would stop at.
        class_names: names in label order, as far as they are known.
        counts: images of each class that are listed, by split.

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
        """Find out how many images of a split are missing; see :func:`~oponm.data.sources.file_lists.check_present`."""
        try:
            check_present(files, archive, layout)
            self.note(f"{split} images", f"all {len(files)} are there")
        except InputError as error:
            self.refuse(f"{split} images", error)


@runtime_checkable
class Surveyed(Protocol):
    """A data set that can tell of itself when it is incomplete."""

    def survey(self) -> Survey:
        """Look at every file by name, and at lists and archives inside too."""
