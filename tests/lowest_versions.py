"""Print the lowest versions that ``pyproject.toml`` allows, as constraints of pip: ``make test-lowest``."""

from __future__ import annotations

import re
from pathlib import Path


def lowest_versions(project: str) -> list[str]:
    """A line for each dependency that has a lower bound, those of extras included."""
    dependencies = project[project.index("dependencies = [") : project.index("[project.scripts]")]
    return sorted({f"{name}=={version}" for name, version in re.findall(r'"([\w-]+)>=([\d.]+)', dependencies)})


if __name__ == "__main__":
    print("\n".join(lowest_versions(Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))))
