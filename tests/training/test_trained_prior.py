from __future__ import annotations

from functools import partial

import pytest

from oponm.losses import (
    LADE,
    LDAM,
    BalancedSoftmax,
    CrossEntropy,
    InfluenceBalanced,
    LabelAwareSmoothing,
    LogitAdjustment,
    VectorScaling,
)
from oponm.training import Phase
from oponm.training.trained_prior import trained_prior

COUNTS = [80, 16, 4]
OWN, EVEN = [0.8, 0.16, 0.04], [1 / 3] * 3
ROOTS = 80**0.5 + 4 + 2


@pytest.mark.parametrize(
    ("phase", "loss", "expected"),
    [
        (Phase(1), CrossEntropy, OWN),
        (Phase(1), LDAM, OWN),
        (Phase(1, "class_balanced"), CrossEntropy, EVEN),
        (Phase(1, "class_balanced", noise=True), CrossEntropy, EVEN),
        (Phase(1, "progressively_balanced"), CrossEntropy, EVEN),
        (Phase(1, "square_root"), CrossEntropy, [80**0.5 / ROOTS, 4 / ROOTS, 2 / ROOTS]),
        (Phase(1, class_weights="inverse_frequency"), CrossEntropy, EVEN),
        (Phase(1), BalancedSoftmax, EVEN),
        (Phase(1), LogitAdjustment, EVEN),
        (Phase(1), partial(VectorScaling, tau=1.0), EVEN),
        (Phase(1), partial(VectorScaling, tau=0), OWN),
        (Phase(1), LADE, EVEN),
        (Phase(1), InfluenceBalanced, EVEN),
        (Phase(1), LabelAwareSmoothing, OWN),
        (Phase(1), partial(LogitAdjustment, tau=0), OWN),
        (Phase(1, loss=BalancedSoftmax), CrossEntropy, EVEN),
        (Phase(1, "class_balanced"), BalancedSoftmax, [1 / 26, 5 / 26, 20 / 26]),
    ],
    ids=str,
)
def test_the_softmax_is_for_what_the_loss_saw(phase, loss, expected):
    found = trained_prior(phase, loss, COUNTS)
    assert found == pytest.approx(expected, abs=1e-6)
    assert sum(found) == pytest.approx(1)
