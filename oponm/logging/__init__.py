"""Sends plots, tables and facts of a run (config, digests, versions) to Weights & Biases and TensorBoard."""

from oponm.logging.dashboard import Dashboard
from oponm.logging.layers import LayerStatistics, layer_statistics
from oponm.logging.tensorboard_logger import TensorBoardLogger
from oponm.logging.wandb_logger import WandbLogger

__all__ = ["Dashboard", "LayerStatistics", "TensorBoardLogger", "WandbLogger", "layer_statistics"]
