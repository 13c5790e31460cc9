"""From run folders to tables and figures."""

from oponm.report.collect import Group, collect_runs, group_runs
from oponm.report.figure import recall_figure
from oponm.report.table import markdown_table, terminal_table

__all__ = ["Group", "collect_runs", "group_runs", "markdown_table", "recall_figure", "terminal_table"]
