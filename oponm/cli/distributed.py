"""Runs a command in processes that ``torchrun`` or ``srun`` has started.

Rank 0 composes the configs and starts each run; the other ranks only take part in the training of each run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from omegaconf import DictConfig, OmegaConf

from oponm.cli.errors import BAD_INPUT, SIGNALED, is_bad_input, one_line_errors
from oponm.launched import launched_elsewhere
from oponm.signals import AtOnce, Stopped

if TYPE_CHECKING:
    from oponm.training import Run


@contextmanager
def together() -> Iterator[None]:
    """Context manager whose block runs in the first process only.

    The other processes take part in each run that the block trains, and exit when the block ends. In the block, call
    :func:`lead` once per run. A process that no launcher has started just runs the block.
    """
    if not launched_elsewhere():
        yield
        return
    from oponm.training.distributed import first_says, join_launched, leave, rank

    join_launched()
    try:
        if rank() > 0:
            _follow()
        try:
            with one_line_errors():  # printed before the others end; after that torchrun may end this one
                yield
        finally:
            first_says(None)
    finally:
        leave()


def lead(config: DictConfig, choices: Mapping[str, str], overrides: Sequence[str]) -> Run:
    """Train the run that a config describes; if a launcher has started other processes, together with them.

    Args:
        config: the run's config.
        choices: dict from config group to choice.
        overrides: the overrides that made the config, as ``key=value``.
    """
    from oponm.training import run
    from oponm.training.distributed import all_came, first_says, leave, world_size

    if not launched_elsewhere():
        return run(config, choices=choices, overrides=overrides)
    if world_size() == 1:
        raise ChildProcessError("the other processes ended in an earlier run")
    first_says((OmegaConf.to_container(config, resolve=True), dict(choices), list(overrides)))
    folder = config.output_dir
    try:
        done = run(config, choices=choices, overrides=overrides)
    except BaseException as error:
        expected = isinstance(error, Stopped) or is_bad_input(error)
        if not (expected and all_came(_end_of(folder))):
            leave()  # so that the others, which had no error, do not wait for this one
        raise
    all_came(_end_of(folder), seconds=0)
    return done


def _end_of(folder: Path | str) -> str:
    return f"end of {folder}"


def _follow() -> NoReturn:
    """Train each run that the first process broadcasts, then exit; print bad input that only this process has."""
    from oponm.training import run
    from oponm.training.distributed import all_came, first_says, leave
    from oponm.training.quiet import first_alone_speaks

    first_alone_speaks()
    code = 0
    while said := first_says(None):
        config, choices, overrides = said
        folder = config["output_dir"]
        try:
            with AtOnce():
                run(config, choices=choices, overrides=overrides)
            all_came(_end_of(folder), seconds=0)
        except (Exception, Stopped) as error:
            if isinstance(error, ChildProcessError):  # the first process gives the reason
                code = 1
            elif isinstance(error, Stopped):
                code = SIGNALED + error.signal
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
