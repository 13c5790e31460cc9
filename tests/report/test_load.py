from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from oponm.errors import InputError
from oponm.metrics import write_confusion
from oponm.report import collect_runs, group_runs
from oponm.report.classes import class_series
from tests.report.runs import full_result, result, store


def told(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the runs wrote."""
    return [{key: value for key, value in run.items() if key not in ("folder", "settings")} for run in runs]


def test_runs_come_in_order_of_their_paths(tmp_path):
    for seed, name in enumerate(("b/2", "a", "b/1", "c/deep/down")):
        store(tmp_path / name, result(seed=seed, name=name))
    runs, problems = collect_runs([tmp_path])
    assert [run["name"] for run in runs] == ["a", "b/1", "b/2", "c/deep/down"]
    assert problems == []


def test_the_folder_of_a_single_run_will_do(tmp_path):
    folder = store(tmp_path / "run", result())
    settings = {"method": "erm", "data": "digits_lt"}
    assert collect_runs([folder]) == ([{**result(), "folder": folder, "settings": settings}], [])


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
    assert problems == [f"{tmp_path / 'b'}: left out, repeats erm with seed 0 of {tmp_path / 'a'}"]
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
    assert told(runs) == [result()]
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
    assert told(runs) == [result()]
    assert problems == [f"{folder}: not finished" for folder in sorted(unfinished)]


def test_a_repeat_that_says_the_same_in_other_words_is_one(tmp_path):
    for name, said in (("a", ()), ("b", ("resume=auto",)), ("c", ("trainer.checkpoint_every_minutes=1",))):
        store(tmp_path / name, result(overrides=said))
    runs, problems = collect_runs([tmp_path])
    assert len(runs) == 1
    assert [problem.rpartition(" of ")[2] for problem in problems] == [str(tmp_path / "a")] * 2


def test_a_job_that_failed_is_listed_with_its_reason(tmp_path):
    store(tmp_path / "sweep/good", result())
    store(tmp_path / "sweep/deep/bad")
    jobs = [
        {"folder": "good", "status": "done", "reason": ""},
        {"folder": "deep/bad", "status": "failed", "reason": "the loss is not finite\nat step 3"},
        {"folder": "none", "status": "failed", "reason": "optimizer.lr: must be positive"},
    ]
    (tmp_path / "sweep/sweep.json").write_text(json.dumps({"jobs": jobs}))
    bad = f"{tmp_path / 'sweep/deep/bad'}: failed: the loss is not finite at step 3"
    assert collect_runs([tmp_path])[1] == [bad, f"{tmp_path / 'sweep/none'}: failed: optimizer.lr: must be positive"]
    assert collect_runs([tmp_path / "sweep/good", tmp_path / "sweep/deep/bad"])[1] == [bad]


@pytest.mark.parametrize("text", ["", "[]", '{"jobs": 3}', '{"jobs": [{"folder": 1}]}', '{"jobs": [3]}', "[" * 200_000])
def test_a_sweep_that_cannot_be_read_costs_no_run(tmp_path, text):
    store(tmp_path / "good", result())
    store(tmp_path / "bad")
    (tmp_path / "sweep.json").write_text(text)
    runs, problems = collect_runs([tmp_path])
    assert (len(runs), problems) == (1, [f"{tmp_path / 'bad'}: not finished"])


def test_a_result_without_a_config_is_listed(tmp_path):
    store(tmp_path / "good", result())
    (store(tmp_path / "other", result()) / "config.yaml").unlink()
    runs, problems = collect_runs([tmp_path])
    assert told(runs) == [result()]
    assert problems == [f"{tmp_path / 'other'}: left out (result.json without config.yaml)"]


@pytest.mark.parametrize("text", ["", "[1]", "seed: 0", "a: [", "\x00"], ids=repr)
def test_a_config_of_another_kind_is_listed(tmp_path, text):
    store(tmp_path / "good", result())
    (store(tmp_path / "other", result(seed=1)) / "config.yaml").write_text(text)
    runs, problems = collect_runs([tmp_path])
    assert told(runs) == [result()]
    assert [problem.startswith(f"{tmp_path / 'other/config.yaml'}: left out (") for problem in problems] == [True]


def test_folders_of_others_are_listed_once_each(tmp_path):
    (store(tmp_path / "sweep/good", result()) / "checkpoints").mkdir()
    (tmp_path / "lightning_logs/version_0/checkpoints").mkdir(parents=True)
    (tmp_path / "sweep/plots").mkdir()
    (tmp_path / "sweep/.jobs").mkdir()
    _, problems = collect_runs([tmp_path])
    strange = [tmp_path / "lightning_logs", tmp_path / "sweep/plots"]
    assert problems == [f"{folder}: left out (holds no run)" for folder in strange]


def test_many_folders_of_others_are_counted(tmp_path):
    store(tmp_path / "good", result())
    for number in range(25):
        (tmp_path / f"photos-{number:02}").mkdir()
    _, problems = collect_runs([tmp_path])
    assert problems[-1] == f"{tmp_path}: 5 more folders in it hold no run"
    assert len(problems) == 21


def test_one_missing_folder_of_several_is_listed(tmp_path):
    store(tmp_path / "good", result())
    runs, problems = collect_runs([tmp_path / "missing", tmp_path / "good"])
    assert told(runs) == [result()]
    assert problems == [f"{tmp_path / 'missing'}: no such folder; name the folder of a run, or one above several"]


def test_a_missing_folder_alone_is_refused(tmp_path):
    with pytest.raises(InputError) as error:
        collect_runs([tmp_path / "missing"])
    assert error.value.message.startswith(f"{tmp_path / 'missing'}: no such folder; ")


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


def test_all_that_is_unfinished_is_told_where_nothing_else_is(tmp_path):
    names = [store(tmp_path / f"run-{number}") for number in range(6)]
    with pytest.raises(InputError) as error:
        collect_runs([tmp_path, tmp_path / "missing"])
    assert all(f"{name}: not finished" in error.value.message for name in names)
    assert f"{tmp_path / 'missing'}: no such folder" in error.value.message


def test_the_config_that_wandb_keeps_is_no_run_of_its_own(tmp_path):
    folder = store(tmp_path / "run", result())
    store(folder / "wandb/offline-run-1/files")
    runs, problems = collect_runs([tmp_path])
    assert (told(runs), problems) == ([result()], [])


def test_runs_below_a_folder_called_wandb_are_runs(tmp_path):
    store(tmp_path / "wandb/run", result())
    assert len(collect_runs([tmp_path / "wandb"])[0]) == 1


def test_a_figure_that_cannot_be_drawn_costs_no_run(tmp_path):
    folder = store(tmp_path / "run", result(confusion_matrix=[[1]], noise_histogram=[3, 4]))
    runs, problems = collect_runs([tmp_path])
    assert told(runs) == [result(noise_histogram=[3, 4])]
    assert problems == [f"{folder}: confusion_matrix is not what a training run writes, and is not drawn"]


def test_a_confusion_matrix_lies_beside_the_result(tmp_path):
    matrix = [[6, 1, 3], [0, 10, 0], [4, 0, 4]]
    older = store(tmp_path / "older", full_result("erm", classes=3, confusion_matrix=matrix))
    newer = store(tmp_path / "newer", full_result("erm", classes=3, confusion_matrix="confusion_matrix.npz"))
    write_confusion(newer, csr_array(np.array(matrix)))
    drawn = []
    for folder in (older, newer):
        runs, problems = collect_runs([folder])
        assert problems == []
        drawn.append(class_series(group_runs(runs)[0], None)["confusion"])
    assert drawn[0] == drawn[1]
    (newer / "confusion_matrix.npz").write_bytes(b"damaged")
    assert "confusion" not in class_series(group_runs(collect_runs([newer])[0])[0], None)
    (newer / "confusion_matrix.npz").unlink()
    runs, problems = collect_runs([newer])
    assert problems == [f"{newer}: confusion_matrix.npz is missing, and is not drawn"]
    assert "confusion" not in class_series(group_runs(runs)[0], None)


def test_problems_are_single_lines_whatever_names_hold(tmp_path):
    store(tmp_path / "good", result())
    store(tmp_path / "a\nb\x1b[31m")
    _, problems = collect_runs([tmp_path])
    assert problems == [f"{tmp_path}/a b [31m: not finished"]


def test_nesting_without_end_is_listed(tmp_path):
    store(tmp_path / "good", result())
    store(tmp_path / "odd", "[" * 200_000)
    runs, problems = collect_runs([tmp_path])
    assert (told(runs), len(problems)) == ([result()], 1)


def test_an_evaluation_says_which_folder_to_give_instead(tmp_path):
    store(tmp_path / "eval", {**result(), "checkpoint": "/runs/open/checkpoints/last.ckpt", "evaluated": "test"})
    with pytest.raises(InputError, match=r"written by 'oponm eval': give .* training run instead, /runs/open\)"):
        collect_runs([tmp_path / "eval"])
    store(tmp_path / "run", result())
    runs, problems = collect_runs([tmp_path])
    assert len(runs) == 1
    assert [line.partition(":")[0] for line in problems] == [str(tmp_path / "eval/result.json")]
