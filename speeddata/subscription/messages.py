"""Recorded blocks cut into messages: the same block gives the same messages, whatever was read with it.

Many blocks are decoded and encoded together, which is what small ones need, but every message is of one block
alone, and where it is cut follows from the block alone. Nothing here asks a clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from speeddata import columnar
from speeddata.avro.columns import Column
from speeddata.avro.schema import Schema
from speeddata.errors import DataError
from speeddata.subscription.envelope import FRAME_BYTES, ITEM_BYTES, Encoded, Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speeddata.batch import Batch

_TOGETHER = 1 << 20  # bytes of datums that are decoded together
_POINTS = 100_000  # datapoints that are text at the same time; a cut may lie there, so ids rest on it


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message holds at most.

    Attributes:
        points: datapoints of one id.
        size: bytes; only a single datapoint may be more...
        most: ...and that much at most; beyond that it is left out, and told.
    """

    points: int = 1000
    size: int = 256_000
    most: int = 900_000


LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A whole block of a recording, and where it lies.

    Attributes:
        sync: marker of its file, which no other file has.
        offset: of the block in the file.
        batch: its datums, all of them.
    """

    sync: bytes
    offset: int
    batch: Batch


@dataclass(frozen=True, slots=True)
class Part:
    """A message before anybody knows whom it is for.

    Attributes:
        block: number of the block it is of, among those that were given together.
        id: the same whenever the same block is sent; see `message_id`.
        body: the envelope.
        time_ns: of the newest sample in it, as written, since 1970.
        points: datapoints in it.
    """

    block: int
    id: str
    body: bytes
    time_ns: int
    points: int


@dataclass(slots=True)
class Losses:
    """What did not become messages.

    Attributes:
        damaged: datums of blocks that cannot be read.
        too_large: datapoints that no message can hold.
    """

    damaged: int = 0
    too_large: int = 0


def message_id(sync: bytes, block_offset: int, part: int, rev: int) -> str:
    """What names a message: the file's marker in hexadecimal digits, block, part and revision.

    *rev* has to change whenever the same block would give other messages: with the set of series, the
    precision and the signal of the status.
    """
    return f"{sync.hex()}:{block_offset}:{part}:{rev}"


def cut(
    blocks: Sequence[BlockRef],
    encoder: Encoder,
    rev: int,
    *,
    losses: Losses | None = None,
    limits: Limits = LIMITS,
) -> Iterator[Part]:
    """The messages of *blocks*, in order; none of those that have no sample of the encoder's series.

    Args:
        blocks: of one channel; the more of them at once, the better for small ones.
        encoder: of that channel.
        rev: of its series; see `message_id`.
        losses: counts what is left out; without it that is an error.

    Raises:
        DataError: a block is damaged, a datapoint is too large, or the abscissa is no time.
        UsageError: the signal that says the status is no integer or boolean.
    """
    for together in _gathered(blocks):
        schema = blocks[together[0]].batch.schema
        if not (names := encoder.names(schema)):
            continue
        rows = max(1, _POINTS // len(encoder.series))
        for numbers, columns in _decoded(schema, blocks, together, names, losses):
            number, made = -1, 0
            for spans in _spans([blocks[each].batch.count for each in numbers], rows):
                first, end = spans[0].first, spans[-1].end
                encoded = encoder.encode(schema, _between(columns, first, end))
                sizes = _Sizes.of(encoded)
                for span in spans:
                    if numbers[span.place] != number:
                        number, made = numbers[span.place], 0
                    low, high = encoded.kept(span.first - first), encoded.kept(span.end - first)
                    for body, newest, points in _bodies(
                        encoded, sizes, low, high, limits, blocks[number], losses
                    ):
                        name = message_id(blocks[number].sync, blocks[number].offset, made, rev)
                        yield Part(number, name, body, newest, points)
                        made += 1


def _gathered(blocks: Sequence[BlockRef]) -> Iterator[list[int]]:
    """The numbers of blocks of one schema that follow each other, about `_TOGETHER` bytes of them."""
    held, waiting = 0, list[int]()
    for number, block in enumerate(blocks):
        if block.batch.count < 1:
            continue
        if waiting and (
            held + len(block.batch.data) > _TOGETHER or blocks[waiting[0]].batch.schema != block.batch.schema
        ):
            yield waiting
            held, waiting = 0, []
        waiting.append(number)
        held += len(block.batch.data)
    if waiting:
        yield waiting


def _decoded(
    schema: Schema, blocks: Sequence[BlockRef], numbers: list[int], names: list[str], losses: Losses | None
) -> Iterator[tuple[list[int], Mapping[str, Column]]]:
    """The columns of blocks end to end, and which those are; one by one where one of them is damaged."""
    batches = [blocks[number].batch for number in numbers]
    try:
        ((_, columns),) = columnar.pieces(batches, names, size=sum(len(each.data) for each in batches) + 1)
    except DataError as exc:
        if len(numbers) > 1:
            for number in numbers:
                yield from _decoded(schema, blocks, [number], names, losses)
            return
        if losses is None:
            raise DataError(exc.what, where=f"block at byte {blocks[numbers[0]].offset}") from exc
        losses.damaged += batches[0].count
        return
    yield numbers, columns


class _Span(NamedTuple):
    """Datums *first* to *end* (exclusive) of blocks end to end, all of the block at *place*."""

    place: int
    first: int
    end: int


def _spans(counts: Sequence[int], rows: int) -> Iterator[list[_Span]]:
    """Runs of spans that have at most *rows* datums.

    A block of more datums is cut at every *rows* of its own, so that where does not depend on its neighbours.
    """
    some, held, begin = list[_Span](), 0, 0
    for place, count in enumerate(counts):
        for first in range(0, count, rows):
            size = min(rows, count - first)
            if some and held + size > rows:
                yield some
                some, held = [], 0
            some.append(_Span(place, begin + first, begin + first + size))
            held += size
        begin += count
    if some:
        yield some


def _between(columns: Mapping[str, Column], first: int, end: int) -> dict[str, Column]:
    """Datums *first* to *end* (exclusive)."""
    return {
        name: Column(each.values[first:end], None if each.valid is None else each.valid[first:end])
        for name, each in columns.items()
    }


def _bodies(
    encoded: Encoded,
    sizes: _Sizes,
    first: int,
    end: int,
    limits: Limits,
    block: BlockRef,
    losses: Losses | None,
) -> Iterator[tuple[bytes, int, int]]:
    """Bodies of kept datums *first* to *end* (exclusive), the newest time and the datapoints of each."""
    for low, high, only in _cuts(sizes, first, end, limits):
        body = encoded.body(low, high, only)
        series = encoded.series if only is None else len(only)
        if len(body) <= limits.most:
            yield body, encoded.times.newest_ns(low, high), (high - low) * series
        elif losses is not None:
            losses.too_large += 1
        else:
            raise DataError(
                f"a datapoint takes {len(body)} bytes, more than any message may have",
                where=f"block at byte {block.offset}",
                mend="leave that signal out",
            )


class _Sizes(NamedTuple):
    """What `Encoded.sizes` says, added up once for all its blocks.

    Attributes:
        each: of every series.
        fixed: of those together that have one size.
        varied: of the others.
    """

    each: list[NDArray[np.int64] | int]
    fixed: int
    varied: list[NDArray[np.int64]]

    @classmethod
    def of(cls, encoded: Encoded) -> _Sizes:
        each = encoded.sizes
        fixed = sum(size for size in each if isinstance(size, int))
        return cls(each, fixed, [size for size in each if not isinstance(size, int)])


def _cuts(sizes: _Sizes, first: int, end: int, limits: Limits) -> Iterator[tuple[int, int, range | None]]:
    """Datums and series of each message: as many datums as fit, and where not even one does, series."""
    if not sizes.each or first >= end:
        return
    room = limits.size - FRAME_BYTES - ITEM_BYTES * len(sizes.each)
    if end == first + 1:  # as below, without its arrays
        if sizes.fixed + sum(int(size[first]) for size in sizes.varied) <= room:
            yield first, end, None
        else:
            yield from _across(sizes.each, first, limits)
        return
    fixed, varied = sizes.fixed, [size[first:end] for size in sizes.varied]
    if not varied and fixed <= room:
        most = min(limits.points, room // fixed)
        for low in range(first, end, most):
            yield low, min(low + most, end), None
        return
    each = np.sum(varied, axis=0, dtype=np.int64) + fixed if varied else np.full(end - first, fixed)
    at = np.concatenate(([0], np.cumsum(each)))
    done, count = 0, end - first
    while done < count:
        fitting = int(np.searchsorted(at, at[done] + room, "right")) - 1
        until = min(fitting, done + limits.points, count)
        if until > done:
            yield first + done, first + until, None
        else:
            until = done + 1
            yield from _across(sizes.each, first + done, limits)
        done = until


def _across(
    sizes: Sequence[NDArray[np.int64] | int], row: int, limits: Limits
) -> Iterator[tuple[int, int, range]]:
    """One datum, cut into runs of series."""
    held, start = FRAME_BYTES, 0
    for place, size in enumerate(sizes):
        taken = ITEM_BYTES + (size if isinstance(size, int) else int(size[row]))
        if place > start and held + taken > limits.size:
            yield row, row + 1, range(start, place)
            held, start = FRAME_BYTES, place
        held += taken
    yield row, row + 1, range(start, len(sizes))
