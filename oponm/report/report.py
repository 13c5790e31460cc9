"""Makes a report in one call: reads run folders, compares groups, and writes either all files of the report or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from oponm.markdown import markdown_text
from oponm.report.class_table import class_table
from oponm.report.compare import Comparison, compare
from oponm.report.figure import recall_figure
from oponm.report.group import Group, group_runs
from oponm.report.load import collect_runs
from oponm.report.notes import notes
from oponm.report.page import html_page
from oponm.report.page_data import highlights
from oponm.report.render import latex, markdown, spreadsheet
from oponm.report.tables import Table, report_tables, result_table
from oponm.run_files import new_files

LINES = 10  # lines in a panel of the figure


class Report(NamedTuple):
    """Runs, grouped and compared.

    Attributes:
        groups: groups of runs that differ only in the seed or the fold.
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
        Groups, comparisons, and a line for each run that was left out; a notebook displays the report as the table of
        its groups.

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


def write_report(
    groups: Sequence[Group], comparisons: Sequence[Comparison], problems: Sequence[str], folder: Path
) -> list[Path]:
    """Write ``report.md``, ``.tex``, ``.csv``, ``.png`` and ``.html``.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
        comparisons: comparisons with baselines, see :func:`~oponm.report.compare`.
        problems: lines about runs that were left out.
        folder: the folder; made if needed. Files of an earlier report are replaced when all new ones are written.

    Returns:
        The files.

    Raises:
        OSError: if the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables, lines = report_tables(groups, comparisons), notes(groups, comparisons)
    texts = {
        "report.md": _markdown(tables, lines, problems, class_tables(groups)),
        "report.tex": latex(tables, lines),
        "report.csv": spreadsheet(tables),
        "report.html": html_page(groups, comparisons, problems),
    }
    files = [folder / name for name in (*texts, "report.png")]
    with new_files(files, overwrite=True) as (*written, figure):
        for path, text in zip(written, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8", newline="\n")
        recall_figure(highlights(groups, comparisons, LINES), figure)
    return files


def class_tables(groups: Sequence[Group], most: int | None = None) -> list[Table]:
    """Return the table of the classes for a single run; no table for several runs, as the HTML page shows theirs.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
        most: largest number of rows; if there are more classes, those with the lowest recall are kept. None keeps all.
    """
    runs = [run for group in groups for run in group.runs]
    return [class_table(run, most) for run in runs if run["metrics"]] if len(runs) == 1 else []


def _markdown(
    tables: Sequence[Table], lines: Sequence[str], problems: Sequence[str], classes: Sequence[Table] = ()
) -> str:
    parts = [markdown(table) for table in (*(table for table in tables if table.brief), *classes)]
    parts += [f"{markdown_text(line)}\n" for line in lines]
    parts.append("![accuracy by class](report.png)\n")
    if problems:
        parts.append("".join(f"- {markdown_text(problem)}\n" for problem in problems))
    return "\n".join(parts)
