"""How to run an exported network, as code that needs no oponm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import nn

from oponm.inference.classifier import Classifier
from oponm.inference.factory import network_options

_LIBRARIES = {"oponm.models.timm_model": "timm", "oponm.models.torchvision_model": "torchvision"}
_IMAGES = {"unit": "numpy float32, in [0, 1]", "uint8": "numpy uint8", "normalised": "numpy float32, normalised"}


def usage(classifier: Classifier, file: str, format: str, takes: str) -> str:
    """A section of Markdown: what to install, and code from images to class names.

    Args:
        classifier: the network.
        file: name of the exported file.
        format: its format.
        takes: see :class:`~oponm.inference.DeployedNetwork`.
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
    needs, lines = _network(classifier)
    load = f"model.load_state_dict(torch.load({name}, weights_only=True))"
    return _code(f"Weights alone; {needs}", "import torch", *lines, load, "model.eval()", call)


def _network(classifier: Classifier) -> tuple[str, list[str]]:
    """The network that a state dict fits: whose it is, and what makes it."""
    config, classes, channels = classifier.model_config, len(classifier.class_names), classifier.image_shape[0]
    target, head, options = str(config.get("_target_")), config.get("head", "linear"), network_options(config)
    library, first = _LIBRARIES.get(target), getattr(classifier.network, "conv1", None)
    small_stem = options.get("small_stem", False)
    changed = not isinstance(first, nn.Conv2d) if small_stem else library == "torchvision" and channels != 3
    if library is None or head != "linear" or changed:  # made by oponm as no other code makes it
        module, _, function = target.rpartition(".")
        make = f"partial({function}{_arguments(options)})" if options else function
        sizes = f"num_classes={classes}, in_channels={channels}, head={head!r}"
        imports = ["from functools import partial", "from oponm.models import make_network"]
        lines = [*imports, f"from {module} import {function}", f"model = make_network({make}, {sizes})"]
        return f"the network's code is `{target}`, in files that depend on PyTorch alone.", lines
    given = _arguments({key: value for key, value in options.items() if key not in ("name", "small_stem")})
    sizes = f"num_classes={classes}" if library == "torchvision" else f"num_classes={classes}, in_chans={channels}"
    make = {"timm": "timm.create_model", "torchvision": "torchvision.models.get_model"}[library]
    lines = [f"import {library}", f"model = {make}({options['name']!r}, {sizes}{given})"]
    if small_stem:
        assert isinstance(first, nn.Conv2d)
        stem = f"torch.nn.Conv2d({channels}, {first.out_channels}, 3, padding=1, bias=False)"
        lines += [f"model.conv1, model.maxpool = {stem}, torch.nn.Identity()  # for small images"]
    return f"the network is {library}'s.", lines


def _arguments(options: Mapping[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in options.items())


def _code(text: str, *lines: str) -> str:
    return "\n".join([text, "", "```python", *lines, "```", ""])
