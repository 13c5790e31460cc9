"""Old names of settings and arguments are answered with what they are called now; old runs read as new ones."""

from __future__ import annotations

import pytest

from oponm.configs import compose_choices
from oponm.data import DigitsLT
from oponm.errors import InputError
from oponm.known_settings import check_settings
from oponm.renamed import SETTINGS, with_new_names
from oponm.report.settings import result_settings
from oponm.run_settings import determining_settings
from tests.cli.command import oponm
from tests.cli.compose import compose_config

NOISE = {"_target_": "oponm.data.noise.make_noise", "delta": 0.5}
OLD = {**NOISE, "_target_": "oponm.data.mixers.make_mixer"}


def test_an_argument():
    with pytest.raises(InputError, match="mixer is now noise") as refused:
        DigitsLT(mixer="uniform")
    assert refused.value.key == "mixer"
    with pytest.raises(TypeError, match=r"DigitsLT\.__init__\(\) got an unexpected keyword argument 'minxer'"):
        DigitsLT(minxer="uniform")


@pytest.mark.parametrize("key", SETTINGS)
@pytest.mark.parametrize("prefix", ["", "+"])
def test_a_setting_of_the_command_line(tmp_path, key, prefix):
    done = oponm("train", f"{prefix}{key}=3", "output_dir=run", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"oponm: {key} is now {SETTINGS[key]}\n")
    assert not (tmp_path / "run").exists()


def test_a_setting_of_the_command_that_looks_at_data(tmp_path):
    done = oponm("data", "check", "+data.mixer=3", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "oponm: data.mixer is now noise\n")


def test_a_function_that_a_setting_names():
    config = compose_config("noise._target_=oponm.data.mixers.make_mixer", "output_dir=run")
    with pytest.raises(InputError, match=r"noise\._target_ is now oponm\.data\.noise\.make_noise"):
        check_settings(config)


def test_what_an_older_run_repeats_is_told_once():
    before = {"seed": 2, "noise": OLD, "data": {"seed": 2, "mixer": OLD, "val": "none"}}
    now = {"seed": 2, "noise": NOISE, "data": {"val": "none"}}
    assert with_new_names(before) == now
    assert determining_settings(before) == determining_settings(now)
    assert result_settings(before) == result_settings(now)


def test_what_differed_in_an_older_run_is_not_dropped():
    before = {"seed": 2, "noise": NOISE, "data": {"seed": 3, "val": "none"}}
    assert with_new_names(before) == before
    with pytest.raises(InputError, match=r"data\.seed is now seed"):
        check_settings(compose_config("+data.seed=3", "output_dir=run"))


def test_the_config_says_it_once():
    assert not {"augmentation", "mixing", "mixer", "noise", "seed"} & set(compose_choices({})[1]["data"])
