"""One datum in plain Python: values to bytes, bytes to values; `skipper` proves that bytes are one.

Values are those of JSON: unions are plain, bytes may be base64 text.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from speeddata.avro.prepared import prepared
from speeddata.avro.schema import Schema
from speeddata.avro.skipper import skipper
from speeddata.avro.types import (
    MISSING,
    Array,
    Enum,
    Fixed,
    Map,
    Node,
    Primitive,
    Record,
    Signal,
    Union,
    canonical,
)

__all__ = ["Encode", "decode", "encoder", "skipper", "value_decoder", "value_encoder"]

Encode = Callable[[Any], bytes]

_INTEGER_BITS = {"int": 32, "long": 64}
# The first that a value is an instance of: True is an int too.
_KINDS: dict[type, tuple[str, ...]] = {
    bool: ("boolean",),
    int: ("int", "long"),
    float: ("float", "double"),
    str: ("string", "enum"),
    bytes: ("bytes", "fixed"),
    list: ("array",),
    dict: ("map", "record"),
}
_FLOATS = {"float": struct.Struct("<f"), "double": struct.Struct("<d")}


def decode(schema: Schema, data: bytes, start: int, end: int) -> dict[str, Any]:
    """The values of the datum data[start:end], which `skipper` has proven.

    What fastavro makes of it without logical types: times are ints, bytes and fixed are bytes, unions plain.
    """
    found: dict[str, Any] = _fastavro_reader(schema)(data[start:end])
    return found


@prepared
def encoder(schema: Schema) -> Callable[[Mapping[str, Any]], bytes]:
    """A function from a datum's values, by signal, to its bytes.

    Defaults stand in for missing signals; ints will do for floats. A union takes the first branch that holds
    the value as it is (text as text, an int as an int, a number without rounding), else the first that fits.
    It raises ValueError, naming the signal: a value of another type or out of range, a signal missing that
    has no default, a signal that the schema does not have.
    """
    return _record(schema.record, "")


def value_encoder(node: Node, path: str) -> Encode:
    """The same for a value of *node*, which errors call *path*."""
    match node:
        case Primitive(kind="null"):
            return lambda value: b"" if value is None else _refuse(path, value, "null")
        case Primitive(kind="boolean"):
            return lambda value: (
                bytes((value,)) if isinstance(value, bool) else _refuse(path, value, "boolean")
            )
        case Primitive(kind="int" | "long" as kind):
            return _integer(kind, path)
        case Primitive(kind="float" | "double" as kind):
            return _float(kind, path)
        case Primitive(kind="string"):
            return _string(path)
        case Primitive():
            return _bytes(path)
        case Fixed(size=size):
            return _fixed(size, path)
        case Enum(symbols=symbols):
            indices = {symbol: long(index) for index, symbol in enumerate(symbols)}
            return lambda value: (
                indices[value]
                if isinstance(value, str) and value in indices
                else _refuse(path, value, f"symbol of {node.name}")
            )
        case Union(branches=branches):
            return _union(branches, path)
        case Array(items=items):
            return _array(value_encoder(items, f"{path}[]"), path)
        case Map(values=values):
            return _map(value_encoder(values, f"{path}{{}}"), path)
        case Record():
            return _record(node, path)


def value_decoder(node: Node) -> Callable[[bytes], Any]:
    """A function from the bytes of a value of *node*, proven, to the value."""
    # fastavro prepares a schema once only if it is a record.
    form = canonical(node)
    name = "value"
    while name in str(form):
        name += "_"
    wrapped = {"name": name, "type": "record", "fields": [{"name": "value", "type": form}]}
    read = _prepared(wrapped)
    return lambda data: read(data)["value"]


def long(value: int) -> bytes:
    """*value*, of 64 bits, in variable-length zig-zag coding (Avro specification, "Binary encoding")."""
    rest = (value << 1) ^ (value >> 63)
    if rest < 0x80:
        return bytes((rest,))
    coded = bytearray()
    while rest >= 0x80:
        coded.append(rest & 0x7F | 0x80)
        rest >>= 7
    coded.append(rest)
    return bytes(coded)


@prepared
def _fastavro_reader(schema: Schema) -> Callable[[bytes], Any]:
    return _prepared(schema.plain)


def _prepared(form: Any) -> Callable[[bytes], Any]:
    import fastavro

    parsed = fastavro.parse_schema(form)
    return lambda data: fastavro.schemaless_reader(io.BytesIO(data), parsed, None)


def _refuse(path: str, value: Any, what: str) -> bytes:
    raise ValueError(f"{path}: {_shown(value)} is no {what}")


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping | list | tuple):
        return "an object" if isinstance(value, Mapping) else "a list"
    if isinstance(value, int) and value.bit_length() > 128:  # repr refuses thousands of digits
        return "an integer of many digits"
    shown = repr(value[:60] if isinstance(value, str | bytes) else value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def _integer(kind: str, path: str) -> Encode:
    bits = _INTEGER_BITS[kind]
    least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def encode(value: Any) -> bytes:
        if not isinstance(value, int) or isinstance(value, bool):
            _refuse(path, value, kind)
        if not least <= value <= most:
            raise ValueError(f"{path}: {_shown(value)} is out of the range of {kind}")
        return long(value)

    return encode


def _float(kind: str, path: str) -> Encode:
    pack = _FLOATS[kind].pack

    def encode(value: Any) -> bytes:
        if not isinstance(value, float | int) or isinstance(value, bool):
            _refuse(path, value, kind)
        try:
            return pack(value)
        except (OverflowError, struct.error):
            raise ValueError(f"{path}: {_shown(value)} is out of the range of {kind}") from None

    return encode


def _string(path: str) -> Encode:
    def encode(value: Any) -> bytes:
        if not isinstance(value, str):
            _refuse(path, value, "string")
        try:
            coded: bytes = value.encode()
        except UnicodeEncodeError:
            _refuse(path, value, "Unicode text")
        return long(len(coded)) + coded

    return encode


def _bytes(path: str) -> Encode:
    def encode(value: Any) -> bytes:
        coded = _raw(value, path)
        return long(len(coded)) + coded

    return encode


def _fixed(size: int, path: str) -> Encode:
    def encode(value: Any) -> bytes:
        coded = _raw(value, path)
        if len(coded) != size:
            raise ValueError(f"{path}: {len(coded)} bytes where {size} are due")
        return coded

    return encode


def _raw(value: Any, path: str) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return _refuse(path, value, "bytes in base64")


def _union(branches: tuple[Node, ...], path: str) -> Encode:
    choices = [
        (branch.kind, long(index), value_encoder(branch, path))
        for index, branch in enumerate(branches)
        if branch.kind != "null"
    ]
    null = next((long(index) for index, branch in enumerate(branches) if branch.kind == "null"), None)
    kinds = ", ".join(branch.kind for branch in branches)

    def encode(value: Any) -> bytes:
        if value is None and null is not None:
            return null
        if len(choices) == 1:
            _, index, only = choices[0]
            return index + only(value)
        for as_it_is in (True, False):
            for kind, index, branch in choices:
                if _holds(kind, value) or not as_it_is:
                    with contextlib.suppress(ValueError):
                        return index + branch(value)
        return _refuse(path, value, f"one of {kinds}")

    return encode


def _holds(kind: str, value: Any) -> bool:
    """Whether a branch of *kind* can give *value* back as it is."""
    native = next((kinds for type_, kinds in _KINDS.items() if isinstance(value, type_)), ())
    if kind == "float" and kind in native:
        with contextlib.suppress(OverflowError):
            pack = _FLOATS["float"]
            return math.isnan(value) or bool(pack.unpack(pack.pack(value))[0] == value)
        return False
    return kind in native


def _array(item: Encode, path: str) -> Encode:
    def encode(value: Any) -> bytes:
        if not isinstance(value, list | tuple):
            _refuse(path, value, "list")
        if not value:
            return b"\x00"
        return b"".join((long(len(value)), *map(item, value), b"\x00"))

    return encode


def _map(item: Encode, path: str) -> Encode:
    key = _string(path)

    def encode(value: Any) -> bytes:
        if not isinstance(value, Mapping):
            _refuse(path, value, "object")
        if not value:
            return b"\x00"
        entries = b"".join(key(name) + item(each) for name, each in value.items())
        return b"".join((long(len(value)), entries, b"\x00"))

    return encode


def _record(record: Record, path: str) -> Encode:
    below = f"{path}." if path else ""
    names = frozenset(signal.name for signal in record.fields)
    steps = [
        (signal.name, value_encoder(signal.node, below + signal.name), _default(signal, below + signal.name))
        for signal in record.fields
    ]

    def encode(value: Any) -> bytes:
        if not isinstance(value, Mapping):
            _refuse(path or record.name, value, "object")
        coded = []
        taken = 0
        for name, step, default in steps:
            given = value.get(name, MISSING)
            if given is not MISSING:
                taken += 1
                coded.append(step(given))
            elif isinstance(default, bytes):
                coded.append(default)
            else:
                raise ValueError(default)
        if taken != len(value):
            unknown = next(name for name in value if name not in names)
            raise ValueError(f"{_shown(unknown)} is no signal of {path or record.name}")
        return b"".join(coded)

    return encode


def _default(signal: Signal, path: str) -> bytes | str:
    """The bytes of a signal's default, or why there are none."""
    if signal.default is MISSING:
        return f"{path}: missing, and it has no default"
    try:
        return value_encoder(signal.node, path)(_default_value(signal.node, signal.default))
    except ValueError as exc:
        return f"{path}: missing, and its default does not fit ({exc})"


def _default_value(node: Node, default: Any) -> Any:
    """*default* with the text of bytes and fixed as the bytes it means.

    Avro specification, "Complex Types", "Records": code points 0 to 255 are the bytes.
    """
    match node, default:
        case (Primitive(kind="bytes") | Fixed(), str()):
            return default.encode("latin-1")
        case (Union(branches=branches), _):
            return None if default is None else _default_value(branches[0], default)
        case (Array(items=items), list()):
            return [_default_value(items, each) for each in default]
        case (Map(values=values), dict()):
            return {name: _default_value(values, each) for name, each in default.items()}
        case (Record(fields=fields), dict()):
            nodes = {signal.name: signal.node for signal in fields}
            return {
                name: _default_value(nodes[name], each) if name in nodes else each
                for name, each in default.items()
            }
        case _:
            return default
