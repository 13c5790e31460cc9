"""Pure noise images for rare classes (OPeN): their distributions, and the ways to put them into a batch."""

from oponm.noise.add import AddNoise
from oponm.noise.append import AppendNoise
from oponm.noise.batch import Batch
from oponm.noise.class_gaussian import ClassGaussianNoise
from oponm.noise.gaussian import GaussianNoise
from oponm.noise.probability import noise_probability
from oponm.noise.replace import ReplaceWithNoise
from oponm.noise.spectrum import SpectrumNoise
from oponm.noise.uniform import UniformNoise

__all__ = [
    "AddNoise",
    "AppendNoise",
    "Batch",
    "ClassGaussianNoise",
    "GaussianNoise",
    "ReplaceWithNoise",
    "SpectrumNoise",
    "UniformNoise",
    "noise_probability",
]
