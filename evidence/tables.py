"""The study's tables, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evidence.methods import BASELINE, KINDS, METHODS, READINGS, SCHEMES, TWO_STAGE, published
from evidence.study import Study
from oponm.markdown import markdown_rows
from oponm.report.paired import holm
from oponm.report.tables import interval, percent, probability

_GROUPS = ("many", "medium", "few")


def results(study: Study, condition: str) -> str:
    """Every method under a condition: mean and standard error, difference from DRS with its interval and p.

    Args:
        study: the runs.
        condition: one of its.
    """
    run = study.methods(condition)
    groups = [name for name in _GROUPS if not math.isnan(study.mean_and_error(condition, BASELINE, name)[0])]
    others = [method for method in run if method != BASELINE]
    found = {method: study.difference(method, condition=condition) for method in others}
    adjusted = dict(zip(others, holm([found[method].p for method in others]), strict=True))
    rows = []
    for method in run:
        metrics = ("balanced_accuracy", *groups)
        row = [METHODS[method], str(len(study.by_seed(condition, method)))]
        row += [percent(*study.mean_and_error(condition, method, metric)) for metric in metrics]
        row += [interval(found[method]), probability(adjusted[method])] if method in found else ["", ""]
        rows.append(row)
    return _table(["method", "seeds", "balanced accuracy", *groups, "minus DRS [95 %]", "p (Holm)"], rows)


def readings(study: Study, condition: str | None = None) -> str:
    """Batch norm by reading: balanced accuracy minus that of DRS.

    Args:
        study: the runs.
        condition: one of its; None for the mean over all.
    """
    rows = []
    for kind, name in KINDS.items():
        cells = [interval(study.difference(f"open_{kind}_{reading}", condition=condition)) for reading in READINGS]
        rows.append([name, *cells])
    return _table(["OPeN minus DRS", *(f"`{reading}`" for reading in READINGS)], rows)


def kinds(study: Study, condition: str | None = None) -> str:
    """DAR-BN minus the other kinds of batch norm at equal readings.

    Args:
        study: the runs.
        condition: one of its; None for the mean over all.
    """
    rows = []
    for kind in [kind for kind in KINDS if kind != "dar"]:
        pairs = [(f"open_dar_{reading}", f"open_{kind}_{reading}") for reading in READINGS]
        rows.append([f"DAR-BN minus {KINDS[kind]}", *(interval(study.difference(*pair, condition)) for pair in pairs)])
    return _table(["at equal readings", *(f"`{reading}`" for reading in READINGS)], rows)


def versus(study: Study, pairs: Sequence[tuple[str, str]]) -> str:
    """Chosen differences, under each condition and for the mean over all.

    Args:
        study: the runs.
        pairs: method and what is taken off it.
    """
    alike = len(study.conditions) > 1 and study.varied != "epochs"  # a mean over lengths would say nothing
    conditions: list[str | None] = [*study.conditions, None] if alike else [*study.conditions]
    rows = [
        [f"{METHODS[one]} minus {METHODS[other]}", *(interval(study.difference(one, other, c)) for c in conditions)]
        for one, other in pairs
    ]
    return _table(["", *(label(study, condition) for condition in conditions)], rows)


def by_length(lengths: Sequence[tuple[str, Study]]) -> str:
    """Plain training, DRS and OPeN by the length of training, with the lead over DRS.

    Args:
        lengths: epochs, and the study whose condition they are.
    """
    rows, others = [], published()
    for method in (BASELINE, "erm", "open_dar_none", "open_dar_full"):
        cells = [percent(*study.mean_and_error(epochs, method)) for epochs, study in lengths]
        rows.append([METHODS[method], *cells, f"{others[method]:.2f}" if method in others else ""])
    for method in ("open_dar_none", "open_dar_full"):
        cells = [interval(study.difference(method, condition=epochs)) for epochs, study in lengths]
        rows.append(
            [
                f"{METHODS[method]} minus DRS",
                *cells,
                f"{others[method] - others[BASELINE]:+.2f}" if method in others else "",
            ]
        )
    head = [f"{epochs} epochs, seeds: {study.seeds(epochs)}" for epochs, study in lengths]
    return _table(["", *head, "published, 200, one run"], rows)


def on_top(study: Study) -> str:
    """Each scheme without noise, on balanced batches and with OPeN, with what OPeN adds.

    Args:
        study: the runs of the sweep ``open_on_top``.
    """
    (condition,) = study.conditions
    found = {scheme: study.difference(f"{scheme}+open", scheme) for scheme in SCHEMES}
    adjusted = dict(zip(found, holm([one.p for one in found.values()]), strict=True))
    rows = []
    for scheme, name in SCHEMES.items():
        arms = [scheme, f"{scheme}+drs", f"{scheme}+open"]
        means = [percent(*study.mean_and_error(condition, arm)) for arm in arms]
        balanced = interval(study.difference(arms[2], arms[1]))
        if scheme in TWO_STAGE:  # whose last phase has balanced batches in either case
            means[1] = balanced = ""
        few = interval(study.difference(arms[2], scheme, metric="few"))
        rows.append([name, *means, interval(found[scheme]), probability(adjusted[scheme]), balanced, few])
    head = ["scheme", "alone", "+ DRS", "+ OPeN", "OPeN minus alone [95 %]", "p (Holm)", "OPeN minus DRS"]
    return _table([*head, "few-shot, OPeN minus alone"], rows)


def label(study: Study, condition: str | None) -> str:
    """A condition in a table's head.

    Args:
        study: the runs.
        condition: one of its; None for the mean over all.
    """
    if condition is None:
        return "mean of them"
    if study.varied == "imbalance_ratio":
        return f"imbalance ratio {condition}"
    return f"{condition} epochs" if study.varied == "epochs" else condition.replace("_", "+")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return markdown_rows([[*head], *map(list, rows)], texts=1).removesuffix("\n")
