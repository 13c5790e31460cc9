from __future__ import annotations

import pytest
import torch

from oponm.nn import row_sums

SHAPES = [(6, 3), (6, 3, 5), (6, 3, 4, 2), (6, 3, 2, 2, 2)]


@pytest.fixture(params=SHAPES, ids=str)
def tensors(request):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(request.param, generator=generator, dtype=torch.float64) + 2 for _ in range(2)]


@pytest.fixture(params=["eager CPU", "elsewhere"], autouse=True)
def place(request, monkeypatch):
    if request.param == "elsewhere":
        monkeypatch.setattr(row_sums, "on_eager_cpu", lambda x: False)


def test_moments_of_rows(tensors):
    values, _ = tensors
    mean, variance = row_sums.row_moments(values, torch.full_like(values, torch.nan))
    maps = values.flatten(2) if values.dim() > 2 else values.unsqueeze(2)
    torch.testing.assert_close(mean, maps.mean(2))
    torch.testing.assert_close(variance, maps.var(2, correction=0))


def test_products_of_rows(tensors):
    grad, values = tensors
    center = torch.arange(18, dtype=torch.float64).view(6, 3)
    products = row_sums.twice_row_products(grad, values, center, torch.full_like(grad, torch.nan))
    maps = (grad * (values - row_sums.as_map(center, values))).reshape(6, 3, -1)
    torch.testing.assert_close(products, 2 * maps.sum(2))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_scale_and_shift_of_each_map(memory_format):
    values = torch.randn(4, 3, 2, 5).contiguous(memory_format=memory_format)
    scale, shift, out = torch.randn(4, 3, 1, 1), torch.randn(4, 3, 1, 1), torch.full_like(values, torch.nan)
    assert row_sums.scale_and_shift(values, scale, shift, out) is out
    torch.testing.assert_close(out, values * scale + shift)
