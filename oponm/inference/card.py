"""Writes the model card: the network's training, its metrics, and how to use it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import torch

from oponm import __version__
from oponm.inference.classifier import Classifier
from oponm.inference.run_facts import RunFacts
from oponm.inference.usage import usage
from oponm.longtail import THIRDS
from oponm.markdown import markdown_rows

_ROWS = 100
_BY_THRESHOLDS = "many-shot, medium and few-shot"
_ASIDE = {"logger", "trainer"}  # choices without influence on the weights
_TAKES = {
    "unit": "float32 in [0, 1] (8-bit values divided by 255); normalization is inside",
    "uint8": "uint8, 0 to 255, as decoded; scaling and normalization are inside",
    "normalized": "float32, normalized: ((x / 255) - mean) / std for each channel, with the values below",
}


def model_card(classifier: Classifier, file: str, format: str, takes: str, facts: RunFacts, command: str = "") -> str:
    """The model card of an exported network, in Markdown with the front matter that model hubs read.

    Args:
        classifier: the network.
        file: name of the exported file.
        format: its format.
        takes: kind of input, see :class:`~oponm.inference.DeployedNetwork`.
        facts: facts of the run; unknown facts are left out, or named as unknown.
        command: the command that wrote the file.
    """
    title = facts.choices.get("model", "network")
    sections = [
        _FRONT_MATTER,
        f"# {title}, {len(classifier.class_names)} classes\n",
        f"`{file}`: {_what(facts)}Written by oponm {__version__} as {format}, with plain batch norm.\n",
        _input(classifier, takes, format),
        f"## Using it\n\n{usage(classifier, file, format, takes)}",
        _data(classifier, facts),
        _method(facts),
        _metrics(facts),
        _INTENDED,
        _license(classifier),
        _reproduce(facts, command),
    ]
    return "\n".join(sections)


def _what(facts: RunFacts) -> str:
    if not facts.choices:
        return ""
    return f"trained on {facts.choices.get('data')} by the method `{facts.choices.get('method')}`. "


def _input(classifier: Classifier, takes: str, format: str) -> str:
    channels, height, width = classifier.image_shape
    mean, std = (", ".join(f"{value:.6f}" for value in values) for values in classifier.statistics)
    order = "R, G, B" if channels == 3 else "one, luma"
    refused = "" if format == "state_dict" else "; other sizes and types of numbers are refused"
    deep = "" if classifier.pixel_max is None else f"; of more than 8 bits, {classifier.pixel_max:g} is 255"
    return (
        "## Input and output\n\n"
        f"- input `images`: (N, {channels}, {height}, {width}), N any number; {_TAKES[takes]}{refused}\n"
        f"- channels: {order}\n"
        f"- from a photograph: upright (EXIF), {_resized(classifier)}{deep}\n"
        f"- mean {mean}; standard deviation {std} (of the training images, in [0, 1])\n"
        f"- output `logits`: (N, {len(classifier.class_names)}), in the order of `labels.txt`; their softmax is the "
        "probabilities\n"
    )


def _resized(classifier: Classifier) -> str:
    _, height, width = classifier.image_shape
    size = f"{width} pixels wide and {height} high"
    if classifier.resize == "stretch":
        return f"stretched to {size} (bicubic)"
    if classifier.resize == "pad":
        return f"scaled to fit into {size} (bicubic), the rest filled with its own mean color"
    if height == width:
        return f"short side scaled to {height} pixels (bicubic), center square"
    return f"scaled to cover {size} (bicubic), the center of it"


def _data(classifier: Classifier, facts: RunFacts) -> str:
    names, counts = classifier.class_names, classifier.class_counts
    recall: Sequence[float | None] = facts.recall if len(facts.recall) == len(names) else [None] * len(names)
    rows = [
        (name, count, "" if value is None else f"{100 * value:.1f}")
        for name, count, value in zip(names, counts, recall, strict=True)
    ]
    more = f"\n{len(rows) - _ROWS} more classes are in `labels.txt`.\n" if len(rows) > _ROWS else ""
    table = markdown_rows([("class", "training images", "accuracy in %"), *rows[:_ROWS]], 1)
    return (
        "## Training data\n\n"
        f"- {sum(counts)} images, {max(counts)} in the largest class and {min(counts)} in the smallest "
        f"(imbalance ratio {max(counts) / min(counts):.4g})\n"
        f"- SHA-256 of the drawn indices: `{classifier.split_digest}`\n"
        f"- SHA-256 of labels and images: `{classifier.content_digest}`\n\n{table}{more}"
    )


def _method(facts: RunFacts) -> str:
    lines = [f"- {group}: `{choice}`" for group, choice in sorted(facts.choices.items()) if group not in _ASIDE]
    if facts.no_batch_norm:
        lines.append("- no batch norm: noise images were mixed in, and had no statistics of their own")
    lines += [f"- epochs: {facts.epochs}"] if facts.epochs else []
    if len(facts.starts) == len(facts.phases):
        for start, phase in zip(facts.starts, facts.phases, strict=True):
            given = {name: value for name, value in phase.items() if name != "epochs" and value not in (None, False)}
            settings = ", ".join(f"{name} {value}" for name, value in given.items()) or "plain training"
            lines.append(f"- phase from epoch {start} on: {settings}")
    return "## Method\n\n" + ("\n".join(lines) or "Unknown: the checkpoint was not in its run's folder.") + "\n"


def _metrics(facts: RunFacts) -> str:
    if not facts.metrics:
        return "## Metrics\n\nUnknown: the checkpoint was not in its run's folder, or the run had not ended.\n"
    rows = [(name.replace("_", " "), f"{100 * value:.1f}") for name, value in facts.metrics.items()]
    warning = "\nThe epoch was chosen on the test set, so the metrics are too high.\n" if facts.tuned_on_test else ""
    words = "thirds of the classes, head, middle and tail" if set(THIRDS) & facts.metrics.keys() else _BY_THRESHOLDS
    groups = f"Groups are by training images: {words}; the value is the mean accuracy of classes."
    table = markdown_rows([("metric", "value"), *rows], 1)
    return f"## Metrics\n\nOn the run's test set, in percent.\n\n{table}\n{groups}\n{warning}"


def _license(classifier: Classifier) -> str:
    initial = classifier.model_config
    pretrained = (
        ""
        if not (initial.get("pretrained") or initial.get("weights"))
        else ("- training began from weights of others: the license of these, and of their data, matters too\n")
    )
    return (
        "## License\n\n"
        "- oponm, the code that trained it, is under the Apache License 2.0\n"
        "- whether and how these weights may be passed on depends on the training data: fill in its license here\n"
        f"{pretrained}"
    )


def _reproduce(facts: RunFacts, command: str) -> str:
    train = ["oponm", "train", *(word for word in facts.overrides if not word.startswith(("output_dir=", "resume=")))]
    lines = ["# trained from code; as a command, as far as it has names:"] if facts.from_code else []
    lines += [shlex.join(train)] if facts.choices else []
    lines += [command] if command else []
    versions = {"torch": torch.__version__, **facts.versions}
    commit = f"\noponm at commit {facts.git_commit}.\n" if facts.git_commit else ""
    return (
        "## Reproducing it\n\n```sh\n" + "\n".join(lines) + "\n```\n\n"
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + f".\n{commit}"
    )


_FRONT_MATTER = """---
license: other
pipeline_tag: image-classification
tags: [image-classification, long-tailed-recognition, oponm]
---
"""
_INTENDED = """## Intended use

Telling the classes above apart in images like those of training. An image of anything else is also assigned to one of
these classes, often with confidence. Classes with few training images are recognized less reliably; look at the table
before relying on one of them. Measure the network on your own images before decisions depend on it:
`oponm eval folder=...`.
"""
