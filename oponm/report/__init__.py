"""Turns run folders into tables, a plot and an HTML page."""

from oponm.report.compare import Comparison, compare
from oponm.report.figure import recall_figure
from oponm.report.group import Group, group_runs
from oponm.report.load import collect_runs
from oponm.report.notes import notes
from oponm.report.page import html_page
from oponm.report.render import latex, markdown, spreadsheet, terminal
from oponm.report.report import Report, class_tables, read_report, write_report
from oponm.report.tables import Table, report_tables

__all__ = [
    "Comparison",
    "Group",
    "Report",
    "Table",
    "class_tables",
    "collect_runs",
    "compare",
    "group_runs",
    "html_page",
    "latex",
    "markdown",
    "notes",
    "read_report",
    "recall_figure",
    "report_tables",
    "spreadsheet",
    "terminal",
    "write_report",
]
