from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from oponm.errors import InputError
from oponm.models import SmallCNN
from oponm.nn import convert_batchnorm, noise_routing
from oponm.noise import Batch
from oponm.training import LongTailModule


def make(shots: dict[str, int] | None = None) -> LongTailModule:
    model = convert_batchnorm(SmallCNN(in_channels=1, width=4), noise_grad="full")
    module = LongTailModule(model, [100] * 5 + [5] * 5, shots=shots)
    module._trainer = None
    return module


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 1, 8, 8, generator=generator)
    return Batch(images, torch.arange(8), torch.arange(8) % 3 == 0)


def step(module: LongTailModule, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    monkeypatch.setattr(LongTailModule, "current_epoch", 0)
    monkeypatch.setattr(LongTailModule, "global_rank", 0)
    return module.training_step(batch, 0)


def test_the_loss_is_cross_entropy_of_the_routed_batch(batch, monkeypatch):
    module = make()
    loss = step(module, batch, monkeypatch)
    with noise_routing(batch.is_noise):
        expected = F.cross_entropy(module.model(batch.images), batch.targets)
    with noise_routing(None):
        plain = F.cross_entropy(module.model(batch.images), batch.targets)
    assert torch.equal(loss, expected)
    assert not torch.equal(loss, plain)


def test_accuracy_counts_natural_rows_only(batch, monkeypatch):
    module = make()
    logits = F.one_hot(torch.where(batch.is_noise, 9, batch.targets), 10).float()
    monkeypatch.setattr(SmallCNN, "forward", lambda self, images: logits.requires_grad_())
    step(module, batch, monkeypatch)
    assert module.train_accuracy.compute() == 1
    assert module.noise_share.compute() == pytest.approx(3 / 8)


def test_without_a_mask_every_row_is_natural(batch, monkeypatch):
    module = make()
    step(module, batch._replace(is_noise=None), monkeypatch)
    assert module.noise_share.compute() == 0


def test_thresholds_are_checked_before_training():
    with pytest.raises(InputError, match="many_over"):
        make({"many_over": 1, "few_under": 20})
