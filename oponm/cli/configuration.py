"""Names that a configuration gives to folders."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

_tries = 1  # at the folder that is taken now


def folder_name(overrides: str) -> str:
    """A run's overrides as the name of one folder, easy on shells and file systems.

    Example:
        >>> folder_name("data.root=/home/me/photos,seed=1")
        'data.root-_home_me_photos_seed-1'
    """
    name = re.sub(r"[^\w.+-]", "_", overrides.replace("=", "-")) or "run"
    digest = hashlib.sha256(overrides.encode()).hexdigest()[:8]
    return name if len(name) <= 150 else f"{name[:140]}-{digest}"


def register_resolvers() -> None:
    """Make what the config files use known to OmegaConf, in this process."""
    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    # As the time is, it is remembered in a config, and in those of the jobs of a sweep.
    OmegaConf.register_new_resolver("again", lambda: "" if _tries == 1 else f"-{_tries}", replace=True, use_cache=True)


def take_folder(config: DictConfig) -> None:
    """Make the folder that is named by the time, under a name that no other run has taken in the same second.

    One that a setting names is left to whoever runs in it.

    Args:
        config: of the run or sweep; ``output_dir`` is that of the folder taken from now on.
    """
    global _tries
    if "${again:}" not in str(OmegaConf.to_container(config, resolve=False)["output_dir"]):  # type: ignore[index, call-overload]
        return
    _tries = 1
    while True:
        folder = Path(config.output_dir)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            _tries += 1
            OmegaConf.clear_cache(config)
            continue
        except OSError:  # which whoever runs in it will meet, and say
            pass
        return
