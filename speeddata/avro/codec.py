"""A batch at a time: which datums are ones, where each begins, datums to columns and back.

Long runs of datums of one `Shape` are proven by a few bytes and read a slab at a time. `Heads` prove what
else NumPy can prove of many datums together; what they leave open, and batches too small to pay for an array
operation, the `skipper` decides one by one. All say the same of every datum.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speeddata.avro import boundaries, runs, slabs
from speeddata.avro.columns import Column, Read, as_objects, column_of, reader
from speeddata.avro.datum import decode
from speeddata.avro.heads import PADDING, Heads
from speeddata.avro.layout import Move, merged, width_of
from speeddata.avro.packing import encode
from speeddata.avro.schema import Schema
from speeddata.avro.skipper import counts_empty_items, skipper
from speeddata.avro.types import Primitive, Signal
from speeddata.avro.varints import CONTINUED, same_length, values_of
from speeddata.batch import Batch
from speeddata.errors import DataError

__all__ = ["Column", "abscissa", "columns", "encode", "offsets", "valid"]

Offsets = NDArray[np.int64]

_SOONER_COPIED = 1 << 17  # bytes: beyond that a last datum by itself costs less than the room behind it
RUN = 256  # datums: runs of equal size that are this long on average are looked at one after the other


def valid(schema: Schema, data: bytes, offsets: Offsets) -> NDArray[np.bool_] | None:
    """Which datums decode to exactly their length, shape (count,); None, at no cost, where all do.

    Args:
        data: holds the datums. Few bytes are copied, unless `PADDING` or more follows the last one.
        offsets: int64, shape (count + 1,): datum i is data[offsets[i]:offsets[i + 1]].

    Raises:
        ValueError: *offsets* go beyond *data*.
    """
    count = len(offsets) - 1
    if not 0 <= offsets[0] <= offsets[-1] <= len(data):
        raise ValueError("offsets beyond the data")
    if count < boundaries.FEW or counts_empty_items(schema):
        return _one_by_one(schema, data, offsets, range(count))
    proven = np.zeros(count, np.bool_)
    if offsets[-1] + len(PADDING) > len(data):
        if len(data) <= _SOONER_COPIED:
            data += PADDING
        else:  # the last datums, which have no room behind them, are left to be looked at one by one
            count = max(0, int(offsets.searchsorted(len(data) - len(PADDING), "right")) - 1)
    for first, heads in _runs(data, offsets[: count + 1], strict=True) if count else ():
        proven[first + boundaries.proven(schema, heads)] = True
    if proven.all():
        return None
    return _one_by_one(schema, data, offsets, np.flatnonzero(~proven).tolist())


def offsets(batch: Batch) -> Offsets:
    """Where each datum of *batch* begins and the last one ends, int64, shape (count + 1,); kept in the batch.

    Raises:
        DataError: what the batch holds is not *count* datums, end to end.
    """
    if batch.offsets is None:
        try:
            batch.runs = runs.runs_of(batch.schema, batch.data, batch.count)
            if batch.runs is None:
                batch.offsets = boundaries.find(batch.schema, batch.data, batch.count)
            else:
                batch.offsets = runs.offsets_of(batch.runs)
        except ValueError as exc:
            raise DataError(f"a block of {batch.count} datums is damaged: {exc}") from exc
    return batch.offsets


def columns(batch: Batch, names: Iterable[str] | None = None) -> dict[str, Column]:
    """The signals of *batch*, all or those in *names*, in the schema's order.

    Offsets that the batch already has are taken to be right.

    Raises:
        DataError: the batch is damaged.
        KeyError: the schema has no signal of that name.
    """
    signals = batch.schema.signals
    wanted = None if names is None else frozenset(names)
    if wanted is not None and (unknown := wanted.difference(signal.name for signal in signals)):
        raise KeyError(min(unknown))
    chosen = [signal for signal in signals if wanted is None or signal.name in wanted]
    starts = offsets(batch)
    if not 0 <= starts[0] <= starts[-1] <= len(batch.data):
        raise DataError("the offsets of a batch go beyond its data")
    if batch.count < 1:
        return {signal.name: column_of(signal, []) for signal in chosen}
    simple = [each for each in chosen if slabs.readable(each)]
    found = slabs.columns(batch.schema, batch.data, starts, simple, batch.runs)
    if not found:
        return _with_heads(batch, chosen, wanted)
    others = [signal for signal in chosen if signal.name not in found]
    rest = _with_heads(batch, others, frozenset(each.name for each in others)) if others else {}
    return {each.name: rest.get(each.name) or Column(found[each.name]) for each in chosen}


def _with_heads(batch: Batch, chosen: list[Signal], wanted: frozenset[str] | None) -> dict[str, Column]:
    """The columns of the signals *chosen*, which are those *wanted*."""
    starts = offsets(batch)
    steps = _plan(batch.schema, wanted)
    try:
        parts = [_read(steps, heads) for _, heads in _runs(batch.data + PADDING, starts, strict=False)]
    except ValueError:  # an array of several blocks, or the offsets are wrong
        return _columns_one_by_one(batch, chosen)
    if len(parts) == 1:
        return parts[0]
    return {signal.name: _end_to_end([part[signal.name] for part in parts]) for signal in chosen}


def abscissa(batch: Batch) -> NDArray[Any]:
    """The abscissa of each datum: int64, or float64 where it is a floating-point number; shape (count,).

    Its unit is the schema's `time_unit`. Where it is null: the least int64, or NaN.

    Raises:
        DataError: the abscissa is not a number, or the batch is damaged.
    """
    signal = batch.schema.abscissa
    if signal.dtype is None or signal.dtype == "?":
        raise DataError(f"the abscissa {signal.name} is of type {signal.kind}, not a number")
    before = _before_long_abscissa(batch.schema)
    if before is not None and (found := _longs(batch, before)) is not None:
        return found
    column = columns(batch, [signal.name])[signal.name]
    values = column.values.astype("<f8" if column.values.dtype.kind == "f" else "<i8", copy=False)
    if column.valid is not None and values.dtype.kind == "i":
        values[~column.valid] = np.iinfo(np.int64).min
    return values


@lru_cache(maxsize=512)
def _before_long_abscissa(schema: Schema) -> int | None:
    """How many bytes stand before the abscissa in every datum; None where that differs, or it is no long."""
    widths = [width_of(signal.node) for signal in schema.signals[: schema.abscissa_index]]
    match schema.abscissa.node:
        case Primitive(kind="long") if None not in widths:
            return sum(width or 0 for width in widths)
    return None


def _longs(batch: Batch, before: int) -> Offsets | None:
    """The long *before* bytes behind the beginning of each datum; None where not all are of the same length.

    The short way to a time, since a relay's writer asks for that of every block: whether datums are of equal
    size, and what stands behind the time, does not matter here.
    """
    starts, data = offsets(batch), batch.data
    heads = starts[:-1]
    if batch.count < 1 or not 0 <= starts[0] <= starts[-1] <= len(data):
        return None
    shortest = int((starts[1:] - heads).min())
    if shortest <= before:
        return None
    if starts[-2] + before + 10 > len(data):
        data += PADDING
    words = np.ndarray((len(data) - before - 7,), "<u8", data, before, (1,))[heads]
    every, some = int(np.bitwise_and.reduce(words)), int(np.bitwise_or.reduce(words))
    length, ninth = same_length(every, some), None
    if length is None or shortest < before + length:
        return None
    if length == 9:
        ninth = np.frombuffer(data, np.uint8, offset=before + 8)[heads]
        if int(ninth.max()) >= CONTINUED:
            return None
    return values_of(words, min(length, 8), ninth, negative=bool(some & 1))


def _one_by_one(
    schema: Schema, data: bytes, offsets: Offsets, rows: Sequence[int]
) -> NDArray[np.bool_] | None:
    """What `valid` says, where only *rows* are in doubt."""
    skip = skipper(schema)
    bounds = offsets.tolist()
    bad = []
    for row in rows:
        end = bounds[row + 1]
        try:
            if skip(data, bounds[row], end) != end:
                bad.append(row)
        except ValueError:
            bad.append(row)
    if not bad:
        return None
    good = np.ones(len(offsets) - 1, np.bool_)
    good[bad] = False
    return good


def _runs(padded: bytes, offsets: Offsets, *, strict: bool) -> Iterator[tuple[int, Heads]]:
    """Heads on all datums, and the number of the first: more than one where sizes change seldom."""
    if len(offsets) == 2:
        yield 0, Heads(padded, offsets[:-1], offsets[1:], strict=strict, even=int(offsets[1] - offsets[0]))
        return
    sizes = np.diff(offsets)
    changes = np.flatnonzero(sizes[1:] != sizes[:-1]) + 1
    if (len(changes) + 1) * RUN > len(sizes) and len(changes):
        yield 0, Heads(padded, offsets[:-1], offsets[1:], strict=strict)
        return
    bounds = [0, *changes.tolist(), len(sizes)]
    for first, last in itertools.pairwise(bounds):
        starts, ends = offsets[first:last], offsets[first + 1 : last + 1]
        yield first, Heads(padded, starts, ends, strict=strict, even=int(sizes[first]))


_Step = tuple[str, Read] | Move


@lru_cache(maxsize=512)
def _plan(schema: Schema, wanted: frozenset[str] | None) -> list[_Step]:
    """What to do to read *wanted*: columns to read by name, and moves past what lies between."""
    steps: list[_Step] = []
    between: list[Signal] = []
    for signal in schema.signals:
        if wanted is not None and signal.name not in wanted:
            between.append(signal)
            continue
        if between:
            steps.append(merged(each.node for each in between))
            between = []
        steps.append((signal.name, reader(signal)))
    return steps


def _read(steps: list[_Step], heads: Heads) -> dict[str, Column]:
    found = {}
    for step in steps:
        if isinstance(step, tuple):
            name, read = step
            found[name] = read(heads)
        else:
            step(heads)
    return found


def _end_to_end(parts: list[Column]) -> Column:
    values = [part.values for part in parts]
    if len({part.shape[1:] for part in values}) > 1:  # of arrays, some with the promised length and some not
        values = [as_objects(part) for part in parts]
    valid = [part.valid for part in parts if part.valid is not None]
    return Column(np.concatenate(values), np.concatenate(valid) if valid else None)


def _columns_one_by_one(batch: Batch, signals: list[Signal]) -> dict[str, Column]:
    bounds = offsets(batch).tolist()
    try:
        cuts = itertools.pairwise(bounds)
        datums = [decode(batch.schema, batch.data, start, end) for start, end in cuts]
    except Exception as exc:  # fastavro has no error of its own: EOFError, IndexError, ValueError...
        raise DataError("a datum is damaged") from exc
    return {signal.name: column_of(signal, [datum[signal.name] for datum in datums]) for signal in signals}
