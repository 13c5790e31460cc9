"""Prints bad input as one line on standard error, with exit code 2; ``OPONM_DEBUG=1`` shows the traceback."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from oponm.cli.config import in_quotes
from oponm.cli.requeue import requeue
from oponm.configs import groups
from oponm.errors import BAD_INPUT, InputError
from oponm.known_settings import lightnings_options
from oponm.nearest import did_you_mean
from oponm.renamed import SETTINGS
from oponm.signals import SIGNALED, Stopped

__all__ = ["BAD_INPUT", "SIGNALED", "explain", "is_bad_input", "one_line_errors"]

ROOM = "make room, and run the command again"


@contextmanager
def one_line_errors(full: str = ROOM) -> Iterator[None]:
    """Catch errors that the user can correct, print them in one line, and exit.

    Args:
        full: text of the remedy that the error names if the disk is full.

    It catches :class:`~oponm.errors.InputError`, errors of files, and the errors of Hydra and OmegaConf about configs
    and overrides. Any other exception is a bug, and keeps its traceback.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra passes its errors on instead of printing them
    try:
        yield
    except KeyboardInterrupt:
        print("oponm: interrupted", file=sys.stderr)
        sys.exit(SIGNALED + signal.SIGINT)
    except ChildProcessError as error:
        print(f"oponm: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if not is_bad_input(error) or os.environ.get("OPONM_DEBUG") == "1":
            raise
        print(f"oponm: {_in_one_line(error, full)}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except Stopped as stopped:
        print(f"oponm: {stopped}{_kept(stopped.step)}", file=sys.stderr)
        requeue(stopped.signal)
        sys.exit(SIGNALED + stopped.signal)


def _kept(step: int | None) -> str:
    if step is None:
        return " before its first checkpoint: nothing is kept"
    return f" with a checkpoint of step {step}: resume=RUN_DIR resumes from it"


def is_bad_input(error: BaseException) -> bool:
    """Whether the user can correct an error: in settings, overrides, or a file that cannot be used."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if _file_error(error) is not error:
        return True
    expected = (InputError, HydraException, OmegaConfBaseException, YAMLError)
    return _at_file(error) or _full(error) or isinstance(error, expected)


def _file_error(error: BaseException) -> BaseException:
    """The file error that made a library refuse its configuration; else the error itself."""
    cause = error.__cause__
    return cause if isinstance(error, ValueError) and cause is not None and _at_file(cause) else error


def explain(error: BaseException, full: str = ROOM) -> str:
    """Return the reason why a job failed, in one line.

    For an unexpected exception (a bug), the line begins with the name of its class.

    Args:
        error: the exception that ended the job.
        full: text of the remedy that the line names if the disk is full.
    """
    if isinstance(error, Exception) and is_bad_input(error):
        return _in_one_line(error, full)
    text = " ".join(str(error).split())
    expected = isinstance(error, (ChildProcessError, Stopped))
    return text if expected else f"{type(error).__name__}: {text}"


def _at_file(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.filename is not None and error.strerror is not None


def _full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _in_one_line(error: BaseException, full: str) -> str:
    error = error if isinstance(error, InputError) else _file_error(error)
    if _full(error):
        return f"a file could not be written ({os.strerror(error.errno)}): {full}"  # type: ignore[attr-defined]
    if _at_file(error):
        return f"{error.filename}: {error.strerror}"  # type: ignore[attr-defined]
    if mark := getattr(error, "problem_mark", None):  # of YAML
        return f"{mark.name}, line {mark.line + 1}: is no YAML ({getattr(error, 'problem', '')}); correct it"
    text = re.sub(r"\s*\n\s*", " ", str(error).strip())
    text = re.sub(r"^Caught .* Original Traceback .*InputError: ", "", text)  # from a decoding process
    text = re.sub(r" See https?://\S+ for details", "", text)
    if override := getattr(error, "override", None):
        return f"{override} cannot be read as key=value: {text}{_how_to_quote(override)}"
    if ambiguous := re.match(r"Ambiguous value for argument '(.*?)' 1\. ", text):
        return f"{ambiguous[1]} names several values, which takes -m, a sweep{_how_to_quote(ambiguous[1])}"
    text = re.sub(r" full_key: (\S+) object_type=\S+", r" (\1)", text)
    text = re.sub(r" ?Config search path:.*", "", text)
    text = re.sub(r"^In '[^']*': ", "", text)
    text = re.sub(r" Available options in '[^']*':", ": choose one of", text)
    text = re.sub(r" _[a-z_]+(?= |$)", "", text)  # files shared by choices are no choices
    text = re.sub(r"Missing mandatory value: (\S+)( \((\S+)\))?", _must_be_given, text)
    if "${output_dir}" in text and "'None'" in text:
        return "output_dir must name a folder"
    missing = re.match(r"Could not find '([^'/]+)/([^']+)'", text)
    if missing and missing[1] in groups():
        return _no_choice(*missing.groups())
    if unknown := re.match(r"Could not override '([^']*)'", text):
        return _no_setting(unknown[1])
    text = re.sub(r"\.? To append to your config use \S+", "; 'oponm train --cfg job' lists the keys", text)
    return text.replace(".;", ";")


def old_experiment(choice: str) -> str | None:
    """Return the arguments that replace an experiment of an earlier version; None if no version had it.

    Args:
        choice: former name of the experiment, ``<table>/<method>``.

    Example:
        >>> old_experiment("cifar10_lt_ir100/drs"), old_experiment("digits_lt/open"), old_experiment("nothing/open")
        ('experiment=cifar10_lt_ir100 method=drs', 'method=open', None)
    """
    table, _, method = choice.partition("/")
    if method not in groups()["method"]:
        return None
    if table in ("digits_lt", "study"):
        return f"method={method}"
    return f"experiment={table} method={method}" if table in groups()["experiment"] else None


def _must_be_given(found: re.Match[str]) -> str:
    """That a value is missing, by its full key where the message has one."""
    key = found[3] or found[1]
    return f"{key} must be given: {key}=..."


def _no_choice(group: str, choice: str) -> str:
    """Why a group has no such choice, and which it has."""
    if group == "experiment" and (now := old_experiment(choice)):
        return f"experiment={choice} is now {now}"
    known = groups()[group]
    if group == "data" and Path(choice).is_dir():
        return f"data={choice} is a folder: data=image_folder data.root={choice}"
    close = get_close_matches(choice, known, n=1)
    meant = f"did you mean {group}={close[0]}? " if close else ""
    return f"{group}={choice} is no choice; {meant}{group} is one of {', '.join(known)}"


def _no_setting(key: str) -> str:
    """Why a key is no setting, and which may be meant."""
    group, _, option = key.rpartition(".")
    if key in SETTINGS:
        return f"{key} is now {SETTINGS[key]}"
    if group == "trainer" and option in lightnings_options():
        return f"{key} is an option of Lightning's that the config does not hold yet: +{key}=... adds it"
    if group == "hydra.sweeper":
        return f"{key} is no setting of the chosen sweeper: hydra/sweeper=rows has rows, hparams_search=optuna others"
    if key == "data.root":
        return "data.root is no setting of the chosen data: data=image_folder data.root=... has it"
    meant = did_you_mean(key)
    return f"{key} is no setting{meant or ';'} 'oponm train --cfg job' lists the keys"


def _how_to_quote(override: str) -> str:
    """How to write an override whose value contains special characters of Hydra's grammar."""
    key, equals, value = override.partition("=")
    return f"; as one text it is {shlex.quote(f'{key}={in_quotes(value)}')}" if equals else ""


def kept_step(folder: Path) -> int | None:
    """The step of the last checkpoint in a run's folder; None if there is no readable one.

    Example:
        >>> kept_step(Path("nowhere"))
    """
    file = folder / "checkpoints/last.ckpt"
    if not file.is_file():
        return None
    from oponm.training.weights import load_state

    try:
        return int(load_state(file)["global_step"])
    except InputError:
        return None
