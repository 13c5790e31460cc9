from __future__ import annotations

import csv
import os
import resource
import signal
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.plugins import MixedPrecision

from oponm.data.loader import DecodingFailed, Loader
from oponm.errors import InputError
from oponm.losses import Equalization, InfluenceBalanced, LabelAwareSmoothing
from oponm.signals import Stopped
from oponm.training import Phase, PhaseCache, PhasePlan, train
from oponm.training.callbacks.checkpoint import save_whole
from oponm.training.schedule import cosine_schedule
from oponm.training.weights import load_state
from tests.training.small import make_data, make_module

METHODS = {
    "open": [Phase(2), Phase(2, "class_balanced", noise=True)],
    "crt": [Phase(2), Phase(2, trainable="classifier", reset_classifier=True, schedule=cosine_schedule)],
    "lws": [Phase(1), Phase(2, trainable="scale"), Phase(1)],
    "max_norm": [Phase(2), Phase(2, trainable="classifier", batchnorm="batch", weight_decay=0.1, max_norm=0.1)],
    "losses": [  # one that draws, one that takes features, and rates apart
        Phase(1, loss=partial(Equalization, threshold=0.2)),
        Phase(1, loss=InfluenceBalanced, lr_factor=0.01),
        Phase(2, "class_balanced", trainable="scaled_classifier", lr_factor=0.5, loss=LabelAwareSmoothing),
    ],
}
STEPS = 12  # 4 epochs of 3


class Killed(BaseException):
    """As SIGKILL: nothing is written after it."""


class KillAt(pl.Callback):
    changes_nothing = True

    def __init__(self, step: int, when: str) -> None:
        self.step, self.when = step, when

    def _kill(self, trainer):
        if trainer.global_step == self.step:
            raise Killed

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if self.when == "step":
            self._kill(trainer)

    def on_validation_start(self, trainer, module):
        if self.when == "validation":
            self._kill(trainer)

    def on_train_epoch_end(self, trainer, module):
        if self.when == "epoch end":
            self._kill(trainer)


def run(folder: Path, method: str, resume=None, kill: KillAt | None = None, cache=None, every=1, **options):
    data = make_data(val="split", val_size=5)
    module = make_module(data)
    state = load_state(folder / "checkpoints/last.ckpt") if resume else None
    plan, loggers = PhasePlan(METHODS[method], 4), [CSVLogger(folder, name="", version="")]
    result = train(
        *(module, data, plan, folder, loggers, cache, state),
        checkpoint_every_n_steps=every,
        callbacks=[kill] if kill else [],
        accelerator="cpu",
        **options,
    )
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return module.model.state_dict(), rows, result


def assert_same(one, other):
    for (name, tensor), expected in zip(one[0].items(), other[0].values(), strict=True):
        assert torch.equal(tensor, expected), name
    assert one[1] == other[1]
    timeless = [{key: value for key, value in part[2].items() if key != "train_seconds"} for part in (one, other)]
    assert timeless[0] == timeless[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return {method: run(tmp_path_factory.mktemp(method), method) for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("step", [1, 2, 3, 5, 6, 7, 9, 11])
def test_killed_at_a_step_it_goes_on_to_the_same_end(tmp_path, whole, method, step):
    with pytest.raises(Killed):
        run(tmp_path, method, kill=KillAt(step, "step"))
    # What is due after the last step of an epoch is written when the next one begins.
    assert load_state(tmp_path / "checkpoints/last.ckpt")["global_step"] == step
    assert_same(run(tmp_path, method, resume=True), whole[method])


@pytest.mark.parametrize("when", ["validation", "epoch end"])
@pytest.mark.parametrize("step", [3, 6, 12])
def test_killed_between_epochs(tmp_path, whole, when, step):
    with pytest.raises(Killed):
        run(tmp_path, "lws", kill=KillAt(step, when))
    assert_same(run(tmp_path, "lws", resume=True), whole["lws"])


@pytest.mark.parametrize("step", [1, 4, 6, 8])
def test_where_a_process_that_decodes_was_lost_it_goes_on_from_the_last_step(tmp_path, monkeypatch, whole, step):
    read, given = Loader.__iter__, []

    def lost(loader):
        batches = read(loader)
        for _ in range(len(loader)):
            if loader.images.__dict__.get("training", True) and len(loader.batches) == 3:
                if len(given) == step:
                    raise DecodingFailed
                given.append(step)
            if (batch := next(batches, None)) is None:
                return
            yield batch

    monkeypatch.setattr(Loader, "__iter__", lost)
    with pytest.raises(DecodingFailed):
        run(tmp_path, "open", checkpoint_every=timedelta(hours=1), every=None)
    monkeypatch.undo()
    assert load_state(tmp_path / "checkpoints/last.ckpt")["global_step"] == step
    assert_same(run(tmp_path, "open", resume=True), whole["open"])


def test_killed_again_and_again(tmp_path, whole):
    for number, step in enumerate([2, 2, 4, 5, 5, 8, 10]):
        with pytest.raises(Killed):
            run(tmp_path, "open", resume=number > 0, kill=KillAt(step, "step"))
    assert_same(run(tmp_path, "open", resume=True), whole["open"])


@pytest.mark.parametrize("steps", [range(1, 12), [3, 3, 4], [3, 3, 3, 5], [6, 6, 6], [4, 4, 6, 6, 9, 9]], ids=str)
def test_killed_at_the_same_place_again(tmp_path, whole, steps):
    for number, step in enumerate(steps):
        with pytest.raises(Killed):
            run(tmp_path, "open", resume=number > 0, kill=KillAt(step, "step"))
    assert_same(run(tmp_path, "open", resume=True), whole["open"])


def test_killed_when_training_was_over(tmp_path, whole):
    run(tmp_path, "open")
    assert_same(run(tmp_path, "open", resume=True), whole["open"])


def test_a_resumed_run_still_leaves_its_later_phases_for_others(tmp_path, whole):
    cache = PhaseCache(tmp_path / "phases")
    with pytest.raises(Killed):
        run(tmp_path / "run", "open", kill=KillAt(4, "step"), cache=cache)
    assert cache.entries() == []
    resumed = run(tmp_path / "run", "open", resume=True, cache=cache)
    assert_same(resumed, whole["open"])
    other = run(tmp_path / "other", "open", cache=cache)
    assert other[2]["reused"]["epochs"] == 2
    assert other[1] == whole["open"][1]


def test_a_run_that_began_in_the_cache_remembers_it(tmp_path, whole):
    cache = PhaseCache(tmp_path / "phases")
    run(tmp_path / "first", "open", cache=cache)
    with pytest.raises(Killed):
        run(tmp_path / "run", "open", kill=KillAt(8, "step"), cache=cache)
    resumed = run(tmp_path / "run", "open", resume=True, cache=cache)
    assert resumed[2]["reused"]["epochs"] == 2
    assert resumed[1] == whole["open"][1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT])
def test_a_signal_ends_the_run_after_its_step(tmp_path, whole, number):
    class Send(KillAt):
        def _kill(self, trainer):
            if trainer.global_step == self.step:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=number.name):
        run(tmp_path, "open", kill=Send(4, "step"))
    assert signal.getsignal(number) == before
    assert load_state(tmp_path / "checkpoints/last.ckpt")["global_step"] == 5
    assert_same(run(tmp_path, "open", resume=True), whole["open"])


