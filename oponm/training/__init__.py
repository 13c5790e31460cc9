"""Training as a list of phases: module, schedule, phase cache, run; ``fit`` does all of it in one call."""

from oponm.training.batchnorm_sync import BatchNormSync
from oponm.training.fit import fit
from oponm.training.module import LongTailModule
from oponm.training.phase_cache import PhaseCache
from oponm.training.phases import Phase, PhasePlan
from oponm.training.run import run
from oponm.training.runs import Run
from oponm.training.train import evaluate, make_trainer, train

__all__ = [
    "BatchNormSync",
    "LongTailModule",
    "Phase",
    "PhaseCache",
    "PhasePlan",
    "Run",
    "evaluate",
    "fit",
    "make_trainer",
    "run",
    "train",
]


def __dir__() -> list[str]:
    return __all__
