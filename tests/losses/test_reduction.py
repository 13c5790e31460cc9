from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from oponm.errors import InputError
from oponm.losses import CrossEntropy, batch_loss, class_weights
from tests.losses.batches import COUNTS, LOSSES, batch_of

WEIGHT = class_weights(COUNTS, "effective_number")
each_loss = pytest.mark.parametrize(("make", "options"), LOSSES, ids=str)


def mixed_batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    logits, targets = batch_of(dtype=dtype)
    generator = torch.Generator().manual_seed(9)
    partners = targets[torch.randperm(len(targets), generator=generator)]
    return logits, targets, partners, torch.rand(len(targets), generator=generator)


def value_and_gradient(result: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    return result.detach(), torch.autograd.grad(result, logits)[0]


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("rows", [1, 37, 128, 1000])
def test_cross_entropy_is_torch_s_to_the_last_bit(rows, dtype, weight):
    for seed in range(20):
        logits, targets = batch_of(rows, dtype=dtype, seed=seed)
        logits.requires_grad_()
        result = value_and_gradient(batch_loss(CrossEntropy(COUNTS), logits, targets, weight), logits)
        torchs = F.cross_entropy(logits, targets, None if weight is None else weight.to(dtype))
        expected = value_and_gradient(torchs, logits)
        assert torch.equal(result[0], expected[0])
        assert torch.equal(result[1], expected[1])


@each_loss
def test_the_weighted_mean(make, options):
    logits, targets = batch_of()
    loss = make(COUNTS, **options)
    losses, weight = loss(logits, targets).tolist(), WEIGHT.tolist()
    total = sum(weight[t] * loss for t, loss in zip(targets.tolist(), losses, strict=True))
    expected = total / sum(weight[t] for t in targets.tolist())
    assert batch_loss(loss, logits, targets, WEIGHT).item() == pytest.approx(expected, rel=1e-6)
    assert batch_loss(loss, logits, targets).item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)


@each_loss
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_the_mean_over_mixed_images(make, options, weight):
    logits, targets, partners, shares = mixed_batch()
    loss = make(COUNTS, **options)
    first, second, w = loss(logits, targets), loss(logits, partners), [1.0] * 5 if weight is None else weight.tolist()
    above = below = 0.0
    for i, (t, p, s) in enumerate(zip(targets.tolist(), partners.tolist(), shares.tolist(), strict=True)):
        above += s * w[t] * first[i].item() + (1 - s) * w[p] * second[i].item()
        below += s * w[t] + (1 - s) * w[p]
    result = batch_loss(loss, logits, targets, weight, partners, shares)
    assert result.item() == pytest.approx(above / below, rel=1e-6)


def test_without_weights_mixed_images_have_mixed_targets():
    logits, targets, partners, shares = mixed_batch()
    logits.requires_grad_()
    mixed = shares[:, None] * F.one_hot(targets, 5) + (1 - shares[:, None]) * F.one_hot(partners, 5)
    expected = value_and_gradient(F.cross_entropy(logits, mixed.double()), logits)
    result = batch_loss(CrossEntropy(COUNTS), logits, targets, None, partners, shares)
    torch.testing.assert_close(value_and_gradient(result, logits), expected, rtol=1e-6, atol=1e-9)


@each_loss
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_a_share_of_0_or_1_is_no_mixture(make, options, weight):
    logits, targets, partners, _ = mixed_batch()
    logits.requires_grad_()
    loss, ones = make(COUNTS, **options), torch.ones(len(targets))
    for labels, shares in ((targets, ones), (partners, 1 - ones)):
        expected = value_and_gradient(batch_loss(loss, logits, labels, weight), logits)
        result = batch_loss(loss, logits, targets, weight, partners, shares)
        torch.testing.assert_close(value_and_gradient(result, logits), expected, rtol=1e-6, atol=1e-9)


@each_loss
def test_the_labels_of_a_mixture_can_change_places(make, options):
    logits, targets, partners, shares = mixed_batch()
    loss = make(COUNTS, **options)
    result = batch_loss(loss, logits, targets, WEIGHT, partners, shares)
    torch.testing.assert_close(batch_loss(loss, logits, partners, WEIGHT, targets, 1 - shares), result)


@each_loss
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("mixed", [False, True], ids=["unmixed", "mixed"])
def test_half_precision_is_averaged_in_single(make, options, weight, mixed):
    logits, targets, partners, shares = mixed_batch(torch.bfloat16)
    mixture = (partners, shares) if mixed else (None, None)
    loss = make(COUNTS, **options)
    result = batch_loss(loss, logits.requires_grad_(), targets, weight, *mixture)
    assert result.dtype == torch.float32
    assert torch.equal(result, batch_loss(loss, logits.float(), targets, weight, *mixture))
    assert torch.autograd.grad(result, logits)[0].isfinite().all()


