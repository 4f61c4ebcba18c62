"""Fewer datums from many: one window in `factor` samples, or in a length of time, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from speeddata.avro import codec
from speeddata.avro.schema import Schema
from speeddata.batch import Batch
from speeddata.windowed import Windowed
from speeddata.windows import NONE, ByAbscissa, ByCount, Cutter, Datums, Offsets, chosen, joined, part

if TYPE_CHECKING:
    from numpy.typing import NDArray

METHODS = ("pick", "minmax", "mean", "rms")


class Decimator(Protocol):
    """Takes datums as they come and gives those that are left; the cut into batches makes no difference."""

    @property
    def method(self) -> str:
        """One of `METHODS`."""

    @property
    def schema(self) -> Schema:
        """Of the datums that come out."""

    def take(self, data: bytes, offsets: NDArray[np.int64]) -> tuple[bytes, NDArray[np.int64]]:
        """What these datums complete.

        Args:
            data: datums end to end.
            offsets: where each begins and the last ends: int64, shape (count + 1,).

        Returns:
            The same for those that come out.
        """

    def finish(self) -> tuple[bytes, NDArray[np.int64]]:
        """What is left at the end: of the last window."""


def make(
    method: str,
    factor: int,
    schema: Schema,
    *,
    every_ns: int | None = None,
    whole: bool = False,
    proven: bool = True,
) -> Decimator:
    """A decimator of datums of *schema*.

    Args:
        method: one of `METHODS`: "pick" keeps the first datum of each window, byte for byte; "minmax", "mean"
            and "rms" are those of `windowed.Windowed`.
        factor: datums a window, at least 1.
        every_ns: windows by the abscissa instead, of this length (`windows.ByAbscissa`).
        whole: leave out the last window where it is short; where windows are by the abscissa, always.
        proven: the datums are known to be ones. Else each is looked at before it is decoded, and what is none
            has no part in a window; "pick" alone never looks.

    Raises:
        UsageError: *every_ns* does not suit the abscissa.
        ValueError: there is no such method, or *factor* is below 1.
    """
    if method not in METHODS:
        raise ValueError(f"no method '{method}'")
    if method == "pick" and every_ns is None and not whole:
        return Pick(factor, schema)
    cutter = ByCount(factor) if every_ns is None else ByAbscissa(schema, every_ns)
    made: Decimator
    if method == "pick":
        made = Firsts(schema, cutter, whole=whole)
    else:
        made = Windowed(method, schema, cutter, whole=whole)
    return made if proven else Proving(made, schema)


@lru_cache(maxsize=256)
def _alone(size: int) -> Offsets:
    """The boundaries of one datum: slow channels ask for few different ones, hundreds of times a second."""
    offsets = np.array((0, size), np.int64)
    offsets.flags.writeable = False
    return offsets


class Pick:
    """Keep the first datum of every *factor*; it passes byte for byte, and nothing is decoded.

    Args:
        factor: decimation factor, at least 1. The count goes on from one call to the next.
        schema: of the datums.
    """

    method = "pick"

    def __init__(self, factor: int, schema: Schema) -> None:
        if factor < 1:
            raise ValueError(f"decimation factor {factor} is below 1")
        self.factor, self.schema = factor, schema
        self._skip = 0  # datums until the next one that is kept

    def take(self, data: bytes, offsets: Offsets) -> Datums:
        count = len(offsets) - 1
        first = self._skip
        if first >= count:
            self._skip = first - count
            return NONE
        kept = (count - first + self.factor - 1) // self.factor
        self._skip = first + kept * self.factor - count
        if kept == 1:
            start, end = offsets[first : first + 2].tolist()
            return data[start:end], _alone(end - start)
        size = int(offsets[1] - offsets[0])
        if size and not np.count_nonzero(offsets[1:] - offsets[:-1] != size):
            # Equal sizes, the usual case: one strided copy, however many datums.
            table = np.frombuffer(data, np.uint8, count * size, int(offsets[0])).reshape(count, size)
            return table[first :: self.factor].tobytes(), np.arange(kept + 1, dtype=np.int64) * size
        return chosen(data, offsets, np.arange(first, count, self.factor))

    def finish(self) -> Datums:
        return NONE


class Firsts:
    """Keep the first datum of each window, byte for byte, as `Pick`, of windows that *cutter* tells apart.

    Args:
        schema: of the datums.
        cutter: where windows end.
        whole: keep it only once its window has ended.
    """

    method = "pick"

    def __init__(self, schema: Schema, cutter: Cutter, *, whole: bool) -> None:
        self.schema = schema
        self._cutter, self._whole = cutter, whole
        self._is_open = False  # a window has begun and has not ended
        self._held: Datums = NONE  # the first of that window, which may come to nothing

    def take(self, data: bytes, offsets: Offsets) -> Datums:
        count = len(offsets) - 1
        if not count:
            return NONE
        ends = self._cutter.ends(data, offsets)
        firsts = ends[ends < count]
        if not self._is_open:
            firsts = np.union1d([0], firsts).astype(np.int64)
        self._is_open = not (len(ends) and ends[-1] == count)
        found = chosen(data, offsets, firsts)
        if not self._whole:
            return found
        found = joined([self._held, found])
        held = len(found[1]) - 1
        self._held = part(*found, len(ends), held)
        return part(*found, 0, len(ends))

    def finish(self) -> Datums:
        return NONE


class Proving:
    """Gives another decimator only datums: what comes from the network can be anything."""

    def __init__(self, decimator: Decimator, schema: Schema) -> None:
        self.method, self.schema = decimator.method, decimator.schema
        self._decimator, self._source = decimator, schema

    def take(self, data: bytes, offsets: Offsets) -> Datums:
        valid = codec.valid(self._source, data, offsets)
        if valid is not None:
            data, offsets = chosen(data, offsets, np.flatnonzero(valid))
        return self._decimator.take(data, offsets)

    def finish(self) -> Datums:
        return self._decimator.finish()


def thinned(batches: Iterable[Batch], opened: Callable[[Schema], Decimator]) -> Iterator[Batch]:
    """What is left of *batches*, whose boundaries are known.

    Args:
        batches: of one channel. A window ends where the schema changes.
        opened: makes the decimator of a schema, `make` for instance.
    """
    decimator: Decimator | None = None
    known: Schema | None = None
    for batch in batches:
        if decimator is None or (batch.schema is not known and batch.schema != known):
            if decimator is not None:
                yield from _batch(decimator.schema, decimator.finish())
            decimator, known = opened(batch.schema), batch.schema
        yield from _batch(decimator.schema, decimator.take(batch.data, codec.offsets(batch)))
    if decimator is not None:
        yield from _batch(decimator.schema, decimator.finish())


def _batch(schema: Schema, datums: Datums) -> Iterator[Batch]:
    data, offsets = datums
    if len(offsets) > 1:
        yield Batch(schema, data, len(offsets) - 1, offsets)
