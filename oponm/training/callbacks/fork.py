"""A run's use of the phase cache: where it can begin, and what it leaves for others."""

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
    """The first process waits for another run; a signal that it has received."""

    received: int | None


class Fork(pl.Callback):
    """Finds the last border of phases that the cache knows, and stores the state at those that a run comes to.

    As a context it holds the right to train the first phase that is missing, until that is stored; a run that finds it
    taken waits, and starts from there.

    Args:
        cache: where phases are kept.
        module: the module, not trained yet, its plan set.
        data: the data module, set up.
        trainer: the trainer, not started yet.
        keeper: of the run's checkpoints.
        begun: the epoch that the run resumes in; of a new one, 0.
        options: what of the trainer's options the weights depend on.
        callbacks: those of the user.

    Attributes:
        state: what was found, or None.
    """

    def __init__(
        self,
        cache: PhaseCache,
        module: LongTailModule,
        data: LongTailDataModule,
        trainer: pl.Trainer,
        keeper: Checkpoints,
        begun: int = 0,
        options: Mapping[str, Any] | None = None,
        callbacks: Sequence[pl.Callback] = (),
    ) -> None:
        self.cache, self.module, self.keeper = cache, module, keeper
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
                self.keeper.started += time.perf_counter() - asked  # to wait is not to train
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
        """Say so to the other processes, again and again: waiting for this one, they would run into a timeout."""
        received = self.keeper.stop.received if self.keeper.stop else None
        first_says(_Waiting(received))
        if received is not None:
            raise Stopped(received)

    def _find_together(self) -> None:
        """Start from what the first process has found, if all of them can read it."""
        said = first_says(self.state["epoch"] if self.state else None)
        while isinstance(said, _Waiting):  # the first one has not come here yet
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
        """Load the state of the last border that is stored; return the first one after it."""
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
        self.state = {**state, "callbacks": {**state["callbacks"], self.keeper.state_key: own}}
        self.state["training"] = {**state["training"], **of_run}
        if best and rank() == 0:
            save_whole(best, self.keeper.folder / BEST)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """At a border, store the state before the phase changes anything."""
        epoch = trainer.current_epoch
        if epoch not in self.keys or epoch <= self.begun:
            return
        if not self.keeper.guard.skipped:  # no phase that others would not have gone through
            self.keeper.started_epoch = False
            trainer.save_checkpoint(self.cache.folder, storage_options=lambda state: self._store(epoch, state))
            self.keeper.started_epoch = None
        self.right.close()

    def _store(self, epoch: int, state: dict[str, Any]) -> None:
        saved = self.keeper.state_dict()
        earlier = (self.keeper.reused or {}).get("seconds", 0.0)
        own = {**saved, "seconds": round(earlier + self.keeper.elapsed, 3), "reused": None}
        state = {**state, "callbacks": {**state["callbacks"], self.keeper.state_key: own}, "best": None}
        if self.keeper.best:
            state["best"] = torch.load(self.keeper.folder / BEST, map_location="cpu", weights_only=True)
        if epoch in self.plain:
            state = without_auxiliary(state, self.module.model)
        self.cache.save(self.keys[epoch], state)
