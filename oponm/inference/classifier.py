"""A trained network with everything needed to classify images, from a checkpoint alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from oponm.data.decode import RESIZES, Form
from oponm.data.pipeline import DevicePipeline, RawBatch
from oponm.data.statistics import Statistics
from oponm.errors import InputError
from oponm.inference.factory import known_factory
from oponm.models import make_network
from oponm.models.weights import mismatches, read_weights, without_prefixes
from oponm.nn import revert_batchnorm
from oponm.rng import derived_randomness


@dataclass(frozen=True)
class Classifier:
    """A trained network, and facts about its training data.

    Attributes:
        network: maps normalized images (N, C, H, W) to logits (N, K); with plain batch norm, in evaluation mode.
        class_names: K names, in the order of the logits.
        class_counts: training images of each class.
        statistics: statistics of the training images, by which images are normalized.
        image_shape: (C, H, W), with C = 1 or 3.
        model_config: the config keys below ``model`` that the network was made from.
        split_digest: SHA-256 of the training indices, see :func:`~oponm.longtail.split_digest`.
        content_digest: SHA-256 of the training labels with the pixels, or with the file names for a streamed set.
        pixel_max: the value that was white in training images of more than 8 bits. None if all training images had 8
            bits; an image of more is then scaled by its own values.
        test_digest: SHA-256 of the test labels with the pixels, or with the files' content; empty if unknown.
        val_digest: the same for the validation set.
        prior: class prior that the network's softmax assumes, K values with sum 1, see
            :func:`~oponm.training.trained_prior.trained_prior`; None if the checkpoint does not contain it.
        resize: how images of another shape are brought to (H, W): ``"crop"``, ``"stretch"`` or ``"pad"``, see
            :class:`~oponm.data.decode.Form`.

    Example:
        >>> from oponm.models import SmallCNN
        >>> network = SmallCNN(2, in_channels=1).eval()
        >>> half = Statistics((0.5,), (0.5,))
        >>> cats = Classifier(network, ["cat", "dog"], [9, 3], half, (1, 8, 8), {}, "", "")
        >>> cats.probabilities(torch.zeros(5, 1, 8, 8, dtype=torch.uint8)).sum(1).round(decimals=3)
        tensor([1., 1., 1., 1., 1.])
    """

    network: nn.Module
    class_names: list[str]
    class_counts: list[int]
    statistics: Statistics
    image_shape: tuple[int, int, int]
    model_config: Mapping[str, Any]
    split_digest: str
    content_digest: str
    pixel_max: float | None = None
    test_digest: str = ""
    val_digest: str = ""
    prior: list[float] | None = None
    resize: str = "crop"

    @property
    def digests(self) -> dict[str, str]:
        """The content digests of the training, test and validation set, by name; unknown ones are left out."""
        names = ("content_digest", "test_digest", "val_digest")
        return {name: digest for name in names if (digest := getattr(self, name))}

    @property
    def form(self) -> Form:
        """Size, channels and scaling that images are brought to when they are read."""
        channels, *size = self.image_shape
        return Form((size[0], size[1]), self.pixel_max, self.resize, channels)

    def pipeline(self) -> DevicePipeline:
        """The pipeline from stored pixels to the network's input, as in evaluation during training."""
        return DevicePipeline(nn.Identity(), None, self.statistics, seed=0)

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Softmax of the logits.

        Args:
            images: (N, C, H, W), uint8, of ``image_shape``, on the network's device.

        Returns:
            (N, K), float32, on the CPU.
        """
        raw = RawBatch(images, torch.zeros(len(images), dtype=torch.int64), epoch=0, step=0)
        batch = self.pipeline().to(images.device)(raw, training=False)
        return self.network(batch.images).softmax(1).cpu()


def load_classifier(
    path: Path,
    make: Callable[[Mapping[str, Any]], Callable[..., nn.Module]] = known_factory,
    network: nn.Module | None = None,
) -> Classifier:
    """Read a run's checkpoint and build its network; no code in the file is executed or imported.

    Args:
        path: ``checkpoints/last.ckpt`` or ``best.ckpt`` of a run.
        make: returns a factory of the network for a model config. The default builds only networks of
            :mod:`oponm.models`, including timm's and torchvision's. A function that imports whatever the config names
            would run code chosen by the author of the file.
        network: a network of the same architecture, used in place of one from ``make``; it is copied. Needed if the
            network was made in code, which the checkpoint does not describe.

    Returns:
        The network with plain batch norm, in evaluation mode, on the CPU, in float32.

    Raises:
        InputError: if the file is missing, is no checkpoint, was written by an early version of oponm that saved no
            image statistics, or names a network that ``make`` refuses.

    Example:
        >>> from oponm.data import DigitsLT
        >>> from oponm.training import fit
        >>> run = fit(DigitsLT(imbalance_ratio=50), method="erm", max_epochs=1)
        >>> known = load_classifier(run.folder / "checkpoints/last.ckpt")
        >>> type(known.network).__name__, known.image_shape, known.class_counts[:3]
        ('SmallCNN', (1, 8, 8), [128, 82, 53])
    """
    weights, rest = read_weights(path, "checkpoint")
    known = _read_description(rest, path, needs_config=network is None)
    network = _make(make, known, path) if network is None else revert_batchnorm(copy.deepcopy(network).cpu())
    weights = _without_auxiliary(without_prefixes(weights, network))
    if problems := list(mismatches(network, weights).values()):
        raise InputError(f"{path} holds weights of another network than it names: {problems[0]}", "checkpoint")
    network.load_state_dict(weights)
    return Classifier(network.float().eval().requires_grad_(False), **known)


def network_of_checkpoint(
    content: Mapping[str, Any],
    make: Callable[[Mapping[str, Any]], Callable[..., nn.Module]] = known_factory,
    path: Path = Path("the checkpoint"),
) -> nn.Module:
    """Make the network that a run's checkpoint describes, with random weights.

    Args:
        content: content of the checkpoint.
        make: returns a factory of the network for a model config.
        path: the checkpoint's path, for errors.

    Raises:
        InputError: if the checkpoint does not describe a network, or describes one that ``make`` refuses.
    """
    return _make(make, _read_description(content, path), path)


def _make(
    make: Callable[[Mapping[str, Any]], Callable[..., nn.Module]], known: Mapping[str, Any], path: Path
) -> nn.Module:
    settings = known["model_config"]
    try:
        with derived_randomness(0, "model"):  # replaced later; the global generators stay as they are
            channels, *size = known["image_shape"]
            head, name = settings.get("head", "linear"), settings.get("classifier")
            sought = {} if head == "linear" else {"classifier": name, "image_size": size}  # to replace it
            return make_network(make(settings), len(known["class_names"]), channels, head, **sought)
    except InputError as error:
        raise error if error.key == "checkpoint" else InputError(f"{path}: {error}", "checkpoint") from error
    except Exception as error:  # settings from a file can raise anything in a network
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise InputError(f"{path} names a network that cannot be made ({reason})", "checkpoint") from error


def _read_description(rest: Mapping[str, Any], path: Path, needs_config: bool = True) -> dict[str, Any]:
    split, config = rest.get("split"), rest.get("model_config")
    if not isinstance(split, dict) or "statistics" not in split:
        raise InputError(
            f"{path} does not say how images were normalized (statistics): it is no checkpoint of oponm, or an older "
            "version wrote it; train again, or use 'oponm eval' with the run's data",
            "checkpoint",
        )
    if not isinstance(config, dict) and needs_config:
        raise InputError(
            f"{path} does not say what its network is (model_config), as it was trained from code: build the network "
            "in your code, and pass it to oponm.training.Run.load(RUN, network=...)",
            "checkpoint",
        )
    try:
        mean, std = (tuple(float(value) for value in split["statistics"][name]) for name in ("mean", "std"))
        channels, height, width = (int(value) for value in split["image_shape"])
        names, counts = [str(name) for name in split["class_names"]], [int(count) for count in split["class_counts"]]
        resize = str(split.get("resize", "crop"))  # which older versions did
        pixel_max = None if split.get("pixel_max") is None else float(split["pixel_max"])
        digests = {name: str(split[name]) for name in ("split_digest", "content_digest")}
        prior = None if split.get("prior") is None else [float(share) for share in split["prior"]]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} holds a damaged description of its training data: use another checkpoint", "checkpoint"
        ) from error
    fits = len(mean) == len(std) == channels and len(names) == len(counts) and len(set(names)) == len(names) > 1
    fits = fits and (prior is None or len(prior) == len(names))
    if not fits or channels not in (1, 3) or min(height, width) < 1 or resize not in RESIZES:
        raise InputError(
            f"{path} holds a description of its training data that contradicts itself: use another checkpoint",
            "checkpoint",
        )
    return {
        "class_names": names,
        "class_counts": counts,
        "statistics": Statistics(mean, std),
        "image_shape": (channels, height, width),
        "model_config": config or {},
        "pixel_max": pixel_max,
        "prior": prior,
        "resize": resize,
        **{name: str(split.get(name, "")) for name in ("test_digest", "val_digest")},
        **digests,
    }


def _without_auxiliary(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out entries of auxiliary batch norm; natural images do not use them."""

    def auxiliary(name: str) -> bool:
        layer, _, leaf = name.rpartition(".")
        return leaf.startswith("aux_") and f"{layer}.{leaf.removeprefix('aux_')}" in weights

    return {name: tensor for name, tensor in weights.items() if not auxiliary(name)}
