"""Whether bfloat16 in channels_last learns what float32 learns: OPeN on the embedded digits, seed by seed."""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
from pathlib import Path

from hydra import compose, initialize_config_dir

from benchmarks.harness import mark, show
from oponm.configs import CONF_DIR
from oponm.training import train
from oponm.training.build import build
from oponm.training.history import History
from oponm.training.options import trainer_options
from oponm.training.quiet import quiet_libraries

SEEDS = 5
SETTINGS = {
    "float32": [],
    "bf16, channels_last": ["trainer.precision=bf16-mixed", "trainer.channels_last=true"],
}


def run(seed: int, *settings: str) -> tuple[float, list[float]]:
    """Balanced accuracy of a run in percent, and its training loss by epoch."""
    overrides = ["method=open", f"seed={seed}", "trainer.accelerator=cpu", *settings]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", overrides)
    module, data, plan = build(config)
    history = History()
    with tempfile.TemporaryDirectory() as folder:
        measured = train(module, data, plan, Path(folder), [history], **trainer_options(config.trainer, folder))
    losses = [values["train/loss"] for _, values in history.rows if "train/loss" in values]
    return 100 * measured["metrics"]["balanced_accuracy"], losses


def standard_error(values: list[float]) -> float:
    """Of the mean.

    Example:
        >>> round(standard_error([1.0, 2.0, 3.0]), 4)
        0.5774
    """
    return statistics.stdev(values) / math.sqrt(len(values))


def largest_gap(curves: list[list[float]], others: list[list[float]]) -> float:
    """The largest distance between two mean curves.

    Example:
        >>> largest_gap([[1.0, 2.0], [3.0, 2.0]], [[2.0, 1.5], [2.0, 1.5]])
        0.5
    """
    means = [[statistics.mean(epoch) for epoch in zip(*group, strict=True)] for group in (curves, others)]
    return max(abs(one - other) for one, other in zip(*means, strict=True))


def main(seeds: int = SEEDS, *settings: str) -> None:
    """Print the table.

    Args:
        seeds: runs of each setting, at least two.
        *settings: further overrides, for a trial of the script.
    """
    quiet_libraries()
    accuracies: dict[str, list[float]] = {name: [] for name in SETTINGS}
    curves: dict[str, list[list[float]]] = {name: [] for name in SETTINGS}
    for seed in range(seeds):
        for name, own in SETTINGS.items():
            accuracy, losses = run(seed, *own, *settings)
            accuracies[name].append(accuracy)
            curves[name].append(losses)
    (full, half), (full_curves, half_curves) = accuracies.values(), curves.values()
    paired = [other - one for one, other in zip(full, half, strict=True)]
    mean, error = statistics.mean(paired), standard_error(paired)
    gap = largest_gap(full_curves, half_curves)
    # The yardstick is float32 itself: how far the curve of one seed lies from that of another.
    between = statistics.median(
        largest_gap([one], [other]) for number, one in enumerate(full_curves) for other in full_curves[:number]
    )
    rows = [
        [name, f"{statistics.mean(values):.1f} ± {standard_error(values):.1f}"] for name, values in accuracies.items()
    ]
    show(
        "bfloat16 and channels_last against float32",
        f"OPeN on digits-LT, `method=open`, {seeds} seeds, the same for both. Within noise means: the "
        "paired difference of balanced accuracy lies within two standard errors of 0, and the mean loss curves are "
        "nowhere further apart than two seeds of float32 usually are.",
        ["setting", "balanced accuracy, %"],
        rows,
    )
    show(
        "The differences",
        "Of bfloat16 less float32.",
        ["what", "difference", "noise", "within"],
        [
            ["balanced accuracy, paired, points", f"{mean:+.2f}", f"{error:.2f}", mark(abs(mean) <= 2 * error)],
            ["mean training loss, largest over epochs", f"{gap:.3f}", f"{between:.3f}", mark(gap <= between)],
        ],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
