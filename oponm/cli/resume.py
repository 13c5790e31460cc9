"""``resume=RUN_DIR`` and ``resume=auto``: resume an unfinished run; a finished one is left as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oponm.cli.recorded import Recorded, read_recorded
from oponm.errors import InputError
from oponm.run_files import CONFIG_FILE, OVERRIDES_FILE

AUTO = "auto"


def resumed_run(arguments: Sequence[str]) -> tuple[Recorded, list[str]]:
    """The run that ``resume=RUN_DIR`` names; an empty record if there is no such argument.

    Args:
        arguments: arguments of the command.

    Returns:
        The record of its folder; and the arguments, with the folder added.

    Raises:
        InputError: if the folder holds no run, or if ``resume`` names one run in a sweep.
    """
    given = [argument.partition("=")[2] for argument in arguments if argument.startswith("resume=")]
    if not given or given[-1] in (AUTO, "null", ""):
        return Recorded(), list(arguments)
    folder = Path(given[-1]).expanduser()
    if {"-m", "--multirun"} & set(arguments):
        raise InputError("names one run: to resume a sweep, take resume=auto and the sweep's output_dir", "resume")
    if not all((folder / name).is_file() for name in (CONFIG_FILE, OVERRIDES_FILE)):
        raise InputError(f"{folder} holds no run ({CONFIG_FILE} and {OVERRIDES_FILE})", "resume")
    return read_recorded(folder, "resume"), [*arguments, f"output_dir={folder.resolve()}"]
