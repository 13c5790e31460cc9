from __future__ import annotations

import pytest
import timm

from oponm.configs import CONF_DIR
from oponm.errors import InputError
from oponm.inference.factory import known_factory
from tests.cli.compose import compose_config

OWN = sorted(file.stem for file in (CONF_DIR / "model").glob("[!_]*.yaml") if file.stem != "custom")


@pytest.mark.parametrize("choice", OWN)
def test_every_network_that_comes_with_oponm_is_known(choice):
    assert known_factory(compose_config(f"model={choice}").model).func.__module__.startswith("oponm.models.")


@pytest.mark.parametrize(
    "target",
    ["os.system", "oponm.models.weights.torch.load", "oponm.data.statistics.np.load", "builtins.eval", None, ["x"], 5],
    ids=str,
)
def test_other_code_is_refused(target):
    with pytest.raises(InputError, match=r"checkpoint names the network .* trust=true"):
        known_factory({"_target_": target})


def test_no_other_weights_are_read_or_downloaded(monkeypatch):
    asked = {}
    monkeypatch.setattr(timm, "create_model", lambda name, **options: asked.update(options) or timm.models.resnet18())
    settings = {"name": "resnet18", "pretrained": True, "checkpoint_path": "evil.pth", "cache_dir": "/", "weights": "x"}
    known_factory({"_target_": "oponm.models.timm_model", **settings})(num_classes=2, in_channels=3)
    assert asked == {"pretrained": False, "num_classes": 2, "in_chans": 3}
