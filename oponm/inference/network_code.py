"""Code that makes a network anew for its weights, without oponm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from oponm import __version__
from oponm.errors import InputError
from oponm.inference.classifier import Classifier
from oponm.inference.factory import known_factory, network_options
from oponm.inference.standalone import standalone_source
from oponm.models import CosineClassifier, find_classifier

NETWORK_FILE = "network.py"
_LIBRARIES = {"oponm.models.timm_model": "timm", "oponm.models.torchvision_model": "torchvision"}
_SIDE_BRANCHES = ("googlenet", "inception_v3")  # come without them, which takes more than their name


class NetworkCode(NamedTuple):
    """How the network of a state dict is made.

    Attributes:
        needs: a sentence: whose the network is.
        lines: code that makes ``model``.
        source: content of :data:`NETWORK_FILE`, which the code imports; None if a library has all of it.
    """

    needs: str
    lines: list[str]
    source: str | None = None


def network_code(classifier: Classifier) -> NetworkCode:
    r"""Write the code that makes a network as it was made for training, but for its weights.

    Args:
        classifier: the network, and the settings that it was made from.

    Returns:
        Code for PyTorch alone, for the network of a library for that library; for a network of one's own, whose source
        is its author's, code that imports it.

    Example:
        >>> from oponm.data.statistics import Statistics
        >>> from oponm.models import SmallCNN
        >>> config = {"_target_": "oponm.models.SmallCNN", "width": 4}
        >>> half = Statistics((0.5,), (0.5,))
        >>> network = SmallCNN(2, in_channels=1, width=4).eval()
        >>> code = network_code(Classifier(network, ["cat", "dog"], [9, 3], half, (1, 8, 8), config, "", ""))
        >>> print(*code.lines, sep="\n")
        from network import make_network
        model = make_network()
        >>> code.source.splitlines()[-1].strip()
        'return SmallCNN(num_classes=2, in_channels=1, width=4)'
    """
    config, classes, channels = classifier.model_config, len(classifier.class_names), classifier.image_shape[0]
    target, options = str(config.get("_target_")), network_options(config)
    head = _cosine_head(classifier)
    if head is None and target in _LIBRARIES and _is_plain(classifier, options):
        return _from_library(classifier, _LIBRARIES[target], options)
    call = f"(num_classes={classes}, in_channels={channels}{_arguments(options)})"
    try:
        make = known_factory(config).func  # type: ignore[attr-defined]
    except InputError:
        return _from_elsewhere(config, call, head)
    lines = (
        [f"return {make.__name__}{call}"] if head is None else [f"model = {make.__name__}{call}", head, "return model"]
    )
    source = _module([make] if head is None else [make, CosineClassifier], lines)
    library = _LIBRARIES.get(target)
    needs = f"the network is {library}'s, changed by" if library else "the network is in"
    behind = "" if library else ", which needs PyTorch alone"
    imports = ["from network import make_network", "model = make_network()"]
    return NetworkCode(f"{needs} `{NETWORK_FILE}` beside them{behind}.", imports, source)


def _from_library(classifier: Classifier, library: str, options: Mapping[str, Any]) -> NetworkCode:
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
    return NetworkCode(f"the network is {library}'s.", lines)


def _from_elsewhere(config: Mapping[str, Any], call: str, head: str | None) -> NetworkCode:
    """Of a network of one's own."""
    module, _, function = str(config.get("_target_", "")).rpartition(".")
    lines = ["model = ...  # made as it was for training"]
    if module:
        lines = [f"from {module} import {function}", f"model = {function}{call}"]
    needs = f"the network is your own{f', `{module}.{function}`' if module else ''}"
    if head is None:
        return NetworkCode(f"{needs}.", lines)
    source = _module([CosineClassifier], [])
    lines += ["from network import CosineClassifier", head]
    return NetworkCode(f"{needs}; its classifier is in `{NETWORK_FILE}` beside them.", lines, source)


def _cosine_head(classifier: Classifier) -> str | None:
    """Code that gives the network its cosine classifier, if it has one that is not its own."""
    if classifier.model_config.get("head", "linear" if classifier.model_config else "cosine") != "cosine":
        return None
    try:
        name, layer = find_classifier(classifier.network, len(classifier.class_names))
    except InputError:
        return None
    if not isinstance(layer, CosineClassifier):
        return None
    made = f"CosineClassifier({layer.in_features}, {layer.out_features}, scale={layer.scale!r})"
    return f"model.set_submodule({name!r}, {made})" if name else f"model = {made}"


def _is_plain(classifier: Classifier, options: Mapping[str, Any]) -> bool:
    """Whether a library makes the network in a line or two."""
    if options.get("small_stem", False):
        return isinstance(getattr(classifier.network, "conv1", None), nn.Conv2d)
    of_torchvision = classifier.model_config["_target_"] == "oponm.models.torchvision_model"
    return not of_torchvision or (classifier.image_shape[0] == 3 and options.get("name") not in _SIDE_BRANCHES)


def _module(parts: list[Any], lines: list[str]) -> str:
    origin = (
        f"The network of the weights beside this file; from oponm {__version__} (Apache-2.0), and needs none of it."
    )
    source = f'"""{origin}"""\n\n{standalone_source(parts)}'
    if not lines:
        return source
    body = "\n".join(f"    {line}" for line in ['"""The network, with random weights."""', *lines])
    return f"{source}\n\ndef make_network() -> nn.Module:\n{body}\n"


def _arguments(options: Mapping[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in options.items())
