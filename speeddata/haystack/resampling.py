"""Samples of a span of time made one: the last one of each window, or mean, least or greatest over pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Method = Literal["last", "mean", "min", "max"]
Picked = tuple[NDArray[Any], "NDArray[np.bool_] | None"]  # a value for each window, and where there is one


class Windows(NamedTuple):
    """The windows that samples lie in.

    Attributes:
        times_ns: where each begins, int64, shape (m,), ascending, none of them twice.
        starts: the first of each one's samples in the order of time, shape (m,).
        order: of the samples by window, those of one window as they came, shape (n,); None: as they are.
        samples: n.
    """

    times_ns: NDArray[np.int64]
    starts: NDArray[np.int64]
    order: NDArray[np.int64] | None
    samples: int

    @property
    def single(self) -> bool:
        """Whether each sample has its own window, and they are in order."""
        return self.order is None and len(self.times_ns) == self.samples


def windows(floored_ns: NDArray[np.int64]) -> Windows:
    """The windows of samples in the order that they came, at least one, by the beginning of each one's."""
    order = None
    if (floored_ns[1:] < floored_ns[:-1]).any():
        order = np.argsort(floored_ns, kind="stable")
        floored_ns = floored_ns[order]
    first = np.empty(len(floored_ns), np.bool_)
    first[0] = True
    np.not_equal(floored_ns[1:], floored_ns[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    times = floored_ns if len(starts) == len(floored_ns) else floored_ns[starts]
    return Windows(times, starts, order, len(floored_ns))


def last(values: NDArray[Any], present: NDArray[np.bool_] | None, within: Windows) -> Picked:
    """The last sample that is there of each window, in the order that they came."""
    if within.single:
        return values, present
    if present is None:
        rows = np.append(within.starts[1:], within.samples) - 1
        return values[rows if within.order is None else within.order[rows]], None
    ordered = present if within.order is None else present[within.order]
    rows = np.maximum.reduceat(np.where(ordered, np.arange(within.samples), -1), within.starts)
    there = rows >= 0
    rows[~there] = 0
    return values[rows if within.order is None else within.order[rows]], there


@dataclass(slots=True)
class Part:
    """What is known of one window of one point.

    Attributes:
        sum: of the numbers (mean), or the least or greatest of them, or the last value of what is no number.
        count: of the numbers; 0 where there is NaN only.
        sent: whether it was handed out as it is now.
    """

    sum: Any
    count: int
    sent: bool = False


class Resampler:
    """Mean, least or greatest of each window of one point, over any number of pieces.

    Windows next to that of the newest datum are remembered, and those not before it held back: more of them
    may come. What comes late for one already handed out makes it better, and it is handed out again.
    NaN does not count, unless there is nothing else.
    """

    def __init__(self, method: Method, precision_ns: int) -> None:
        self.method, self.precision_ns = method, precision_ns
        self.parts: dict[int, Part] = {}  # by window

    def waiting(self) -> list[int]:
        """The windows of which something was not handed out."""
        return [time for time, part in self.parts.items() if not part.sent]

    def add(
        self,
        values: NDArray[Any],
        present: NDArray[np.bool_] | None,
        within: Windows,
        times_ns: NDArray[np.int64],
        newest_ns: int,
    ) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Take a piece; hand out the windows before that of its newest datum.

        Args:
            values, present: of the piece, shape (n,).
            within: its windows.
            times_ns: theirs and all that wait, int64, shape (m,), ascending.
            newest_ns: the window of the datum that came last.

        Returns:
            A value for each of *times_ns* and whether it is handed out, shape (m,); and how many windows the
            piece begins.
        """
        total, count, touched = self._combined(values, present, within)
        if len(times_ns) > len(within.times_ns):
            at = np.searchsorted(times_ns, within.times_ns)
            total, count, touched = (_spread(each, at, len(times_ns)) for each in (total, count, touched))
        begun = int(np.count_nonzero(touched))
        for time, part in self.parts.items():
            row = int(np.searchsorted(times_ns, time))
            if row == len(times_ns) or times_ns[row] != time:
                continue
            begun -= bool(touched[row])
            total = self._joined(total, count, row, part)
            count[row] += part.count
            touched[row] |= not part.sent
        out = touched & ((times_ns < newest_ns) | (times_ns > newest_ns + self.precision_ns))
        self._remember(times_ns, total, count, touched, newest_ns)
        return self._values(total, count), out, begun

    def flushed(self, times_ns: NDArray[np.int64]) -> Picked:
        """What waits, at *times_ns*; it is remembered still."""
        waiting = {time: value_of(self.method, self.parts[time]) for time in self.waiting()}
        for time in waiting:
            self.parts[time].sent = True
        some = next(iter(waiting.values()))
        found = [
            waiting.get(time, "" if isinstance(some, str) else type(some)()) for time in times_ns.tolist()
        ]
        there = np.array([time in waiting for time in times_ns.tolist()], np.bool_)
        return np.array(found, object if isinstance(some, str) else None), there

    def _combined(self, values: NDArray[Any], present: NDArray[np.bool_] | None, within: Windows) -> Any:
        """Of each window of a piece: `Part`'s *sum* and *count*, and whether it has a sample."""
        if values.dtype.kind not in "fi" or self.method == "last":
            found, there = last(values, present, within)
            count = np.ones(len(found), np.int64) if there is None else there.astype(np.int64)
            return found, count, count > 0
        good = np.ones(within.samples, np.bool_) if present is None else present.copy()
        if within.order is not None:
            values, good = values[within.order], good[within.order]
        touched = np.logical_or.reduceat(good, within.starts)
        if values.dtype.kind == "f":
            good &= ~np.isnan(values)
        count = np.add.reduceat(good, within.starts, dtype=np.int64)
        if self.method == "mean":
            numbers = np.where(good, values.astype(np.float64), 0.0)
            with np.errstate(invalid="ignore"):  # inf - inf
                return np.add.reduceat(numbers, within.starts), count, touched
        lowest = self.method == "min"
        limits: Any = np.iinfo(values.dtype) if values.dtype.kind == "i" else None
        if limits is None:
            worst = values.dtype.type(np.inf if lowest else -np.inf)
        else:
            worst = values.dtype.type(limits.max if lowest else limits.min)
        pick = np.minimum if lowest else np.maximum
        return pick.reduceat(np.where(good, values, worst), within.starts), count, touched

    def _joined(self, total: NDArray[Any], count: NDArray[np.int64], row: int, part: Part) -> NDArray[Any]:
        """*total* with *part* in its *row*; another array where the dtype has to give."""
        if not part.count:
            return total
        if isinstance(part.sum, float) and total.dtype.kind == "i":  # the signal was another one before
            total = total.astype(np.float64)
        if not count[row]:
            total[row] = part.sum
        elif total.dtype.kind in "fi" and self.method != "last":
            with np.errstate(invalid="ignore"):
                total[row] = _JOIN[self.method](total[row], part.sum)
        return total

    def _remember(
        self,
        times: NDArray[np.int64],
        total: NDArray[Any],
        count: NDArray[np.int64],
        touched: NDArray[np.bool_],
        newest: int,
    ) -> None:
        near = np.abs(times - newest) <= self.precision_ns
        parts = {time: part for time, part in self.parts.items() if abs(time - newest) <= self.precision_ns}
        for row in np.flatnonzero(near & touched).tolist():
            value = total[row : row + 1].tolist()[0]
            time = int(times[row])
            parts[time] = Part(value, int(count[row]), time < newest)
        self.parts = parts

    def _values(self, total: NDArray[Any], count: NDArray[np.int64]) -> NDArray[Any]:
        if total.dtype.kind not in "fi" or self.method == "last":
            return total
        if self.method == "mean":
            with np.errstate(invalid="ignore", divide="ignore"):
                return total / count  # NaN where there is none
        return np.where(count > 0, total, total.dtype.type(np.nan)) if total.dtype.kind == "f" else total


_JOIN: dict[str, Any] = {"mean": np.add, "min": np.minimum, "max": np.maximum}


def value_of(method: Method, part: Part) -> Any:
    """The sample that a window gives."""
    if not part.count:
        return float("nan")
    return part.sum / part.count if method == "mean" and not isinstance(part.sum, (str, bool)) else part.sum


def _spread(values: NDArray[Any], at: NDArray[np.int64], count: int) -> NDArray[Any]:
    found = np.zeros(count, values.dtype)
    found[at] = values
    return found
