"""Writes a report as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from oponm.report.compare import Comparison
from oponm.report.group import Group
from oponm.report.notes import notes
from oponm.report.page_data import figure_data, provenance, summary
from oponm.report.run_details import run_details
from oponm.report.tables import report_tables
from oponm.report.text import shortened


def html_page(groups: Sequence[Group], comparisons: Sequence[Comparison], problems: Sequence[str] = ()) -> str:
    """Return the HTML page: sortable tables, plots by class and epoch, of confusions and of noise, and single runs.

    Its plots show means of groups, with classes in bins and a subset of the epochs, so its size grows with the number
    of groups. A few runs are shown in detail, with pictures of their worst errors, see
    :func:`~oponm.report.run_details.run_details`.
    Names are escaped as text; a content security policy allows only the page's own script.

    Args:
        groups: groups of runs, see :func:`~oponm.report.group_runs`.
        comparisons: comparisons with baselines, see :func:`~oponm.report.compare`.
        problems: lines about runs that were left out.

    Returns:
        HTML, to write as UTF-8.

    Example:
        >>> from oponm.data import DigitsLT
        >>> from oponm.report import read_report
        >>> from oponm.training import fit
        >>> data = DigitsLT(imbalance_ratio=50)
        >>> page = html_page(*read_report([fit(data, method=method, max_epochs=2) for method in ("drs", "open")]))
        >>> page[:15], page.count("<table"), len(page) < 500_000
        ('<!doctype html>', 7, True)
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = PackageLoader("oponm.report", "")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    # Names may break after these characters, and at them if a line contains nothing else.
    environment.filters["breakable"] = lambda name: Markup("<wbr>").join(re.split(r"(?<=[_/=,.])", name))
    environment.filters["sortable"] = _sortable
    environment.filters["shortened"] = shortened
    environment.filters["last_part"] = lambda path: shortened(path.rpartition("/")[2], 40)
    details = run_details(groups, comparisons)
    tables = {table.name: table.chosen(table.wide) for table in report_tables(groups, comparisons)}
    style, script = (loader.get_source(environment, name)[0] for name in ("page.css", "page.js"))
    return environment.get_template("page.html").render(
        summary=summary(groups),
        style=Markup(style),
        style_hash=_hash(style),
        script=Markup(script),
        script_hash=_hash(script),
        results=tables["results"],
        differences=tables.get("differences"),
        tail=tables.get("tail"),
        details=details,
        left_aside=sum(bool(group.runs[0]["metrics"]) for group in groups) - len(details),
        notes=notes(groups, comparisons),
        provenance=provenance(groups),
        problems=problems,
        data=_finite(figure_data(groups, comparisons)),
    )


def _sortable(value: float | str) -> float | str:
    """The value that a cell is sorted by; empty if it is unknown."""
    return value if isinstance(value, str) else "" if math.isnan(value) else round(value, 8)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _finite(content: Any) -> Any:
    """The content with NaN as null, as JSON has no NaN."""
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
