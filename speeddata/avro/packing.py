"""Columns to datums: where each value of each datum goes is known before the first byte is written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speeddata.avro.columns import Column
from speeddata.avro.datum import value_encoder
from speeddata.avro.schema import Schema
from speeddata.avro.types import DTYPES, Signal, Union
from speeddata.avro.varints import coded_bytes, coded_lengths, zigzag
from speeddata.batch import Batch

Values = Column | NDArray[Any] | Sequence[Any]

_SPARE = 8  # bytes at the end, so that every position can be seen as any number


def encode(schema: Schema, columns: Mapping[str, Values]) -> Batch:
    """The batch whose columns are *columns*: one for each signal, all of one length.

    Args:
        columns: arrays or lists; `Column` where a nullable signal has nulls (in a list None will do).

    Raises:
        ValueError: signals missing or unknown, lengths that differ, values that a signal's type cannot hold.
            Nothing is rounded or cut, but doubles that go into a float.
    """
    names = [signal.name for signal in schema.signals]
    if set(names) != columns.keys():
        raise ValueError(f"columns {sorted(columns)} for signals {sorted(names)}")
    counts = {_count(values) for values in columns.values()}
    if len(counts) > 1:
        raise ValueError(f"columns of different lengths: {sorted(counts)}")
    packed = [_packed(signal, columns[signal.name]) for signal in schema.signals]
    sizes = np.zeros(counts.pop(), np.int64)
    for each in packed:
        sizes += each.lengths
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    out = np.zeros(int(offsets[-1]) + _SPARE, np.uint8)
    at = offsets[:-1].copy()
    for each in packed:
        each.write(out, at)
        at += each.lengths
    return Batch(schema, out[:-_SPARE].tobytes(), len(sizes), offsets)


class _Packed(ABC):
    """A column in bytes: how long each value is, and a way to put them in place."""

    lengths: NDArray[np.int64] | int

    @abstractmethod
    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        """Write the values to *out*, each where *at* says, shape (count,)."""


class _Numbers(_Packed):
    """Values of a fixed width."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values
        self.lengths = values.dtype.itemsize

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        dtype = self.values.dtype
        everywhere: NDArray[Any] = np.ndarray((len(out) - dtype.itemsize + 1,), dtype, out.data, 0, (1,))
        everywhere[at] = self.values


class _Integers(_Packed):
    """Variable-length zig-zag integers."""

    def __init__(self, values: NDArray[np.int64]) -> None:
        self.coded = zigzag(values)
        self.widths = coded_lengths(self.coded)
        self.lengths = self.widths

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        longest = int(self.widths.max(initial=1))
        places = np.arange(longest)
        coded = coded_bytes(self.coded, longest)
        last = self.widths[:, None] - 1
        coded |= (places < last).view(np.uint8) << np.uint8(7)
        where = at[:, None] + places
        if int(self.widths.min(initial=longest)) == longest:
            out[where] = coded
        else:
            written = places <= last
            out[where[written]] = coded[written]


class _Pieces(_Packed):
    """Values that Python has encoded."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.joined = np.frombuffer(b"".join(pieces), np.uint8)
        self.widths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        self.lengths = self.widths

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        before = np.cumsum(self.widths) - self.widths
        out[np.repeat(at - before, self.widths) + np.arange(len(self.joined))] = self.joined


class _Nullable(_Packed):
    """The branch of each value, and the values that are there."""

    def __init__(self, there: NDArray[np.bool_], null: int, values: _Packed) -> None:
        self.there, self.values = there, values
        self.index = np.where(there, 2 * (1 - null), 2 * null).astype(np.uint8)
        widths = np.ones(len(there), np.int64)
        widths[there] += values.lengths
        self.lengths = widths

    def write(self, out: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        out[at] = self.index
        self.values.write(out, at[self.there] + 1)


def _count(values: Values) -> int:
    return len(values.values if isinstance(values, Column) else values)


def _packed(signal: Signal, given: Values) -> _Packed:
    column = given if isinstance(given, Column) else Column(_as_array(signal, given))
    values, there = column.values, column.valid
    if there is None and signal.dtype is not None and not isinstance(signal.node, Union):
        return _numbers(signal, values)
    if there is None and signal.nullable and values.dtype == object:
        there = np.fromiter((value is not None for value in values), np.bool_, len(values))
    if there is None:
        there = np.ones(len(values), np.bool_)
    if len(there) != len(values):
        raise ValueError(
            f"{signal.name}: {len(values)} values, of which {len(there)} are said to be valid or not"
        )
    if not signal.nullable and not there.all():
        raise ValueError(f"{signal.name}: null, but the signal is not nullable")
    if signal.dtype is None:
        return _Pieces(_pieces(signal, values, there))
    packed = _numbers(signal, values if there.all() else values[there])
    if not isinstance(signal.node, Union):
        return packed
    return _Nullable(there, 0 if signal.node.branches[0].kind == "null" else 1, packed)


def _as_array(signal: Signal, given: NDArray[Any] | Sequence[Any]) -> NDArray[Any]:
    if isinstance(given, np.ndarray):
        return given
    if signal.dtype is None or (signal.nullable and any(value is None for value in given)):
        return np.fromiter(given, object, len(given))
    return np.array(given)


def _numbers(signal: Signal, values: NDArray[Any]) -> _Packed:
    """*values*, none of them null, of a signal of numbers or booleans."""
    dtype = DTYPES[signal.kind]
    if values.dtype == object:
        values = np.array(values.tolist())
    if values.ndim != 1:
        raise ValueError(f"{signal.name}: values of shape {values.shape}")
    if not len(values):
        values = values.astype(dtype)
    kinds = {"boolean": "b", "int": "iu", "long": "iu"}.get(signal.kind, "iuf")
    if values.dtype.kind not in kinds:
        raise ValueError(f"{signal.name}: values of type {values.dtype} are no {signal.kind}")
    if kinds != "iu":
        return _Numbers(values.astype(dtype, copy=False))
    limits = np.iinfo(dtype)
    if (
        len(values)
        and values.dtype != dtype
        and not limits.min <= int(values.min()) <= int(values.max()) <= limits.max
    ):
        raise ValueError(f"{signal.name}: a value is out of the range of {signal.kind}")
    return _Integers(values.astype(np.int64, copy=False))


def _pieces(signal: Signal, values: NDArray[Any], there: NDArray[np.bool_]) -> list[bytes]:
    """*values* that are not numbers, in bytes; null where they are not *there*."""
    plain = values.tolist()
    if not there.all():
        plain = [value if valid else None for value, valid in zip(plain, there.tolist(), strict=True)]
    encode_one = value_encoder(signal.node, signal.name)
    if signal.kind in ("string", "enum") and all(isinstance(value, str | None) for value in plain):
        coded = {value: encode_one(value) for value in set(plain)}  # text repeats itself
        return [coded[value] for value in plain]
    return [encode_one(value) for value in plain]
