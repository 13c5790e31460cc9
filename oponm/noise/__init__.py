"""Pure noise images for rare classes (OPeN)."""

from oponm.noise.append import AppendNoise
from oponm.noise.batch import Batch
from oponm.noise.gaussian import GaussianNoise
from oponm.noise.probability import noise_probability
from oponm.noise.replace import ReplaceWithNoise

__all__ = ["AppendNoise", "Batch", "GaussianNoise", "ReplaceWithNoise", "noise_probability"]
