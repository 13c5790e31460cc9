"""From the parts of a run to a module that is ready to train, each part tried out before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from oponm.data import LongTailDataModule
from oponm.errors import check_flag
from oponm.training.module import LongTailModule
from oponm.training.phases import PhasePlan
from oponm.training.rehearsal import try_part, try_parts
from oponm.training.train import make_trainer


def assemble(
    data: LongTailDataModule,
    model: nn.Module,
    plan: PhasePlan,
    optimizer: Callable[..., torch.optim.Optimizer],
    schedule: Callable[[int], float],
    loss: Callable[[Sequence[int]], nn.Module],
    norm: Mapping[str, str],
    seed: int = 0,
    shots: Mapping[str, int] | None = None,
    channels_last: bool = False,
    compile: bool = False,
    split_noise: bool | str = "auto",
    confusion_matrix: bool | str = "auto",
    **trainer_options: Any,
) -> LongTailModule:
    """Make the module of a run, and see that each of its parts can be used with the others.

    Args:
        data: set up.
        model: with its initial weights; its batch norm is converted in place where the plan has noise.
        plan: the phases.
        optimizer: see :class:`~oponm.training.LongTailModule`, as the next two.
        schedule: see there.
        loss: see there.
        norm: ``kind`` and ``noise_grad`` of :func:`~oponm.nn.convert_batchnorm`.
        seed: the run's.
        shots: see :class:`~oponm.training.LongTailModule`.
        channels_last: see there, as the next two.
        compile: see there.
        split_noise: see there; true where it cannot be done is an error.
        confusion_matrix: see there.
        **trainer_options: for :func:`~oponm.training.make_trainer`.

    Raises:
        InputError: naming the part that cannot be used.
    """
    idle = try_parts(data, model, plan, optimizer, schedule, loss, norm, compile, split_noise)
    module = LongTailModule(
        model,
        class_counts=data.class_counts,
        optimizer=optimizer,
        schedule=schedule,
        seed=seed,
        shots=dict(shots or {}),
        loss=loss,
        channels_last=check_flag("channels_last", channels_last),
        compile=compile,
        split_noise=split_noise,
        confusion_matrix=confusion_matrix,
    )
    module.has_idle_weights = idle
    try_part("trainer", lambda: make_trainer(**trainer_options))
    return module
