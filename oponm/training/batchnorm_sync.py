"""A LayerSync plugin for Lightning: synchronizes batch norm with layers that keep the routing of noise rows."""

from __future__ import annotations

from pytorch_lightning.plugins.layer_sync import LayerSync
from torch import nn

from oponm.nn import desynchronize_batchnorm, synchronize_batchnorm


class BatchNormSync(LayerSync):
    """Lets batch norms standardize by the rows of all processes while a model is trained.

    Use ``Trainer(plugins=[BatchNormSync()])`` of Lightning instead of ``Trainer(sync_batchnorm=True)``, which would
    replace DAR-BN by torch's SyncBatchNorm.

    Example:
        >>> model = BatchNormSync().apply(nn.Sequential(nn.BatchNorm2d(3)))
        >>> type(model[0]).__name__
        'SynchronizedBatchNorm2d'
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Synchronize the batch norms of a model by :func:`~oponm.nn.synchronize_batchnorm`."""
        return synchronize_batchnorm(model)

    def revert(self, model: nn.Module) -> nn.Module:
        """Undo :meth:`apply` by :func:`~oponm.nn.desynchronize_batchnorm`."""
        return desynchronize_batchnorm(model)
