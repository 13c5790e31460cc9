from __future__ import annotations

import pytest

from oponm.errors import InputError
from oponm.training.schedule import step_schedule


def test_the_published_schedule():
    factor = step_schedule(200)
    rates = [0.1 * factor(epoch) for epoch in range(200)]
    expected = [0.02, 0.04, 0.06, 0.08, 0.1] + [0.1] * 155 + [0.001] * 20 + [0.00001] * 20
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("max_epochs", [10, 40, 100, 400])
def test_it_scales_with_the_run(max_epochs):
    factor = step_schedule(max_epochs)
    drops = [epoch for epoch in range(1, max_epochs) if factor(epoch) < factor(epoch - 1)]
    assert drops == [max_epochs * 160 // 200, max_epochs * 180 // 200]
    assert factor(max(round(max_epochs / 40) - 1, 0)) == 1


def test_no_warmup_starts_at_the_full_rate():
    assert step_schedule(200, warmup_epochs=0)(0) == 1


@pytest.mark.parametrize(
    "options", [{"gamma": 2}, {"warmup_epochs": -1}, {"milestones": [0]}, {"reference_epochs": 0}, {"max_epochs": 0}]
)
def test_bad_values_are_named(options):
    with pytest.raises(InputError, match=next(iter(options))):
        step_schedule(**{"max_epochs": 200, **options})
