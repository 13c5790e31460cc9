"""What a network does in the last phase is seen before the first epoch."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from oponm.errors import InputError
from oponm.models import SmallCNN
from oponm.training import Phase, fit
from tests.training.small import make_data


class TokensAsRows(nn.Module):
    """As LeViT: batch norm sees a row for each token, which no mask over images fits."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Conv2d(in_channels, 8, 4, 4), nn.BatchNorm1d(8), nn.Linear(8, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        return self.head(self.norm(tokens.flatten(0, 1)).reshape_as(tokens).mean(1))


class InTraining(SmallCNN):
    """Gives something else than logits in training."""

    wrap = staticmethod(lambda logits: (logits, logits))

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        return self.wrap(logits) if self.training else logits


class Named(InTraining):
    wrap = staticmethod(lambda logits: {"logits": logits})


class Repeated(InTraining):
    wrap = staticmethod(lambda logits: logits.repeat(2, 1))


DEFERRED = [Phase(1), Phase(1, "class_balanced", noise=True)]


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (TokensAsRows, r"^model cannot take noise \(is_noise has shape \(4,\), but this .* \(16, 8\).* without noise$"),
        (
            InTraining,
            r"^model gives a tuple for 2 images in training \(phase 0, instance\), not logits \(2, 10\): turn ",
        ),
        (Named, "^model gives a dict for 2 images"),
        (Repeated, r"^model gives \(4, 10\) for 2 images"),
    ],
)
def test_a_network_that_would_fail_in_a_phase_is_refused_before_anything_is_written(tmp_path, network, words):
    with pytest.raises(InputError, match=words) as error:
        fit(make_data(), network, method=DEFERRED, max_epochs=2, output_dir=tmp_path / "run")
    assert error.value.key == "model"
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_without_noise_any_network_will_do():
    assert fit(make_data(), TokensAsRows, method=[Phase(1), Phase(1, "class_balanced")], max_epochs=2).metrics


def test_the_rehearsal_leaves_the_network_and_its_course_as_they_were(tmp_path):
    network = SmallCNN(in_channels=1, width=4)
    before = torch.get_rng_state()
    fit(make_data(), network, method=DEFERRED, max_epochs=2)
    assert torch.equal(before, torch.get_rng_state())


def test_a_setting_that_a_loss_does_not_have_can_be_left_out():
    class Plain(nn.Module):
        def __init__(self, class_counts):
            super().__init__()

    with pytest.raises(InputError, match=r"^loss cannot be used: .*'smooth'; ~loss\.smooth leaves it out$"):
        fit(make_data(), loss=partial(Plain, smooth=0.1), method="erm", max_epochs=2)
