"""Names that a configuration gives to folders."""

from __future__ import annotations

import hashlib
import re


def folder_name(overrides: str) -> str:
    """A run's overrides as the name of one folder, easy on shells and file systems.

    Example:
        >>> folder_name("data.root=/home/me/photos,seed=1")
        'data.root-_home_me_photos_seed-1'
    """
    name = re.sub(r"[^\w.+-]", "_", overrides.replace("=", "-")) or "run"
    digest = hashlib.sha256(overrides.encode()).hexdigest()[:8]
    return name if len(name) <= 150 else f"{name[:140]}-{digest}"
