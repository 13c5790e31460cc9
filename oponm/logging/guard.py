"""Turns errors of a dashboard into warnings, so that the run continues."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def never_stopping(what: str, then: str = "the run continues without it") -> Iterator[None]:
    """Context manager that turns an error of its block into the warning "WHAT: MESSAGE (TYPE OF ERROR); THEN".

    Args:
        what: what failed, such as ``"dashboard"``.
        then: what happens next.

    Example:
        >>> with never_stopping("wandb"):
        ...     raise TimeoutError("no answer")
    """
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        log.warning("%s: %s (%s); %s", what, reason or "failed", type(error).__name__, then)
