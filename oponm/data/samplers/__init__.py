"""The images of an epoch, their order, and their batches."""

from oponm.data.samplers.batches import EpochBatches, IndexBatch
from oponm.data.samplers.orders import SAMPLERS

__all__ = ["SAMPLERS", "EpochBatches", "IndexBatch"]
