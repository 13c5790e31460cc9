"""The two groups of rows in a batch, natural (0) and noise (1), and sums over each of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from oponm.nn.row_sums import on_eager_cpu


class Groups(NamedTuple):
    """The group of each row, made once for all layers of a forward pass.

    Attributes:
        of_row: (N,), int64, the group of each row.
        rows: (2, 1), int64, the size of each group.
        divisor: (2, 1), int64, the same but at least 1.
        member: (2, N, 1), bool, whether a row belongs to a group.
    """

    of_row: Tensor
    rows: Tensor
    divisor: Tensor
    member: Tensor

    def sums(self, table: Tensor) -> Tensor:
        """Sum the rows of a table over each group; other rows have no effect, even if they are NaN.

        Args:
            table: (N, C).

        Returns:
            (2, C).
        """
        if on_eager_cpu(table):
            return table.new_zeros(2, table.shape[1]).index_add_(0, self.of_row, table)
        # On an accelerator, index_add_ adds in varying order.
        return torch.where(self.member, table, 0).sum(1)

    def lines(self, table: Tensor) -> Tensor:
        """Return for each row of the batch the table's row of its group, ``table[of_row]``.

        Args:
            table: (2, C), values of the natural and of the noise group.

        Returns:
            (N, C).
        """
        return table.index_select(0, self.of_row)


def make_groups(is_noise: Tensor) -> Groups:
    """Make the groups of a batch's rows.

    Args:
        is_noise: (N,), bool.

    Returns:
        The groups, on the device of ``is_noise``; no value is copied to the CPU.

    Example:
        >>> groups = make_groups(torch.tensor([False, True, False]))
        >>> groups.rows.flatten().tolist()
        [2, 1]
        >>> groups.sums(torch.tensor([[1.0], [10.0], [100.0]])).flatten().tolist()
        [101.0, 10.0]
        >>> groups.lines(torch.tensor([[0.5], [2.5]])).flatten().tolist()
        [0.5, 2.5, 0.5]
    """
    noise = is_noise.sum()
    rows = torch.stack([len(is_noise) - noise, noise]).unsqueeze(1)
    member = torch.stack([is_noise.logical_not(), is_noise]).unsqueeze(-1)
    return Groups(is_noise.long(), rows, rows.clamp(min=1), member)
