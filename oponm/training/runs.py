"""A finished run: its metrics, its folder, and uses of its network."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from torch import Tensor, nn

from oponm.data import LongTailDataModule
from oponm.errors import InputError, check_choice
from oponm.inference import (
    Classifier,
    EvaluationFolder,
    Prediction,
    Predictions,
    export_classifier,
    find_images,
    load_classifier,
    predict_images,
    read_run_facts,
    serve_split,
)
from oponm.metrics import read_confusion
from oponm.metrics.confusion import CONFUSION_FILE
from oponm.run_files import CONFIG_FILE, RESULT_FILE
from oponm.training.module import LongTailModule
from oponm.training.quiet import quiet
from oponm.training.train import evaluate
from oponm.training.weights import check_split

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WEIGHTS = ("last", "best")


class Run:
    """A finished run; :func:`~oponm.training.fit` returns one, :meth:`load` reads one.

    Functions that take a run's folder, such as :func:`oponm.report.read_report`, also accept a Run.

    Args:
        folder: the run's folder.
        result: the content of its ``result.json``.
        weights: ``"last"``, or ``"best"`` for the weights of the best validation epoch.
        network: a network of the same kind, or a factory of one, if the checkpoint does not describe the network, as in
            :meth:`load`.
        data: the data module of training, for :meth:`evaluate`; None if it is unknown.

    Attributes:
        folder: the folder, with ``config.yaml``, ``metrics.csv``, ``result.json`` and ``checkpoints``.
        result: the content of ``result.json``: metrics, accuracy of each class, digests, versions, seconds.
        weights: ``"last"`` or ``"best"``.
        data: the data module of training; None if it is unknown, as for most loaded runs.
    """

    def __init__(
        self,
        folder: Path,
        result: dict[str, Any],
        weights: str = "last",
        network: nn.Module | Callable[..., nn.Module] | None = None,
        data: LongTailDataModule | None = None,
    ) -> None:
        self.folder, self.result, self.data = folder, result, data
        self.weights, self._given = check_choice("weights", weights, WEIGHTS), network

    @classmethod
    def load(
        cls,
        folder: str | PathLike[str],
        weights: str = "last",
        network: nn.Module | Callable[..., nn.Module] | None = None,
        data: LongTailDataModule | None = None,
    ) -> Run:
        """Read a finished run of :func:`~oponm.training.fit` or of the command line; no code in it is executed.

        Args:
            folder: the run's folder.
            weights: ``"last"``, or ``"best"`` for the weights of the best validation epoch.
            network: for a run whose network is not one of :mod:`oponm.models`: a network of the same kind, or a factory
                of one, called with ``num_classes`` and ``in_channels``. A copy receives the weights, not the object.
            data: the data module of training, for :meth:`evaluate`.

        Raises:
            InputError: if the folder holds no finished run.

        Example:
            >>> import tempfile
            >>> from oponm.data import DigitsLT
            >>> from oponm.training import fit
            >>> folder = tempfile.mkdtemp()
            >>> trained = fit(DigitsLT(imbalance_ratio=50), method="erm", max_epochs=1, output_dir=folder)
            >>> run = Run.load(folder)
            >>> run.metrics == trained.metrics, len(run.epochs)
            (True, 1)
        """
        folder = Path(folder).expanduser()
        try:
            result = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{folder} holds no finished run ({RESULT_FILE} missing or damaged)", "folder") from error
        if not isinstance(result, dict) or not isinstance(result.get("metrics"), dict) or "train_seconds" not in result:
            raise InputError(f"{folder / RESULT_FILE} was not written by a training run", "folder")
        return cls(folder, result, weights, network, data)

    def __fspath__(self) -> str:
        """Return the path of the folder."""
        return os.fspath(self.folder)

    def __repr__(self) -> str:
        """Return the choices, the seed and the balanced accuracy on the test set as text."""
        choices, score = self.result["choices"], self.metrics.get("balanced_accuracy")
        measured = "no test set" if score is None else f"balanced accuracy {100 * score:.1f} %"
        named = f"{choices.get('method')} on {choices.get('data')}, {choices.get('model')}, seed {self.result['seed']}"
        return f"<Run: {named}: {measured}>"

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the chosen weights (``"last"`` or ``"best"``) on the test set, by name, in [0, 1]."""
        return dict((self.result if self.weights == "last" else self._best)["metrics"])

    @property
    def recall(self) -> list[float | None]:
        """Accuracy of each class on the test set, of the chosen weights; None for a class without test images."""
        return list((self.result if self.weights == "last" else self._best)["recall"])

    @cached_property
    def confusion_matrix(self) -> csr_array | None:
        """(K, K), sparse: row i, column j: number of test images of class i that were predicted as class j.

        The predictions are those of the last weights, also for ``weights="best"``. None if the run did not count them:
        with more than 1,000 classes a run does so only on request.

        Raises:
            InputError: if its file is missing or damaged.
        """
        try:
            return read_confusion(self.folder, self.result.get("confusion_matrix"))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder / CONFUSION_FILE} cannot be read: {error}") from error

    @property
    def _best(self) -> dict[str, Any]:
        if "best" not in self.result:
            raise InputError("must be last, as the run had no validation set to choose an epoch on", "weights")
        return dict(self.result["best"])

    @cached_property
    def epochs(self) -> list[dict[str, float]]:
        """The rows of ``metrics.csv``: a dict from name to value for each epoch; empty if there is no such file."""
        file = self.folder / "metrics.csv"
        if not file.is_file():
            return []
        with file.open(encoding="utf-8", newline="") as lines:
            rows = [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(lines)]
        return [row for row in rows if "train/loss" in row]

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint with the chosen weights, ``last.ckpt`` or ``best.ckpt``."""
        return self.folder / "checkpoints" / f"{self.weights}.ckpt"

    @cached_property
    def classifier(self) -> Classifier:
        """The network with its classes and the statistics that images are normalized by; read when first used.

        Raises:
            InputError: if the checkpoint is missing or damaged, or does not say what its network is.
        """
        given = self._given
        if given is None:
            return load_classifier(self.checkpoint)
        if isinstance(given, nn.Module):
            return load_classifier(self.checkpoint, network=given)
        return load_classifier(self.checkpoint, lambda settings: given)

    @property
    def network(self) -> nn.Module:
        """(N, C, H, W), normalized -> logits (N, K); with standard batch norm, in evaluation mode, on the CPU."""
        return self.classifier.network

    def predict(
        self, images: Tensor | str | PathLike[str] | Iterable[str | PathLike[str]], on_error: str = "raise"
    ) -> list[Prediction]:
        """Classify images.

        Args:
            images: stored pixels, (N, C, H, W), uint8, of the training images' size; or image files and folders, whose
                images are resized to that size.
            on_error: ``"raise"`` raises an error for a file that cannot be read; ``"skip"`` leaves the file out.

        Returns:
            One prediction per image, in order; its ``path`` is None if pixels were given.

        Raises:
            InputError: for pixels of another shape or dtype; for a path that does not exist, if there is no image at
                all, or for a file that cannot be read.

        Example:
            >>> import torch
            >>> from oponm.data import DigitsLT
            >>> from oponm.training import fit
            >>> run = fit(DigitsLT(imbalance_ratio=50), max_epochs=2)
            >>> [prediction] = run.predict(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))
            >>> prediction.path, round(sum(prediction.probabilities), 3)
            (None, 1.0)
        """
        check_choice("on_error", on_error, ("raise", "skip"))
        if isinstance(images, Tensor):
            return predict_images(self.classifier, images)
        one = isinstance(images, (str, PathLike))
        files, _ = find_images([images] if one else images)  # type: ignore[list-item,arg-type]
        predictions = Predictions(self.classifier, files)
        found = list(predictions)
        if predictions.skipped and on_error == "raise":
            raise InputError(f"{predictions.skipped[0]}; remove it, or choose on_error='skip'")
        return found

    def evaluate(
        self, data: LongTailDataModule | str | PathLike[str] | None = None, split: str = "test", **options: Any
    ) -> dict[str, Any]:
        """Evaluate the weights on a part of the data, or on a folder of images.

        Args:
            data: a data module; or a folder of images, ``<class>/*``; None takes the data module of training, which a
                Run from ``fit`` has.
            split: part of a data module to evaluate on: ``"test"``, ``"val"`` or ``"train"``; not for a folder.
            **options: ``accelerator`` and others of :func:`~oponm.training.make_trainer`.

        Returns:
            The dict that :func:`~oponm.training.evaluate` returns.

        Raises:
            InputError: if there is no data, or its classes differ.

        Example:
            >>> from oponm.data import DigitsLT
            >>> from oponm.training import fit
            >>> run = fit(DigitsLT(imbalance_ratio=50), method="erm", max_epochs=1)
            >>> run.evaluate()["metrics"] == run.metrics
            True
            >>> int(run.evaluate(split="train")["confusion_matrix"].sum())  # images
            353
        """
        data = self.data if data is None else data
        if data is None:
            raise InputError("must be given, as a run that was loaded does not hold its images", "data")
        config: Any = OmegaConf.to_container(OmegaConf.load(self.folder / CONFIG_FILE))
        served: Any
        if isinstance(data, LongTailDataModule):
            served = data.for_run(config["seed"])
            serve_split(served, split)
            known = self.classifier
            described = {name: getattr(known, name) for name in ("class_names", "image_shape", "resize")}
            check_split(known.digests | described, served, split)
            served.normalize_as(known.statistics)
            served.class_counts = known.class_counts
        elif split != "test":
            raise InputError(f"is {split}, a part of a data module: leave split out if data is a folder", "split")
        else:
            served = EvaluationFolder(os.fspath(data), self.classifier, seed=config["seed"])
        counted = config["trainer"].get("confusion_matrix", "auto")  # runs of older versions lack it
        options_of_module = {"seed": config["seed"], "shots": config["shots"], "confusion_matrix": counted}
        module = LongTailModule(self.network, class_counts=served.class_counts, **options_of_module)
        with quiet():
            return evaluate(module, served, **options)

    def export(
        self, path: str | PathLike[str], format: str = "onnx", takes: str | None = None, overwrite: bool = False
    ) -> list[Path]:
        """Write the network to a file, with its labels and a model card beside it.

        Args:
            path: the file to write.
            format: ``"onnx"``, ``"torchscript"``, ``"torch_export"`` or ``"state_dict"``.
            takes: kind of input of the exported network, as in :func:`~oponm.inference.export_classifier`; None takes
                its default.
            overwrite: whether existing files are replaced.

        Returns:
            The files: labels, model card, and the network last.

        Raises:
            InputError: if :func:`~oponm.inference.export_classifier` refuses the export.

        Example:
            >>> import tempfile
            >>> from oponm.data import DigitsLT
            >>> from oponm.training import fit
            >>> run = fit(DigitsLT(imbalance_ratio=50), method="erm", max_epochs=1)
            >>> [file.name for file in run.export(Path(tempfile.mkdtemp(), "digits.pt"), format="state_dict")]
            ['labels.txt', 'MODEL_CARD.md', 'digits.pt']
        """
        facts = read_run_facts(self.checkpoint, self.classifier.content_digest)
        return export_classifier(self.classifier, Path(path).expanduser(), format, takes, facts, overwrite=overwrite)
