"""Where a datum ends, and whether it is one: a walk over its bytes, made once for each schema.

A run of types whose bytes tell their own length is a regular language, so one regular expression proves the
whole run in one call (no group can match in two ways: time is linear in the datum). What carries a length or
a count, text, bytes, arrays and maps, is a step in Python; every length is compared with the bytes left
before anything is done with it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from speeddata.avro.prepared import prepared
from speeddata.avro.schema import Schema
from speeddata.avro.types import Array, Enum, Fixed, Map, Node, Primitive, Record, Union, min_size

Skip = Callable[[bytes, int, int], int]

# Values of no bytes in the arrays and maps of one datum, beyond one for each byte that their items have.
# Nothing else bounds an array of null, or of records of a thousand nulls, which would be read to gigabytes.
MAX_EMPTY_ITEMS = 65507

# Avro specification, "Binary encoding": variable-length zig-zag integers, at most 5 or 10 bytes; the last
# byte of a full one has room for the bits left of 32 or 64. Padded integers (80 00 for zero) are legal.
_INT = rb"(?>[\x80-\xff]{0,3}+[\x00-\x7f]|[\x80-\xff]{4}[\x00-\x0f])"
_LONG = rb"(?>[\x80-\xff]{0,8}+[\x00-\x7f]|[\x80-\xff]{9}[\x00\x01])"
_PATTERNS = {"boolean": rb"[\x00\x01]", "int": _INT, "long": _LONG}
_WIDTHS = {"float": 4, "double": 8}

_match_int = re.compile(_INT, re.DOTALL).match
_match_long = re.compile(_LONG, re.DOTALL).match

_MOST_PATH = 256  # characters: each part of a datum has its own, and names may be long

# Expressions take long to compile. Short ones are often the same in a wide schema, and `re` keeps those.
_MOST_PATTERNS = 32  # in one expression
_MOST_PATTERN_BRANCHES = 2  # of a union, beyond which it is a step
_MOST_PATTERN_BYTES = 1000


@prepared
def skipper(schema: Schema) -> Skip:
    """A function (data, start, end) -> where the datum that begins at *start* ends, at most *end*.

    It raises ValueError, with a short reason that names the signal, where there is no datum of *schema*: an
    integer beyond its 32 or 64 bits, a boolean other than 0 and 1, text that is not UTF-8, an enum or union
    index without its symbol or branch, a length or count beyond the bytes left, a block of another size than
    it says.
    """
    return node_skipper(schema.record)


def node_skipper(node: Node, path: str = "") -> Skip:
    """The same for a value of *node*, which errors call *path*."""
    walk = _sequence(_parts(node, path))
    if not has_empty_items(node):
        return walk

    def skip(data: bytes, pos: int, end: int) -> int:
        _empty_items.set(0)
        return walk(data, pos, end)

    return skip


@dataclass(frozen=True, slots=True)
class _Run:
    """Bytes that an expression describes; of *width* always, where that is all there is to say."""

    pattern: bytes
    reason: str
    width: int | None = None


@dataclass(frozen=True, slots=True)
class _Counted:
    """Bytes after their number; *text* where they have to be UTF-8."""

    path: str
    text: bool


_Part = _Run | _Counted | Skip

_empty_items = ContextVar("_empty_items", default=0)  # of the datum that is walked over


def _parts(node: Node, path: str) -> list[_Part]:
    match node:
        case Record(fields=fields):
            below = f"{path}." if path else ""
            paths = [(below + signal.name)[:_MOST_PATH] for signal in fields]
            return [
                part for signal, at in zip(fields, paths, strict=True) for part in _parts(signal.node, at)
            ]
        case Primitive(kind="string" | "bytes" as kind):
            return [_Counted(path, text=kind == "string")]
        case Primitive(kind="null"):
            return [_Run(b"", f"{path}: no null", 0)]
        case Primitive(kind=kind) if kind in _PATTERNS:
            return [_Run(_PATTERNS[kind], f"{path}: no {kind}")]
        case Primitive(kind=kind):
            return [_fixed(_WIDTHS[kind], f"{path}: no {kind}")]
        case Fixed(size=size):
            return [_fixed(size, f"{path}: fewer than {size} bytes")]
        case Enum(symbols=symbols):
            return [_enum(len(symbols), path)]
        case Union(branches=branches):
            return [_union([_parts(branch, path) for branch in branches], path)]
        case Array(items=items):
            return [_blocks(_parts(items, f"{path}[]"), min_size(items), _unpaid(items), path)]
        case Map(values=values):
            entry = [_Counted(path, text=True), *_parts(values, f"{path}{{}}")]
            return [_blocks(entry, 1 + min_size(values), _unpaid(values, 1), path)]


def _fixed(width: int, reason: str) -> _Run:
    return _Run(b".{%d}" % width, reason, width)


def _sequence(parts: list[_Part]) -> Skip:
    """One step that does all *parts*: each run as one expression, with the length that follows it."""
    steps: list[Skip] = []
    runs: list[_Run] = []
    patterns = 0
    for part in parts:
        if isinstance(part, _Run):
            runs.append(part)
            patterns += part.width is None
            if patterns < _MOST_PATTERNS:
                continue
            steps.append(_expression(runs))
        elif isinstance(part, _Counted):
            steps.append(_counted(runs, part))
        else:
            steps += [_expression(runs), part] if runs else [part]
        runs, patterns = [], 0
    if runs or not steps:
        steps.append(_expression(runs))
    if len(steps) == 1:
        return steps[0]

    def skip(data: bytes, pos: int, end: int) -> int:
        for step in steps:
            pos = step(data, pos, end)
        return pos

    return skip


def _expression(runs: list[_Run]) -> Skip:
    if all(run.width is not None for run in runs):
        return _jump(runs)
    match = re.compile(_merged(runs), re.DOTALL).match

    def skip(data: bytes, pos: int, end: int) -> int:
        found = match(data, pos, end)
        if found is None:
            raise ValueError(_reason(runs, data, pos, end))
        return found.end()

    return skip


def _counted(before: list[_Run], part: _Counted) -> Skip:
    """The *before* that leads to a length, the length, and as many bytes."""
    reason, text = f"{part.path}: a length beyond the datum", part.text
    match = re.compile(_merged(before), re.DOTALL).match if before else None

    def skip(data: bytes, pos: int, end: int) -> int:
        if match is not None:
            found = match(data, pos, end)
            if found is None:
                raise ValueError(_reason(before, data, pos, end))
            pos = found.end()
        if pos < end and (length := data[pos]) < 0x80 and not length & 1:
            length >>= 1
            pos += 1
        else:
            length, pos = _long(data, pos, end, reason)
        stop = pos + length
        if not pos <= stop <= end:
            raise ValueError(reason)
        if text and not (found_text := data[pos:stop]).isascii():
            try:
                found_text.decode()
            except UnicodeDecodeError:
                raise ValueError(f"{part.path}: text that is not UTF-8") from None
        return stop

    return skip


def _merged(runs: list[_Run]) -> bytes:
    """One expression for all *runs*, neighbouring widths added up."""
    merged: list[bytes] = []
    for fixed, group in itertools.groupby(runs, lambda run: run.width is not None):
        if fixed:
            width = sum(run.width or 0 for run in group)
            merged += [b".{%d}" % width] if width else []
        else:
            merged += [run.pattern for run in group]
    return b"".join(merged)


def _jump(runs: list[_Run]) -> Skip:
    width = sum(run.width or 0 for run in runs)

    def skip(data: bytes, pos: int, end: int) -> int:
        if end - pos < width:
            raise ValueError(_reason(runs, data, pos, end))
        return pos + width

    return skip


def _reason(runs: list[_Run], data: bytes, pos: int, end: int) -> str:
    """Which of *runs* is the first that does not match."""
    for run in runs:
        found = re.compile(run.pattern, re.DOTALL).match(data, pos, end)
        if found is None:
            return run.reason if pos < end else f"{run.reason}: the datum ends before it"
        pos = found.end()
    raise AssertionError("every run matches alone, but not together")


def _long(data: bytes, pos: int, end: int, reason: str) -> tuple[int, int]:
    """The long at *pos* and where it ends."""
    found = _match_long(data, pos, end)
    if found is None:
        raise ValueError(reason)
    stop = found.end()
    value = 0
    for byte in reversed(data[pos:stop]):
        value = value << 7 | byte & 0x7F
    return (value >> 1) ^ -(value & 1), stop


def _index(data: bytes, pos: int, end: int, below: int, reason: str) -> tuple[int, int]:
    """The int at *pos*, at least 0 and less than *below*, and where it ends."""
    if _match_int(data, pos, end) is None:
        raise ValueError(reason)
    index, pos = _long(data, pos, end, reason)
    if not 0 <= index < below:
        raise ValueError(reason)
    return index, pos


def _enum(symbols: int, path: str) -> _Part:
    reason = f"{path}: no index of a symbol"
    if symbols <= 64:
        last = b"".join(re.escape(bytes([2 * index])) for index in range(symbols))
        first = b"".join(re.escape(bytes([2 * index | 0x80])) for index in range(symbols))
        return _Run(rb"(?>[%b]|[%b]\x80{0,3}+\x00)" % (last, first), reason)
    return lambda data, pos, end: _index(data, pos, end, symbols, reason)[1]


def _union(branches: list[list[_Part]], path: str) -> _Part:
    reason = f"{path}: no index of a branch"
    if len(branches) <= _MOST_PATTERN_BRANCHES:
        patterns = [pattern for parts in branches if (pattern := _regular(parts)) is not None]
        if len(patterns) == len(branches) and sum(map(len, patterns)) <= _MOST_PATTERN_BYTES:
            choices = [_index_pattern(index) + pattern for index, pattern in enumerate(patterns)]
            return _Run(b"(?>%b)" % b"|".join(choices), f"{path}: no branch of its union")
    steps = [_sequence(parts) for parts in branches]

    def skip(data: bytes, pos: int, end: int) -> int:
        index, pos = _index(data, pos, end, len(steps), reason)
        return steps[index](data, pos, end)

    return skip


def _regular(parts: list[_Part]) -> bytes | None:
    """*parts* as one expression, or None where one of them is a step."""
    runs = [part.pattern for part in parts if isinstance(part, _Run)]
    return b"".join(runs) if len(runs) == len(parts) else None


def _index_pattern(index: int) -> bytes:
    """*index*, less than 64, as an int of up to five bytes."""
    last, first = re.escape(bytes([2 * index])), re.escape(bytes([2 * index | 0x80]))
    return rb"(?>%b|%b\x80{0,3}+\x00)" % (last, first)


def _blocks(parts: list[_Part], least: int, unpaid: int, path: str) -> Skip:
    """The blocks of an array or map whose items are *parts*, of at least *least* bytes, as `_unpaid` says.

    Avro specification, "Arrays": a count, its items, and so on until a count of zero; a negative count is
    followed by the size of its items in bytes.
    """
    item = _sequence(parts)
    widths = [part.width if isinstance(part, _Run) else None for part in parts]
    width = None if None in widths else sum(each or 0 for each in widths)
    bad_count, bad_size = f"{path}: a count beyond the datum", f"{path}: a block of another size than it says"

    def skip(data: bytes, pos: int, end: int) -> int:
        while True:
            count, pos = _long(data, pos, end, bad_count)
            if count == 0:
                return pos
            stop = -1
            if count < 0:
                size, pos = _long(data, pos, end, bad_size)
                stop = pos + size
                count = -count
                if not pos <= stop <= end:
                    raise ValueError(bad_size)
            if count * least > end - pos:
                raise ValueError(bad_count)
            if unpaid:
                _empty_items.set(_empty_items.get() + count * unpaid)
                if _empty_items.get() > MAX_EMPTY_ITEMS:
                    raise ValueError(bad_count)
            if width is not None:
                pos += count * width
            else:
                for _ in range(count):
                    pos = item(data, pos, end)
            if stop not in (-1, pos):
                raise ValueError(bad_size)

    return skip


@prepared
def counts_empty_items(schema: Schema) -> bool:
    """What `has_empty_items` says of *schema*; asked of every block, found out once."""
    return has_empty_items(schema.record)


def has_empty_items(node: Node) -> bool:
    """Whether *node* has arrays or maps of values without bytes, whose number in a datum is limited."""
    match node:
        case Array(items=items):
            return _unpaid(items) > 0 or has_empty_items(items)
        case Map(values=values):
            return _unpaid(values, 1) > 0 or has_empty_items(values)
        case Record(fields=fields):
            return any(has_empty_items(signal.node) for signal in fields)
        case Union(branches=branches):
            return any(has_empty_items(branch) for branch in branches)
        case _:
            return False


def _unpaid(item: Node, beside: int = 0) -> int:
    """How many values without bytes an *item* has at most, beyond one for each byte of it and *beside* it."""
    least = beside + min_size(item)
    return max(_empty_values(item) - least, 0 if least else 1)


def _empty_values(node: Node) -> int:
    """How many values without bytes a value of *node* has at most; those in its arrays and maps apart."""
    match node:
        case Primitive(kind="null") | Fixed(size=0):
            return 1
        case Record(fields=fields):
            return sum(_empty_values(signal.node) for signal in fields)
        case Union(branches=branches):
            return max(0, *(_empty_values(branch) - 1 for branch in branches))  # the index is a byte
        case _:
            return 0
