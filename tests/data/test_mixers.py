from __future__ import annotations

import pytest
import torch

from oponm.data.mixers import replace_with_gaussian
from oponm.data.statistics import Statistics
from oponm.errors import InputError
from oponm.noise import ReplaceWithNoise, noise_probability

STATISTICS = Statistics((0.2, 0.5, 0.7), (0.05, 0.1, 0.02))
COUNTS = [100, 50, 1]


def mix(mixer: ReplaceWithNoise, rows: int = 600):
    targets = torch.arange(rows) % 3
    return mixer(torch.full((rows, 3, 16, 16), 2.0), targets, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("delta", [None, 0, 1 / 6, 1])
def test_it_replaces_with_the_probability_of_the_paper(delta):
    options = {} if delta is None else {"delta": delta}
    mixer = replace_with_gaussian(STATISTICS, COUNTS, **options)
    assert isinstance(mixer, ReplaceWithNoise)
    torch.testing.assert_close(mixer.probability, noise_probability(COUNTS, 1 / 3 if delta is None else delta))


def test_the_noise_has_the_statistics():
    batch = mix(replace_with_gaussian(STATISTICS, COUNTS, delta=1))
    noise = batch.images[batch.is_noise]
    assert len(noise) > 250
    assert (batch.images[~batch.is_noise] == 2).all()
    torch.testing.assert_close(noise.mean((0, 2, 3)), torch.tensor(STATISTICS.mean), atol=2e-3, rtol=0)
    torch.testing.assert_close(noise.std((0, 2, 3)), torch.tensor(STATISTICS.std), atol=2e-3, rtol=0)


@pytest.mark.parametrize("clip", [True, False])
def test_clipping_is_a_choice(clip):
    statistics = Statistics((0.5,) * 3, (1.0,) * 3)
    batch = mix(replace_with_gaussian(statistics, COUNTS, delta=1, clip=clip))
    noise = batch.images[batch.is_noise]
    inside = bool(((noise >= 0) & (noise <= 1)).all())
    assert inside == clip


def test_clipping_is_the_default():
    batch = mix(replace_with_gaussian(Statistics((0.5,) * 3, (1.0,) * 3), COUNTS, delta=1))
    assert batch.images[batch.is_noise].min() == 0
    assert batch.images[batch.is_noise].max() == 1


@pytest.mark.parametrize("delta", [-0.1, 1.1, "1/3", None, float("nan")])
def test_a_bad_delta_is_refused(delta):
    with pytest.raises(InputError, match=r"delta must lie in \[0, 1\]"):
        replace_with_gaussian(STATISTICS, COUNTS, delta=delta)
