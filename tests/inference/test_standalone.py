from __future__ import annotations

import pytest
import torch

from oponm.inference.standalone import standalone_source
from oponm.models import CosineClassifier, WideResNet, resnet20, torchvision_model


def run(source: str) -> dict:
    names: dict = {}
    exec(source, names)
    return names


def test_definitions_stand_behind_what_they_use_and_once():
    source = standalone_source([resnet20, CosineClassifier])
    assert source.index("class InputError") < source.index("def check_int") < source.index("class ResNetCifar")
    assert source.count("class InputError") == source.count("import torch.nn.functional as F") == 1
    assert source.count('"""ResNet-20, published as 0.27 M parameters with 10 classes."""') == 1


def test_it_makes_the_same_network():
    torch.manual_seed(0)
    ours = resnet20().state_dict()
    torch.manual_seed(0)
    theirs = run(standalone_source([resnet20]))["resnet20"]().state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_imports_inside_functions_and_constants_come_along():
    made = run(standalone_source([torchvision_model]))["torchvision_model"]
    assert made("googlenet", num_classes=3).fc.out_features == 3


def test_two_things_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"_Block of oponm\.models\.wide_resnet"):
        standalone_source([resnet20, WideResNet])
