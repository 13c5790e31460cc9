"""Draws the accuracy of each class, head to tail, with the number of its training images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oponm.longtail import head_to_tail
from oponm.report.group import Group
from oponm.report.text import shortened

_LEGEND_ABOVE = 6  # groups
_NAME = 24  # characters of a class
# For names in writings that matplotlib's own font lacks, as far as they are installed.
_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "Noto Sans Arabic", "WenQuanYi Micro Hei"),
    *("Arial Unicode MS", "Hiragino Sans", "PingFang SC", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic"),
)


def recall_figure(groups: Sequence[Group], path: Path) -> None:
    """Draw a point per group and class, with standard errors, and the class counts as bars in the background.

    Args:
        groups: groups of runs; each set of class counts gets its own panel.
        path: the file, in a format that matplotlib can write.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    panels: dict[str, list[Group]] = {}
    for group in groups:
        panels.setdefault(str([group.runs[0][key] for key in ("class_counts", "class_names")]), []).append(group)
    figure = Figure(figsize=(9, 4.5 * len(panels)), layout="constrained")
    with rc_context({"font.family": _fonts()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # a box is drawn in its place
        for number, members in enumerate(panels.values(), start=1):
            _draw(figure.add_subplot(len(panels), 1, number), members)
        figure.savefig(path, dpi=150 if len(panels) < 10 else 80)


def _fonts() -> list[str]:
    """The default fonts, and those to take missing letters from."""
    from matplotlib import rcParams
    from matplotlib.font_manager import fontManager

    return [*rcParams["font.family"], *sorted(set(_FONTS) & {font.name for font in fontManager.ttflist})]


def _draw(accuracy: Any, groups: Sequence[Group]) -> None:
    counts = np.array(groups[0].runs[0]["class_counts"])
    order = head_to_tail(groups[0].runs[0]["class_counts"])
    names = [shortened(groups[0].runs[0]["class_names"][label], _NAME) for label in order]
    positions = np.arange(len(counts))
    bars = accuracy.twinx()
    bars.bar(positions, counts[order], color="0.9", width=0.8)
    bars.set(yscale="log", ylabel="training images (bars)")
    bars.set_ylim(bottom=0.8)
    bars.spines[["top"]].set_visible(False)
    accuracy.set_zorder(bars.get_zorder() + 1)
    accuracy.patch.set_visible(False)
    for number, (group, marker) in enumerate(zip(groups, "osD^vPX<>*" * len(groups), strict=False)):
        mean, error = group.recall()
        shift = (number - (len(groups) - 1) / 2) * min(0.08, 0.7 / len(groups))
        accuracy.errorbar(
            positions + shift,
            100 * mean[order],
            100 * error[order],
            label=f" {group.name}",
            marker=marker,
            ms=5 if len(counts) <= 30 else 3,
            lw=1.2,
            ls="none",
            clip_on=False,
        )
    ticks = positions if len(names) <= 20 else positions[:: len(names) // 10]
    # Names are literal text: a dollar sign starts no formula.
    slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if max(map(len, names)) > 4 else {}
    accuracy.set_xticks(ticks, [names[tick] for tick in ticks], parse_math=False, **slanted)
    accuracy.set_ylim(0, 104)
    accuracy.set(xlabel="class, most to fewest training images", ylabel="accuracy on the test set (%)")
    accuracy.spines[["top"]].set_visible(False)
    accuracy.grid(axis="y", color="0.85", lw=0.6)
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.12, 1)}
    if len(groups) <= _LEGEND_ABOVE:
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 3, "borderaxespad": 0.2}
    for text in accuracy.legend(frameon=False, **place).get_texts():
        text.set_parse_math(False)
