"""Suggests a method for a training set, from this project's own runs: ``docs/which_method.md``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

DEFERRED = 1 / 5  # of the epochs, in method=drs and method=open
EVEN = 2  # imbalance ratio below which there is no tail to speak of
FEW = 20  # images in the rarest class: the digits' rarest classes have 12, 2 and 1, the photographs' 50
OFTEN = 100  # draws of each of the rarest images, between those of the photographs below
# Points of balanced accuracy as docs/evidence.md has them; a test compares.
MEASURED = {
    "balanced softmax minus OPeN, digits": "+1.7 [+1.2, +2.1]",
    "DRS minus ERM, digits": "-4.5 [-5.1, -3.9]",
    "OPeN minus DRS, 74 draws": "-0.6 [-1.3, +0.1]",
    "OPeN minus DRS, 298 draws": "+2.5 [+1.5, +3.5]",
}


class Suggestion(NamedTuple):
    """A suggested method for a training set.

    Attributes:
        settings: overrides for ``oponm train``, such as ``"method=erm loss=balanced_softmax"``.
        reason: why this method, in words.
    """

    settings: str
    reason: str


def draws(class_counts: Sequence[int], epochs: float) -> float:
    """Return how often class-balanced sampling draws each image of the rarest class, on average.

    Args:
        class_counts: training images of each class.
        epochs: number of epochs with class-balanced sampling.

    Example:
        >>> draws([128, 82, 53, 34, 22, 14, 9, 6, 3, 2], epochs=1)
        17.65
    """
    return sum(class_counts) / len(class_counts) / min(class_counts) * epochs


def which_method(class_counts: Sequence[int], max_epochs: int) -> Suggestion:
    """Suggest a method for a training set.

    Args:
        class_counts: training images of each class.
        max_epochs: number of epochs of the run; the last fifth is assumed to be the deferred phase, as in
            ``method=drs`` and ``method=open``.

    Example:
        >>> [which_method(counts, 200).settings for counts in ([100, 90], [5000, 500, 50], [128, 20, 2])]
        ['method=erm', 'method=open', 'method=erm loss=balanced_softmax']
        >>> which_method([5000, 500, 50], 5).settings
        'method=drs'
    """
    rarest, ratio = min(class_counts), max(class_counts) / min(class_counts)
    if ratio < EVEN:
        return Suggestion("method=erm", f"the largest class has {ratio:.2g} times the images of the smallest: no tail")
    once, often = draws(class_counts, 1), draws(class_counts, max_epochs * DEFERRED)
    facts = (
        f"the rarest class has {rarest} image{'s' if rarest > 1 else ''}; class-balanced sampling draws each "
        f"{once:.3g} times an epoch, {often:.0f} times in the deferred phase of {max_epochs} epochs"
    )
    if rarest < FEW:
        why = (
            f"on digits with rarest classes as small, DRS was {MEASURED['DRS minus ERM, digits']} against plain "
            "training; OPeN repaired that (method=open norm.noise_grad=full), and balanced softmax was "
            f"{MEASURED['balanced softmax minus OPeN, digits']} against it"
        )
        return Suggestion("method=erm loss=balanced_softmax", f"{facts}: {why}")
    if often < OFTEN:
        why = f"on photographs OPeN was {MEASURED['OPeN minus DRS, 74 draws']} against DRS at 74 draws; train longer"
        return Suggestion("method=drs", f"{facts}: {why}")
    why = f"on photographs OPeN was {MEASURED['OPeN minus DRS, 298 draws']} against DRS at 298 draws"
    return Suggestion("method=open", f"{facts}: {why}")
