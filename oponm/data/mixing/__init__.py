"""Mixing natural images with each other: mixup, CutMix and Remix, with a separate draw for each row.

A choice of the config group ``mixing`` is a function from the class counts to a module that takes a
:class:`~oponm.noise.Batch` in [0, 1] and a generator and returns the batch with ``partners`` and ``shares``, or to
None. Noise rows are not mixed with anything.

torchvision and kornia have mixup and CutMix too, but draw from the global generators, torchvision with one share per
batch, and neither can leave noise rows out.
"""

from collections.abc import Sequence

from oponm.data.mixing.base import Mixing
from oponm.data.mixing.cutmix import CutMix, cutmix
from oponm.data.mixing.mixup import Mixup, mixup
from oponm.data.mixing.remix import Remix

__all__ = ["CutMix", "Mixing", "Mixup", "Remix", "cutmix", "mixup", "no_mixing"]


def no_mixing(class_counts: Sequence[int]) -> None:
    """Leave images as they are.

    Args:
        class_counts: training images of each class; not used.
    """
