"""Where the config files are."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# Beside the package in a checkout, inside it once installed as a wheel.
CONF_DIR = next(folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir())


def folder_name(overrides: str) -> str:
    """A run's overrides as the name of one folder, easy on shells and file systems.

    Example:
        >>> folder_name("data.root=/home/me/photos,seed=1")
        'data.root-_home_me_photos_seed-1'
    """
    name = re.sub(r"[^\w.+-]", "_", overrides.replace("=", "-")) or "run"
    digest = hashlib.sha256(overrides.encode()).hexdigest()[:8]
    return name if len(name) <= 150 else f"{name[:140]}-{digest}"


def groups() -> dict[str, list[str]]:
    """The config groups and the choices of each, read off the tree of config files.

    Example:
        >>> groups()["norm"]
        ['aux', 'dar', 'standard']
    """
    return {
        folder.name: sorted(
            file.relative_to(folder).with_suffix("").as_posix()
            for file in folder.rglob("*.yaml")
            if not file.stem.startswith("_")
        )
        for folder in sorted(CONF_DIR.iterdir())
        if folder.is_dir()
    }
