"""``oponm predict``: predicts the classes of image files with a checkpoint."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from oponm.cli.config import compose_command
from oponm.configs import plain
from oponm.errors import InputError, check_choice, check_flag

if TYPE_CHECKING:
    import torch

    from oponm.inference import Predictions

HELP = """oponm predict checkpoint=RUN/checkpoints/last.ckpt PATHS... [key=value ...]

  PATHS are image files, or folders of them at any depth; of folders named as classes accuracy is printed. Settings:
  output=FILE          where the predictions go; predictions.csv (or .json)
  format=csv|json      path, class (of class folders), prediction, probability, and the probability of each class
  overwrite=true       replace a file that exists
  prior=balanced       the shares of the classes to predict for: balanced, train, shares.csv (class, share), or
                       'prior={cat: 0.2, dog: 0.8}'; trained_prior= says those of training where the checkpoint does not
  threshold=0.3        of two classes, decide for the one with fewer training images at this probability; or
                       'threshold={cat: 0.3}'
  batch_size=64        images decoded and classified together
  accelerator=auto     cpu, gpu, mps
  trust=true           import a network that is not part of oponm, by the name in the checkpoint"""
_SHOWN = 20


def run(arguments: list[str]) -> None:
    """Classify the images that ``arguments`` name, and write a table."""
    if not arguments:
        print(HELP)
        return
    config, paths = compose_command("predict", arguments)
    _predict(config, paths)


def _predict(config: DictConfig, paths: list[str]) -> None:
    from oponm.cli.trusted import network_factory
    from oponm.inference import Predictions, find_images, load_classifier
    from oponm.inference.images import true_classes
    from oponm.inference.predict import write_csv, write_json
    from oponm.inference.prior import adjusted, read_threshold
    from oponm.run_files import new_files

    write = {"csv": write_csv, "json": write_json}[check_choice("format", config.format, ("csv", "json"))]
    output = Path(str(config.output))
    if not paths:
        raise InputError("predict needs image files, or folders: oponm predict checkpoint=... PHOTOS")
    with new_files([output], check_flag("overwrite", config.overwrite)) as (temporary,):
        classifier = load_classifier(Path(str(config.checkpoint)), network_factory(check_flag("trust", config.trust)))
        files, others = find_images(paths)
        truth = true_classes(paths, classifier.class_names)
        names, counts = classifier.class_names, classifier.class_counts
        shares = (plain(config.prior), names, counts, classifier.prior, plain(config.trained_prior))
        classifier = replace(classifier, network=adjusted(classifier.network, *shares).eval())
        threshold = read_threshold(plain(config.threshold), names, counts)
        device = _device(config.accelerator)
        predictions = Predictions(classifier, files, config.batch_size, device, truth, threshold)
        write(temporary, predictions)
        if not sum(predictions.counts):
            raise InputError(f"none of {len(files)} images could be read; the first: {predictions.skipped[0]}")
    _report(predictions, [*others, *predictions.skipped], output)


def _device(accelerator: str) -> torch.device:
    """The device that Lightning selects for the name."""
    from oponm.training import make_trainer

    try:
        return make_trainer(accelerator=accelerator).strategy.root_device
    except (ValueError, MisconfigurationException) as error:
        raise InputError(f"cannot be used: {' '.join(str(error).split())}", "accelerator") from error


def _report(predictions: Predictions, left_out: list[str], output: Path) -> None:
    console = Console(markup=False, highlight=False)
    table = Table("class", "images", box=SIMPLE_HEAD)
    table.columns[1].justify = "right"
    counts = dict(zip(predictions.classifier.class_names, predictions.counts, strict=True))
    found = sorted((name for name in counts if counts[name]), key=lambda name: -counts[name])
    for name in found[:_SHOWN]:
        table.add_row(name, str(counts[name]))
    console.print(table)
    if len(found) > _SHOWN:
        console.print(f"and {len(found) - _SHOWN} more classes")
    if left_out:
        console.print(f"{len(left_out)} files were left out:")
        for line in left_out[:_SHOWN]:
            console.print(f"  {line}", soft_wrap=True)
        if len(left_out) > _SHOWN:
            console.print(f"  and {len(left_out) - _SHOWN} more")
    if predictions.told:
        share, number = 100 * predictions.right / predictions.told, predictions.told
        console.print(f"accuracy {share:.1f} % of {number} images in class folders")
    console.print(f"{sum(predictions.counts)} predictions: {os.path.relpath(output)}", soft_wrap=True)
