"""Adjusts predictions to another class prior than that of training, and applies a decision threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from oponm.data.split_file import read_rows
from oponm.errors import InputError, check_real

_EXPECTED = "balanced, train, a CSV file with the columns class and share, or a prior such as {cat: 0.2, dog: 0.8}"


class Adjusted(nn.Module):
    r"""Wraps a network so that its softmax assumes another class prior (post-hoc logit adjustment).

    .. math:: z'_k = z_k + \log \pi'_k - \log \pi_k

    Args:
        network: gives logits z, (N, K).
        trained: class prior :math:`\pi` that its softmax assumes, length K, each value above 0.
        wanted: class prior :math:`\pi'` to predict for, length K, each value at least 0.

    References:
        Menon et al., "Long-tail Learning via Logit Adjustment", ICLR 2021, Sec. 4.1 (post-hoc).

    Example:
        >>> adjusted = Adjusted(nn.Identity(), trained=[0.75, 0.25], wanted=[0.5, 0.5])
        >>> adjusted(torch.tensor([[3.0, 1.0]]).log()).softmax(1)  # of 3 : 1, as in training
        tensor([[0.5000, 0.5000]])
    """

    shift: Tensor

    def __init__(self, network: nn.Module, trained: Sequence[float], wanted: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        shift = torch.tensor(wanted, dtype=torch.float64).log() - torch.tensor(trained, dtype=torch.float64).log()
        self.register_buffer("shift", shift.float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K) of images (N, C, H, W)."""
        logits: Tensor = self.network(images)
        return logits + self.shift.to(logits.dtype)


def adjusted(
    network: nn.Module,
    prior: Any,
    class_names: Sequence[str],
    class_counts: Sequence[int],
    trained: Sequence[float] | None,
    trained_prior: Any = None,
) -> nn.Module:
    """Adjust a network to another class prior; return it unchanged if ``prior`` is None.

    Args:
        network: gives logits (N, K).
        prior: class prior to predict for, in a form that :func:`read_prior` takes, or None.
        class_names: K names, in the order of the logits.
        class_counts: training images of each class.
        trained: class prior that the network's softmax assumes, as its checkpoint has it, length K; None if the
            checkpoint does not contain it.
        trained_prior: the prior that the softmax assumes, in the forms of ``prior``; it overrides ``trained``.

    Raises:
        InputError: for a prior that cannot be read, or if that of the training is unknown or 0 for a class.

    Example:
        >>> fair = adjusted(nn.Identity(), "balanced", ["cat", "dog"], [300, 100], trained=[0.75, 0.25])
        >>> fair.shift.exp()
        tensor([0.6667, 2.0000])
    """
    if prior is None:
        return network
    given = read_prior(trained_prior, class_names, class_counts, "trained_prior") if trained_prior else trained
    if given is None:
        raise InputError(
            "must be given, as the checkpoint does not contain the class prior that the network was trained for: "
            "'train' is the class frequencies of the training set, 'balanced' is for class-balanced sampling",
            "trained_prior",
        )
    if not all(given):
        raise InputError("must be above 0 for each class", "trained_prior")
    return Adjusted(network, given, read_prior(prior, class_names, class_counts))


