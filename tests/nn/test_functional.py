from __future__ import annotations

import pytest
import torch

from oponm.errors import InputError
from oponm.nn import routed_batch_norm
from tests.nn.oracle import dar_batch_norm

SHAPES = [(8, 3), (8, 3, 5), (8, 3, 4, 6), (8, 3, 1, 1), (6, 2, 2, 3, 4)]
MASKS = {
    "unsorted": [1, 3, 4],
    "sorted": [5, 6, 7],
    "first": [0],
    "one_natural": [0, 1, 2, 3, 4, 6, 7],
    "empty": [],
    "full": list(range(8)),
}
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 4e-2}


def make_mask(rows: list[int], length: int) -> torch.Tensor:
    mask = torch.zeros(length, dtype=torch.bool)
    mask[[row for row in rows if row < length]] = True
    return mask


def make_input(shape: tuple[int, ...], dtype: torch.dtype, memory_format: torch.memory_format) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64) * 2 + 1.5
    return x.to(dtype).contiguous(memory_format=memory_format) if len(shape) == 4 else x.to(dtype)


@pytest.mark.parametrize("noise_grad", ["none", "input", "full"])
@pytest.mark.parametrize("rows", MASKS.values(), ids=MASKS.keys())
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("aux", [False, True], ids=["shared", "aux"])
def test_output_and_gradients_match_the_oracle(shape, rows, dtype, noise_grad, aux):
    for memory_format in (torch.contiguous_format, torch.channels_last)[: 2 if len(shape) == 4 else 1]:
        x = make_input(shape, dtype, memory_format).requires_grad_()
        parameters = [torch.linspace(0.5, 1.5, shape[1]), torch.linspace(-1, 1, shape[1])]
        parameters += [torch.linspace(2, 1, shape[1]), torch.linspace(1, 2, shape[1])] if aux else []
        parameters = [
            p.to(torch.float64 if dtype == torch.float64 else torch.float32).requires_grad_() for p in parameters
        ]
        is_noise = make_mask(rows, shape[0])
        head = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

        output = routed_batch_norm(x, is_noise, *parameters, noise_grad=noise_grad).output
        grads = torch.autograd.grad((output.double() * head).sum(), [x, *parameters])
        weight, bias, *noise_affine = parameters
        reference = dar_batch_norm(x, is_noise, weight, bias, noise_grad, 1e-5, *noise_affine)
        expected = torch.autograd.grad(
            (reference * head).sum() + 0 * x.sum(), [x, *parameters], allow_unused=True, materialize_grads=True
        )

        assert output.dtype == dtype
        tolerance = {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
        torch.testing.assert_close(output.double(), reference, **tolerance)
        for grad, reference_grad in zip(grads, expected, strict=True):
            scale = reference_grad.abs().max().clamp(min=1).double()
            torch.testing.assert_close(grad.double() / scale, reference_grad.double() / scale, **tolerance)


@pytest.mark.parametrize("rows", [[1, 3], [], [0, 1, 2, 3, 4]], ids=["mixed", "empty", "full"])
@pytest.mark.parametrize("shape", [(5, 2), (5, 2, 2, 2)], ids=str)
def test_gradcheck_of_the_full_reading(shape, rows):
    x = make_input(shape, torch.float64, torch.contiguous_format).requires_grad_()
    weight = torch.tensor([0.7, 1.3], dtype=torch.float64, requires_grad=True)
    bias = torch.tensor([0.1, -0.4], dtype=torch.float64, requires_grad=True)
    is_noise = make_mask(rows, 5)
    assert torch.autograd.gradcheck(
        lambda *inputs: routed_batch_norm(inputs[0], is_noise, *inputs[1:], noise_grad="full").output, (x, weight, bias)
    )


def test_statistics_of_both_groups():
    x = make_input((8, 3, 4, 4), torch.float64, torch.contiguous_format)
    is_noise = make_mask([2, 5, 6], 8)
    routed = routed_batch_norm(x, is_noise)
    for group, rows in enumerate((x[~is_noise], x[is_noise])):
        torch.testing.assert_close(routed.mean[group], rows.mean((0, 2, 3)))
        torch.testing.assert_close(routed.var[group], rows.var((0, 2, 3), correction=0))
    assert routed.numel.tolist() == [80, 48]


def test_natural_rows_do_not_depend_on_noise_rows():
    x = make_input((8, 3, 4, 4), torch.float32, torch.contiguous_format)
    is_noise = make_mask([2, 5], 8)
    spoilt = x.clone()
    spoilt[is_noise] = torch.nan
    torch.testing.assert_close(
        routed_batch_norm(spoilt, is_noise).output[~is_noise], routed_batch_norm(x, is_noise).output[~is_noise]
    )


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("deviation", [0.1, 1.0])
def test_far_from_zero_statistics_keep_their_digits(memory_format, deviation):
    unit = torch.randn((8, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    x = (deviation * unit + 1000).contiguous(memory_format=memory_format).requires_grad_()
    head = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight, is_noise = torch.ones(3, requires_grad=True), make_mask([2, 5], 8)
    routed = routed_batch_norm(x, is_noise, weight, torch.zeros(3), noise_grad="full")
    exact = x.detach().double().requires_grad_()
    reference = dar_batch_norm(exact, is_noise, weight, torch.zeros(3), "full")
    tolerance = {"atol": 2e-4 / deviation, "rtol": 1e-3}  # a digit of x is worth 6e-5 there
    torch.testing.assert_close(routed.output.double(), reference, **tolerance)
    torch.testing.assert_close(
        routed.var[1].double(), x.detach().double()[is_noise].var((0, 2, 3), correction=0), atol=0, rtol=1e-4
    )
    grads = torch.autograd.grad((routed.output.double() * head).sum(), (x, weight))
    expected = torch.autograd.grad((reference * head).sum(), (exact, weight))
    torch.testing.assert_close(grads[0].double() * deviation, expected[0] * deviation, **tolerance)
    torch.testing.assert_close(grads[1], expected[1], atol=5e-3 / deviation, rtol=1e-3)


def test_a_gradient_that_is_one_number_repeated():
    x = make_input((8, 3, 4, 4), torch.float64, torch.contiguous_format).requires_grad_()
    weight, is_noise = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64, requires_grad=True), make_mask([2, 5], 8)
    output = routed_batch_norm(x, is_noise, weight).output
    grads = torch.autograd.grad(output.sum(), (x, weight))
    for grad in grads:
        torch.testing.assert_close(grad, torch.zeros_like(grad), atol=1e-10, rtol=0)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_memory_format_is_kept(memory_format):
    x = make_input((8, 3, 4, 6), torch.float32, memory_format).requires_grad_()
    output = routed_batch_norm(x, make_mask([1], 8)).output
    (grad,) = torch.autograd.grad(output.square().sum(), x)
    assert output.is_contiguous(memory_format=memory_format)
    assert grad.is_contiguous(memory_format=memory_format)


def test_a_single_value_becomes_the_bias():
    x = torch.tensor([[1.0], [3.0], [1e6]])
    output = routed_batch_norm(x, make_mask([2], 3), torch.tensor([2.0]), torch.tensor([0.25])).output
    assert output[2].item() == 0.25


def test_no_second_derivative_is_promised():
    x = torch.randn(4, 2, requires_grad=True)
    (grad,) = torch.autograd.grad(routed_batch_norm(x, make_mask([1], 4)).output.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"noise_grad": "some"}, "none, input, full"),
        ({"is_noise": torch.zeros(3, dtype=torch.bool)}, "shape"),
    ],
)
def test_bad_input(changes, words):
    with pytest.raises(InputError, match=words):
        routed_batch_norm(**{"x": torch.zeros(4, 2), "is_noise": torch.zeros(4, dtype=torch.bool), **changes})
