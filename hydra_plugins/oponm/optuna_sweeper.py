"""Searches for settings by Optuna's ask and tell; Hydra's own Optuna sweeper needs Optuna before 3."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from oponm.errors import InputError, check_choice, check_int

if TYPE_CHECKING:
    import optuna


class OptunaSweeper(Sweeper):
    """Runs the jobs that Optuna proposes; a failed one is reported to Optuna as failed.

    Args:
        settings: the sweeper's settings, see :class:`oponm.cli.plugins.Optuna`.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the objects that Hydra passes to its sweepers."""
        self.config, self.context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials that the study lacks, and write the best into ``best.yaml``.

        Args:
            arguments: overrides of the command; they come before ``params``.

        Raises:
            InputError: if nothing is searched, or if the study cannot be opened.
        """
        assert self.config is not None
        study = self._study()
        given = [*(f"{key}={value}" for key, value in self.settings["params"].items()), *arguments]
        parsed = OverridesParser.create(config_loader=self.context.config_loader).parse_overrides(given)
        last = {override.get_key_element(): override for override in parsed}
        searched = {key: _distribution(one) for key, one in last.items() if one.is_sweep_override()}
        fixed = [f"{key}={one.get_value_element_as_str()}" for key, one in last.items() if key not in searched]
        if not searched:
            raise InputError("names nothing to search: give it an interval", "hydra.sweeper.params")
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        while (missing := self.settings["n_trials"] - _finished(study)) > 0:
            self._run(study, searched, fixed, min(missing, self.settings["n_jobs"]))
        _write_best(study, folder)

    def _study(self) -> optuna.Study:
        try:
            import optuna
        except ImportError as error:
            raise InputError("needs Optuna: pip install 'oponm[optuna]'", "hydra/sweeper") from error
        for name in ("n_trials", "n_jobs"):
            check_int(name, self.settings[name], minimum=1)
        check_choice("direction", self.settings["direction"], ("maximize", "minimize"))
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        kept = {name: self.settings[name] for name in ("study_name", "storage", "direction")}
        try:
            study = optuna.create_study(**kept, load_if_exists=True)
        except Exception as error:  # an error of the database's library
            raise InputError(f"cannot be opened: {' '.join(str(error).split())}", "hydra.sweeper.storage") from error
        # The same command proposes the same trials again; a resumed study does not repeat its first ones.
        study.sampler = optuna.samplers.TPESampler(seed=self.settings["seed"] + len(study.trials))
        return study

    def _run(self, study: optuna.Study, searched: dict[str, Any], fixed: list[str], number: int) -> None:
        """Run some trials and report their results; trials of an interrupted sweep stay unfinished."""
        from optuna.trial import TrialState

        assert self.launcher is not None
        trials = [study.ask(searched) for _ in range(number)]
        jobs = [[*fixed, *(f"{key}={value}" for key, value in trial.params.items())] for trial in trials]
        for trial, job in zip(trials, self.launcher.launch(jobs, trials[0].number), strict=True):
            failed = job.return_value is None or math.isnan(job.return_value)
            study.tell(trial, None if failed else job.return_value, TrialState.FAIL if failed else None)


def _finished(study: optuna.Study) -> int:
    return sum(trial.state.is_finished() for trial in study.trials)


def _distribution(override: Override) -> optuna.distributions.BaseDistribution:
    """Optuna's distribution for an interval, or for a list of values."""
    from optuna import distributions as kinds

    value = override.value()
    if not isinstance(value, IntervalSweep):
        return kinds.CategoricalDistribution(list(override.sweep_string_iterator()))
    whole = isinstance(value.start, int) and isinstance(value.end, int)
    kind: Any = kinds.IntDistribution if whole else kinds.FloatDistribution
    return kind(value.start, value.end, log="log" in value.tags)


def _write_best(study: optuna.Study, folder: Path) -> None:
    completed = [trial for trial in study.trials if trial.value is not None]
    if completed:
        best = study.best_trial
        content = {"trial": best.number, "value": best.value, "params": best.params, "trials": len(study.trials)}
        OmegaConf.save(OmegaConf.create(content), folder / "best.yaml")
        settings = " ".join(f"{key}={value}" for key, value in best.params.items())
        print(f"best of {len(completed)} trials: {best.value:.4f} with {settings}")
