"""When each datum is due: by a rate, or by the datums' own abscissa. The clock belongs to the caller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BURST_NS = 1_000_000  # datums due within this of one another leave together: no timer is finer


class ByRate:
    """Datum i is due i / *rate_hz* after the first: exact however long it runs, since nothing adds up.

    At high rates datums leave in bursts of equal size, one a millisecond, which the kernel sends as trains.
    """

    def __init__(self, rate_hz: float) -> None:
        if not rate_hz > 0:
            raise ValueError(f"rate {rate_hz} is not above 0")
        self.rate_hz = rate_hz
        self.burst = max(1, round(rate_hz * BURST_NS / 1e9))
        self._sent = 0

    def bursts(self, count: int) -> Iterator[tuple[int, int, int]]:
        """Cut the next *count* datums into bursts: (first, end, due), in ns after the first datum of all."""
        first = 0
        while first < count:
            into_burst = self._sent % self.burst
            end = min(count, first + self.burst - into_burst)
            yield first, end, round((self._sent - into_burst) / self.rate_hz * 1e9)
            self._sent += end - first
            first = end


class ByAbscissa:
    """Datums are due as far apart as their abscissa says, *speed* times as fast.

    A step back, as where a recording begins again, is no wait: the pace goes on from the new time.
    """

    def __init__(self, speed: float, tick_ns: int) -> None:
        if not speed > 0:
            raise ValueError(f"speed {speed} is not above 0")
        self._ns_a_tick = tick_ns / speed
        self._latest: float | None = None  # abscissa of the datum last sent, in ticks
        self._due_ticks = 0.0  # of the same, since the first one

    def bursts(self, abscissa: NDArray[np.int64] | NDArray[np.float64]) -> Iterator[tuple[int, int, int]]:
        """Cut datums with this *abscissa*, shape (n,), into bursts: (first, end, due)."""
        if not len(abscissa):
            return
        start = abscissa[0] if self._latest is None else self._latest
        steps = np.diff(abscissa, prepend=abscissa.dtype.type(start)).astype(np.float64)
        steps[~(steps > 0)] = 0.0  # also NaN
        due = self._due_ticks + np.cumsum(steps)
        self._latest, self._due_ticks = abscissa[-1], float(due[-1])
        due_ns = np.rint(due * self._ns_a_tick).astype(np.int64)
        slots = due_ns // BURST_NS
        edges = np.flatnonzero(np.diff(slots)) + 1
        first = 0
        for end in [*edges.tolist(), len(due_ns)]:
            yield first, end, int(due_ns[first])
            first = end
