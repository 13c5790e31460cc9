"""Training as a list of phases: module, schedule, run."""

from oponm.training.module import LongTailModule
from oponm.training.phases import Phase, PhasePlan
from oponm.training.run import evaluate, make_trainer, train

__all__ = ["LongTailModule", "Phase", "PhasePlan", "evaluate", "make_trainer", "train"]
