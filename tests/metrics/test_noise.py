from __future__ import annotations

import pytest
import torch
from torch import nn

from oponm.metrics import noise_histogram


def images(number: int = 60) -> torch.Tensor:
    return torch.randn(number, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(0.9), nn.Linear(48, 5))


def test_it_counts_the_predictions_of_the_network_in_evaluation_mode():
    model = network()
    predicted = model.eval()(images()).argmax(1).tolist()
    counts = noise_histogram(model.train(), images().split(7), 5)
    assert counts == [predicted.count(label) for label in range(5)]
    assert sum(counts) == 60


def test_classes_that_are_never_predicted_count_0():
    model = network()
    model[3].bias.data = torch.tensor([0.0, 0.0, 1e6, 0.0, 0.0])
    assert noise_histogram(model, [images()], 5) == [0, 0, 60, 0, 0]


def test_the_network_stays_as_it_was():
    model = network().train()
    model[0].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    noise_histogram(model, [images()], 5)
    assert [module.training for module in model.modules()] == [True, False, True, True, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_modes_come_back_after_a_failure():
    model = network().train()
    with pytest.raises(RuntimeError):
        noise_histogram(model, [torch.zeros(2, 4, 4, 4)], 5)
    assert all(module.training for module in model.modules())
