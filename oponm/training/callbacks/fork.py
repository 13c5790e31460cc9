"""Starts a run from a stored phase of the phase cache, and stores the run's own phases there."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch

from oponm.data import LongTailDataModule
from oponm.signals import Stopped
from oponm.training.callbacks.checkpoint import BEST, Checkpoints, save_whole, state_of
from oponm.training.distributed import everyone_says, first_says, rank, world_size
from oponm.training.module import LongTailModule
from oponm.training.phase_cache import PhaseCache
from oponm.training.phase_key import phase_key, trains_as_plain
from oponm.training.plain_phase import with_auxiliary, without_auxiliary

log = logging.getLogger(__name__)


class _Waiting(NamedTuple):
    """Message that the first process waits for another run, with the signal that it has received, if any."""

    received: int | None


class Fork(pl.Callback):
    """Starts training from the latest phase whose end state is cached, and stores the end state of each further phase.

    As a context manager it holds a lock on the first phase that the cache lacks, until that phase is stored. If another
    run holds this lock, this run waits, and then starts from the end of that phase.

    Args:
        cache: the cache of phases.
        module: the module, not trained yet, its plan set.
        data: the data module, set up.
        trainer: the trainer, not started yet.
        checkpoints: the Checkpoints callback of the run.
        begun: epoch that the run resumes in; 0 for a new run.
        options: options of the trainer, by name; those that the weights depend on are part of the cache's keys.
        callbacks: the user's callbacks.

    Attributes:
        state: the checkpoint that was found in the cache, as a dict, or None.
    """

    def __init__(
        self,
        cache: PhaseCache,
        module: LongTailModule,
        data: LongTailDataModule,
        trainer: pl.Trainer,
        checkpoints: Checkpoints,
        begun: int = 0,
        options: Mapping[str, Any] | None = None,
        callbacks: Sequence[pl.Callback] = (),
    ) -> None:
        self.cache, self.module, self.checkpoints = cache, module, checkpoints
        self.keys, self.plain = {}, set()
        try:
            borders = [epoch for epoch in module.plan.starts if epoch > begun]
            self.keys = {epoch: phase_key(module, data, trainer, epoch, options, callbacks) for epoch in borders}
            self.plain = {epoch for epoch in borders if trains_as_plain(module, data, epoch)}
        except NotImplementedError as error:
            log.warning("phase cache: not used, as %s", error)
        self.begun = begun
        self.state: dict[str, Any] | None = None
        self.right = ExitStack()

    def __enter__(self) -> Fork:
        if self.begun:
            return self
        if rank() == 0:
            missing = self._find()
            if missing is not None:
                asked = time.perf_counter()
                self.right.enter_context(self.cache.training(self.keys[missing], self._waiting))
                self.checkpoints.started += time.perf_counter() - asked  # waiting is no training time
                self._find()  # by now another run may have stored it
        if world_size() > 1:
            self._find_together()
        if self.state:
            self._reuse(self.state)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.right.close()

    def _waiting(self) -> None:
        """Report the wait to the other processes again and again; else they would run into a timeout."""
        received = self.checkpoints.stop.received
        first_says(_Waiting(received))
        if received is not None:
            raise Stopped(received)

    def _find_together(self) -> None:
        """Start from the state that the first process has found, if all processes can read it."""
        said = first_says(self.state["epoch"] if self.state else None)
        while isinstance(said, _Waiting):  # the first process still waits
            if said.received is not None:
                raise Stopped(said.received)
            said = first_says(None)
        if said is None:
            return
        if rank() > 0:
            self.state = self.cache.load(self.keys[said])
        if not all(everyone_says(self.state is not None)):
            log.warning("phase cache: not used, as only some processes can read %s", self.cache.folder)
            self.state = None

    def _find(self) -> int | None:
        """Load the end state of the latest stored phase; return the epoch in which the first phase not stored ends."""
        self.state = None
        missing = None
        for epoch in sorted(self.keys, reverse=True):
            if state := self.cache.load(self.keys[epoch]):
                self.state = with_auxiliary(state, self.module.model) if epoch in self.plain else state
                break
            missing = epoch
        return missing

    def _reuse(self, state: dict[str, Any]) -> None:
        saved = state_of(state)
        epoch, best = state["epoch"], state["best"]
        self.begun = epoch
        log.info(
            "phase cache: reused the first %d epochs, which saved %.1f s (%s)",
            *(epoch, saved["seconds"], self.keys[epoch][:16]),
        )
        reused = {"epochs": epoch, "seconds": saved["seconds"], "key": self.keys[epoch]}
        own = {**saved, "seconds": 0.0, "reused": reused, "ended": False}
        plan = self.module.plan
        of_run = {"phases": [phase.name for phase in plan.phases], "starts": plan.starts}
        self.state = {**state, "callbacks": {**state["callbacks"], self.checkpoints.state_key: own}}
        self.state["training"] = {**state["training"], **of_run}
        if best and rank() == 0:
            save_whole(best, self.checkpoints.folder / BEST)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """At the start of a phase, store the end state of the previous phase before anything changes."""
        epoch = trainer.current_epoch
        if epoch not in self.keys or epoch <= self.begun:
            return
        if not self.checkpoints.guard.skipped:  # other runs may not skip the same steps
            self.checkpoints.started_epoch = False
            trainer.save_checkpoint(self.cache.folder, storage_options=lambda state: self._store(epoch, state))
            self.checkpoints.started_epoch = None
        self.right.close()

    def _store(self, epoch: int, state: dict[str, Any]) -> None:
        saved = self.checkpoints.state_dict()
        earlier = (self.checkpoints.reused or {}).get("seconds", 0.0)
        own = {**saved, "seconds": round(earlier + self.checkpoints.elapsed, 3), "reused": None}
        state = {**state, "callbacks": {**state["callbacks"], self.checkpoints.state_key: own}, "best": None}
        if self.checkpoints.best:
            state["best"] = torch.load(self.checkpoints.folder / BEST, map_location="cpu", weights_only=True)
        if epoch in self.plain:
            state = without_auxiliary(state, self.module.model)
        self.cache.save(self.keys[epoch], state)
