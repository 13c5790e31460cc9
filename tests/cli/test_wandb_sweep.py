"""The sweep file gives commands that run, and names a metric that they log."""

from __future__ import annotations

import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from oponm.configs import CONF_DIR
from oponm.training.checkpoints import MONITOR
from tests.cli.command import oponm
from tests.dashboard.wandb_files import read_offline

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


def test_the_agent_s_commands_run_and_log_what_is_compared(tmp_path):
    for last in (False, True):
        command = expand({name: chosen(settings, last) for name, settings in SWEEP["parameters"].items()})
        assert command[:3] == ["/usr/bin/env", "oponm", "train"]
        agent = {"WANDB_SWEEP_ID": "sweep1", "WANDB_RUN_ID": f"run{last}", "WANDB_DATA_DIR": str(tmp_path)}
        more = ["logger.wandb.offline=true", "trainer.max_epochs=2", f"output_dir={last}"]
        done = oponm(*command[2:], *more, cwd=tmp_path, **agent)
        assert done.returncode == 0, done.stderr
        (record,) = read_offline(tmp_path / str(last))
        assert record.run.run_id == f"run{last}"
        logged = {name for _, row in record.scalars() for name in row}
        assert SWEEP["metric"] == {"name": MONITOR, "goal": "maximize"}
        assert MONITOR in logged
