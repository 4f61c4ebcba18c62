"""Axes: round numbers to put beside a chart, and a range of values that does not jump about."""

from __future__ import annotations

import math
from fractions import Fraction

from speeddata.chart.timescale import exact_time, time_ticks

__all__ = ["Autoscale", "exact_time", "tick_text", "time_ticks", "value_ticks"]

_PLAIN = (1e-4, 1e6)  # beyond these, numbers are written with an exponent
_MOST_EXPONENT = 330  # of ten: beyond all doubles

_LARGEST = math.nextafter(math.inf, 0)

_MARGIN = 0.05  # of the span, beyond the values
_PATIENCE = 20  # updates in a row in which less than half of the range was used
_CONSTANT = 0.1  # of a constant value, to both sides


def value_ticks(low: float, high: float, most: int) -> list[float]:
    """At most *most* round values within [low, high], ascending: multiples of 1, 2 or 5 times a power of ten.

    None where *low* or *high* are not finite, or in disorder.
    """
    if not (math.isfinite(low) and math.isfinite(high)) or low > high or most < 1:
        return []
    if low == high:
        return [float(low)]
    begin, end = Fraction(repr(float(low))), Fraction(repr(float(high)))  # 0.1 is meant where 0.1 is written
    exponent = max(-_MOST_EXPONENT, math.floor(_log10((end - begin) / most)))
    while True:
        for digit in (1, 2, 5):
            step = digit * Fraction(10) ** exponent
            first, last = math.ceil(begin / step), math.floor(end / step)
            if last - first < most:
                # the quotient of integers is the double nearest to the round number
                ticks = (number * step for number in range(first, last + 1))
                return list(dict.fromkeys(tick.numerator / tick.denominator for tick in ticks))
        exponent += 1


def _log10(value: Fraction) -> float:
    return math.log10(value.numerator) - math.log10(value.denominator)


def tick_text(value: float, step: float) -> str:
    """*value* with as many digits as ticks that are *step* apart need to differ."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    size = math.floor(math.log10(abs(value)))
    finest = math.floor(math.log10(step)) if 0 < step < math.inf else size
    if (abs(value) < _PLAIN[1] or (finest < 0 and abs(value) < _PLAIN[1] * 1e3)) and 10.0**finest >= _PLAIN[
        0
    ]:
        return f"{value:.{max(0, -finest)}f}"
    mantissa, _, exponent = f"{value:.{min(16, max(0, size - finest))}e}".partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


class Autoscale:
    """The range of a value axis. It grows at once, and shrinks once less than half of it is used for a while.

    Args:
        low, high: fixed ends; None: follows the values.
    """

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        self._range = (0.0, 1.0)
        self._seen: tuple[float, float] | None = None  # since more than half was used
        self._idle = 0
        self._begun = False
        self.fix(low, high)

    @property
    def range(self) -> tuple[float, float]:
        """Low and high, always finite, low below high."""
        return self._range

    @property
    def fixed(self) -> bool:
        """Whether an end is fixed."""
        return self._low is not None or self._high is not None

    def fix(self, low: float | None, high: float | None) -> None:
        """Fix the ends that are given, the others follow the values.

        Raises:
            ValueError: one is not finite, or *low* is not below *high*.
        """
        for end in (low, high):
            if end is not None and not math.isfinite(end):
                raise ValueError(f"a range that ends at {end}")
        if low is not None and high is not None and low >= high:
            raise ValueError(f"the range [{low}, {high}]")
        self._low, self._high = low, high
        self._set(*self._range)

    def update(self, low: float, high: float) -> tuple[float, float]:
        """The range for values from *low* to *high*; what is not finite, or in disorder, changes nothing."""
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            return self._range
        if not self._begun:
            self._begun = True
            self._set(*_widened(low, high))
            return self._range
        begin, end = self._range
        if low < begin or high > end:
            wide = _widened(min(low, begin), max(high, end))
            self._set(wide[0] if low < begin else begin, wide[1] if high > end else end)
            self._rest()
        elif high / 2 - low / 2 >= (end / 2 - begin / 2) / 2:
            self._rest()
        else:
            seen = self._seen or (low, high)
            self._seen = (min(low, seen[0]), max(high, seen[1]))
            self._idle += 1
            if self._idle >= _PATIENCE:
                self._set(*_widened(*self._seen))
                self._rest()
        return self._range

    def _rest(self) -> None:
        self._idle, self._seen = 0, None

    def _set(self, low: float, high: float) -> None:
        if self._low is not None:
            low = self._low
            high = high if high > low else _widened(low, low)[1]
        if self._high is not None:
            high = self._high
            low = low if low < high else _widened(high, high)[0]
        self._range = (low, high)


def _widened(low: float, high: float) -> tuple[float, float]:
    """The range with a margin on both sides; never empty, never beyond what a double holds."""
    margin = max(2 * _MARGIN * (high / 2 - low / 2), math.ulp(low), math.ulp(high))
    if low == high:
        margin = max(abs(low) * _CONSTANT, math.ulp(low)) if low else 1.0
    return max(low - margin, -_LARGEST), min(high + margin, _LARGEST)
