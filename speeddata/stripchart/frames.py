"""When the next picture is drawn: at most 20 a second, fewer if that takes long or the terminal is slow."""

from __future__ import annotations

import time
from collections import deque

MOST_HZ = 20.0
_SHARE = 0.6  # of the time at most for drawing: the rest is for keys
_WAITING = 2  # writes the terminal has not taken yet: beyond that no more are made


class Frames:
    """Measures frames, and says how long to wait for the next one."""

    def __init__(self) -> None:
        self.drawn = 0
        self._begun = 0.0
        self._moments: deque[float] = deque(maxlen=40)
        self.spent_s = 0.0  # in the last frame

    def begin(self) -> None:
        """A frame is made from now on."""
        self._begun = time.perf_counter()

    def end(self, *, drew: bool) -> float:
        """The frame is made; the seconds to wait before the next one."""
        now = time.perf_counter()
        spent = now - self._begun
        if drew:
            self.drawn += 1
            self.spent_s = spent
            self._moments.append(now)
        return max(1 / MOST_HZ - spent, spent * (1 - _SHARE) / _SHARE)

    @property
    def rate_hz(self) -> float:
        """Frames a second, lately."""
        if len(self._moments) < 2:
            return 0.0
        return (len(self._moments) - 1) / max(self._moments[-1] - self._moments[0], 1e-9)


def is_behind(driver: object) -> bool:
    """Whether the terminal has not yet taken what was written to it: then the next picture waits."""
    # Textual does not say; its queue of writes does
    queue = getattr(getattr(driver, "_writer_thread", None), "_queue", None)
    return queue is not None and queue.qsize() > _WAITING
