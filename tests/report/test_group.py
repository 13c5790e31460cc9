from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import yaml

from oponm.configs import compose_choices
from oponm.configs import groups as choice_groups
from oponm.report import Group, group_runs
from oponm.report.compare import compare
from oponm.report.group import standard_error
from oponm.report.settings import result_settings
from tests.report.runs import result


def names(groups: list[Group]) -> list[str]:
    return [group.name for group in groups]


def test_runs_are_grouped_by_all_but_the_seed():
    runs = [result(method, seed) for seed in (1, 0, 2) for method in ("open", "erm")]
    groups = group_runs(runs)
    assert names(groups) == ["erm", "open"]
    for group in groups:
        assert [run["seed"] for run in group.runs] == [0, 1, 2]
        assert {run["choices"]["method"] for run in group.runs} == {group.name}


@pytest.mark.parametrize("override", ["norm=aux", "+norm.noise_grad=full", "model.width=8", "data.imbalance_ratio=10"])
def test_any_other_choice_makes_a_group(override):
    groups = group_runs([result("open"), result("open", 1), result("open", overrides=(override,))])
    assert names(groups) == ["open", f"open {override.lstrip('+')}"]
    assert [len(group.runs) for group in groups] == [2, 1]


@pytest.mark.parametrize(
    "override",
    [
        *(
            "output_dir=elsewhere",
            "logger=wandb",
            "logger.wandb.project=x",
            "sweep=demo",
            "hydra.verbose=true",
            "+seed=3",
        ),
        *("resume=auto", "phase_cache=off", "trainer.checkpoint_every_minutes=1", "trainer.max_restarts=3"),
        *("data.num_workers=4", "data.pack=/fast", "hydra/launcher=joblib", "published.paper=84.6"),
    ],
)
def test_what_does_not_bear_on_the_result_makes_none(override):
    groups = group_runs([result("open"), result("open", 1, (override,))])
    assert names(groups) == ["open"]
    assert len(groups[0].runs) == 2


def configured(seed: int, *overrides: str, method: str = "open", **choices: str) -> dict[str, Any]:
    """A run of which the whole config is known, made as the command makes it."""
    groups = {key: value for key, value in (line.split("=") for line in overrides) if key in choice_groups()}
    chosen, config = compose_choices({"method": method, **groups}, seed)
    for key, value in (line.split("=") for line in overrides):
        node, _, last = key.rpartition(".")
        if key not in groups:
            (config[node] if node else config)[last] = yaml.safe_load(value)
    return result(method, seed, overrides, choices={**chosen, **choices}, settings=result_settings(config))


SAME = [
    "resume=auto",
    "norm=dar",
    "data.imbalance_ratio=50",
    "trainer.checkpoint_every_minutes=1",
    "data.batch_size=128.0",
]


def test_one_setting_said_in_several_ways_is_one_group():
    runs = [configured(seed, *said) for seed, said in enumerate([[], *([one] for one in SAME), SAME])]
    groups = group_runs(runs)
    assert names(groups) == ["open"]
    assert [run["seed"] for run in groups[0].runs] == list(range(7))


@pytest.mark.parametrize(
    "override",
    [
        *("norm=aux", "data.imbalance_ratio=10", "trainer.precision=bf16-mixed", "trainer.devices=2"),
        *("data.draw_seed=1", "shots.many_over=50", "trainer.max_epochs=20", "optimizer=adam"),
    ],
)
def test_a_setting_that_determines_what_is_computed_makes_a_group(override):
    groups = group_runs([configured(0), configured(1), configured(0, override)])
    assert names(groups) == ["open", f"open {override}"]


def test_what_a_method_brings_is_not_told():
    groups = group_runs([configured(0), configured(0, method="ldam_drw"), configured(0, "norm=aux")])
    assert names(groups) == ["ldam_drw", "open", "open norm=aux"]


def test_an_experiment_that_says_what_a_method_says_is_the_same_setting():
    groups = group_runs([configured(0), configured(1, experiment="digits_lt/open")])
    assert [len(group.runs) for group in groups] == [2]


def test_settings_that_no_override_tells_are_told_where_nothing_else_does():
    old, new = configured(0), configured(1)
    old["settings"]["model.width"] = 8
    assert names(group_runs([old, new, configured(0, method="erm")])) == [
        "erm",
        "open model.width=16",
        "open model.width=8",
    ]


def test_where_files_lie_is_no_setting_once_their_content_is_known():
    roots = [result("open", seed, (f"data.root=/{seed}",)) for seed in (0, 1)]
    assert len(group_runs(roots)) == 2
    assert len(group_runs([{**run, "content_digest": "a" * 64} for run in roots])) == 1


def test_the_order_of_overrides_makes_no_group():
    one, other = ("norm=aux", "model=wrn_28_10"), ("model=wrn_28_10", "norm=aux")
    assert len(group_runs([result(overrides=one), result(seed=1, overrides=other)])) == 1


def test_names_tell_only_what_differs():
    shared = ("model=resnet32", "data.root=birds")
    groups = group_runs(
        [
            result("erm", overrides=shared),
            result("open", overrides=shared),
            result("open", overrides=(*shared, "norm=aux")),
            result("open", overrides=("norm=standard", *shared, "noise.delta=0.5")),
        ]
    )
    assert names(groups) == ["erm", "open", "open noise.delta=0.5 norm=standard", "open norm=aux"]


