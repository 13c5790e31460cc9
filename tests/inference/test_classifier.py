from __future__ import annotations

import os

import pytest
import torch

from oponm.errors import InputError
from oponm.inference import load_classifier
from oponm.models import SmallCNN, timm_model, with_head
from oponm.nn import convert_batchnorm
from tests.inference.small import MODEL, NAMES, checkpoint, save, shaken


@pytest.mark.parametrize("kind", ["dar", "aux", "standard"])
def test_the_network_predicts_as_it_did_with_plain_batch_norm(tmp_path, kind):
    torch.manual_seed(1)
    trained = convert_batchnorm(shaken(SmallCNN(3, width=4)), kind)
    loaded = load_classifier(save(tmp_path, checkpoint(trained))).network
    images = torch.rand(4, 3, 8, 8)
    assert torch.equal(loaded(images), trained(images))
    assert {type(layer).__name__ for layer in loaded.modules() if "Norm" in type(layer).__name__} == {"BatchNorm2d"}
    assert not loaded.training


def test_what_the_checkpoint_says(tmp_path):
    classifier = load_classifier(save(tmp_path))
    assert classifier.class_names == NAMES
    assert classifier.statistics == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.25))
    assert classifier.image_shape == (3, 8, 8)
    assert classifier.class_counts == [100, 10, 2]


def test_a_cosine_head_and_the_options_of_a_network_are_found_again(tmp_path):
    torch.manual_seed(1)
    network = with_head(timm_model("resnet18", 3, small_stem=True), "cosine")
    settings = {"_target_": "oponm.models.timm_model", "name": "resnet18", "small_stem": True, "pretrained": True}
    content = checkpoint(shaken(network), model_config={**settings, "head": "cosine", "weights": "elsewhere.pt"})
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(load_classifier(save(tmp_path, content)).network(images), network(images))


def test_probabilities_follow_the_training_s_normalization(tmp_path):
    classifier = load_classifier(save(tmp_path))
    pixels = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.25]))
    expected = classifier.network((pixels / 255.0 - mean) / std).softmax(1)
    torch.testing.assert_close(classifier.probabilities(pixels), expected)


def test_the_global_generator_is_left_alone(tmp_path):
    path = save(tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_classifier(path)
    assert torch.equal(torch.rand(3), expected)


def split_with(**changes):
    return {"split": {**checkpoint()["split"], **changes}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split": {"class_names": NAMES}}, "older version"),
        ({"split": None}, "older version"),
        ({"model_config": None}, "trained from code"),
        ({"model_config": {"_target_": "os.system"}}, "trust=true"),
        ({"model_config": {**MODEL, "depth": 3}}, "depth"),
        ({"model_config": {**MODEL, "width": "wide"}}, "width must be a whole number"),
        ({"model_config": {**MODEL, "width": 10**13}}, "cannot be made"),
        ({"model_config": {**MODEL, "width": 8}}, "weights of another network"),
        (split_with(statistics={"mean": [0.5], "std": [0.5]}), "contradicts itself"),
        (split_with(statistics={"mean": "abc", "std": [1, 1, 1]}), "damaged"),
        (split_with(image_shape=[3, 8]), "damaged"),
        (split_with(image_shape=[3, 8, 0]), "contradicts itself"),
        (split_with(resize="fold"), "contradicts itself"),
        (split_with(class_names=["ants", "ants", "bees"]), "contradicts itself"),
        (split_with(class_counts=[1, 2]), "contradicts itself"),
    ],
    ids=str,
)
def test_a_checkpoint_that_does_not_say_enough(tmp_path, changes, words):
    with pytest.raises(InputError, match=words) as error:
        load_classifier(save(tmp_path, checkpoint(**changes)))
    assert error.value.key == "checkpoint"


def test_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    with pytest.raises(InputError, match=r"notes\.txt is no checkpoint"):
        load_classifier(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="names no file"):
        load_classifier(tmp_path / "nowhere.ckpt")


class _Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_file_is_executed(tmp_path):
    content = checkpoint(split={**checkpoint()["split"], "class_names": _Hostile(tmp_path / "executed")})
    with pytest.raises(InputError, match="holds more than tensors"):
        load_classifier(save(tmp_path, content))
    assert not (tmp_path / "executed").exists()
