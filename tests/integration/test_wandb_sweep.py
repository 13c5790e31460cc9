"""The sweep file gives commands that run, and names a metric that they log."""

from __future__ import annotations

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from oponm.configs import CONF_DIR
from oponm.training.callbacks.checkpoint import MONITOR
from tests.cli.command import oponm
from tests.cli.compose import compose_config
from tests.logging.wandb_files import read_offline

SWEEP = yaml.safe_load((CONF_DIR / "wandb_sweep.yaml").read_text())


def chosen(settings: dict, last: bool) -> object:
    """What a sweep's server may send for a parameter: its first or its last value."""
    if "distribution" in settings:
        return settings["max" if last else "min"]
    return settings["value"] if "value" in settings else settings["values"][-1 if last else 0]


def expand(values: dict) -> list[str]:
    """As the agent does."""
    filled = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
    filled |= {"env": ["/usr/bin/env"], "program": [SWEEP["program"]], "interpreter": ["python"]}
    command = []
    for word in create_sweep_command(list(SWEEP["command"])):
        command += filled[word[2:-1]] if word.startswith("${") else [word]
    return command


@pytest.mark.parametrize("last", [False, True])
def test_the_agent_s_commands_compose(last):
    command = expand({name: chosen(settings, last) for name, settings in SWEEP["parameters"].items()})
    assert command[:3] == ["/usr/bin/env", "oponm", "train"]
    config = compose_config(*command[3:])
    assert config.seed == chosen(SWEEP["parameters"]["seed"], last)
    assert config.noise.delta == chosen(SWEEP["parameters"]["noise.delta"], last)


def test_a_command_of_the_agent_runs_and_logs_what_is_compared(tmp_path):
    command = expand({name: chosen(settings, last=True) for name, settings in SWEEP["parameters"].items()})
    agent = {"WANDB_SWEEP_ID": "sweep1", "WANDB_RUN_ID": "run1", "WANDB_DATA_DIR": str(tmp_path)}
    more = ["logger.wandb.offline=true", "trainer.max_epochs=2", "output_dir=run"]
    done = oponm(*command[2:], *more, cwd=tmp_path, **agent)
    assert done.returncode == 0, done.stderr
    (record,) = read_offline(tmp_path / "run")
    assert record.run.run_id == "run1"
    assert SWEEP["metric"] == {"name": MONITOR, "goal": "maximize"}
    assert MONITOR in {name for _, row in record.scalars() for name in row}
