"""What README and the pages of the site show, runs, and names what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch.nn.functional import cross_entropy

from handbook.config_reference import read_config
from hydra_plugins.oponm.rows_sweeper import RowsSweeper
from oponm.cli.config import options_first, quote_paths
from oponm.cli.main import COMMANDS
from oponm.cli.plugins import store_plugins
from oponm.configs import CONF_DIR, groups
from oponm.known_settings import check_settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
BLOCK = re.compile(r"(<!-- not run: .+ -->\n)?```(\w+)\n(.*?)```", re.DOTALL)
BLOCKS = [
    (name, language, content)
    for name, text in TEXTS.items()
    for left_out, language, content in BLOCK.findall(text)
    if not left_out
]
PYTHON = [(name, content) for name, language, content in BLOCKS if language == "python"]
COMMAND_LINES = sorted(
    {
        line
        for name, language, content in BLOCKS
        if language == "sh" and name not in ("docs/gallery.md", "docs/evidence.md")  # these have tests of their own
        for line in content.replace("\\\n", " ").splitlines()
        if line.startswith("oponm ")
    }
)
COMPOSED = {"train": "train", "data": "train", "eval": "eval", "predict": "predict", "export": "export"}
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PLAIN_ENGLISH = [name for name in TEXTS if name == "README.md" or name.startswith("docs/tutorials/")]


@pytest.mark.parametrize(("name", "block"), PYTHON, ids=[f"{name}-{number}" for number, (name, _) in enumerate(PYTHON)])
def test_python(name, block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(block.strip().splitlines()) <= 25
    images, targets = torch.rand(8, 3, 32, 32), torch.arange(8) % 3
    namespace = {"loader": [(images, targets)] * 2}
    if "convert_batchnorm(model)" in block:  # the first lines of README, which leave the loop to the reader
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten())
        network.append(torch.nn.Linear(4 * 30 * 30, 3))
        colors = {"mean": [0.5] * 3, "std": [0.2] * 3, "normalize": lambda pixels: (pixels - 0.5) / 0.2}
        namespace |= {"model": network, "class_counts": [100, 10, 1], "images": images, "targets": targets, **colors}
        namespace |= {"generator": torch.Generator().manual_seed(0), "cross_entropy": cross_entropy}
    exec(block, namespace)
    if "run" in namespace:
        measured = namespace["run"].metrics["balanced_accuracy"]
    elif "trainer" in namespace:
        measured = namespace["trainer"].callback_metrics["test/balanced_accuracy"]
    else:
        measured = namespace["loss"]
    assert torch.isfinite(torch.as_tensor(measured))


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_command_composes(line):
    command, *words = shlex.split(line, comments=True)[1:]
    assert command in COMMANDS
    if command not in COMPOSED:
        return
    options, overrides = options_first([word for word in words if word not in ("check", "prepare", "show")])
    assert set(options) <= {"-m", "--cfg", "job"}
    overrides = [override for override in quote_paths(overrides) if "=" in override]
    store_plugins()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        jobs = RowsSweeper({}, [""]).jobs(overrides) if "-m" in options else [overrides]
        for job in {tuple(jobs[0]), tuple(jobs[-1])}:
            config = compose(COMPOSED[command], list(job))
            if command == "train":
                check_settings(config)


def test_choices_and_keys_that_are_named_exist():
    keys = {
        group: {
            entry.key.removeprefix(f"{group}.")
            for path in (CONF_DIR / group).rglob("*.yaml")
            for entry in read_config(path).entries
        }
        for group in groups()
    }
    seen = 0
    for name, text in TEXTS.items():
        for code in INLINE.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
            for group, choices in re.findall(r"(?:^| )'?(\w+)=\[?([a-z][\w,/]*)\]?'?(?= |$)", code):
                if group in groups():
                    assert set(choices.split(",")) <= set(groups()[group]), (name, code)
                    seen += 1
            for group, key in re.findall(r"(?:^| )(\w+)\.([a-z][a-z_.]*)(?==|$)", code):
                if group in groups() and not re.search(r"\.(png|csv|md|yaml|json)$", code):
                    assert key in keys[group] or any(known.startswith(f"{key}.") for known in keys[group]), (name, code)
                    seen += 1
    assert seen > 200


def test_every_choice_is_listed():
    listed = TEXTS["docs/reference/choices.md"] + TEXTS["docs/reference/data_sets.md"]
    between = {"resnet32", "resnet44"}  # resnet20 to resnet56
    choices = {(group, choice) for group, names in groups().items() for choice in names}
    missing = {pair for pair in choices if not re.search(rf"[`=,]{pair[1]}[`,\s]", listed)}
    assert {pair for pair in missing if pair[1] not in between and not pair[1].startswith("celeba5/")} == set()


@pytest.mark.parametrize("name", TEXTS)
def test_files_that_are_linked_exist(name):
    for link in re.findall(r"\]\(((?!\w+:)[^)#\s]+)", re.sub(r"```.*?```", "", TEXTS[name], flags=re.DOTALL)):
        if link.startswith(("api/", "../reference/api/", "config.md", "../reference/config.md")):
            continue  # made by the site, whose test follows links
        assert ((ROOT / name).parent / link).exists(), link


def sentences(text: str) -> list[str]:
    """The sentences of a page, without code, tables, headings and addresses."""
    text = re.sub(r"```.*?```|<!--.*?-->", "\n\n", text, flags=re.DOTALL)
    text = re.sub(r"^(#|\||!\[|    ).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^)]*\)", r"\1", INLINE.sub("CODE", text))
    blocks = re.split(r"\n\s*\n|^\s*[*-] |^\s*\d+\. ", text, flags=re.MULTILINE)
    found = (re.split(r"(?<=[.!?])\s+(?=[A-Z`(\[*0-9])", " ".join(block.split())) for block in blocks)
    return [sentence for parts in found for sentence in parts if sentence]


@pytest.mark.parametrize("name", PLAIN_ENGLISH)
def test_no_sentence_is_long(name):
    found = sentences(TEXTS[name])
    assert len(found) > 10
    assert [sentence for sentence in found if len(sentence.split()) > 30] == []


def test_long_sentences_are_found():
    parts = sentences("# Title\n\nOne `a b` [two](x.md). Three:\n\n* four\n* five")
    assert parts == ["One CODE two.", "Three:", "four", "five"]
    assert [len(sentence.split()) for sentence in sentences("word " * 31 + "end. Next one.")] == [32, 2]
