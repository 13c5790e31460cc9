from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from oponm import losses
from oponm.losses import batch_loss
from oponm.rng import derived_randomness
from oponm.training.features import logits_and_loss
from tests.losses.batches import COUNTS, batch_of

HEAD = torch.nn.Linear(len(COUNTS), len(COUNTS)).double()
FILES = sorted((Path(__file__).parents[2] / "conf/loss").glob("*.yaml"))


def measured(loss):
    logits, targets = batch_of()
    with derived_randomness(0, "test"):
        _, row_loss = logits_and_loss(lambda: HEAD(logits), loss, HEAD, len(COUNTS))
        return batch_loss(row_loss, logits, targets)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_choice_makes_a_loss_with_its_defaults(path):
    made = instantiate(OmegaConf.load(path))(COUNTS)
    result, expected = (measured(loss) for loss in (made, type(made)(COUNTS)))
    assert result.isfinite()
    assert torch.equal(result, expected)


def test_every_loss_has_its_file():
    made = {type(instantiate(OmegaConf.load(path))(COUNTS)).__name__ for path in FILES}
    assert made == {name for name in losses.__all__ if isinstance(getattr(losses, name), type)}
