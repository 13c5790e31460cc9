"""What a classifier is measured by."""

from oponm.metrics.evaluation import evaluation_metrics, summarise

__all__ = ["evaluation_metrics", "summarise"]
