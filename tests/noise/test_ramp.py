from __future__ import annotations

import pytest

from oponm.errors import InputError
from oponm.noise.ramp import RAMPS, ramp_factor


@pytest.mark.parametrize("progress", [0, 0.125, 0.9, 1])
def test_linear_is_the_progress_and_constant_is_one(progress):
    assert ramp_factor("linear", progress) == progress
    assert ramp_factor("constant", progress) == 1


@pytest.mark.parametrize("ramp", RAMPS)
@pytest.mark.parametrize("progress", [-0.01, 1.01, float("nan"), "half", True], ids=repr)
def test_a_progress_out_of_range_is_refused(ramp, progress):
    with pytest.raises(InputError) as error:
        ramp_factor(ramp, progress)
    assert error.value.key == "progress"
