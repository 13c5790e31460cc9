"""Training as a list of phases: module, schedule, phase cache, run."""

from oponm.training.batchnorm_sync import BatchNormSync
from oponm.training.module import LongTailModule
from oponm.training.phase_cache import PhaseCache
from oponm.training.phases import Phase, PhasePlan
from oponm.training.run import evaluate, make_trainer, train

__all__ = ["BatchNormSync", "LongTailModule", "Phase", "PhaseCache", "PhasePlan", "evaluate", "make_trainer", "train"]
