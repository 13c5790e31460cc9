"""The document and the README say what the committed tables say."""

from __future__ import annotations

import re

import pytest

from evidence.__main__ import ROOT, document, guide, on_top, read_schemes, read_studies, readme
from evidence.methods import METHODS, ON_TOP, method_of
from oponm.data.which_method import MEASURED, OFTEN
from oponm.report.tables import interval
from tests.cli.compose import jobs_of


def test_document_is_that_of_the_tables():
    text = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
    assert text == document(read_studies()), "run make evidence"


def test_the_guide_is_that_of_the_tables():
    text = (ROOT / "docs/which_method.md").read_text(encoding="utf-8")
    assert text == guide(read_studies()), "run make evidence"


def test_the_page_of_schemes_is_that_of_its_table():
    text = (ROOT / "docs/open_on_top.md").read_text(encoding="utf-8")
    assert text == on_top(read_schemes()), "run make evidence"
    assert (ROOT / "docs/open_on_top.png").is_file()


def test_schemes_are_those_of_their_sweep_each_with_equal_seeds():
    named = [method_of({"choices": {}, "overrides": job}) for job in jobs_of("open_on_top")]
    assert set(named) == set(ON_TOP.values())
    study = read_schemes()
    seeds = {method: set(study.by_seed("50", method)) for method in ON_TOP.values()}
    assert len(set(map(frozenset, seeds.values()))) == 1
    assert len(seeds["crt"]) >= 10


def test_suggestions_say_what_was_measured():
    studies = read_studies()
    digits, photographs = studies["digits"], studies["cifar10_long"]
    few, many = (photographs.repeats(epochs) for epochs in ("15", "60"))
    assert few < OFTEN < many
    assert {
        "balanced softmax minus OPeN, digits": interval(digits.difference("balanced_softmax", "open_dar_full")),
        "DRS minus ERM, digits": interval(digits.difference("drs", "erm")),
        f"OPeN minus DRS, {few:.0f} draws": interval(photographs.difference("open_dar_none", condition="15")),
        f"OPeN minus DRS, {many:.0f} draws": interval(photographs.difference("open_dar_none", condition="60")),
    } == MEASURED


def test_readme_is_that_of_the_tables():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "<!-- evidence -->" in text
    assert text == readme(text, read_studies()), "run make evidence"


def test_every_figure_is_there_and_named():
    text = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\]\((evidence_\w+\.png)\)", text))
    assert named
    assert {file for file in named if not (ROOT / "docs" / file).is_file()} == set()


@pytest.mark.parametrize(
    "sweep", ["study_digits", "study_cifar10", "study_cifar10_long", "study_cifar10_paper", "study_wrn"]
)
def test_methods_are_those_of_the_sweeps(sweep):
    jobs = jobs_of(sweep)
    named = {method_of({"choices": {}, "overrides": job}) for job in jobs}
    assert named <= set(METHODS)
    assert named == set(METHODS) or sweep not in ("study_digits", "study_cifar10")


@pytest.mark.parametrize("name", read_studies())
def test_no_run_is_there_twice(name):
    study = read_studies()[name]
    keys = [(line[study.varied], line["method"], line["seed"]) for line in study.lines]
    assert len(set(keys)) == len(keys)
    assert len({(line[study.varied], line["content_digest"]) for line in study.lines}) == len(study.conditions)
