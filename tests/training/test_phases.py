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


def test_a_phase_that_is_cut_in_two_is_one_where_a_run_is_too_short():
    cut = [Phase(160), Phase(40)]
    assert PhasePlan(cut, 10).starts == [0, 8]
    assert PhasePlan(cut, 1).phases == [Phase(200)]
    assert PhasePlan([Phase(1), Phase(2), Phase(3, noise=True)], 2).phases == [Phase(3), Phase(3, noise=True)]


def test_the_rate_is_the_phase_s_own_or_the_run_s():
    own = Phase(2, "class_balanced", schedule=lambda max_epochs: lambda epoch: (epoch + 1) / max_epochs)
    plan = PhasePlan([Phase(2), own, Phase(4, noise=True)], 8)
    assert [plan.rate(epoch, lambda epoch: 10 + epoch) for epoch in range(8)] == [10, 11, 0.5, 1.0, 14, 15, 16, 17]


def test_a_phase_s_factor_is_beside_either_schedule():
    own = Phase(2, lr_factor=0.01, schedule=lambda max_epochs: lambda epoch: (epoch + 1) / max_epochs)
    plan = PhasePlan([Phase(2, lr_factor=0.1), own], 4)
    assert [plan.rate(epoch, lambda epoch: 10 + epoch) for epoch in range(4)] == pytest.approx([1, 1.1, 0.005, 0.01])


def test_progress_begins_anew_with_each_phase():
    plan = PhasePlan([Phase(3), Phase(1, noise=True), Phase(2)], 6)
    assert [plan.progress(epoch) for epoch in range(6)] == [0.0, 0.5, 1.0, 1.0, 0.0, 1.0]


def test_uses_noise():
    assert PhasePlan(OPEN, 10).uses_noise
    assert not PhasePlan(OPEN[:1], 10).uses_noise


@pytest.mark.parametrize(
    ("phases", "max_epochs", "words"),
    [
        ([], 10, "phases must list at least one"),
        ([{"epochs": 1}, {"epochs": 1, "sampler": "class_balanced"}], 1, "max_epochs must be at least 2"),
        ([{"epochs": 1, "mixing": 1}], 10, "true or false"),
        ([{"epochs": 1, "loss": "focal"}], 10, "_partial_"),
        ([{"epochs": 1, "class_weights": "equal"}], 10, "inverse_frequency"),
        ([{"epochs": 1, "beta": 0.9}], 10, "class_weights=effective_number"),
        ([{"epochs": 1, "class_weights": "effective_number", "beta": 1.0}], 10, "below 1"),
        ([{"epochs": 1, "trainable": "head"}], 10, "all, classifier, scale, scaled_classifier"),
        ([{"epochs": 1, "batchnorm": "batch"}], 10, "set trainable"),
        ([{"epochs": 1, "trainable": "scale", "batchnorm": "eval"}], 10, "running, batch"),
        ([{"epochs": 1, "lr_factor": 0}], 10, "lr_factor must be above 0"),
        ([{"epochs": 1, "weight_decay": 0.1}], 10, "weight_decay is for phases that train a part"),
        (
            [{"epochs": 1, "trainable": "scale", "weight_decay": -0.1}],
            10,
            "weight_decay must be a number of at least 0",
        ),
        ([{"epochs": 1, "trainable": "classifier", "max_norm": 1.5}], 10, "max_norm must lie in"),
        ([{"epochs": 1, "max_norm": 0.1}], 10, "max_norm is for phases with trainable=classifier"),
        ([{"epochs": 1, "trainable": "scaled_classifier", "max_norm": 0.1}], 10, "max_norm is for phases with"),
        ([{"epochs": 0}], 10, "epochs must be"),
        ([{"epochs": 1.5}], 10, "epochs must be"),
        ([{"sampler": "instance"}], 10, "number of epochs"),
        ([{"epochs": 1, "sampler": "rare"}], 10, "instance, class_balanced"),
        ([{"epochs": 1, "noise": "yes"}], 10, "true or false"),
        ([{"epochs": 1, "noise": True, "noise_loss": -0.5}], 10, "noise_loss must be a number of at least 0"),
        ([{"epochs": 1, "noise": True, "noise_loss": "none"}], 10, "noise_loss must be a number"),
        ([{"epochs": 1, "noise_loss": 0}], 10, "set noise=true, or leave noise_loss out"),
        ([{"epochs": 1, "nois": True}], 10, "no key 'nois'"),
        ([{"epochs": 1}], "ten", "max_epochs must be a whole number"),
    ],
)
def test_bad_phases(phases, max_epochs, words):
    with pytest.raises(InputError, match=words):
        PhasePlan.from_config(phases, max_epochs)
