"""Phases, and the plan that assigns them to the epochs of a run: a method is a list of phases."""

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
    """A period of training: its sampler, noise, loss and trained part.

    Attributes:
        epochs: number of epochs in the published recipe, at least 1; runs of another length scale it.
        sampler: the name of a sampler in :data:`oponm.data.samplers.SAMPLERS`.
        noise: whether noise is added to the batches.
        mixing: whether images are mixed with each other, if the run has a ``mixing``.
        loss: function from the class counts to the loss, as in :mod:`oponm.losses`; None takes the loss of the run.
        class_weights: weights of the classes in the loss: ``"none"``, ``"inverse_frequency"``, ``"effective_number"``.
        beta: parameter of the effective number, in [0, 1), see :func:`~oponm.losses.class_weights`; None takes its
            default.
        trainable: what the phase trains: ``"all"``; ``"classifier"``, the last layer; ``"scale"``, a factor for each
            class's weights in the last layer; or ``"scaled_classifier"``, the last layer and this scale. A phase that
            trains only a part starts with a new optimizer. Parameters that require no gradient before training begins
            are trained in no phase.
        reset_classifier: whether to give the classifier new initial weights at the start of the phase.
        batchnorm: how frozen batch norms standardize if only a part is trained: ``"running"``, by their running
            statistics, which stay as they are (the default); or ``"batch"``, by the batch, natural and noise rows
            separately.
        schedule: function that is called with the number of epochs of this phase as ``max_epochs``, and returns the
            learning rate's factor as a function of the epoch in the phase; None takes the schedule of the run.
        noise_loss: factor, at least 0, that multiplies the loss weight of noise rows, in addition to the class weight.
            With 0, noise rows only pass through the network, where they may affect batch norm.
        lr_factor: factor of the learning rate, above 0, multiplied with that of the schedule. It does not apply to a
            scale that is trained together with the classifier.
        weight_decay: weight decay of the optimizer, if only a part is trained; None takes that of the run.
        max_norm: number in [0, 1] that limits the norm of the classifier's weight rows after each step. 0 stands for
            the norm of the shortest row at the start of the phase, 1 for that of the longest
            (:func:`~oponm.training.phase_optimizer.limit_norms`). Only for ``trainable="classifier"``; None sets no
            limit.

    Raises:
        InputError: for a value out of range, or for a setting that has no effect in this phase.

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
                raise InputError("is only for class_weights=effective_number: set that, or leave beta out", "beta")
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
        """Return the weights of the classes in the loss, (K,); None if they are equal.

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

    Args:
        epoch: the epoch in the published recipe.
        reference_epochs: number of epochs of the published recipe.
        max_epochs: number of epochs of the run.

    Example:
        >>> scale_epoch(160, 200, max_epochs=30)
        24
    """
    return round(epoch * max_epochs / reference_epochs)


class PhasePlan:
    """The phases of a method with the epochs of a run in which they start.

    Lengths keep their proportions; each phase has at least one epoch. A method may list two successive phases with the
    same settings, so that other methods can start from the cached state between them. If a run has fewer epochs than
    phases, such phases are merged.

    Args:
        phases: the phases, in order.
        max_epochs: number of epochs of the run.
        tau: after training, each weight row of the classifier is divided by this power of its norm
            (:func:`~oponm.models.two_stage.tau_normalize`); at least 0. None changes nothing.

    Raises:
        InputError: if there is no phase, fewer epochs than phases that remain, or a negative ``tau``.

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

        Args:
            phases: dicts of the arguments of :class:`Phase`.
            max_epochs: number of epochs of the run.
            tau: as in :class:`PhasePlan`.

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
        """Return the index of the phase that an epoch (zero-based) belongs to."""
        return sum(start <= epoch for start in self.starts) - 1

    def at(self, epoch: float) -> Phase:
        """Return the phase that an epoch (zero-based) belongs to."""
        return self.phases[self.number(epoch)]

    def within(self, epoch: float) -> tuple[float, int]:
        """Return the number of epochs from the start of the phase to an epoch in it, and the length of the phase."""
        number = self.number(epoch)
        end = [*self.starts, self.max_epochs][number + 1]
        return epoch - self.starts[number], end - self.starts[number]

    def progress(self, epoch: int) -> float:
        """Return the fraction of a phase that has passed at an epoch: 0 in its first epoch, 1 in its last or only one.

        Example:
            >>> plan = PhasePlan([Phase(4)], max_epochs=5)
            >>> [plan.progress(epoch) for epoch in range(5)]
            [0.0, 0.25, 0.5, 0.75, 1.0]
        """
        passed, length = self.within(epoch)
        return passed / (length - 1) if length > 1 else 1.0

    def rate(self, epoch: float, schedule: Callable[[Any], float]) -> float:
        """Return the learning rate's factor: the phase's ``lr_factor`` times its own schedule, or else ``schedule``."""
        phase = self.at(epoch)
        if phase.schedule is None:
            return phase.lr_factor * schedule(epoch)
        passed, length = self.within(epoch)
        return phase.lr_factor * phase.schedule(max_epochs=length)(passed)

    @property
    def uses_noise(self) -> bool:
        """Whether any phase adds noise to the batches."""
        return any(phase.noise for phase in self.phases)


def _merged(phases: Sequence[Phase]) -> list[Phase]:
    """Merge successive phases with the same settings."""
    merged: list[Phase] = []
    for phase in phases:
        settings: dict[str, Any] = {**vars(phase)}
        if merged and {**vars(merged[-1]), "epochs": 0} == {**settings, "epochs": 0}:
            settings["epochs"] += merged.pop().epochs
        merged.append(Phase(**settings))
    return merged
