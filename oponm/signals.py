"""Signals that ask a run to end: it finishes the step, writes a checkpoint, exits with 128 + the signal's number."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALED = (
    128  # plus the signal's number: 129 for SIGHUP, 130 for SIGINT, 138 for SIGUSR1, 140 for SIGUSR2, 143 for SIGTERM
)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Stopped(BaseException):
    """A run ended at a signal. Like ``KeyboardInterrupt`` it is no ``Exception``, so ``except Exception`` lets it pass.

    Args:
        number: number of the signal.
        step: step after which the run ended, with a checkpoint; None if none was written.

    Attributes:
        signal: the signal.
        step: the step of the checkpoint, or None.
    """

    def __init__(self, number: int, step: int | None = None) -> None:
        self.signal, self.step = signal.Signals(number), step
        super().__init__(f"stopped by {self.signal.name}")


class Stop:
    """Records the signals of :data:`SIGNALS` inside the block; a second one from the keyboard interrupts at once.

    Example:
        >>> import os
        >>> with Stop() as stop:
        ...     os.kill(os.getpid(), signal.SIGUSR1)
        ...     signal.Signals(stop.received).name
        'SIGUSR1'
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():  # Python allows handlers only there
            self.before = {number: signal.signal(number, self._note) for number in heeded()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            outer = getattr(handler, "__self__", None)
            if isinstance(outer, AtOnce):
                outer.received = outer.received or self.received
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.received = number


class AtOnce(Stop):
    """Inside the block, the first of :data:`SIGNALS` raises :class:`Stopped` at the current point of the program.

    A :class:`Stop` block inside takes over. Signals after the first are ignored, so that cleanup can finish; but a
    second one from the keyboard interrupts.

    Example:
        >>> import os
        >>> with AtOnce():
        ...     os.kill(os.getpid(), signal.SIGUSR2)
        Traceback (most recent call last):
        oponm.signals.Stopped: stopped by SIGUSR2
    """

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is None or self.received == signal.SIGINT == number:
            super()._note(number, frame)
            raise Stopped(number)


def heeded() -> list[signal.Signals]:
    """The signals of :data:`SIGNALS` that end a run; SIGHUP is not one under ``nohup``.

    Example:
        >>> signal.SIGTERM in heeded()
        True
    """
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in SIGNALS if not (ignored and number == signal.SIGHUP)]
