"""Where windows end in a stream of datums: by their number, or by their abscissa."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from speeddata.avro import codec
from speeddata.avro.schema import TICK_NS, Schema
from speeddata.batch import Batch
from speeddata.errors import UsageError

Offsets = NDArray[np.int64]
Datums = tuple[bytes, Offsets]  # end to end; where each begins and the last ends, shape (count + 1,)

NONE: Datums = (b"", np.zeros(1, np.int64))

_RUN = 16  # datums of equal size in a row, on average: from there on they are copied together


class Cutter(Protocol):
    """Tells windows apart; the count goes on from one call to the next."""

    def ends(self, data: bytes, offsets: Offsets) -> NDArray[np.int64]:
        """Before which of these datums a window ends, in ascending order.

        0 is for a window of earlier ones; their number is for one that is known to be full.
        """


class ByCount:
    """Windows of *factor* datums."""

    def __init__(self, factor: int) -> None:
        if factor < 1:
            raise ValueError(f"decimation factor {factor} is below 1")
        self.factor = factor
        self._open = 0  # datums in the window that is not full

    def ends(self, data: bytes, offsets: Offsets) -> NDArray[np.int64]:
        count = len(offsets) - 1
        ends = np.arange(self.factor - self._open, count + 1, self.factor)
        self._open = (self._open + count) % self.factor
        return ends


class ByAbscissa:
    """Windows of a length of time, which begin at whole multiples of it; one without a datum is none.

    A step back in time ends a window too. A datum whose abscissa is null, NaN or infinite belongs to the
    window before it.

    Args:
        schema: of the datums.
        every_ns: the length of a window.

    Raises:
        UsageError: the abscissa is no time, or a window is no whole number of its ticks.
    """

    def __init__(self, schema: Schema, every_ns: int) -> None:
        signal = schema.abscissa
        tick_ns = TICK_NS[schema.ticks("use --factor")]
        self._schema, self._ticks = schema, every_ns / tick_ns
        if np.dtype(signal.dtype).kind == "i":
            if every_ns < 1 or every_ns % tick_ns:
                raise UsageError(
                    f"a window of {every_ns} ns is no whole number of {schema.time_unit}, in which "
                    f"'{signal.name}' counts",
                    where="--every",
                )
            self._ticks = every_ns // tick_ns
        elif every_ns < 1:
            raise UsageError("a window of no length", where="--every")
        self._latest: float | None = None  # number of the window that is open

    def ends(self, data: bytes, offsets: Offsets) -> NDArray[np.int64]:
        count = len(offsets) - 1
        if not count:
            return np.empty(0, np.int64)
        times = codec.abscissa(Batch(self._schema, data, count, offsets))
        known = np.isfinite(times) if times.dtype.kind == "f" else times != np.iinfo(np.int64).min
        rows = np.flatnonzero(known)
        if not len(rows):
            return rows
        numbers = times[rows] // self._ticks
        before = np.empty_like(numbers)
        before[1:] = numbers[:-1]
        before[0] = numbers[0] if self._latest is None else self._latest
        self._latest = numbers[-1].item()
        ends: NDArray[np.int64] = rows[numbers != before]
        return ends


def chosen(data: bytes, offsets: Offsets, rows: NDArray[np.int64]) -> Datums:
    """The datums number *rows*, in ascending order, end to end."""
    if not len(rows):
        return NONE
    starts, sizes = offsets[rows], offsets[rows + 1] - offsets[rows]
    ends = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    changes = (np.flatnonzero(sizes[1:] != sizes[:-1]) + 1).tolist()
    view = memoryview(data)
    if (len(changes) + 1) * _RUN > len(rows):
        cuts = zip(starts.tolist(), (starts + sizes).tolist(), strict=True)
        return b"".join([view[start:end] for start, end in cuts]), ends
    # Runs of equal size, the usual case: the bytes are seen as overlapping rows of that size.
    pieces = []
    for first, end in itertools.pairwise([0, *changes, len(rows)]):
        size = int(sizes[first])
        every = np.ndarray((len(data) - size + 1, size), np.uint8, data, 0, (1, 1))
        pieces.append(every[starts[first:end]].tobytes())
    return b"".join(pieces), ends


def part(data: bytes, offsets: Offsets, first: int, end: int) -> Datums:
    """Datums *first* to *end* (exclusive)."""
    start = int(offsets[first])
    return data[start : int(offsets[end])], offsets[first : end + 1] - start


def joined(pieces: Sequence[Datums]) -> Datums:
    """All datums of *pieces*, end to end; at least one piece."""
    if len(pieces) == 1:
        return pieces[0]
    sizes = np.concatenate([np.diff(offsets) for _, offsets in pieces])
    ends = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    views = [memoryview(data)[int(offsets[0]) : int(offsets[-1])] for data, offsets in pieces]
    return b"".join(views), ends
