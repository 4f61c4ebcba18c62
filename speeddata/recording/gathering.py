"""Arrivals gathered into a block, and its datums sifted: do they decode to exactly their length?"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise, repeat
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from speeddata.avro import codec
from speeddata.avro.heads import PADDING
from speeddata.avro.schema import Schema
from speeddata.avro.skipper import skipper
from speeddata.batch import Batch

BLOCK_BYTES = 64 << 10
_INDEXED = {"int", "long", "float", "double"}
_PART_WEIGHT = 300  # bytes of memory that a part takes beside its data and offsets, roughly

Offsets: TypeAlias = NDArray[np.int64]
Address: TypeAlias = tuple[str, int]


class Part(NamedTuple):
    """Datums that arrived together from one address; `data` has no byte that is not theirs."""

    data: bytes | memoryview
    offsets: Offsets
    address: Address
    now_ns: int


class OpenBlock:
    """Datums on their way into one container block.

    Args:
        begun_ns: when its first datum came, by the monotonic clock that `take` is told.
        time_ns: the same moment, UTC.

    Attributes:
        count: datums in it.
        size: their bytes, at most `BLOCK_BYTES`.
    """

    __slots__ = ("_parts", "begun_ns", "count", "size", "time_ns")

    def __init__(self, begun_ns: int, time_ns: int) -> None:
        self.begun_ns, self.time_ns = begun_ns, time_ns
        self.count = self.size = 0
        self._parts: list[Part] = []

    @property
    def is_full(self) -> bool:
        return self.size >= BLOCK_BYTES

    @property
    def weight(self) -> int:
        """Bytes of memory that it takes, roughly."""
        return self.size + 8 * self.count + _PART_WEIGHT * len(self._parts)

    def take(self, data: bytes, offsets: Offsets, first: int, address: Address, now_ns: int) -> int:
        """Take datums from number *first* on, as many as there is room for.

        Args:
            data: datums end to end.
            offsets: where each begins and the last ends: int64, shape (count + 1,).
            first: number of the first one not taken yet.
            address: where they came from.
            now_ns: monotonic.

        Returns:
            The number of the first datum not taken; `len(offsets) - 1` when all were.
        """
        last, begin, end = len(offsets) - 1, int(offsets[first]), int(offsets[-1])
        room = BLOCK_BYTES - self.size
        if end - begin > room:
            last = int(offsets.searchsorted(begin + room, "right")) - 1
            if last <= first:
                return first
            end = int(offsets[last])
        whole = end - begin == len(data)
        if last - first != len(offsets) - 1:
            offsets = offsets[first : last + 1]
        self._parts.append(Part(data if whole else memoryview(data)[begin:end], offsets, address, now_ns))
        self.size += end - begin
        self.count += last - first
        return last

    def settle(self) -> None:
        """Stay open for more: a small piece of a large arrival must not keep all of it in memory."""
        part = self._parts[-1]
        if isinstance(part.data, memoryview):
            self._parts[-1] = part._replace(data=bytes(part.data), offsets=part.offsets.copy())

    def origin(self, number: int) -> tuple[str, int]:
        """Where datum *number* came from, as `ADDR:PORT`, and when, in nanoseconds UTC."""
        for part in self._parts:
            number -= len(part.offsets) - 1
            if number < 0:
                host, port = part.address[:2]
                source = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
                return source, self.time_ns + part.now_ns - self.begun_ns
        raise IndexError("no such datum in this block")


class ReadyBlock(NamedTuple):
    """A block to be written as it is.

    Attributes:
        datums: how many.
        data: these, end to end.
        time_ns: when its first datum came, UTC.
        least, greatest: of their abscissas; None where they are no numbers.
    """

    datums: int
    data: memoryview
    time_ns: int
    least: int | float | None
    greatest: int | float | None


def joined(blocks: Sequence[OpenBlock]) -> tuple[bytes, Offsets]:
    """All datums of *blocks* end to end, and where each begins and the last ends: int64, from 0 on.

    Where they had to be put together, `PADDING` follows: `codec.valid` needs it, and would copy everything.
    """
    parts = [part for block in blocks for part in block._parts]
    if len(parts) == 1:
        data, offsets = parts[0][:2]
        return bytes(data), offsets - offsets[0] if offsets[0] else offsets
    together = np.zeros(sum(block.count for block in blocks) + 1, np.int64)
    at = size = 0
    for data, offsets, *_ in parts:
        np.subtract(offsets, offsets[0] - size, out=together[at : at + len(offsets)])
        at += len(offsets) - 1
        size += len(data)
    return b"".join([*(part.data for part in parts), PADDING]), together


def sift(schema: Schema, data: bytes, offsets: Offsets) -> tuple[bytes, Offsets, list[int]]:
    """Take out what is no datum of *schema*.

    Args:
        schema: the writer's.
        data: datums end to end.
        offsets: where each begins and the last ends: int64, shape (count + 1,), from 0 on.

    Returns:
        The good ones as data and offsets (the same objects where all are good); the numbers of the bad ones.
    """
    good = codec.valid(schema, data, offsets)
    if good is None:
        return data, offsets, []
    edges = np.flatnonzero(np.diff(good, prepend=False, append=False))
    runs = offsets[edges].reshape(-1, 2).tolist()
    kept = np.concatenate(([0], np.cumsum(np.diff(offsets)[good])))
    return b"".join([data[begin:end] for begin, end in runs]), kept, np.flatnonzero(~good).tolist()


def ready_blocks(
    schema: Schema, blocks: Sequence[OpenBlock], good: bytes, offsets: Offsets, bad: Sequence[int]
) -> list[ReadyBlock]:
    """What is left of *blocks*, none empty, once the datums numbered *bad* are out.

    Args:
        schema: the writer's.
        blocks: as they were gathered.
        good, offsets, bad: what `sift` says of all their datums.
    """
    bounds = [end - bisect.bisect_left(bad, end) for end in accumulate((b.count for b in blocks), initial=0)]
    kept = [number for number, (first, last) in enumerate(pairwise(bounds)) if first < last]
    if not kept:
        return []
    firsts = [bounds[number] for number in kept]
    extents = _extents(schema, good, offsets, firsts)
    edges, view = offsets[[*firsts, bounds[-1]]].tolist(), memoryview(good)
    return [
        ReadyBlock(bounds[number + 1] - bounds[number], view[begin:end], blocks[number].time_ns, *extent)
        for number, (begin, end), extent in zip(kept, pairwise(edges), extents, strict=True)
    ]


def _extents(
    schema: Schema, data: bytes, offsets: Offsets, firsts: Sequence[int]
) -> Iterable[tuple[int | float | None, int | float | None]]:
    """Least and greatest abscissa of the datums from each of *firsts* to the next; None: it is no number."""
    abscissa = schema.abscissa
    if abscissa.nullable or abscissa.kind not in _INDEXED:
        return repeat((None, None), len(firsts))
    values = codec.abscissa(Batch(schema, data, len(offsets) - 1, offsets))
    least, greatest = np.minimum.reduceat(values, firsts), np.maximum.reduceat(values, firsts)
    return zip(least.tolist(), greatest.tolist(), strict=True)


def reason(schema: Schema, data: bytes, begin: int, end: int) -> str:
    """Why `data[begin:end]` is no datum of *schema*, in a few words."""
    try:
        stop = skipper(schema)(data, begin, end)
    except ValueError as exc:
        return str(exc)
    return f"{end - stop} bytes too many" if stop < end else "not a datum of the schema"
