"""Writes code that runs an exported network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import nn

from oponm.errors import InputError
from oponm.inference.classifier import Classifier
from oponm.inference.factory import network_options
from oponm.models import CosineClassifier, find_classifier

_LIBRARIES = {"oponm.models.timm_model": "timm", "oponm.models.torchvision_model": "torchvision"}
_SIDE_BRANCHES = ("googlenet", "inception_v3")  # made without side branches, which takes more than their name
_IMAGES = {"unit": "numpy float32, in [0, 1]", "uint8": "numpy uint8", "normalized": "numpy float32, normalized"}


def usage(classifier: Classifier, file: str, format: str, takes: str) -> str:
    """A Markdown section with packages to install, and code from images to class names.

    Args:
        classifier: the network.
        file: name of the exported file.
        format: its format.
        takes: kind of input, see :class:`~oponm.inference.DeployedNetwork`.
    """
    shape = ", ".join(str(size) for size in classifier.image_shape)
    images = f"# images: (N, {shape}), {_IMAGES[takes]}"
    name = json.dumps(file)
    if format == "onnx":
        return _code(
            "Needs onnxruntime alone.",
            "import onnxruntime",
            f"session = onnxruntime.InferenceSession({name})",
            f'(logits,) = session.run(["logits"], {{"images": images}})  {images}',
        )
    call = f"logits = model(torch.from_numpy(images))  {images}"
    if format == "torchscript":
        return _code("Needs PyTorch alone.", "import torch", f"model = torch.jit.load({name}).eval()", call)
    if format == "torch_export":
        load = f"model = torch.export.load({name}).module()"
        return _code("Needs PyTorch alone (of the version below, or a later one).", "import torch", load, call)
    needs, lines = network_code(classifier)
    load = f"model.load_state_dict(torch.load({name}, weights_only=True))"
    return _code(f"Weights alone; {needs}", "import torch", *lines, load, "model.eval()", call)


def network_code(classifier: Classifier) -> tuple[str, list[str]]:
    r"""Write code that makes a network as it was made for training, without its weights.

    Args:
        classifier: the network, and the config that it was made from.

    Returns:
        A sentence that names the network's library, and lines that make ``model``: with timm or torchvision if these
        have all parts of it, else with oponm, or with the module of your own network.

    Example:
        >>> from oponm.data.statistics import Statistics
        >>> from oponm.models import SmallCNN
        >>> config = {"_target_": "oponm.models.SmallCNN", "width": 4}
        >>> half = Statistics((0.5,), (0.5,))
        >>> network = SmallCNN(2, in_channels=1, width=4).eval()
        >>> needs, lines = network_code(Classifier(network, ["cat", "dog"], [9, 3], half, (1, 8, 8), config, "", ""))
        >>> print(needs, *lines, sep="\n")
        the network is oponm's.
        from oponm.models import SmallCNN
        model = SmallCNN(num_classes=2, in_channels=1, width=4)
    """
    config = classifier.model_config
    target, options, head = str(config.get("_target_", "")), network_options(config), _cosine_head(classifier)
    if not head and target in _LIBRARIES and _is_plain(classifier, options):
        return _from_library(classifier, _LIBRARIES[target], options)
    module, _, function = target.rpartition(".")
    lines = ["model = ...  # made as it was for training"]
    if module:
        sizes = f"num_classes={len(classifier.class_names)}, in_channels={classifier.image_shape[0]}"
        lines = [f"from {module} import {function}", f"model = {function}({sizes}{_arguments(options)})"]
    if target.startswith("oponm."):
        return f"the network is oponm's{f', by {_LIBRARIES[target]}' if target in _LIBRARIES else ''}.", lines + head
    return f"the network is your own{f', `{target}`' if module else ''}.", lines + head


def _from_library(classifier: Classifier, library: str, options: Mapping[str, Any]) -> tuple[str, list[str]]:
    classes, channels = len(classifier.class_names), classifier.image_shape[0]
    given = _arguments({key: value for key, value in options.items() if key not in ("name", "small_stem")})
    sizes = f"num_classes={classes}" if library == "torchvision" else f"num_classes={classes}, in_chans={channels}"
    make = {"timm": "timm.create_model", "torchvision": "torchvision.models.get_model"}[library]
    lines = [f"import {library}", f"model = {make}({options['name']!r}, {sizes}{given})"]
    if options.get("small_stem", False):
        first = classifier.network.conv1
        assert isinstance(first, nn.Conv2d)
        stem = f"torch.nn.Conv2d({channels}, {first.out_channels}, 3, padding=1, bias=False)"
        lines += [f"model.conv1, model.maxpool = {stem}, torch.nn.Identity()  # for small images"]
    return f"the network is {library}'s.", lines


def _cosine_head(classifier: Classifier) -> list[str]:
    """Code that gives the network its cosine classifier, if that was added to it."""
    if classifier.model_config.get("head", "linear" if classifier.model_config else "cosine") != "cosine":
        return []
    try:
        _, layer = find_classifier(classifier.network, len(classifier.class_names))
    except InputError:
        return []
    if not isinstance(layer, CosineClassifier):
        return []
    return ["from oponm.models import with_head", f'model = with_head(model, "cosine", scale={layer.scale!r})']


def _is_plain(classifier: Classifier, options: Mapping[str, Any]) -> bool:
    """Whether a library makes the network in one or two lines."""
    if options.get("small_stem", False):
        return isinstance(getattr(classifier.network, "conv1", None), nn.Conv2d)
    of_torchvision = classifier.model_config["_target_"] == "oponm.models.torchvision_model"
    return not of_torchvision or (classifier.image_shape[0] == 3 and options.get("name") not in _SIDE_BRANCHES)


def _arguments(options: Mapping[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in options.items())


def _code(text: str, *lines: str) -> str:
    return "\n".join([text, "", "```python", *lines, "```", ""])
