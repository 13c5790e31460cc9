"""Write ``docs/evidence.md``, ``docs/open_on_top.md``, their figures and more from ``results/*.csv``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from evidence import figures, tables
from evidence.methods import SCHEMES
from evidence.study import Study
from oponm.data.which_method import EVEN, FEW, OFTEN
from oponm.report.tables import interval, percent

ROOT = Path(__file__).resolve().parents[1]
LONG, PAPER = "cifar10_long", "cifar10_paper"
VARIED = {
    "digits": "imbalance_ratio",
    "cifar10": "augmentation",
    LONG: "epochs",
    PAPER: "epochs",
    "wrn": "imbalance_ratio",
}
MARKED = re.compile(r"(?<=<!-- evidence -->\n).*?(?=<!-- /evidence -->)", re.DOTALL)


def read_studies(folder: Path = ROOT / "results") -> dict[str, Study]:
    """The studies whose table is there, by name; to the longer one belong the short runs that it is compared with."""
    files = {name: folder / f"{name}.csv" for name in VARIED}
    studies = {name: Study.read(file, VARIED[name]) for name, file in files.items() if file.is_file()}
    return studies | {LONG: studies[LONG].beside(studies["cifar10"])}


def read_schemes(folder: Path = ROOT / "results") -> Study:
    """The runs of the sweep ``open_on_top``."""
    return Study.read(folder / "open_on_top.csv", "imbalance_ratio")


def lengths(studies: dict[str, Study]) -> list[tuple[str, Study]]:
    """The lengths of training on photographs, in epochs, each with the study that has it.

    Args:
        studies: by name.
    """
    return [(epochs, studies[name]) for name in (LONG, PAPER) if name in studies for epochs in studies[name].conditions]


def document(studies: dict[str, Study]) -> str:
    """The text of ``docs/evidence.md``.

    Args:
        studies: by name.
    """
    return _render("evidence.md.jinja", {**studies, "lengths": lengths(studies)})


def guide(studies: dict[str, Study]) -> str:
    """The text of ``docs/which_method.md``.

    Args:
        studies: by name.
    """
    return _render("which_method.md.jinja", studies)


def on_top(study: Study) -> str:
    """The text of ``docs/open_on_top.md``.

    Args:
        study: the runs of the sweep ``open_on_top``.
    """
    found = {name: study.difference(f"{scheme}+open", scheme) for scheme, name in SCHEMES.items()}
    sides = {
        "better": [name for name, one in found.items() if one.low > 0],
        "worse": [name for name, one in found.items() if one.high < 0],
    }
    return _render("open_on_top.md.jinja", {"study": study, "schemes": len(found), **sides})


def readme(text: str, studies: dict[str, Study]) -> str:
    """The README with what it says of the study written again.

    Args:
        text: as it is.
        studies: by name.
    """
    return MARKED.sub(lambda _: _render("readme.md.jinja", studies), text)


def _render(template: str, studies: Mapping[str, Any]) -> str:
    text = Path(__file__).with_name(template).read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    names = {"d": _difference, "mean": _mean, "tables": tables, "even": EVEN, "few": FEW, "often": OFTEN}
    return environment.from_string(text).render({"wrn": None, PAPER: None, **studies, **names})


def _difference(study: Study, method: str, other: str, condition: str | None = None) -> str:
    """A difference as it stands in a sentence."""
    return interval(study.difference(method, other, condition))


def _mean(study: Study, method: str, condition: str, metric: str = "balanced_accuracy") -> str:
    """A method's accuracy as it stands in a sentence."""
    return percent(*study.mean_and_error(condition, method, metric))


def main() -> None:
    """Write everything."""
    studies, docs = read_studies(), ROOT / "docs"
    schemes = read_schemes()
    (docs / "open_on_top.md").write_text(on_top(schemes), encoding="utf-8")
    figures.on_top(schemes, docs / "open_on_top.png")
    (docs / "evidence.md").write_text(document(studies), encoding="utf-8")
    (docs / "which_method.md").write_text(guide(studies), encoding="utf-8")
    file = ROOT / "README.md"
    file.write_text(readme(file.read_text(encoding="utf-8"), studies), encoding="utf-8")
    figures.by_length(lengths(studies), docs / "evidence_length.png")
    for name, study in studies.items():
        if name not in (LONG, PAPER):
            figures.differences(study, docs / f"evidence_{name}.png")
        for condition in study.conditions[-1:] if name == LONG else study.conditions:  # the others are figures already
            figures.by_class(study, condition, docs / f"evidence_{name}_{condition}.png")


if __name__ == "__main__":
    main()
