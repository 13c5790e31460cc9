"""From run folders to tables, figures and a page."""

from oponm.report.collect import collect_runs
from oponm.report.compare import Comparison, compare
from oponm.report.figure import recall_figure
from oponm.report.group import Group, group_runs
from oponm.report.latex import latex_tables
from oponm.report.page import html_page
from oponm.report.paired import Difference, holm, paired_difference
from oponm.report.read import Report, read_report
from oponm.report.spreadsheet import csv_table
from oponm.report.table import (
    markdown_differences,
    markdown_table,
    markdown_tail,
    notes,
    terminal_differences,
    terminal_table,
    terminal_tail,
)
from oponm.report.write import write_report

__all__ = [
    "Comparison",
    "Difference",
    "Group",
    "Report",
    "collect_runs",
    "compare",
    "csv_table",
    "group_runs",
    "holm",
    "html_page",
    "latex_tables",
    "markdown_differences",
    "markdown_table",
    "markdown_tail",
    "notes",
    "paired_difference",
    "read_report",
    "recall_figure",
    "terminal_differences",
    "terminal_table",
    "terminal_tail",
    "write_report",
]
