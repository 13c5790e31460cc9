"""What a run shows beside its scalars: figures, tables and facts, for Weights & Biases and TensorBoard."""

from oponm.dashboard.board import Dashboard
from oponm.dashboard.layers import LayerStatistics, layer_statistics
from oponm.dashboard.tensorboard_logger import TensorBoardLogger
from oponm.dashboard.wandb_logger import WandbLogger

__all__ = ["Dashboard", "LayerStatistics", "TensorBoardLogger", "WandbLogger", "layer_statistics"]
