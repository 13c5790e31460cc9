"""What others published stands beside ours in every file of a report."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys

import pytest

from oponm.configs import groups as config_groups
from oponm.errors import InputError
from oponm.report import compare, group_runs, latex, markdown, notes, read_report, report_tables
from oponm.report.published import FILE, published_difference, published_figures, published_lines, published_of
from oponm.report.settings import result_settings
from oponm.report.tables import difference_table
from tests.cli.command import ROOT
from tests.cli.compose import compose_with_choices, jobs_of
from tests.report.runs import accuracy, full_result, published, store_full

NOTE = "drawn by others; ours is random"
FIFTHS = [72.1, 64.2, 55.7, 40.5, 28.1]
OPEN = [accuracy("open", 84.6), accuracy("open", 85.04, "reproduction")]
DRS = accuracy("drs", 83.0)
LEAD = {"source": "study", "figure": "lead", "value": "3 4", "minus": "drs", "method": "open"}
TAIL = {**OPEN[1], "figure": "fifths", "value": " ".join(map(str, FIFTHS)), "note": NOTE}


def runs():
    return [full_result(method, seed) for method in ("drs", "open") for seed in (0, 1, 2)]


@pytest.fixture
def written(tmp_path):
    for number, content in enumerate(runs()):
        store_full(tmp_path / str(number), content)
    with published(tmp_path, DRS, *OPEN, LEAD, TAIL):
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


def chosen(command: str) -> dict:
    """What a report knows of a run of that command."""
    choices, config = compose_with_choices(*command.split())
    return {"choices": choices, "settings": result_settings(config), "overrides": command.split()}


def test_the_terminal(tmp_path):
    """Of a run as training leaves it, by the table that ships."""
    for number, method in enumerate(("drs", "open")):
        run = chosen(f"experiment=cifar100_lt_ir100 method={method}")
        content = full_result(method, choices=run["choices"], overrides=run["overrides"])
        store_full(tmp_path / str(number), content)
        (tmp_path / str(number) / "config.yaml").write_text(_yaml(f"experiment=cifar100_lt_ir100 method={method}"))
    command = [sys.executable, "-m", "oponm", "report", str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(r"open \(reproduction\) +72\.1 +64\.2 +55\.7 +40\.5 +28\.1", shown)
    assert "+1.3" in shown


def _yaml(command: str) -> str:
    import yaml

    return yaml.safe_dump(compose_with_choices(*command.split())[1])


def test_a_stated_lead_stands_for_its_source(tmp_path):
    with published(tmp_path, DRS, *OPEN, {**LEAD, "source": "paper", "value": "1 2"}, {**LEAD, "minus": "erm"}):
        (comparison,) = compare(group_runs(runs()))
        assert published_difference(comparison) == {"paper": (1.0, 2.0)}
        assert "| +1 to +2 |" in markdown(difference_table([comparison]))


def test_without_published_figures_there_is_nothing_of_it():
    groups = group_runs([full_result(method, seed) for method in ("drs", "open") for seed in (0, 1)])
    assert markdown(difference_table(compare(groups))).splitlines()[0].count("|") == 8
    assert latex(report_tables(groups, compare(groups))).count(r"\begin{tabular}") == 2
    assert not any("published" in line for line in notes(groups, compare(groups)))


def test_what_runs_of_earlier_versions_hold_of_it_is_passed_over():
    held = {"published": {"paper": 84.6}, "published_leads": {"drs": {"paper": 4}}, "published_note": ["a"]}
    groups = group_runs([full_result("open", 0, **held), full_result("open", 1)])
    assert [len(group.runs) for group in groups] == [2]
    assert published_figures(groups[0]) == {}


def test_a_note_is_told_once_and_in_one_line(tmp_path):
    lines = [{**accuracy(method, 80, source), "note": "a\nb"} for method in ("drs", "open") for source in ("x", "y")]
    with published(tmp_path, *lines):
        told = notes(group_runs([full_result(method) for method in ("drs", "open")]))
    assert [line for line in told if "a b" in line] == ["drs, open: a b"]


@pytest.mark.parametrize(
    ("settings", "joined"),
    [({"noise.delta": 1 / 3}, True), ({"noise.delta": 0.5}, False), ({"noise.delta": None}, False), ({}, False)],
)
def test_a_line_is_of_runs_with_its_settings(tmp_path, settings, joined):
    with published(tmp_path, {**OPEN[0], "noise.delta": "0.3333"}):
        assert bool(published_of({**full_result("open"), "settings": settings})) == joined
        assert not published_of({**full_result("drs"), "settings": settings})


OWN = ("demo", "gallery", "open_on_top")  # sweeps of this project's own tables
TABLES = [name for name in config_groups()["sweep"] if name not in OWN and name[:6] != "study_"]
COMMANDS = [" ".join([f"sweep={table}", *job]) for table in TABLES for job in jobs_of(table)]


@pytest.fixture(scope="module")
def joined() -> dict[str, list[dict[str, str]]]:
    """The lines of the table that ships by the command of a sweep's run that they are of."""
    return {command: published_of(chosen(command)) for command in COMMANDS}


