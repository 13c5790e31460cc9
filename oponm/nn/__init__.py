"""Batch norm that standardizes noise rows by their own statistics (DAR-BN)."""

from oponm.nn.aux import AuxBatchNorm1d, AuxBatchNorm2d, AuxBatchNorm3d
from oponm.nn.convert import convert_batchnorm, revert_batchnorm
from oponm.nn.dar import DARBatchNorm1d, DARBatchNorm2d, DARBatchNorm3d
from oponm.nn.functional import routed_batch_norm
from oponm.nn.routing import noise_routing
from oponm.nn.shared import SharedBatchNorm1d, SharedBatchNorm2d, SharedBatchNorm3d
from oponm.nn.synchronize import desynchronize_batchnorm, synchronize_batchnorm

__all__ = [
    "AuxBatchNorm1d",
    "AuxBatchNorm2d",
    "AuxBatchNorm3d",
    "DARBatchNorm1d",
    "DARBatchNorm2d",
    "DARBatchNorm3d",
    "SharedBatchNorm1d",
    "SharedBatchNorm2d",
    "SharedBatchNorm3d",
    "convert_batchnorm",
    "desynchronize_batchnorm",
    "noise_routing",
    "revert_batchnorm",
    "routed_batch_norm",
    "synchronize_batchnorm",
]
