"""A table of runs, and what can be asked of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evidence.collect import LIST_COLUMNS, SETTINGS
from evidence.methods import AUGMENTATIONS, BASELINE, METHODS
from oponm.data.which_method import DEFERRED, draws
from oponm.report.group import Group, standard_error
from oponm.report.paired import Difference, paired_difference


@dataclass(frozen=True)
class Study:
    """The runs of one data set under several conditions.

    Attributes:
        lines: of the table, values as text.
        varied: the column that names the condition.
    """

    lines: list[dict[str, str]]
    varied: str

    @classmethod
    def read(cls, table: Path, varied: str) -> Study:
        """Read what :mod:`evidence.collect` wrote.

        Args:
            table: the file.
            varied: see above.
        """
        with table.open(encoding="utf-8", newline="") as file:
            return cls(list(csv.DictReader(file)), varied)

    def beside(self, other: Study) -> Study:
        """With those runs of another study that differ in what is varied here only: same methods, seeds and settings.

        Args:
            other: of which most runs may be of something else.
        """
        fixed = [name for name in ("method", "seed", "data", "model", *SETTINGS) if name != self.varied]
        mine = {tuple(line[name] for name in fixed) for line in self.lines}
        return Study(
            [*other._where(lambda line: tuple(line[name] for name in fixed) in mine).lines, *self.lines], self.varied
        )

    def only(self, condition: str) -> Study:
        """The runs under one condition.

        Args:
            condition: one of them.
        """
        return self._where(lambda line: line[self.varied] == condition)

    @property
    def conditions(self) -> list[str]:
        """The conditions: numbers by size, augmentations from little to much."""
        found = {line[self.varied] for line in self.lines}
        return sorted(found, key=lambda name: AUGMENTATIONS.index(name) if name in AUGMENTATIONS else float(name))

    def methods(self, condition: str) -> list[str]:
        """Those that were run under a condition, in the order of :data:`~evidence.methods.METHODS`."""
        run = {line["method"] for line in self._of(condition)}
        return [method for method in METHODS if method in run]

    def missing(self, condition: str) -> str:
        """A sentence on the methods that were not run under a condition, or with fewer seeds than the baseline."""
        run = self.methods(condition)
        absent = [name for method, name in METHODS.items() if method not in run]
        return " ".join(filter(None, [f"Not run: {'; '.join(absent)}." if absent else "", self.fewer(condition)]))

    def fewer(self, condition: str) -> str:
        """A sentence on the methods that were run with fewer seeds than the baseline; empty if there are none."""
        few = [one for one in self.methods(condition) if len(self.by_seed(condition, one)) < self.seeds(condition)]
        return f"With fewer seeds than DRS: {'; '.join(METHODS[method] for method in few)}." if few else ""

    def by_seed(self, condition: str, method: str, metric: str = "balanced_accuracy") -> dict[int, float]:
        """A metric of each run of a method, by seed, as a share; classes' groups that there are not are left out."""
        lines = self._of(condition, method)
        return {int(line["seed"]): float(line[metric]) for line in lines if line[metric]}

    def mean_and_error(self, condition: str, method: str, metric: str = "balanced_accuracy") -> tuple[float, float]:
        """Mean over seeds and its standard error; NaN for what there is not."""
        values = list(self.by_seed(condition, method, metric).values())
        return (float(np.mean(values)), standard_error(values)) if values else (float("nan"), float("nan"))

    def difference(
        self, method: str, baseline: str = BASELINE, condition: str | None = None, metric: str = "balanced_accuracy"
    ) -> Difference:
        """A method minus another on equal seeds.

        Args:
            method: name.
            baseline: name.
            condition: one of them; None for the mean over all, taken within each seed: seeds, not conditions, are
                what repeats.
            metric: column.
        """
        chosen = self.conditions if condition is None else [condition]
        pairs = [(self.by_seed(one, method, metric), self.by_seed(one, baseline, metric)) for one in chosen]
        seeds = set.intersection(*(set(values) for pair in pairs for values in pair))
        means = [
            {seed: float(np.mean([pair[side][seed] for pair in pairs])) for seed in sorted(seeds)} for side in (0, 1)
        ]
        return paired_difference(*means)

    def group(self, condition: str, method: str) -> Group:
        """The runs of a method as :mod:`oponm.report` has them, for its figures."""
        runs: list[dict[str, Any]] = [
            {"seed": int(line["seed"]), **{name: json.loads(line[name]) for name in LIST_COLUMNS}}
            for line in self._of(condition, method)
        ]
        return Group(METHODS[method].replace("`", ""), runs)

    def smallest(self) -> str:
        """Training images of the smallest class, condition by condition."""
        sizes = [min(json.loads(self._of(condition)[0]["class_counts"])) for condition in self.conditions]
        return ", ".join(map(str, dict.fromkeys(sizes)))

    def repeats(self, condition: str) -> float:
        """How often the deferred class-balanced phase draws each image of the smallest class, were none replaced."""
        line = self._of(condition, BASELINE)[0]
        counts = json.loads(line["class_counts"])
        return draws(counts, int(line["epochs"]) * DEFERRED)

    @property
    def hours(self) -> float:
        """Hours of training that the runs took, phases that they share counted once."""
        return sum(float(line["train_seconds"]) for line in self.lines) / 3600

    def fact(self, column: str) -> str:
        """What a column says for all runs; several values with commas between."""
        return ", ".join(dict.fromkeys(line[column] for line in self.lines))

    def seeds(self, condition: str) -> int:
        """How many seeds the baseline has."""
        return len(self.by_seed(condition, BASELINE))

    def _of(self, condition: str, method: str | None = None) -> list[dict[str, str]]:
        return self._where(lambda line: line[self.varied] == condition and method in (None, line["method"])).lines

    def _where(self, holds: Callable[[dict[str, str]], bool]) -> Study:
        return Study([line for line in self.lines if holds(line)], self.varied)
