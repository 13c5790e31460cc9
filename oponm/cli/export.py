"""``oponm export``: writes a network to a file, with its labels and a model card."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from oponm.cli.config import compose_command
from oponm.errors import InputError, check_choice, check_flag

HELP = """oponm export checkpoint=RUN/checkpoints/last.ckpt [key=value ...]

  format=onnx          or torchscript, torch_export, state_dict (weights; the model card has code for the network)
  output=FILE          file of the network, with labels.txt and MODEL_CARD.md beside it; exported/FORMAT/model.EXTENSION
  input=unit           images as floats in [0, 1]; uint8: as bytes; normalized: normalized already
  overwrite=true       replace files that exist
  trust=true           import a network that is not part of oponm, by the name in the checkpoint"""


def run(arguments: list[str]) -> None:
    """Export the checkpoint that ``arguments`` name."""
    if not arguments:
        print(HELP)
        return
    config, others = compose_command("export", arguments)
    if others:
        raise InputError(f"export takes key=value alone, got {others[0]!r}")
    _export(config, shlex.join(["oponm", "export", *arguments]))


def _export(config: DictConfig, command: str) -> None:
    from oponm.cli.trusted import network_factory
    from oponm.inference import FORMATS, export_classifier, load_classifier, read_run_facts

    chosen = FORMATS[check_choice("format", config.format, FORMATS)]
    checkpoint = Path(str(config.checkpoint))
    output = Path("exported", config.format, f"model{chosen.extension}")
    if config.output is not None:
        output = Path(str(config.output))
    overwrite = check_flag("overwrite", config.overwrite)
    classifier = load_classifier(checkpoint, network_factory(check_flag("trust", config.trust)))
    facts = read_run_facts(checkpoint, classifier.content_digest)
    try:
        files = export_classifier(classifier, output, config.format, config.input, facts, command, overwrite)
    except InputError as error:
        if error.key != "output" or config.output is not None or not output.exists():
            raise
        other = f"exported/{checkpoint.absolute().parent.parent.name}/{output.name}"
        raise InputError(
            f"{output} exists, exported before: choose output={other}, or overwrite=true", "output"
        ) from error
    console = Console(markup=False, highlight=False)
    names = ", ".join(file.name for file in files[:-1])
    size = f"{files[-1].stat().st_size / 2**20:.1f} MiB"
    console.print(f"{os.path.relpath(files[-1])} ({size}), beside it {names}", soft_wrap=True)
    console.print("read back and compared: the network's own logits, to 1e-4 of the largest", soft_wrap=True)
