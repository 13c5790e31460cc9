"""Trained weights from a checkpoint file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from oponm.errors import InputError


def load_weights(model: nn.Module, path: Path) -> dict[str, Any]:
    """Load a run's checkpoint into a model of the same kind; nothing in the file is executed.

    Args:
        model: receives the weights.
        path: a checkpoint that a run wrote, or a plain state dict of the model.

    Returns:
        What a run's checkpoint says of its training split: ``class_names``, ``split_digest`` and
        ``content_digest``; else nothing.

    Raises:
        InputError: naming the file, if it is missing, is no checkpoint, or does not fit the model.
    """
    if not path.is_file():
        raise InputError(f"names no file: {path}", "checkpoint")
    try:
        if zipfile.is_zipfile(path) and (damaged := zipfile.ZipFile(path).testzip()):
            raise ValueError(f"checksum of {damaged}")
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or hostile file makes the unpickler say
        raise InputError(f"{path} is no checkpoint, is damaged, or holds more than tensors", "checkpoint") from error
    weights = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(weights, dict) or not weights or not all(isinstance(v, torch.Tensor) for v in weights.values()):
        raise InputError(f"{path} holds no weights", "checkpoint")
    weights = {name.removeprefix("model."): tensor for name, tensor in weights.items()}
    expected = model.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in weights]
    problems += [f"{name} is not in the model" for name in weights if name not in expected]
    problems += [
        f"{name} is {tuple(weights[name].shape)}, the model's is {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise InputError(
            f"{path} does not fit {type(model).__name__}: {problems[0]}{more}; choose the model and data it was "
            "trained with",
            "checkpoint",
        )
    if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
        raise InputError(f"{path} holds weights that are not finite: its training had diverged", "checkpoint")
    model.load_state_dict(weights)
    return dict(loaded.get("split", {}))
