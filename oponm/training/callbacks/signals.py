"""The handlers of signals that a run had stay in place."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytorch_lightning as pl

from oponm.signals import heeded


class OwnSignals(pl.Callback):
    """Puts the handlers back that Lightning replaces while it trains or tests.

    Lightning has no slot for them. Its handler of SIGTERM begins a collective wherever a process happens to be, which
    others may never join.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Remember the handlers, which Lightning replaces after this."""
        self.handlers: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():  # Python allows no handlers elsewhere
            self.handlers = {number: signal.getsignal(number) for number in heeded()}

    def _put_back(self, *_: Any) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    on_train_start: Any = _put_back
    on_validation_start: Any = _put_back
    on_test_start: Any = _put_back
