"""Networks of the published experiments, of timm and of torchvision; finds and replaces any network's classifier."""

from oponm.models.build import make_network
from oponm.models.classifier import find_classifier, replace_classifier, with_head
from oponm.models.cosine import CosineClassifier
from oponm.models.libraries import timm_model, torchvision_model
from oponm.models.logits import settle_classifier, trace_classifier
from oponm.models.resnet_cifar import ResNetCifar, resnet20, resnet32, resnet44, resnet56
from oponm.models.small_cnn import SmallCNN
from oponm.models.two_stage import (
    LearnableScale,
    fold_scale,
    reset_classifier,
    set_trainable,
    tau_normalize,
    wrap_scale,
)
from oponm.models.weights import load_initial_weights, read_weights
from oponm.models.wide_resnet import WideResNet

__all__ = [
    "CosineClassifier",
    "LearnableScale",
    "ResNetCifar",
    "SmallCNN",
    "WideResNet",
    "find_classifier",
    "fold_scale",
    "load_initial_weights",
    "make_network",
    "read_weights",
    "replace_classifier",
    "reset_classifier",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "set_trainable",
    "settle_classifier",
    "tau_normalize",
    "timm_model",
    "torchvision_model",
    "trace_classifier",
    "with_head",
    "wrap_scale",
]
