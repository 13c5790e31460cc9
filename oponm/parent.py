"""Ends processes of a run when the process that started them ends, even if that was killed."""

from __future__ import annotations

import os
import signal
import threading
import time

LOOK_EVERY = 1.0  # seconds
GRACE = 20.0  # seconds to finish a step and write a checkpoint


def end_with_parent(look_every: float = LOOK_EVERY, grace: float = GRACE) -> None:
    """Watch the parent of this process; when it is gone, send this process SIGTERM, and later end it.

    Args:
        look_every: seconds between two checks.
        grace: seconds between SIGTERM and the end.
    """
    threading.Thread(target=_watch, args=(os.getppid(), look_every, grace), daemon=True).start()


def _watch(parent: int, look_every: float, grace: float) -> None:
    while os.getppid() == parent:
        time.sleep(look_every)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os._exit(1)
