"""Phases, and the plan that lays them out over a run: a method is a list of phases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn

from oponm.data.samplers import SAMPLERS
from oponm.errors import InputError, check_choice, check_flag, check_int, check_real
from oponm.losses import WEIGHTS, class_weights
from oponm.losses.checks import check_positive

PARTS = ("all", "classifier", "scale", "scaled_classifier")
BATCHNORMS = ("running", "batch")


@dataclass(frozen=True)
class Phase:
    """A stretch of training: its sampler, noise, loss and trained part.

    Attributes:
        epochs: its length in the published recipe; runs of another length scale it.
        sampler: the name of a sampler in :data:`oponm.data.samplers.SAMPLERS`.
        noise: whether noise is mixed into the batches.
        noise_loss: factor of the weight of noise rows in the loss, beside that of their class; natural rows have 1.
            With 0, noise rows only pass through the network, where batch norm may see them.
        mixing: whether images are mixed with each other, if the run has a ``mixing``.
        loss: factory of the loss, from the class counts, see :mod:`oponm.losses`; None takes the run's.
        class_weights: weights of the classes in the loss: ``"none"``, ``"inverse_frequency"``, ``"effective_number"``.
        beta: parameter of the effective number, see :func:`~oponm.losses.class_weights`; None takes its default.
        trainable: ``"all"``, ``"classifier"`` (the last layer alone), ``"scale"`` (a factor for each class's weights
            in the last layer), or ``"scaled_classifier"`` (both of these). A phase that trains a part starts with a new
            optimizer. Parameters that require no gradient before training begins are trained in no phase.
        reset_classifier: give the classifier new initial weights at the start.
        batchnorm: where only a part is trained, the statistics by which frozen batch norms standardize: ``"running"``,
            which stay as they are (the default), or those of the ``"batch"``, natural and noise rows apart.
        schedule: factory of the learning rate's factor over this phase's epochs, called with their number as
            ``max_epochs``; None takes the run's.
        lr_factor: factor of the learning rate, beside that of the schedule. A scale that is trained with the classifier
            keeps the full rate.
        weight_decay: of this phase's optimizer, where only a part is trained; None takes the run's.
        max_norm: where the classifier is trained, limits the length of its weight rows after each step: 0 to that of
            the row that is shortest at the start of the phase, 1 to the longest, see
            :func:`~oponm.training.phase_optimizer.limit_norms`; None does not.

    Raises:
        InputError: for a value out of range, or one without effect in this phase.

    Example:
        >>> Phase(40, sampler="class_balanced", noise=True).name
        'class_balanced+noise'
    """

    epochs: int
    sampler: str = "instance"
    noise: bool = False
    mixing: bool = True
    loss: Callable[..., nn.Module] | None = None
    class_weights: str = "none"
    beta: float | None = None
    trainable: str = "all"
    reset_classifier: bool = False
    batchnorm: str | None = None
    schedule: Callable[..., Callable[[Any], float]] | None = None
    noise_loss: float = 1.0
    lr_factor: float = 1.0
    weight_decay: float | None = None
    max_norm: float | None = None

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, minimum=1)
        check_choice("sampler", self.sampler, SAMPLERS)
        for key in ("noise", "mixing", "reset_classifier"):
            check_flag(key, getattr(self, key))
        object.__setattr__(self, "noise_loss", check_real("noise_loss", self.noise_loss, 0))  # 1 is 1.0 to the cache
        if self.noise_loss != 1 and not self.noise:
            raise InputError("weighs noise rows: set noise=true, or leave noise_loss out", "noise_loss")
        for key in ("loss", "schedule"):
            if not (getattr(self, key) is None or callable(getattr(self, key))):
                raise InputError(
                    f"must be null, or {{_target_: ..., _partial_: true}}, got {getattr(self, key)!r}", key
                )
        check_choice("class_weights", self.class_weights, WEIGHTS)
        if self.beta is not None:
            if check_real("beta", self.beta, 0, 1) == 1:
                raise InputError("must be below 1", "beta")
            if self.class_weights != "effective_number":
                raise InputError("is that of class_weights=effective_number: set it, or leave beta out", "beta")
        check_choice("trainable", self.trainable, PARTS)
        if self.batchnorm is not None:
            check_choice("batchnorm", self.batchnorm, BATCHNORMS)
            if self.trainable == "all":
                raise InputError("is for phases that train a part: set trainable, or leave batchnorm out", "batchnorm")
        object.__setattr__(self, "lr_factor", check_positive("lr_factor", self.lr_factor))
        if self.weight_decay is not None:
            check_real("weight_decay", self.weight_decay, 0)
            if self.trainable == "all":
                raise InputError("is for phases that train a part: set optimizer.weight_decay", "weight_decay")
        if self.max_norm is not None:
            check_real("max_norm", self.max_norm, 0, 1)
            if self.trainable != "classifier":
                raise InputError("is for phases with trainable=classifier: set it, or leave max_norm out", "max_norm")

    def weights(self, class_counts: Sequence[int]) -> Tensor | None:
        """The weights of the classes in the loss, (K,); None where they are equal.

        Args:
            class_counts: training images of each class, length K.
        """
        options = {} if self.beta is None else {"beta": self.beta}
        return class_weights(class_counts, self.class_weights, **options)

    @property
    def name(self) -> str:
        """The name of the phase in progress and logs."""
        parts = [self.sampler, "noise" if self.noise else "", self.class_weights.replace("none", "")]
        parts.append("" if self.trainable == "all" else self.trainable)
        return "+".join(part for part in parts if part)


def scale_epoch(epoch: float, reference_epochs: float, max_epochs: int) -> int:
    """Scale an epoch of the published recipe to a run of another length.

    Example:
        >>> scale_epoch(160, 200, max_epochs=30)
        24
    """
    return round(epoch * max_epochs / reference_epochs)


class PhasePlan:
    """The phases of a method laid out over the epochs of a run.

    Lengths keep their proportions; each phase has at least one epoch. A recipe may cut a phase into two equal ones, so
    that others can continue from the cut; where a run is too short for both, they are merged.

    Args:
        phases: the phases, in order.
        max_epochs: number of epochs of the run.
        tau: normalize the classifier's weights by this power of their norms when training is over, see
            :func:`~oponm.models.two_stage.tau_normalize`; None leaves them.

    Raises:
        InputError: if there is no phase, fewer epochs than phases, or a negative ``tau``.

    Example:
        >>> plan = PhasePlan([Phase(160), Phase(40, "class_balanced", noise=True)], max_epochs=10)
        >>> plan.starts, plan.at(8).noise
        ([0, 8], True)
    """

    def __init__(self, phases: Sequence[Phase], max_epochs: int, tau: float | None = None) -> None:
        if not phases:
            raise InputError("must list at least one phase", "phases")
        check_int("max_epochs", max_epochs, minimum=1)
        phases = list(phases) if max_epochs >= len(phases) else _merged(phases)
        if max_epochs < len(phases):
            raise InputError(f"must be at least {len(phases)}, one for each phase, got {max_epochs}", "max_epochs")
        self.phases, self.max_epochs = phases, max_epochs
        self.tau = None if tau is None else check_real("tau", tau, 0)
        total = sum(phase.epochs for phase in phases)
        self.starts: list[int] = []
        passed = 0
        for number, phase in enumerate(phases):
            earliest = self.starts[-1] + 1 if self.starts else 0
            latest = max_epochs - (len(phases) - number)
            self.starts.append(min(max(scale_epoch(passed, total, max_epochs), earliest), latest))
            passed += phase.epochs

    @classmethod
    def from_config(cls, phases: Sequence[Mapping[str, Any]], max_epochs: int, tau: float | None = None) -> PhasePlan:
        """Make a plan from the phases of a method's config file.

        Raises:
            InputError: for a phase with an unknown key.
        """
        if not isinstance(phases, Sequence) or not all(isinstance(phase, Mapping) for phase in phases):
            raise InputError(f"must be a list of phases such as {{epochs: 40}}, got {phases!r}", "phases")
        known = [field.name for field in fields(Phase)]
        for phase in phases:
            if unknown := [key for key in phase if key not in known]:
                raise InputError(f"has no key {unknown[0]!r}: a phase has {', '.join(known)}", "phases")
            if "epochs" not in phase:
                raise InputError("must give each phase a number of epochs", "phases")
        try:
            made = [Phase(**phase) for phase in phases]
        except InputError as error:
            raise InputError(f"has a mistake: {error}", "phases") from error
        return cls(made, max_epochs, tau)

    def number(self, epoch: float) -> int:
        """The index of the phase that an epoch (zero-based) belongs to."""
        return sum(start <= epoch for start in self.starts) - 1

    def at(self, epoch: float) -> Phase:
        """The phase that an epoch (zero-based) belongs to."""
        return self.phases[self.number(epoch)]

    def within(self, epoch: float) -> tuple[float, int]:
        """The number of epochs of its phase before an epoch, and the number of epochs of the phase."""
        number = self.number(epoch)
        end = [*self.starts, self.max_epochs][number + 1]
        return epoch - self.starts[number], end - self.starts[number]

    def progress(self, epoch: int) -> float:
        """The share of its phase that has passed at an epoch: 0 in its first epoch, 1 in its last or only one.

        Example:
            >>> plan = PhasePlan([Phase(4)], max_epochs=5)
            >>> [plan.progress(epoch) for epoch in range(5)]
            [0.0, 0.25, 0.5, 0.75, 1.0]
        """
        passed, length = self.within(epoch)
        return passed / (length - 1) if length > 1 else 1.0

    def rate(self, epoch: float, schedule: Callable[[Any], float]) -> float:
        """The factor of the learning rate: the phase's, times its own schedule or else the run's ``schedule``."""
        phase = self.at(epoch)
        if phase.schedule is None:
            return phase.lr_factor * schedule(epoch)
        passed, length = self.within(epoch)
        return phase.lr_factor * phase.schedule(max_epochs=length)(passed)

    @property
    def uses_noise(self) -> bool:
        """Whether any phase mixes noise in."""
        return any(phase.noise for phase in self.phases)


def _merged(phases: Sequence[Phase]) -> list[Phase]:
    """The phases with equal neighbors merged."""
    merged: list[Phase] = []
    for phase in phases:
        settings: dict[str, Any] = {**vars(phase)}
        if merged and {**vars(merged[-1]), "epochs": 0} == {**settings, "epochs": 0}:
            settings["epochs"] += merged.pop().epochs
        merged.append(Phase(**settings))
    return merged
