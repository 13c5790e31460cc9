from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from oponm.errors import InputError
from oponm.losses import (
    CDT,
    GCL,
    LADE,
    LDAM,
    BalancedSoftmax,
    CrossEntropy,
    Equalization,
    Focal,
    InfluenceBalanced,
    LabelAwareSmoothing,
    LogitAdjustment,
    VectorScaling,
    batch_loss,
)
from tests.losses import oracle
from tests.losses.batches import COUNTS, DRAWN_OR_JOINT, LOSSES, UnitFeatures, batch_of

FORMULAS = {
    CrossEntropy: oracle.cross_entropy,
    Focal: oracle.focal,
    LDAM: oracle.ldam,
    BalancedSoftmax: oracle.balanced_softmax,
    LogitAdjustment: oracle.logit_adjustment,
    LabelAwareSmoothing: oracle.label_aware_smoothing,
    VectorScaling: oracle.vector_scaling,
    CDT: oracle.cdt,
    UnitFeatures: oracle.influence_balanced,
}
MADE = [*FORMULAS, GCL, LADE, Equalization]
by_row = pytest.mark.parametrize(("make", "options"), LOSSES, ids=str)
each_loss = pytest.mark.parametrize(("make", "options"), [*LOSSES, *DRAWN_OR_JOINT], ids=str)


@by_row
def test_the_formula(make, options):
    logits, targets = batch_of()
    counts = np.array(COUNTS, dtype=np.float64)
    expected = [
        FORMULAS[make](row.copy(), target, counts, **options)
        for row, target in zip(logits.numpy(), targets.tolist(), strict=True)
    ]
    losses = make(COUNTS, **options)(logits, targets)
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-12)


@each_loss
def test_the_gradient_is_that_of_the_loss(make, options):
    logits, targets = batch_of(rows=8)
    loss = make(COUNTS, **options)
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), logits.requires_grad_())


@by_row
def test_the_order_of_rows_changes_nothing(make, options):
    logits, targets = batch_of(dtype=torch.float32)
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(1))
    loss = make(COUNTS, **options)
    torch.testing.assert_close(loss(logits[order], targets[order]), loss(logits, targets)[order], rtol=1e-6, atol=1e-6)


@by_row
def test_a_row_does_not_see_the_others(make, options):
    logits, targets = batch_of()
    loss = make(COUNTS, **options)
    alone = torch.cat([loss(logits[i : i + 1], targets[i : i + 1]) for i in range(len(targets))])
    torch.testing.assert_close(alone, loss(logits, targets))


@each_loss
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("counts", [[10**7, 1], [1, 10**7], [1, 1], [10**7, 10**7]], ids=str)
def test_loss_and_gradient_are_finite_whatever_the_logits(make, options, dtype, counts):
    rows = [[a, b] for a in (-1e4, 0, 1e-4, 17, 1e4) for b in (-1e4, 0, 1e4)]
    logits = torch.tensor(rows * 2, dtype=dtype, requires_grad=True)
    targets = torch.arange(2).repeat_interleave(len(rows))
    losses = make(counts, **options)(logits, targets)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert losses.isfinite().all()
    assert make is LADE or (losses >= 0).all()
    assert losses.max() > 100
    assert gradient.isfinite().all()


@each_loss
def test_half_precision_is_computed_in_single(make, options):
    logits, targets = batch_of(dtype=torch.bfloat16)
    loss = make(COUNTS, **options)
    assert loss(logits, targets).dtype == torch.float32
    assert torch.equal(loss(logits, targets), loss(logits.float(), targets))


@each_loss
def test_a_model_s_precision_leaves_the_loss_as_it_is(make, options):
    logits, targets = batch_of()
    loss = make(COUNTS, **options)
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        assert torch.equal(copy.deepcopy(loss).to(dtype)(logits, targets), loss(logits, targets))


@each_loss
def test_the_default_precision_leaves_the_loss_as_it_is(make, options):
    logits, targets = batch_of(dtype=torch.float32)
    expected = make(COUNTS, **options)(logits, targets)
    torch.set_default_dtype(torch.bfloat16)
    try:
        losses = make(COUNTS, **options)(logits, targets)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(losses, expected)


@each_loss
def test_it_has_no_state_and_follows_the_device(make, options):
    loss = make(COUNTS, **options)
    assert not loss.state_dict()
    assert not list(loss.parameters())
    assert {tensor.device.type for tensor in loss.to("meta").buffers()} <= {"meta"}


@each_loss
def test_it_can_be_pickled(make, options):
    logits, targets = batch_of()
    loss = make(COUNTS, **options)
    assert torch.equal(pickle.loads(pickle.dumps(loss))(logits, targets), loss(logits, targets))


