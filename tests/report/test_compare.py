from __future__ import annotations

import math
from typing import Any

import pytest

from oponm.errors import InputError
from oponm.report import compare, group_runs
from tests.report.runs import result


def runs(method: str, *overrides: str, seeds: int = 3, shift: float = 0.0, **changes: Any) -> list[dict[str, Any]]:
    spread = (0.0, 0.01, -0.02, 0.005, 0.03)
    return [
        result(
            method,
            seed,
            overrides,
            **{
                "content_digest": "a" * 64,
                "metrics": {"balanced_accuracy": 0.7 + spread[seed] * (1 + shift) + shift},
                **changes,
            },
        )
        for seed in range(seeds)
    ]


def pairs(found: list[dict[str, Any]], baseline: str | None = None) -> list[tuple[str, str]]:
    return [(one.group.name, one.baseline.name) for one in compare(group_runs(found), baseline)]


@pytest.mark.parametrize(
    ("methods", "expected"),
    [(["open", "drs", "erm"], "drs"), (["open", "erm", "rs"], "erm"), (["zeta", "open"], "open")],
    ids=str,
)
def test_the_baseline_is_drs_else_erm_else_the_first(methods, expected):
    found = pairs([run for method in methods for run in runs(method)])
    assert {baseline for _, baseline in found} == {expected}
    assert {name for name, _ in found} == set(methods) - {expected}


def test_the_baseline_may_be_chosen():
    everything = [run for method in ("open", "drs", "erm") for run in runs(method)]
    assert pairs(everything, "open") == [("erm", "open"), ("drs", "open")]


def test_a_baseline_goes_by_the_name_of_its_group_experiment_or_method():
    everything = runs("open", choices={"experiment": "set/open"}) + runs("erm", choices={"experiment": "set/erm"})
    assert pairs(everything, "erm") == pairs(everything, "set/erm") == [("open", "erm")]
    assert pairs(runs("open") + runs("open", "norm=aux"), "open norm=aux") == [("open", "open norm=aux")]


def test_a_baseline_that_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"baseline must be one of drs, open; got 'opne'"):
        pairs(runs("open") + runs("drs"), "opne")


def test_a_single_group_has_nothing_to_be_compared_with():
    assert pairs(runs("open")) == []


def test_groups_on_different_splits_are_not_compared():
    everything = runs("drs") + runs("open", content_digest="b" * 64)
    assert pairs(everything) == []
    assert pairs(everything, "drs") == []


def test_each_split_has_a_baseline_of_its_own():
    everything = [
        run
        for digest, first in (("a" * 64, "drs"), ("b" * 64, "erm"))
        for method in (first, "open")
        for run in runs(method, content_digest=digest)
    ]
    assert pairs(everything) == [
        ("open split aaaaaaaa", "drs split aaaaaaaa"),
        ("open split bbbbbbbb", "erm split bbbbbbbb"),
    ]


def test_of_several_baselines_the_one_with_like_settings_is_taken():
    everything = [
        run
        for method in ("drs", "open")
        for override in ("model=resnet32", "model=wrn_28_10")
        for run in runs(method, override)
    ]
    everything += runs("open", "model=wrn_28_10", "norm=aux")
    assert pairs(everything) == [
        ("open model=resnet32", "drs model=resnet32"),
        ("open model=wrn_28_10", "drs model=wrn_28_10"),
        ("open model=wrn_28_10 norm=aux", "drs model=wrn_28_10"),
    ]


def test_only_equal_seeds_are_paired():
    found = compare(group_runs(runs("drs", seeds=5) + runs("open", seeds=3, shift=0.1)[1:]))
    assert found[0].differences["balanced_accuracy"].n == 2


def test_a_metric_that_no_run_has_has_no_pairs():
    found = compare(group_runs(runs("drs") + runs("open", shift=0.1)))[0]
    assert found.differences["few"].n == 0
    assert math.isnan(found.adjusted["few"])


def test_p_values_are_adjusted_over_all_comparisons():
    everything = [
        run for i, method in enumerate(("drs", "a", "b", "c")) for run in runs(method, seeds=5, shift=0.02 * i)
    ]
    found = compare(group_runs(everything))
    raw = [one.differences["balanced_accuracy"].p for one in found]
    adjusted = [one.adjusted["balanced_accuracy"] for one in found]
    assert min(adjusted) == pytest.approx(3 * min(raw))
    assert all(after >= before for before, after in zip(raw, adjusted, strict=True))
