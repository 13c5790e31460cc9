"""Keeps signals away from decoding processes, as training may need their batches to finish its step."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LEFT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def processes_without_signals() -> Iterator[None]:
    """Start processes inside the block that first call :func:`leave_signals_to_parent`.

    Signals that a scheduler, a launcher or a terminal sends to all processes of a job ask training to finish its step,
    for which it may need the next batch; so decoding processes ignore them. Signals blocked here are blocked in every
    thread of such a process. Where the system does not report the sender of a signal (macOS), nothing is blocked.
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
    """Start processes inside the block whose death is reported by the reader of their batches, not by a signal.

    Torch has SIGCHLD raise an error at any point of the program, even within a step of the optimizer. Without it, the
    reader notices within seconds, between two steps, that a process is gone. A program that has read with a
    ``DataLoader`` of its own keeps the handler that torch set for that one.
    """
    if threading.current_thread() is not threading.main_thread():  # neither Python nor torch sets handlers there
        yield
        return
    before = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGCHLD, before)


def leave_signals_to_parent(worker: int) -> None:
    """End at SIGTERM from the parent, as Python ends its own processes, and ignore that of others.

    When the parent is gone, torch's watch ends the process.

    Args:
        worker: number of the process, which ``DataLoader`` gives to its ``worker_init_fn``.
    """
    if _can_tell_sender():
        threading.Thread(target=_end_for, args=(os.getppid(),), daemon=True).start()


def _end_for(parent: int) -> None:
    while True:
        received = signal.sigwaitinfo(_LEFT)
        if received.si_signo == signal.SIGTERM and received.si_pid == parent:
            os._exit(0)  # else the parent would see a failure


def _can_tell_sender() -> bool:
    return hasattr(signal, "sigwaitinfo")
