"""Lightning's hook for synchronized batch norm, filled with this package's layers, which keep the routing."""

from __future__ import annotations

from pytorch_lightning.plugins.layer_sync import LayerSync
from torch import nn

from oponm.nn import desynchronize_batchnorm, synchronize_batchnorm


class BatchNormSync(LayerSync):
    """Lets batch norms standardize by the rows of all processes while a model is trained.

    For ``pytorch_lightning.Trainer(plugins=[BatchNormSync()])``, in place of its ``sync_batchnorm=True``.

    Example:
        >>> model = BatchNormSync().apply(nn.Sequential(nn.BatchNorm2d(3)))
        >>> type(model[0]).__name__
        'SynchronizedBatchNorm2d'
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Synchronize the batch norms of a model by :func:`~oponm.nn.synchronize_batchnorm`."""
        return synchronize_batchnorm(model)

    def revert(self, model: nn.Module) -> nn.Module:
        """Undo it."""
        return desynchronize_batchnorm(model)
