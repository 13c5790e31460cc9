"""Losses: the loss of each row, the weights of the classes, and the mean over a batch.

A loss is made from the training images of each class, ``Loss(class_counts, **options)``, and maps logits (N, K) and
targets (N,) to the loss of each row, (N,), in at least 32-bit floating point. It applies neither class weights nor the
mean: :func:`batch_loss` does both, for every loss alike. Its state dict is empty. A loss with ``takes_features`` is
given the L1 norms of the rows' features as well, as ``feature_norms`` (N,).
"""

from oponm.losses.balanced_softmax import BalancedSoftmax, balanced_softmax
from oponm.losses.cross_entropy import CrossEntropy
from oponm.losses.equalization import Equalization, equalization
from oponm.losses.focal import Focal, focal
from oponm.losses.gcl import GCL, cloud_sizes, gcl
from oponm.losses.influence_balanced import InfluenceBalanced, influence_balanced
from oponm.losses.label_aware_smoothing import LabelAwareSmoothing, label_aware_smoothing, smoothing_by_class
from oponm.losses.lade import LADE, lade
from oponm.losses.ldam import LDAM, ldam, ldam_margins
from oponm.losses.logit_adjustment import LogitAdjustment, logit_adjustment
from oponm.losses.reduction import batch_loss, row_weights
from oponm.losses.vector_scaling import CDT, VectorScaling, cdt, temperatures, vector_scaling
from oponm.losses.weights import WEIGHTS, class_weights

__all__ = [
    "CDT",
    "GCL",
    "LADE",
    "LDAM",
    "WEIGHTS",
    "BalancedSoftmax",
    "CrossEntropy",
    "Equalization",
    "Focal",
    "InfluenceBalanced",
    "LabelAwareSmoothing",
    "LogitAdjustment",
    "VectorScaling",
    "balanced_softmax",
    "batch_loss",
    "cdt",
    "class_weights",
    "cloud_sizes",
    "equalization",
    "focal",
    "gcl",
    "influence_balanced",
    "label_aware_smoothing",
    "lade",
    "ldam",
    "ldam_margins",
    "logit_adjustment",
    "row_weights",
    "smoothing_by_class",
    "temperatures",
    "vector_scaling",
]
