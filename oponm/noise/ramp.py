"""The amount of noise at a point of a phase."""

from __future__ import annotations

from oponm.errors import check_real

RAMPS = ("constant", "linear")


def ramp_factor(ramp: str, progress: float) -> float:
    """Return the fraction of the full amount of noise.

    Args:
        ramp: ``"constant"``: always 1. ``"linear"``: the fraction of the phase that has passed.
        progress: fraction of the phase that has passed, in [0, 1]: 0 in its first epoch, 1 in its last.

    Raises:
        InputError: for a progress outside [0, 1].

    Example:
        >>> ramp_factor("linear", 0.25), ramp_factor("constant", 0.25)
        (0.25, 1.0)
    """
    progress = check_real("progress", progress, 0, 1)
    return progress if ramp == "linear" else 1.0
