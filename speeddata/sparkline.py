"""The last samples of a signal as a line of little bars; no spike in them goes unseen."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BARS = "▁▂▃▄▅▆▇█"


class Sparkline:
    """Keeps as many columns as are shown, each of *samples* samples.

    A column shows its value furthest from the usual one, the median, so that no spike goes unseen.

    Args:
        columns: width in characters.
        samples: samples a column, at least 1.
    """

    def __init__(self, columns: int, samples: int) -> None:
        self._samples = max(1, samples)
        self._spans: deque[tuple[float, float]] = deque(maxlen=columns)
        self._pending: NDArray[Any] = np.empty(0)

    def add(self, values: NDArray[Any]) -> None:
        """Take more samples, shape (n,)."""
        values = np.concatenate((self._pending, values.astype(np.float64)))
        whole = len(values) // self._samples * self._samples
        for column in values[:whole].reshape(-1, self._samples):
            finite = column[np.isfinite(column)]
            if len(finite):
                self._spans.append((float(finite.min()), float(finite.max())))
        self._pending = values[whole:]

    def __str__(self) -> str:
        if not self._spans:
            return ""
        low = min(least for least, _ in self._spans)
        high = max(greatest for _, greatest in self._spans)
        usual = median(least / 2 + greatest / 2 for least, greatest in self._spans)
        shown = [greatest if greatest - usual >= usual - least else least for least, greatest in self._spans]
        span = high / 2 - low / 2  # halves: the whole may be more than a double holds
        return "".join(
            _BARS[round((value / 2 - low / 2) / span * (len(_BARS) - 1)) if span else 0] for value in shown
        )
