from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oponm.errors import InputError
from oponm.report import Group, collect_runs, group_runs
from oponm.report.collect import standard_error


def result(method: str = "erm", seed: int = 0, overrides: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    return {
        "choices": {"method": method, "data": "digits_lt"},
        "overrides": [f"method={method}", f"seed={seed}", *overrides],
        "seed": seed,
        "metrics": {"accuracy": 0.8, "balanced_accuracy": 0.7, "many": 0.9, "medium": 0.6, "few": 0.3},
        "recall": [0.9, 0.5],
        "class_counts": [100, 10],
        "class_names": ["a", "b"],
        "train_seconds": 2.0,
        **changes,
    }


def store(folder: Path, content: Any = None) -> Path:
    """A run's folder; of one that is not finished without content."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 0\n")
    if content is not None:
        (folder / "result.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def names(groups: list[Group]) -> list[str]:
    return [group.name for group in groups]


def test_runs_come_in_order_of_their_paths(tmp_path):
    for seed, name in enumerate(("b/2", "a", "b/1", "c/deep/down")):
        store(tmp_path / name, result(seed=seed, name=name))
    runs, problems = collect_runs([tmp_path])
    assert [run["name"] for run in runs] == ["a", "b/1", "b/2", "c/deep/down"]
    assert problems == []


def test_the_folder_of_a_single_run_will_do(tmp_path):
    content = result()
    assert collect_runs([store(tmp_path / "run", content)]) == ([content], [])


def test_several_folders_are_read_in_turn(tmp_path):
    for seed, name in enumerate(("a", "b", "c")):
        store(tmp_path / name / "run", result(seed=seed, name=name))
    runs, _ = collect_runs(tmp_path / name for name in ("c", "a"))
    assert [run["name"] for run in runs] == ["c", "a"]


def test_a_second_run_of_a_setting_and_seed_is_no_second_seed(tmp_path):
    for name in ("a", "b"):
        store(tmp_path / name, result(name=name))
    store(tmp_path / "c", result(name="c", split_digest="f" * 64))
    runs, problems = collect_runs([tmp_path])
    assert [run["name"] for run in runs] == ["a", "c"]
    assert len(problems) == 1
    assert "repeat of erm" in problems[0]
    assert [len(group.runs) for group in group_runs(runs)] == [1, 1]


@pytest.mark.parametrize("folders", [["a", "a"], [".", "a"], ["a", "."], ["a", "a/../a"]], ids=str)
def test_a_run_below_several_folders_counts_once(tmp_path, folders):
    store(tmp_path / "a", result())
    runs, _ = collect_runs([tmp_path / folder for folder in folders])
    assert len(runs) == 1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param('{"metrics": {"accur', id="cut off"),
        pytest.param("[]", id="list"),
        pytest.param("[[1]]", id="nested list"),
        pytest.param("null", id="null"),
        pytest.param("3", id="number"),
        pytest.param('"words"', id="words"),
        pytest.param({"accuracy": 0.5}, id="foreign"),
        pytest.param({key: value for key, value in result().items() if key != "train_seconds"}, id="an evaluation"),
        *(
            pytest.param({key: value for key, value in result().items() if key != missing}, id=f"no {missing}")
            for missing in ("metrics", "recall", "class_counts", "class_names", "choices", "overrides", "seed")
        ),
    ],
)
def test_what_is_no_result_is_listed(tmp_path, content):
    store(tmp_path / "good", result())
    path = store(tmp_path / "odd", content) / "result.json"
    runs, problems = collect_runs([tmp_path])
    assert runs == [result()]
    assert len(problems) == 1
    assert problems[0].startswith(f"{path}: left out (")
    assert "\n" not in problems[0]


@pytest.mark.parametrize(
    ("key", "value"),
    [("metrics", None), ("metrics", [0.5]), ("choices", None), ("choices", "erm"), ("seed", None), ("overrides", 3)],
)
def test_a_result_of_another_shape_is_listed(tmp_path, key, value):
    store(tmp_path / "good", result())
    path = store(tmp_path / "odd", {**result(), key: value}) / "result.json"
    runs, problems = collect_runs([tmp_path])
    assert [group.mean_and_error("accuracy")[0] for group in group_runs(runs)] == [0.8]
    assert [problem.startswith(f"{path}: ") for problem in problems] == [True]


def test_bytes_that_are_no_text_are_listed(tmp_path):
    store(tmp_path / "good", result())
    (store(tmp_path / "odd", {}) / "result.json").write_bytes(b"\xff\xfe\x00\x80")
    runs, problems = collect_runs([tmp_path])
    assert len(runs) == len(problems) == 1


def test_a_result_that_is_a_folder_is_listed(tmp_path):
    store(tmp_path / "good", result())
    (store(tmp_path / "odd") / "result.json").mkdir()
    runs, problems = collect_runs([tmp_path])
    assert len(runs) == len(problems) == 1


def test_runs_that_are_not_finished_are_listed(tmp_path):
    store(tmp_path / "good", result())
    unfinished = [store(tmp_path / name) for name in ("running", "killed")]
    runs, problems = collect_runs([tmp_path])
    assert runs == [result()]
    assert problems == [f"{folder}: not finished" for folder in sorted(unfinished)]


def test_a_result_without_a_config_is_no_run(tmp_path):
    store(tmp_path / "good", result())
    (store(tmp_path / "other", result()) / "config.yaml").unlink()
    assert collect_runs([tmp_path]) == ([result()], [])


def test_a_missing_folder_is_refused(tmp_path):
    store(tmp_path / "good", result())
    with pytest.raises(InputError) as error:
        collect_runs([tmp_path, tmp_path / "missing"])
    assert str(tmp_path / "missing") in error.value.message


def test_a_file_for_a_folder_is_refused(tmp_path):
    path = store(tmp_path / "good", result()) / "result.json"
    with pytest.raises(InputError, match=r"result\.json: no such folder"):
        collect_runs([path])


def test_folders_without_a_finished_run_are_refused(tmp_path):
    folders = [tmp_path / "empty", store(tmp_path / "running").parent / "running"]
    folders[0].mkdir()
    with pytest.raises(InputError, match="no finished training run below") as error:
        collect_runs(folders)
    assert all(str(folder) in error.value.message for folder in folders)
    assert "running: not finished" in error.value.message


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
    assert names(groups) == ["open", f"open {override}"]
    assert [len(group.runs) for group in groups] == [2, 1]


@pytest.mark.parametrize(
    "override",
    ["output_dir=elsewhere", "logger=wandb", "logger.wandb.project=x", "sweep=demo", "hydra.verbose=true", "+seed=3"],
)
def test_what_does_not_bear_on_the_result_makes_none(override):
    groups = group_runs([result("open"), result("open", 1, (override,))])
    assert names(groups) == ["open"]
    assert len(groups[0].runs) == 2


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
