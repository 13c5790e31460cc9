"""Turns run folders into tables, figures and a page."""

from oponm.report.class_table import class_table
from oponm.report.compare import Comparison, compare
from oponm.report.figure import recall_figure
from oponm.report.group import Group, group_runs
from oponm.report.load import collect_runs
from oponm.report.notes import notes
from oponm.report.page import html_page
from oponm.report.paired import Difference, holm, paired_difference
from oponm.report.render import latex, markdown, spreadsheet, terminal
from oponm.report.tables import Table, difference_table, report_tables, result_table, tail_table
from oponm.report.report import Report, class_tables, read_report, write_report

__all__ = [
    "Comparison",
    "Difference",
    "Group",
    "Report",
    "Table",
    "class_table",
    "class_tables",
    "collect_runs",
    "compare",
    "difference_table",
    "group_runs",
    "holm",
    "html_page",
    "latex",
    "markdown",
    "notes",
    "paired_difference",
    "read_report",
    "recall_figure",
    "report_tables",
    "result_table",
    "spreadsheet",
    "tail_table",
    "terminal",
    "write_report",
]
