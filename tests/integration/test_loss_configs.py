from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from oponm import losses
from oponm.losses import batch_loss
from tests.losses.batches import COUNTS, batch_of

FILES = sorted((Path(__file__).parents[2] / "conf/loss").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_choice_makes_a_loss_with_its_defaults(path):
    logits, targets = batch_of()
    loss = instantiate(OmegaConf.load(path))(COUNTS)
    result = batch_loss(loss, logits, targets)
    assert result.isfinite()
    assert torch.equal(result, batch_loss(type(loss)(COUNTS), logits, targets))


def test_every_loss_has_its_file():
    made = {type(instantiate(OmegaConf.load(path))(COUNTS)).__name__ for path in FILES}
    assert made == {name for name in losses.__all__ if isinstance(getattr(losses, name), type)}
