"""Each script prints its table in a setting of seconds; what it measures there means nothing."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

from benchmarks import augmentation, epoch, overhead, precision, ranks, run, startup, streaming
from oponm.data.samplers import SAMPLERS
from tests.benchmarks.test_gpu_script import ROOT


@pytest.fixture(autouse=True)
def threads_stay():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def rows(output: str) -> list[list[str]]:
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if line.startswith("|")]
    return [line for line in lines if not set("".join(line)) <= {"-"}]


def test_epoch(capsys):
    epoch.main(steps=2, warmup=1, rounds=1, batch_size=4, images=2)
    header, *candidates = rows(capsys.readouterr().out)
    assert [name for name, *_ in candidates] == ["plain loop", *epoch.SETTINGS]
    assert all(len(line) == len(header) for line in candidates)
    assert all(float(line[1]) > 0 for line in candidates)


def test_augmentation(capsys):
    augmentation.main(batch_size=4, repeats=3)
    output = capsys.readouterr().out
    batched, single = (
        float(re.search(rf"^{name} +\d+ images/s +([\d.]+) ms a batch of 4 ", output, re.MULTILINE)[1])
        for name in ("kornia, batch", "torchvision, per sample")
    )
    assert min(batched, single) > 0
    ratio = float(re.search(r"^ratio ([\d.]+)$", output, re.MULTILINE)[1])
    assert ratio == pytest.approx(single / batched, rel=0.1, abs=0.1)


def test_sampler():
    """In a process of its own, as it measures in processes forked from it."""
    smaller = "from benchmarks import sampler; sampler.IMAGES, sampler.CLASSES = 20_000, 50; sampler.main()"
    command = [sys.executable, "-c", smaller]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=120).stdout
    lines = {line[:24].strip(): line[24:].split() for line in output.splitlines() if line.strip()}
    for step in ("read_list", "draw ldam", "draw m2m", "draw random", "stratified_split", *SAMPLERS):
        assert step in lines
    instance, balanced = lines["instance"], lines["class_balanced"]
    assert float(instance[0]) >= 0
    assert instance[2] == "100.0%"  # each image once
    most, least = (int(balanced[place].replace(",", "")) for place in (3, 4))
    assert 0 < least <= 20_000 / 50 <= most < 2 * least


def test_precision(capsys):
    precision.main(2, "trainer.max_epochs=2")
    output = capsys.readouterr().out
    assert len(re.findall(r"[\d.]+ ± [\d.]+", output)) == 2
    assert [line[0].partition(",")[0] for line in rows(output)[-2:]] == ["balanced accuracy", "mean training loss"]


def test_overhead(capsys):
    overhead.main(steps=5, batch_size=8)
    header, *networks = rows(capsys.readouterr().out)
    assert len(networks) == len(overhead.SHAPES)
    for line in networks:
        bare, ours, *_ = (float(value) for value in line[1:3])
        assert len(line) == len(header)
        assert 0 < bare < 10 * ours


@pytest.mark.slow
def test_startup(capsys):
    startup.main(rounds=1)
    output = capsys.readouterr().out
    taken = {line[0]: line[1] for line in rows(output)}
    assert set(startup.STAGES) <= taken.keys()
    assert float(taken["all"]) == pytest.approx(sum(float(taken[stage]) for stage in startup.STAGES), abs=0.1)
    assert float(taken["torch"]) > 0


def test_streaming(capsys):
    streaming.main(number=40, rounds=2, batch_size=4, workers=1)
    table = rows(capsys.readouterr().out)
    assert [line[0] for line in table[1:3]] == ["bare DataLoader", "oponm"]
    assert len(table[-3:]) == len(streaming.COMPUTE)


@pytest.mark.slow
def test_ranks(capsys, monkeypatch):
    alone, *_, synchronized = ranks.SETTINGS
    monkeypatch.setattr(ranks, "SETTINGS", {name: ranks.SETTINGS[name] for name in (alone, synchronized)})
    ranks.main(steps=3, batch_size=8, epochs=1, rounds=1)
    header, *settings = rows(capsys.readouterr().out)
    assert [line[0] for line in settings] == list(ranks.SETTINGS)
    assert all(len(line) == len(header) for line in settings)
    assert settings[0][-1] == "100%"
    assert all(float(line[1]) > 0 for line in settings)


def test_every_benchmark_is_run_by_make_or_named_as_by_hand():
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()}
    helpers = {"run", "first_step"}
    assert scripts - helpers == set(run.MODULES) | {"gpu", "kill_and_resume", "ranks"}
    listed = set(re.findall(r"`(\w+)`", (ROOT / "benchmarks/README.md").read_text()))
    assert scripts - helpers <= listed
