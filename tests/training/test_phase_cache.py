from __future__ import annotations

import csv
import os
import time
from functools import partial

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.plugins import MixedPrecision

from oponm.data.augmentation import no_augmentation
from oponm.nn import convert_batchnorm
from oponm.training import Phase, PhaseCache, PhasePlan, train
from oponm.training.schedule import cosine_schedule
from tests.processes import CONTEXT
from tests.training.small import make_data, make_module

FIRST = Phase(2)
METHODS = {
    "erm": [FIRST, Phase(2)],
    "drs": [FIRST, Phase(2, "class_balanced")],
    "open": [FIRST, Phase(2, "class_balanced", noise=True)],
    "crt": [
        FIRST,
        Phase(1),
        Phase(
            1,
            "class_balanced",
            trainable="classifier",
            reset_classifier=True,
            schedule=partial(cosine_schedule, warmup_epochs=0),
        ),
    ],
    "lws": [FIRST, Phase(1, trainable="scale"), Phase(1)],
}


def run(folder, method, cache, seed=0, tau=None, shots=None, norm=None, optimizer=None, scaler=None, **options):
    data = make_data(seed, **options)
    module = make_module(data, seed)
    module.shots = shots or {}
    if norm:
        convert_batchnorm(module.model, *norm)
    if optimizer:
        module.make_optimizer = optimizer
    logger = CSVLogger(folder, name="", version="")
    plugins = [MixedPrecision("16-mixed", "cpu", scaler())] if scaler else []
    plan = PhasePlan(METHODS[method], 4, tau)
    result = train(module, data, plan, folder, [logger], cache, accelerator="cpu", plugins=plugins)
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return module.model.state_dict(), rows, result


def assert_equal_runs(one, other):
    for (name, tensor), expected in zip(one[0].items(), other[0].values(), strict=True):
        assert torch.equal(tensor, expected), name
    assert one[1] == other[1]
    assert one[2]["metrics"] == other[2]["metrics"]


@pytest.mark.parametrize("method", METHODS)
def test_forked_equals_scratch(tmp_path, method):
    cache = PhaseCache(tmp_path / "phases")
    scratch = run(tmp_path / "scratch", method, None)
    cold = run(tmp_path / "cold", method, cache)
    warm = run(tmp_path / "warm", method, cache)
    other = PhaseCache(tmp_path / "others")
    run(tmp_path / "other", "drs" if method != "drs" else "erm", other)
    forked = run(tmp_path / "forked", method, other)
    for result in (cold, warm, forked):
        assert_equal_runs(result, scratch)
    assert scratch[2]["reused"] is cold[2]["reused"] is None
    assert warm[2]["reused"]["epochs"] == PhasePlan(METHODS[method], 4).starts[-1]
    assert forked[2]["reused"]["epochs"] == 2
    assert warm[2]["reused"]["seconds"] > 0


def test_with_validation_the_best_epoch_comes_out_the_same(tmp_path):
    cache = PhaseCache(tmp_path / "phases")
    options = {"val": "split", "val_size": 5}
    scratch, cold, warm = (
        run(tmp_path / str(number), "open", kept, **options) for number, kept in enumerate([None, cache, cache])
    )
    assert_equal_runs(warm, scratch)
    assert scratch[2]["best"] == cold[2]["best"] == warm[2]["best"]
    assert sorted(path.name for path in (tmp_path / "2/checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


@pytest.mark.parametrize("other", [{"tau": 1.0}, {"shots": {"many_over": 30}}], ids=["tau", "shots"])
def test_what_is_validated_is_that_of_the_method_itself(tmp_path, other):
    cache = PhaseCache(tmp_path / "phases")
    split = {"val": "split", "val_size": 5}
    warm = run(tmp_path / "warm", "erm", cache, **split)
    scratch = run(tmp_path / "scratch", "erm", None, **split, **other)
    forked = run(tmp_path / "forked", "erm", cache, **split, **other)
    assert_equal_runs(forked, scratch)
    assert forked[2]["best"] == scratch[2]["best"]
    assert forked[1] != warm[1]
    assert run(tmp_path / "again", "erm", cache, **split, **other)[2]["reused"]


@pytest.mark.parametrize("other", [{"tau": 1.0}, {"shots": {"many_over": 30}}], ids=["tau", "shots"])
def test_without_validation_they_share_the_phase(tmp_path, other):
    cache = PhaseCache(tmp_path / "phases")
    run(tmp_path / "erm", "erm", cache)
    scratch = run(tmp_path / "scratch", "erm", None, **other)
    forked = run(tmp_path / "forked", "erm", cache, **other)
    assert_equal_runs(forked, scratch)
    assert forked[2]["reused"]["epochs"] == 2


@pytest.mark.parametrize(
    "options", [{"seed": 1}, {"batch_size": 64}, {"imbalance_ratio": 20}, {"augmentation": no_augmentation}]
)
def test_another_setting_does_not_reuse(tmp_path, options):
    cache = PhaseCache(tmp_path / "phases")
    run(tmp_path / "first", "erm", cache)
    assert run(tmp_path / "second", "erm", cache, **options)[2]["reused"] is None


SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=2e-4)
OPTIMIZERS = {"sgd": SGD, "fused": partial(SGD, fused=True), "adam": partial(torch.optim.Adam, lr=1e-3)}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "norm", [("aux", "full"), ("aux", "none"), ("standard", "none"), ("standard", "full")], ids=str
)
def test_every_kind_of_batch_norm_goes_on_from_the_same_phase(tmp_path, norm, optimizer):
    cache, chosen = PhaseCache(tmp_path / "phases"), {"optimizer": OPTIMIZERS[optimizer]}
    run(tmp_path / "plain", "drs", cache, **chosen)
    scratch = run(tmp_path / "scratch", "open", None, norm=norm, **chosen)
    forked = run(tmp_path / "forked", "open", cache, norm=norm, **chosen)
    assert_equal_runs(forked, scratch)
    assert forked[2]["reused"]["epochs"] == 2
    if norm == ("aux", "full"):
        auxiliary = [name for name in scratch[0] if name.endswith("aux_weight")]
        assert auxiliary
        assert all((scratch[0][name] != 1).any() for name in auxiliary)


