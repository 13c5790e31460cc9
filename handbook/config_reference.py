"""The reference of all config keys, from the files in ``conf/`` and their comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

CONF = Path(__file__).resolve().parents[1] / "conf"
COMMANDS = ("train", "eval", "predict", "export")
SHOWN_WHOLE = ("debug", "experiment", "hparams_search", "method", "sweep")  # their files set keys of other groups
HIDDEN = {"defaults", "hydra", "_partial_"}
INTRODUCTION = """# Config keys

Every key, its default and its meaning, as the files in `conf/` have them. `oponm train --cfg job` prints a run's.
A choice is made by `group=choice`, a key is set by `group.key=value`: `oponm train noise=uniform noise.delta=0.5`.
"""


@dataclass
class Entry:
    """A key of a file: its dotted name, its default as written, and its comment."""

    key: str
    default: str
    meaning: str


@dataclass
class ConfigFile:
    """What a config file says: its first comment, the class it makes, its keys, and the files it is based on."""

    about: str = ""
    target: str = ""
    bases: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


def read_config(path: Path) -> ConfigFile:
    """Read a file with its comments.

    Args:
        path: of a file in ``conf/``.

    Example:
        >>> read_config(CONF / "noise/uniform.yaml").about
        'Uniform pixels, independent of the training set.'
        >>> read_config(CONF / "norm/dar.yaml").entries[1].meaning
        'how far gradients of noise rows reach: none, input, full'
    """
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    above = [line[2:] for line in _leading_comments(lines) if "@package" not in line]
    found = ConfigFile(" ".join(above))
    root = yaml.compose(text)
    for key, value in root.value if isinstance(root, yaml.MappingNode) else []:
        if key.value == "defaults":
            items = [item.value for item in value.value if isinstance(item, yaml.ScalarNode)]
            found.bases = [item.partition("@")[0] for item in items if item != "_self_"]
        elif key.value == "_target_":
            found.target = value.value
        elif key.value not in HIDDEN:
            found.entries += _entries(key, value, lines)
    for entry in found.entries:
        if entry.key == "data._target_":
            found.target = entry.default
        elif entry.key.endswith("._target_"):
            entry.meaning = entry.meaning or "the class that it is made of"
    found.entries = [entry for entry in found.entries if entry.key != "data._target_"]
    return found


def _leading_comments(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("#"):
            return
        yield line


def _entries(key: yaml.Node, value: yaml.Node, lines: list[str], above: str = "") -> Iterator[Entry]:
    name = above + key.value
    if isinstance(value, yaml.MappingNode) and not value.flow_style:
        for inner, content in value.value:
            yield from _entries(inner, content, lines, f"{name}.")
    else:
        end = value.end_mark
        default = _written(value, lines)
        yield Entry(name, default, _comment(lines, key.start_mark.line if value.start_mark == end else end.line, end))


def _written(value: yaml.Node, lines: list[str]) -> str:
    start, end = value.start_mark, value.end_mark
    if start.line == end.line:
        return lines[start.line][start.column : end.column]
    return " ".join(line.partition(" #")[0].strip() for line in lines[start.line : end.line])


def _comment(lines: list[str], number: int, end: yaml.Mark) -> str:
    """The comment after a value, and on the indented lines below that continue it."""
    parts = []
    if number < len(lines):
        _, mark, rest = lines[number][end.column if end.line == number else 0 :].partition("# ")
        parts += [rest] if mark else []
        for line in lines[number + 1 :]:
            if not (parts and re.match(r" +# ", line)):
                break
            parts.append(line.partition("# ")[2])
    return " ".join(parts)


def meanings(path: Path) -> dict[str, str]:
    """The meaning of each key of a file; a key without a comment has that of the files it is based on.

    Args:
        path: of a file in ``conf/``.

    Example:
        >>> meanings(CONF / "schedule/step.yaml")["gamma"]
        'factor of the rate at each milestone'
    """
    config, found = read_config(path), dict[str, str]()
    for base in config.bases:
        inherited = path.parent / f"{base}.yaml"
        found |= meanings(inherited) if inherited.is_file() else {}
    prefix = f"{path.parent.name}."
    for entry in config.entries:
        key = entry.key.removeprefix(prefix)
        found[key] = entry.meaning or found.get(key, "")
    return found


def config_reference() -> str:
    """The page, as Markdown."""
    parts = [INTRODUCTION]
    for command in COMMANDS:
        parts += [f"\n## oponm {command}\n", *_section(CONF / f"{command}.yaml")]
    for folder in sorted(path for path in CONF.iterdir() if path.is_dir()):
        files = sorted(folder.rglob("*.yaml"), key=lambda file: (not file.stem.startswith("_"), str(file)))
        parts.append(f"\n## {folder.name}\n")
        for file in files:
            name = file.relative_to(folder).with_suffix("").as_posix()
            title = f": {name[1:]} (shared)" if file.stem.startswith("_") else f"={name}"
            parts.append(f"\n### {folder.name}{title}\n")
            parts += _whole(file) if folder.name in SHOWN_WHOLE else _section(file)
    return "\n".join(parts) + "\n"


def _section(file: Path) -> Iterator[str]:
    config, meaning = read_config(file), meanings(file)
    yield f"{config.about}\n"
    if config.target not in ("", "???"):
        yield f"Makes `{config.target}`.\n"
    inherited = [base for base in config.bases if (file.parent / f"{base}.yaml").is_file()]
    if inherited:
        above = "oponm " if file.parent == CONF else f"{file.parent.name}="
        names = (base.lstrip("_") if base.startswith("_") else f"{above}{base}" for base in inherited)
        yield f"It also has the keys of {', '.join(f'`{name}`' for name in names)}.\n"
    if config.entries:
        yield "| key | default | meaning |\n|---|---|---|"
        prefix = "" if file.parent == CONF else f"{file.parent.name}."
        for entry in config.entries:
            key = entry.key if file.parent == CONF or entry.key.startswith(("trainer.", prefix)) else prefix + entry.key
            default = f"`{entry.default}`" if entry.default else ""
            yield f"| `{key}` | {default} | {_cell(meaning[entry.key.removeprefix(prefix)])} |"
        yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("{", "&#123;")  # braces would be attributes


def _whole(file: Path) -> Iterator[str]:
    """A file whose point is its content: its first comment, and the rest as it stands."""
    lines = file.read_text(encoding="utf-8").splitlines()
    body = "\n".join(lines[len(list(_leading_comments(lines))) :]).strip()
    yield f"{read_config(file).about}\n"
    if body:
        yield f"```yaml\n{body}\n```\n"
