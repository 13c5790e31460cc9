from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from oponm.logging import layer_statistics
from oponm.nn import convert_batchnorm, noise_routing


def make_model(kind: str = "dar") -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)),
    )
    return convert_batchnorm(model, kind=kind)


IMAGES = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(1))
IS_NOISE = torch.arange(12) % 3 == 0


@pytest.mark.parametrize("kind", ["dar", "aux", "standard"])
def test_the_first_layer_sees_the_moments_of_what_the_convolution_gives(kind):
    model = make_model(kind)
    first, second = layer_statistics(model, IMAGES, IS_NOISE)
    assert [first.name, second.name] == ["1", "5"]
    reached = model[0](IMAGES).detach().double()
    for row, kept in enumerate((reached[~IS_NOISE], reached[IS_NOISE])):
        values = kept.movedim(1, 0).flatten(1)
        torch.testing.assert_close(first.mean[row].double(), values.mean(1), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(first.var[row].double(), values.var(1, correction=0), rtol=1e-5, atol=1e-6)
    assert second.mean.shape == second.var.shape == (2, 6)


def test_deeper_layers_see_what_routing_makes_of_the_batch():
    dar, standard = (layer_statistics(make_model(kind), IMAGES + 5 * IS_NOISE[:, None, None, None], IS_NOISE)[1]
                     for kind in ("dar", "standard"))  # fmt: skip
    assert dar.distance.mean() < standard.distance.mean()


@pytest.mark.parametrize("kind", ["dar", "aux", "standard"])
@pytest.mark.parametrize("training", [True, False])
def test_the_network_and_the_generators_end_as_they_were(kind, training):
    model = make_model(kind).train(training)
    model[1].eval()
    with noise_routing(IS_NOISE):
        model(IMAGES)
    before = copy.deepcopy(model.state_dict())
    modes, state = [part.training for part in model.modules()], torch.get_rng_state()
    once, again = (layer_statistics(model, IMAGES, IS_NOISE) for _ in range(2))
    assert all(torch.equal(a.mean, b.mean) and torch.equal(a.var, b.var) for a, b in zip(once, again, strict=True))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [part.training for part in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(part._forward_pre_hooks for part in model.modules())


@pytest.mark.parametrize("noise_rows", [0, 1, 11, 12])
def test_a_kind_without_two_rows_has_no_statistics(noise_rows):
    assert layer_statistics(make_model(), IMAGES, torch.arange(12) < noise_rows) == []


def test_a_network_that_fails_is_left_as_it_was():
    model = make_model().append(nn.Linear(99, 1)).eval()
    with pytest.raises(RuntimeError):
        layer_statistics(model, IMAGES, IS_NOISE)
    assert not any(part._forward_pre_hooks or part.training for part in model.modules())
