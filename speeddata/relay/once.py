"""What the network can repeat for ever is told once: it must not fill a log."""

from __future__ import annotations

import logging

_LIMIT = 1024  # different things

log = logging.getLogger("speeddata")


class Once:
    """Tells each thing once, and at the end that it tells no more."""

    def __init__(self) -> None:
        self._told: set[tuple[object, ...]] = set()

    def tell(self, key: tuple[object, ...], level: int, text: str) -> None:
        """Say *text*, but not again for the same *key*."""
        if key in self._told or len(self._told) > _LIMIT:
            return
        self._told.add(key)
        if len(self._told) > _LIMIT:
            log.warning("more than %d notes about what arrives; no more are told", _LIMIT)
        else:
            log.log(level, "%s", text)
