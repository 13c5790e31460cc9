"""Temperature scaling: after training, the logits are divided by a number that is fitted on the validation set."""

from __future__ import annotations

import copy
import logging
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oponm.data import LongTailDataModule
from oponm.errors import InputError
from oponm.inference import serve_split
from oponm.models import CosineClassifier
from oponm.models.classifier import find_classifier
from oponm.training.callbacks.checkpoint import save_whole
from oponm.training.distributed import everyone_says, first_says, rank, world_size

log = logging.getLogger(__name__)
_LARGEST = 100.0  # also 1 / the smallest


def best_temperature(logits: Tensor, targets: Tensor) -> float:
    r"""Find the temperature T with the smallest mean cross-entropy of ``logits / T``.

    .. math:: T = \arg\min_T \; -\frac{1}{N} \sum_i \log \frac{e^{z_{i, y_i} / T}}{\sum_j e^{z_{ij} / T}}

    Args:
        logits: (N, K).
        targets: (N,), int64.

    Returns:
        T, rounded to six significant digits, in [0.01, 100].

    References:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, Sec. 4.2.

    Example:
        >>> logits = 5 * torch.tensor([[1.0, 0.0]] * 4)
        >>> best_temperature(logits, torch.tensor([0, 0, 0, 1]))  # right in three of four: e^(5 / T) = 3
        4.5512
    """
    from scipy.optimize import minimize_scalar  # slow to import

    logits, bound = logits.double(), math.log(_LARGEST)

    def loss(log_temperature: float) -> float:
        return float(nn.functional.cross_entropy(logits / math.exp(log_temperature), targets))

    found = minimize_scalar(loss, bounds=(-bound, bound), method="bounded", options={"xatol": 1e-9})
    return float(f"{math.exp(found.x):.6g}")


def check_temperature(model: nn.Module, num_classes: int) -> None:
    """Check that dividing the classifier's weights by a temperature divides the logits by it.

    Args:
        model: the network.
        num_classes: number of outputs of the network.

    Raises:
        InputError: for a cosine classifier, whose logits do not depend on the length of its weights.
    """
    if isinstance(find_classifier(model, num_classes)[1], CosineClassifier):
        message = "needs a classifier whose logits grow with its weights: set model.head=linear"
        raise InputError(message, "trainer.temperature_scaling")


def calibrate(module: Any, data: LongTailDataModule, file: Path, make_trainer: Any) -> float:
    """Fit the temperature on the validation set, and divide the classifier's weights by it, in the module and the file.

    The predicted classes stay the same; the probabilities change. The checkpoint also keeps the weights before the
    division, for resuming. A checkpoint whose weights are already divided is not changed.

    Args:
        module: the trained module, with its final weights; changed in place.
        data: the data module, with a validation set.
        file: the checkpoint with these weights.
        make_trainer: function without arguments that makes a trainer for the evaluation.

    Returns:
        The temperature.
    """
    served = copy.copy(data)
    serve_split(served, "val")
    assert served.test_set is not None
    classes, processes = len(module.class_counts), world_size()
    own = [torch.empty(0, classes), *make_trainer().predict(module, datamodule=served, weights_only=True)]
    logits = torch.cat(everyone_says(torch.cat([batch.cpu() for batch in own])))
    targets = torch.cat([served.test_set.targets.cpu()[place::processes] for place in range(processes)])
    temperature = best_temperature(logits, targets)
    path, _ = find_classifier(module.model, classes)
    _divide(module.model.state_dict(), path, temperature)
    if rank() == 0:
        _divide_in_file(file, path, temperature)
    first_says(None)  # so that no process reads the file before it is written
    log.info("temperature %g, fitted on %d validation images", temperature, len(targets))
    return temperature


def temperature_of(file: Path) -> float | None:
    """Return the temperature by which a checkpoint's classifier is divided; None if it is not divided.

    Args:
        file: the checkpoint.
    """
    found = torch.load(file, map_location="cpu", weights_only=True)["split"].get("temperature")
    return None if found is None else float(found)


def _divide(weights: dict[str, Tensor], path: str, temperature: float) -> None:
    """Divide the classifier's weights in a state dict, in place."""
    prefix = f"{path}." if path else ""
    for name in (f"{prefix}weight", f"{prefix}bias"):
        if name in weights:
            weights[name].detach().div_(temperature)


def _divide_in_file(file: Path, path: str, temperature: float) -> None:
    content = torch.load(file, map_location="cpu", weights_only=True)
    if content["split"].get("temperature") is not None:
        return
    trained = content["state_dict"]
    divided = {name.removeprefix("model."): tensor.clone() for name, tensor in trained.items()}
    _divide(divided, path, temperature)
    if content["training"]["unfinished"] is None:
        content["training"]["unfinished"] = {name.removeprefix("model."): tensor for name, tensor in trained.items()}
    content["state_dict"] = {f"model.{name}": tensor for name, tensor in divided.items()}
    content["split"]["temperature"] = temperature
    save_whole(content, file)
