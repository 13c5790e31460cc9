"""Turns the arguments of a command into a config: quotes paths for Hydra's grammar, sorts options, composes."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from oponm.configs import CONF_DIR, read_settings
from oponm.errors import InputError, check_path
from oponm.run_files import checkpoint_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

_PATHS = (
    *("checkpoint", "folder", "data.root", "data.lists", "data.draw", "data.pack", "model.weights"),
    *("data.split", "data.table"),
    *("output_dir", "phase_cache", "resume", "logger.csv.save_dir", "logger.tensorboard.save_dir"),
)
_TEXTS = ("data.groups",)  # of characters that have a meaning in Hydra's grammar
_TAKING = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--cfg", "-c", "--package", "-p")
_PLAIN = re.compile(r"[A-Za-z0-9_./:+@%?|-]+")


def quote_paths(arguments: Sequence[str]) -> list[str]:
    """Quote the values of paths, and of the regular expression ``data.groups``, that have special characters for Hydra.

    A value of ``output_dir`` is always taken as one path. Values of other path settings are quoted only if the path
    exists: ``data.draw=ldam,m2m`` remains a list, unless there is a file of that name.

    Args:
        arguments: arguments of a command, such as ``key=value``.

    Raises:
        InputError: for an empty path setting.

    Example:
        >>> quote_paths(["output_dir=runs (new)/a=1", "data.draw=ldam,m2m"])
        ['output_dir="runs (new)/a=1"', 'data.draw=ldam,m2m']
    """
    return [_quote(argument) for argument in arguments]


def options_first(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate Hydra's options, with their values, from the overrides.

    Hydra's parser accepts overrides only in one group, without options between them.

    Args:
        arguments: options and overrides in any order.

    Returns:
        The options, and the overrides, each in order.

    Example:
        >>> options_first(["seed=1", "--config-dir", "mine", "model=net", "-m", "--info"])
        (['--config-dir', 'mine', '-m', '--info'], ['seed=1', 'model=net'])
    """
    options, overrides, remaining = list[str](), list[str](), list(arguments)
    while remaining:
        argument = remaining.pop(0)
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        options.append(argument)
        takes = argument in _TAKING or (argument in ("--info", "-i") and remaining[:1] and "=" not in remaining[0])
        if takes and remaining and not remaining[0].startswith("-"):
            options.append(remaining.pop(0))
    return options, overrides


def composed(command: str, overrides: Sequence[str]) -> DictConfig:
    """Compose ``conf/COMMAND.yaml`` with overrides, and set up Python's logging to print warnings on the terminal.

    Args:
        command: name of the command.
        overrides: ``key=value`` in Hydra's grammar. Paths need no quotes: this function adds them.
    """
    from hydra import compose, initialize_config_dir

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose(command, quote_paths(overrides))


def compose_command(command: str, arguments: Sequence[str]) -> tuple[DictConfig, list[str]]:
    """Compose ``conf/COMMAND.yaml`` with overrides.

    Args:
        command: name of the command.
        arguments: file names, and ``key=value`` for keys of that config file. Values are in Hydra's grammar, except for
            the paths ``checkpoint`` and ``output``, which are literal. An argument with ``=`` is taken as a file name
            if its key is unknown and the file exists.

    Returns:
        The config, and the file names.

    Raises:
        InputError: for an unknown key.

    Example:
        >>> config, files = compose_command("predict", ["checkpoint=runs (new)/a=1.ckpt", "photos", "format=json"])
        >>> config.checkpoint, config.output, files
        ('runs (new)/a=1.ckpt', 'predictions.json', ['photos'])
    """
    known = read_settings(CONF_DIR / f"{command}.yaml")
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
                close = get_close_matches(key, known, n=1)
                meant = f": did you mean {close[0]}?" if close else f"; settings are {', '.join(known)}"
                raise InputError(f"is no setting of oponm {command}{meant}", key)
            overrides.append(argument)
    config = composed(command, overrides)
    for key, value in paths.items():
        config[key] = value.replace("${", "\\${")
    return config, files


def _quote(argument: str) -> str:
    key, equals, value = argument.partition("=")
    if key in _TEXTS and value not in ("", "null") and value[:1] not in "\"'":
        return f"{key}={in_quotes(value)}"
    if equals and key.lstrip("+") in _PATHS and not key.startswith("~"):
        check_path(key.lstrip("+"), value.strip("\"'"))
    if key in _PATHS and value.startswith("~"):
        value = str(Path(value).expanduser())
        argument = f"{key}={value}"
    is_path = key in _PATHS and (key == "output_dir" or (value != "" and Path(value).expanduser().exists()))
    if not is_path or _PLAIN.fullmatch(value) or value[:1] in "\"'" or "${" in value:
        return argument
    return f"{key}{equals}{in_quotes(value)}"


def in_quotes(value: str) -> str:
    """Quote a value as one text in Hydra's grammar.

    Example:
        >>> in_quotes("two, or three")
        '"two, or three"'
    """
    # In Hydra's quotes a backslash is literal, unless quotes follow.
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', re.sub(r"(\\+)$", r"\1\1", value))
    return f'"{escaped}"'
