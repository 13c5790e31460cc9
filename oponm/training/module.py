"""The LightningModule: one training step for every method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric

from oponm.errors import InputError
from oponm.longtail import shot_groups
from oponm.metrics import evaluation_metrics, summarise
from oponm.nn import noise_routing
from oponm.noise import Batch
from oponm.rng import derived_randomness


class LongTailModule(pl.LightningModule):
    """Trains a classifier by cross-entropy on batches that carry their route.

    Args:
        model: (N, C, H, W) -> logits (N, K); for DAR-BN, converted by :func:`~oponm.nn.convert_batchnorm`.
        class_counts: training images of each class, length K.
        optimizer: makes the optimiser from the parameters.
        schedule: factor of the learning rate for each epoch.
        seed: the run's seed; dropout is a function of it, the epoch and the step.
        shots: thresholds of :func:`~oponm.longtail.shot_groups`.

    Example:
        >>> from oponm.models import SmallCNN
        >>> module = LongTailModule(SmallCNN(in_channels=1), [10] * 10)
        >>> module(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        model: nn.Module,
        class_counts: Sequence[int],
        optimizer: Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer] = torch.optim.SGD,
        schedule: Callable[[int], float] = lambda epoch: 1.0,
        seed: int = 0,
        shots: dict[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.class_counts, self.seed, self.shots = list(class_counts), seed, shots or {}
        shot_groups(self.class_counts, **self.shots)  # says now, not after training, what is wrong with the thresholds
        self.make_optimizer, self.schedule = optimizer, schedule
        self.train_loss, self.train_accuracy, self.noise_share = MeanMetric(), MeanMetric(), MeanMetric()
        self.val_metrics = evaluation_metrics(len(self.class_counts))
        self.test_metrics = evaluation_metrics(len(self.class_counts))
        self.test_scalars: dict[str, float] = {}
        self.test_recall: list[float] = []

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W), normalised -> logits (N, K)."""
        return self.model(images.to(self.dtype))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean cross-entropy over all rows of the batch, noise rows included."""
        identity = (self.seed, "dropout", self.current_epoch, batch_idx, self.global_rank)
        with derived_randomness(*identity, device=self.device), noise_routing(batch.is_noise):
            logits = self(batch.images)
        loss = F.cross_entropy(logits, batch.targets)
        self._count(loss.detach(), logits.detach(), batch)
        return loss

    def _count(self, loss: Tensor, logits: Tensor, batch: Batch) -> None:
        """Accumulate on the device; accuracy is that of natural rows."""
        natural = torch.ones_like(batch.targets, dtype=torch.bool) if batch.is_noise is None else ~batch.is_noise
        self.train_loss.update(loss, len(batch.targets))
        self.train_accuracy.update((logits.argmax(1) == batch.targets).float(), natural.float())
        self.noise_share.update((~natural).float())

    def on_train_epoch_start(self) -> None:
        """Note the epoch's learning rate; at its end the schedule has moved on already."""
        self.learning_rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]

    def on_train_epoch_end(self) -> None:
        """Log the epoch's means and its learning rate.

        Raises:
            InputError: if the loss is not finite.
        """
        if not bool(self.train_loss.compute().isfinite()):
            where = f"epoch {self.current_epoch}, learning rate {self.learning_rate:g}"
            raise InputError(f"makes the loss diverge ({where}): lower optimizer.lr", "optimizer")
        for name in ("train_loss", "train_accuracy", "noise_share"):
            metric = getattr(self, name)
            self.log(name.replace("train_", "train/"), metric.compute())
            metric.reset()
        self.log("lr", self.learning_rate)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write down what the weights were trained on."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        checkpoint["split"] = {
            "class_names": data.class_names,
            "split_digest": data.digest,
            "content_digest": data.content_digest,
        }

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count one batch of the validation set."""
        self.val_metrics.update(self(batch.images), batch.targets)

    def on_validation_epoch_end(self) -> None:
        """Sum the validation set up and log its scalars."""
        scalars, _ = summarise(self.val_metrics.compute(), self.class_counts, **self.shots)
        self.val_metrics.reset()
        self.log_dict({f"val/{name}": value for name, value in scalars.items()})

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Count one batch of the test set."""
        self.test_metrics.update(self(batch.images), batch.targets)

    def on_test_epoch_end(self) -> None:
        """Sum the test set up in ``test_scalars`` and ``test_recall`` and log the scalars."""
        self.test_scalars, self.test_recall = summarise(self.test_metrics.compute(), self.class_counts, **self.shots)
        self.test_metrics.reset()
        self.log_dict({f"test/{name}": value for name, value in self.test_scalars.items()})

    def configure_optimizers(self) -> Any:
        """The optimiser over all parameters, its rate set at the start of each epoch."""
        optimizer = self.make_optimizer(self.parameters())
        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule)]
