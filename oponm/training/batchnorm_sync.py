"""Lightning's hook for synchronized batch norm, filled with this package's layers, which keep the routing."""

from __future__ import annotations

from pytorch_lightning.plugins.layer_sync import LayerSync
from torch import nn

from oponm.nn import desynchronise_batchnorm, synchronise_batchnorm


class BatchNormSync(LayerSync):
    """Lets batch norms standardize by the rows of all processes while a model is trained.

    For ``pytorch_lightning.Trainer(plugins=[BatchNormSync()])``, in place of its ``sync_batchnorm=True``.

    Example:
        >>> model = BatchNormSync().apply(nn.Sequential(nn.BatchNorm2d(3)))
        >>> type(model[0]).__name__
        'SynchronisedBatchNorm2d'
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Synchronize the batch norms of a model by :func:`~oponm.nn.synchronise_batchnorm`."""
        return synchronise_batchnorm(model)

    def revert(self, model: nn.Module) -> nn.Module:
        """Undo it."""
        return desynchronise_batchnorm(model)
