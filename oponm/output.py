"""Keeps a run alive if standard output or error can no longer be written, as when a terminal or pipe is closed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

log = logging.getLogger(__name__)


class Unfailing:
    """A text stream that drops text which can no longer be written.

    When a pipe closes, rich ends the program and ``print`` raises; here one warning is logged and the work continues.

    Args:
        stream: standard output or error.
        name: name of the stream, for the warning.

    Example:
        >>> import io
        >>> closed = io.StringIO()
        >>> closed.close()
        >>> print("nobody reads this", file=Unfailing(closed, "standard output"))
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self.stream, self.name, self.gone = stream, name, False

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        self._try(lambda: self.stream.write(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts, or drop them."""
        self._try(lambda: self.stream.writelines(lines))

    def flush(self) -> None:
        """Write the buffer, or drop it."""
        self._try(self.stream.flush)

    def _try(self, write: Callable[[], object]) -> None:
        if self.gone:
            return
        try:
            write()
        except (OSError, ValueError) as error:  # ValueError: the file has been closed
            self.gone = True
            _into_nothing(self.stream)
            log.warning("%s cannot be written (%s): the run continues without it", self.name, error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def unfailing_output() -> Iterator[None]:
    """Let neither ``sys.stdout`` nor ``sys.stderr`` fail inside the block, even if one was closed from the start."""
    before = sys.stdout, sys.stderr
    outer = isinstance(sys.stdout, Unfailing)
    if not outer:
        for name, text in (("stdout", "standard output"), ("stderr", "standard error")):
            stream = getattr(sys, name) or open(os.devnull, "w")  # noqa: SIM115 (for the whole block)
            setattr(sys, name, Unfailing(stream, text))
    try:
        yield
    finally:
        if not outer:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = before


def _into_nothing(stream: TextIO) -> None:
    """Discard the buffer, and everything that is written to the same descriptor."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
    except (OSError, ValueError, AttributeError):
        pass
