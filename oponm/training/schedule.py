"""Schedules of the learning rate over a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from oponm.errors import InputError, check_choice, check_int, check_real
from oponm.training.phases import scale_epoch

INTERVALS = ("epoch", "step")


class Schedule:
    """A learning-rate factor as a function of the epoch, which is updated once per epoch or per step.

    Args:
        factor: function from the time in epochs, 0 at the start of training, to the factor.
        interval: ``"epoch"``: the rate changes between epochs; ``"step"``: after each step, by fractions of an epoch.

    Example:
        >>> Schedule(lambda epoch: 0.5**epoch, "step")(0.5)
        0.7071067811865476
    """

    def __init__(self, factor: Callable[[float], float], interval: str = "epoch") -> None:
        self.factor, self.interval = factor, check_choice("interval", interval, INTERVALS)

    def __call__(self, epoch: float) -> float:
        """Return the factor at a time in epochs."""
        return self.factor(epoch)


def step_schedule(
    max_epochs: int,
    reference_epochs: int = 200,
    warmup_epochs: int = 5,
    milestones: Sequence[int] = (160, 180),
    gamma: float = 0.01,
    interval: str = "epoch",
) -> Schedule:
    r"""Linear warm-up by epoch, then a drop at each milestone; the publication's schedule for CIFAR-LT.

    .. math:: f(e) = \min\left(1, \frac{e + 1}{W}\right) \gamma^{|\{m : e \ge m\}|}

    Epochs are given for a run of ``reference_epochs`` and scale with ``max_epochs``.

    Args:
        max_epochs: number of epochs of the run.
        reference_epochs: number of epochs of the run that ``warmup_epochs`` and ``milestones`` refer to.
        warmup_epochs: W, number of epochs, at least 0.
        milestones: epochs m at which the rate drops.
        gamma: factor of each drop, in [0, 1].
        interval: ``"epoch"`` or ``"step"``, how often the rate changes.

    Returns:
        A function from the epoch (zero-based) to the factor of the base learning rate, for the whole run.

    Raises:
        InputError: for a value out of range.

    References:
        Cao et al., NeurIPS 2019; Zada, Benou, Irani, ICML 2022, App. A.

    Example:
        >>> factor = step_schedule(max_epochs=200)
        >>> [round(factor(epoch), 6) for epoch in (0, 4, 159, 160, 180)]
        [0.2, 1.0, 1.0, 0.01, 0.0001]
    """
    check_int("max_epochs", max_epochs, minimum=1)
    check_int("reference_epochs", reference_epochs, minimum=1)
    check_real("gamma", gamma, 0, 1)
    if check_int("warmup_epochs", warmup_epochs, minimum=0) >= reference_epochs:
        raise InputError(f"must be below reference_epochs={reference_epochs}, got {warmup_epochs}", "warmup_epochs")
    warmup = scale_epoch(warmup_epochs, reference_epochs, max_epochs)
    drops = [
        scale_epoch(check_int("milestones", milestone, minimum=1), reference_epochs, max_epochs)
        for milestone in milestones
    ]

    def factor(epoch: float) -> float:
        return min(1.0, (epoch + 1) / max(warmup, 1)) * gamma ** sum(epoch >= drop for drop in drops)

    return Schedule(factor, interval)


def cosine_schedule(max_epochs: int, warmup_epochs: int = 0, interval: str = "epoch") -> Schedule:
    r"""Linear warm-up by epoch, then a half cosine from the full rate toward zero.

    .. math:: f(e) = \min\left(1, \frac{e + 1}{W}\right) \cdot \frac{1 + \cos(\pi (e - W)_+ / (E - W))}{2}

    Args:
        max_epochs: E, number of epochs of the run.
        warmup_epochs: W, number of epochs, which does not scale with ``max_epochs``.
        interval: ``"epoch"`` or ``"step"``, how often the rate changes.

    Returns:
        A function from the epoch (zero-based) to the factor of the base learning rate.

    Raises:
        InputError: for a value out of range.

    References:
        Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.

    Example:
        >>> factor = cosine_schedule(max_epochs=4)
        >>> [round(factor(epoch), 3) for epoch in range(4)]
        [1.0, 0.854, 0.5, 0.146]
    """
    check_int("max_epochs", max_epochs, minimum=1)
    warmup = check_int("warmup_epochs", warmup_epochs, minimum=0)
    if warmup >= max_epochs:
        raise InputError(f"must be below max_epochs={max_epochs}, got {warmup}", "warmup_epochs")

    def factor(epoch: float) -> float:
        passed = max(epoch - warmup, 0) / (max_epochs - warmup)
        return min(1.0, (epoch + 1) / max(warmup, 1)) * (1 + math.cos(math.pi * passed)) / 2

    return Schedule(factor, interval)


def constant_schedule(max_epochs: int) -> Schedule:
    """Make a schedule with the full learning rate in every epoch.

    Args:
        max_epochs: number of epochs of the run; has no effect.

    Example:
        >>> constant_schedule(max_epochs=4)(3)
        1.0
    """
    return Schedule(lambda epoch: 1.0)
