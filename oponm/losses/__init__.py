"""Losses: the loss of each row, the weights of the classes, and the mean over a batch.

A loss is made from the training images of each class, ``Loss(class_counts, **options)``, and maps logits (N, K) and
targets (N,) to the loss of each row, (N,), in at least 32-bit floating point. It applies neither class weights nor the
mean: :func:`batch_loss` does both, for every loss alike. Its state dict is empty.
"""

from oponm.losses.balanced_softmax import BalancedSoftmax, balanced_softmax
from oponm.losses.cross_entropy import CrossEntropy
from oponm.losses.focal import Focal, focal
from oponm.losses.ldam import LDAM, ldam, ldam_margins
from oponm.losses.logit_adjustment import LogitAdjustment, logit_adjustment
from oponm.losses.reduction import batch_loss, row_weights
from oponm.losses.weights import WEIGHTS, class_weights

__all__ = [
    "LDAM",
    "WEIGHTS",
    "BalancedSoftmax",
    "CrossEntropy",
    "Focal",
    "LogitAdjustment",
    "balanced_softmax",
    "batch_loss",
    "class_weights",
    "focal",
    "ldam",
    "ldam_margins",
    "logit_adjustment",
    "row_weights",
]
