"""``fit`` in several processes that it starts itself."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from oponm.errors import BAD_INPUT, InputError
from oponm.launched import restarted
from oponm.parent import end_with_parent
from oponm.signals import SIGNALLED, AtOnce, Stopped
from oponm.training.launch import launch_processes
from oponm.training.reasons import another_told, settled, tell

_ARGUMENTS = "arguments.pickle"
_TORCHRUN = "launch the script itself in as many, torchrun --nproc-per-node={devices} script.py"


def fit_in_processes(fit: Callable[..., Any], arguments: Mapping[str, Any], devices: int, max_restarts: int) -> None:
    """Call ``fit`` in each of several processes.

    They import the script that calls it, as ``multiprocessing`` has it, and are sent the arguments.

    Args:
        fit: at the top level of a module.
        arguments: by name.
        devices: number of processes.
        max_restarts: see :func:`~oponm.training.launch.launch_processes`.

    Raises:
        InputError: if the arguments cannot be sent, and whatever ``fit`` cannot use.
        Stopped: if they ended at a signal, with a checkpoint.
        ChildProcessError: if one died.
    """
    torchrun = _TORCHRUN.format(devices=devices)
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # it is being imported by such a process
        guard = 'call fit below if __name__ == "__main__":'
        raise InputError(
            f"of {devices} starts processes that import this script anew: {guard}, or {torchrun}", "devices"
        )
    if isinstance(arguments["model"], nn.Module):
        raise InputError(
            f"cannot be trained in place by {devices} processes: give what makes the network, or {torchrun}", "model"
        )
    with tempfile.TemporaryDirectory(prefix="oponm-") as scratch:
        job = Path(scratch)
        try:
            with (job / _ARGUMENTS).open("wb") as file:
                pickle.dump((fit, dict(arguments)), file)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(
                f"of {devices} starts processes, to which an argument of fit cannot be sent "
                f"({' '.join(str(error).split())}): define it at the top level of a module, or {torchrun}",
                "devices",
            ) from error
        launch_processes(_take_part, scratch, job=job, devices=devices, max_restarts=max_restarts)


def _take_part(scratch: str) -> None:
    """Call ``fit`` as one of the processes; what it cannot use is told to the one that started them."""
    end_with_parent()
    job, this = Path(scratch), int(os.environ["RANK"])
    if restarted() and settled(job):
        return
    try:
        with AtOnce():
            with (job / _ARGUMENTS).open("rb") as file:
                fit, arguments = pickle.load(file)  # written by the process that started this one
            fit(**arguments)
    except Stopped as stopped:
        tell(job, this, SIGNALLED + stopped.signal, str(stopped), stopped.step)
    except InputError as error:
        tell(job, this, BAD_INPUT, str(error))
    except AttributeError as error:
        if "__main__" not in str(error):
            raise
        tell(job, this, BAD_INPUT, f"devices: {error}: put it into a module that can be imported")
    except Exception:
        if not another_told(job):
            raise
