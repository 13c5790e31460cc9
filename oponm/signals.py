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
    """Raised when a signal ends a run. It is no ``Exception``, so ``except Exception`` does not catch it.

    Args:
        number: number of the signal.
        step: step after which the run ended and wrote a checkpoint; None if it wrote none.

    Attributes:
        signal: the signal.
        step: the step of the checkpoint, or None.
    """

    def __init__(self, number: int, step: int | None = None) -> None:
        self.signal, self.step = signal.Signals(number), step
        super().__init__(f"stopped by {self.signal.name}")


class Stop:
    """Context manager that records a signal of :data:`SIGNALS`; a second SIGINT raises KeyboardInterrupt.

    Attributes:
        received: number of the last signal, or None.

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
    """Context manager in whose block the first of :data:`SIGNALS` raises :class:`Stopped` at once.

    While a :class:`Stop` block inside it runs, signals are only recorded. Signals after the first are ignored, so that
    cleanup can finish; but a second SIGINT raises KeyboardInterrupt.

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
    """Return the signals that end a run: those of :data:`SIGNALS`, without SIGHUP if it is ignored (``nohup``).

    Example:
        >>> signal.SIGTERM in heeded()
        True
    """
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in SIGNALS if not (ignored and number == signal.SIGHUP)]
