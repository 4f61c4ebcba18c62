"""A writer's schema (.avsc), read as untrusted input: its signals, and what it is indexed by.

Everything that the rest relies on is proven here: names follow Avro's grammar, nothing is recursive, and
however often a schema uses its own types, all that it unfolds to stays within the limits below.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeGuard

from speeddata.avro.types import (
    MISSING,
    NUMBERS,
    PRIMITIVES,
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
    fingerprint,
    min_size,
)
from speeddata.errors import DataError, UsageError

__all__ = [
    "TICK_NS",
    "Array",
    "Enum",
    "Fixed",
    "Map",
    "Node",
    "Primitive",
    "Record",
    "Schema",
    "Signal",
    "Union",
    "parse",
    "time_unit_of",
]

MAX_TEXT = 60 * 1024  # bytes: an announcement has to fit a datagram
MAX_FIELDS = 4096  # in all, each use of a named type counted
MAX_TYPES = 16 * MAX_FIELDS  # the same for types: a union of a thousand names, used a thousand times
MAX_DEPTH = 32
MAX_NAME = 1024  # characters, namespace included
MAX_NAMES = 1 << 19  # characters, in all: wherever a type is named, its full name counts
MAX_FIXED = 65507  # bytes: the largest datagram

TICK_NS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}

_TIME_UNITS = {
    **dict.fromkeys(("ns", "nsec", "nanosecond", "nanoseconds", "nanos"), "ns"),
    **dict.fromkeys(("us", "µs", "μs", "usec", "microsecond", "microseconds", "micros"), "us"),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds", "millis"), "ms"),
    **dict.fromkeys(("s", "sec", "second", "seconds"), "s"),
}
_LOGICAL_UNITS = {
    ("long", "timestamp-nanos"): "ns",
    ("long", "timestamp-micros"): "us",
    ("long", "timestamp-millis"): "ms",
    ("long", "local-timestamp-nanos"): "ns",
    ("long", "local-timestamp-micros"): "us",
    ("long", "local-timestamp-millis"): "ms",
    ("long", "time-micros"): "us",
    ("int", "time-millis"): "ms",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_FULL_NAME = re.compile(rf"{_NAME.pattern}(?:\.{_NAME.pattern})*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Schema:
    """What a channel's datums look like. Two of the same text and time unit are equal.

    Attributes:
        text: exactly as it was given.
        time_unit: of the abscissa: a key of `TICK_NS`, or None where nothing says it (it is never guessed).
        name: the record's full name.
        record: the tree of types.
        signals: the record's fields, the abscissa among them.
        abscissa: what the channel is indexed by.
        abscissa_index: its place in *signals*.
        min_size: the least bytes that a datum can have, at least 1.
        fingerprint: CRC-64-AVRO of *plain*, as 16 hexadecimal digits (see `types.fingerprint`).
        plain: the Parsing Canonical Form as JSON gives it: no logical types, no attributes.
        types: how many it unfolds to, at most `MAX_TYPES`.
    """

    text: str
    time_unit: str | None
    name: str = field(compare=False)
    record: Record = field(compare=False, repr=False)
    abscissa_index: int = field(compare=False)
    min_size: int = field(compare=False)
    fingerprint: str = field(compare=False)
    plain: Any = field(compare=False, repr=False)
    types: int = field(compare=False, repr=False)

    @property
    def signals(self) -> tuple[Signal, ...]:
        return self.record.fields

    @property
    def abscissa(self) -> Signal:
        return self.record.fields[self.abscissa_index]

    def ticks(self, otherwise: str = "") -> str:
        """What the abscissa counts in: a key of `TICK_NS`.

        Args:
            otherwise: what its reader can do besides naming the unit.

        Raises:
            UsageError: the abscissa is no time, or does not tell its unit.
        """
        what = f"the abscissa {self.abscissa.name} of {self.name}"
        if self.abscissa.dtype in (None, "?"):
            raise UsageError(f"{what} is of type {self.abscissa.kind}, no time")
        if self.time_unit is None:
            mend = "name it with --time-unit" + (f", or {otherwise}" if otherwise else "")
            raise UsageError(f"{what} does not tell its unit of time", mend=mend)
        return self.time_unit


def parse(text: str | bytes, *, where: str = "", time_unit: str | None = None) -> Schema:
    """The schema that *text* is.

    Args:
        text: JSON; bytes are UTF-8.
        where: the file or endpoint it came from, for errors.
        time_unit: of the abscissa, used where neither its logical type nor its `unit` says it.

    Raises:
        DataError: not JSON, not Avro, not a record, or beyond a limit of this module.
        UsageError: *time_unit* is no unit of time.
    """
    if time_unit is not None and time_unit_of(time_unit) is None:
        raise UsageError(f"{_shown(time_unit)} is no unit of time", mend="one of ns, us, ms, s")
    text, tree = _load(text, where)
    parser = _Parser(where)
    record = parser.node(tree, "", "", 0)
    if not isinstance(record, Record):
        raise DataError(f"the schema is of type {record.kind}, not a record", where=where)
    if not record.fields:
        raise DataError(f"record {record.name} has no fields", where=where)
    index = _abscissa_index(tree, record, where)
    least = min_size(record)
    if least == 0:
        raise DataError(f"a datum of record {record.name} can be empty", where=where)
    plain = canonical(record)
    return Schema(
        text=text,
        time_unit=_unit_of_abscissa(record.fields[index]) or (time_unit_of(time_unit) if time_unit else None),
        name=record.name,
        record=record,
        abscissa_index=index,
        min_size=least,
        fingerprint=fingerprint(plain),
        plain=plain,
        types=parser.types,
    )


def time_unit_of(text: str) -> str | None:
    """The key of `TICK_NS` that *text* spells ("µs", "Seconds", "ns"), or None."""
    # Symbols keep their case (S is siemens); words do not.
    return _TIME_UNITS.get(text) or (_TIME_UNITS.get(text.lower()) if len(text) > 2 else None)


def _load(text: str | bytes, where: str) -> tuple[str, Any]:
    """*text* as str and the JSON in it."""
    if len(text) > MAX_TEXT or (isinstance(text, str) and len(text.encode(errors="replace")) > MAX_TEXT):
        raise DataError(f"the schema is longer than {MAX_TEXT} bytes", where=where)
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        tree = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
        json.dumps(tree, ensure_ascii=False).encode()  # a lone surrogate in any text would surface much later
    except UnicodeError as exc:
        raise DataError("the schema is not valid UTF-8", where=where) from exc
    except RecursionError as exc:
        raise DataError("the schema is nested too deeply", where=where) from exc
    except ValueError as exc:
        raise DataError(f"the schema is not JSON: {exc}", where=where) from exc
    return text, tree


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has one key twice")
    return found


class _Named(NamedTuple):
    """A named type, and what each use of it adds."""

    node: Node
    fields: int
    types: int
    depth: int


class _Parser:
    """Builds the tree; counts what named types unfold to, so that doubling references cannot grow."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.named: dict[str, _Named] = {}
        self.open: set[str] = set()
        self.fields = self.types = self.deepest = self.names = 0

    def node(self, tree: Any, namespace: str, path: str, depth: int) -> Node:
        """The type that *tree* says, at *path* (for errors)."""
        logical = None
        while isinstance(tree, dict) and isinstance(
            tree.get("type"), dict | list
        ):  # {"type": {"type": "long"}}
            logical = logical or _text(tree.get("logicalType"))
            tree = tree["type"]
            depth += 1
        self._count(path, depth, types=1)
        if isinstance(tree, list):
            return self._union(tree, namespace, path, depth)
        if isinstance(tree, str):
            return self._by_name(tree, namespace, path, depth)
        if not isinstance(tree, dict) or not isinstance(tree.get("type"), str):
            raise self._refused(path, f"{_shown(tree)} is no type")
        logical = logical or _text(tree.get("logicalType"))
        kind = tree["type"]
        if kind in PRIMITIVES:
            return Primitive(kind, logical)
        if kind == "array":
            items = self.node(tree.get("items"), namespace, f"{path}[]", depth + 1)
            return Array(items, self._length(tree, path), logical)
        if kind == "map":
            return Map(self.node(tree.get("values"), namespace, f"{path}{{}}", depth + 1), logical)
        if kind in ("fixed", "enum", "record"):
            return self._definition(tree, kind, namespace, path, depth, logical)
        return self._by_name(kind, namespace, path, depth)

    def _definition(
        self, tree: dict[str, Any], kind: str, namespace: str, path: str, depth: int, logical: str | None
    ) -> Node:
        name = self._full_name(tree, namespace, path)
        if name in self.named or name in self.open:
            raise self._refused(path, f"type {_shown(name)} is defined twice")
        self.open.add(name)
        fields, types, deepest = self.fields, self.types, self.deepest
        self.deepest = depth
        node: Node
        if kind == "fixed":
            node = Fixed(name, self._fixed_size(tree, path), logical)
        elif kind == "enum":
            node = Enum(name, self._symbols(tree, path), logical)
        else:
            node = Record(name, self._fields(tree, name.rpartition(".")[0], path, depth), logical)
        self.open.remove(name)
        self.named[name] = _Named(node, self.fields - fields, self.types - types, self.deepest - depth)
        self.deepest = max(deepest, self.deepest)
        return node

    def _by_name(self, name: str, namespace: str, path: str, depth: int) -> Node:
        if name in PRIMITIVES:
            return Primitive(name)
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        self._count_name(full, path)
        if full in self.open:
            raise self._refused(path, f"type {_shown(full)} contains itself, which telemetry cannot")
        if full not in self.named:
            raise self._refused(path, f"{_shown(full)} is no type")
        use = self.named[full]
        self._count(path, depth + use.depth, fields=use.fields, types=use.types)
        return use.node

    def _fields(self, tree: dict[str, Any], namespace: str, path: str, depth: int) -> tuple[Signal, ...]:
        listed = tree.get("fields")
        if not isinstance(listed, list):
            raise self._refused(path, "a record needs a list of fields")
        signals: dict[str, Signal] = {}
        for each in listed:
            name = each.get("name") if isinstance(each, dict) else None
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise self._refused(path, f"{_shown(each if name is None else name)} is no name of a field")
            if name in signals:
                raise self._refused(path, f"field {_shown(name)} appears twice")
            inner = f"{path}.{name}" if path else name
            self._count(inner, depth, fields=1)
            self._count_name(name, path)
            node = self.node(each.get("type"), namespace, inner, depth + 1)
            signal = Signal(name, node, default=each.get("default", MISSING))
            signals[name] = replace(
                signal,
                unit=_text(each.get("unit")),
                doc=_text(each.get("doc")),
                logical=signal.value_node.logical or _text(each.get("logicalType")),
            )
        return tuple(signals.values())

    def _union(self, tree: list[Any], namespace: str, path: str, depth: int) -> Union:
        branches = tuple(self.node(branch, namespace, path, depth + 1) for branch in tree)
        if not branches:
            raise self._refused(path, "a union of nothing")
        if any(branch.kind == "union" for branch in branches):
            raise self._refused(path, "a union directly in a union")
        if len({getattr(branch, "name", branch.kind) for branch in branches}) != len(branches):
            raise self._refused(path, "a union with the same type twice")
        return Union(branches)

    def _full_name(self, tree: dict[str, Any], namespace: str, path: str) -> str:
        name, given = tree.get("name"), tree.get("namespace", namespace)
        if not isinstance(name, str) or not _FULL_NAME.fullmatch(name):
            raise self._refused(path, f"{_shown(name)} is no name of a type")
        if "." not in name and given:
            if not isinstance(given, str) or not _FULL_NAME.fullmatch(given):
                raise self._refused(path, f"{_shown(given)} is no namespace")
            name = f"{given}.{name}"
        if name.rpartition(".")[2] in PRIMITIVES:
            raise self._refused(path, f"{_shown(name)} is the name of a primitive type")
        self._count_name(name, path)
        return name

    def _symbols(self, tree: dict[str, Any], path: str) -> tuple[str, ...]:
        symbols = tree.get("symbols")
        if not isinstance(symbols, list) or not symbols:
            raise self._refused(path, "an enum needs a list of symbols")
        for symbol in symbols:
            if not isinstance(symbol, str) or not _NAME.fullmatch(symbol):
                raise self._refused(path, f"{_shown(symbol)} is no symbol of an enum")
        if len(set(symbols)) != len(symbols):
            raise self._refused(path, "an enum with the same symbol twice")
        return tuple(symbols)

    def _fixed_size(self, tree: dict[str, Any], path: str) -> int:
        size = tree.get("size")
        if not _is_count(size) or size > MAX_FIXED:
            raise self._refused(path, f"{_shown(size)} is no size of a fixed, 0 to {MAX_FIXED}")
        return size

    def _length(self, tree: dict[str, Any], path: str) -> int | None:
        length = tree.get("length")
        if length is not None and not (_is_count(length) and 0 < length <= MAX_FIXED):
            raise self._refused(path, f"{_shown(length)} is no length of an array, 1 to {MAX_FIXED}")
        return length

    def _count(self, path: str, depth: int, *, fields: int = 0, types: int = 0) -> None:
        self.fields += fields
        self.types += types
        self.deepest = max(self.deepest, depth)
        if self.fields > MAX_FIELDS:
            raise self._refused("", f"more than {MAX_FIELDS} fields")
        if self.types > MAX_TYPES:
            raise self._refused("", f"more than {MAX_TYPES} types")
        if depth > MAX_DEPTH:
            raise self._refused(path[:40], f"nested deeper than {MAX_DEPTH}")

    def _count_name(self, name: str, path: str) -> None:
        self.names += len(name)
        if len(name) > MAX_NAME:
            raise self._refused(path, f"a name of more than {MAX_NAME} characters")
        if self.names > MAX_NAMES:
            raise self._refused("", f"its names have more than {MAX_NAMES} characters")

    def _refused(self, path: str, what: str) -> DataError:
        path = path if len(path) <= 200 else f"{path[:197]}..."
        return DataError(f"schema: {path + ': ' if path else ''}{what}", where=self.where)


def _abscissa_index(tree: Any, record: Record, where: str) -> int:
    """The schema attribute `abscissa`, else a field named `time`, else the first field."""
    names = [signal.name for signal in record.fields]
    while isinstance(tree["type"], dict) and "abscissa" not in tree:
        tree = tree["type"]
    wanted = tree.get("abscissa")
    if wanted is None:
        return names.index("time") if "time" in names else 0
    if wanted not in names:
        raise DataError(f"schema: the abscissa {_shown(wanted)} is none of its fields", where=where)
    return names.index(wanted)


def _unit_of_abscissa(signal: Signal) -> str | None:
    if signal.kind not in NUMBERS:
        return None
    logical = _LOGICAL_UNITS.get((signal.kind, signal.logical or ""))
    return logical or (time_unit_of(signal.unit) if signal.unit else None)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _shown(value: Any) -> str:
    """*value* for an error: escaped, and short."""
    shown = f"a JSON {type(value).__name__}" if isinstance(value, dict | list) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
