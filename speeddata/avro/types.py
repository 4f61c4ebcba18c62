"""Avro's types as a tree, what a signal is, and what can be said of a type by looking at it alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

PRIMITIVES: Final = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
NUMBERS: Final = ("int", "long", "float", "double")

DTYPES = {"boolean": "?", "int": "<i4", "long": "<i8", "float": "<f4", "double": "<f8"}
_LEAST_BYTES = {
    "null": 0,
    "boolean": 1,
    "int": 1,
    "long": 1,
    "float": 4,
    "double": 8,
    "bytes": 1,
    "string": 1,
}


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True)
class Primitive:
    """One of `PRIMITIVES`, with the logical type written on it (not interpreted)."""

    kind: str
    logical: str | None = None


@dataclass(frozen=True, slots=True)
class Fixed:
    """*size* bytes, always; *name* is the full name."""

    name: str
    size: int
    logical: str | None = None
    kind: str = field(default="fixed", init=False)


@dataclass(frozen=True, slots=True)
class Enum:
    """One of *symbols*; *name* is the full name."""

    name: str
    symbols: tuple[str, ...]
    logical: str | None = None
    kind: str = field(default="enum", init=False)


@dataclass(frozen=True, slots=True)
class Array:
    """Items of one type.

    *length* is the attribute `length` that SpeedData adds: how many the schema promises. Avro does not know
    it, so a datum with another number of items is still a datum.
    """

    items: Node
    length: int | None = None
    logical: str | None = None
    kind: str = field(default="array", init=False)


@dataclass(frozen=True, slots=True)
class Map:
    """Values of one type by text keys."""

    values: Node
    logical: str | None = None
    kind: str = field(default="map", init=False)


@dataclass(frozen=True, slots=True)
class Union:
    """One of several types, its place in *branches* written first."""

    branches: tuple[Node, ...]
    logical: None = field(default=None, init=False)
    kind: str = field(default="union", init=False)


@dataclass(frozen=True, slots=True)
class Record:
    """Fields one after the other; *name* is the full name."""

    name: str
    fields: tuple[Signal, ...]
    logical: str | None = None
    kind: str = field(default="record", init=False)


Node = Primitive | Fixed | Enum | Array | Map | Union | Record


@dataclass(frozen=True, slots=True)
class Signal:
    """A named quantity: a field of a record.

    Attributes:
        name: as in the schema.
        node: its type.
        unit: the field's attribute `unit`, else None.
        doc: the field's `doc`, else None.
        logical: the logical type, of the type or written beside `type` in the field.
        default: the field's default as JSON gives it, or `MISSING`.
    """

    name: str
    node: Node
    unit: str | None = None
    doc: str | None = None
    logical: str | None = None
    default: Any = field(default=MISSING, compare=False)

    @property
    def nullable(self) -> bool:
        """Whether the type is exactly [null, X] or [X, null]."""
        kinds = [branch.kind for branch in self.node.branches] if isinstance(self.node, Union) else []
        return len(kinds) == 2 and "null" in kinds

    @property
    def value_node(self) -> Node:
        """The type of a value: of the other branch, where the signal is nullable."""
        if isinstance(self.node, Union) and self.nullable:
            return next(branch for branch in self.node.branches if branch.kind != "null")
        return self.node

    @property
    def kind(self) -> str:
        """The kind of a value: "double", "enum", "array"...; "union" where `nullable` does not say it all."""
        return self.value_node.kind

    @property
    def dtype(self) -> str | None:
        """The NumPy dtype of a number or boolean, as text; None for everything else."""
        return DTYPES.get(self.kind)


def min_size(node: Node) -> int:
    """The least bytes that a value of *node* can have."""
    match node:
        case Primitive(kind=kind):
            return _LEAST_BYTES[kind]
        case Fixed(size=size):
            return size
        case Record(fields=fields):
            return sum(min_size(signal.node) for signal in fields)
        case Union(branches=branches):
            return 1 + min(min_size(branch) for branch in branches)
        case _:
            return 1


def canonical(node: Node) -> Any:
    """*node* in Parsing Canonical Form, as JSON gives it: no logical types, no attributes, full names.

    Avro specification, "Transforming into Parsing Canonical Form". A named type is spelled out where it comes
    first and named from then on, so what comes back stands on its own.
    """
    defined: set[str] = set()

    def form(node: Node) -> Any:
        match node:
            case Primitive(kind=kind):
                return kind
            case Union(branches=branches):
                return [form(branch) for branch in branches]
            case Array(items=items):
                return {"type": "array", "items": form(items)}
            case Map(values=values):
                return {"type": "map", "values": form(values)}
            case Fixed(name=name) | Enum(name=name) | Record(name=name) if name in defined:
                return name
        defined.add(node.name)
        match node:
            case Fixed():
                return {"name": node.name, "type": "fixed", "size": node.size}
            case Enum():
                return {"name": node.name, "type": "enum", "symbols": list(node.symbols)}
        fields = [{"name": signal.name, "type": form(signal.node)} for signal in node.fields]
        return {"name": node.name, "type": "record", "fields": fields}

    return form(node)


def fingerprint(form: Any) -> str:
    """CRC-64-AVRO of a Parsing Canonical Form: 16 hexadecimal digits, least significant byte first.

    Avro specification, "Schema Fingerprints"; the order is that of its "Single-object encoding", and what the
    Apache library and fastavro print.
    """
    crc = _CRC64_EMPTY
    for byte in json.dumps(form, separators=(",", ":"), ensure_ascii=False).encode():
        crc = (crc >> 8) ^ _CRC64_TABLE[(crc ^ byte) & 0xFF]
    return crc.to_bytes(8, "little").hex()


_CRC64_EMPTY = 0xC15D213AA4D7A795


def _crc64_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_CRC64_EMPTY if value & 1 else 0)
        table.append(value)
    return table


_CRC64_TABLE = _crc64_table()
