from __future__ import annotations

import importlib
import sys
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from oponm.data import ImageFolderLT
from oponm.losses import BalancedSoftmax, Focal
from oponm.nn import convert_batchnorm
from oponm.training import Phase, PhasePlan, make_trainer
from oponm.training.phase_key import VERSIONED, describe, phase_key
from tests.data.sources.packs import pictures
from tests.training.small import make_data, make_module

PLAIN = [Phase(2), Phase(2)]


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(scope="module")
def trainer():
    return make_trainer(accelerator="cpu")


def key(data, trainer, phases=PLAIN, epoch=2, change=lambda module: None, max_epochs=4, **options):
    module = make_module(data, **options)
    module.plan = PhasePlan(phases, max_epochs)
    change(module)
    return phase_key(module, data, trainer, epoch)


@pytest.mark.parametrize(
    "later",
    [
        Phase(2, "class_balanced"),
        Phase(2, "class_balanced", noise=True),
        Phase(2, loss=BalancedSoftmax),
        Phase(2, class_weights="effective_number"),
        Phase(2, trainable="classifier", reset_classifier=True),
    ],
)
def test_what_comes_later_does_not_matter(data, trainer, later):
    assert key(data, trainer, [Phase(2), later]) == key(data, trainer)
    assert key(data, trainer, [Phase(2), later], epoch=4) != key(data, trainer, epoch=4)


@pytest.mark.parametrize(
    "first",
    [
        Phase(2, "class_balanced"),
        Phase(2, noise=True),
        Phase(2, mixing=False),
        Phase(2, loss=Focal),
        Phase(2, loss=partial(Focal, gamma=1.0)),
        Phase(2, class_weights="inverse_frequency"),
        Phase(2, trainable="classifier"),
        Phase(2, schedule=partial(lambda max_epochs, rate: lambda epoch: rate, rate=0.5)),
    ],
)
def test_what_comes_before_does(data, trainer, first):
    assert key(data, trainer, [first, Phase(2)]) != key(data, trainer)


def test_the_kind_of_batch_norm_matters_once_there_was_noise(data, trainer):
    def standard(module):
        convert_batchnorm(module.model, kind="standard")

    noisy = [Phase(2, noise=True), Phase(2)]
    assert key(data, trainer, change=standard) == key(data, trainer)
    assert key(data, trainer, noise_grad="full") == key(data, trainer)
    assert key(data, trainer, noisy, change=standard) != key(data, trainer, noisy)
    assert key(data, trainer, noisy, noise_grad="full") != key(data, trainer, noisy)


def test_the_weight_of_noise_rows_is_in_the_key(data, trainer):
    plain, other, same = (
        [Phase(2, noise=True, **options), Phase(2)] for options in ({}, {"noise_loss": 0.5}, {"noise_loss": 1})
    )
    assert key(data, trainer, other) != key(data, trainer, plain)
    assert key(data, trainer, same) == key(data, trainer, plain)


def _seed(module):
    module.seed = 1


def _rate(module):
    module.make_optimizer = partial(torch.optim.SGD, lr=0.2, momentum=0.9)


def _schedule(module):
    module.schedule = lambda epoch: 0.5**epoch


def _loss(module):
    module.make_loss = BalancedSoftmax


def _weight(module):
    with torch.no_grad():
        next(module.model.parameters())[0] += 1e-6


def _structure(module):
    module.model[1] = nn.Dropout(0.3)


@pytest.mark.parametrize("change", [_seed, _rate, _schedule, _loss, _weight, _structure])
def test_what_determines_the_weights_is_in_the_key(data, trainer, change):
    assert key(data, trainer, change=change) != key(data, trainer)


def test_the_number_of_threads_is_in_the_key(data, trainer):
    before = key(data, trainer)
    torch.set_num_threads(torch.get_num_threads() + 1)
    try:
        assert key(data, trainer) != before
    finally:
        torch.set_num_threads(torch.get_num_threads() - 1)


def test_the_precision_is_in_the_key(data, trainer):
    assert key(data, make_trainer(accelerator="cpu", precision="bf16-mixed")) != key(data, trainer)


def test_the_kernel_of_batch_norm_is_in_the_key(data, trainer, monkeypatch):
    before = key(data, trainer)
    monkeypatch.setenv("OPONM_KERNEL", "torch")
    assert key(data, trainer) == before  # which is what auto means
    monkeypatch.setattr("oponm.training.phase_key.chosen_kernel", lambda: "triton")
    assert key(data, trainer) != before


