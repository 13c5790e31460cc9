"""A run that ends at a signal says what it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig

from oponm.errors import InputError
from oponm.signals import AtOnce, Stopped


@contextmanager
def ending_at_signals(config: DictConfig) -> Iterator[None]:
    """Let signals end what is done inside, and look up what the run has kept by then.

    Args:
        config: of the run; its ``output_dir`` is the run's folder by the time that anything is kept.

    Raises:
        Stopped: at a signal, with the step of the run's last checkpoint.
    """
    try:
        with AtOnce():
            yield
    except Stopped as stopped:
        if stopped.step is None:
            stopped.step = kept_step(Path(config.output_dir))
        raise


def kept_step(folder: Path) -> int | None:
    """The step of the last checkpoint in a run's folder; None if there is none that can be read.

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
