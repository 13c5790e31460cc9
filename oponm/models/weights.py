"""Reads weights from a file without executing code in it, compares them with the network, and loads them."""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oponm.errors import InputError
from oponm.models.classifier import find_classifier
from oponm.run_files import checkpoint_of

# Prefixes of Lightning modules, DataParallel and torch.compile.
_PREFIXES = ("model.", "module.", "_orig_mod.")
_UNDER = ("state_dict", "model_state_dict", "model")  # keys of checkpoints that contain the weights
_HOSTILE = ("builtins.", "os.", "posix.", "nt.", "subprocess.", "sys.")  # the error gives no advice on running these
_SHOWN = 4
_log = logging.getLogger(__name__)


def read_weights(path: Path, key: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file of weights; no code in it is executed.

    Args:
        path: a file of ``torch.save`` (a state dict, or one under ``"state_dict"``, ``"model_state_dict"`` or
            ``"model"`` as in checkpoints), or of safetensors if it is named ``*.safetensors``.
        key: the config key that errors name.

    Returns:
        The weights by name, and the other contents of the file.

    Raises:
        InputError: naming the file, if it is missing or damaged, contains something other than weights, or weights that
            are not finite.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "linear.pt")
        >>> torch.save({"state_dict": nn.Linear(2, 3).state_dict(), "epoch": 7}, path)
        >>> weights, rest = read_weights(path, "weights")
        >>> list(weights), rest
        (['weight', 'bias'], {'epoch': 7})
    """
    if not path.is_file():
        raise InputError(f"names no file: {path}", key)
    try:
        loaded = _read(path)
    except Exception as error:  # a damaged or hostile file can raise anything in the reader
        raise InputError(_why_not(path, error), key) from error
    rest = dict(loaded) if isinstance(loaded, dict) else {}
    name = next((name for name in _UNDER if _is_weights(rest.get(name))), "")
    weights = rest.pop(name, loaded)
    if not _is_weights(weights):
        raise InputError(f"{path} holds no weights", key)
    if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
        raise InputError(f"{path} holds weights that are not finite: its training had diverged", key)
    return dict(weights), {} if weights is loaded else rest


def _is_weights(thing: Any) -> bool:
    named = isinstance(thing, dict) and all(isinstance(n, str) and isinstance(v, Tensor) for n, v in thing.items())
    return named and bool(thing)


def _why_not(path: Path, error: Exception) -> str:
    """The reason why a file cannot be read; for objects that execute code when read, also how to leave them out."""
    found = re.search(r"GLOBAL ([\w.]+) was not an allowed global", str(error))
    if not found or "." not in found[1] or found[1].startswith(_HOSTILE):
        return f"{path} is no checkpoint, is damaged, or holds more than tensors"
    return (
        f"{path} holds a {found[1]} beside its weights, not read as that may run code: if you trust its author, "
        "save the weights alone: python -c \"import torch; f = torch.load('FILE', map_location='cpu', "
        "weights_only=False); torch.save(f.get('state_dict') or f.get('model'), 'WEIGHTS')\""
    )


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if zipfile.is_zipfile(path) and (damaged := zipfile.ZipFile(path).testzip()):
        raise ValueError(f"the checksum of {damaged} is wrong")
    return torch.load(path, map_location="cpu", weights_only=True)


def without_prefixes(weights: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Remove the prefixes that wrappers (Lightning, DataParallel, torch.compile) put before names.

    Args:
        weights: weights by name.
        model: the network that will load the weights; the prefixes are removed whose removal gives most matching names.

    Example:
        >>> weights = {"module.weight": torch.ones(3, 2), "module.bias": torch.ones(3)}
        >>> list(without_prefixes(weights, nn.Linear(2, 3)))
        ['weight', 'bias']
    """
    candidates = [dict(weights)]
    while prefix := next((prefix for prefix in _PREFIXES if any(n.startswith(prefix) for n in candidates[-1])), ""):
        candidates.append({name.removeprefix(prefix): tensor for name, tensor in candidates[-1].items()})
    expected = model.state_dict().keys()
    return max(candidates, key=lambda candidate: len(expected & candidate.keys()))


def mismatches(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Compare names and shapes of weights with those of a network.

    Args:
        model: the network that is to receive the weights.
        weights: weights by name.

    Returns:
        The mismatches by name: first missing weights, then unknown ones, then those of another shape.

    Example:
        >>> mismatches(nn.Linear(2, 3), {"weight": torch.ones(4, 2), "bias": torch.ones(3)})
        {'weight': "weight is (4, 2), the model's is (3, 2)"}
    """
    expected = model.state_dict()
    return (
        {name: f"{name} is missing" for name in expected if name not in weights}
        | {name: f"{name} is not in the model" for name in weights if name not in expected}
        | {
            name: f"{name} is {tuple(weights[name].shape)}, the model's is {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in weights and weights[name].shape != tensor.shape
        }
    )


def load_initial_weights(model: nn.Module, path: Path, num_classes: int | None = None) -> None:
    """Load initial weights into a network from a file, such as a pretrained backbone's.

    A classifier that does not fit (another number of classes, another kind, or absent from the file) keeps all its
    initial values, and a warning names its tensors; all other tensors must fit.

    Args:
        model: the network that receives the weights.
        path: a file that :func:`read_weights` reads; prefixes of wrappers are removed. For a run's folder, the weights
            of its ``checkpoints/last.ckpt``.
        num_classes: number of outputs of the classifier, see :func:`~oponm.models.find_classifier`.

    Raises:
        InputError: as in :func:`read_weights`; and for weights of another network, listing names and shapes.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "pretrained.pt")
        >>> pretrained = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1000))
        >>> torch.save(pretrained.state_dict(), path)
        >>> model = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 10))
        >>> load_initial_weights(model, path)
        >>> torch.equal(model[0].weight, pretrained[0].weight)
        True
    """
    path = checkpoint_of(path)
    weights = without_prefixes(read_weights(path, "weights")[0], model)
    problems = mismatches(model, weights)
    # Weights saved before torch 0.4.1 lack it, and layers with a momentum do not use it.
    problems = {n: text for n, text in problems.items() if not (n.endswith("num_batches_tracked") and n not in weights)}
    classifier = _prefix_of_classifier(model, num_classes)
    tolerated = {name: text for name, text in problems.items() if classifier and name.startswith(classifier)}
    if wrong := [text for name, text in problems.items() if name not in tolerated]:
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise InputError(
            f"{path} does not fit {type(model).__name__}: {'; '.join(wrong[:_SHOWN])}{more}; "
            "choose the network it was trained with",
            "weights",
        )
    if tolerated:
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith(str(classifier))}
        _log.warning("%s: the classifier keeps its initial values: %s", path, "; ".join(tolerated.values()))
    model.load_state_dict(weights, strict=False)


def _prefix_of_classifier(model: nn.Module, num_classes: int | None) -> str | None:
    try:
        name, _ = find_classifier(model, num_classes)
    except InputError:  # without a known classifier every tensor must fit
        return None
    return f"{name}." if name else None
