"""Losses that are not finite, at chosen steps."""

from __future__ import annotations

import csv

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger

from oponm.errors import InputError
from oponm.training import PhaseCache, PhasePlan, train
from oponm.training.module import LongTailModule
from oponm.training.weights import load_state
from tests.training.small import OPEN, make_data, make_module

EPOCHS, STEPS = 4, 12


def spoil(monkeypatch, steps, value=float("nan")):
    """Make the images of some steps, counted from 0, what no network can use."""
    original = LongTailModule.training_step

    def training_step(self, batch, batch_idx):
        if self.trainer.global_step in steps and self.trainer.global_step not in done:
            done.add(self.trainer.global_step)
            batch = batch._replace(images=torch.full_like(batch.images, value))
        return original(self, batch, batch_idx)

    done: set[int] = set()
    monkeypatch.setattr(LongTailModule, "training_step", training_step)


def run(folder, optimizer=None, loggers=None, cache=None, state=None, **options):
    data = make_data(val="split", val_size=5)
    module = make_module(data)
    if optimizer:
        module.make_optimizer = optimizer
    plan = PhasePlan(OPEN, EPOCHS)
    result = train(module, data, plan, folder, loggers, cache, state, accelerator="cpu", **options)
    return module, result


def finite(folder, name="last.ckpt"):
    weights = torch.load(folder / "checkpoints" / name, weights_only=True)["state_dict"]
    return all(bool(tensor.isfinite().all()) for tensor in weights.values())


@pytest.mark.parametrize("every", [1, 2, None])
@pytest.mark.parametrize("step", [0, 4, 5, 11])
def test_stop_names_where_it_was_and_a_checkpoint_that_is_finite(tmp_path, monkeypatch, step, every):
    spoil(monkeypatch, {step})
    with pytest.raises(InputError, match=r"lower optimizer\.lr") as error:
        run(tmp_path, checkpoint_every_n_steps=every)
    words = str(error.value)
    assert f"step {step + 1}, epoch {step // 3}, phase " in words
    assert "learning rate 0.1" in words
    begun = 6 if step >= 6 else 0  # where the second phase began
    last = max(step // every * every if every else 0, begun)
    if last:
        assert f"last.ckpt, after step {last}" in words
        assert load_state(tmp_path / "checkpoints/last.ckpt")["global_step"] == last
        assert finite(tmp_path)
    else:
        assert "no checkpoint yet" in words
        assert not (tmp_path / "checkpoints/last.ckpt").exists()
    if step > 3:
        assert finite(tmp_path, "best.ckpt")


def test_weights_that_an_update_ruins_reach_no_checkpoint_and_no_cache(tmp_path):
    cache = PhaseCache(tmp_path / "phases")
    with pytest.raises(InputError, match="diverge"):
        run(tmp_path, lambda parts: torch.optim.SGD(parts, lr=1e38), cache=cache, checkpoint_every_n_steps=1)
    assert not (tmp_path / "checkpoints/last.ckpt").exists() or finite(tmp_path)
    assert cache.entries() == []


@pytest.mark.parametrize("optimizer", [None, torch.optim.Adam], ids=["sgd", "adam"])
@pytest.mark.parametrize("steps", [{0}, {4, 5}, {7}], ids=str)
def test_skipped_steps_change_nothing_and_are_counted(tmp_path, monkeypatch, steps, optimizer):
    spoil(monkeypatch, steps)
    loggers, cache = [CSVLogger(tmp_path, name="", version="")], PhaseCache(tmp_path / "phases")
    _, result = run(tmp_path, optimizer, loggers, cache, on_nonfinite="skip")
    assert result["skipped_steps"] == len(steps)
    assert finite(tmp_path)
    assert bool(cache.entries()) == (min(steps) > 5)  # the first phase is kept if nothing was skipped in it
    with (tmp_path / "metrics.csv").open() as file:
        logged = [float(row["skipped_steps"] or 0) for row in csv.DictReader(file) if row["train/loss"]]
    assert [sum(3 * epoch <= step < 3 * epoch + 3 for step in steps) for epoch in range(EPOCHS)] == logged[:EPOCHS]


@pytest.mark.parametrize("optimizer", [None, torch.optim.Adam], ids=["sgd", "adam"])
@pytest.mark.parametrize("step", [0, 1])
def test_after_a_skipped_step_all_is_as_before_it(tmp_path, monkeypatch, step, optimizer):
    """A step that is skipped leaves what a step that never was does: the next update is the same to the bit."""
    kept = []

    def keep(self, trainer, module, outputs, batch, batch_idx):
        original(self, trainer, module, outputs, batch, batch_idx)
        tensors = [*module.state_dict().values(), *module.train_rows.metric_state.values()]
        tensors += [value for state in trainer.optimizers[0].state.values() for value in state.values()]
        kept.append([tensor.clone() for tensor in tensors if isinstance(tensor, torch.Tensor)])

    from oponm.training.callbacks.nonfinite import NonFinite

    original = NonFinite.on_train_batch_end
    monkeypatch.setattr(NonFinite, "on_train_batch_end", keep)
    spoil(monkeypatch, {1, step}, float("inf"))
    run(tmp_path, optimizer, on_nonfinite="skip")
    before, after = kept[0], kept[1]
    assert len(before) == len(after)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert any(not torch.equal(one, other) for one, other in zip(kept[1], kept[2], strict=False))


def test_a_resumed_run_remembers_what_was_skipped(tmp_path, monkeypatch):
    spoil(monkeypatch, {2, 9})
    _, whole = run(tmp_path / "whole", on_nonfinite="skip")
    monkeypatch.undo()
    spoil(monkeypatch, {2})
    original = LongTailModule.on_train_epoch_start

    def killed(self):
        if self.current_epoch == 2:
            raise KeyError("as if killed")
        original(self)

    monkeypatch.setattr(LongTailModule, "on_train_epoch_start", killed)
    with pytest.raises(KeyError):
        run(tmp_path / "run", on_nonfinite="skip", checkpoint_every_n_steps=1)
    monkeypatch.undo()
    spoil(monkeypatch, {9})
    state = load_state(tmp_path / "run/checkpoints/last.ckpt")
    assert state["callbacks"]["NonFinite"]["skipped"] == 1
    _, resumed = run(tmp_path / "run", state=state, on_nonfinite="skip")
    assert resumed["skipped_steps"] == whole["skipped_steps"] == 2
    assert resumed["recall"] == whole["recall"]


def test_another_reaction_is_refused(tmp_path):
    with pytest.raises(InputError, match="must be one of stop, skip"):
        run(tmp_path, on_nonfinite="ignore")
