"""The names of the files in a run's folder, and how they are written."""

import os
from pathlib import Path

CONFIG_FILE = "config.yaml"
OVERRIDES_FILE = "overrides.yaml"
RESULT_FILE = "result.json"
LOG_FILE = "run.log"
LOCK_FILE = ".lock"


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all: to a temporary file beside it, to the disk, and renamed.

    One that says the same already is left alone.

    Args:
        path: the file; its folder must exist.
        text: what it is to say.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "config.yaml")
        >>> write_whole(path, "seed: 0")
        >>> path.read_text(), [file.name for file in path.parent.iterdir()]
        ('seed: 0', ['config.yaml'])
    """
    if path.is_file() and path.read_bytes() == text.encode():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def left_of_start(name: str) -> bool:
    """Whether a file is one that a run leaves behind if it is killed before it has begun, which ``config.yaml`` tells.

    Example:
        >>> left_of_start("run.log"), left_of_start(".config.yaml.4711"), left_of_start("config.yaml")
        (True, True, False)
    """
    begun = (CONFIG_FILE, OVERRIDES_FILE)
    return name in (LOG_FILE, LOCK_FILE, OVERRIDES_FILE) or name.startswith(tuple(f".{file}." for file in begun))
