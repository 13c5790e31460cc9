"""What others published stands beside ours in every file of a report."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys

import pytest

from oponm.report import compare, difference_table, group_runs, latex, markdown, notes, read_report, report_tables
from oponm.report.published import published_difference
from tests.cli.compose import compose_config
from tests.report.runs import full_result, store_full

NOTE = "drawn by others; ours is random"
FIFTHS = [72.1, 64.2, 55.7, 40.5, 28.1]


def runs(**of_open):
    told = {"published": {"paper": 84.6, "reproduction": 85.04}, **of_open}
    drs = {"published": {"paper": 83.0}}
    return [
        full_result(method, seed, **changes) for method, changes in (("drs", drs), ("open", told)) for seed in (0, 1, 2)
    ]


@pytest.fixture
def written(tmp_path):
    told = {"published_leads": {"drs": {"study": [3, 4]}}, "published_note": NOTE}
    told["published_fifths"] = {"reproduction": FIFTHS}
    for number, content in enumerate(runs(**told)):
        store_full(tmp_path / str(number), content)
    read_report([tmp_path]).write(tmp_path / "report")
    return {path.suffix: path.read_text() for path in (tmp_path / "report").iterdir() if path.suffix != ".png"}


def test_markdown(written):
    lines = written[".md"].splitlines()
    (header,) = (line for line in lines if line.startswith("| method | minus"))
    assert header.split(" | ")[3:7] == ["balanced accuracy", "p", "paper", "study"]
    (found,) = (line for line in lines if line.startswith("| open | drs"))
    assert found.split(" | ")[5:7] == ["+1.6", "+3 to +4"]
    assert "| open (reproduction) | 72.1 | 64.2 | 55.7 | 40.5 | 28.1 |" in lines
    assert f"open: {NOTE}" in lines
    assert any(line.startswith("paper, study among the differences: published") for line in lines)


def test_latex(written):
    assert r"open (reproduction) & $72.1$ & $64.2$ & $55.7$ & $40.5$ & $28.1$ \\" in written[".tex"]
    assert re.search(r"open & drs & \$3\$ & .* & \$\+1\.6\$ & \+3 to \+4 & ", written[".tex"])
    assert f"% open: {NOTE}\n" in written[".tex"]
    assert written[".tex"].count(r"\begin{tabular}") == 3


def test_csv(written):
    drs, found = csv.DictReader(io.StringIO(written[".csv"]))
    assert [float(found[f"published_reproduction_fifth_{number}"]) for number in range(1, 6)] == FIFTHS
    assert 0 < float(found["fifth_5"]) < float(found["fifth_1"]) <= 1
    assert [found[f"published_study_difference_{end}"] for end in ("low", "high")] == ["3.0", "4.0"]
    assert [found[f"published_paper_difference_{end}"] for end in ("low", "high")] == ["1.6", "1.6"]
    assert (drs["note"], found["note"]) == ("", NOTE)


def test_html(written):
    text = re.sub(r"<wbr>", "", written[".html"])
    tail = text.partition('<table id="tail"')[2].partition("</table>")[0]
    assert "open (reproduction)" in tail
    assert all(f">{value}</td>" in tail for value in FIFTHS)
    differences = text.partition('<table id="differences"')[2].partition("</table>")[0]
    assert '<td class="number" data-value="0.035">+3 to +4</td>' in differences
    assert '<td class="number" data-value="0.016">+1.6</td>' in differences
    assert f"<li>open: {NOTE}</li>" in text


def test_the_terminal(tmp_path):
    for number, content in enumerate(runs(published_fifths={"reproduction": FIFTHS}, published_note=NOTE)):
        store_full(tmp_path / str(number), content)
    command = [sys.executable, "-m", "oponm", "report", str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"open \(reproduction\) +72\.1 +64\.2 +55\.7 +40\.5 +28\.1", shown)
    assert "+1.6" in shown
    assert NOTE in shown


def test_a_stated_lead_stands_for_its_source():
    groups = group_runs(runs(published_leads={"drs": {"paper": [1, 2]}, "erm": {"paper": 9}}))
    (comparison,) = compare(groups)
    assert published_difference(comparison) == {"paper": (1.0, 2.0)}
    assert "| +1 to +2 |" in markdown(difference_table([comparison]))


def test_without_published_figures_there_is_nothing_of_it(tmp_path):
    groups = group_runs([full_result(method, seed) for method in ("drs", "open") for seed in (0, 1)])
    assert markdown(difference_table(compare(groups))).splitlines()[0].count("|") == 8
    assert latex(report_tables(groups, compare(groups))).count(r"\begin{tabular}") == 2
    assert not any("published" in line for line in notes(groups, compare(groups)))


def test_a_note_is_told_once_and_in_one_line():
    groups = group_runs([full_result(method, published_note="a\nb") for method in ("drs", "open")])
    assert [line for line in notes(groups) if "a b" in line] == ["drs, open: a b"]


@pytest.mark.parametrize(
    ("experiment", "lead"), [("_flip_crop/open", 4), ("_cutout/open", [3, 4]), ("/open", [1, 2]), ("_cutout/drs", None)]
)
def test_the_study_of_augmentations_has_its_leads(experiment, lead):
    leads = compose_config(f"experiment=cifar10_lt_ir100{experiment}").published_leads
    assert leads == ({} if lead is None else {"drs": {"paper": lead}})


@pytest.mark.parametrize(("method", "head", "rarest"), [("erm", 79.4, 9.1), ("drs", 75.1, 22.4), ("open", 72.1, 28.1)])
def test_fifths_are_published_head_to_tail(method, head, rarest):
    (values,) = compose_config(f"experiment=cifar100_lt_ir100/{method}").published_fifths.values()
    assert (values[0], values[-1], len(values)) == (head, rarest, 5)
    assert sorted(values, reverse=True) == values


@pytest.mark.parametrize("method", ["erm", "drs", "open"])
def test_figures_of_a_draw_that_is_not_ours_say_so(method):
    assert "ours is random" in compose_config(f"experiment=cifar10_lt_ir100_draw_cui/{method}").published_note
    assert compose_config(f"experiment=cifar10_lt_ir100_draw_ldam/{method}").published_note is None


def test_a_run_keeps_what_its_experiment_tells(tmp_path):
    options = ["trainer.max_epochs=2", "phase_cache=off", f"output_dir={tmp_path / 'run'}"]
    options += ["published_note=n", "+published_fifths.p=[2,1]", "+published_leads.drs={p:[1,2]}"]
    subprocess.run([sys.executable, "-m", "oponm", "train", *options], check=True, capture_output=True)
    told = json.loads((tmp_path / "run/result.json").read_text())
    assert told["published_fifths"] == {"p": [2, 1]}
    assert told["published_leads"] == {"drs": {"p": [1, 2]}}
    assert (told["published_note"], told["published"]) == ("n", {})
