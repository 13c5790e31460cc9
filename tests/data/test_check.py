from __future__ import annotations

from pathlib import Path

from oponm.data import DigitsLT, PlacesLT, check_data


def test_a_set_that_is_there_is_described():
    data = DigitsLT(imbalance_ratio=50, val="split", val_size=10)
    found = check_data(data)
    assert (found.problems, found.findings) == ([], [])
    assert found.counts == {"train": data.class_counts, "val": [10] * 10, "test": [50] * 10}
    assert f"split digest {data.digest}" in found.facts
    assert found.facts[2].startswith("mean 0.")
    assert check_data(data, measured=False).facts[2] == "mean and std: own, measured when training starts"


def test_all_that_is_missing_is_told_at_once(tmp_path):
    found = check_data(PlacesLT(tmp_path / "Places"))
    assert len(found.problems) > 1
    assert all(isinstance(error, ValueError) for error in found.problems)
    assert len(found.findings) >= len(found.problems)
    assert not list(Path(tmp_path).rglob("*"))


def test_a_method_is_suggested_with_its_reason():
    data = DigitsLT(imbalance_ratio=50)
    settings, reason = check_data(data, max_epochs=100).facts[-2:]
    assert settings == "suggestion: method=erm loss=balanced_softmax (docs/which_method.md)"
    assert reason.startswith("because: the rarest class has 2 images; class-balanced sampling draws each 17.6 times an")
    assert "353 times in the deferred phase of 100 epochs" in reason


def test_of_images_as_they_are_no_draw_is_told():
    drawn, whole = (check_data(DigitsLT(imbalance_ratio=ratio)).facts for ratio in (10, None))
    assert [", draw ldam," in drawn[0], drawn[1].startswith("split digest ")] == [True, True]
    assert "draw" not in whole[0]
    assert not any(line.startswith("split digest") for line in whole)
    assert any(line.startswith("test digest ") for line in whole)
    held_out = check_data(DigitsLT(imbalance_ratio=None, val="split")).facts
    assert held_out[1].startswith("split digest ")  # of what is left to train on
