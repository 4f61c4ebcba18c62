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
from speeddata.table import many

BLOCK_BYTES = 64 << 10
_INDEXED = {"int", "long", "float", "double"}
_PART_WEIGHT = 300  # bytes of memory that a part takes beside its data and offsets, roughly

Offsets: TypeAlias = NDArray[np.int64]
Address: TypeAlias = tuple[str, int]


class Part(NamedTuple):
    """Datums *first* to *last* (exclusive) of what arrived together from one address."""

    data: bytes
    offsets: Offsets
    first: int
    last: int
    address: Address
    now_ns: int

    def follows(self, other: Part) -> bool:
        """Whether it begins where *other* ends, in the same arrival."""
        return self.data is other.data and self.offsets is other.offsets and self.first == other.last


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
        last, begin, end = len(offsets) - 1, offsets.item(first), offsets.item(-1)
        room = BLOCK_BYTES - self.size
        if end - begin > room:
            last = int(offsets.searchsorted(begin + room, "right")) - 1
            if last <= first:
                return first
            end = offsets.item(last)
        self._parts.append(Part(data, offsets, first, last, address, now_ns))
        self.size += end - begin
        self.count += last - first
        return last

    def settle(self) -> None:
        """Stay open for more: a small piece of a large arrival must not keep all of it in memory."""
        part = self._parts[-1]
        if (count := part.last - part.first) < len(part.offsets) - 1:
            offsets = part.offsets[part.first : part.last + 1]
            data = part.data[offsets[0] : offsets[-1]]
            self._parts[-1] = part._replace(data=data, offsets=offsets - offsets[0], first=0, last=count)

    def origin(self, number: int) -> tuple[str, int]:
        """Where datum *number* came from, as `ADDR:PORT`, and when, in nanoseconds UTC."""
        for part in self._parts:
            number -= part.last - part.first
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


def cut(data: bytes, offsets: Offsets, address: Address, now_ns: int, time_ns: int) -> list[OpenBlock]:
    """A large arrival, all of it, as blocks, of which the last one is what is left; *time_ns* is now, UTC."""
    blocks = []
    first, count = 0, len(offsets) - 1
    while first < count:
        block = OpenBlock(now_ns, time_ns)
        first = block.take(data, offsets, first, address, now_ns)
        blocks.append(block)
    return blocks


def joined(blocks: Sequence[OpenBlock]) -> tuple[bytes, Offsets]:
    """The datums of *blocks*: data, and where in it each begins and the last ends, int64, shape (count + 1,).

    What is one piece of one arrival is not copied. Behind what is, `PADDING` follows: `codec.valid` needs it.
    """
    parts = [part for block in blocks for part in block._parts]
    begin, end = parts[0], parts[-1]
    if all(after.follows(before) for before, after in pairwise(parts)):
        whole = end.last - begin.first == len(begin.offsets) - 1
        return begin.data, begin.offsets if whole else begin.offsets[begin.first : end.last + 1]
    # One operation on all offsets: of a slow channel a block has some dozen parts of a few datums each.
    pieces: list[bytes | memoryview] = []
    begins: list[Offsets] = []
    shifts: list[int] = []
    size = 0
    for data, offsets, first, last, *_ in parts:
        start, stop = offsets.item(first), offsets.item(last)
        pieces.append(data if stop - start == len(data) else memoryview(data)[start:stop])
        begins.append(offsets[first:last])
        shifts.append(size - start)
        size += stop - start
    pieces.append(PADDING)
    begins.append(np.array([size], np.int64))
    together = np.concatenate(begins)
    together[:-1] += np.repeat(shifts, [len(each) for each in begins[:-1]])
    return b"".join(pieces), together


def sift(schema: Schema, data: bytes, offsets: Offsets) -> tuple[bytes, Offsets, list[int]]:
    """Take out what is no datum of *schema*.

    Args:
        schema: the writer's.
        data: datums end to end.
        offsets: where each begins and the last ends: int64, shape (count + 1,).

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
    return f"{many(end - stop, 'byte')} too many" if stop < end else "not a datum of the schema"
