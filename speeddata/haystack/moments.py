"""When datums were: an abscissa in nanoseconds since 1970, as far as a server takes such times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speeddata.avro.codec import Column
from speeddata.avro.schema import TICK_NS, Schema

FIRST_NS = int(datetime(1950, 1, 1, tzinfo=UTC).timestamp()) * 10**9  # servers take nothing before
AHEAD_NS = 300 * 10**9  # and nothing that is farther in the future than that


class Moments(NamedTuple):
    """The moments of datums.

    Attributes:
        ns: of those whose time a server takes, since 1970, int64, shape (m,), in the order that they came.
        rows: which those are, shape (m,); None: all of them.
        refused: of the others, the reason and which.
    """

    ns: NDArray[np.int64]
    rows: NDArray[np.int64] | None
    refused: list[tuple[str, NDArray[np.int64]]]


def moments(schema: Schema, column: Column, now_ns: int) -> Moments:
    """The moments that the abscissa *column* tells.

    Raises:
        UsageError: it is no time, or does not tell its unit.
    """
    values = column.values
    tick_ns = TICK_NS[schema.ticks()]
    # compared in its own unit: what does not fit into int64 nanoseconds is out of range as well
    early, late = values < FIRST_NS // tick_ns, values > (now_ns + AHEAD_NS) // tick_ns
    lost = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), np.bool_)
    if column.valid is not None:
        lost |= ~column.valid
        early, late = early & column.valid, late & column.valid
    reasons = {"has no time": lost, "before 1950": early, "more than 5 minutes in the future": late}
    refused = [(reason, np.flatnonzero(mask)) for reason, mask in reasons.items() if mask.any()]
    rows = None
    if refused:
        rows = np.flatnonzero(~(lost | early | late))
        values = values[rows]
    if values.dtype.kind == "f":
        # A double of seconds since 1970 is good to a quarter of a microsecond: 0.001 s must not become 0.
        us = np.rint(values.astype(np.float64) * (tick_ns / 1000)).astype(np.int64)
        return Moments(us * 1000, rows, refused)
    return Moments(values.astype(np.int64) * tick_ns, rows, refused)
