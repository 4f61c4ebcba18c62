"""Samples drawn together, neighbours with neighbours: what a picture needs of millions, a piece at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speeddata.chart.abscissas import Axis
from speeddata.chart.envelope import ABOVE, BELOW, GAP, Abscissa, Entries, Envelope, condensed, nothing
from speeddata.chart.sums import Sums

OPEN = 16  # bit of `Entries.flags`, beside those of `envelope`: the last sample of it is not finite


class Summary:
    """What groups of samples tell of a signal, each under a number; kept as far as it was worked out."""

    def __init__(self, axis: Axis) -> None:
        self.gap_over: Abscissa | None = None
        place = np.int64 if axis == "time" else np.float64
        dtypes = (place, place, np.float64, np.float64, np.float64, np.float64, np.uint8)
        self._known = np.zeros(0, np.bool_)
        self._entries = Entries._make(np.zeros(0, dtype) for dtype in dtypes)
        self._summed = np.zeros(0, np.bool_)
        self._counts, self._means = np.zeros(0, np.uint32), np.zeros(0)

    def __len__(self) -> int:
        return len(self._known)

    def fit(self, count: int) -> None:
        """There are *count* groups now."""
        if count < len(self._known):  # they were counted anew
            self._known, self._summed = self._known[:0], self._summed[:0]
        more = count - len(self._known)
        if more or len(self._entries.low) != count:
            kept = count - more

            def fitted(array: NDArray[Any]) -> NDArray[Any]:
                return np.append(array[:kept], np.zeros(more, array.dtype))

            self._known, self._summed = fitted(self._known), fitted(self._summed)
            self._counts, self._means = fitted(self._counts), fitted(self._means)
            self._entries = Entries._make(map(fitted, self._entries))

    def tell(self, numbers: NDArray[np.int64], entries: Entries, gap_over: Abscissa | None) -> None:
        """What the groups *numbers* tell, and what distance of their samples is a gap."""
        self._known[numbers] = True
        pairs: Iterator[tuple[NDArray[Any], NDArray[Any]]] = zip(self._entries, entries, strict=True)
        for kept, found in pairs:
            kept[numbers] = found
        if gap_over is not None:
            self.gap_over = gap_over

    def tell_sums(self, numbers: NDArray[np.int64], sums: Sums) -> None:
        """What the samples of the groups *numbers* come to, in whatever order they are."""
        self._summed[numbers] = True
        self._counts[numbers], self._means[numbers] = sums.counts, sums.means
        self._entries.low[numbers], self._entries.high[numbers] = sums.lows, sums.highs

    def runs(self, first: int, last: int, widest: float) -> Iterator[tuple[int, int, bool]]:
        """Runs of the groups *first* to *last* (exclusive): whether all of one are known and no wider."""
        widths = self._entries.end[first:last] - self._entries.begin[first:last]
        return _runs(first, self._known[first:last] & (widths <= widest))

    def runs_summed(self, first: int, chosen: NDArray[np.bool_]) -> Iterator[tuple[int, int, bool]]:
        """Runs of as many groups from *first* on: whether the sums of all of one are known, and *chosen*."""
        return _runs(first, self._summed[first : first + len(chosen)] & chosen)

    def entries(self, first: int, last: int) -> Entries:
        """The groups *first* to *last* (exclusive), all known."""
        return Entries._make(each[first:last] for each in self._entries)

    def sums(self, first: int, last: int) -> Sums:
        """The same of what their samples come to."""
        here = slice(first, last)
        return Sums(self._counts[here], self._means[here], self._entries.low[here], self._entries.high[here])


def _runs(first: int, told: NDArray[np.bool_]) -> Iterator[tuple[int, int, bool]]:
    cuts = [0, *(np.flatnonzero(told[1:] != told[:-1]) + 1).tolist(), len(told)]
    for start, stop in itertools.pairwise(cuts):
        yield first + start, first + stop, bool(told[start])


def grouped(entries: Entries, heads: NDArray[np.int64]) -> Entries:
    """An entry for each group of neighbours, exact in what it tells of them.

    Args:
        entries: single samples, in the order of the abscissa, shape (n,).
        heads: index of the first of each group, ascending from 0 on; none where there are no samples.
    """
    count = len(entries.low)
    if not len(heads):
        return Entries._make(each[:0] for each in entries)
    tails = np.append(heads[1:], count) - 1
    finite = ~np.isnan(entries.low)
    if finite.all():
        flags = entries.flags[heads] & GAP
        low, high = np.minimum.reduceat(entries.low, heads), np.maximum.reduceat(entries.high, heads)
        first, last = entries.first[heads], entries.last[tails]
    else:
        rows = np.arange(count)
        earliest = np.minimum.reduceat(np.where(finite, rows, count), heads)
        latest = np.maximum.reduceat(np.where(finite, rows, -1), heads)
        there = latest >= 0
        low, high = np.fmin.reduceat(entries.low, heads), np.fmax.reduceat(entries.high, heads)
        first = np.where(there, entries.first[earliest.clip(max=count - 1)], np.nan)
        last = np.where(there, entries.last[latest], np.nan)
        flags = np.where(there, entries.flags[earliest.clip(max=count - 1)] & GAP, GAP)
        flags |= np.bitwise_or.reduceat(entries.flags & (ABOVE | BELOW), heads)
        flags = flags | np.where(finite[tails], 0, OPEN)
    return Entries(
        entries.begin[heads], entries.end[tails], low, high, first, last, flags.astype(np.uint8, copy=False)
    )


def by_column(x: NDArray[Any], bounds: NDArray[Any]) -> NDArray[np.int64]:
    """Where groups of *x* begin so that each lies in one of the columns that *bounds* part, or outside."""
    columns = np.searchsorted(bounds, x, "right")
    return np.flatnonzero(np.append(True, columns[1:] != columns[:-1])) if len(x) else columns


def pictured(
    parts: Sequence[Entries], begin: Abscissa, end: Abscissa, columns: int, gap_over: Abscissa | None
) -> Envelope:
    """The envelope of groups that were read piece by piece, in any order.

    Args:
        parts: what `grouped` gave; each group in one column, or much smaller than one.
        begin, end, columns: the range and how many equal columns it is cut into.
        gap_over: samples that are farther apart than this are not joined.
    """
    parts = [part for part in parts if len(part.low)]
    if not parts:
        return nothing(begin, end, columns)
    entries = Entries._make(np.concatenate(each) for each in zip(*parts, strict=True))
    if (entries.begin[1:] < entries.begin[:-1]).any():
        order = np.argsort(entries.begin, kind="stable")
        entries = Entries._make(each[order] for each in entries)
    apart = entries.flags[:-1] & OPEN > 0
    if gap_over is not None:
        apart |= entries.begin[1:] - entries.end[:-1] > gap_over
    entries.flags[1:] |= np.where(apart, GAP, 0).astype(np.uint8)
    start = int(np.searchsorted(entries.end, begin))
    stop = max(start, int(np.searchsorted(entries.begin, end)))
    first, beyond = max(start - 1, 0), min(stop + 1, len(entries.low))
    near = Entries._make(each[first:beyond] for each in entries)
    return condensed(near, start - first, stop - first, begin, end, columns)
