"""Columns: what each type of a schema asks of the reading heads to read all values of a signal."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speeddata.avro.datum import value_decoder
from speeddata.avro.heads import Heads
from speeddata.avro.layout import (
    BITS,
    WIDTHS,
    bounds_of,
    indices_at,
    joined_before,
    move_array,
    move_counted,
    mover,
    width_of,
)
from speeddata.avro.types import DTYPES, Array, Enum, Fixed, Node, Primitive, Signal, Union


@dataclass(frozen=True, slots=True)
class Column:
    """One signal of a batch.

    Attributes:
        values: shape (count,), or (count, length) for an array of numbers whose schema promises a length
            that all of them have. Numbers and booleans keep their dtype; everything else is objects: str for
            text and enums, bytes for bytes and fixed, list, dict.
        valid: where a nullable signal has a value, bool, shape (count,); None where it is not nullable.
            Where there is no value, *values* has NaN, 0, False or None.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_] | None = None


def as_objects(column: Column) -> NDArray[Any]:
    """The values of *column* one by one, shape (count,): a row of a table is an array, and null is None."""
    values = np.fromiter(column.values.tolist(), object, len(column.values))
    if column.valid is not None:
        values[~column.valid] = None
    return values


Read = Callable[[Heads], Column]


def reader(signal: Signal) -> Read:
    """A function that reads the column of *signal* and moves the heads past it."""
    node = signal.node
    if isinstance(node, Union) and signal.nullable:
        null = next(index for index, branch in enumerate(node.branches) if branch.kind == "null")
        return _nullable(_values(signal.value_node), null, signal.value_node)
    read = _values(node)
    return lambda heads: Column(read(heads))


def _values(node: Node) -> Callable[[Heads], NDArray[Any]]:
    """A function that reads the values of *node*, already proven."""
    match node:
        case Primitive(kind="null"):
            return lambda heads: np.full(heads.count, None, object)
        case Primitive(kind="boolean"):
            return lambda heads: _fixed_width(heads, "?", 1)
        case Primitive(kind="float" | "double" as kind):
            return lambda heads: _fixed_width(heads, DTYPES[kind], WIDTHS[kind])
        case Primitive(kind="int" | "long" as kind):
            return lambda heads: _integers(heads, kind)
        case Primitive(kind="string"):
            return _texts
        case Primitive():
            return lambda heads: _slices(heads, move_counted(heads, heads.integers(64)))
        case Fixed(size=size):
            return lambda heads: _slices(heads, move_counted(heads, size))
        case Enum(symbols=symbols):
            return _symbols(symbols)
        case Array(items=Primitive(kind=kind) as items, length=int(length)) if kind in DTYPES:
            return _arrays(node, length, DTYPES[kind], width_of(items))
        case _:
            return _objects(node)


def _fixed_width(heads: Heads, dtype: str, width: int) -> NDArray[Any]:
    heads.advance(width)
    return heads.take(dtype, ahead=-width)


def _integers(heads: Heads, kind: str) -> NDArray[Any]:
    values = heads.integers(BITS[kind])
    if isinstance(values, int):
        return np.full(heads.count, values, DTYPES[kind])
    return values.astype(DTYPES[kind], copy=False)


def _texts(heads: Heads) -> NDArray[Any]:
    lengths = move_counted(heads, heads.integers(64))
    joined = joined_before(heads, lengths)
    if isinstance(lengths, int):
        rows = joined.reshape(heads.count, lengths)
        if heads.count == 1 or (rows == rows[0]).all():
            return _repeated(rows[0].tobytes().decode(), heads.count)
    cuts = itertools.pairwise(bounds_of(heads, lengths).tolist())
    coded = joined.tobytes()
    if coded.isascii():
        text = coded.decode("ascii")
        return _as_objects([text[start:end] for start, end in cuts])
    return _as_objects([coded[start:end].decode() for start, end in cuts])


def _slices(heads: Heads, lengths: int | NDArray[np.int64]) -> NDArray[Any]:
    """The *lengths* bytes before each head, as objects."""
    ends = heads.positions()
    cuts = zip((ends - lengths).tolist(), ends.tolist(), strict=True)
    return _as_objects([heads.data[start:end] for start, end in cuts])


