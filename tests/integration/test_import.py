from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = [
    "pytorch_lightning",
    "hydra",
    "omegaconf",
    "wandb",
    "timm",
    "matplotlib",
    "kornia",
    "torchvision",
    "sklearn",
    "rich",
]


@pytest.mark.parametrize("statement", ["import oponm", "import oponm.nn, oponm.noise, oponm.longtail, oponm.rng"])
def test_the_library_is_light(statement):
    program = f"import sys; {statement}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_rooms_are_reached_from_the_package():
    import oponm

    assert oponm.nn.DARBatchNorm2d(3).num_features == 3
    assert set(oponm.__all__) <= set(dir(oponm))
    assert {"fit", "Run"} <= set(dir(oponm))
    for name in oponm.__all__:
        assert getattr(oponm, name) is not None
    from oponm.training import Run, fit

    assert oponm.fit is fit
    assert oponm.Run is Run
    with pytest.raises(AttributeError, match="elsewhere"):
        _ = oponm.elsewhere


def test_dir_shows_what_is_public():
    import oponm.training

    assert dir(oponm.training) == sorted(oponm.training.__all__)
    assert dir(oponm) == sorted(oponm.__all__)
