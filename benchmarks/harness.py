"""What all benchmarks share: repeats interleaved in one process, medians with quartiles, and tables in Markdown."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

Clock = Callable[[], float]


@dataclass(frozen=True)
class Timing:
    """Seconds of one candidate, a value a round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.seconds)

    def ratio(self, baseline: Timing) -> float:
        """Ratio of the medians."""
        return self.median / baseline.median

    def ratio_quartiles(self, baseline: Timing) -> tuple[float, float]:
        """First and third quartile of the ratio within a round."""
        low, _, high = statistics.quantiles(
            [mine / theirs for mine, theirs in zip(self.seconds, baseline.seconds, strict=True)], n=4
        )
        return low, high


def interleave(
    candidates: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 3, clock: Clock = time.perf_counter
) -> dict[str, Timing]:
    """Time each candidate once a round; the order turns from round to round, so that none always follows the same one.

    Args:
        candidates: what to time, by name.
        rounds: timed rounds, at least two.
        warmup: rounds before those, not timed.
        clock: seconds; by default of the wall.

    Returns:
        A timing each.
    """
    names, seconds = list(candidates), {name: [] for name in candidates}  # type: dict[str, list[float]]
    for number in range(warmup + rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            started = clock()
            candidates[name]()
            elapsed = clock() - started
            if number >= warmup:
                seconds[name].append(elapsed)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def rounds_within(seconds: float, candidates: Mapping[str, Callable[[], object]], least: int, most: int) -> int:
    """How many rounds fit into so many seconds, judged by one that is not counted."""
    started = time.perf_counter()
    for run in candidates.values():
        run()
    return min(most, max(least, int(seconds / (time.perf_counter() - started))))


def copy_bandwidth(like: torch.Tensor, rounds: int = 20) -> float:
    """Bytes a second that a copy into memory already touched moves, read and written, in this process."""
    target = torch.empty_like(like)
    timing = interleave({"copy": lambda: target.copy_(like)}, rounds)["copy"]
    return 2 * like.nbytes / timing.median


def show(title: str, note: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown section with one table."""
    print(f"## {title}\n\n{note}\n")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def mark(kept: bool) -> str:
    """Whether a target is kept, as one sign.

    Example:
        >>> mark(1.2 <= 1.15)
        '✗'
    """
    return "✓" if kept else "✗"