def _symbols(symbols: tuple[str, ...]) -> Callable[[Heads], NDArray[Any]]:
    table = _as_objects(list(symbols))

    def read(heads: Heads) -> NDArray[Any]:
        indices = indices_at(heads, len(symbols))
        return _repeated(symbols[indices], heads.count) if isinstance(indices, int) else table[indices]

    return read


def _arrays(node: Array, length: int, dtype: str, width: int | None) -> Callable[[Heads], NDArray[Any]]:
    """A function that reads arrays of, so the schema promises, *length* numbers: rows, if all are so long."""
    move, decode = mover(node), value_decoder(node)

    def read(heads: Heads) -> NDArray[Any]:
        starts = heads.positions()
        if width is None:
            move(heads)
        else:
            counts = move_array(heads, width)
            if np.all(counts == length):
                return heads.take_many(dtype, length, ahead=-1 - length * width)
        found = _decoded(heads, starts, decode)
        if all(len(each) == length for each in found):
            return np.array(found.tolist(), dtype).reshape(heads.count, length)
        return found

    return read


def _objects(node: Node) -> Callable[[Heads], NDArray[Any]]:
    move, decode = mover(node), value_decoder(node)

    def read(heads: Heads) -> NDArray[Any]:
        starts = heads.positions()
        move(heads)
        return _decoded(heads, starts, decode)

    return read


def _decoded(heads: Heads, starts: NDArray[np.int64], decode: Callable[[bytes], Any]) -> NDArray[Any]:
    cuts = zip(starts.tolist(), heads.positions().tolist(), strict=True)
    return _as_objects([decode(heads.data[start:end]) for start, end in cuts])


def _repeated(text: str, count: int) -> NDArray[Any]:
    # np.full would make an array of the text first, and so lose the NULs at its end
    found = np.empty(count, object)
    found.fill(text)
    return found


def _as_objects(values: list[Any]) -> NDArray[Any]:
    return np.fromiter(values, object, len(values))


def _nullable(read: Callable[[Heads], NDArray[Any]], null: int, node: Node) -> Read:
    def column(heads: Heads) -> Column:
        indices = indices_at(heads, 2)
        if isinstance(indices, int):
            there = indices != null
            values = read(heads) if there else blank(node, heads.count)
            return Column(values, np.full(heads.count, there))
        valid = indices != null
        rows, others = np.flatnonzero(valid), np.flatnonzero(~valid)
        part = heads.branch(rows)
        found = read(part)
        heads.rejoin([(rows, part), (others, heads.branch(others))])
        values = blank(node, len(valid))
        if values.shape[1:] != found.shape[1:]:  # arrays of another length than the schema promises
            values = np.full(len(valid), None, object)
        values[rows] = found
        return Column(values, valid)

    return column


def blank(node: Node, count: int) -> NDArray[Any]:
    """*count* values that stand for null where *node* is nullable: NaN, 0, False, None."""
    match node:
        case Array(items=Primitive(kind=kind), length=int(length)) if kind in DTYPES:
            shape: tuple[int, ...] = (count, length)
        case Primitive(kind=kind) if kind in DTYPES:
            shape = (count,)
        case _:
            return np.full(count, None, object)
    dtype = np.dtype(DTYPES[kind])
    return np.full(shape, np.nan if dtype.kind == "f" else 0, dtype)


def column_of(signal: Signal, values: list[Any]) -> Column:
    """The column that Python *values* of *signal* make; None where it is null."""
    node = signal.value_node
    rows = [row for row, value in enumerate(values) if value is not None or not signal.nullable]
    there = [values[row] for row in rows]
    column = blank(node, len(values))
    if column.ndim == 2 and any(len(each) != column.shape[1] for each in there):
        column = np.full(len(values), None, object)
    if there:
        column[rows] = _as_objects(there) if column.dtype == object else np.array(there, column.dtype)
    if not signal.nullable:
        return Column(column)
    valid = np.zeros(len(values), np.bool_)
    valid[rows] = True
    return Column(column, valid)
