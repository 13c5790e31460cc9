"""No step waits for the device: nothing in it reads a value back or asks for a length that depends on values."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from oponm.data.mixing import Remix, cutmix, mixup
from oponm.data.noise import make_noise
from oponm.training import Phase, PhasePlan, train
from tests.training.small import make_data, make_module

# What makes the host wait on an accelerator: a value read back, or a shape that depends on values.
WAITING = ("_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "bincount")


class Waits(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket._qualified_op_name.removeprefix("aten::")
        by_mask = name in ("index", "index_put_") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if name in WAITING or by_mask:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


class Watch(pl.Callback):
    """Watches from the end of a step to the end of the next: data, hooks, logging and optimizer included."""

    def __init__(self) -> None:
        self.mode, self.steps = Waits(), []

    def on_train_epoch_start(self, *_):
        self.mode.__enter__()

    def on_train_batch_end(self, *_):
        self.steps.append(Counter(self.mode.seen))
        self.mode.seen.clear()

    def on_train_epoch_end(self, *_):
        self.mode.__exit__(None, None, None)


def waits(tmp_path, monkeypatch, phase: Phase, **options) -> list[Counter]:
    watch = Watch()
    data = make_data(**{"augmentation": lambda size: torch.nn.Identity(), **options})
    # As on an accelerator, where nobody looks at the mask, or at the labels.
    monkeypatch.setattr("oponm.noise.rows._check_range", lambda targets, num_classes: None)
    monkeypatch.setattr("oponm.nn.routing.leading_natural_rows", lambda is_noise: None)
    train(make_module(data), data, PhasePlan([phase], 1), tmp_path, callbacks=[watch], accelerator="cpu")
    assert len(watch.steps) == 3
    return watch.steps[1:]  # the first one's include the order of the epoch, which is drawn on the CPU


@pytest.mark.parametrize("phase", [Phase(1), Phase(1, "class_balanced", class_weights="effective_number")])
def test_plain_steps_wait_for_nothing(tmp_path, monkeypatch, phase):
    assert not any(waits(tmp_path, monkeypatch, phase))


@pytest.mark.parametrize("mode", ["replace", "append", "add"])
def test_steps_with_noise_wait_for_nothing(tmp_path, monkeypatch, mode):
    phase = Phase(1, "class_balanced", noise=True)
    assert not any(waits(tmp_path, monkeypatch, phase, noise=partial(make_noise, mode=mode)))


@pytest.mark.parametrize("mixing", [mixup, cutmix, Remix])
def test_steps_that_mix_images_wait_for_nothing(tmp_path, monkeypatch, mixing):
    phase = Phase(1, "class_balanced", noise=True, mixing=True)
    assert not any(waits(tmp_path, monkeypatch, phase, mixing=mixing))


def test_on_the_cpu_one_look_tells_whether_there_is_noise(tmp_path, monkeypatch):
    """It costs nothing there, and spares all layers the work where there is none; accelerators are not asked."""
    looked = []
    monkeypatch.setattr("oponm.nn.routing.leading_natural_rows", looked.append)
    data = make_data()
    train(make_module(data), data, PhasePlan([Phase(1, noise=True)], 1), tmp_path, accelerator="cpu")
    assert len(looked) == 3


def test_the_watch_sees_what_waits():
    with Waits() as mode:
        values = torch.tensor([1.0, 0.0])
        float(values.sum())
        values[values > 0]
        torch.where(values > 0)
    assert {"_local_scalar_dense", "index", "nonzero"} <= set(mode.seen)