def test_every_line_is_of_a_run_of_a_sweep(joined):
    found = [line for lines in joined.values() for line in lines]
    assert [line for line in published_lines(FILE) if line not in found] == []
    lone = [command for command, lines in joined.items() if not lines]
    # Readings that nobody published, and two methods of which the lead alone was.
    assert all("norm.noise_grad" in command or command.endswith("method=drs") for command in lone)


def test_a_value_that_is_no_number_is_named_by_its_line(tmp_path):
    file = tmp_path / "published.csv"
    file.write_text("source,figure,value\npaper,accuracy,84.6\npaper,accuracy,much\n")
    with pytest.raises(InputError, match=r"published.csv, line 3: value must be numbers, got 'much'"):
        published_lines(file)


def test_a_figure_stands_once_for_each_source(joined):
    for command, lines in joined.items():
        keys = [(line["source"], line["figure"], line["minus"]) for line in lines]
        assert len(set(keys)) == len(keys), command


@pytest.mark.parametrize(
    ("said", "figures"),
    [
        ("method=open", {"paper": 84.6, "reproduction": 85.04}),
        ("method=open norm=aux", {"paper": 83.38, "reproduction": 82.23}),
        ("method=open noise.delta=1", {"reproduction": 80.01}),
        ("method=open data.draw=m2m", {"reproduction": 87.11}),
        ("method=open augmentation=autoaugment", {"paper": 86.1}),
        ("method=open trainer.max_epochs=1", {"paper": 84.6, "reproduction": 85.04}),
        ("method=open norm.noise_grad=full", {}),
        ("method=open noise.labels=uniform", {}),
        ("method=open loss=focal", {}),
        ("method=ldam_drw model=resnet32 augmentation=flip_crop", {"authors": 77.03, "mislas": 77.1}),
        ("method=mislas model=resnet32 augmentation=flip_crop", {"authors": 82.1}),
        ("method=mislas mixing=none model=resnet32 augmentation=flip_crop", {}),
        ("method=influence_balanced model=resnet32 augmentation=flip_crop", {"bag_of_tricks": 76.66}),
    ],
)
def test_the_figures_of_a_command(said, figures):
    lines = published_of(chosen(f"experiment=cifar10_lt_ir100 {said}"))
    assert {line["source"]: float(line["value"]) for line in lines if line["figure"] == "accuracy"} == figures


def test_the_table_is_in_what_is_installed():
    text = (ROOT / "pyproject.toml").read_text()
    assert '"results/published.csv" = "oponm/published.csv"' in text.partition("wheel.force-include]")[2]
    assert '"results/published.csv"' in text.partition("targets.sdist]")[2].splitlines()[1]
    assert FILE == ROOT / "results/published.csv"


def test_a_run_needs_no_experiment():
    said = "data=cifar10_lt model=resnet32 augmentation=flip_crop method=drs"
    assert [line["value"] for line in published_of(chosen(said))] == ["75.78"]


@pytest.mark.parametrize(("method", "head", "rarest"), [("erm", 79.4, 9.1), ("drs", 75.1, 22.4), ("open", 72.1, 28.1)])
def test_fifths_are_published_head_to_tail(method, head, rarest):
    lines = published_of(chosen(f"experiment=cifar100_lt_ir100 method={method}"))
    (values,) = ([float(value) for value in line["value"].split()] for line in lines if line["figure"] == "fifths")
    assert (values[0], values[-1], len(values)) == (head, rarest, 5)
    assert sorted(values, reverse=True) == values


@pytest.mark.parametrize("draw", ["random", "ldam"])
def test_figures_of_a_draw_that_is_not_ours_say_so(draw):
    lines = published_of(chosen(f"experiment=cifar10_lt_ir100 data.draw={draw} method=erm"))
    assert {"ours is random" in line["note"] for line in lines} == {draw == "random"}


@pytest.mark.parametrize(("epochs", "said"), [(15, True), (200, False)])
def test_shorter_runs_than_the_published_ones_are_named(tmp_path, epochs, said):
    with published(tmp_path, DRS, *OPEN):
        settings = [{"trainer.max_epochs": epochs, "method": run["choices"]["method"]} for run in runs()]
        groups = group_runs([{**run, "settings": each} for run, each in zip(runs(), settings, strict=True)])
        lines = [line for line in notes(groups, compare(groups)) if "these runs have fewer" in line]
    expected = "published results are of 200 epochs; these runs have fewer: drs 15, open 15"
    assert lines == ([expected] if said else [])
