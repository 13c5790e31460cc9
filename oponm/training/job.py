"""What each process of a run does once its parts are there: go on or begin, train, evaluate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from oponm.data import LongTailDataModule
from oponm.training.module import LongTailModule
from oponm.training.phase_cache import PhaseCache
from oponm.training.phases import PhasePlan
from oponm.training.processes import only_first, rank
from oponm.training.train import train
from oponm.training.run_folder import begin, code_of_run, state_to_go_on_from
from oponm.training.run_lock import sole_use


def carry_out(
    module: LongTailModule,
    data: LongTailDataModule,
    plan: PhasePlan,
    folder: Path,
    loggers: list[Logger],
    config: Mapping[str, Any],
    overrides: Sequence[str],
    begun: bool,
    phase_cache: PhaseCache | None = None,
    opened: Callable[[], None] = lambda: None,
    **options: Any,
) -> dict[str, Any]:
    """Train and evaluate; of several processes the first one writes what is run.

    Args:
        module: to be trained.
        data: set up.
        plan: the phases.
        folder: of the run.
        loggers: Lightning's.
        config: of the run, for its folder.
        overrides: likewise.
        begun: the folder holds a run to go on with.
        phase_cache: see :func:`~oponm.training.train`.
        opened: called by the first process once the folder says what is run.
        **options: of :func:`~oponm.training.train`.

    Returns:
        The content of ``result.json`` as far as it is measured here.

    Raises:
        InputError: if another run has the folder, see :func:`~oponm.training.run_lock.sole_use`; or if the run was
            begun with other images or code.
    """
    module.code = code_of_run(config, *{type(part) for part in module.model.modules()}, type(data))
    with sole_use(folder, begun):
        state = state_to_go_on_from(folder, data, module.code) if begun else None
        with only_first():
            if rank() == 0:
                begin(folder, config, overrides)
                opened()
        measured = train(module, data, plan, folder, loggers, phase_cache, state, **options)
    return {**measured, "skipped_files": data.skipped, "code": module.code}
