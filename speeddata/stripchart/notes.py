"""What the rooms below have to say while the picture has the screen: notes that the app shows one by one."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from speeddata.legible import printable

_MOST = 20


class Notes(logging.Handler):
    """Keeps what is told until somebody takes it; safe to use from any thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: deque[str] = deque(maxlen=_MOST)

    def emit(self, record: logging.LogRecord) -> None:
        self._told.append(printable(record.getMessage()))

    def take(self) -> str | None:
        """The oldest note that was not taken yet."""
        return self._told.popleft() if self._told else None


@contextmanager
def noting() -> Iterator[Notes]:
    """In place of standard error, which is part of the screen, for as long as the context lasts."""
    logger = logging.getLogger("speeddata")
    notes, before = Notes(), list(logger.handlers)
    logger.handlers[:] = [notes]
    try:
        yield notes
    finally:
        logger.handlers[:] = before