def test_the_mode_of_the_compiler_is_in_the_key(data, trainer):
    def compiled(mode):
        def change(module):
            module.compiles, module.compile_mode = True, mode

        return key(data, trainer, change=change)

    assert len({key(data, trainer), compiled("default"), compiled("reduce-overhead")}) == 3


@pytest.mark.parametrize("packed", [False, True])
def test_pixels_of_files_that_are_streamed_are_in_the_key(trainer, tmp_path, packed):
    files = pictures(tmp_path / "photos")

    def images(**options):
        made = ImageFolderLT(
            tmp_path / "photos", image_size=8, in_memory=False, statistics="cifar10", val="split", val_size=1, **options
        )
        if packed:
            made.load_source().packing.make()
        made.setup()
        return made

    options = {"pack": tmp_path / "pack"} if packed else {}
    before = images(**options)
    found = key(before, trainer)
    assert key(images(**options), trainer) == found
    for file in files:
        Image.new("RGB", (20, 20)).save(file)
    after = images(**options)
    assert after.content_digest == before.content_digest
    assert key(after, trainer) != found


def test_the_decoder_is_in_the_key():
    assert {"pillow", "torchvision"} <= set(VERSIONED)


def test_descriptions():
    assert describe({"a": (1, None), "b": torch.tensor([1, 2])}) == {"a": [1, None], "b": [1, 2]}
    assert describe(np.float64(0.5)) == 0.5
    assert describe(partial(Focal, gamma=1.0))["keywords"] == {"gamma": 1.0}
    for unstable in (lambda: 0, object(), nn.Linear(1, 1)):
        with pytest.raises(NotImplementedError):
            describe(unstable)


class Thinned(nn.Module):
    """Keeps an option where neither its weights nor its text show it."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, features):
        return features * self.share


def test_an_option_that_a_network_keeps_to_itself_is_in_the_key(data, trainer):
    def thin(share):
        def change(module):
            module.model.append(Thinned(share))

        return change

    assert repr(Thinned(0.1)) == repr(Thinned(0.9))
    assert key(data, trainer, change=thin(0.1)) == key(data, trainer, change=thin(0.1))
    assert key(data, trainer, change=thin(0.1)) != key(data, trainer, change=thin(0.9))


def test_the_settings_of_a_network_are_in_the_key(data, trainer):
    """What a library does with them need not show in the network."""

    def made_with(**options):
        def change(module):
            module.model_config = {"_target_": "oponm.models.timm_model", "name": "vit_tiny", **options}

        return change

    assert key(data, trainer, change=made_with()) != key(data, trainer, change=made_with(drop_rate=0.5))


def test_what_a_user_froze_is_in_the_key(data, trainer):
    def freeze(module):
        next(module.model.parameters()).requires_grad_(False)

    assert key(data, trainer, change=freeze) != key(data, trainer)


@pytest.mark.parametrize("used_as", ["loss", "optimizer", "network", "phase"])
@pytest.mark.parametrize("edited", ["own_part", "own_basis"])
def test_a_users_own_code_is_in_the_key(data, trainer, tmp_path, monkeypatch, used_as, edited):
    (tmp_path / "own_part.py").write_text("from own_basis import number\n\ndef make(*things):\n    return number\n")
    (tmp_path / "own_basis.py").write_text("number = 1\n")
    monkeypatch.syspath_prepend(tmp_path)

    def found():
        for name in ("own_part", "own_basis"):
            sys.modules.pop(name, None)
        make = importlib.import_module("own_part").make

        def change(module):
            if used_as == "loss":
                module.make_loss = make
            elif used_as == "optimizer":
                module.make_optimizer = partial(make, 1)
            elif used_as == "network":
                module.model_config = {"_target_": "own_part.make"}

        if used_as != "phase":
            return key(data, trainer, change=change)
        module = make_module(data)  # made by hand, as the phase's loss is none that a module could follow
        module.plan = PhasePlan([Phase(2, loss=make), Phase(2)], 4)
        return phase_key(module, data, trainer, 2)

    before = found()
    assert found() == before
    (tmp_path / f"{edited}.py").write_text((tmp_path / f"{edited}.py").read_text() + "# edited\n")
    importlib.invalidate_caches()
    assert found() != before


def test_code_that_is_in_no_file_has_no_key(data, trainer, monkeypatch):
    def make(*things): ...

    make.__module__, make.__qualname__ = "__main__", "make"
    monkeypatch.setitem(sys.modules, "__main__", type(sys)("__main__"))

    def change(module):
        module.make_loss = make

    with pytest.raises(NotImplementedError, match="the code of __main__ is in no file"):
        key(data, trainer, change=change)
