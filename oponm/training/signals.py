"""Signals that ask a run to end: it finishes the step, writes a checkpoint, exits with 128 and the signal's number."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Stopped(Exception):
    """Training ended at a signal, with a checkpoint of the step it ended at.

    Attributes:
        signal: the signal.
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(f"stopped by {self.signal.name}")


class Stop:
    """While it is entered, notes the signals of :data:`SIGNALS`; a second one from the keyboard interrupts at once.

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
        self.before = self.listen()
        return self

    def listen(self) -> dict[int, Any]:
        """Note the signals from now on; returns the handlers that did so far."""
        if threading.current_thread() is not threading.main_thread():  # Python allows no handlers there
            return {}
        return {number: signal.signal(number, self._note) for number in SIGNALS}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.received = number