@each_loss
def test_an_empty_batch_has_no_losses(make, options):
    assert make(COUNTS, **options)(*batch_of(rows=0)).shape == (0,)


@by_row
def test_one_class_costs_nothing(make, options):
    logits = torch.tensor([[3.0], [-3.0]], requires_grad=True)
    losses = make([10], **options)(logits, torch.tensor([0, 0]))
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert losses.tolist() == [0, 0]
    assert gradient.tolist() == [[0], [0]]


@each_loss
def test_the_logits_are_left_as_they_were(make, options):
    logits, targets = batch_of()
    before = logits.clone()
    make(COUNTS, **options)(logits, targets)
    assert torch.equal(logits, before)


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
@pytest.mark.parametrize("counts", [[10, 0], [10, -1], [10.0, 5.0], [10.5, 5], [], [[10, 5]]], ids=str)
def test_counts_without_an_image_are_refused(make, counts):
    with pytest.raises(InputError, match="class_counts must be one whole number for each class") as error:
        make(counts)
    assert error.value.key == "class_counts"


@pytest.mark.parametrize(
    ("make", "key", "value", "words"),
    [
        (CrossEntropy, "label_smoothing", -0.1, r"must lie in \[0, 1\], got -0.1"),
        (CrossEntropy, "label_smoothing", 1, "must be below 1, got 1"),
        (CrossEntropy, "label_smoothing", 1.5, r"must lie in \[0, 1\], got 1.5"),
        (CrossEntropy, "label_smoothing", "0.1", r"must lie in \[0, 1\], got '0.1'"),
        (CrossEntropy, "label_smoothing", None, r"must lie in \[0, 1\], got None"),
        (Focal, "gamma", -1, "must be a number of at least 0, got -1"),
        (Focal, "gamma", float("nan"), "must be a number of at least 0, got nan"),
        (LDAM, "max_margin", 0, "must be above 0, got 0"),
        (LDAM, "max_margin", -0.5, "must be a number of at least 0, got -0.5"),
        (LDAM, "scale", 0.0, "must be above 0, got 0"),
        (LDAM, "scale", float("inf"), "must be a number of at least 0, got inf"),
        (LogitAdjustment, "tau", -0.5, "must be a number of at least 0, got -0.5"),
        (LogitAdjustment, "tau", True, "must be a number of at least 0, got True"),
        (LabelAwareSmoothing, "head", 1, "must be below 1, got 1"),
        (LabelAwareSmoothing, "tail", -0.1, r"must lie in \[0, 1\], got -0.1"),
        (LabelAwareSmoothing, "form", "cubic", "must be one of concave, linear, convex, exponential, got 'cubic'"),
        (LabelAwareSmoothing, "form", "exponential", "is the exponent of form=exponential: give both or neither"),
        (LabelAwareSmoothing, "power", 2.0, "is the exponent of form=exponential: give both or neither"),
        (VectorScaling, "gamma", -1, "must be a number of at least 0, got -1"),
        (VectorScaling, "tau", None, "must be a number of at least 0, got None"),
        (CDT, "gamma", "0.2", "must be a number of at least 0, got '0.2'"),
        (LADE, "alpha", -0.1, "must be a number of at least 0, got -0.1"),
        (LADE, "regularization", -0.1, "must be a number of at least 0, got -0.1"),
        (InfluenceBalanced, "alpha", 0, "must be above 0, got 0"),
        (InfluenceBalanced, "constant_influence", 1, "must be true or false, got 1"),
        (InfluenceBalanced, "epsilon", 0, "must be above 0, got 0"),
        (Equalization, "gamma", 1.5, r"must lie in \[0, 1\], got 1.5"),
        (Equalization, "threshold", -0.5, r"must lie in \[0, 1\], got -0.5"),
        (GCL, "amplitude", -0.5, "must be a number of at least 0, got -0.5"),
        (GCL, "margin", -0.5, "must be a number of at least 0, got -0.5"),
        (GCL, "scale", 0, "must be above 0, got 0"),
    ],
)
def test_options_out_of_range_are_refused(make, key, value, words):
    at_fault = "power" if "exponent of form" in words else key
    with pytest.raises(InputError, match=f"^{at_fault} {words}$") as error:
        make(COUNTS, **{key: value})
    assert error.value.key == at_fault


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@by_row
def test_it_is_the_same_on_cuda(make, options):
    logits, targets = batch_of()
    loss = make(COUNTS, **options)
    expected = batch_loss(loss, logits, targets)
    result = batch_loss(loss.cuda(), logits.cuda(), targets.cuda())
    torch.testing.assert_close(result.cpu(), expected)
