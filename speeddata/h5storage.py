"""How the values of a signal lie in HDF5: in which datasets, of which type; no value is changed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from speeddata.avro.codec import Column
from speeddata.avro.columns import blank, column_of
from speeddata.avro.schema import Array, Enum, Fixed, Node, Primitive, Record, Signal
from speeddata.avro.types import DTYPES

_TEXT = h5py.string_dtype("utf-8")
_OCTETS = h5py.vlen_dtype(np.dtype("u1"))


class Storage(Protocol):
    """Values of one dataset.

    Attributes:
        dtype: of the dataset.
        tail: the shape of a value.
        fill: what stands where nothing was written.
        encoding: what the attribute of that name says; "" for none.
    """

    dtype: np.dtype[Any]
    tail: tuple[int, ...]
    fill: Any
    encoding: str

    @property
    def item_bytes(self) -> int:
        """Of a value in memory, about."""

    def encode(self, values: NDArray[Any]) -> NDArray[Any]:
        """*values* as they are written."""

    def wider(self, values: NDArray[Any]) -> Storage | None:
        """Another storage that holds *values*, too, where this one cannot; None where it can."""

    def decode(self, written: NDArray[Any]) -> NDArray[Any]:
        """The values that *written* was made of; only asked of what can become wider."""


@dataclass
class Plain:
    """Numbers, booleans, and rows of them: the bytes in memory are those in the file."""

    dtype: np.dtype[Any]
    tail: tuple[int, ...] = ()
    fill: Any = None
    encoding: str = ""

    @property
    def item_bytes(self) -> int:
        return self.dtype.itemsize * int(np.prod(self.tail, dtype=np.int64))

    def encode(self, values: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(values, self.dtype)

    def wider(self, values: NDArray[Any]) -> Storage | None:
        return Numbers(self.dtype) if values.dtype == object else None

    def decode(self, written: NDArray[Any]) -> NDArray[Any]:
        return _objects(list(written))


@dataclass
class Opaque(Plain):
    """Fixed: so many bytes, whatever they mean."""

    def encode(self, values: NDArray[Any]) -> NDArray[Any]:
        zeros = bytes(self.dtype.itemsize)
        return np.frombuffer(b"".join([zeros if each is None else each for each in values]), self.dtype)

    def wider(self, values: NDArray[Any]) -> Storage | None:
        return None


@dataclass
class _Variable:
    """Values of any length: HDF5 keeps them on its heap."""

    dtype: np.dtype[Any] = _OCTETS
    tail: tuple[int, ...] = ()
    fill: Any = None
    encoding: str = ""
    item_bytes: int = 100

    def wider(self, values: NDArray[Any]) -> Storage | None:
        return None

    def decode(self, written: NDArray[Any]) -> NDArray[Any]:
        raise NotImplementedError


@dataclass
class Text(_Variable):
    """Text and the symbols of enums."""

    dtype: np.dtype[Any] = _TEXT

    def encode(self, values: NDArray[Any]) -> NDArray[Any]:
        """Where each text begins in memory, which `memory` tells HDF5: uint64, shape (count,).

        HDF5 wants every text by its address, with a NUL at its end: so all are joined into one piece of
        memory, rather than converted one by one; those that repeat, once. The array keeps it.
        """
        firsts = _firsts(values)
        joined = np.frombuffer("\0".join([*_texts(values[firsts]), ""]).encode(), np.uint8)
        table = 8 * len(values)
        kept = np.empty(table + len(joined), np.uint8)
        kept[table:] = joined
        begins = np.full(len(firsts), kept.ctypes.data + table, np.uint64)
        begins[1:] += (np.flatnonzero(joined == 0)[: len(firsts) - 1] + 1).view(np.uint64)
        addresses = kept[:table].view(np.uint64)
        addresses[:] = np.repeat(begins, np.diff(firsts, append=len(values)))
        return addresses

    def wider(self, values: NDArray[Any]) -> Storage | None:
        # HDF5's text of variable length ends at the first NUL
        return Octets(encoding="utf-8") if "\0" in "".join(_texts(values[_firsts(values)])) else None

    def decode(self, written: NDArray[Any]) -> NDArray[Any]:
        return _objects([each.decode() for each in written])


@dataclass
class Octets(_Variable):
    """Bytes, and text that holds NULs."""

    def encode(self, values: NDArray[Any]) -> NDArray[Any]:
        coded = [each.encode() if isinstance(each, str) else each or b"" for each in values]
        return _objects([np.frombuffer(each, np.uint8) for each in coded])


@dataclass
class Numbers(_Variable):
    """Arrays of numbers, each as long as it is."""

    def __init__(self, item: np.dtype[Any]) -> None:
        super().__init__(h5py.vlen_dtype(item))
        self._item = item

    def encode(self, values: NDArray[Any]) -> NDArray[Any]:
        return _objects([np.array([] if each is None else each, self._item) for each in values])


@dataclass
class Json(_Variable):
    """What HDF5 has no plain word for: maps, wide unions, arrays of anything but numbers.

    Bytes are base64; NaN and infinities are the words `NaN` and `Infinity`, so that nothing is changed.
    """

    dtype: np.dtype[Any] = _TEXT
    encoding: str = "json"

    def encode(self, values: NDArray[Any]) -> NDArray[Any]:
        return _objects([json.dumps(each, default=_base64, ensure_ascii=False) for each in values])


def _firsts(values: NDArray[Any]) -> NDArray[np.int64]:
    """Where in *values*, objects, another one stands than before it: a state often stays for long."""
    identities = np.frombuffer(np.ascontiguousarray(values), np.intp)
    return np.flatnonzero(np.concatenate(([True], identities[1:] != identities[:-1]))[: len(values)])


def _texts(values: NDArray[Any]) -> list[str]:
    texts: list[str] = values.tolist()
    return [each or "" for each in texts] if None in texts else texts


def memory(storage: Storage, coded: NDArray[Any]) -> h5py.h5t.TypeID:
    """What HDF5 is told of *coded*, of *storage*: encoded, or read from the file."""
    if isinstance(storage, Text) and coded.dtype == np.uint64:
        addresses = h5py.h5t.C_S1.copy()
        addresses.set_size(h5py.h5t.VARIABLE)
        addresses.set_cset(h5py.h5t.CSET_UTF8)
        return addresses
    return h5py.h5t.py_create(storage.dtype)


def _base64(value: object) -> str:
    if not isinstance(value, bytes):
        raise TypeError(type(value).__name__)
    return base64.b64encode(value).decode("ascii")


@dataclass
class Leaf:
    """One dataset's part of a signal.

    Attributes:
        path: in the channel's group: `volts`, `volts.valid`, `position/x`.
        storage: how it lies there, as far as the schema tells.
        values: of this piece.
        signal: the field that it is of; None for the companion that tells which values there are.
    """

    path: str
    storage: Storage
    values: NDArray[Any]
    signal: Signal | None


def leaves(signal: Signal, column: Column, under: str = "") -> Iterator[Leaf]:
    """What *column* of *signal* becomes."""
    path, node, valid = under + signal.name, signal.value_node, column.valid
    if isinstance(node, Record):
        yield from _nested(node, column, path + "/")
    elif node.kind == "null":
        valid = np.zeros(len(column.values), np.bool_)
        yield Leaf(path, Plain(np.dtype("?")), valid, signal)
    else:
        yield Leaf(path, storage_of(node), column.values, signal)
    if valid is not None:
        yield Leaf(path + ".valid", Plain(np.dtype("?")), valid, None)


def _nested(record: Record, column: Column, under: str) -> Iterator[Leaf]:
    count = len(column.values)
    rows = np.arange(count) if column.valid is None else np.flatnonzero(column.valid)
    there = column.values[rows].tolist()
    for signal in record.fields:
        found = column_of(signal, [each[signal.name] for each in there])
        yield from leaves(signal, _spread(signal, found, rows, count), under)


def _spread(signal: Signal, column: Column, rows: NDArray[np.int64], count: int) -> Column:
    """*column* as those *rows* of *count*, the others without a value."""
    if len(rows) == count:
        return column
    values = blank(signal.value_node, count)
    if values.shape[1:] != column.values.shape[1:]:
        values = np.full(count, None, object)
    values[rows] = column.values
    if column.valid is None:
        return Column(values)
    valid = np.zeros(count, np.bool_)
    valid[rows] = column.valid
    return Column(values, valid)


def storage_of(node: Node) -> Storage:
    """How values of *node*, which is no record, lie."""
    match node:
        case Primitive(kind="string") | Enum():
            return Text()
        case Primitive(kind="bytes") | Fixed(size=0):
            return Octets()
        case Primitive(kind=kind) if kind in DTYPES:
            return _plain(DTYPES[kind])
        case Fixed(size=size):
            return Opaque(np.dtype(f"V{size}"))
        case Array(items=Primitive(kind=kind), length=int(length)) if kind in DTYPES:
            return _plain(DTYPES[kind], (length,))
        case Array(items=Primitive(kind=kind)) if kind in DTYPES:
            return Numbers(np.dtype(DTYPES[kind]))
        case _:
            return Json()


def _plain(dtype: str, tail: tuple[int, ...] = ()) -> Plain:
    found = np.dtype(dtype)
    return Plain(found, tail, np.nan if found.kind == "f" else None)


def _objects(values: list[Any]) -> NDArray[Any]:
    return np.fromiter(values, object, len(values))
