"""Sweeps over several products of settings, such as the rows of a table that no single product gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from oponm.errors import InputError


class RowsSweeper(Sweeper):
    """Runs every combination of each row, as Hydra's own sweeper does for ``params``.

    Args:
        params: settings by key, to combine each row with.
        rows: overrides of each row, see :class:`oponm.cli.plugins.Rows`.
    """

    def __init__(self, params: Mapping[str, Any], rows: Sequence[str]) -> None:
        self.params = [f"{key}={value}" for key, value in params.items()]
        self.rows = [row.split() for row in rows]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the objects that Hydra passes to its sweepers."""
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> Any:
        """Run the jobs of all rows.

        Args:
            arguments: overrides of the command, to combine each row with as well.

        Raises:
            InputError: for a setting of the command that a row also has.
        """
        assert self.config is not None
        jobs = self.jobs(arguments)
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        self.validate_batch_is_legal(jobs)
        assert self.launcher is not None
        return self.launcher.launch(jobs, 0)

    def jobs(self, arguments: Sequence[str]) -> list[list[str]]:
        """The overrides of each job, row by row.

        Args:
            arguments: overrides of the command.

        Raises:
            InputError: for a setting of the command that a row also has, for an interval, and if there is no row.

        Example:
            >>> rows = RowsSweeper({"seed": "0,1"}, ["method=erm", "method=open norm=aux"]).jobs(["seed=3,4"])
            >>> [" ".join(job) for job in rows]
            ['method=erm seed=3', 'method=erm seed=4', 'method=open norm=aux seed=3', 'method=open norm=aux seed=4']
        """
        if not self.rows:
            raise InputError("is empty: name a row", "hydra.sweeper.rows")
        shared = _values([*self.params, *arguments])
        rows = [_values(row) for row in self.rows]
        set_by_rows = {key.lstrip("+") for row in rows for key in row}
        for key in _values(arguments):
            if key.lstrip("+") in set_by_rows:
                remedy = "set hydra.sweeper.rows, or leave out the choice of sweep"
                raise InputError(f"is what the rows of the sweep set: {remedy}", key.lstrip("+"))
        return [list(job) for row in rows for job in product(*{**row, **shared}.values())]


def _values(overrides: Sequence[str]) -> dict[str, list[str]]:
    """The overrides that each given override stands for, by key; the last one of a key counts."""
    found = {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.get_key_element()
        if not override.is_sweep_override():
            found[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            found[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise InputError("is an interval: name values", key)
    return found
