"""The folder of a run: never that of one that has begun before, and gone again if the run never began."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from oponm.errors import InputError
from oponm.run_files import CONFIG_FILE, left_of_start


@contextmanager
def run_directory(config: DictConfig) -> Iterator[Path]:
    """Guard the folder that Hydra made for this run; in a sweep it is one below ``output_dir``, which then becomes it.

    Raises:
        InputError: if an earlier run is in it, and this one is not to go on with that.
    """
    if not config.output_dir:
        raise InputError("must name a folder", "output_dir")
    folder = Path(HydraConfig.get().runtime.output_dir)
    config.output_dir = str(folder)
    others = [path.name for path in folder.iterdir() if not left_of_start(path.name)]
    if others and not (config.get("resume") and (folder / CONFIG_FILE).is_file()):
        remedy = "choose an empty or new folder, delete it, or go on with its run by resume"
        raise InputError(f"{folder} holds {others[0]}: {remedy}", "output_dir")
    try:
        yield folder
    except BaseException:
        if not (folder / CONFIG_FILE).exists():  # the run had not begun
            _remove(folder)
        raise


def _remove(folder: Path) -> None:
    for handler in list(logging.getLogger().handlers):
        if isinstance(handler, logging.FileHandler):
            logging.getLogger().removeHandler(handler)
            handler.close()
    for file in folder.iterdir():
        if left_of_start(file.name):
            file.unlink(missing_ok=True)
    for parent in (folder, *folder.parents):
        if parent == Path.cwd() or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()
