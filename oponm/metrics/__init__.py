"""Metrics of a classifier."""

from oponm.metrics.answers import Answers, Predicted, write_predictions
from oponm.metrics.calibration import ExpectedCalibrationError
from oponm.metrics.class_counts import (
    ClassCounts,
    class_precision,
    class_recall,
    geometric_mean,
    macro_f1,
    mean_recall,
)
from oponm.metrics.confusion import Confusions, read_confusion, write_confusion
from oponm.metrics.evaluation import MOST_CONFUSED, Evaluation, evaluation_metrics, summarize
from oponm.metrics.fifths import class_fifths
from oponm.metrics.noise import noise_histogram
from oponm.metrics.ranking import ranking_scores
from oponm.metrics.rows import RowMetrics

__all__ = [
    "MOST_CONFUSED",
    "Answers",
    "ClassCounts",
    "Confusions",
    "Evaluation",
    "ExpectedCalibrationError",
    "Predicted",
    "RowMetrics",
    "class_fifths",
    "class_precision",
    "class_recall",
    "evaluation_metrics",
    "geometric_mean",
    "macro_f1",
    "mean_recall",
    "noise_histogram",
    "ranking_scores",
    "read_confusion",
    "summarize",
    "write_confusion",
    "write_predictions",
]
