"""Makes a report in one call: from run folders to groups, comparisons and files."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from oponm.report.compare import Comparison, compare
from oponm.report.group import Group, group_runs
from oponm.report.load import collect_runs
from oponm.report.render import markdown
from oponm.report.tables import result_table
from oponm.report.write import write_report


class Report(NamedTuple):
    """Runs, grouped and compared.

    Attributes:
        groups: runs that differ only in the seed.
        comparisons: comparisons of each group with the baseline of its split.
        problems: a line for each run that was left out.
    """

    groups: list[Group]
    comparisons: list[Comparison]
    problems: list[str]

    def write(self, folder: str | PathLike[str]) -> list[Path]:
        """Write ``report.md``, ``.tex``, ``.csv``, ``.png`` and ``.html``; see :func:`~oponm.report.write_report`.

        Args:
            folder: the folder; made if needed. Files of an earlier report are replaced when all new ones are written.

        Returns:
            The files.

        Raises:
            OSError: if the folder cannot be written to.

        Example:
            >>> import tempfile
            >>> from oponm.data import DigitsLT
            >>> from oponm.training import fit
            >>> run = fit(DigitsLT(imbalance_ratio=50), method="erm", max_epochs=1)
            >>> [file.name for file in read_report([run]).write(tempfile.mkdtemp())]
            ['report.md', 'report.tex', 'report.csv', 'report.html', 'report.png']
        """
        return write_report(self.groups, self.comparisons, self.problems, Path(folder))

    def __repr__(self) -> str:
        """The table of the groups, as text."""
        return markdown(result_table(self.groups))

    def _repr_markdown_(self) -> str:
        """The table of the groups, for notebooks."""
        return markdown(result_table(self.groups))


def read_report(runs: Iterable[str | PathLike[str]], baseline: str | None = None) -> Report:
    """Read runs and compare their methods.

    Args:
        runs: folders of runs, or folders that contain several; a :class:`~oponm.training.Run` counts as its folder.
        baseline: name of the group to compare with, see :func:`~oponm.report.compare`.

    Returns:
        Groups, comparisons, and a line for each run that was left out; a notebook shows its table.

    Raises:
        InputError: if no finished run is found, or for an unknown baseline.

    Example:
        >>> from oponm.data import DigitsLT
        >>> from oponm.training import fit
        >>> data = DigitsLT(imbalance_ratio=50)
        >>> report = read_report([fit(data, method=method, max_epochs=2) for method in ("drs", "open")])
        >>> [group.name for group in report.groups], report.comparisons[0].baseline.name
        (['drs', 'open'], 'drs')
    """
    found, problems = collect_runs(map(Path, runs))
    groups = group_runs(found)
    return Report(groups, compare(groups, baseline), problems)
