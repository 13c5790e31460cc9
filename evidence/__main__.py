"""Write ``docs/evidence.md``, its figures and the README's table anew from ``results/*.csv``."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2

from evidence import figures, tables
from evidence.methods import BASELINE, METHODS, README
from evidence.study import Study
from oponm.report.table import interval, percent

ROOT = Path(__file__).resolve().parents[1]
VARIED = {"digits": "imbalance_ratio", "cifar10": "augmentation", "wrn": "imbalance_ratio"}
MARKED = re.compile(r"(?<=<!-- evidence -->\n).*?(?=<!-- /evidence -->)", re.DOTALL)


def read_studies(folder: Path = ROOT / "results") -> dict[str, Study]:
    """The studies whose table is there, by name."""
    files = {name: folder / f"{name}.csv" for name in VARIED}
    return {name: Study.read(file, VARIED[name]) for name, file in files.items() if file.is_file()}


def document(studies: dict[str, Study]) -> str:
    """The text of ``docs/evidence.md``.

    Args:
        studies: by name.
    """
    template = Path(__file__).with_name("evidence.md.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    names = {"percent": percent, "interval": interval, "methods": METHODS, "baseline": BASELINE, "tables": tables}
    return environment.from_string(template).render({"wrn": None, **studies, **names})


def readme_table(study: Study) -> str:
    """The README's results table: the first condition of the photographs.

    Args:
        study: the runs.
    """
    return tables.results(study, study.conditions[0], README)


def readme(text: str, studies: dict[str, Study]) -> str:
    """The README with its table made anew.

    Args:
        text: as it is.
        studies: by name.
    """
    return MARKED.sub(lambda _: f"{readme_table(studies['cifar10'])}\n", text)


def main() -> None:
    """Write everything."""
    studies, docs = read_studies(), ROOT / "docs"
    (docs / "evidence.md").write_text(document(studies), encoding="utf-8")
    file = ROOT / "README.md"
    file.write_text(readme(file.read_text(encoding="utf-8"), studies), encoding="utf-8")
    for name, study in studies.items():
        figures.differences(study, docs / f"evidence_{name}.png")
        for condition in study.conditions:
            figures.by_class(study, condition, docs / f"evidence_{name}_{condition}.png")


if __name__ == "__main__":
    main()
