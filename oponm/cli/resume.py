"""``resume=RUN_DIR`` and ``resume=auto``: go on with a run that ended early, or leave one that is done alone."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

from oponm.errors import InputError
from oponm.run_files import CONFIG_FILE, OVERRIDES_FILE

AUTO = "auto"


def with_overrides_of_run(arguments: list[str]) -> list[str]:
    """Complete ``resume=RUN_DIR`` by what the run had been told.

    Args:
        arguments: of the command.

    Raises:
        InputError: if the folder holds no run, or the resumption of one run is swept over.
    """
    given = [argument.partition("=")[2] for argument in arguments if argument.startswith("resume=")]
    if not given or given[-1] in (AUTO, "null", ""):
        return arguments
    folder = Path(given[-1]).expanduser()
    if {"-m", "--multirun"} & set(arguments):
        raise InputError("names one run: to go on with a sweep, take resume=auto and the sweep's output_dir", "resume")
    overrides = read_overrides(folder / OVERRIDES_FILE)
    if not (folder / CONFIG_FILE).is_file() or overrides is None:
        raise InputError(f"{folder} holds no run ({CONFIG_FILE} and {OVERRIDES_FILE})", "resume")
    kept = [override for override in overrides if not override.startswith(("resume=", "output_dir=", "sweep="))]
    return [*kept, *arguments, f"output_dir={folder.resolve()}"]


def read_overrides(file: Path) -> list[str] | None:
    """The overrides that a run had been given, or None if there is no such file."""
    return [str(override) for override in OmegaConf.load(file)] if file.is_file() else None
