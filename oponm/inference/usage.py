"""How to run an exported network, as code that needs no oponm."""

from __future__ import annotations

import json

from oponm.inference.classifier import Classifier
from oponm.inference.network_code import network_code

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
    needs, lines, _ = network_code(classifier)
    load = f"model.load_state_dict(torch.load({name}, weights_only=True))"
    return _code(f"Weights alone; {needs}", "import torch", *lines, load, "model.eval()", call)


def _code(text: str, *lines: str) -> str:
    return "\n".join([text, "", "```python", *lines, "```", ""])
