"""The LightningModule: one training step for every method."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os import PathLike
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MeanMetric

from oponm.data import LongTailDataModule
from oponm.data.image_data import EpochInput
from oponm.data.samplers.batches import Part
from oponm.errors import InputError, check_choice
from oponm.inference.classifier import network_of_checkpoint
from oponm.inference.factory import known_factory
from oponm.inference.prior import Threshold
from oponm.known_settings import check_settings
from oponm.longtail import shot_groups
from oponm.losses import CrossEntropy, batch_loss, row_weights
from oponm.losses.precision import at_least_float32
from oponm.metrics import (
    MOST_CONFUSED,
    Answers,
    Evaluation,
    Predicted,
    RowMetrics,
    evaluation_metrics,
    ranking_scores,
    summarize,
)
from oponm.models import LearnableScale
from oponm.models.classifier import find_classifier
from oponm.nn import noise_routing
from oponm.nn.aux import AuxRoutedBatchNorm
from oponm.noise import Batch
from oponm.rng import derived_randomness
from oponm.training.distributed import everyone_says, world_size
from oponm.training.features import RowLoss, logits_and_loss
from oponm.training.noise_pass import split_logits, split_obstacle
from oponm.training.parameter_groups import optimizer_of, own_settings, takes_groups
from oponm.training.parts import enter_part, exported_weights, finish_classifier, leave_part, set_modes
from oponm.training.phase_optimizer import limit_norms, raise_rate_of_scale
from oponm.training.phases import Phase, PhasePlan
from oponm.training.plain_phase import auxiliary_names
from oponm.training.trained_prior import trained_prior

log = logging.getLogger(__name__)
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_MOST_PHASES = 10  # limit for a method chosen by name
_EVERYTHING = PhasePlan([Phase(1)], max_epochs=1)  # until the module has phases of its own
_DEFAULTS: dict[str, Any] = {"optimizer": torch.optim.SGD, "schedule": lambda epoch: 1.0, "loss": CrossEntropy}


class Parts(NamedTuple):
    """The components of a module: phases, network, optimizer, schedule and loss.

    Attributes:
        plan: the phases over the epochs of the run.
        network: the network with its initial weights.
        optimizer: function from parameters, or parameter groups, to an optimizer.
        schedule: function from the epoch to the learning rate's factor.
        loss: function from the class counts to the loss.
        idle: whether some weights never get a gradient.
    """

    plan: PhasePlan
    network: nn.Module
    optimizer: Callable[..., torch.optim.Optimizer]
    schedule: Callable[[Any], float]
    loss: Callable[[Sequence[int]], nn.Module]
    idle: bool = False


class LongTailModule(pl.LightningModule):
    """Trains a classifier, phase by phase, on batches that carry a noise mask.

    The trainer's data module provides the number of classes and of channels in :meth:`setup`; the trainer provides the
    number of epochs. Defaults are those of ``oponm train`` for the same data, and the weights are identical to those of
    the command.

    Args:
        model: a name of the command line (``oponm --help`` lists them); or a function called with ``num_classes`` and
            ``in_channels`` that makes the network; or a network, (N, C, H, W) -> logits (N, K), which is trained in
            place.
        method: a name, or the phases of a method.
        class_counts: training images of each class, length K. With them the module is made at once, without a data
            module; a fit still needs one of :mod:`oponm.data`. ``model`` must then be a network that is already
            converted by :func:`~oponm.nn.convert_batchnorm`; ``optimizer``, ``schedule`` and ``loss`` may not be names,
            except for the default ``"sgd"``. Set :attr:`plan` before a fit of more than one epoch.
        optimizer: a name, or a function from parameters to an optimizer, such as ``partial(torch.optim.SGD, lr=0.1)``.
        schedule: a name, or a function called with ``max_epochs`` that returns the learning rate's factor as a function
            of the epoch; None takes the command's default for the data. With ``class_counts``: the function of the
            epoch; None keeps the rate constant.
        seed: seed of the initial weights and of dropout, which is a function of seed, epoch and step. None takes the
            seed of the data module; with ``class_counts``, 0.
        shots: dict with ``many_over`` and ``few_under``, the thresholds of :func:`~oponm.longtail.shot_groups`; both
            None groups the classes into thirds. A missing key has the command's default for the data: thirds for your
            own files, else 100 and 20. None stands for an empty dict.
        loss: a name, or a function from the class counts to a loss per row, as in :mod:`oponm.losses`; phases may have
            their own. None takes the loss of the method; with ``class_counts``, cross-entropy.
        norm: kind of batch norm: ``"dar"``, ``"aux"`` or ``"standard"``, as in :func:`~oponm.nn.convert_batchnorm`.
        noise_grad: how far gradients of noise rows reach: ``"none"``, ``"input"`` or ``"full"``, as in
            :func:`~oponm.nn.routed_batch_norm`; None means ``"none"`` for DAR-BN, else ``"full"``.
        head: ``"linear"`` or ``"cosine"``; None takes the head of the method.
        weights: a file of initial weights.
        classifier: the name, in the network's ``named_modules``, of the layer that gives the logits; None finds it by
            a forward pass.
        tau: at the end, each weight row of the classifier is divided by this power of its norm, see
            :class:`~oponm.training.PhasePlan`; None takes the method's.
        channels_last: whether to keep weights and images in that memory format. Noise rows are then put last, as under
            autocast, which makes batch norm faster. Dropout then draws other masks for the rows than without it.
        compile: whether to run the model through ``torch.compile``. Each shape of a batch, such as that of the last
            one, is compiled once with static shapes; the number of noise rows does not change the shape.
        compile_mode: mode of ``torch.compile``, one of :data:`COMPILE_MODES`; ``"reduce-overhead"`` records CUDA
            graphs.
        split_noise: True, False or ``"auto"``: whether noise rows have their own forward pass, without an autograd
            graph below the classifier. This is possible only if the gradients stay the same, as with
            ``noise_grad="none"`` (:func:`~oponm.training.noise_pass.split_obstacle` checks it). It saves the backward
            pass of noise rows, but waits for the device once a step. ``"auto"`` does it on the CPU if noise rows are
            last anyway. It is never done with several processes or with ``compile``.
        confusion_matrix: True, False or ``"auto"``: whether to count the confusion matrix of the test set; ``"auto"``
            does so for at most :data:`~oponm.metrics.MOST_CONFUSED` classes.

    Attributes:
        plan: the phases over the epochs of the run. With ``class_counts`` it is one phase that trains all weights,
            until you set it.
        evaluation: the metrics of the test set; it exists after a test.
        predicted: the predictions for the test set, in the first process after a test; else None.
        threshold: decides between two classes in a test; None predicts the class with the largest logit.
        has_idle_weights: whether some weights never get a gradient, as those of a head that the logits do not use.
        scales_loss: whether the precision scales the loss, as float16 needs; set before training begins.
        clips_mixed: whether gradients are clipped in mixed precision, also in bfloat16; set before training begins.
        model_config: dict of the settings that the model was made from, for checkpoints; None if unknown.
        code: hashes of the user's own code that the run executes, for checkpoints, from
            :func:`~oponm.own_code.own_code`; None if unknown.

    Raises:
        InputError: naming the argument that cannot be used; without ``class_counts`` it is raised in :meth:`setup`.

    Example:
        >>> from oponm.data import DigitsLT
        >>> trainer = pl.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
        ...                      enable_progress_bar=False, enable_model_summary=False)
        >>> module = LongTailModule("small_cnn", method="open")
        >>> trainer.fit(module, datamodule=DigitsLT(imbalance_ratio=50))
        >>> [phase.name for phase in module.plan.phases]
        ['instance', 'class_balanced+noise']
        >>> module(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """

    evaluation: Evaluation
    model: nn.Module
    _can_split: bool | None

    def __init__(
        self,
        model: str | nn.Module | Callable[..., nn.Module] = "small_cnn",
        method: str | Sequence[Phase] = "open",
        *,
        class_counts: Sequence[int] | None = None,
        optimizer: str | Callable[..., torch.optim.Optimizer] = "sgd",
        schedule: str | Callable[..., Any] | None = None,
        seed: int | None = None,
        shots: Mapping[str, int | None] | None = None,
        loss: str | Callable[[Sequence[int]], nn.Module] | None = None,
        norm: str = "dar",
        noise_grad: str | None = None,
        head: str | None = None,
        weights: str | PathLike[str] | None = None,
        classifier: str | None = None,
        tau: float | None = None,
        channels_last: bool = False,
        compile: bool = False,
        compile_mode: str = "default",
        split_noise: bool | str = "auto",
        confusion_matrix: bool | str = "auto",
    ) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.preserve_format
        for key, value in {"split_noise": split_noise, "confusion_matrix": confusion_matrix}.items():
            if not isinstance(value, bool) and value != "auto":
                raise InputError(f"must be auto, true or false, got {value!r}", key)
        self.compile_mode = check_choice("compile_mode", compile_mode, COMPILE_MODES)
        self.compiles, self.split_noise, self.confusions = compile, split_noise, confusion_matrix
        self.scales_loss = self.clips_mixed = False
        self.model_config: dict[str, Any] | None = None
        self.code: dict[str, str] | None = None
        self.predicted: Predicted | None = None
        self.threshold: Threshold | None = None
        self._answers: list[Answers] = []  # of this process in the test so far, batch by batch
        self._fitting = False
        self._border: int | None = 0  # first epoch of a phase that has not begun yet
        self._chosen: dict[str, Any] = {"model": model, "method": method, "norm": norm, "optimizer": optimizer}
        self._chosen |= {"schedule": schedule, "loss": loss}
        self._settings: dict[str, Any] = {"norm": {"noise_grad": noise_grad}, "method": {"tau": tau}}
        self._settings |= {"model": {"head": head, "weights": weights, "classifier": classifier}}
        self._settings |= {"shots": shots or {}}
        self.given_seed = seed
        self._waits = self._finishes = class_counts is None
        self._finished = False
        if class_counts is not None:
            if not isinstance(model, nn.Module):
                raise InputError(f"must be a network where class_counts are given, got {model!r}", "model")
            given = {name: self._chosen[name] for name in _DEFAULTS if self._chosen[name] not in (None, "sgd")}
            if named := [name for name, thing in given.items() if isinstance(thing, str)]:
                raise InputError("must be an object where class_counts are given, not a name", named[0])
            self._complete(Parts(_EVERYTHING, model, **{**_DEFAULTS, **given}), class_counts, seed or 0, shots or {})

    def _complete(self, parts: Parts, class_counts: Sequence[int], seed: int, shots: Mapping[str, int | None]) -> None:
        """Set the parts that depend on the data."""
        self.model = parts.network
        if self.memory_format == torch.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        if self.compiles:
            self.model.compile(dynamic=False, mode=self.compile_mode)
        self.class_counts, self.seed, self.shots = list(class_counts), seed, dict(shots)
        shot_groups(self.class_counts, **self.shots)  # so that wrong thresholds are refused before training
        self.make_optimizer, self.schedule, self.make_loss = parts.optimizer, parts.schedule, parts.loss
        self.plan, self.has_idle_weights = parts.plan, parts.idle
        self.follow(self.plan.at(0))
        # The search for NaN waits for the device each step. Without it the metric has no weights: losses come by row.
        self.train_loss, self.train_rows = MeanMetric(nan_strategy="disable"), RowMetrics()
        self.val_metrics = evaluation_metrics(len(self.class_counts))
        confusions = len(self.class_counts) <= MOST_CONFUSED if self.confusions == "auto" else bool(self.confusions)
        self.test_metrics = evaluation_metrics(len(self.class_counts), confusions)
        self._waits = False

    def prepare(self, data: LongTailDataModule, trainer: pl.Trainer) -> None:
        """Make the components that depend on the data, and check by small forward and backward passes that they fit.

        The data module calls it at the end of its ``setup``, so that the network exists in the callbacks' ``setup``.

        Args:
            data: the data module, set up.
            trainer: the trainer of the fit that begins; its ``max_epochs`` is the length of the run.

        Raises:
            InputError: naming the argument that cannot be used; for a module that was trained on other classes; and for
                a strategy whose processes do not return the trained network.
        """
        if not self._waits:
            if self._finishes and list(data.class_counts) != self.class_counts:
                raise InputError("has other class counts than the module was made for: make a new module", "datamodule")
            return
        if trainer.world_size > 1 and "MultiProcessing" in type(trainer.strategy.launcher).__name__:
            raise InputError(
                "starts processes that do not return the trained network: take ddp in a script, or torchrun", "strategy"
            )
        seed = data.seed if self.given_seed is None else self.given_seed
        if seed != data.seed:
            raise InputError(
                f"of the module is {seed}, but that of the data module is {data.seed}: set it only in the data module",
                "seed",
            )
        if trainer.max_epochs is None or trainer.max_epochs < 1:
            raise InputError("must be given to the trainer, as the lengths of the phases depend on it", "max_epochs")
        chosen, settings = self._chosen, {**self._settings, "trainer": {"max_epochs": trainer.max_epochs}}
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # one epoch of the first phase
            listed = 1 if isinstance(chosen["method"], str) else len(chosen["method"])
            settings["trainer"] = {"max_epochs": max(_MOST_PHASES, listed)}
        from oponm.training.build import build_parts, full_keys  # it makes modules itself
        from oponm.training.compose import compose_run

        settings["trainer"] |= {"compile": self.compiles, "split_noise": self.split_noise}
        composed = compose_run(data, chosen, seed, settings)
        check_settings(composed.config)
        with full_keys(composed.config):
            parts = build_parts(composed.config, data, composed.given)
        if not isinstance(composed.given.get("model"), nn.Module):
            self.model_config = OmegaConf.to_container(composed.config.model)  # type: ignore[assignment]
        shots: Any = OmegaConf.to_container(composed.config.shots)
        self._complete(parts, data.class_counts, seed, shots)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W), normalized -> logits (N, K)."""
        self._require_weights()
        logits = self.model(images.to(self.dtype, memory_format=self.memory_format))
        if not isinstance(logits, Tensor):
            mode = "training" if self.training else "evaluation"
            raise InputError(
                f"returns a {type(logits).__name__} in {mode} mode, not logits (N, K): leave its auxiliary heads out, "
                "or return the logits of the main one alone",
                "model",
            )
        return logits

    def setup(self, stage: str) -> None:
        """Check that the trainer and its data module can follow the phases.

        Raises:
            InputError: if the trainer cannot train by phases.
        """
        self._fitting = stage == "fit"
        if not self._fitting:
            self._require_weights()
            return
        trainer, data = self.trainer, getattr(self.trainer, "datamodule", None)
        if not isinstance(data, LongTailDataModule):
            raise InputError(
                f"must be one of oponm.data, as others do not sample and add noise by phase, got {data!r}", "datamodule"
            )
        self.prepare(data, trainer)
        if trainer.max_epochs != self.plan.max_epochs and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            raise InputError(
                f"of the trainer is {trainer.max_epochs}, and the module's plan has {self.plan.max_epochs} epochs: set "
                "module.plan = PhasePlan(phases, max_epochs)",
                "max_epochs",
            )

    def _require_weights(self) -> None:
        if self._waits and not hasattr(self, "model"):
            raise InputError("has no weights yet: fit the module, or take LongTailModule.load_from_checkpoint", "model")

    def epoch_input(self, epoch: int) -> EpochInput:
        """Return the settings by which the data module makes the batches of an epoch.

        Args:
            epoch: zero-based; after training, the last epoch's settings are returned.
        """
        epoch = min(epoch, self.plan.max_epochs - 1)
        phase = self.plan.at(epoch)
        return EpochInput(phase.sampler, phase.noise, phase.mixing, self.plan.progress(epoch))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Mean loss over all rows of the batch, noise rows included, with the class weights of the phase.

        With several processes, each returns the loss of its part, weighted so that their mean is the whole batch's.
        """
        identity = (self.seed, "dropout", self.current_epoch, batch_idx, self.global_rank)
        with derived_randomness(*identity, device=self.device):  # for dropout, and for losses that draw
            return self._step(batch, batch_idx)

    def _step(self, batch: Batch, batch_idx: int) -> Tensor:
        # With these, batch norm is faster on slices.
        ordered = self.memory_format == torch.channels_last or torch.is_autocast_enabled(self.device.type)
        batch = batch.natural_first() if ordered or self.split_noise is True else batch
        splits = self.split_noise is True or (self.split_noise == "auto" and ordered and self.device.type == "cpu")
        natural = self._natural_to_split(batch) if splits else None
        logits, row_loss = logits_and_loss(
            partial(self._logits, batch, natural), self.loss, self.model, len(self.class_counts)
        )
        loss, part = batch_loss(row_loss, logits, *self._weighing(batch)), self._part(batch_idx)
        if part is None:
            self._count(loss.detach(), logits.detach(), batch, row_loss)
            return loss
        weights: float | Tensor = part.weight
        rows: float | Tensor = part.weight
        if batch.is_noise is not None or self.class_weights is not None:  # equal parts may differ in weight
            weights, rows = self._shares(batch, loss.dtype)
        if part.counted:
            self._count(loss.detach() * (weights / rows), logits.detach(), batch, row_loss)
        return loss * weights

    def _natural_to_split(self, batch: Batch) -> int | None:
        """The number of natural rows, which come first; None where all rows go through the network together."""
        if batch.is_noise is None or self.compiles or world_size() > 1:
            return None
        natural = len(batch.is_noise) - int(batch.is_noise.sum())
        if not 2 <= natural < len(batch.is_noise):
            return None
        if self._can_split is None:
            obstacle = split_obstacle(self.model, batch.images, len(self.class_counts))
            if obstacle and self.split_noise is True:  # no error: a run may be hours old
                log.warning("split_noise=true is not followed: %s", obstacle)
            self._can_split = not obstacle
        return natural if self._can_split else None

    def _logits(self, batch: Batch, natural: int | None) -> Tensor:
        if natural is not None:
            classifier = find_classifier(self.model, len(self.class_counts))[1]
            return split_logits(self, classifier, batch.images, natural)
        with noise_routing(batch.is_noise):
            return self(batch.images)

    def _weighing(self, batch: Batch) -> tuple[Any, ...]:
        """The arguments by which :func:`~oponm.losses.row_weights` weighs a batch."""
        return (batch.targets, self.class_weights, batch.partners, batch.shares, batch.is_noise, self.noise_loss)

    @torch.no_grad()
    def _shares(self, batch: Batch, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """This process's share of the sum of weights, and of the number of rows, each times the number of processes.

        All processes must call it.
        """
        weights = row_weights(*self._weighing(batch)).sum(dtype=torch.float64)
        mine = torch.stack([weights, torch.full_like(weights, len(batch.targets))])
        total = mine.clone()
        torch.distributed.all_reduce(total)
        weights, rows = (mine * world_size() / torch.where(total > 0, total, 1)).to(dtype)
        return weights, rows

    def _part(self, step: int) -> Part | None:
        """This process's part of the batch of a step; None if it is the only process."""
        if world_size() == 1:
            return None
        part: Part = self.trainer.datamodule.batches.part(step)  # type: ignore[attr-defined]
        return part

    @torch.no_grad()
    def _count(self, loss: Tensor, logits: Tensor, batch: Batch, row_loss: RowLoss) -> None:
        """Accumulate on the device: the loss of the batch, and the losses of its rows without class weights."""
        logits = at_least_float32(logits)
        losses = row_loss(logits, batch.targets)
        if batch.partners is not None and batch.shares is not None:
            losses = batch.shares * losses + (1 - batch.shares) * row_loss(logits, batch.partners)
        self.train_loss.update(loss.expand(len(batch.targets)))
        self.train_rows.update(losses, logits.argmax(1) == batch.targets, batch.is_noise)

    def so_far(self) -> dict[str, float]:
        """Return the metrics of the epoch so far in this process; waits for the device once.

        Returns:
            Dict with ``loss``, ``accuracy`` (if there were natural rows) and ``noise_share``, the fraction of noise
            rows; empty before the first step.
        """
        rows = self.train_rows
        sums = [self.train_loss.mean_value, self.train_loss.weight, rows.correct[0], *rows.rows]
        loss, weight, correct, natural, noise = torch.stack([each.detach().float() for each in sums]).tolist()
        if not weight:
            return {}
        means = {"loss": loss / weight, "noise_share": noise / (natural + noise)}
        return {**means, **({"accuracy": correct / natural} if natural else {})}

    def follow(self, phase: Phase) -> None:
        """Set the loss, the class weights and the weight of noise rows to those of a phase.

        Args:
            phase: a phase of the plan.
        """
        make = phase.loss or self.make_loss
        self.loss = make(self.class_counts).to(self.device)
        weights = phase.weights(self.class_counts)
        self.class_weights = None if weights is None else weights.to(self.device)
        self.noise_loss = phase.noise_loss
        self._phase = phase
        self._can_split = None  # not tried yet for what this phase trains

    @property
    def trains_parts(self) -> bool:
        """Whether some weights may get no gradient in a step: of auxiliary batch norm, or frozen by a phase."""
        auxiliary = any(isinstance(part, AuxRoutedBatchNorm) for part in self.model.modules())
        return auxiliary or any(phase.trainable != "all" for phase in self.plan.phases)

    @property
    def apart(self) -> bool:
        """Whether the optimizer has a separate parameter group for the weights of auxiliary batch norm."""
        plain = all(phase.trainable == "all" for phase in self.plan.phases)
        # A fused optimizer undoes the scale of float16's loss itself; an unfused group of it cannot.
        unfused = self.scales_loss or self.clips_mixed
        able = takes_groups(self.make_optimizer) and not (unfused and self._fused)
        return plain and able and bool(auxiliary_names(self.model))

    @property
    def _fused(self) -> bool:
        return bool(own_settings(self.make_optimizer).get("fused", False))

    def on_after_backward(self) -> None:
        """Average the gradient of a learnable scale over the processes: DDP ignores a scale that a phase adds later."""
        if self.trainer.world_size > 1:
            for part in self.model.modules():
                if isinstance(part, LearnableScale) and part.scale.grad is not None:
                    torch.distributed.all_reduce(part.scale.grad)
                    part.scale.grad /= self.trainer.world_size

    def on_train_epoch_start(self) -> None:
        """If a phase begins, prepare the network for it, with a new optimizer if it trains other weights."""
        epoch, plan = self.current_epoch, self.plan
        if epoch in plan.starts:
            phase = plan.at(epoch)
            self.follow(phase)
            with derived_randomness(self.seed, "classifier", epoch):
                enter_part(self.model, phase.trainable, phase.reset_classifier, len(self.class_counts))
            if self._new_optimizer(epoch):
                self.trainer.strategy.setup_optimizers(self.trainer)
            self._border = None
        self._enter_epoch()

    def on_train_start(self) -> None:
        """Set modes and learning rate; inside a resumed epoch, Lightning calls no ``on_train_epoch_start`` for that."""
        self._enter_epoch()

    def _new_optimizer(self, epoch: int) -> bool:
        """Whether the phase that begins with an epoch gets a new optimizer."""
        phase, before = self.plan.at(epoch), self.plan.at(max(epoch - 1, 0))
        return {before.trainable if epoch else "all", phase.trainable} != {"all"} or phase.reset_classifier

    def _enter_epoch(self) -> None:
        phase = self.plan.at(self.current_epoch)
        set_modes(self.model, phase.trainable, phase.batchnorm, len(self.class_counts))
        self.learning_rate: float = self.trainer.optimizers[0].param_groups[-1]["lr"]

    def on_train_epoch_end(self) -> None:
        """Log the epoch's means, its learning rate and the number of its phase.

        ``train/loss`` is the minimized loss, with class weights; ``train/accuracy`` is that of natural rows. Means over
        natural rows and over noise rows are logged separately, if there were any.

        Raises:
            InputError: if the loss is not finite.
        """
        loss, rows = self.train_loss.compute(), self.train_rows.compute()
        if not bool(loss.isfinite()):
            where = f"epoch {self.current_epoch}, learning rate {self.learning_rate:g}"
            raise InputError(f"makes the loss diverge ({where}): lower optimizer.lr", "optimizer")
        self.log("train/loss", loss)
        if "accuracy_natural" in rows:
            self.log("train/accuracy", rows["accuracy_natural"])
        self.log("noise_share", rows.pop("noise_share"))
        self.log_dict({f"train/{name}": value for name, value in rows.items()})
        self.train_loss.reset()
        self.train_rows.reset()
        self.log("lr", self.learning_rate)
        self.log("phase", float(self.plan.number(self.current_epoch)))
        if self.current_epoch + 1 in (*self.plan.starts, self.plan.max_epochs):
            leave_part(self.model)
            self._border = self.current_epoch + 1

    def on_fit_start(self) -> None:
        """Record that ``tau`` has not been applied to the classifier yet, and check that batch norm routes noise rows.

        Raises:
            InputError: if the trainer has replaced DAR-BN by torch's synchronized batch norm.
        """
        self._finished = False
        if self.plan.uses_noise and any(isinstance(part, nn.SyncBatchNorm) for part in self.model.modules()):
            raise InputError(
                "of Lightning's trainer replaces DAR-BN by plain SyncBatchNorm: leave it out, and give it "
                "plugins=[oponm.training.BatchNormSync()]",
                "sync_batchnorm",
            )

    def on_fit_end(self) -> None:
        """Call :meth:`finish` if the phases come from ``method``; a caller that sets :attr:`plan` must call it."""
        leave_part(self.model)  # if training ended within a phase that trains a part
        if self._finishes:
            self.finish()
            self._finished = True
            missed = [phase.name for phase, start in zip(self.plan.phases, self.plan.starts, strict=True)]
            missed = missed[self.plan.number(max(self.current_epoch - 1, 0)) + 1 :]
            if missed:
                log.warning("training ended before the method's last phase: %s not reached", ", ".join(missed))

    def finish(self) -> None:
        """Apply the method's ``tau`` to the weights of the classifier, if it has one, after training."""
        finish_classifier(self.model, self.plan.tau, len(self.class_counts))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the weights of the network with scale and ``tau`` applied, a description of the data and of the network.

        The key ``training`` contains the state that resuming needs in addition.
        """
        weights = {name: checkpoint["state_dict"][f"model.{name}"] for name in self.model.state_dict()}
        tau = None if self._finished else self.plan.tau
        exported = exported_weights(self.model, tau, len(self.class_counts), weights)
        checkpoint["state_dict"] = {f"model.{name}": tensor for name, tensor in exported.items()}
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        checkpoint["split"] = {
            "class_names": data.class_names,
            "split_digest": data.digest,
            "content_digest": data.content_digest,
            "class_counts": data.class_counts,
            "statistics": {"mean": list(data.statistics.mean), "std": list(data.statistics.std)},
            "image_shape": list(data.image_shape),
            "code": self.code,
            "pixel_max": data.pixel_max,
            "resize": data.resize,
            "lengths_digest": data.lengths_digest,
            "test_digest": data.test_digest,
            "val_digest": data.val_digest,
            "prior": trained_prior(self.plan.phases[-1], self.make_loss, self.class_counts),
        }
        checkpoint["model_config"] = self.model_config
        checkpoint["training"] = {
            "seed": self.seed,
            "phases": [phase.name for phase in self.plan.phases],
            "starts": self.plan.starts,
            "border": self._border,
            "unfinished": None if exported is weights else weights,
            "metrics": everyone_says(self._metrics()),
        }

    def _metrics(self) -> dict[str, Tensor]:
        """The accumulated metrics of the epoch in this process, by name."""
        return {
            f"{name}.{state}": value.cpu()
            for name, metric in (("train_loss", self.train_loss), ("train_rows", self.train_rows))
            for state, value in metric.metric_state.items()
            if isinstance(value, Tensor)
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make the network that the checkpoint describes, if the module has none yet; in a fit, resume training.

        If the module was given a network, or a factory of one, that is used instead.
        """
        if self._waits:
            model, split = self._chosen["model"], checkpoint["split"]
            if not isinstance(model, nn.Module):
                given = model
                make = (lambda settings: given) if callable(given) else known_factory
                model = self._chosen["model"] = network_of_checkpoint(checkpoint, make)
            seed, shots = self.given_seed or 0, self._settings["shots"]
            self._complete(Parts(_EVERYTHING, model, **_DEFAULTS), split["class_counts"], seed, shots)
            self.model_config, self._waits = checkpoint["model_config"], True  # for training it further
        weights = checkpoint["state_dict"]
        if self._fitting:
            weights = self._resume(checkpoint)
        own_state = {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("model.")}
        checkpoint["state_dict"] = {**own_state, **weights}

    def _resume(self, checkpoint: dict[str, Any]) -> dict[str, Tensor]:
        """Set the module to the phase in which a checkpoint was written; return the weights to resume with.

        Raises:
            InputError: if the checkpoint was written with other images, classes, phases or seed.
        """
        own, training = self.trainer.datamodule, checkpoint["training"]  # type: ignore[attr-defined]
        now = {"training images": own.content_digest, "classes": own.class_names, "seed": self.seed}
        now["phases"] = [[phase.name for phase in self.plan.phases], self.plan.starts]
        before = {"training images": checkpoint["split"]["content_digest"], "seed": training["seed"]}
        before |= {"classes": checkpoint["split"]["class_names"], "phases": [training["phases"], training["starts"]]}
        if changed := [what for what, value in now.items() if before[what] != value]:
            raise InputError(
                f"was written by a run that differs in its {changed[0]}: train with the same, or from the start",
                "ckpt_path",
            )
        self._border = training["border"]
        if self._border is None:
            phase = self.plan.at(checkpoint["epoch"])
            self.follow(phase)
            enter_part(self.model, phase.trainable, False, len(self.class_counts))
        elif self._border < self.plan.max_epochs and self._new_optimizer(self._border):
            checkpoint["optimizer_states"], checkpoint["lr_schedulers"] = [], []
        else:  # the learning rate of the next phase is this plan's
            for group in (group for state in checkpoint["optimizer_states"] for group in state["param_groups"]):
                group["lr"] = group["initial_lr"] * self._factor(self._border)
        if self.global_rank < len(training["metrics"]):
            for name, value in training["metrics"][self.global_rank].items():
                metric, _, state = name.partition(".")
                setattr(getattr(self, metric), state, value.to(self.device))
        unfinished = training["unfinished"]
        if unfinished is None:
            return dict(checkpoint["state_dict"])
        return {f"model.{name}": tensor for name, tensor in unfinished.items()}

    def on_validation_epoch_start(self) -> None:
        """Apply the method's ``tau`` to the classifier for the validation, as it will be applied after training."""
        tau = None if self._finished else self.plan.tau
        self._unfinished = finish_classifier(self.model, tau, len(self.class_counts))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count one batch of the validation set."""
        self.val_metrics.update(self._finite(self(batch.images)), batch.targets)

    def on_validation_epoch_end(self) -> None:
        """Reduce the counts of the validation set and log its scalars."""
        self.model.load_state_dict(self._unfinished, strict=False)
        measured = summarize(self.val_metrics.compute(), self.class_counts, **self.shots)
        self.val_metrics.reset()
        self.log_dict({f"val/{name}": value for name, value in measured.scalars.items()})

    def _finite(self, logits: Tensor) -> Tensor:
        """Return the logits; raise an error if they are not finite, as after training that diverged."""
        if not bool(logits.isfinite().all()):
            raise InputError("gives logits that are not finite, as its training diverged: lower optimizer.lr", "model")
        return logits

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Count one batch of the test set, and store the prediction for each image."""
        logits, decided = self._finite(self(batch.images)), None
        counted = logits
        if self.threshold is not None:
            decided = self.threshold.decide(at_least_float32(logits).softmax(1))
            counted = nn.functional.one_hot(decided, logits.shape[1]).to(logits.dtype)
        for name, metric in self.test_metrics.items(keep_base=True, copy_state=False):
            metric.update(logits if name == "ece" else counted, batch.targets)
        self._answers.append(Answers.of(logits, batch.targets, decided))

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the logits of a batch, (N, K)."""
        logits: Tensor = self(batch.images)
        return logits

    def on_test_epoch_start(self) -> None:
        """Discard the predictions of an earlier test that was interrupted."""
        self._answers = []

    def on_test_epoch_end(self) -> None:
        """Reduce the counts of the test set into ``evaluation`` and log the scalars."""
        self.evaluation = summarize(self.test_metrics.compute(), self.class_counts, **self.shots)
        self.test_metrics.reset()
        # Process r of n has the images r, r + n, r + 2 n and so on.
        answers = Answers.interleaved(everyone_says(Answers.joined(self._answers)))
        self.evaluation.scalars.update(ranking_scores(answers))
        if (data := getattr(self.trainer, "datamodule", None)) and self.trainer.is_global_zero:
            kind, names = data.test_names()
            self.predicted = Predicted(kind, names, data.class_names, answers)
        self.log_dict({f"test/{name}": value for name, value in self.evaluation.scalars.items()})

    def configure_optimizers(self) -> Any:
        """Return the optimizer of the weights that the phase trains, and the scheduler of its learning rate."""
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise InputError("has no parameter that requires a gradient: leave some of it unfrozen", "model")
        self.clips_mixed = clips_mixed(self.trainer)
        optimizer = self._optimizer()
        interval = getattr(self.schedule, "interval", "epoch")
        factor = self._factor_by_step if interval == "step" else self._factor
        # A new scheduler in the middle of a run is one before the epoch, or step, that begins.
        begun = self.current_epoch * (self._steps if self.current_epoch and interval == "step" else 1) - 1
        scheduler = LambdaLR(optimizer, lambda time: factor(time), begun)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": interval}}

    @property
    def _steps(self) -> int:
        """Number of optimizer steps in an epoch."""
        return math.ceil(self.trainer.num_training_batches / self.trainer.accumulate_grad_batches)

    def _factor(self, epoch: int) -> float:
        """The factor of the learning rate; the value after the last epoch is never used."""
        return self.plan.rate(min(epoch, self.plan.max_epochs - 1), self.schedule)

    def _factor_by_step(self, step: int) -> float:
        epoch = step / self._steps if step else 0.0
        return self.plan.rate(min(epoch, math.nextafter(self.plan.max_epochs, 0)), self.schedule)

    def _optimizer(self) -> torch.optim.Optimizer:
        options: dict[str, Any] = {}
        if self.apart:
            options["apart"] = auxiliary_names(self.model)
        elif self._fused and (self.trains_parts or self.clips_mixed):
            # Torch's fused SGD fails for weights that get their first gradient later than others. A fused optimizer
            # undoes the scale of a loss itself, so that Lightning clips no gradients in mixed precision with it.
            options["fused"] = False
        if self._phase.weight_decay is not None:  # of a phase that trains a part, where nothing is apart
            options["weight_decay"] = self._phase.weight_decay
        optimizer = optimizer_of(self.make_optimizer, self.model, len(self.class_counts), **options)
        if self._phase.trainable == "scaled_classifier":
            raise_rate_of_scale(optimizer, self.model, 1 / self._phase.lr_factor)
        if self._phase.max_norm is not None:
            limit_norms(optimizer, self.model, self._phase.max_norm, len(self.class_counts))
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        return optimizer


def clips_mixed(trainer: pl.Trainer) -> bool:
    """Whether a trainer clips gradients in mixed precision, which Lightning refuses for fused optimizers.

    Example:
        >>> clips_mixed(pl.Trainer(precision="bf16-mixed", gradient_clip_val=1.0, accelerator="cpu", logger=False))
        True
    """
    return isinstance(trainer.precision_plugin, MixedPrecision) and bool(trainer.gradient_clip_val)
