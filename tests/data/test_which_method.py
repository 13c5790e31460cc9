from __future__ import annotations

import pytest
import torch

from oponm.data.samplers.orders import class_balanced
from oponm.data.which_method import draws, which_method
from oponm.longtail import exponential_counts

CIFAR = exponential_counts(5000, 10, 100)
DIGITS = [128, 82, 53, 34, 22, 14, 9, 6, 3, 2]


@pytest.mark.parametrize(
    ("counts", "epochs", "settings", "words"),
    [
        ([100, 90, 70], 200, "method=erm", "1.4 times the images of the smallest"),
        (
            CIFAR,
            15,
            "method=drs",
            "has 50 images; class-balanced sampling draws each 24.8 times an epoch, 74 times in the",
        ),
        (CIFAR, 60, "method=open", "298 times in the deferred phase of 60 epochs"),
        (CIFAR, 200, "method=open", "992 times"),
        (
            DIGITS,
            200,
            "method=erm loss=balanced_softmax",
            "has 2 images; class-balanced sampling draws each 17.6 times",
        ),
        ([100, 1], 10, "method=erm loss=balanced_softmax", "has 1 image;"),
    ],
)
def test_what_is_suggested(counts, epochs, settings, words):
    found = which_method(counts, epochs)
    assert found.settings == settings
    assert words in found.reason


def test_draws_are_those_of_the_sampler():
    shares = class_balanced(torch.tensor(CIFAR), 0.0)
    assert draws(CIFAR, 1) == pytest.approx(float(shares[-1]) * sum(CIFAR) / CIFAR[-1])