def read_prior(prior: Any, class_names: Sequence[str], class_counts: Sequence[int], key: str = "prior") -> list[float]:
    """Read a class prior from the value of a config key.

    Args:
        prior: ``"balanced"``; ``"train"``, the class frequencies of the training set; a mapping from each class to its
            probability, or these pairs as text, ``"cat: 0.2, dog: 0.8"``; or a CSV file with the columns ``class`` and
            ``share``. Values are divided by their sum.
        class_names: K names.
        class_counts: training images of each class.
        key: the config key, for errors.

    Returns:
        The prior: K values with sum 1.

    Raises:
        InputError: for anything else, for a class that is missing or unknown, and for a negative value.

    Example:
        >>> read_prior("dog: 3, cat: 1", ["cat", "dog"], [10, 10])
        [0.25, 0.75]
    """
    if prior == "balanced":
        return [1 / len(class_names)] * len(class_names)
    if prior == "train":
        return [count / sum(class_counts) for count in class_counts]
    shares = prior if isinstance(prior, Mapping) else _shares_of(prior, key)
    names = {str(name): share for name, share in shares.items()}
    if unknown := sorted(names.keys() - set(class_names)):
        more = ", ..." if len(class_names) > 5 else ""
        raise InputError(f"names {unknown[0]!r}, which is no class: {', '.join(class_names[:5])}{more}", key)
    if missing := [name for name in class_names if name not in names]:
        raise InputError(f"has no share of {missing[0]!r}; each class needs one", key)
    values = [check_real(key, _number(names[name]), 0) for name in class_names]
    if not sum(values):
        raise InputError("must have a share above 0", key)
    return [value / sum(values) for value in values]


def _shares_of(prior: Any, key: str) -> dict[str, Any]:
    if not isinstance(prior, str):
        raise InputError(f"must be {_EXPECTED}, got {prior!r}", key)
    if (path := Path(prior).expanduser()).is_file():
        return {row["class"]: row["share"] for _, row in read_rows(path, ("class", "share"), key)}
    pairs = [pair.rpartition(":") for pair in prior.split(",")]
    if not all(colon for _, colon, _ in pairs):
        raise InputError(f"must be {_EXPECTED}, got {prior!r}", key)
    return {name.strip(): share.strip() for name, _, share in pairs}


def _number(value: Any) -> Any:
    """A number that is written as text as a number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


class Threshold(NamedTuple):
    """Predicts a given class of two if its probability is at least the threshold, else the other class.

    Attributes:
        label: label of the given class, 0 or 1.
        least: the threshold, in (0, 1).

    Example:
        >>> Threshold(1, 0.25).decide(torch.tensor([[0.7, 0.3], [0.8, 0.2]]))
        tensor([1, 0])
    """

    label: int
    least: float

    def decide(self, probabilities: Tensor) -> Tensor:
        """Return predicted labels, (N,), int64, for probabilities (N, 2)."""
        reached = probabilities[:, self.label] >= self.least
        return torch.where(reached, self.label, 1 - self.label)


def read_threshold(threshold: Any, class_names: Sequence[str], class_counts: Sequence[int]) -> Threshold | None:
    """Read a decision threshold for one of two classes.

    Args:
        threshold: a number in (0, 1), the least probability at which the class with fewer training images is predicted
            (the second class if both have equally many). Or a mapping from one class to its threshold,
            ``{cat: 0.3}``, also as text, ``"cat: 0.3"``. None: no threshold.
        class_names: names of the two classes.
        class_counts: training images of each class.

    Returns:
        The threshold; None if ``threshold`` is None.

    Raises:
        InputError: for more than two classes, another class, or a number out of range.

    Example:
        >>> read_threshold(0.3, ["ok", "defect"], [900, 100]), read_threshold("ok: 0.9", ["ok", "defect"], [900, 100])
        (Threshold(label=1, least=0.3), Threshold(label=0, least=0.9))
    """
    if threshold is None:
        return None
    if len(class_names) != 2:
        raise InputError(f"is for two classes, and there are {len(class_names)}: set prior instead", "threshold")
    if isinstance(threshold, str) and ":" in threshold:
        threshold = _shares_of(threshold, "threshold")
    if isinstance(threshold, Mapping):
        if len(threshold) != 1 or (name := str(next(iter(threshold)))) not in class_names:
            raise InputError(f"must name one of {', '.join(class_names)}, got {dict(threshold)!r}", "threshold")
        label, value = list(class_names).index(name), next(iter(threshold.values()))
    else:
        label, value = int(class_counts[1] <= class_counts[0]), threshold
    least = check_real("threshold", _number(value), 0, 1)
    if least in (0, 1) or math.isnan(least):
        raise InputError(f"must lie in (0, 1), got {value!r}", "threshold")
    return Threshold(label, least)
