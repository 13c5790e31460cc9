from __future__ import annotations

import pytest
import torch
from torch import nn

from oponm.errors import InputError
from oponm.inference.prior import Adjusted, Threshold, adjusted, read_prior, read_threshold

NAMES, COUNTS, OWN = ["cat", "dog", "a, b: c"], [60, 30, 10], [0.6, 0.3, 0.1]


def test_the_posterior_follows_bayes():
    likelihood = torch.rand(7, 3, generator=torch.Generator().manual_seed(0)).double() + 0.1
    trained, wanted = torch.tensor(OWN).double(), torch.tensor([0.2, 0.5, 0.3]).double()
    posterior = likelihood * trained / (likelihood * trained).sum(1, keepdim=True)
    expected = likelihood * wanted / (likelihood * wanted).sum(1, keepdim=True)
    network = Adjusted(nn.Identity(), trained.tolist(), wanted.tolist())
    torch.testing.assert_close(network(posterior.log()).softmax(1), expected, atol=1e-6, rtol=0)


def test_the_shares_of_training_change_nothing():
    logits, network = torch.randn(5, 3), nn.Identity()
    same = adjusted(network, "train", NAMES, COUNTS, trained=OWN)
    torch.testing.assert_close(same(logits), logits, atol=1e-6, rtol=0)
    assert adjusted(network, None, NAMES, COUNTS, trained=None) is network


def test_a_class_that_never_occurs_is_never_predicted():
    network = adjusted(nn.Identity(), {"cat": 1, "dog": 1, "a, b: c": 0}, NAMES, COUNTS, trained=OWN)
    assert network(torch.tensor([[0.0, 0.0, 99.0]])).softmax(1)[0, 2] == 0


def test_shares_are_read_however_they_are_given(tmp_path):
    file = tmp_path / "shares.csv"
    file.write_text('class,share\ndog,2\n"a, b: c",2\ncat,4\n')
    assert read_prior(str(file), NAMES, COUNTS) == [0.5, 0.25, 0.25]
    assert read_prior({"cat": 2, "dog": 1, "a, b: c": 1}, NAMES, COUNTS) == [0.5, 0.25, 0.25]
    assert read_prior("dog: 0.2, cat: 0.6", NAMES[:2], COUNTS[:2]) == pytest.approx([0.75, 0.25])
    assert read_prior("balanced", NAMES, COUNTS) == pytest.approx([1 / 3] * 3)
    assert read_prior("train", NAMES, COUNTS) == OWN


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("nothing.csv", "must be balanced, train, a CSV file"),
        (3, "must be balanced, train, a CSV file"),
        ({"cat": 1, "dog": 1}, "has no share of 'a, b: c'"),
        ({"cat": 1, "dog": 1, "bird": 1}, "names 'bird', which is no class: cat, dog"),
        ({"cat": -1, "dog": 1, "a, b: c": 1}, "must be a number of at least 0"),
        ({"cat": "x", "dog": 1, "a, b: c": 1}, "must be a number of at least 0"),
        ({"cat": 0, "dog": 0, "a, b: c": 0}, "must have a share above 0"),
    ],
)
def test_other_shares_are_refused(prior, message):
    with pytest.raises(InputError, match=message) as error:
        read_prior(prior, NAMES, COUNTS)
    assert error.value.key == "prior"


def test_a_file_without_the_columns_is_named(tmp_path):
    (tmp_path / "shares.csv").write_text("name,number\ncat,1\n")
    with pytest.raises(InputError, match=r"shares\.csv has no column"):
        read_prior(str(tmp_path / "shares.csv"), NAMES, COUNTS)


def test_an_older_checkpoint_does_not_say_what_it_was_trained_for():
    with pytest.raises(InputError, match="must be given, as the checkpoint") as error:
        adjusted(nn.Identity(), "balanced", NAMES, COUNTS, trained=None)
    assert error.value.key == "trained_prior"
    said = adjusted(nn.Identity(), "balanced", NAMES, COUNTS, trained=None, trained_prior="train")
    assert said.shift.argmax() == 2
    with pytest.raises(InputError, match="must be above 0") as error:
        adjusted(nn.Identity(), "balanced", NAMES, COUNTS, None, {"cat": 1, "dog": 1, "a, b: c": 0})
    assert error.value.key == "trained_prior"


@pytest.mark.parametrize(
    ("given", "label", "least"),
    [(0.3, 1, 0.3), ({"ok": 0.9}, 0, 0.9), ("defect: 0.2", 1, 0.2), ("0.25", 1, 0.25)],
)
def test_a_threshold_is_of_the_rarer_class_or_of_the_one_named(given, label, least):
    assert read_threshold(given, ["ok", "defect"], [9, 1]) == Threshold(label, least)


def test_a_threshold_decides_at_its_value():
    rows = torch.tensor([[0.75, 0.25], [0.76, 0.24], [0.1, 0.9]])
    assert Threshold(1, 0.25).decide(rows).tolist() == [1, 0, 1]
    assert Threshold(0, 0.75).decide(rows).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("given", "names", "message"),
    [
        (0.3, NAMES, "is for two classes, and there are 3: set prior"),
        (1, ["ok", "defect"], "must lie in"),
        ("x", ["ok", "defect"], "must lie in"),
        ({"bad": 0.3}, ["ok", "defect"], "must name one of ok, defect"),
        ({"ok": 0.3, "defect": 0.2}, ["ok", "defect"], "must name one of"),
    ],
)
def test_other_thresholds_are_refused(given, names, message):
    with pytest.raises(InputError, match=message) as error:
        read_threshold(given, names, [9] * len(names))
    assert error.value.key == "threshold"
