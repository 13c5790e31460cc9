from __future__ import annotations

import yaml

from oponm.inference import RunFacts, load_classifier
from oponm.inference.card import model_card
from tests.inference.small import MODEL, checkpoint, save

FACTS = RunFacts(
    metrics={"balanced_accuracy": 0.8125, "few": 0.5},
    recall=[1.0, None, 0.5],
    choices={"method": "open", "data": "image_folder", "model": "small_cnn", "logger": "csv"},
    epochs=10,
    phases=[{"epochs": 160}, {"epochs": 40, "sampler": "class_balanced", "noise": True, "loss": None}],
    starts=[0, 8],
    overrides=["data=image_folder", "data.root=my photos", "output_dir=runs/7", "resume=auto"],
    versions={"kornia": "0.9"},
    git_commit="abc",
)


def test_all_that_is_known_is_told(tmp_path):
    card = model_card(load_classifier(save(tmp_path)), "model.onnx", "onnx", "unit", FACTS, "oponm export x")
    for text in (
        *("| ants | 100 | 100.0 |", "| bees | 10 |  |", "| flies | 2 | 50.0 |", "| balanced accuracy | 81.2 |"),
        *("1" * 64, "2" * 64, "imbalance ratio 50", "mean 0.500000, 0.400000, 0.300000", "(N, 3, 8, 8)", "R, G, B"),
        *("method: `open`", "epochs: 10", "phase from epoch 8 on: sampler class_balanced, noise True", "Apache"),
        *("oponm train data=image_folder 'data.root=my photos'\noponm export x\n", "kornia 0.9", "commit abc"),
    ):
        assert text in card, text
    assert "logger" not in card
    assert "flatters" not in card
    assert yaml.safe_load(card.split("---")[1])["pipeline_tag"] == "image-classification"


def test_what_is_not_known_is_said_to_be_unknown(tmp_path):
    card = model_card(load_classifier(save(tmp_path)), "model.onnx", "onnx", "unit", RunFacts())
    assert card.count("Unknown") == 2


def test_what_to_be_wary_of(tmp_path):
    classifier = load_classifier(save(tmp_path, checkpoint(model_config={**MODEL, "weights": "imagenet.pth"})))
    card = model_card(classifier, "m", "onnx", "unit", RunFacts({"accuracy": 0.5}, tuned_on_test=True))
    assert "began from weights of others" in card
    assert "chosen on the test set, so the metrics are too high" in card


def test_class_names_do_not_break_the_table(tmp_path):
    split = {**checkpoint()["split"], "class_names": ["a|b", "<img src=x>", "`c`"]}
    card = model_card(load_classifier(save(tmp_path, checkpoint(split=split))), "m", "onnx", "unit", RunFacts())
    assert "| a\\|b | 100 |" in card
    assert "<img" not in card


def test_a_thousand_classes_fit(tmp_path):
    from oponm.models import SmallCNN

    names = [f"class {number}" for number in range(1000)]
    split = {**checkpoint()["split"], "class_names": names, "class_counts": [5] * 1000}
    classifier = load_classifier(save(tmp_path, checkpoint(SmallCNN(1000, width=4), split=split)))
    card = model_card(classifier, "m", "onnx", "unit", RunFacts())
    assert "900 more classes are in `labels.txt`" in card
    assert len(card.splitlines()) < 200
