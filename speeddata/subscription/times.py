"""Abscissas in bulk as ISO 8601 text in UTC; what is the same for all samples of a second is made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from speeddata.avro.schema import TICK_NS, Schema
from speeddata.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speeddata.avro.codec import Column

Precision = Literal["ms", "us", "ns"]

PER_SECOND: Final = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_FIRST_S, _END_S = -62_135_596_800, 253_402_300_800  # the years 1 to 9999, which four digits can write
_THREE: Final = [f"{number:03d}" for number in range(1000)]
_MILLISECONDS: Final = [f".{digits}" for digits in _THREE]


class Times(NamedTuple):
    """When samples were, cut off to a precision.

    Attributes:
        seconds: since 1970, int64, shape (m,), in the order that they came.
        fractions: of a second, in units of the precision, int64, shape (m,).
        rows: which of the samples those are, shape (m,); None: all of them. The others have no time, or one
            outside of the years 1 to 9999.
        ascending: none is before the one before it.
    """

    seconds: NDArray[np.int64]
    fractions: NDArray[np.int64]
    rows: NDArray[np.int64] | None
    precision: Precision
    ascending: bool

    def newest_ns(self, first: int, end: int) -> int:
        """The newest of times *first* to *end* (exclusive), in nanoseconds since 1970."""
        if self.ascending:
            newest, fraction = int(self.seconds[end - 1]), int(self.fractions[end - 1])
        else:
            seconds = self.seconds[first:end]
            newest = int(seconds.max())
            fraction = int(self.fractions[first:end][seconds == newest].max())
        return newest * 10**9 + fraction * (10**9 // PER_SECOND[self.precision])


def times(schema: Schema, column: Column, precision: Precision) -> Times:
    """When the samples with the abscissa *column* were.

    A time between two of the precision is the earlier one. Where the abscissa is a floating-point number it
    is first brought to the nearest microsecond: it could not write most of them, and 0.001 s must not be 0.

    Raises:
        DataError: the abscissa is no time, or does not tell its unit.
    """
    abscissa, values = schema.abscissa, column.values
    if abscissa.dtype in (None, "?") or schema.time_unit is None:
        raise DataError(f"the abscissa {abscissa.name} of {schema.name} tells no time, or not its unit")
    per_second = 10**9 // TICK_NS[schema.time_unit]
    present = np.ones(len(values), np.bool_) if column.valid is None else column.valid.copy()
    seconds: NDArray[np.int64]
    ticks: NDArray[np.int64]
    if values.dtype.kind == "f":
        values = values.astype(np.float64)
        about = values / per_second
        present &= (about >= _FIRST_S) & (about < _END_S)  # NaN is neither
        values = np.where(present, values, 0.0)
        whole = np.floor(values / per_second)
        ticks = np.rint((values - whole * per_second) * (10**6 / per_second)).astype(np.int64)
        per_second = 10**6
        seconds = whole.astype(np.int64) + ticks // per_second
        ticks = ticks % per_second
    else:
        values = values.astype(np.int64, copy=False)
        seconds = values // per_second
        ticks = values - seconds * per_second
    present &= (seconds >= _FIRST_S) & (seconds < _END_S)
    wanted = PER_SECOND[precision]
    ticks = ticks // (per_second // wanted) if per_second >= wanted else ticks * (wanted // per_second)
    rows = None
    if not present.all():
        rows = np.flatnonzero(present)
        seconds, ticks = seconds[rows], ticks[rows]
    later = seconds[1:] > seconds[:-1]
    ascending = bool((later | (seconds[1:] == seconds[:-1]) & (ticks[1:] >= ticks[:-1])).all())
    return Times(seconds, ticks, rows, precision, ascending)


def texts(found: Times, before: str, after: str) -> list[str]:
    """Each time as in `2018-11-30T10:00:00.000Z`, with three, six or nine digits, between two texts."""
    seconds = found.seconds
    if not len(seconds):
        return []
    new = np.flatnonzero(seconds[1:] != seconds[:-1]) + 1
    starts = np.concatenate(([0], new))
    clocks = [
        before + clock for clock in np.datetime_as_string(seconds[starts].astype("datetime64[s]")).tolist()
    ]
    if len(clocks) < len(seconds):
        runs = np.diff(starts, append=len(seconds)).tolist()
        clocks = [clock for clock, run in zip(clocks, runs, strict=True) for _ in range(run)]
    end = f"Z{after}"
    if found.precision == "ms":
        tails = [digits + end for digits in _MILLISECONDS]
        return [clock + tails[unit] for clock, unit in zip(clocks, found.fractions.tolist(), strict=True)]
    upper, lower = np.divmod(found.fractions, 1000)
    tails = [digits + end for digits in _THREE]
    if found.precision == "us":
        heads = [_MILLISECONDS[unit] for unit in upper.tolist()]
    else:
        high, low = np.divmod(upper, 1000)
        heads = [_MILLISECONDS[a] + _THREE[b] for a, b in zip(high.tolist(), low.tolist(), strict=True)]
    return [
        clock + head + tails[unit] for clock, head, unit in zip(clocks, heads, lower.tolist(), strict=True)
    ]
