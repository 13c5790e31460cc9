from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from oponm.report import compare, group_runs, html_page
from tests.report.runs import accuracy, full_result, published

HOSTILE = "</script><script>alert(1)</script>&<img src=x onerror=alert(1)>\"'`{{7*7}}$|"


class Elements(HTMLParser):
    """Every element with its attributes and the text directly in it, void ones apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element: tuple[str, dict[str, str | None], list[str]] = (tag, dict(attrs), [])
        self.found.append(element)
        if tag not in ("meta", "wbr"):
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.open[-1][2].append(data)

    def all(self, tag: str, **attributes: str) -> list[tuple[dict[str, str | None], str]]:
        return [
            (found, "".join(text))
            for name, found, text in self.found
            if name == tag and attributes.items() <= found.items()
        ]


def page(runs: list[dict[str, Any]], problems: tuple[str, ...] = ()) -> str:
    groups = group_runs(runs)
    return html_page(groups, compare(groups), problems)


@pytest.fixture(scope="module")
def text() -> str:
    return page([full_result(method, seed) for method in ("drs", "open", "erm") for seed in range(3)])


def embedded(text: str) -> dict[str, Any]:
    ((_, found),) = Elements(text).all("script", id="data")
    return json.loads(found)


def test_every_element_is_closed_and_every_id_is_one_of_a_kind(text):
    elements = Elements(text)
    assert elements.open == []
    ids = [attributes["id"] for _, attributes, _ in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_it_asks_for_no_other_file(text):
    elements = Elements(text)
    assert {tag for tag, _, _ in elements.found}.isdisjoint({"link", "iframe", "object", "embed", "base"})
    links = [attributes["href"] for attributes, _ in elements.all("a")]
    assert all(link.startswith("#") for link in links)
    sources = [attributes["src"] for _, attributes, _ in elements.found if "src" in attributes]
    assert all(source.startswith("data:image/") for source in sources)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", text)


def test_only_its_own_script_and_style_may_run(text):
    elements = Elements(text)
    policy = next(a["content"] for a, _ in elements.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    scripts = [found for attributes, found in elements.all("script") if "type" not in attributes]
    styles = [found for _, found in elements.all("style")]
    hashes = [base64.b64encode(hashlib.sha256(found.encode()).digest()).decode() for found in (*scripts, *styles)]
    assert (
        policy == f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; img-src data:"
    )
    assert not any(name.startswith("on") or name == "style" for _, found, _ in elements.found for name in found)


def test_links_lead_to_headings(text):
    elements = Elements(text)
    ids = {attributes.get("id") for _, attributes, _ in elements.found}
    assert {attributes["href"] for attributes, _ in elements.all("a")} <= {f"#{name}" for name in ids}


def test_tables_have_captions_headers_and_buttons(text):
    elements = Elements(text)
    assert len(elements.all("table")) == len(elements.all("caption")) == 3 + 2 * 3
    assert {attributes["scope"] for attributes, _ in elements.all("th")} == {"col", "row"}
    columns = [attributes.get("data-key", "interval") for attributes, _ in elements.all("th", scope="col")]
    sortable = [key for key in columns if key != "interval"]
    assert len(elements.all("button", type="button")) == len(sortable)


def test_what_matters_most_comes_first(tmp_path):
    runs = [full_result(method, seed) for method in ("drs", "open") for seed in (0, 1)]
    with published(tmp_path, *(accuracy(method, 84.6, "a paper") for method in ("drs", "open"))):
        columns = [attributes.get("data-key") for attributes, _ in Elements(page(runs)).all("th", scope="col")]
    first = ["method", "balanced_accuracy", "published a paper", "many", "medium", "few", "worst_class", "accuracy"]
    assert columns[:11] == [*first, "macro_f1", "seeds", "seconds"]
    differences = ["method", "interval", "balanced_accuracy", "published a paper difference", "many", "medium", "few"]
    assert columns[11:20] == [*differences, "minus", "pairs"]


def test_p_values_stand_below_their_differences(text):
    comparison = compare(group_runs([full_result(m, seed) for m in ("drs", "open", "erm") for seed in range(3)]))[0]
    told = [found for _, found in Elements(text).all("small")]
    assert len(told) == 2 * 4
    assert told[0] == f"p {comparison.adjusted['balanced_accuracy']:.3f}"


def test_what_is_left_out_is_told_at_the_top_too():
    elements = Elements(page([full_result("open")], ("a: not finished", "b: failed: no space")))
    links = {attributes["href"]: found for attributes, found in elements.all("a")}
    assert links["#problems-heading"] == "Left out (2)"
    assert "b: failed: no space" in [found for _, found in elements.all("li")]


def test_a_row_of_results_holds_what_it_is_sorted_by(text):
    values = [attributes["data-value"] for attributes, _ in Elements(text).all("td", **{"class": "number"})]
    run = full_result("drs")
    assert "3" in values
    shown = [float(value) for value in values if value]
    groups = group_runs([full_result("drs", seed) for seed in range(3)])
    assert any(value == pytest.approx(groups[0].mean_and_error("few")[0]) for value in shown)
    assert run["metrics"]["few"] <= 1


@pytest.mark.parametrize("where", ["override", "class", "data", "phase", "version", "problem"])
def test_no_name_is_more_than_text(text, where):
    changes: dict[str, Any] = {
        "override": {"overrides": [f"x={HOSTILE}"]},
        "class": {"class_names": [HOSTILE] * 10},
        "data": {"choices": {"method": "open", "data": HOSTILE}, "content_digest": "f" * 64},
        "phase": {"phases": [{"name": HOSTILE, "start": 0}]},
        "version": {"versions": {HOSTILE: HOSTILE}},
        "problem": {},
    }[where]
    hostile = page([full_result("drs"), full_result("open", **changes)], (HOSTILE,) if where == "problem" else ())
    tags = {tag for tag, _, _ in Elements(text).found} | {"h3", "wbr"}
    assert {tag for tag, _, _ in Elements(hostile).found} <= tags
    assert len(Elements(hostile).all("script")) == 2
    assert "49" not in {found for _, found in Elements(hostile).all("li")}
    told = json.dumps(embedded(hostile)) + " ".join(found for _, _, parts in Elements(hostile).found for found in parts)
    assert "onerror=alert(1)" in told


def test_a_name_is_whole_where_it_may_be_broken():
    name = "x=a_b/c.d,e"
    hostile = page([full_result("drs"), full_result("open", overrides=[name])])
    assert f"open {name}" in [found for _, found in Elements(hostile).all("th", scope="row")]


def test_figures_have_what_the_runs_tell(text):
    data = embedded(text)
    assert [group["name"] for group in data["groups"]] == ["erm", "drs", "open"]
    assert [group["baseline"] for group in data["groups"]] == ["drs", None, "drs"]
    assert all({"recall", "noise", "confusion"} <= group.keys() for group in data["groups"])
    assert [("difference" in group) for group in data["groups"]] == [True, False, True]
    assert data["groups"][0]["phases"] == [["instance", 0], ["class_balanced", 8]]


def test_the_baseline_and_the_best_are_shown_first():
    runs = [full_result(f"m{i}", metrics={"balanced_accuracy": i / 20}) for i in range(9)]
    data = embedded(page([*runs, full_result("drs", metrics={"balanced_accuracy": 0.0})]))
    assert [data["groups"][place]["name"] for place in data["splits"][0]["shown"]] == ["drs", "m5", "m6", "m7", "m8"]


def test_each_split_has_figures_of_its_own():
    runs = [full_result(method, classes=classes) for classes in (5, 10) for method in ("drs", "open")]
    data = embedded(page(runs))
    assert sorted(len(split["classes"]) for split in data["splits"]) == [5, 10]
    assert sorted(place for split in data["splits"] for place in split["groups"]) == [0, 1, 2, 3]


def test_runs_that_tell_little_make_a_page_all_the_same():
    bare = full_result("open", metrics={}, recall=[None] * 10)
    for key in ("confusion_matrix", "noise_histogram", "phases", "content_digest", "test_counts"):
        del bare[key]
    (group,) = embedded(page([bare]))["groups"]
    assert group["recall"] == [[None] * 10, [None] * 10]
    assert group.keys() == {"name", "baseline", "phases", "curves", "recall"}


def test_fewer_than_five_classes_have_no_table_of_fifths():
    elements = Elements(page([full_result(method, classes=3) for method in ("drs", "open")]))
    ids = {attributes.get("id") for _, attributes, _ in elements.found}
    assert {"results", "differences"} <= ids
    assert not {"tail", "tail-heading"} & ids
    assert "#tail-heading" not in {attributes["href"] for attributes, _ in elements.all("a")}


def test_splits_without_fifths_stand_in_the_table_of_the_others():
    elements = Elements(page([full_result("open", classes=classes) for classes in (3, 10)]))
    assert "tail" in {attributes.get("id") for _, attributes, _ in elements.found}


def test_the_size_goes_with_the_number_of_groups():
    few, many = (page([full_result("open", overrides=[f"x={i}"], classes=120) for i in range(n)]) for n in (10, 20))
    assert len(many) - len(few) < 10 * 15_000  # 200 groups stay below 5 MB
    seeds = page([full_result("open", seed, overrides=[f"x={i}"], classes=120) for i in range(10) for seed in range(3)])
    assert len(seeds) < len(few) * 1.5
