"""Be one of the processes that ``torchrun`` or ``srun`` has started: the first one leads, the others follow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from oponm.cli.errors import BAD_INPUT, SIGNALLED, is_bad_input
from oponm.errors import InputError


def together(command: Callable[[], None]) -> None:
    """Run a command in the first process; the others take part in each run that it trains, until it is over.

    Args:
        command: calls :func:`lead` for each run.
    """
    from oponm.training.processes import first_says, rank

    with _joined():
        if rank() > 0:
            _follow()
            return
        try:
            command()
        finally:
            first_says(None)


def lead(config: DictConfig, folder: Path, overrides: list[str], begun: bool) -> dict[str, Any]:
    """Train as the first of the processes; arguments are those of a job.

    Raises:
        InputError: if their number is not that of the config.
    """
    from oponm.cli.job import run_job
    from oponm.training.joined import check_number
    from oponm.training.processes import first_says, leave, world_size
    from oponm.training.signals import Stopped

    if world_size() == 1:
        raise ChildProcessError("the other processes ended in an earlier run")
    check_number(config.trainer.devices, config.trainer.num_nodes, "trainer.devices")
    first_says((OmegaConf.to_container(config, resolve=True), str(folder), overrides, begun))
    try:
        return run_job(config, folder, overrides, begun)
    except (InputError, Stopped):  # as in all of them
        raise
    except BaseException:
        leave()  # so that they do not wait for this one
        raise


def _follow() -> None:
    """Train what the first process says, run after run; what cannot be used it says itself, to the user."""
    from oponm.cli.job import run_job
    from oponm.cli.quiet import quiet_libraries, quiet_process
    from oponm.training.processes import first_says
    from oponm.training.signals import Stopped

    quiet_libraries()
    quiet_process()
    code = 0
    while said := first_says(None):
        config, folder, overrides, begun = said
        try:
            run_job(OmegaConf.create(config), Path(folder), overrides, begun)
        except Stopped as stopped:
            code = SIGNALLED + stopped.signal
        except Exception as error:
            if not is_bad_input(error):
                raise
            code = BAD_INPUT
    sys.exit(code)


@contextmanager
def _joined() -> Iterator[None]:
    from oponm.training.joined import join_launched
    from oponm.training.processes import leave

    join_launched()
    try:
        yield
    finally:
        leave()
