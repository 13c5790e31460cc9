"""Keeps the signal handlers that were set before training."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytorch_lightning as pl

from oponm.signals import heeded


class OwnSignals(pl.Callback):
    """Restores the signal handlers that Lightning replaces while it trains or tests.

    Lightning has no slot for this. Its handler of SIGTERM begins a collective at any point of a process, which other
    processes may never join.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Remember the handlers; Lightning replaces them after this."""
        self.handlers: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():  # Python allows handlers only there
            self.handlers = {number: signal.getsignal(number) for number in heeded()}

    def _put_back(self, *_: Any) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    on_train_start: Any = _put_back
    on_validation_start: Any = _put_back
    on_test_start: Any = _put_back
