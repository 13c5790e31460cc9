"""A process that decodes leaves signals to the process that started it, which may want its batches to the last."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LEFT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def processes_without_signals() -> Iterator[None]:
    """Start processes inside, with :func:`leave_signals_to_parent` as what they begin with.

    Signals that a scheduler, a launcher or a terminal sends to all processes of a job ask training to finish its step,
    which it cannot without its next batch; so processes that decode ignore them. Blocked here, they are blocked in
    every thread that such a process will have. Where the system cannot tell who has sent a signal (macOS), nothing is.
    """
    if not _can_tell_sender():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _LEFT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def reported_by_the_reader() -> Iterator[None]:
    """Start processes inside whose death the reader of their batches tells, and not a signal.

    Torch has SIGCHLD raise an error wherever the program happens to be, be it within a step of the optimizer. Without
    that, the reader finds within seconds, between two steps, that one is gone.
    """
    if threading.current_thread() is not threading.main_thread():  # Python allows no handlers there, nor does torch
        yield
        return
    before = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGCHLD, before)


def leave_signals_to_parent(worker: int) -> None:
    """End at SIGTERM from the parent itself, as Python ends processes of its own, and at no other's.

    When the parent is gone, torch's own watch ends the process.

    Args:
        worker: its number, which ``DataLoader`` gives to its ``worker_init_fn``.
    """
    if _can_tell_sender():
        threading.Thread(target=_end_for, args=(os.getppid(),), daemon=True).start()


def _end_for(parent: int) -> None:
    while True:
        received = signal.sigwaitinfo(_LEFT)
        if received.si_signo == signal.SIGTERM and received.si_pid == parent:
            os._exit(0)  # else the parent would take it for a failure


def _can_tell_sender() -> bool:
    return hasattr(signal, "sigwaitinfo")
