from __future__ import annotations

import itertools

from benchmarks.harness import interleave, mark, show


def test_rounds_turn_their_order_and_leave_warmup_out():
    calls, ticks = [], itertools.count()
    runs = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    timings = interleave(runs, rounds=3, warmup=1, clock=lambda: next(ticks))
    assert "".join(calls) == "abbaabba"
    assert timings["a"].seconds == (1, 1, 1)


def test_ratios_are_those_of_medians_and_of_rounds():
    seconds = iter([1, 2, 1, 4, 1, 6])
    now = [0.0]

    def work() -> None:
        now[0] += next(seconds)

    # The order turns: a b, b a, a b.
    timings = interleave({"a": work, "b": work}, rounds=3, warmup=0, clock=lambda: now[0])
    assert timings["a"].seconds == (1, 4, 1)
    assert timings["b"].seconds == (2, 1, 6)
    assert timings["b"].ratio(timings["a"]) == 2
    assert timings["b"].ratio_quartiles(timings["a"]) == (0.25, 6)


def test_a_table_is_markdown(capsys):
    show("Title", "Note.", ["one", "two"], [["1", mark(True)], ["2", mark(False)]])
    assert capsys.readouterr().out == "## Title\n\nNote.\n\n| one | two |\n|---|---|\n| 1 | ✓ |\n| 2 | ✗ |\n\n"
