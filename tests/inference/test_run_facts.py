from __future__ import annotations

import json

from oponm.inference import RunFacts, read_run_facts

RESULT = {
    "metrics": {"accuracy": 0.5, "odd": None},
    "recall": [0.5, None],
    "epochs": 10,
    "content_digest": "d",
    "choices": {"method": "open"},
    "phases": [{"name": "instance", "start": 0}],
    "overrides": ["seed=1"],
    "validation": "test",
    "best": {"epoch": 6, "metrics": {"accuracy": 0.7}, "recall": [0.7, 0.7]},
}


def make_run(folder, result=RESULT):
    (folder / "checkpoints").mkdir()
    (folder / "result.json").write_text(json.dumps(result) if isinstance(result, dict) else result)
    (folder / "config.yaml").write_text("method: {phases: [{epochs: 5}]}")
    return folder / "checkpoints"


def test_last_and_best_have_results_of_their_own(tmp_path):
    folder = make_run(tmp_path)
    last, best = (read_run_facts(folder / name, "d") for name in ("last.ckpt", "best.ckpt"))
    assert (last.metrics, last.recall, last.epochs) == ({"accuracy": 0.5}, [0.5, None], 10)
    assert (best.metrics, best.recall, best.epochs) == ({"accuracy": 0.7}, [0.7, 0.7], 7)
    assert (last.phases, last.starts, last.overrides) == ([{"epochs": 5}], [0], ["seed=1"])
    assert last.tuned_on_test


def test_a_result_of_other_data_is_left_aside(tmp_path, caplog):
    assert read_run_facts(make_run(tmp_path) / "last.ckpt", "another") == RunFacts()
    assert "another training set" in caplog.text


def test_damaged_files_count_as_none(tmp_path):
    folder = make_run(tmp_path, "{broken")
    (tmp_path / "config.yaml").write_text("a: [")
    assert read_run_facts(folder / "last.ckpt", "d") == RunFacts()
    (tmp_path / "result.json").write_text(json.dumps({**RESULT, "metrics": 5, "recall": "x", "choices": None}))
    facts = read_run_facts(folder / "last.ckpt", "d")
    assert (facts.metrics, facts.recall, facts.choices, facts.phases) == ({}, [], {}, [])
