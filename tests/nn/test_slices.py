"""What batches in order gain must not change what comes out; the oracle's tests cover the values themselves."""

from __future__ import annotations

import copy

import pytest
import torch

from oponm.nn import AuxBatchNorm2d, DARBatchNorm2d, functional, noise_routing, slices
from oponm.nn.routing import noise_route, open_route
from oponm.nn.slices import leading_natural_rows, sliced_batch_norm, suits_slices
from tests.nn.oracle import dar_batch_norm

CHANNELS_LAST = torch.channels_last


@pytest.mark.parametrize(
    ("mask", "natural"), [([0, 0, 1], 2), ([0, 0, 0], 3), ([1, 1, 1], 0), ([0, 1, 0], None), ([1, 0, 0], None)]
)
def test_rows_in_order(mask, natural):
    assert leading_natural_rows(torch.tensor(mask, dtype=torch.bool)) == natural


@pytest.mark.parametrize(
    ("shape", "natural", "suits"),
    [
        ((4, 3, 8, 8), 3, True),
        ((4, 3, 8, 8), None, False),
        ((4, 3, 8, 8), 0, True),
        ((4, 3, 1, 1), 3, False),  # a group of one value has no variance
        ((4, 3, 1, 1), 2, True),
        ((0, 3, 8, 8), 0, False),
    ],
)
def test_what_suits(shape, natural, suits):
    assert suits_slices(torch.zeros(shape).contiguous(memory_format=CHANNELS_LAST), natural) is suits


@pytest.fixture(params=[False, True], ids=["small", "large"])
def sizes(request, monkeypatch):
    """Both ways to the gradient of the input, whatever the size."""
    monkeypatch.setattr(slices, "_LARGE", 0 if request.param else 2**60)


@pytest.fixture
def calls(monkeypatch):
    counted = []
    monkeypatch.setattr(functional, "sliced_batch_norm", lambda *args: counted.append(1) or sliced_batch_norm(*args))
    return counted


@pytest.mark.parametrize(("rows", "sliced"), [([6, 7], True), ([0, 7], False)])
def test_a_layer_takes_slices_for_rows_in_order(calls, rows, sliced):
    is_noise = torch.zeros(8, dtype=torch.bool)
    is_noise[rows] = True
    layer = DARBatchNorm2d(3)
    with noise_routing(is_noise):
        layer(torch.randn(8, 3, 4, 4).contiguous(memory_format=CHANNELS_LAST))
    assert bool(calls) is sliced


@pytest.mark.parametrize("kind", [DARBatchNorm2d, AuxBatchNorm2d])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(8, 3, 4, 4), (3, 3, 1, 1)])  # the latter has one row of noise, of one value
def test_noise_rows_by_themselves_come_out_as_beside_natural_ones(kind, affine, dtype, shape):
    x = torch.randn(shape, dtype=dtype).contiguous(memory_format=CHANNELS_LAST)
    layer = kind(3, affine=affine).to(torch.float64 if dtype == torch.float64 else torch.float32)
    for part in layer.parameters():
        part.data.uniform_()
    with noise_routing(torch.arange(len(x)) >= 2):
        beside = layer(x)[2:]
    before = copy.deepcopy(layer.state_dict())
    with torch.no_grad(), open_route(noise_route(x[2:])):
        alone = layer(x[2:])
    torch.testing.assert_close(alone, beside, atol=0, rtol=0 if shape[2] > 1 else 1e-6)
    assert alone.is_contiguous(memory_format=CHANNELS_LAST)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("noise_grad", ["none", "input", "full"])
@pytest.mark.parametrize("frozen", ["nothing", "input", "affine"])
def test_frozen_parts_get_no_gradient(noise_grad, frozen):
    x = torch.randn(6, 3, 4, 4, dtype=torch.float64).contiguous(memory_format=CHANNELS_LAST)
    x.requires_grad_(frozen != "input")
    affine = [torch.rand(3, dtype=torch.float64).requires_grad_(frozen != "affine") for _ in range(2)]
    head = torch.randn(6, 3, 4, 4, dtype=torch.float64)
    is_noise = torch.arange(6) >= 4
    output = sliced_batch_norm(x, 4, *affine, None, None, 1e-5, noise_grad)[0]
    reference = dar_batch_norm(x, is_noise, *affine, noise_grad)
    wanted = [part for part in (x, *affine) if part.requires_grad]
    grads = torch.autograd.grad((output * head).sum(), wanted)
    for grad, expected in zip(grads, torch.autograd.grad((reference * head).sum(), wanted), strict=True):
        torch.testing.assert_close(grad, expected, atol=1e-11, rtol=1e-11)


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("natural", [0, 3, 5])
def test_gradcheck(natural):
    x = torch.randn(5, 2, 2, 2, dtype=torch.float64).contiguous(memory_format=CHANNELS_LAST).requires_grad_()
    affine = [torch.rand(2, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    assert torch.autograd.gradcheck(
        lambda *of: sliced_batch_norm(of[0], natural, *of[1:], 1e-5, "full")[0], (x, *affine)
    )


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("noise_grad", ["none", "input", "full"])
@pytest.mark.parametrize("natural", [0, 2, 6])
@pytest.mark.parametrize("shape", [(6, 3, 7, 7), (6, 1, 5, 5), (6, 1500, 2, 3), (6, 16, 32, 32), (8, 4, 1, 1)], ids=str)
def test_maps_of_any_size_have_the_gradient_of_the_reference(shape, natural, noise_grad):
    """Pixels are taken together by a divisor of their number, of which some maps have few."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).contiguous(memory_format=CHANNELS_LAST).requires_grad_()
    affine = [torch.rand(shape[1], generator=generator).requires_grad_() for _ in range(2)]
    head = torch.randn(shape, generator=generator)
    mine = sliced_batch_norm(x, natural, *affine, None, None, 1e-5, noise_grad)[0]
    theirs = dar_batch_norm(x, torch.arange(len(x)) >= natural, *affine, noise_grad)
    leaves, head = [x, *affine], head.contiguous(memory_format=CHANNELS_LAST)
    found = torch.autograd.grad((mine * head).sum(), leaves)
    nothing = sum(0 * leaf.sum() for leaf in leaves)  # where no leaf has a part in the loss
    expected = torch.autograd.grad((theirs * head.double()).sum() + nothing, leaves)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("affine_dtype", [torch.float32, torch.bfloat16, None], ids=str)
def test_half_precision_keeps_statistics_in_float32(affine_dtype):
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(8, 3, 16, 16, generator=generator) + 8).bfloat16().contiguous(memory_format=CHANNELS_LAST)
    affine = [None, None] if affine_dtype is None else [torch.ones(3, dtype=affine_dtype) for _ in range(2)]
    output, mean, var, _ = sliced_batch_norm(x.requires_grad_(), 6, *affine, None, None, 1e-5, "full")
    output.sum().backward()
    assert (output.dtype, mean.dtype, x.grad.dtype) == (torch.bfloat16, torch.float32, torch.bfloat16)
    for group, rows in enumerate((x.double()[:6], x.double()[6:])):
        torch.testing.assert_close(mean[group].double(), rows.mean((0, 2, 3)), rtol=1e-6, atol=0)
        torch.testing.assert_close(var[group].double(), rows.var((0, 2, 3), correction=0), rtol=1e-5, atol=0)
