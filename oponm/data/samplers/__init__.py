"""Which images an epoch visits, in which order, and cut into which batches."""

from oponm.data.samplers.batches import EpochBatches, IndexBatch
from oponm.data.samplers.orders import SAMPLERS

__all__ = ["SAMPLERS", "EpochBatches", "IndexBatch"]
