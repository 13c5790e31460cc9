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
    """Context manager that starts decoding processes with signals blocked; each calls :func:`leave_signals_to_parent`.

    Signals that a scheduler, a launcher or a terminal sends to all processes of a job ask training to finish its step,
    for which it may need the next batch. So decoding processes ignore them. Signals that are blocked here are blocked
    in every thread of the processes. Where the system does not report the sender of a signal (macOS), none is blocked.
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
    """Context manager for starting decoding processes: if one dies, reading a batch raises, not torch's signal handler.

    Torch's handler of SIGCHLD raises at any point of the program, even within a step of the optimizer. Without it, the
    ``DataLoader`` that reads the batches raises within seconds, between two steps. If an earlier ``DataLoader`` of
    the program has set torch's handler already, that handler stays.
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
    """Exit on a SIGTERM from the parent process, and ignore a SIGTERM from any other.

    Python's ``multiprocessing`` ends its processes by SIGTERM. When the parent is gone, torch's watchdog in the
    ``DataLoader`` ends the process.

    Args:
        worker: index of the process, which ``DataLoader`` passes to its ``worker_init_fn``; not used.
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
