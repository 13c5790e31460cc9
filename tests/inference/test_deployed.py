from __future__ import annotations

import pytest
import torch
from torch import nn

from oponm.data.pipeline import RawBatch
from oponm.errors import InputError
from oponm.inference import DeployedNetwork, load_classifier
from tests.inference.small import save


def test_each_input_gives_the_logits_of_the_evaluation(tmp_path):
    classifier = load_classifier(save(tmp_path))
    pixels = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    normalised = classifier.pipeline()(RawBatch(pixels, torch.zeros(5), 0, 0), training=False).images
    expected = classifier.network(normalised)
    for takes, images in (("uint8", pixels), ("unit", pixels.float() / 255), ("normalised", normalised)):
        deployed = DeployedNetwork(classifier.network, classifier.statistics, takes)
        assert torch.equal(deployed(images), expected), takes


def test_other_inputs(tmp_path):
    classifier = load_classifier(save(tmp_path))
    with pytest.raises(InputError, match="input must be one of unit, uint8, normalised"):
        DeployedNetwork(nn.Identity(), classifier.statistics, "percent")
