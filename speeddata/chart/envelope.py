"""Envelopes: what a chart draws of a signal, the extent of its samples in each dot column of a range.

However many samples lie in a column, its lowest and its highest are seen: no spike is ever hidden.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Abscissa = int | float  # nanoseconds since 1970 as int where it is a time, else its own number as float
Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Bits of `Entries.flags`: a gap before the first finite sample, infinities, a gap in the middle of a bucket.
GAP, ABOVE, BELOW, HOLE = 1, 2, 4, 8

_FARTHEST = 2**63 - 1  # what an int64 can be compared with


@dataclass(frozen=True)
class Envelope:
    """One signal over equal dot columns of [begin, end).

    All arrays are of shape (columns,).

    Attributes:
        begin, end: the range, nanoseconds or the abscissa's own number.
        low, high: of the finite samples in each column; NaN where there is none.
        first, last: the earliest and the latest of them.
        gap: between the sample before the column's first one and that one there is a gap: no line joins them.
            A sample that is null, NaN or infinite is a gap, too.
        before, after: the nearest samples outside the range, (abscissa, value), where a line joins them with
            the nearest one inside; or with each other, where none is inside.
        infinite: an infinity lies in the column: shown at the edge.
        above, below: whether it is positive or negative; None where that is not known.
    """

    begin: Abscissa
    end: Abscissa
    low: Values
    high: Values
    first: Values
    last: Values
    gap: Flags
    before: tuple[Abscissa, float] | None
    after: tuple[Abscissa, float] | None
    infinite: Flags
    above: Flags | None = None
    below: Flags | None = None

    @property
    def columns(self) -> int:
        return len(self.low)


class Entries(NamedTuple):
    """Samples of one signal, or buckets of neighbouring ones, in the order of the abscissa.

    Arrays of shape (n,). *begin* and *end* are where a bucket's first and last sample lie. The values are of
    its finite samples, NaN where it has none.
    """

    begin: NDArray[Any]
    end: NDArray[Any]
    low: Values
    high: Values
    first: Values
    last: Values
    flags: NDArray[np.uint8]

    def taken(self, rows: slice | Flags) -> Entries:
        """Those of *rows*."""
        ends = self.begin[rows], self.end[rows]
        return Entries(
            *ends, self.low[rows], self.high[rows], self.first[rows], self.last[rows], self.flags[rows]
        )


def envelope(
    x: NDArray[Any],
    values: NDArray[Any],
    begin: Abscissa,
    end: Abscissa,
    columns: int,
    *,
    gap_over: Abscissa | None = None,
) -> Envelope:
    """The envelope of samples, exactly.

    Args:
        x: their abscissa, ascending, int64 or float64, shape (n,).
        values: numbers, shape (n,); null as NaN.
        begin, end, columns: the range and how many equal columns it is cut into.
        gap_over: samples that are farther apart than this are not joined.

    Raises:
        ValueError: no columns, or a range that ends before it begins.
    """
    start, stop = (int(each) for each in np.searchsorted(x, _comparable(x.dtype, begin, end)))
    first, beyond = max(start - 1, 0), min(stop + 1, len(x))
    gaps = np.zeros(beyond - first, np.bool_)
    if gap_over is not None:
        gaps[1:] = np.diff(x[first:beyond]) > gap_over
    entries = samples(x[first:beyond], values[first:beyond].astype(np.float64, copy=False), gaps)
    return condensed(entries, start - first, stop - first, begin, end, columns)


def nothing(begin: Abscissa, end: Abscissa, columns: int) -> Envelope:
    """The envelope of no samples.

    Raises:
        ValueError: no columns, or a range that ends before it begins.
    """
    if columns < 1 or not end > begin:
        raise ValueError(f"{columns} columns of [{begin}, {end})")
    low, high, first, last = (np.full(columns, np.nan) for _ in range(4))
    gap, infinite, above, below = (np.zeros(columns, np.bool_) for _ in range(4))
    return Envelope(begin, end, low, high, first, last, gap, None, None, infinite, above, below)


def merged(a: Envelope, b: Envelope, *, gap_over: Abscissa | None = None) -> Envelope:
    """The envelope of the samples of both, of which *a* has the earlier ones: an archive's, say.

    Args:
        a, b: of the same range and columns.
        gap_over: where the last of *a* and the first of *b* are surely farther apart, no line joins them.

    Raises:
        ValueError: they are of different ranges or columns.
    """
    if (a.begin, a.end, a.columns) != (b.begin, b.end, b.columns):
        raise ValueError("envelopes of different ranges")
    in_a, in_b = ~np.isnan(a.low), ~np.isnan(b.low)
    gap = np.where(in_a, a.gap, b.gap)
    if gap_over is not None and in_a.any() and in_b.any():
        last, first = int(np.flatnonzero(in_a)[-1]), int(in_b.argmax())
        # wherever in their columns they lie: those between are empty
        gap[first] |= (first - last - 1) * (a.end - a.begin) / a.columns > gap_over
    return Envelope(
        a.begin,
        a.end,
        low=np.fmin(a.low, b.low),
        high=np.fmax(a.high, b.high),
        first=np.where(in_a, a.first, b.first),
        last=np.where(in_b, b.last, a.last),
        gap=gap,
        before=a.before if in_a.any() or a.before is not None else b.before,
        after=b.after if in_b.any() or b.after is not None else a.after,
        infinite=a.infinite | b.infinite,
        above=None if a.above is None or b.above is None else a.above | b.above,
        below=None if a.below is None or b.below is None else a.below | b.below,
    )


def edges(dtype: np.dtype[Any] | type[Any], begin: Abscissa, end: Abscissa, columns: int) -> NDArray[Any]:
    """Where each column begins and the last one ends, as something to compare with abscissas of *dtype*.

    Of integers these are the least that lie in the column. Shape (columns + 1,).
    """
    found: NDArray[Any]
    steps = np.arange(columns + 1)
    if np.dtype(dtype).kind == "f":
        found = begin * (1 - steps / columns) + end * (steps / columns)
        return found
    low, high = _comparable(np.dtype(dtype), begin, end).tolist()
    width, rest = divmod(high - low, columns)
    if high - low > _FARTHEST:  # too far apart for the arithmetic of int64
        return np.array([low - -(high - low) * step // columns for step in steps.tolist()], np.int64)
    found = low + steps * width + (steps * rest + columns - 1) // columns
    return found


def _comparable(dtype: np.dtype[Any], begin: Abscissa, end: Abscissa) -> NDArray[Any]:
    if dtype.kind == "f":
        return np.array([begin, end], np.float64)
    return np.array([max(-_FARTHEST, min(_FARTHEST, -int(-each // 1))) for each in (begin, end)], np.int64)


def samples(x: NDArray[Any], values: Values, gaps: Flags) -> Entries:
    """An entry for each sample; *gaps*: between it and the one before it there is a gap."""
    flags = gaps.view(np.uint8)
    finite = np.isfinite(values)
    if not finite.all():
        flags = gaps.astype(np.uint8)
        flags[1:] |= ~finite[:-1]
        flags[values == np.inf] |= ABOVE
        flags[values == -np.inf] |= BELOW
        values = np.where(finite, values, np.nan)
    return Entries(x, x, values, values, values, values, flags)


def condensed(
    entries: Entries,
    start: int,
    stop: int,
    begin: Abscissa,
    end: Abscissa,
    columns: int,
) -> Envelope:
    """The envelope of the entries *start* to *stop* (exclusive); before and behind those there may be one.

    An entry belongs to the column in which it begins. One that is wider than a column is drawn in every
    column that it touches; with a hole in it, in the first and in the last of them.

    Raises:
        ValueError: no columns, or a range that ends before it begins.
    """
    found = nothing(begin, end, columns)
    bounds = edges(entries.begin.dtype, begin, end, columns)
    before, after = _neighbours(entries, start, stop)
    within = entries.taken(slice(start, stop))
    infinite = _infinities(found, within, bounds)
    _fill(found, within, bounds)
    if entries.end is not entries.begin:
        _spread(found, within, bounds)
    return Envelope(
        begin,
        end,
        found.low,
        found.high,
        found.first,
        found.last,
        found.gap,
        before,
        after,
        infinite,
        found.above,
        found.below,
    )


def _fill(found: Envelope, entries: Entries, bounds: NDArray[Any]) -> None:
    starts = _starts(entries, bounds)
    filled = np.flatnonzero(starts[1:] > starts[:-1])
    if not len(filled):
        return
    heads = starts[filled]
    low, high = np.minimum.reduceat(entries.low, heads), np.maximum.reduceat(entries.high, heads)
    if np.isnan(low).any():  # some entries have no finite sample
        there = ~np.isnan(entries.low)
        if there.any():
            _fill(found, entries.taken(there), bounds)
        return
    found.low[filled], found.high[filled] = low, high
    found.first[filled] = entries.first[heads]
    found.last[filled] = entries.last[starts[filled + 1] - 1]
    found.gap[filled] = entries.flags[heads] & GAP


def _starts(entries: Entries, bounds: NDArray[Any]) -> NDArray[np.int64]:
    starts = np.searchsorted(entries.begin, bounds)
    starts[0], starts[-1] = 0, len(entries.begin)  # a bucket may begin before the range
    return starts


def _infinities(found: Envelope, entries: Entries, bounds: NDArray[Any]) -> Flags:
    rows = np.flatnonzero(entries.flags & (ABOVE | BELOW))
    if not len(rows):
        return found.infinite
    assert found.above is not None
    assert found.below is not None
    begun = rows, _columns_of(entries.begin[rows], bounds)
    for each, columns in (begun, _behind(found, entries, rows, bounds)):
        flags = entries.flags[each]
        found.above[columns[flags & ABOVE > 0]] = True
        found.below[columns[flags & BELOW > 0]] = True
    return found.above | found.below


def _columns_of(x: NDArray[Any], bounds: NDArray[Any]) -> NDArray[np.int64]:
    """In which column each of *x* lies; what is outside counts for the nearest."""
    found: NDArray[np.int64] = np.clip(np.searchsorted(bounds, x, "right") - 1, 0, len(bounds) - 2)
    return found


def _spread(found: Envelope, entries: Entries, bounds: NDArray[Any]) -> None:
    """Draw the wide ones of *entries* also behind the column in which they begin."""
    rows, columns = _behind(found, entries, np.flatnonzero(~np.isnan(entries.low)), bounds)
    if not len(rows):
        return
    np.fmin.at(found.low, columns, entries.low[rows])
    np.fmax.at(found.high, columns, entries.high[rows])
    for ends in (found.first, found.last):
        empty = np.isnan(ends[columns])
        ends[columns[empty]] = entries.last[rows[empty]]
    found.gap[columns[entries.flags[rows] & HOLE > 0]] = True


def _behind(
    found: Envelope, entries: Entries, rows: NDArray[np.int64], bounds: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The columns, other than the one in which they begin, where wide ones of *rows* are drawn.

    Returns:
        Rows, each as often as it is drawn, and the columns; of an entry with a hole only its last column.
    """
    rows = rows[entries.end[rows] - entries.begin[rows] > (found.end - found.begin) / found.columns]
    left, right = _columns_of(entries.begin[rows], bounds), _columns_of(entries.end[rows], bounds)
    holed = entries.flags[rows] & HOLE > 0
    left[holed] = np.maximum(left, right - 1)[holed]
    widths = right - left
    steps = np.arange(int(widths.sum())) - np.repeat(np.cumsum(widths) - widths, widths)
    return np.repeat(rows, widths), np.repeat(left, widths) + steps + 1


def _neighbours(
    entries: Entries, start: int, stop: int
) -> tuple[tuple[Abscissa, float] | None, tuple[Abscissa, float] | None]:
    """The entries before and behind [start, stop) that a line joins with what is next to them."""
    there = ~np.isnan(entries.low)
    inside = there[start:stop]
    any_inside = bool(inside.any())
    before = after = None
    if start > 0 and there[start - 1]:
        following = start + int(inside.argmax()) if any_inside else stop
        if following < len(there) and there[following] and not entries.flags[following] & GAP:
            before = (entries.end[start - 1].item(), float(entries.last[start - 1]))
    if (
        stop < len(there)
        and there[stop]
        and not entries.flags[stop] & GAP
        and (any_inside or before is not None)
    ):
        after = (entries.begin[stop].item(), float(entries.first[stop]))
    return before, after