def test_a_plain_network_goes_on_from_the_phase_of_one_with_auxiliary_batch_norm(tmp_path):
    cache = PhaseCache(tmp_path / "phases")
    run(tmp_path / "aux", "open", cache, norm=("aux", "full"))
    assert_equal_runs(run(tmp_path / "forked", "drs", cache), run(tmp_path / "scratch", "drs", None))
    assert len(cache.entries()) == 1


def own_factory(parameters):
    return SGD([*parameters])


@pytest.mark.parametrize(
    "options",
    [{"val": "split", "val_size": 5}, {"optimizer": own_factory}],
    ids=["validation", "a factory of one's own"],
)
def test_where_more_depends_on_auxiliary_batch_norm_its_phase_is_its_own(tmp_path, options):
    cache = PhaseCache(tmp_path / "phases")
    run(tmp_path / "plain", "drs", cache, **options)
    assert run(tmp_path / "other", "erm", cache, **options)[2]["reused"]
    own = run(tmp_path / "own", "open", cache, norm=("aux", "full"), **options)
    assert own[2]["reused"] is None
    assert_equal_runs(own, run(tmp_path / "scratch", "open", None, norm=("aux", "full"), **options))


def test_float16_scales_the_loss_of_fused_optimizers_whole(tmp_path):
    cache = PhaseCache(tmp_path / "phases")
    chosen = {"optimizer": OPTIMIZERS["fused"], "scaler": partial(torch.amp.GradScaler, "cpu", init_scale=2.0**8)}
    run(tmp_path / "plain", "drs", cache, **chosen)
    own = run(tmp_path / "own", "open", cache, norm=("aux", "full"), **chosen)
    assert own[2]["reused"] is None
    assert_equal_runs(own, run(tmp_path / "scratch", "open", None, norm=("aux", "full"), **chosen))


@pytest.mark.parametrize("damage", ["cut", "bytes", "text", "foreign"])
def test_a_damaged_phase_is_trained_anew(tmp_path, damage, caplog):
    cache = PhaseCache(tmp_path / "phases")
    scratch = run(tmp_path / "first", "drs", cache)
    (entry,) = (tmp_path / "phases").glob("*.phase")
    content = entry.read_bytes()
    spoilt = {
        "cut": content[: len(content) // 2],
        "bytes": content[:2000] + bytes(64) + content[2064:],
        "text": b"no phase",
    }
    if damage == "foreign":
        torch.save({"key": "another", "state": {}}, entry)
    else:
        entry.write_bytes(spoilt[damage])
    again = run(tmp_path / "second", "drs", cache)
    assert again[2]["reused"] is None
    assert "damaged" in caplog.text
    assert_equal_runs(again, scratch)
    assert run(tmp_path / "third", "drs", cache)[2]["reused"]["epochs"] == 2


def test_a_folder_that_cannot_be_written_costs_the_phase_and_not_the_run(tmp_path, caplog):
    (tmp_path / "phases").write_text("a file")
    result = run(tmp_path / "run", "erm", PhaseCache(tmp_path / "phases"))[2]
    assert result["reused"] is None
    assert "cannot be" in caplog.text


def test_an_interrupted_write_leaves_no_entry(tmp_path, monkeypatch):
    cache = PhaseCache(tmp_path)

    def fail(content, path):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    cache.save("key", {"epoch": 1})
    assert list(tmp_path.iterdir()) == []
    assert cache.load("key") is None


def _train_in_a_process(folder, cache_folder, results):
    torch.set_num_threads(1)
    weights, _, result = run(folder, "drs", PhaseCache(cache_folder))
    total = sum(float(tensor.double().sum()) for tensor in weights.values())
    results.put((result["reused"] is not None, total))


def test_of_two_at_once_one_trains_and_the_other_goes_on_from_there(tmp_path):
    results = CONTEXT.Queue()
    processes = [
        CONTEXT.Process(target=_train_in_a_process, args=(tmp_path / str(number), tmp_path / "phases", results))
        for number in range(2)
    ]
    for process in processes:
        process.start()
    reused, totals = zip(*(results.get(timeout=120) for _ in processes), strict=True)
    for process in processes:
        process.join()
    assert sorted(reused) == [False, True]
    assert totals[0] == totals[1]
    assert len(list((tmp_path / "phases").glob("*.phase"))) == 1


def _hold(folder, held):
    with PhaseCache(folder).training("key"):
        held.set()
        time.sleep(60)


def test_one_that_dies_does_not_keep_others_waiting(tmp_path):
    held = CONTEXT.Event()
    process = CONTEXT.Process(target=_hold, args=(tmp_path, held))
    process.start()
    assert held.wait(60)
    os.kill(process.pid, 9)
    process.join()
    with PhaseCache(tmp_path).training("key"):
        assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]


def test_entries_and_clear(tmp_path):
    cache = PhaseCache(tmp_path)
    assert cache.entries() == []
    cache.save("one", {"epoch": 1})
    cache.save("two", {"epoch": 2})
    (tmp_path / "notes.txt").write_text("not the cache's")
    entries = cache.entries()
    assert {entry.path.stem for entry in entries} == {"one", "two"}
    assert all(entry.size == entry.path.stat().st_size for entry in entries)
    assert cache.clear() == 2
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
