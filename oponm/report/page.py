"""A report as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from oponm.report.compare import Comparison
from oponm.report.group import Group
from oponm.report.notes import notes
from oponm.report.page_data import figure_data, provenance, summary
from oponm.report.tables import report_tables


def html_page(groups: Sequence[Group], comparisons: Sequence[Comparison], problems: Sequence[str] = ()) -> str:
    """Tables that can be sorted, and figures by class, by epoch, of confusions and of noise.

    It holds means of groups alone, with classes and epochs thinned, so that its size goes with the number of groups.
    Whatever names hold is text; a content security policy lets no script run but the page's own.

    Args:
        groups: see :func:`~oponm.report.group_runs`.
        comparisons: see :func:`~oponm.report.compare`.
        problems: lines about runs that are left out.

    Returns:
        HTML, to be written as UTF-8.

    Example:
        >>> from oponm.data import DigitsLT
        >>> from oponm.report import read_report
        >>> from oponm.training import fit
        >>> data = DigitsLT(imbalance_ratio=50)
        >>> page = html_page(*read_report([fit(data, method=method, max_epochs=2) for method in ("drs", "open")]))
        >>> page[:15], page.count("<table"), len(page) < 200_000
        ('<!doctype html>', 3, True)
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(_own_file), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    # A name may be broken after these, and where a line holds nothing else.
    environment.filters["breakable"] = lambda name: Markup("<wbr>").join(re.split(r"(?<=[_/=,.])", name))
    environment.filters["sortable"] = _sortable
    tables = {table.name: table.chosen(table.wide) for table in report_tables(groups, comparisons)}
    style, script = (_own_file(name) for name in ("page.css", "page.js"))
    return environment.get_template("page.html").render(
        summary=summary(groups),
        style=Markup(style),
        style_hash=_hash(style),
        script=Markup(script),
        script_hash=_hash(script),
        results=tables["results"],
        differences=tables.get("differences"),
        tail=tables.get("tail"),
        notes=notes(groups, comparisons),
        provenance=provenance(groups),
        problems=problems,
        data=Markup(_json(figure_data(groups, comparisons))),
    )


def _own_file(name: str) -> str:
    return files("oponm.report").joinpath(name).read_text(encoding="utf-8")


def _sortable(value: float | str) -> float | str:
    """What a cell is sorted by; nothing where nothing is known."""
    return value if isinstance(value, str) else "" if math.isnan(value) else round(value, 8)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(content: Any) -> str:
    """JSON that no HTML parser takes for the end of its element."""
    text = json.dumps(_finite(content), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(content: Any) -> Any:
    """NaN as null, which is what JSON has for it."""
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
