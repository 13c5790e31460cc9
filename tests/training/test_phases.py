from __future__ import annotations

import pytest

from oponm.errors import InputError
from oponm.training import Phase, PhasePlan

OPEN = [Phase(160), Phase(40, "class_balanced", noise=True)]


@pytest.mark.parametrize(("max_epochs", "start"), [(200, 160), (100, 80), (30, 24), (7, 6), (2, 1)])
def test_phases_keep_their_share_of_a_run(max_epochs, start):
    plan = PhasePlan(OPEN, max_epochs)
    assert plan.starts == [0, start]
    assert [plan.at(epoch) for epoch in (0, start - 1, start, max_epochs - 1)] == [OPEN[0], OPEN[0], OPEN[1], OPEN[1]]


def test_every_phase_has_an_epoch():
    plan = PhasePlan([Phase(1), Phase(1000), Phase(1), Phase(1)], 4)
    assert plan.starts == [0, 1, 2, 3]


def test_uses_noise():
    assert PhasePlan(OPEN, 10).uses_noise
    assert not PhasePlan(OPEN[:1], 10).uses_noise


@pytest.mark.parametrize(
    ("phases", "max_epochs", "words"),
    [
        ([], 10, "phases must list at least one"),
        ([{"epochs": 1}, {"epochs": 1}], 1, "max_epochs must be at least 2"),
        ([{"epochs": 0}], 10, "epochs must be"),
        ([{"epochs": 1.5}], 10, "epochs must be"),
        ([{"sampler": "instance"}], 10, "number of epochs"),
        ([{"epochs": 1, "sampler": "rare"}], 10, "instance, class_balanced"),
        ([{"epochs": 1, "noise": "yes"}], 10, "true or false"),
        ([{"epochs": 1, "nois": True}], 10, "no key 'nois'"),
        ([{"epochs": 1}], "ten", "max_epochs must be a whole number"),
    ],
)
def test_bad_phases(phases, max_epochs, words):
    with pytest.raises(InputError, match=words):
        PhasePlan.from_config(phases, max_epochs)
