"""The study's figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evidence.methods import BASELINE, FIGURE, METHODS, SCHEMES, TWO_STAGE, published
from evidence.study import Study
from evidence.tables import label
from oponm.report.figure import recall_figure

COLORS = {"open_dar": "C0", "open_": "C1", "noise_": "C1", "": "0.4"}  # by the beginning of a method's name
LEGEND = {"C0": "OPeN with DAR-BN, by reading", "C1": "others with noise images", "0.4": "without noise images"}


def by_class(study: Study, condition: str, path: Path) -> None:
    """Accuracy of each class, head to tail, for a few methods.

    Args:
        study: the runs.
        condition: one of its.
        path: the file.
    """
    run = study.methods(condition)
    recall_figure([study.group(condition, method) for method in FIGURE if method in run], path)


def by_length(lengths: Sequence[tuple[str, Study]], path: Path) -> None:
    """OPeN minus DRS against the epochs of training, with 95 % intervals and the published lead.

    Args:
        lengths: epochs, and the study whose condition they are.
        path: the file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    panel = figure.subplots()
    panel.axhline(0, color="0.4", lw=0.8)
    panel.axhline(
        published()["open_dar_none"] - published()[BASELINE],
        color="0.4",
        lw=1,
        ls="--",
        label="published, 200 epochs, one run",
    )
    for shift, (method, name) in enumerate({"open_dar_none": "none", "open_dar_full": "full"}.items()):
        shown = [(epochs, study) for epochs, study in lengths if method in study.methods(epochs)]
        found = [study.difference(method, condition=epochs) for epochs, study in shown]
        places = [1.03 ** (2 * shift - 1) * float(epochs) for epochs, _ in shown]  # beside each other
        means = [100 * one.mean for one in found]
        errors = [
            [100 * (0 if math.isnan(end) else abs(end - one.mean)) for one in found for end in [getattr(one, side)]]
            for side in ("low", "high")
        ]
        panel.errorbar(places, means, errors, color=f"C{shift}", marker="o", capsize=3, label=f"noise_grad={name}")
        for place, mean, (epochs, study) in zip(places, means, shown, strict=True):
            if study.seeds(epochs) == 1:
                panel.annotate("one seed", (place, mean), (-8, 8), textcoords="offset points", ha="right", fontsize=8)
    panel.set_xscale("log")
    panel.set_xticks([float(epochs) for epochs, _ in lengths], [epochs for epochs, _ in lengths])
    panel.minorticks_off()
    panel.set(xlabel="epochs", ylabel="OPeN minus DRS, points")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, loc="upper left", fontsize=8)
    figure.savefig(path, dpi=130)


def on_top(study: Study, path: Path) -> Any:
    """What OPeN adds to each scheme, against the scheme alone and against it on balanced batches.

    Args:
        study: the runs of the sweep ``open_on_top``.
        path: the file.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.6, 1.2 + 0.36 * len(SCHEMES)), layout="constrained")
    panel = figure.subplots()
    panel.axvline(0, color="0.6", lw=0.8, zorder=0)
    for shift, (added, name) in enumerate({"": "OPeN minus the scheme alone", "+drs": "OPeN minus DRS"}.items()):
        schemes = [scheme for scheme in SCHEMES if not (added and scheme in TWO_STAGE)]
        found = [study.difference(f"{scheme}+open", scheme + added) for scheme in schemes]
        places = [-list(SCHEMES).index(scheme) - 0.22 * shift for scheme in schemes]
        ends = [[100 * (one.mean - one.low) for one in found], [100 * (one.high - one.mean) for one in found]]
        means = [100 * one.mean for one in found]
        panel.errorbar(means, places, xerr=ends, fmt="o", color=f"C{shift}", ms=4, capsize=2, lw=1.2, label=name)
    panel.set_yticks([-place for place in range(len(SCHEMES))], SCHEMES.values())
    panel.set(xlabel="points of balanced accuracy")
    panel.grid(axis="x", color="0.9", lw=0.6)
    panel.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=110)
    return figure


def differences(study: Study, path: Path) -> Any:
    """Every method's balanced accuracy minus that of DRS, with 95 % intervals, a panel a condition.

    Args:
        study: the runs.
        path: the file.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    methods = [name for name in METHODS if name != BASELINE and any(name in study.methods(c) for c in study.conditions)]
    places = {method: place for place, method in enumerate(reversed(methods))}
    figure = Figure(figsize=(3.4 + 2.9 * len(study.conditions), 1 + 0.3 * len(methods)), layout="constrained")
    panels = figure.subplots(1, len(study.conditions), sharey=True, squeeze=False)[0]
    for panel, condition in zip(panels, study.conditions, strict=True):
        for method in study.methods(condition):
            found = study.difference(method, condition=condition)
            if method == BASELINE or math.isnan(found.mean):
                continue
            color = COLORS[next(prefix for prefix in COLORS if method.startswith(prefix))]
            ends = [] if math.isnan(found.low) else [found.mean - found.low, found.high - found.mean]
            panel.errorbar(
                100 * found.mean,
                places[method],
                xerr=[[100 * end] for end in ends] or None,
                color=color,
                marker="o",
                ms=4,
                capsize=2,
                lw=1.2,
            )
        panel.axvline(0, color="0.6", lw=0.8, zorder=0)
        panel.set(title=label(study, condition), xlabel="points above DRS")
        panel.grid(axis="x", color="0.9", lw=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(list(places.values()), [METHODS[method].replace("`", "") for method in places])
    handles = [Line2D([], [], color=color, marker="o", ms=4, label=name) for color, name in LEGEND.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.savefig(path, dpi=110)
    return figure
