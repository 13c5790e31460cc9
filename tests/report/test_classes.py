from __future__ import annotations

import base64
import math

import numpy as np
import pytest

from oponm.metrics import class_fifths
from oponm.report import Group, compare, group_runs
from oponm.report.classes import BINS, MATRIX_BINS, Classes, class_series, confusion, fifths
from tests.report.runs import full_result, result

THREE = Classes(["cat", "dog", "owl"], [5, 90, 30])


def cells(found) -> np.ndarray:
    flat = np.frombuffer(base64.b64decode(found["cells"]), dtype=np.uint8)
    return flat.reshape(math.isqrt(len(flat)), -1) / 255


def test_classes_go_from_head_to_tail():
    assert THREE.labels(3) == ["dog", "owl", "cat"]


def test_classes_of_equal_counts_keep_their_order():
    assert Classes(list("abcd"), [1, 2, 2, 1]).labels(4) == ["b", "c", "a", "d"]


@pytest.mark.parametrize("classes", [1, 2, 99, 100, 101, 1000])
def test_bins_hold_every_class_once(classes):
    bins = Classes([""] * classes, list(range(classes))).bins(BINS)
    assert len(bins) == min(classes, BINS)
    assert np.concatenate(bins).tolist() == list(range(classes))[::-1]
    assert {len(labels) for labels in bins} <= {classes // len(bins), classes // len(bins) + 1}


@pytest.mark.parametrize("classes", [5, 10, 13])
def test_fifths_are_those_of_a_run_s_result_turned_round(classes):
    run = full_result("open", classes=classes)
    recall = np.array(run["recall"])
    expected = [recall[labels].mean() for labels in class_fifths(run["class_counts"])][::-1]
    assert [mean for mean, _ in fifths(Group("open", [run]))] == pytest.approx(expected)


def test_fewer_than_five_classes_have_no_fifths():
    assert fifths(Group("erm", [result(seed=seed) for seed in (0, 1)])) == []


def test_fifths_have_a_standard_error_over_seeds():
    recalls = [[1.0, 0.9, 0.8, 0.6, low] for low in (0.1, 0.3)]
    runs = [result(seed=seed, recall=recall, class_counts=[9, 7, 5, 3, 1]) for seed, recall in enumerate(recalls)]
    assert fifths(Group("erm", runs))[-1] == pytest.approx((0.2, 0.1))


def test_a_class_without_test_images_is_left_out_of_its_fifth():
    run = full_result("erm")
    run["recall"][:3] = [None, 0.6, None]
    means = [mean for mean, _ in fifths(Group("erm", [run]))]
    assert means[0] == pytest.approx(0.6)
    run["recall"][1] = None
    assert math.isnan(fifths(Group("erm", [run]))[0][0])


def test_series_are_in_percent_from_head_to_tail():
    runs = [
        result(seed=seed, recall=recall, class_counts=[1, 9]) for seed, recall in enumerate(([0.2, 1.0], [0.4, 0.9]))
    ]
    assert class_series(Group("erm", runs), None) == {"recall": [[95.0, 30.0], [5.0, 10.0]]}


def test_differences_are_paired_class_by_class():
    groups = group_runs([full_result(method, seed) for method in ("drs", "open") for seed in (2, 0, 1)])
    comparison = compare(groups)[0]
    means, halves = class_series(comparison.group, comparison)["difference"]
    table = [
        100 * (np.array(one["recall"]) - np.array(other["recall"]))
        for one, other in zip(groups[1].runs, groups[0].runs, strict=True)
    ]
    assert means == pytest.approx(np.mean(table, axis=0), abs=0.06)
    assert halves == pytest.approx(4.3027 * np.std(table, axis=0, ddof=1) / 3**0.5, abs=0.06, nan_ok=True)


def test_noise_is_a_share_of_each_run_s_images():
    runs = [result(noise_histogram=histogram) for histogram in ([1, 3], [30, 10])]
    assert class_series(Group("erm", runs), None)["noise"] == [50.0, 50.0]


def test_noise_that_was_not_counted_is_no_division_by_zero():
    assert class_series(Group("erm", [result(noise_histogram=[0, 0])]), None)["noise"] == [0.0, 0.0]


def test_a_confusion_matrix_is_ordered_and_normalized_by_true_class():
    matrix = [[6, 1, 3], [0, 10, 0], [4, 0, 4]]  # cat, dog, owl
    found = confusion([matrix], THREE)
    assert cells(found) == pytest.approx(np.array([[1, 0, 0], [0, 0.5, 0.5], [0.1, 0.3, 0.6]]), abs=0.002)
    assert found["worst"] == [("owl", "cat", 50.0), ("cat", "owl", 30.0), ("cat", "dog", 10.0)]


def test_runs_of_unequal_test_sets_weigh_the_same():
    found = confusion([[[1, 0], [0, 1]], [[0, 100], [0, 100]]], Classes(["a", "b"], [2, 1]))
    assert cells(found)[0] == pytest.approx([0.5, 0.5], abs=0.003)


def test_nothing_mistaken_is_nothing_to_tell():
    assert confusion([[[5, 0], [0, 0]]], Classes(["a", "b"], [2, 1]))["worst"] == []


def test_many_classes_share_cells():
    classes = 4 * MATRIX_BINS
    found = confusion([np.eye(classes).tolist()], Classes([str(label) for label in range(classes)], [1] * classes))
    assert cells(found) == pytest.approx(np.eye(MATRIX_BINS))
