"""Random schemas, and random datums of a schema as bytes: written by the specification, not by a library."""

from __future__ import annotations

import io
import json
import struct

import fastavro
from hypothesis import strategies as st

from speeddata.avro import schema
from speeddata.avro.types import Array, Enum, Fixed, Map, Node, Primitive, Record, Union

DEMO = schema.parse(
    json.dumps(
        {
            "type": "record",
            "name": "demo",
            "fields": [
                {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
                {"name": "sine_wave", "type": "double", "unit": "V"},
                {"name": "ramp", "type": "double", "unit": "V"},
                {"name": "square_wave", "type": "double", "unit": "V"},
                {"name": "noise", "type": "double", "unit": "V"},
                {"name": "counter", "type": "long"},
                {"name": "message", "type": "string"},
            ],
        }
    )
)


def record_of(*types: object) -> schema.Schema:
    """A schema with fields f0, f1, ... of *types*."""
    fields = [{"name": f"f{index}", "type": each} for index, each in enumerate(types)]
    return schema.parse(json.dumps({"type": "record", "name": "r", "fields": fields}))


def varint(value: int, *, padding: int = 0) -> bytes:
    """*value* in zig-zag coding, with *padding* bytes more than it needs."""
    rest = value * 2 if value >= 0 else -value * 2 - 1
    coded = []
    while rest >= 0x80:
        coded.append(rest & 0x7F | 0x80)
        rest >>= 7
    coded.append(rest)
    for _ in range(padding):
        coded[-1] |= 0x80
        coded.append(0)
    return bytes(coded)


def reads_to(each: schema.Schema, datum: bytes) -> int:
    """Where fastavro stops reading."""
    stream = io.BytesIO(datum)
    fastavro.schemaless_reader(stream, each.plain, None)
    return stream.tell()


def read(each: schema.Schema, datum: bytes) -> dict[str, object]:
    return fastavro.schemaless_reader(io.BytesIO(datum), each.plain, None)


PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")


@st.composite
def schemas(draw: st.DrawFn, *, depth: int = 2) -> schema.Schema:
    """Records of up to five signals of any types."""
    names = (f"T{number}" for number in range(10_000))

    def type_of(depth: int, *, union: bool = True) -> object:
        kinds = ["primitive"] * 4 + ["nullable", "fixed", "enum"]
        if depth:
            kinds += ["array", "numbers", "map", "record", "union", "nullable"]
        kind = draw(st.sampled_from([k for k in kinds if union or k not in ("union", "nullable")]))
        match kind:
            case "primitive":
                return draw(st.sampled_from(PRIMITIVES))
            case "nullable":
                inner = type_of(max(depth - 1, 0), union=False)
                if inner == "null":
                    inner = "double"
                return draw(st.sampled_from((["null", inner], [inner, "null"])))
            case "fixed":
                return {"type": "fixed", "name": next(names), "size": draw(st.sampled_from((0, 1, 7, 16)))}
            case "enum":
                symbols = [f"S{number}" for number in range(draw(st.sampled_from((1, 3, 64, 65, 130))))]
                return {"type": "enum", "name": next(names), "symbols": symbols}
            case "array":
                return {"type": "array", "items": type_of(depth - 1)}
            case "numbers":
                items = draw(st.sampled_from(PRIMITIVES[1:6]))
                return {"type": "array", "items": items, "length": draw(st.integers(1, 3))}
            case "map":
                return {"type": "map", "values": type_of(depth - 1)}
            case "record":
                return record(depth - 1)
        branches = draw(st.lists(st.sampled_from(PRIMITIVES), min_size=1, max_size=5, unique=True))
        return [*branches, {"type": "array", "items": type_of(depth - 1)}]

    def record(depth: int) -> object:
        types = [type_of(depth) for _ in range(draw(st.integers(1, 5)))]
        fields = [{"name": f"f{index}", "type": each} for index, each in enumerate(types)]
        return {"type": "record", "name": next(names), "fields": fields}

    tree = record(depth)
    tree["fields"].append({"name": "last", "type": draw(st.sampled_from(PRIMITIVES[1:]))})
    return schema.parse(json.dumps(tree))


def datums(each: schema.Schema) -> st.SearchStrategy[bytes]:
    return encoded(each.record)


_FLOATS = st.sampled_from((0.0, -0.0, 1.5, -2.25, float("inf"), float("-inf"), float("nan"), 2.0**-140))
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_EDGES = st.sampled_from(
    [sign * (1 << bit) + d for bit in range(0, 62, 7) for sign in (1, -1) for d in (-1, 0)]
)


@st.composite
def encoded(draw: st.DrawFn, node: Node) -> bytes:
    """The bytes of a value of *node*, now and then in a form that no usual writer chooses."""
    match node:
        case Primitive(kind="null"):
            return b""
        case Primitive(kind="boolean"):
            return draw(st.sampled_from((b"\x00", b"\x01")))
        case Primitive(kind="int"):
            return draw(_integer(32))
        case Primitive(kind="long"):
            return draw(_integer(64))
        case Primitive(kind="float"):
            return struct.pack("<f", draw(_FLOATS))
        case Primitive(kind="double"):
            return struct.pack("<d", draw(_FLOATS))
        case Primitive(kind="bytes"):
            return _counted(draw(st.binary(max_size=6)), draw(_padding))
        case Primitive():
            return _counted(draw(_TEXTS).encode(), draw(_padding))
        case Fixed(size=size):
            return draw(st.binary(min_size=size, max_size=size))
        case Enum(symbols=symbols):
            index = draw(st.sampled_from((0, len(symbols) - 1, len(symbols) // 2)))
            return varint(index, padding=draw(_padding))
        case Union(branches=branches):
            index = draw(st.integers(0, len(branches) - 1))
            return varint(index, padding=draw(_padding)) + draw(encoded(branches[index]))
        case Record(fields=fields):
            return b"".join(draw(encoded(signal.node)) for signal in fields)
        case Array(items=items, length=length):
            usual = length if length is not None and draw(st.booleans()) else draw(st.integers(0, 3))
            return draw(_blocks(encoded(items), usual))
        case Map(values=values):
            entry = st.tuples(_TEXTS.map(lambda text: _counted(text.encode(), 0)), encoded(values)).map(
                b"".join
            )
            return draw(_blocks(entry, draw(st.integers(0, 2))))


_padding = st.sampled_from((0, 0, 0, 0, 0, 0, 1, 2))


def _counted(value: bytes, padding: int) -> bytes:
    return varint(len(value), padding=padding) + value


@st.composite
def _integer(draw: st.DrawFn, bits: int) -> bytes:
    edge = 1 << (bits - 1)
    value = draw(st.integers(-edge, edge - 1) | st.integers(-70, 70) | _EDGES)
    value = max(-edge, min(edge - 1, value))
    most = 5 if bits == 32 else 10
    return varint(value, padding=min(draw(_padding), most - len(varint(value))))


@st.composite
def _blocks(draw: st.DrawFn, item: st.SearchStrategy[bytes], count: int) -> bytes:
    """An array or map of *count* items: mostly one block, sometimes several, sometimes with their sizes."""
    coded = b""
    while count:
        now = count if draw(st.integers(0, 4)) else draw(st.integers(1, count))
        items = b"".join(draw(item) for _ in range(now))
        sized = not draw(st.integers(0, 4))
        coded += (varint(-now) + varint(len(items)) if sized else varint(now)) + items
        count -= now
    return coded + b"\x00"


@st.composite
def damaged(draw: st.DrawFn, datum: bytes) -> bytes:
    """*datum* with a byte changed, added or taken away, or cut, or itself."""
    at = draw(st.integers(0, len(datum)))
    byte = draw(
        st.sampled_from((b"\x00", b"\x01", b"\x02", b"\x7f", b"\x80", b"\xff"))
        | st.binary(min_size=1, max_size=1)
    )
    match draw(st.integers(0, 4)):
        case 0:
            return datum[:at] + byte + datum[at + 1 :]
        case 1:
            return datum[:at] + byte + datum[at:]
        case 2:
            return datum[:at] + datum[at + 1 :]
        case 3:
            return datum[:at]
    return datum
