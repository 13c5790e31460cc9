from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from evidence import figures, tables
from evidence.collect import collect
from evidence.study import Study
from tests.evidence.runs import run

DRS = {"none": [0.50, 0.52, 0.51], "cutout": [0.40, 0.45, 0.41]}
OPEN = {"none": [0.53, 0.54, 0.55], "cutout": [0.46, 0.46, 0.46]}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("runs")
    for method, figures_of in (("drs", DRS), ("open_dar_none", OPEN)):
        for augmentation, values in figures_of.items():
            for seed, value in enumerate(values):
                run(folder, method, seed, value, augmentation)
    run(folder, "drs", 3, 0.9, "none")  # has no partner
    run(folder, "erm", 0, 0.3, "none")
    collect([folder], folder / "table.csv")
    return Study.read(folder / "table.csv", "augmentation")


def test_differences_are_paired_by_seed(study):
    found = study.difference("open_dar_none", condition="none")
    expected = stats.ttest_rel(OPEN["none"], DRS["none"])
    low, high = expected.confidence_interval()
    assert found.n == 3
    np.testing.assert_allclose([found.mean, found.low, found.high, found.p], [0.03, low, high, expected.pvalue])


def test_the_mean_of_conditions_is_taken_within_a_seed(study):
    found = study.difference("open_dar_none")
    means = np.mean([np.subtract(OPEN[name], DRS[name]) for name in OPEN], axis=0)
    assert found.n == 3
    np.testing.assert_allclose(found.mean, means.mean())
    half_width = stats.t.ppf(0.975, 2) * means.std(ddof=1) / 3**0.5
    np.testing.assert_allclose([found.low, found.high], [means.mean() - half_width, means.mean() + half_width])


def test_what_was_not_run_has_no_difference(study):
    assert study.difference("rs").n == study.difference("erm").n == 0
    assert study.difference("erm", condition="none").n == 1
    assert math.isnan(study.mean_and_error("cutout", "erm")[0])


def test_what_is_missing_is_said(study):
    said = study.missing("none")
    assert said.startswith("Not run: RS (class-balanced from the start); DRW; ")
    assert said.endswith("With fewer seeds than DRS: ERM; OPeN, DAR-BN, `none`.")


def test_results_are_in_the_order_of_the_methods_with_p_adjusted(study):
    lines = tables.results(study, "none").splitlines()
    assert lines[0] == "| method | seeds | balanced accuracy | many | few | minus DRS [95 %] | p (Holm) |"
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == ["ERM", "DRS", "OPeN, DAR-BN, `none`"]
    p = stats.ttest_rel(OPEN["none"], DRS["none"]).pvalue  # the only one: ERM has one seed
    assert lines[4].endswith(f"| {tables.probability(p)} |")


def test_readings_and_kinds_have_a_cell_for_each_run(study):
    assert tables.readings(study).splitlines()[2].startswith("| DAR-BN | +3.5 [")
    assert tables.readings(study, "none").splitlines()[2].startswith("| DAR-BN | +3.0 [")
    assert tables.kinds(study).splitlines()[2] == "| DAR-BN minus auxiliary BN | - | - | - |"


def test_figures_show_every_method(study, tmp_path):
    figures.by_class(study, "none", tmp_path / "classes.png")
    drawn = figures.differences(study, tmp_path / "differences.png")
    assert (tmp_path / "classes.png").stat().st_size > 10_000
    first, second = drawn.axes
    assert [text.get_text() for text in first.get_yticklabels()] == ["OPeN, DAR-BN, none", "ERM"]
    assert (first.get_title(), second.get_title()) == ("none", "cutout")
    points = [line.get_xydata()[0].tolist() for line in second.lines if len(line.get_xdata()) == 1]
    np.testing.assert_allclose(points[0], [4.0, 0])
