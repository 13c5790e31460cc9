"""Uses a trained network: predictions, evaluation on other images, export."""

from oponm.inference.classifier import Classifier, load_classifier
from oponm.inference.export import FORMATS, DeployedNetwork, export_classifier
from oponm.inference.folder import EvaluationFolder
from oponm.inference.images import find_images
from oponm.inference.predict import Prediction, Predictions, predict_images
from oponm.inference.run_facts import RunFacts, read_run_facts
from oponm.inference.split import serve_split

__all__ = [
    "FORMATS",
    "Classifier",
    "DeployedNetwork",
    "EvaluationFolder",
    "Prediction",
    "Predictions",
    "RunFacts",
    "export_classifier",
    "find_images",
    "load_classifier",
    "predict_images",
    "read_run_facts",
    "serve_split",
]
