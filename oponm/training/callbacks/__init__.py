"""Lightning callbacks that watch and save a run."""

from oponm.training.callbacks.averaging import ExponentialAverage, StochasticAverage
from oponm.training.callbacks.checkpoint import Checkpoints, WholeFiles
from oponm.training.callbacks.early_stopping import EarlyStopping
from oponm.training.callbacks.nonfinite import NonFinite
from oponm.training.callbacks.progress import EpochLines, TrainingProgress

__all__ = [
    "Checkpoints",
    "EarlyStopping",
    "EpochLines",
    "ExponentialAverage",
    "NonFinite",
    "StochasticAverage",
    "TrainingProgress",
    "WholeFiles",
]
