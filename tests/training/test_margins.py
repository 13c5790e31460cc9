from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from oponm.data import DigitsLT
from oponm.errors import InputError
from oponm.losses import GCL, LDAM, CrossEntropy
from oponm.models import CosineClassifier, SmallCNN, timm_model, with_head
from oponm.training import Phase, fit
from oponm.training.margins import check_margins

COUNTS = [100, 50, 10, 5, 2, 2, 2]


class Own(nn.Module):
    """A network whose last layer normalizes in a way of its own."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Parameter(torch.randn(7, 4))

    def forward(self, images):
        return 30 * nn.functional.normalize(images.flatten(1)[:, :4]) @ nn.functional.normalize(self.rows).T


@pytest.mark.parametrize("loss", [LDAM, GCL])
@pytest.mark.parametrize("make", [SmallCNN, partial(timm_model, "resnet18")], ids=["own", "timm"])
def test_a_linear_head_is_refused_for_cosines_alone(make, loss):
    model = make(num_classes=7, in_channels=3)
    check_margins(CrossEntropy(COUNTS), model, 7)
    with pytest.raises(InputError, match=rf"loss={loss.__name__.lower()}, .*model\.head=cosine") as error:
        check_margins(loss(COUNTS), model, 7)
    assert error.value.key == "head"
    check_margins(loss(COUNTS), with_head(model, "cosine", num_classes=7), 7)


@pytest.mark.parametrize("loss", [LDAM, GCL])
def test_the_scales_of_loss_and_classifier_must_be_one(loss):
    model = nn.Sequential(nn.Flatten(), CosineClassifier(4, 7, scale=16.0))
    check_margins(loss(COUNTS, scale=16.0), model, 7)
    with pytest.raises(InputError, match=r"scale must be 16, .* got 30"):
        check_margins(loss(COUNTS), model, 7)


@pytest.mark.parametrize("last", [Own(), nn.utils.parametrizations.weight_norm(nn.Linear(4, 7))], ids=["own", "normed"])
def test_a_layer_that_is_not_known_is_taken_at_its_word(last):
    check_margins(LDAM(COUNTS), last, 7)


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "ldam", "method": "erm"},
        {"method": [Phase(1), Phase(1, loss=LDAM)]},
        {"method": "ldam_drw", "head": "linear"},
        {"loss": partial(LDAM, scale=10.0), "head": "cosine", "method": "erm"},
    ],
    ids=["named", "a later phase", "method", "scale"],
)
def test_a_run_is_refused_before_anything_is_written(tmp_path, options):
    with pytest.raises(InputError, match=r"head must be cosine|scale must be 30"):
        fit(DigitsLT(imbalance_ratio=50), max_epochs=2, output_dir=tmp_path / "run", **options)
    assert list(tmp_path.iterdir()) == []


def test_with_a_cosine_head_it_trains():
    assert fit(DigitsLT(imbalance_ratio=50), method="ldam_drw", max_epochs=2).result["choices"]["loss"] == "ldam"
