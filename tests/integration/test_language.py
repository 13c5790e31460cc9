"""Pages, notebooks, config comments, docstrings, messages and names are in US spelling and in the field's words."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("oponm", "handbook", "evidence", "benchmarks", "hydra_plugins")
FILES = [
    *ROOT.glob("*.md"),
    *(path for folder in ("docs", "benchmarks", "notebooks") for path in (ROOT / folder).rglob("*.md")),
    *(ROOT / "evidence").glob("*.jinja"),
    *(ROOT / "notebooks").glob("*.ipynb"),
    *(ROOT / "conf").rglob("*.yaml"),
    *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")),
    *(ROOT / "oponm").rglob("*.html"),
]
BRITISH = re.compile(
    r"\b\w*(?:colour|behaviour|neighbour|favour(?!ed)|honour|labour|artefact|grey|labelled|labelling|modelling|cancelled"
    r"|travelled|signalled|catalogue|analogue|centre|centring|metre\b|defence|licence|learnt|whilst|judgement|ageing"
    r"|fulfil\b|analys(?:e|ed|ing)\b)\w*"
    r"|\b\w*(?:al|ol|il|ar|ard|er|or|tr|an|en|in|on|im|om|at|it|et|nt|ut|ad|um|as|og|ogn)is(?:e[sd]?|ing|ers?|ations?)\b",
    re.IGNORECASE,
)
NO_VERBS = re.compile(
    r"raise|a?rise|comprise|surprise|enterprise|expertise|.*(?:noise|wise|cise|vise|mise)",
    re.IGNORECASE,
)
MOODS = re.compile(
    r"\banew\b|\bmend(?:s|ed|ing|able)?\b|\bkeepers?\b|\bsee\s+there\b|\bbefell\b|\bone\s+a\s+line\b|\btells\b"
    r"|\b(?:go|goes|going|went|gone)\s+on\b(?! (?:standard|stderr|the)\b)",
    re.IGNORECASE,
)
NAMES = re.compile("aria-labelledby")


def prose(path: Path) -> Iterator[str]:
    """The sentences of a file without its code, and the words of the code's names."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from (token.string for token in _tokens(text) if token.type == tokenize.COMMENT)
        yield " ".join(token.string.replace("_", " ") for token in _tokens(text) if token.type == tokenize.NAME)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                lines = (line for line in node.value.splitlines() if not re.match(r" *(>>>|\.\.\. )", line))
                yield re.sub(r"^ *[*\w]+:|``.*?``|`[^`]+`", "", "\n".join(lines), flags=re.MULTILINE)
    elif path.suffix == ".yaml":
        yield from (line.partition("# ")[2] for line in text.splitlines())
    elif path.suffix == ".ipynb":
        for cell in json.loads(text)["cells"]:
            source = "".join(cell["source"])
            yield source if cell["cell_type"] == "markdown" else "\n".join(re.findall("#.*", source))
    else:
        yield re.sub(r"```.*?```|`[^`\n]+`|<[^>]*>", "", text, flags=re.DOTALL)


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(text).readline)


def unwanted(text: str) -> list[str]:
    """Words of British spelling, and words that this project does without."""
    text = NAMES.sub("", text)
    british = [found[0] for found in BRITISH.finditer(text) if not NO_VERBS.fullmatch(re.sub("[sd]$", "", found[0]))]
    return british + [found[0] for found in MOODS.finditer(text)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_words_are_those_of_the_field(path):
    assert [word for part in prose(path) for word in unwanted(part)] == []


def test_all_kinds_of_files_are_read():
    kinds = {path.suffix for path in FILES}
    assert kinds == {".md", ".jinja", ".ipynb", ".yaml", ".py", ".html"}
    assert len(FILES) > 400


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The optimiser initialises colours.", ["optimiser", "initialises", "colours"]),
        ("Greyscale, labelled, normalisation, summarised", ["Greyscale", "labelled", "normalisation", "summarised"]),
        ("Noise raises precision otherwise; lists, basis, consist, exists.", []),
        ("The keeper goes on anew and tells it.", ["keeper", "goes on", "anew", "tells"]),
        ("`tau_normalise` goes on the line", []),
    ],
)
def test_unwanted_words_are_found(text, found):
    assert sorted(unwanted(re.sub("`.*`", "", text))) == sorted(found)