def test_the_scale_of_half_precision_goes_on_where_it_was(tmp_path):
    """Begun anew it would be too large again, and the first steps would be skipped."""

    def half() -> dict:
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=4)
        return {"plugins": [MixedPrecision("16-mixed", "cpu", scaler)]}

    expected = run(tmp_path / "whole", "open", **half())
    for step in (5, 8):
        with pytest.raises(Killed):
            run(tmp_path / "run", "open", step > 5, KillAt(step, "step"), **half())
        scale = load_state(tmp_path / "run/checkpoints/last.ckpt")["MixedPrecision"]["scale"]
        assert 0 < scale < 2.0**24
    assert_same(run(tmp_path / "run", "open", resume=True, **half()), expected)


def test_a_signal_in_the_last_step_counts_too(tmp_path, whole):
    class Send(KillAt):
        def _kill(self, trainer):
            if trainer.global_step == self.step:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped) as stop:
        run(tmp_path, "open", kill=Send(STEPS - 1, "step"))
    assert stop.value.step == STEPS
    assert load_state(tmp_path / "checkpoints/last.ckpt")["epoch"] == 4
    assert_same(run(tmp_path, "open", resume=True), whole["open"])


def test_a_second_interruption_does_not_wait(tmp_path):
    class SendTwice(KillAt):
        def _kill(self, trainer):
            if trainer.global_step == self.step:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(tmp_path, "open", kill=SendTwice(4, "step"))
    assert load_state(tmp_path / "checkpoints/last.ckpt")["global_step"] == 4


def test_a_write_that_fails_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    save_whole({"epoch": 1}, path)

    def fail(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(InputError, match=r"No space left.*the checkpoint before it is whole"):
        save_whole({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_file_that_grows_beyond_what_there_is_room_for(tmp_path):
    path = tmp_path / "last.ckpt"
    save_whole({"epoch": 1}, path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(InputError, match="the checkpoint before it is whole"):
            save_whole({"weights": torch.zeros(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


class Hostile:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    torch.save({"state_dict": {"weight": torch.ones(1)}, "training": Hostile(tmp_path / "ran")}, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match="holds more than tensors"):
        load_state(tmp_path / "last.ckpt")
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "last.ckpt", weights_only=False)
    assert (tmp_path / "ran").exists()  # as it would have


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save_whole({}, tmp_path / "checkpoints/last.ckpt")


def test_weights_alone_are_nothing_to_resume_from(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match="no state of training"):
        load_state(tmp_path / "last.ckpt")


def test_a_run_without_an_interval_writes_where_a_phase_begins_and_at_its_end(tmp_path):
    data = make_data()
    written = []
    original = torch.save
    torch.save = lambda content, file: written.append(content) or original(content, file)
    try:
        train(
            *(make_module(data), data, PhasePlan(METHODS["open"], 4), tmp_path),
            checkpoint_every=timedelta(hours=1),
            accelerator="cpu",
        )
    finally:
        torch.save = original
    border = PhasePlan(METHODS["open"], 4).starts[1]
    assert [content["epoch"] for content in written] == [border, 4]
    assert written[0]["training"]["border"] == border


def test_partial_schedules_are_called_with_the_length_of_their_phase():
    plan = PhasePlan([Phase(2), Phase(2, schedule=partial(cosine_schedule, warmup_epochs=1))], 4)
    assert plan.rate(2, lambda epoch: 9.0) == 1.0
