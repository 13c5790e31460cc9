"""Keeps the signal handlers that were set before training."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytorch_lightning as pl

from oponm.signals import heeded


class OwnSignals(pl.Callback):
    """Restores the signal handlers that Lightning replaces while it trains or tests.

    Lightning's SIGTERM handler starts a collective operation at any point of the program. Other processes may never
    join the operation, and then the run hangs. Lightning has no option to turn its handlers off.
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
