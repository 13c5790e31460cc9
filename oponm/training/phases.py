"""A method is a list of phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from oponm.data.module import EpochInput
from oponm.data.samplers import SAMPLERS
from oponm.errors import InputError, check_choice, check_int


@dataclass(frozen=True)
class Phase:
    """One stretch of training.

    Attributes:
        epochs: its length in the published recipe; runs of another length scale it.
        sampler: ``"instance"`` or ``"class_balanced"``.
        noise: whether noise is mixed into the batches.

    Raises:
        InputError: for an unknown sampler or a length below 1.

    Example:
        >>> Phase(40, sampler="class_balanced", noise=True).name
        'class_balanced+noise'
    """

    epochs: int
    sampler: str = "instance"
    noise: bool = False

    def __post_init__(self) -> None:
        check_int("epochs", self.epochs, minimum=1)
        check_choice("sampler", self.sampler, SAMPLERS)
        if not isinstance(self.noise, bool):
            raise InputError(f"must be true or false, got {self.noise!r}", "noise")

    @property
    def name(self) -> str:
        """What progress and logs call the phase."""
        return self.sampler + ("+noise" if self.noise else "")

    @property
    def input(self) -> EpochInput:
        """What the data module is to serve."""
        return EpochInput(self.sampler, self.noise)


def scale_epoch(epoch: float, reference_epochs: float, max_epochs: int) -> int:
    """An epoch of the published recipe in a run of another length.

    Example:
        >>> scale_epoch(160, 200, max_epochs=30)
        24
    """
    return round(epoch * max_epochs / reference_epochs)


class PhasePlan:
    """The phases of a method laid out over the epochs of a run.

    Lengths keep their proportions; each phase has at least one epoch.

    Args:
        phases: in order.
        max_epochs: epochs of the run.

    Raises:
        InputError: if there is no phase, or fewer epochs than phases.

    Example:
        >>> plan = PhasePlan([Phase(160), Phase(40, "class_balanced", noise=True)], max_epochs=10)
        >>> plan.starts, plan.at(8).noise
        ([0, 8], True)
    """

    def __init__(self, phases: Sequence[Phase], max_epochs: int) -> None:
        if not phases:
            raise InputError("must list at least one phase", "phases")
        if check_int("max_epochs", max_epochs, minimum=1) < len(phases):
            raise InputError(f"must be at least {len(phases)}, one for each phase, got {max_epochs}", "max_epochs")
        self.phases, self.max_epochs = list(phases), max_epochs
        total = sum(phase.epochs for phase in phases)
        self.starts: list[int] = []
        passed = 0
        for number, phase in enumerate(phases):
            earliest = self.starts[-1] + 1 if self.starts else 0
            latest = max_epochs - (len(phases) - number)
            self.starts.append(min(max(scale_epoch(passed, total, max_epochs), earliest), latest))
            passed += phase.epochs

    @classmethod
    def from_config(cls, phases: Sequence[Mapping[str, Any]], max_epochs: int) -> PhasePlan:
        """Make a plan from the mappings of a method's config file.

        Raises:
            InputError: for a phase with a key that phases do not have.
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
        return cls(made, max_epochs)

    def at(self, epoch: int) -> Phase:
        """The phase that an epoch (zero-based) belongs to."""
        return self.phases[sum(start <= epoch for start in self.starts) - 1]

    @property
    def uses_noise(self) -> bool:
        """Whether any phase mixes noise in."""
        return any(phase.noise for phase in self.phases)
