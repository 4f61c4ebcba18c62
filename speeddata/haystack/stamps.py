"""Times in bulk as Zinc writes them: the clock of a time zone, its offset from UTC, and its city.

What is the same for all samples of a second is made once: the date, the clock and the offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

import numpy as np

from speeddata.haystack import timezones
from speeddata.haystack.literals import offset_text, zone_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SECOND_NS = 10**9
_DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FEW_DIGITS = 3  # so many have a table of their texts


def stamps(time_ns: NDArray[np.int64], city: str) -> list[str]:
    """Each time as in `2026-11-21T10:00:00.123-05:00 New_York`; `Z` instead of the offset where it is none.

    A whole second has no fraction; the others have 3 digits, or 6 or 9 where any of them needs so many.

    Args:
        time_ns: since 1970 UTC, shape (n,), in any order; ascending is quickest.
        city: of the time zone, as `timezones.zone` takes it.

    Raises:
        UsageError, HostError: as `timezones.zone`.
    """
    city_text = zone_name(timezones.city(city))
    if not len(time_ns):
        return []
    seconds = time_ns // _SECOND_NS
    new = np.flatnonzero(seconds[1:] != seconds[:-1]) + 1
    starts = np.concatenate(([0], new))
    runs = np.diff(starts, append=len(seconds))
    some = seconds[starts]
    minutes = _offsets(some, timezones.zone(city))
    clocks = np.datetime_as_string((some + minutes * 60).astype("datetime64[s]")).tolist()
    names = {minute: f"{offset_text(minute)} {city_text}" for minute in set(minutes.tolist())}
    ends = [names[minute] for minute in minutes.tolist()]
    fractions = _fractions(time_ns - seconds * _SECOND_NS)
    if fractions is None:
        texts = [clock + end for clock, end in zip(clocks, ends, strict=True)]
        return texts if len(texts) == len(seconds) else _repeated(texts, runs)
    if len(clocks) != len(seconds):
        clocks, ends = _repeated(clocks, runs), _repeated(ends, runs)
    return [clock + fraction + end for clock, fraction, end in zip(clocks, fractions, ends, strict=True)]


def floored(time_ns: NDArray[np.int64], precision_ns: int) -> NDArray[np.int64]:
    """Each time moved back to a multiple of *precision_ns* since 1970, as servers do; shape (n,)."""
    return time_ns - time_ns % precision_ns


def _repeated(texts: list[str], runs: NDArray[np.int64]) -> list[str]:
    objects = np.empty(len(texts), object)
    objects[:] = texts
    repeated: list[str] = np.repeat(objects, runs).tolist()
    return repeated


def _fractions(ns: NDArray[np.int64]) -> list[str] | None:
    """`.123` for each, empty where it is 0; None where all are."""
    if not ns.any():
        return None
    digits = 3 if not (ns % 1_000_000).any() else 6 if not (ns % 1_000).any() else 9
    units = ns // 10 ** (9 - digits)
    if digits == _FEW_DIGITS:
        table = ["", *(f".{unit:03d}" for unit in range(1, 1000))]
        return [table[unit] for unit in units.tolist()]
    return [f".{unit:0{digits}d}" if unit else "" for unit in units.tolist()]


def _offsets(seconds: NDArray[np.int64], zone: tzinfo) -> NDArray[np.int64]:
    """The offset of *zone* from UTC at each of *seconds*, in minutes, shape (n,).

    Where it had seconds (Liberia before 1972), it is rounded; with a clock of the same offset the moment is
    right all the same.
    """
    if zone is UTC:
        return np.zeros(len(seconds), np.int64)

    def offset(second: int) -> int:
        shift = (_EPOCH + timedelta(seconds=second)).astimezone(zone).utcoffset()
        return round((shift or timedelta(0)) / timedelta(minutes=1))

    starts, offsets = [], []
    for day in np.unique(seconds // _DAY_S).tolist():
        first, end = day * _DAY_S, (day + 1) * _DAY_S
        for second, minutes in [(first, offset(first)), *_changes(first, end, offset)]:
            starts.append(second)
            offsets.append(minutes)
    return np.array(offsets, np.int64)[np.searchsorted(starts, seconds, "right") - 1]


def _changes(low: int, high: int, offset: Callable[[int], int]) -> Iterator[tuple[int, int]]:
    """The seconds after *low*, to *high*, at which *offset* changes, with what it becomes.

    Changes are found by halving, so that one that is taken back within the same day would be overlooked; no
    time zone ever did that.
    """
    after = offset(high)
    if offset(low) == after:
        return
    if high - low == 1:
        yield high, after
        return
    middle = (low + high) // 2
    yield from _changes(low, middle, offset)
    yield from _changes(middle, high, offset)
