from __future__ import annotations

import pytest
import torch

from oponm.nn import groups
from oponm.nn.groups import make_groups


@pytest.mark.parametrize("eager_cpu", [True, False])
def test_sums_keep_to_their_rows(eager_cpu, monkeypatch):
    monkeypatch.setattr(groups, "on_eager_cpu", lambda x: eager_cpu)
    table = torch.tensor([[1.0, torch.nan], [10.0, 2.0], [100.0, 3.0]])
    sums = make_groups(torch.tensor([False, True, True])).sums(table)
    torch.testing.assert_close(sums, torch.tensor([[1.0, torch.nan], [110.0, 5.0]]), equal_nan=True)


@pytest.mark.parametrize(("mask", "rows", "divisor"), [([True] * 3, [0, 3], [1, 3]), ([], [0, 0], [1, 1])])
def test_a_group_without_rows(mask, rows, divisor):
    made = make_groups(torch.tensor(mask, dtype=torch.bool))
    assert made.rows.flatten().tolist() == rows
    assert made.divisor.flatten().tolist() == divisor
