"""Be one of the processes that ``torchrun`` or ``srun`` has started: the first one leads, the others follow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from oponm.cli.errors import BAD_INPUT, SIGNALLED, is_bad_input, one_line_errors
from oponm.signals import AtOnce, Stopped


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
            with one_line_errors():  # said before the others end, after which torchrun may end this one
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
    from oponm.training.processes import all_came, first_says, leave, world_size

    if world_size() == 1:
        raise ChildProcessError("the other processes ended in an earlier run")
    check_number(config.trainer.devices, config.trainer.num_nodes, "trainer.devices")
    first_says((OmegaConf.to_container(config, resolve=True), str(folder), overrides, begun))
    try:
        measured = run_job(config, folder, overrides, begun)
    except BaseException as error:
        told = isinstance(error, Stopped) or is_bad_input(error)
        if not (told and all_came(_end_of(folder))):
            leave()  # so that the others, who have had no such error, do not wait for this one
        raise
    all_came(_end_of(folder), seconds=0)
    return measured


def _end_of(folder: Path | str) -> str:
    return f"end of {folder}"


def _follow() -> None:
    """Train what the first process says, run after run; what this one alone cannot use it says itself."""
    from oponm.cli.job import run_job
    from oponm.cli.quiet import quiet_libraries, quiet_process
    from oponm.training.processes import all_came, first_says, leave

    quiet_libraries()
    quiet_process()
    code = 0
    while said := first_says(None):
        config, folder, overrides, begun = said
        try:
            with AtOnce():
                run_job(OmegaConf.create(config), Path(folder), overrides, begun)
            all_came(_end_of(folder), seconds=0)
        except (Exception, Stopped) as error:
            if isinstance(error, ChildProcessError):  # the first one says why
                code = 1
            elif isinstance(error, Stopped):
                code = SIGNALLED + error.signal
            elif is_bad_input(error):
                code = BAD_INPUT
            else:
                leave()
                raise
            if not all_came(_end_of(folder)):
                leave()
                with one_line_errors():
                    raise
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
