"""The tests mirror the package: ``tests/x/test_y.py`` is of ``oponm/x/y.py``, and what spans modules stands here."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
ELSEWHERE = {
    "integration",
    "benchmarks",
    "evidence",
    "handbook",
    "notebooks",
}  # the last four are beside the package


def test_each_file_of_tests_is_named_for_a_module():
    package = ROOT / "oponm"
    modules = {path.relative_to(package).with_suffix("") for path in package.rglob("*.py")}
    modules |= {path.parent.relative_to(package) for path in package.rglob("__init__.py")}
    files = [path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")]
    named = {file: file.with_name(file.stem.removeprefix("test_")) for file in files if file.parts[0] not in ELSEWHERE}
    assert len(named) > 50
    assert [str(file) for file, module in named.items() if module not in modules] == []
