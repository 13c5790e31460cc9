from __future__ import annotations

import pytest
import torch

from oponm.metrics import RowMetrics


def batch_of(rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(3, rows, generator=generator)
    return 5 * uniform[0], uniform[1] < 0.6, uniform[2] < 0.3


def test_means_are_those_of_the_rows_of_each_kind():
    metric, batches = RowMetrics(), [batch_of(128, seed) for seed in range(4)] + [batch_of(7)]
    for batch in batches:
        metric.update(*batch)
    losses, correct, is_noise = (torch.cat(parts).double() for parts in zip(*batches, strict=True))
    noise, natural = is_noise.bool(), ~is_noise.bool()
    assert {name: float(value) for name, value in metric.compute().items()} == pytest.approx(
        {
            "loss_natural": float(losses[natural].mean()),
            "accuracy_natural": float(correct[natural].mean()),
            "loss_noise": float(losses[noise].mean()),
            "accuracy_noise": float(correct[noise].mean()),
            "noise_share": float(is_noise.mean()),
        },
        rel=1e-5,
    )


@pytest.mark.parametrize(("noise", "absent", "share"), [(False, "noise", 0), (True, "natural", 1)])
def test_a_kind_that_did_not_occur_is_absent(noise, absent, share):
    metric, (losses, correct, _) = RowMetrics(), batch_of(8)
    metric.update(losses, correct, torch.full((8,), noise))
    values = metric.compute()
    assert len(values) == 3
    assert not any(absent in name for name in values if name != "noise_share")
    assert values["noise_share"] == share


def test_without_a_mask_every_row_is_natural():
    metric, other, (losses, correct, _) = RowMetrics(), RowMetrics(), batch_of(8)
    metric.update(losses, correct)
    other.update(losses, correct, torch.zeros(8, dtype=torch.bool))
    assert metric.compute() == other.compute()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stays_with_its_kind(bad):
    metric = RowMetrics()
    metric.update(torch.tensor([bad, 1.0]), torch.tensor([True, True]), torch.tensor([False, True]))
    values = metric.compute()
    assert not values["loss_natural"].isfinite()
    assert values["loss_noise"] == 1


def test_a_reset_forgets():
    metric = RowMetrics()
    metric.update(*batch_of(8))
    metric.reset()
    metric.update(*batch_of(8, seed=1))
    other = RowMetrics()
    other.update(*batch_of(8, seed=1))
    assert metric.compute() == other.compute()


def test_counting_never_waits_for_the_device():
    metric = RowMetrics().to("meta")  # where a look at a value raises
    metric.update(*(part.to("meta") for part in batch_of(8)))
    metric.update(*(part.to("meta") for part in batch_of(8)[:2]))
    with pytest.raises(NotImplementedError):
        metric.compute()