def test_a_loss_of_one_s_own_sees_single_precision():
    seen = []

    def own(logits: Tensor, targets: Tensor) -> Tensor:
        seen.append(logits.dtype)
        return logits.square().sum(1)

    logits, targets = batch_of(dtype=torch.float16)
    result = batch_loss(own, logits, targets)
    assert seen == [torch.float32]
    torch.testing.assert_close(result, logits.float().square().sum(1).mean())


def test_autocast_gives_the_same():
    logits, targets, partners, shares = mixed_batch(torch.bfloat16)
    loss = CrossEntropy(COUNTS)
    for weight, mixture in ((None, ()), (WEIGHT, ()), (WEIGHT, (partners, shares))):
        expected = batch_loss(loss, logits, targets, weight, *mixture)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(batch_loss(loss, logits, targets, weight, *mixture), expected)


@pytest.mark.parametrize("lacking", ["partners", "shares"])
def test_half_a_mixture_is_refused(lacking):
    logits, targets, partners, shares = mixed_batch()
    mixture = {"partners": partners, "shares": shares, lacking: None}
    with pytest.raises(InputError, match="partners and shares go together"):
        batch_loss(CrossEntropy(COUNTS), logits, targets, **mixture)


def noise_of(targets: Tensor) -> Tensor:
    return torch.rand(len(targets), generator=torch.Generator().manual_seed(4)) < 0.3


@each_loss
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("mixed", [False, True], ids=["unmixed", "mixed"])
@pytest.mark.parametrize("noise_weight", [0.0, 0.3, 2.5])
def test_noise_rows_count_by_their_weight(make, options, weight, mixed, noise_weight):
    logits, targets, partners, shares = mixed_batch()
    noise, loss = noise_of(targets), make(COUNTS, **options)
    mixture = (partners, shares) if mixed else (None, None)
    w = [1.0] * 5 if weight is None else weight.tolist()
    first, second = loss(logits, targets).tolist(), loss(logits, partners).tolist()
    above = below = 0.0
    for i, (t, p) in enumerate(zip(targets.tolist(), partners.tolist(), strict=True)):
        s, v = (shares[i].item() if mixed else 1.0), (noise_weight if noise[i] else 1.0)
        above += v * (s * w[t] * first[i] + (1 - s) * w[p] * second[i])
        below += v * (s * w[t] + (1 - s) * w[p])
    result = batch_loss(loss, logits, targets, weight, *mixture, noise, noise_weight)
    assert result.item() == pytest.approx(above / below, rel=1e-6)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("mixed", [False, True], ids=["unmixed", "mixed"])
def test_a_weight_of_1_changes_no_bit(weight, mixed):
    logits, targets, partners, shares = mixed_batch(torch.float32)
    mixture = (partners, shares) if mixed else (None, None)
    loss = CrossEntropy(COUNTS)
    logits.requires_grad_()
    plain = value_and_gradient(batch_loss(loss, logits, targets, weight, *mixture), logits)
    given = value_and_gradient(batch_loss(loss, logits, targets, weight, *mixture, noise_of(targets), 1.0), logits)
    assert torch.equal(given[0], plain[0])
    assert torch.equal(given[1], plain[1])


def test_with_a_weight_of_0_the_loss_is_that_of_the_natural_rows():
    logits, targets = batch_of()
    logits.requires_grad_()
    noise = noise_of(targets)
    loss = batch_loss(CrossEntropy(COUNTS), logits, targets, is_noise=noise, noise_weight=0.0)
    value, gradient = value_and_gradient(loss, logits)
    expected = value_and_gradient(F.cross_entropy(logits[~noise], targets[~noise]), logits)
    torch.testing.assert_close((value, gradient), expected)
    assert not gradient[noise].any()


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("mixed", [False, True], ids=["unmixed", "mixed"])
def test_a_batch_in_which_no_row_counts_has_no_loss_and_no_gradient(weight, mixed):
    logits, targets, partners, shares = mixed_batch()
    logits.requires_grad_()
    mixture = (partners, shares) if mixed else (None, None)
    noise = torch.ones(len(targets), dtype=torch.bool)
    loss = batch_loss(CrossEntropy(COUNTS), logits, targets, weight, *mixture, noise, 0.0)
    value, gradient = value_and_gradient(loss, logits)
    assert value == 0
    assert not gradient.any()
    half = batch_loss(CrossEntropy(COUNTS), logits, targets, weight, *mixture, noise, 0.5)
    torch.testing.assert_close(half, batch_loss(CrossEntropy(COUNTS), logits, targets, weight, *mixture))
