"""Ends the processes of a run when the process that started them ends, even if it was killed with SIGKILL."""

from __future__ import annotations

import os
import signal
import threading
import time

LOOK_EVERY = 1.0  # seconds
GRACE = 20.0  # seconds to finish a step and write a checkpoint


def end_with_parent(look_every: float = LOOK_EVERY, grace: float = GRACE) -> None:
    """Watch the parent process in a thread; when it is gone, send SIGTERM to this process, and later exit by force.

    Args:
        look_every: seconds between two checks.
        grace: seconds from SIGTERM to the forced exit with code 1.
    """
    threading.Thread(target=_watch, args=(os.getppid(), look_every, grace), daemon=True).start()


def _watch(parent: int, look_every: float, grace: float) -> None:
    while os.getppid() == parent:
        time.sleep(look_every)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os._exit(1)
