"""Loads trained weights from a checkpoint file."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from oponm.data import LongTailDataModule
from oponm.errors import InputError
from oponm.models.weights import mismatches, read_weights, without_prefixes

log = logging.getLogger(__name__)


def load_weights(model: nn.Module, path: Path) -> dict[str, Any]:
    """Load a run's checkpoint into a model of the same kind; no code in the file is executed.

    Args:
        model: the model that receives the weights.
        path: a checkpoint that a run wrote, or a file with a state dict of the model.

    Returns:
        The description of the data in a run's checkpoint: a dict with ``class_names``, digests, ``statistics`` and
        others; empty for a state dict.

    Raises:
        InputError: naming the file, if it is missing, is no checkpoint, or does not fit the model.
    """
    weights, rest = read_weights(path, "checkpoint")
    weights = without_prefixes(weights, model)
    if problems := list(mismatches(model, weights).values()):
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise InputError(
            f"{path} does not fit {type(model).__name__}: {problems[0]}{more}; choose the model and data it was "
            "trained with",
            "checkpoint",
        )
    model.load_state_dict(weights)
    return dict(rest.get("split", {}))


def load_state(path: Path) -> dict[str, Any]:
    """Read a run's ``last.ckpt`` to resume from it; no code in the file is executed.

    Args:
        path: the file.

    Returns:
        Lightning's checkpoint, with ``epoch``, ``global_step``, ``state_dict`` and others; for
        :func:`~oponm.training.train`.

    Raises:
        InputError: naming the file, if it is missing, damaged, or contains only weights.
    """
    try:
        weights, rest = read_weights(path, "resume")
    except InputError as error:
        remedy = "put back a copy of it, or remove it, and the run begins again"
        raise InputError(f"{error.message}: {remedy}", "resume") from error
    if not isinstance(rest.get("training"), dict) or "optimizer_states" not in rest:
        raise InputError(f"{path} holds weights, but no state of training to resume from", "resume")
    return {**rest, "state_dict": weights}


def check_split(trained_on: Mapping[str, Any], data: LongTailDataModule, split: str = "test") -> None:
    """Compare the data that a network was trained on with the data to evaluate on; warn if the images differ.

    Args:
        trained_on: dict with ``class_names``, ``content_digest`` and others, as :func:`load_weights` returns it. Keys
            that are missing are not compared.
        data: the data module, set up, whose test set is the part to evaluate on.
        split: name of this part: ``"test"``, ``"val"`` or ``"train"``.

    Raises:
        InputError: if the classes differ.
    """
    if trained_on.get("class_names", data.class_names) != data.class_names:
        classes = f"{_listed(trained_on['class_names'])}, but the data has {_listed(data.class_names)}"
        raise InputError(f"was trained on other classes: {classes}", "checkpoint")
    if trained_on.get("content_digest", data.content_digest) != data.content_digest:
        log.warning("the training split is not the one of the checkpoint: it may have been trained on test images")
    if (known := trained_on.get(f"{split}_digest")) and known != data.test_digest:
        log.warning("the %s images are not those of the run: its metrics and these are of different images", split)
    if (shape := trained_on.get("image_shape")) and [*shape] != [*data.image_shape]:
        log.warning("images are %s; the network was trained on %s", _size(data.image_shape), _size(shape))
    if (resize := trained_on.get("resize", data.resize)) != data.resize:
        log.warning("data.resize is %s; the network was trained with %s", data.resize, resize)


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]}x{shape[2]}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
