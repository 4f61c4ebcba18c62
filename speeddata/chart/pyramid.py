"""Samples of all numeric signals of a channel in little memory: the newest ones, and buckets of older ones.

Above the samples stand levels of buckets, each of sixteen of the level below, with their extent, mean and
ends. Long ranges are read from few buckets, and what has left the lower levels lives on in the upper ones: it
is seen less sharply, but no spike of it is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speeddata.chart import sums
from speeddata.chart.envelope import ABOVE, BELOW, GAP, HOLE, Abscissa, Entries, samples
from speeddata.chart.readings import Statistics
from speeddata.chart.sums import Sums
from speeddata.chart.tail import SLACK, Arrays, Tail

FACTOR = 16  # children in a bucket
_SHARES = (0.4, 0.3, 0.15, 0.08, 0.07)  # of the memory: samples, and each level of buckets above them
_LEAST = 4 * FACTOR  # rows of a level, however many signals there are
_TOGETHER = 256  # samples that become buckets in one go: few NumPy calls for many small batches

TOP = len(_SHARES) - 1
_EXTENTS = ("low", "high", "first", "last")


class Part(NamedTuple):
    """Rows *first* to *end* (exclusive) of a level; level 0 are samples."""

    level: int
    first: int
    end: int


class Pyramid:
    """Samples of *width* signals as float64, in the order of the abscissa, and buckets of them.

    Args:
        width: numeric signals.
        exact: signals that are kept as int64 beside, since float64 does not hold all of theirs.
        dtype: of the abscissa, int64 or float64.
        limit_bytes: what all arrays together take at most; a few hundred rows of each signal in any case.

    Attributes:
        levels: of samples (x, gap, values, exact), then of buckets (begin, end, gap, hole, low, high, first,
            last, mean, count, flags). Row n of a level is made of rows 16 n to 16 n + 15 of the one below.
    """

    def __init__(self, width: int, exact: int, dtype: str, limit_bytes: int) -> None:
        kinds: list[dict[str, tuple[str, int | None]]] = [
            {"x": (dtype, None), "gap": ("?", None), "values": ("f8", width), "exact": ("i8", exact)}
        ]
        bucket: dict[str, tuple[str, int | None]] = {
            **dict.fromkeys(("begin", "end"), (dtype, None)),
            **dict.fromkeys(("gap", "hole"), ("?", None)),
            **dict.fromkeys((*_EXTENTS, "mean"), ("f8", width)),
            "count": ("u4", width),
            "flags": ("u1", width),
        }
        kinds += [bucket] * TOP
        self.levels = []
        for share, kind in zip(_SHARES, kinds, strict=True):
            row = sum(np.dtype(form).itemsize * (1 if many is None else many) for form, many in kind.values())
            rows = int(share * limit_bytes / row * SLACK / (SLACK + 1)) - FACTOR
            self.levels.append(Tail(max(_LEAST, rows), FACTOR, kind))
        self._waiting = min(_TOGETHER, self.levels[0].capacity // 4)

    @property
    def first(self) -> Abscissa | None:
        """The oldest abscissa still known."""
        begins = [_item(level["begin" if number else "x"][0]) for number, level in self._filled()]
        return min(begins, default=None)

    @property
    def last(self) -> Abscissa | None:
        """The newest abscissa."""
        ends = [_item(level["end" if number else "x"][-1]) for number, level in self._filled()]
        return max(ends, default=None)

    def _filled(self) -> Iterator[tuple[int, Tail]]:
        return ((number, level) for number, level in enumerate(self.levels) if len(level))

    # -- growing --------------------------------------------------------------------------------------------

    def grown(self, count: int) -> Arrays:
        """Add *count* samples, at most `levels[0].room`; they come back to be written to, then `settle`."""
        return self.levels[0].grown(count)

    def settle(self) -> None:
        """Make buckets of the samples that are enough for some."""
        raw, above = self.levels[0], self.levels[1]
        if raw.total - above.total * FACTOR < self._waiting:
            return
        for below, above in zip(self.levels, self.levels[1:], strict=False):
            while (count := min(below.total // FACTOR - above.total, above.room)) > 0:
                first, end = above.total * FACTOR, (above.total + count) * FACTOR
                made = _of_samples(below, first, end) if below is raw else _of_buckets(below.rows(first, end))
                for name, array in above.grown(count).items():
                    array[...] = made[name]

    def cut(self, x: Abscissa) -> None:
        """Forget what lies at *x* or behind it."""
        ends = [self.levels[0]["x"], *(level["end"] for level in self.levels[1:])]
        kept = [
            level.base + int(np.searchsorted(end, x)) for level, end in zip(self.levels, ends, strict=True)
        ]
        self.levels[TOP].cut(kept[TOP])
        for number in range(TOP - 1, -1, -1):
            level, least = self.levels[number], self.levels[number + 1].total * FACTOR
            # what the next bucket above is to be made of has to be here from its beginning on
            level.cut(least if kept[number] < least or level.base > least else kept[number])

    # -- reading --------------------------------------------------------------------------------------------

    def cover(self, begin: Abscissa, end: Abscissa, level: int) -> list[Part]:
        """What [begin, end) is made of: buckets of *level* between finer ones at both ends, as far as kept.

        Of what has left the lower levels the buckets of upper ones; so the first may begin before *begin*.
        """
        first, stop = self._number(begin, inside=True), self._number(end)
        return list(self._walk(0, first, stop, level)) if first < stop else []

    def number_of(self, begin: Abscissa, end: Abscissa) -> int:
        """How many samples [begin, end) has."""
        return max(0, self._number(end) - self._number(begin, inside=True))

    def refined(self, parts: list[Part], widest: Abscissa) -> Iterator[Part]:
        """*parts*, but instead of buckets wider than *widest* what they are made of, while it is kept."""
        for part in parts:
            yield from self._finer(part, widest)

    def surrounded(self, parts: list[Part]) -> tuple[list[Part], int, int]:
        """*parts* and their neighbours, joined where they can be; and how many rows are before and behind."""
        if not parts:
            return parts, 0, 0
        first = parts[0].first * FACTOR ** parts[0].level
        return self._around(parts, first, parts[-1].end * FACTOR ** parts[-1].level)

    def between(self, x: Abscissa) -> tuple[list[Part], int, int]:
        """The neighbours of a range that begins at *x* and has no sample."""
        number = self._number(x)
        return self._around([], number, number)

    def entries(self, parts: list[Part], row: int) -> Entries:
        """Signal *row* of *parts*."""
        found = [self._entries(part, row) for part in parts]
        return (
            found[0]
            if len(found) == 1
            else Entries(*(np.concatenate(each) for each in zip(*found, strict=True)))
        )

    def figures(self, parts: list[Part], row: int) -> Statistics:
        """Least, mean and greatest of the finite samples of signal *row*, and how many they are."""
        found = []
        for part in parts:
            here = self.levels[part.level].rows(part.first, part.end)
            if part.level == 0:
                found.append(sums.of_samples(here["values"][row]))
            else:
                found.append(Sums(*(here[name][row] for name in ("count", "mean", "low", "high"))))
        return sums.told_of(found)

    def known_from(self, *, singly: bool = False) -> Abscissa | None:
        """The first place from which on every sample is here; there may be none.

        Of samples at the very oldest place others may have gone. *singly*: as samples, not in buckets.
        """
        oldest = [level.base * FACTOR**number for number, level in self._filled()]
        if not oldest:
            return None
        sharpest = 0 if singly else oldest.index(min(oldest))  # the finest that goes back all the way
        for level in reversed(self.levels[: sharpest + 1]):
            begins, ends = (level["x"],) * 2 if level is self.levels[0] else (level["begin"], level["end"])
            for rows in (_TOGETHER, len(level)):  # nearly always among the first
                apart = begins[1:rows] > ends[: rows - 1][: len(begins) - 1]
                if apart.any():
                    return _item(begins[1 + int(apart.argmax())])
        return None

    def _number(self, x: Abscissa, *, inside: bool = False) -> int:
        """Number of the first sample not before *x*, or *inside* of the first of the bucket that x is in."""
        for number, level in self._filled():
            begins = level["begin" if number else "x"]
            if begins[0] > x:
                continue
            row = int(np.searchsorted(begins, x))
            if number and inside and row and level["end"][row - 1] >= x:
                row -= 1
            return int((level.base + row) * FACTOR**number)
        kept = [level.base * FACTOR**number for number, level in self._filled()]
        return min(kept, default=self.levels[0].total)

    def _walk(self, number: int, first: int, end: int, level: int) -> Iterator[Part]:
        """Rows *first* to *end* of level *number*, upper ones up to *level* instead where they are whole."""
        if first >= end:
            return
        here = self.levels[number]
        if number < level:
            above = self.levels[number + 1]
            left = first // FACTOR if first < here.base else -(-first // FACTOR)
            right = min(end // FACTOR, above.total)
            if left < right:
                if first < left * FACTOR:
                    yield Part(number, first, left * FACTOR)
                yield from self._walk(number + 1, left, right, level)
                if right * FACTOR < end:
                    yield Part(number, max(right * FACTOR, here.base), end)
                return
        if first < here.base and number < TOP:
            yield from self._walk(number + 1, first // FACTOR, min(end, here.base) // FACTOR, number + 1)
        if max(first, here.base) < end:
            yield Part(number, max(first, here.base), end)

    def _finer(self, part: Part, widest: Abscissa) -> Iterator[Part]:
        number, first, end = part
        if number:
            here, below = self.levels[number].rows(first, end), self.levels[number - 1]
            for wide in (first + np.flatnonzero(here["end"] - here["begin"] > widest)).tolist():
                if wide * FACTOR < below.base:
                    continue
                if first < wide:
                    yield Part(number, first, wide)
                yield from self._finer(Part(number - 1, wide * FACTOR, (wide + 1) * FACTOR), widest)
                first = wide + 1
        if first < end:
            yield Part(number, first, end)

    def _around(self, parts: list[Part], first: int, end: int) -> tuple[list[Part], int, int]:
        """*parts* with the finest rows that end before sample *first* and begin with sample *end*."""
        before, behind = self._row(first, -1), self._row(end, 0)
        found: list[Part] = []
        for part in (*before, *parts, *behind):
            if found and found[-1].level == part.level and found[-1].end == part.first:
                found[-1] = Part(part.level, found[-1].first, part.end)
            else:
                found.append(part)
        return found, len(before), len(behind)

    def _row(self, number: int, ahead: int) -> list[Part]:
        for level, here in enumerate(self.levels):
            row, rest = divmod(number, FACTOR**level)
            row += ahead
            if rest == 0 and here.base <= row < here.total:
                return [Part(level, row, row + 1)]
        return []

    def _entries(self, part: Part, row: int) -> Entries:
        level, first, end = part
        here = self.levels[level]
        if level == 0:
            lead = min(1, first - here.base)  # the sample before tells whether there is a gap
            rows = here.rows(first - lead, end)
            found = samples(rows["x"], rows["values"][row], rows["gap"])
            x, values = found.begin[lead:], found.low[lead:]
            return Entries(x, x, values, values, values, values, found.flags[lead:])
        rows = here.rows(first, end)
        low, high, begun, ended = (rows[name][row] for name in _EXTENTS)
        flags = rows["flags"][row] | rows["hole"] * np.uint8(HOLE)
        return Entries(rows["begin"], rows["end"], low, high, begun, ended, flags)


def _item(value: Any) -> Abscissa:
    found: Abscissa = value.item()
    return found


# -- buckets ------------------------------------------------------------------------------------------------


def _of_samples(raw: Tail, first: int, end: int) -> Arrays:
    """Buckets of the samples *first* to *end*, shape (width, buckets)."""
    lead = min(1, first - raw.base)
    rows = raw.rows(first - lead, end)
    x, gap, values = rows["x"][lead:], rows["gap"][lead:], rows["values"][:, lead:]
    if np.isfinite(rows["values"]).all():
        groups = values.reshape(len(values), len(x) // FACTOR, FACTOR)
        found = {
            "low": groups.min(axis=2),
            "high": groups.max(axis=2),
            "first": values[:, ::FACTOR],
            "last": values[:, FACTOR - 1 :: FACTOR],
            "mean": (groups / FACTOR).sum(axis=2),
            "count": FACTOR,
            "flags": gap[::FACTOR] * np.uint8(GAP),
        }
    else:
        each = [samples(rows["x"], signal, rows["gap"]) for signal in rows["values"]]
        cleaned = np.array([entries.low[lead:] for entries in each])
        flags = np.array([entries.flags[lead:] for entries in each])
        found = _joined(dict.fromkeys((*_EXTENTS, "mean"), cleaned), ~np.isnan(cleaned), flags)
    return {**found, **_places(x, x, gap, np.zeros(len(gap), np.bool_))}


def _of_buckets(rows: Arrays) -> Arrays:
    """Buckets of buckets, shape (width, buckets)."""
    return {
        **_joined(rows, rows["count"], rows["flags"]),
        **_places(rows["begin"], rows["end"], rows["gap"], rows["hole"]),
    }


def _places(begin: NDArray[Any], end: NDArray[Any], gap: NDArray[Any], hole: NDArray[Any]) -> Arrays:
    """What all signals of a bucket have in common; a hole is a gap somewhere behind its first sample."""
    inner = gap.copy()
    inner[::FACTOR] = False
    return {
        "begin": begin[::FACTOR],
        "end": end[FACTOR - 1 :: FACTOR],
        "gap": gap[::FACTOR],
        "hole": (inner | hole).reshape(-1, FACTOR).any(axis=1),
    }


def _joined(rows: Arrays, count: NDArray[Any], flags: NDArray[Any]) -> Arrays:
    shape = (len(count), count.shape[1] // FACTOR, FACTOR)
    counts = count.reshape(shape)
    total = counts.sum(axis=2, dtype=np.uint32)
    there = counts > 0
    head = there.argmax(axis=2)[..., None]
    tail = FACTOR - 1 - there[..., ::-1].argmax(axis=2)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        # shares of the mean, as a sum could be too large
        mean = np.where(there, rows["mean"].reshape(shape) * (counts / total[..., None]), 0).sum(axis=2)
        low = np.fmin.reduce(rows["low"].reshape(shape), axis=2)
        high = np.fmax.reduce(rows["high"].reshape(shape), axis=2)
    gap = np.take_along_axis(flags.reshape(shape), head, 2)[..., 0] & GAP
    return {
        "low": low,
        "high": high,
        "first": np.take_along_axis(rows["first"].reshape(shape), head, 2)[..., 0],
        "last": np.take_along_axis(rows["last"].reshape(shape), tail, 2)[..., 0],
        "mean": np.where(total > 0, mean, np.nan),
        "count": total,
        "flags": gap | np.bitwise_or.reduce(flags.reshape(shape) & (ABOVE | BELOW), axis=2),
    }
