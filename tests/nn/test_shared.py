"""Plain batch norm whose noise rows give less gradient: the values of batch norm, the gradients of the oracle."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from oponm.nn import DARBatchNorm2d, convert_batchnorm, noise_routing, revert_batchnorm
from oponm.nn.routing import natural_route
from oponm.nn.shared import SharedBatchNorm1d, SharedBatchNorm2d, SharedBatchNorm3d
from tests.nn.oracle import standardize

CLASSES = {
    0: (SharedBatchNorm1d, nn.BatchNorm1d),
    1: (SharedBatchNorm1d, nn.BatchNorm1d),
    2: (SharedBatchNorm2d, nn.BatchNorm2d),
    3: (SharedBatchNorm3d, nn.BatchNorm3d),
}
MASKS = {
    "some": torch.tensor([False, True, False, False, True, False]),
    "behind": torch.arange(6) >= 4,
    "all": torch.ones(6, dtype=torch.bool),
    "none": torch.zeros(6, dtype=torch.bool),
}
readings = pytest.mark.parametrize("noise_grad", ["none", "input", "full"])
masks = pytest.mark.parametrize("mask", list(MASKS))


def rows(dims: int = 2, seed: int = 0, **options) -> torch.Tensor:
    return torch.randn(6, 3, *[4] * dims, generator=torch.Generator().manual_seed(seed)).to(**options) * 2 + 1


def layers(dims: int, noise_grad: str, **options) -> tuple[nn.Module, nn.Module]:
    shared, plain = CLASSES[dims]
    one, other = shared(3, noise_grad=noise_grad, **options), plain(3, **options)
    with torch.no_grad():
        for layer in (one, other):
            if layer.affine:
                layer.weight.copy_(torch.tensor([0.5, 1.5, -2.0]))
                layer.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    return one, other


def oracle(x, is_noise, weight, bias, noise_grad):
    """Row by row in float64: which of its ingredients each row may send a gradient to."""
    x, weight, bias = x.double(), weight.double(), bias.double()
    shape = [1, -1] + [1] * (x.dim() - 2)
    cut = [noise and noise_grad == "none" for noise in is_noise.tolist()]
    kept = torch.stack([row.detach() if constant else row for row, constant in zip(x, cut, strict=True)])
    standard = standardize(kept, 1e-5)
    output = []
    for row, noise in zip(standard, is_noise, strict=True):
        gamma, beta = weight.view(shape)[0], bias.view(shape)[0]
        if noise and noise_grad != "full":
            gamma, beta = gamma.detach(), beta.detach()
        output.append((row.detach() if noise and noise_grad == "none" else row) * gamma + beta)
    return torch.stack(output)


@pytest.mark.parametrize("dims", list(CLASSES))
@readings
@masks
@pytest.mark.parametrize("options", [{}, {"affine": False}, {"momentum": None}, {"dtype": torch.float64}], ids=str)
def test_values_and_running_statistics_are_those_of_batch_norm(dims, noise_grad, mask, options):
    shared, plain = layers(dims, noise_grad, **options)
    for seed in range(2):
        x = rows(dims, seed, dtype=options.get("dtype", torch.float32))
        with noise_routing(MASKS[mask]):
            torch.testing.assert_close(shared(x), plain(x), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(shared.state_dict(), plain.state_dict(), atol=1e-6, rtol=1e-5)
    assert torch.equal(shared.eval()(x), plain.load_state_dict(shared.state_dict()) and plain.eval()(x))


@pytest.mark.parametrize("dims", list(CLASSES))
@readings
@masks
def test_gradients_are_those_of_the_oracle(dims, noise_grad, mask):
    shared, _ = layers(dims, noise_grad, dtype=torch.float64)
    x = rows(dims, dtype=torch.float64).requires_grad_()
    weighing = rows(dims, seed=7, dtype=torch.float64)
    with noise_routing(MASKS[mask]):
        got = torch.autograd.grad((shared(x) * weighing).sum(), [x, shared.weight, shared.bias])
    loss = (oracle(x, MASKS[mask], shared.weight, shared.bias, noise_grad) * weighing).sum() + 0 * x.sum()
    expected = torch.autograd.grad(loss, [x, shared.weight, shared.bias], allow_unused=True)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, torch.zeros_like(one) if other is None else other, atol=1e-10, rtol=1e-8)


def test_gradcheck_where_nothing_is_cut():
    shared, _ = layers(2, "full", dtype=torch.float64)

    def apply(x, weight, bias):
        with noise_routing(MASKS["some"]):
            return torch.func.functional_call(shared, {"weight": weight, "bias": bias}, (x,))

    inputs = (rows(2, dtype=torch.float64)[..., :2, :2], shared.weight.detach(), shared.bias.detach())
    assert torch.autograd.gradcheck(apply, [each.clone().requires_grad_() for each in inputs])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_without_noise_in_any_process_it_is_the_other_kinds_to_the_bit(dtype):
    x, weight, bias = rows(dtype=dtype), torch.tensor([0.5, 1.5, -2.0]), torch.tensor([0.1, -0.2, 0.3])
    shared, dar = (kind(3, noise_grad="none") for kind in (SharedBatchNorm2d, DARBatchNorm2d))
    assert torch.equal(*(layer._normalize(x, natural_route(x), weight, bias, 1e-5).output for layer in (shared, dar)))


@pytest.mark.parametrize("noise_grad", ["none", "input"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_precision_and_memory_format_are_kept(noise_grad, dtype, layout):
    shared, plain = layers(2, noise_grad)
    x = rows(dtype=dtype).contiguous(memory_format=layout)
    with noise_routing(MASKS["some"]):
        output = shared(x)
    assert output.dtype == dtype
    assert output.is_contiguous(memory_format=layout)
    tolerance = 1e-5 if dtype == torch.float32 else 2**-8  # rounded once
    torch.testing.assert_close(output.float(), plain(x.float()), atol=1e-5, rtol=tolerance)


@pytest.mark.parametrize("noise_grad", ["none", "input"])
def test_a_recomputed_layer_counts_a_batch_once_and_gives_the_same_gradient(noise_grad):
    once, again = (layers(2, noise_grad)[0] for _ in range(2))
    grads = []
    for layer, run in ((once, lambda x: once(x)), (again, lambda x: checkpoint(again, x, use_reentrant=False))):
        x = rows().requires_grad_()
        with noise_routing(MASKS["some"]):
            output = run(x)
        output.pow(3).sum().backward()
        grads.append((x.grad, layer.weight.grad))
        assert layer.num_batches_tracked == 1
    torch.testing.assert_close(*grads, atol=0, rtol=0)


def test_it_comes_from_plain_layers_and_goes_back():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    state = copy.deepcopy(model.state_dict())
    assert type(convert_batchnorm(model, "standard", "none")[1]) is SharedBatchNorm2d
    assert repr(pickle.loads(pickle.dumps(model))) == repr(model)
    torch.testing.assert_close(model.state_dict(), state, atol=0, rtol=0)
    assert type(convert_batchnorm(model, "standard", "full")[1]) is nn.BatchNorm2d
    assert type(revert_batchnorm(convert_batchnorm(model, "standard", "input"))[1]) is nn.BatchNorm2d
