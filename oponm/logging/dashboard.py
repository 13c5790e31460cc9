"""Shows facts, figures and tables of a run at its beginning and at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger

from oponm.data import LongTailDataModule
from oponm.logging.charts import Chart, bar_chart, confusion_chart, phase_table
from oponm.logging.figures import accuracy_figure, confusion_figure, counts_figure, noise_figure
from oponm.logging.guard import never_stopping
from oponm.logging.layers import COLUMNS, layer_rows, layers_figure, measure_layers
from oponm.logging.sheet import sheet_figure
from oponm.logging.tensorboard_logger import TensorBoardLogger
from oponm.logging.wandb_logger import WandbLogger
from oponm.longtail import head_to_tail
from oponm.metrics import MOST_CONFUSED, read_confusion
from oponm.training import LongTailModule
from oponm.training.callbacks.checkpoint import BEST, LAST
from oponm.training.history import History
from oponm.training.result import environment

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from scipy.sparse import csr_array


class Dashboard(pl.Callback):
    """Passes plots, tables and facts (config, digests, versions) to the loggers of Weights & Biases and TensorBoard.

    An error in this callback becomes a warning and does not stop the run. In addition to Lightning's hooks it has two
    that :func:`oponm.training.run` calls in the first process: ``on_run_start``, and ``on_run_end`` after the run has
    been evaluated.
    """

    changes_nothing = True  # in the weights

    def __init__(self) -> None:
        self.displays: list[Any] = []
        self.rows: list[tuple[int, dict[str, float]]] = []

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Store the scalars logged in training, for the table of phases that :meth:`on_run_end` makes."""
        self.rows = next((logger.rows for logger in trainer.loggers if isinstance(logger, History)), [])

    def on_run_start(self, loggers: Sequence[Logger], data: LongTailDataModule, config: Mapping[str, Any]) -> None:
        """Send the facts of the run to the loggers before training: config, class counts, images, digests, versions.

        Args:
            loggers: the run's loggers.
            data: the data module, set up.
            config: the run's config as a dict of strings, numbers, lists and dicts.
        """
        self.displays = _displays(loggers)
        if not self.displays:
            return
        figures = self._draw(
            {
                "data/class_counts": lambda: counts_figure(data.class_names, data.class_counts),
                "data/images": lambda: sheet_figure(data),
            }
        )
        split = {"split_digest": data.digest, "content_digest": data.content_digest, "validation": data.val}
        split |= {"test_digest": data.test_digest, "val_digest": data.val_digest}
        for display in self.displays:
            with never_stopping("dashboard"):
                display.log_hyperparams(dict(config))
            with never_stopping("dashboard"):
                display.summarize({**split, **environment()})
            with never_stopping("dashboard"):
                display.show(figures, {})

    def on_evaluation_end(self, loggers: Sequence[Logger], result: Mapping[str, Any]) -> None:
        """Send the results on the test set per class to the loggers.

        Args:
            loggers: loggers of the evaluation.
            result: result of the evaluation, see :func:`~oponm.training.evaluate`.
        """
        self.displays = _displays(loggers)
        if self.displays:
            self._show(*self._of_classes(result, result["confusion_matrix"]))

    def on_run_end(
        self,
        loggers: Sequence[Logger],
        module: LongTailModule,
        data: LongTailDataModule,
        result: Mapping[str, Any],
        folder: Path,
    ) -> None:
        """Send test results, the table of phases and the batch-norm statistics of the layers; log the checkpoint.

        Args:
            loggers: the run's loggers.
            module: the trained module.
            data: the data module of training.
            result: result of the training, see :func:`~oponm.training.train`.
            folder: the run's folder.
        """
        if not self.displays:
            return
        matrix = None
        with never_stopping("dashboard"):
            matrix = read_confusion(folder, result["confusion_matrix"])
        figures, tables, charts = self._of_classes(result, matrix)
        with never_stopping("dashboard"):
            tables["phases"] = phase_table(self.rows, result["phases"], result["epochs"])
        with never_stopping("dashboard"):
            if layers := measure_layers(module, data):
                tables["dar_bn/layers"] = [list(COLUMNS), *layer_rows(layers)]
                figures |= self._draw({"dar_bn/statistics": lambda: layers_figure(layers)})
        self._show(figures, tables, charts)
        facts = {"phase_names": [phase["name"] for phase in result["phases"]], "train_seconds": result["train_seconds"]}
        best = result.get("best")
        kept = best["metrics"] if best else result["metrics"]
        if best:
            facts["best_epoch"] = best["epoch"]
        for display in self.displays:
            with never_stopping("dashboard"):
                if isinstance(display, WandbLogger):
                    display.summarize(facts)
                    file = folder / "checkpoints" / (BEST if best else LAST)
                    display.keep(file, {**kept, "split_digest": data.digest}, "best" if best else "last")

    def _of_classes(
        self, result: Mapping[str, Any], matrix: csr_array | None
    ) -> tuple[dict[str, Figure], dict[str, list[Any]], dict[str, Chart]]:
        names, counts, noise = result["class_names"], result["class_counts"], result["noise_histogram"]
        order = head_to_tail(counts)
        drawn = {"test/noise_histogram": lambda: noise_figure(names, counts, noise)}
        if result["metrics"]:  # there is a test set
            drawn["test/class_accuracy"] = lambda: accuracy_figure(names, counts, result["recall"])
        # Of more classes no picture shows any.
        confusions = None if matrix is None or len(names) > MOST_CONFUSED else matrix.toarray().tolist()
        if confusions is not None:
            drawn["test/confusion_matrix"] = lambda: confusion_figure(names, counts, confusions)
        figures = self._draw(drawn)
        sorted_names = [names[label] for label in order]
        charts = {
            "charts/noise_histogram": bar_chart(
                "what pure noise is taken for", sorted_names, "noise images", [noise[label] for label in order]
            ),
        }
        if result["metrics"]:
            charts["charts/class_accuracy"] = bar_chart(
                "accuracy on the test set", sorted_names, "accuracy", [result["recall"][label] for label in order]
            )
        title = "confusion matrix of the test set"
        if confusions is not None and (chart := confusion_chart(title, names, confusions)):
            charts["charts/confusion_matrix"] = chart
        columns = [names, counts, result["test_counts"] or [0] * len(names)]
        columns += [result[key] for key in ("recall", "precision", "noise_histogram")]
        head = ["class", "training images", "test images", "recall", "precision", "noise images taken for it"]
        return figures, {"test/classes": [head, *([column[k] for column in columns] for k in order)]}, charts

    def _draw(self, figures: Mapping[str, Callable[[], Figure]]) -> dict[str, Figure]:
        drawn = {}
        for name, draw in figures.items():
            with never_stopping(f"dashboard: {name}"):
                drawn[name] = draw()
        return drawn

    def _show(
        self, figures: Mapping[str, Figure], tables: Mapping[str, list[Any]], charts: Mapping[str, Chart]
    ) -> None:
        for display in self.displays:
            with never_stopping("dashboard"):
                display.show(figures, tables, charts)


def _displays(loggers: Sequence[Logger]) -> list[Any]:
    return [each for each in loggers if isinstance(each, WandbLogger | TensorBoardLogger)]
