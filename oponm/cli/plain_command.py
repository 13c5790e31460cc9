"""Composes commands that take settings and file names and make no run folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from oponm.configs import CONF_DIR
from oponm.errors import InputError, check_path
from oponm.run_files import checkpoint_of


def composed(command: str, overrides: Sequence[str]) -> DictConfig:
    """Compose ``conf/COMMAND.yaml`` with overrides, and let the program log its warnings on the terminal.

    Args:
        command: name of the command.
        overrides: in Hydra's grammar.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose(command, list(overrides))


def compose_command(command: str, arguments: Sequence[str]) -> tuple[DictConfig, list[str]]:
    """Compose ``conf/COMMAND.yaml`` with overrides.

    Args:
        command: name of the command.
        arguments: ``key=value`` for keys of that file, with values in Hydra's grammar, except for the paths
            ``checkpoint`` and ``output``, which are literal; and file names, which may contain ``=`` if they exist.

    Returns:
        The config, and the file names.

    Raises:
        InputError: for an unknown setting.

    Example:
        >>> config, files = compose_command("predict", ["checkpoint=runs (new)/a=1.ckpt", "photos", "format=json"])
        >>> config.checkpoint, config.output, files
        ('runs (new)/a=1.ckpt', 'predictions.json', ['photos'])
    """
    known = OmegaConf.load(CONF_DIR / f"{command}.yaml")
    files, overrides, paths = [], [], {}
    for argument in arguments:
        check_path("a file name", argument)
        key, equals, value = argument.partition("=")
        if not equals or (key not in known and Path(argument).exists()):
            files.append(argument)
        elif key in ("checkpoint", "output"):
            if not value:
                raise InputError("must name a file", key)
            path = Path(value).expanduser()
            paths[key] = str(checkpoint_of(path) if key == "checkpoint" else path)
        else:
            if key not in known:
                close = get_close_matches(key, [str(name) for name in known], n=1)
                meant = f": did you mean {close[0]}?" if close else f"; settings are {', '.join(map(str, known))}"
                raise InputError(f"is no setting of oponm {command}{meant}", key)
            overrides.append(argument)
    config = composed(command, overrides)
    for key, value in paths.items():
        OmegaConf.update(config, key, value.replace("${", "\\${"))
    return config, files
