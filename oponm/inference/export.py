"""Exports a trained network: its file, its labels, its model card."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from oponm.data.statistics import Statistics
from oponm.errors import InputError, check_choice
from oponm.inference.card import model_card
from oponm.inference.classifier import Classifier
from oponm.inference.formats import FORMATS, check_in_place, write_format
from oponm.inference.run_facts import RunFacts
from oponm.run_files import new_files

INPUTS = ("unit", "uint8", "normalized")


class DeployedNetwork(nn.Module):
    """Wraps a network so that it scales and normalizes its input itself, and its users need not.

    It returns ``network((x - mean) / std)``, with x = images / 255 for uint8, in the order of operations of
    :class:`~oponm.data.pipeline.DevicePipeline`.

    Args:
        network: maps normalized images (N, C, H, W) to logits (N, K).
        statistics: mean and standard deviation of the training images, by channel.
        takes: ``"unit"`` for floats in [0, 1]; ``"uint8"`` for bytes; ``"normalized"`` for images normalized already.

    Raises:
        InputError: for an unknown ``takes``.

    Example:
        >>> half = Statistics((0.5,), (0.25,))
        >>> DeployedNetwork(nn.Flatten(), half, takes="uint8")(torch.full((1, 1, 1, 1), 255, dtype=torch.uint8))
        tensor([[2.]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, statistics: Statistics, takes: str = "unit") -> None:
        super().__init__()
        self.network, self.takes = network, check_choice("input", takes, INPUTS)
        self.register_buffer("mean", torch.tensor(statistics.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(statistics.std).clamp(min=1e-6).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K) of images (N, C, H, W), of the kind that ``takes`` says."""
        images = images.float()  # floats stay as they are; torch.export refuses other types than the example's
        if self.takes == "uint8":
            images = images / 255
        if self.takes != "normalized":
            images = (images - self.mean) / self.std
        return self.network(images)


LABELS_FILE = "labels.txt"
CARD_FILE = "MODEL_CARD.md"


def export_classifier(
    classifier: Classifier,
    path: Path,
    format: str = "onnx",
    takes: str | None = None,
    facts: RunFacts | None = None,
    command: str = "",
    overwrite: bool = False,
) -> list[Path]:
    """Write a network to a file, with ``labels.txt`` and ``MODEL_CARD.md`` beside it.

    The exported network has plain batch norm, takes any number of images at a time, and returns logits. It is read back
    and compared before any file is put in place.

    Args:
        classifier: a trained network, on the CPU.
        path: the file to write.
        format: one of :data:`FORMATS`. ``"state_dict"`` is weights alone, and the model card says how to make the
            network from oponm, timm or torchvision; the others hold the computation too and run without oponm.
        takes: kind of input: ``"unit"``, ``"uint8"`` or ``"normalized"``, see :class:`DeployedNetwork`. A state dict
            allows only ``"normalized"``. None is ``"normalized"`` for a state dict, else ``"unit"``.
        facts: facts of the run for the model card.
        command: the command that writes the file again, for the model card.
        overwrite: whether existing files are replaced.

    Returns:
        The files: labels, model card, ``*.onnx.data`` if there is one, and the network last.

    Raises:
        InputError: for an unknown format or input, an existing file, or as in
            :func:`~oponm.inference.formats.write_format`.

    Example:
        >>> import tempfile, torch
        >>> from oponm.data.statistics import Statistics
        >>> from oponm.models import SmallCNN
        >>> half = Statistics((0.5,), (0.5,))
        >>> network = SmallCNN(2, in_channels=1).eval()
        >>> cats = Classifier(network, ["cat", "dog"], [9, 3], half, (1, 8, 8), {}, "", "")
        >>> files = export_classifier(cats, Path(tempfile.mkdtemp(), "model.pt2"), "torch_export")
        >>> [file.name for file in files]
        ['labels.txt', 'MODEL_CARD.md', 'model.pt2']
        >>> torch.export.load(files[-1]).module()(torch.rand(4, 1, 8, 8)).shape
        torch.Size([4, 2])
    """
    check_choice("format", format, FORMATS)
    takes = takes or ("unit" if FORMATS[format].is_graph else "normalized")
    check_choice("input", takes, INPUTS)
    if not FORMATS[format].is_graph and takes != "normalized":
        raise InputError(f"must be normalized for {format}, which is weights alone, got {takes!r}", "input")
    if (reserved := path.name) in (LABELS_FILE, CARD_FILE):
        raise InputError(f"must not be {reserved}: the export writes a file of that name next to it", "output")
    files = [path.parent / LABELS_FILE, path.parent / CARD_FILE, path]
    names = classifier.class_names
    network = classifier.network
    if FORMATS[format].is_graph:
        network = DeployedNetwork(classifier.network, classifier.statistics, takes).eval()
    with new_files(files, overwrite) as (labels, card, model):
        labels.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        card.write_text(
            model_card(classifier, path.name, format, takes, facts or RunFacts(), command), encoding="utf-8"
        )
        write_format(format, network, classifier.image_shape, takes, names, model)
    check_in_place(network, classifier.image_shape, takes, path)
    data = path.with_name(f"{path.name}.data")  # written for a network too large for one ONNX file
    return [*files[:-1], *([data] if data.is_file() else []), path]
