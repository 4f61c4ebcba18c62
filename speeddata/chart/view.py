"""Which part of an axis is looked at: its window, live or held, zoomed and scrolled; and the cursor in it.

A view is in the unit of its axis: int nanoseconds of a time, or another abscissa's floating-point number.
Its ranges lie on whole dot columns, so that a picture that moves does not shimmer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from speeddata.timerange import SECOND_NS

X = int | float

_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800)
SPANS_NS = (
    *(digit * 10**power for power in range(3, 9) for digit in (1, 2, 5)),  # from a microsecond on
    *(seconds * SECOND_NS for seconds in _SECONDS),
    *(days * 86400 * SECOND_NS for days in (14, 28, 91, 182, 365, 730, 1826, 3652)),
)
LEAST_SPAN = 1e-12
MOST_SPAN = 1e300


@dataclass
class View:
    """The window [end - span, end) of one axis.

    Attributes:
        span: of the window; None = all there is, for an axis whose extent nobody knows beforehand.
        end: where it is held; None = at the newest.
        cursor: where the cursor stands; None = there is none.
        is_time: int nanoseconds; else floating-point numbers.
    """

    span: X | None
    end: X | None = None
    cursor: X | None = None
    is_time: bool = True

    @property
    def live(self) -> bool:
        return self.end is None

    def range(self, first: X, last: X, dots: int) -> tuple[X, X]:
        """The window on whole dot columns: [begin, end), *dots* of them.

        Args:
            first: the oldest that there is.
            last: the newest, or the present.
            dots: columns, at least 1.
        """
        end = last if self.end is None else self.end
        width = self.width(first, last)
        if self.is_time:
            dot = max(1, -(-int(width) // dots))
            stop = -(-int(end) // dot) * dot
            return stop - dot * dots, stop
        step = max(width / dots, abs(end) * 1e-15, LEAST_SPAN)
        edge = math.ceil(end / step) * step
        return edge - step * dots, edge

    def width(self, first: X, last: X) -> X:
        """The span, with what stands for it while it is all there is."""
        if self.span is not None:
            return self.span
        return max(last - first, 1 if self.is_time else LEAST_SPAN)

    def hold(self, last: X) -> None:
        """Stay here while the data goes on."""
        if self.end is None:
            self.end = last

    def go_live(self) -> None:
        """Go with the newest."""
        self.end = None

    def scroll(self, part: float, first: X, last: X) -> None:
        """Move by *part* of the window, into the past where negative; at the newest it goes live again."""
        self.shift(self._x(part * self.width(first, last)), first, last)

    def shift(self, by: X, first: X, last: X) -> None:
        """Move by *by*, of the axis, as `scroll` does."""
        held = self.end
        self._place((last if held is None else held) + self._x(by), first, last)
        if by < 0 and self.end is None:  # there is nothing older: no reason to go on
            self.end = held

    def centre(self, x: X, first: X, last: X) -> None:
        """Hold the window with *x* in its middle."""
        self._place(x + self._x(self.width(first, last) / 2), first, last)

    def show(self, x: X, first: X, last: X) -> None:
        """Scroll so far that *x* is in the window; not at all if it is."""
        width, end = self.width(first, last), last if self.end is None else self.end
        if not end - width <= x < end:
            self.centre(x, first, last)

    def to_oldest(self, first: X, last: X) -> None:
        """Hold the window where the data begins."""
        held = self.end
        self._place(first, first, last)
        self.end = held if self.end is None else self.end

    def zoom(self, steps: int, first: X, last: X, at: X | None = None) -> None:
        """Make the window *steps* sizes wider, or narrower where negative.

        The newest keeps its place while live, else *at* does, and without that the middle.
        """
        width = self.width(first, last)
        self._resize(_sized(width, steps, SPANS_NS if self.is_time else None), first, last, at)

    def stretch(self, factor: float, first: X, last: X, at: X) -> None:
        """Make the window *factor* times as long; as `zoom`."""
        least, most = (SPANS_NS[0], SPANS_NS[-1]) if self.is_time else (LEAST_SPAN, MOST_SPAN)
        self._resize(self._x(min(max(self.width(first, last) * factor, least), most)), first, last, at)

    def _resize(self, span: X, first: X, last: X, at: X | None) -> None:
        width, end = self.width(first, last), last if self.end is None else self.end
        self.span = span
        if self.end is None:
            return
        at = end - self._x(width / 2) if at is None else at
        from_end = (end - at) / width if width else 0.0
        self._place(at + self._x(from_end * self.span), first, last)
        if self.end is None:  # what is held stays held, however much is seen
            self.end = last

    def move_cursor(self, dots: int, first: X, last: X, columns: int) -> None:
        """Move the cursor by so many dot columns, the window with it; out of sight it comes to the middle."""
        begin, end = self.range(first, last, columns)
        if self.cursor is None or not begin <= self.cursor < end:
            self.cursor = begin + self._x((end - begin) / 2)
        else:
            self.cursor += self._x(dots * ((end - begin) / columns))
        self.cursor = min(max(self.cursor, first), last) if first <= last else self.cursor
        if not begin <= self.cursor < end:
            self.show(self.cursor, first, last)

    def _place(self, end: X, first: X, last: X) -> None:
        end = max(end, min(first + self.width(first, last), last))
        self.end = None if end >= last else end

    def _x(self, value: float) -> X:
        return round(value) if self.is_time else value


def _sized(width: X, steps: int, sizes: tuple[int, ...] | None) -> X:
    """The size that is *steps* away from *width* among *sizes*; None: 1, 2, 5 of every power of ten."""
    if sizes is None:
        width = min(max(width, LEAST_SPAN), MOST_SPAN)
        power = math.floor(math.log10(width)) - 1
        near = [digit * 10.0 ** (power + each) for each in range(-1, 4) for digit in (1, 2, 5)]
        slack = 1e-9 * width
    else:
        near, slack = list(sizes), 0
    for _ in range(abs(steps)):
        if steps > 0:
            width = next((size for size in near if size > width + slack), near[-1])
        else:
            width = next((size for size in reversed(near) if size < width - slack), near[0])
    return width