def test_plain_training_and_oversampling_come_before_what_builds_on_them():
    runs = [result(method) for method in ("zeta", "open", "drs", "rs", "erm")]
    assert names(group_runs(runs)) == ["erm", "rs", "drs", "open", "zeta"]
    assert names(group_runs(runs[::-1])) == ["erm", "rs", "drs", "open", "zeta"]


def test_a_method_without_a_name_is_a_question_mark():
    assert names(group_runs([result(choices={})])) == ["?"]


@pytest.mark.parametrize("values", [[0.5, 0.7], [0.1, 0.2, 0.6], [0.4] * 4, list(np.linspace(0, 1, 11))], ids=len)
def test_mean_and_standard_error(values):
    runs = [result(seed=seed, metrics={"accuracy": value}) for seed, value in enumerate(values)]
    mean, error = Group("erm", runs).mean_and_error("accuracy")
    expected = math.sqrt(sum((value - sum(values) / len(values)) ** 2 for value in values) / (len(values) - 1))
    assert mean == pytest.approx(sum(values) / len(values))
    assert error == pytest.approx(expected / math.sqrt(len(values)), abs=1e-12)
    assert standard_error(values) == pytest.approx(error)


def test_a_single_seed_has_no_standard_error():
    mean, error = Group("erm", [result()]).mean_and_error("accuracy")
    assert mean == 0.8
    assert math.isnan(error)
    assert math.isnan(standard_error([0.5]))


@pytest.mark.parametrize("missing_in", [[0], [1], [0, 1]], ids=str)
def test_a_metric_that_is_missing_has_no_mean(missing_in):
    runs = [result(seed=seed) for seed in (0, 1)]
    for number in missing_in:
        del runs[number]["metrics"]["few"]
    assert all(math.isnan(value) for value in Group("erm", runs).mean_and_error("few"))


def test_seconds_are_those_of_training():
    runs = [result(seed=seed, train_seconds=value, seconds=99.0) for seed, value in enumerate((1.0, 3.0))]
    assert Group("erm", runs).mean_and_error("seconds") == (2.0, 1.0)


def test_recall_is_averaged_class_by_class():
    runs = [result(seed=seed, recall=recall) for seed, recall in enumerate(([1.0, 0.0, 0.5], [0.6, 0.2, 0.5]))]
    mean, error = Group("erm", runs).recall()
    assert mean.tolist() == pytest.approx([0.8, 0.1, 0.5])
    assert error.tolist() == pytest.approx([0.2, 0.1, 0])


def test_the_folder_that_experiments_share_is_not_told():
    runs = [result(choices={"experiment": f"digits_lt/{name}"}) for name in ("open", "drs")]
    assert names(group_runs(runs)) == ["drs", "open"]


def test_an_experiment_for_any_method_is_told_with_the_method():
    one = [result(method, choices={"experiment": "set", "method": method}) for method in ("open", "drs")]
    assert names(group_runs(one)) == ["drs", "open"]
    other = [result(choices={"experiment": "other", "method": "open"})]
    assert names(group_runs([*one, *other])) == ["other/open", "set/drs", "set/open"]
    assert [group.method for group in group_runs([*one, *other])] == ["open", "drs", "open"]


def test_experiments_of_several_folders_keep_them():
    runs = [result(choices={"experiment": name}) for name in ("b/open", "b/erm", "a/open", "a/drs")]
    assert names(group_runs(runs)) == ["a/drs", "a/open", "b/erm", "b/open"]


def test_a_name_is_one_line():
    assert names(group_runs([result("a\nb\x1b[1m\u202e")])) == ["a b [1m "]


def test_a_class_without_test_images_has_no_recall():
    runs = [result(seed=seed, recall=[None, 0.5]) for seed in (0, 1)]
    mean, _ = Group("erm", runs).recall()
    assert math.isnan(mean[0])
    assert mean[1] == 0.5


@pytest.mark.parametrize(
    "changes",
    [{"content_digest": "b"}, {"class_counts": [100, 11]}, {"test_counts": [9, 9]}, {"test_digest": "b"}],
    ids=str,
)
def test_splits_differ_in_what_is_trained_or_tested_on(changes):
    one, other = result(content_digest="a"), result(**{"content_digest": "a", **changes})
    assert Group("erm", [one]).split != Group("erm", [other]).split
    assert Group("erm", [one]).split == Group("open", [result("open", content_digest="a")]).split


def test_the_split_is_told_only_of_groups_that_nothing_else_tells_apart():
    def named(*runs):
        return names(group_runs([result(name, content_digest=digest * 8) for name, digest in runs]))

    assert named(("erm", "a"), ("open", "b")) == ["erm", "open"]
    assert named(("erm", "a"), ("erm", "b")) == ["erm split aaaaaaaa", "erm split bbbbbbbb"]


@pytest.mark.parametrize("which", ["test", "validation"])
def test_runs_on_other_test_or_validation_images_are_groups_of_their_own(which):
    key = f"{which[:3]}_digest" if which == "validation" else "test_digest"
    runs = [result(seed=seed, **{key: digest * 8}) for seed, digest in enumerate("aab")]
    groups = group_runs(runs)
    assert [len(group.runs) for group in groups] == [2, 1]
    assert names(groups) == [f"erm {which} images aaaaaaaa", f"erm {which} images bbbbbbbb"]


def test_runs_tested_on_other_images_are_not_compared():
    runs = [result(method, test_digest=digest) for method, digest in (("drs", "a"), ("open", "a"), ("rs", "b"))]
    assert [(one.group.name, one.baseline.name) for one in compare(group_runs(runs))] == [("open", "drs")]
