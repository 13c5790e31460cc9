from __future__ import annotations

import torch

from oponm.noise import Batch


def test_natural_rows_first_moves_whole_rows():
    is_noise = torch.tensor([True, False, True, False])
    images, targets = torch.arange(4.0).view(4, 1, 1, 1), torch.arange(4)
    batch = Batch(images, targets, is_noise, targets + 10, targets / 4)
    ordered = batch.natural_first()
    assert ordered.images.flatten().tolist() == [1, 3, 0, 2]
    assert ordered.targets.tolist() == [1, 3, 0, 2]
    assert ordered.is_noise.tolist() == [False, False, True, True]
    assert ordered.partners.tolist() == [11, 13, 10, 12]
    assert ordered.shares.tolist() == [0.25, 0.75, 0, 0.5]


def test_a_batch_without_a_mask_stays():
    batch = Batch(torch.zeros(2, 1, 1, 1), torch.tensor([1, 0]))
    assert batch.natural_first() is batch
