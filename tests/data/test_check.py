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
