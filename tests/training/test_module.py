from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from oponm.errors import InputError
from oponm.models import SmallCNN
from oponm.nn import convert_batchnorm, noise_routing
from oponm.noise import Batch
from oponm.training import LongTailModule, Phase


def make(shots: dict[str, int] | None = None) -> LongTailModule:
    model = convert_batchnorm(SmallCNN(in_channels=1, width=4), noise_grad="full")
    module = LongTailModule(model, class_counts=[100] * 5 + [5] * 5, shots=shots)
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


def answering(monkeypatch: pytest.MonkeyPatch, labels: torch.Tensor) -> torch.Tensor:
    logits = 3 * F.one_hot(labels, 10).float()
    monkeypatch.setattr(SmallCNN, "forward", lambda self, images: logits.requires_grad_())
    return logits.detach()


def test_natural_and_noise_rows_are_counted_apart(batch, monkeypatch):
    module = make()
    logits = answering(monkeypatch, torch.where(batch.is_noise & (batch.targets > 0), 9, batch.targets))
    loss = step(module, batch, monkeypatch)
    losses = F.cross_entropy(logits, batch.targets, reduction="none")
    assert {name: float(value) for name, value in module.train_rows.compute().items()} == pytest.approx(
        {
            "loss_natural": float(losses[~batch.is_noise].mean()),
            "accuracy_natural": 1,
            "loss_noise": float(losses[batch.is_noise].mean()),
            "accuracy_noise": 1 / 3,
            "noise_share": 3 / 8,
        }
    )
    assert module.train_loss.compute() == pytest.approx(loss.item())


def test_without_a_mask_every_row_is_natural(batch, monkeypatch):
    module = make()
    loss = step(module, batch._replace(is_noise=None), monkeypatch)
    rows = module.train_rows.compute()
    assert set(rows) == {"loss_natural", "accuracy_natural", "noise_share"}
    assert rows["noise_share"] == 0
    assert rows["loss_natural"] == pytest.approx(loss.item())


def test_the_epoch_s_loss_weighs_batches_by_their_rows(batch, monkeypatch):
    module = make()
    parts = [batch, batch._replace(images=batch.images[:2], targets=batch.targets[:2], is_noise=batch.is_noise[:2])]
    losses = [step(module, part, monkeypatch).item() for part in parts]
    assert module.train_loss.compute() == pytest.approx((8 * losses[0] + 2 * losses[1]) / 10)


def test_class_weights_are_in_the_loss_of_the_epoch_and_not_in_those_of_rows(batch, monkeypatch):
    module = make()
    module.follow(Phase(1, class_weights="effective_number"))
    logits = answering(monkeypatch, torch.zeros_like(batch.targets))
    loss = step(module, batch._replace(is_noise=None), monkeypatch)
    plain = F.cross_entropy(logits, batch.targets)
    assert abs(loss.item() - plain.item()) > 0.01
    assert module.train_loss.compute() == pytest.approx(loss.item())
    assert module.train_rows.compute()["loss_natural"] == pytest.approx(plain.item())


def test_the_loss_of_a_mixed_row_is_that_of_both_labels(batch, monkeypatch):
    module = make()
    answering(monkeypatch, torch.zeros_like(batch.targets))
    shares = torch.linspace(0, 1, 8)
    mixed = batch._replace(is_noise=None, partners=batch.targets.flip(0), shares=shares)
    loss = step(module, mixed, monkeypatch)
    assert module.train_rows.compute()["loss_natural"] == pytest.approx(loss.item(), rel=1e-5)


def test_a_loss_that_is_not_finite_is_not_left_out(batch, monkeypatch):
    module = make()
    step(module, batch, monkeypatch)
    step(module, batch._replace(images=batch.images * float("nan")), monkeypatch)
    assert not module.train_loss.compute().isfinite()


def test_counting_never_waits_for_the_device(batch):
    module = make()
    logits = torch.zeros(8, 10, device="meta")  # where a look at a value raises
    for metric in (module.train_loss, module.train_rows):
        metric.to("meta")
    batch = Batch(*(part.to("meta") for part in batch[:3]), batch.targets.to("meta"), torch.ones(8, device="meta"))
    module._count(logits.sum(), logits, batch, module.loss)
    assert module.train_rows._update_count == 1


def test_thresholds_are_checked_before_training():
    with pytest.raises(InputError, match="many_over"):
        make({"many_over": 1, "few_under": 20})


def test_a_network_of_which_nothing_can_be_trained_is_refused():
    module = LongTailModule(SmallCNN(10, in_channels=1).requires_grad_(False), class_counts=[10] * 10)
    with pytest.raises(InputError, match="model has no parameter that requires a gradient"):
        module.configure_optimizers()
