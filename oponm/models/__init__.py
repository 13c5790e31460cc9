"""The networks of the published experiments; any other with batch norm can take their place."""

from oponm.models.resnet_cifar import ResNetCifar, resnet32
from oponm.models.small_cnn import SmallCNN
from oponm.models.wide_resnet import WideResNet

__all__ = ["ResNetCifar", "SmallCNN", "WideResNet", "resnet32"]
