"""Rows to columns: small blocks gathered before they are decoded, signals joined by name over schemas."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np

from speeddata.avro import codec
from speeddata.avro.codec import Column
from speeddata.avro.columns import as_objects, blank
from speeddata.avro.schema import Array, Enum, Node, Primitive, Schema, Signal, Union
from speeddata.avro.types import canonical
from speeddata.batch import Batch
from speeddata.errors import DataError, UsageError
from speeddata.legible import printable
from speeddata.stages import Tally, told_apart

SIZE = 8 << 20  # bytes of datums that are decoded together

Piece = tuple[Schema, dict[str, Column]]
Mapped = Callable[[Callable[[list[Batch]], list[Piece]], Iterator[list[Batch]]], Iterable[list[Piece]]]


def chosen(schema: Schema, patterns: Sequence[str] | None) -> list[str]:
    """The signals of *schema* that *patterns*, names or globs, ask for, and its abscissa with them.

    Nothing where they ask for none of its signals; all where *patterns* is None or empty.
    """
    names = [signal.name for signal in schema.signals]
    if not patterns:
        return names
    found = {name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)}
    return [name for name in names if name in found or name == schema.abscissa.name] if found else []


def refuse_unknown(schemas: Iterable[Schema], patterns: Sequence[str]) -> None:
    """Raises:
    UsageError: a pattern that fits no signal of any of *schemas*; the nearest name is told.
    """
    names = list(dict.fromkeys(signal.name for schema in schemas for signal in schema.signals))
    for pattern in patterns:
        if any(fnmatchcase(name, pattern) for name in names):
            continue
        near = difflib.get_close_matches(pattern, names, n=1, cutoff=0.5)
        some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        mend = f"did you mean {near[0]}?" if near else f"choose from {some}"
        raise UsageError(f"there is no signal '{printable(pattern)}'", where="--signal", mend=mend)


def pieces(
    batches: Iterable[Batch],
    patterns: Sequence[str] | None = None,
    *,
    size: int = SIZE,
    rows: int | None = None,
    tally: Tally | None = None,
    where: str = "",
    mapped: Mapped = map,
) -> Iterator[Piece]:
    """Columns of many batches at a time, each with the schema that they were written with.

    Args:
        batches: of one channel.
        patterns: of the signals wanted; see `chosen`. A schema that has none of them gives no piece.
        size: bytes of datums to gather.
        rows: datums to gather at most: then each piece has so many, except the last one and the one before
            a change of schema, or a damaged block.
        tally: counts the datums of blocks that are damaged and left out; without it they are an error.
        where: names the channel in errors.
        mapped: `map`, or what does the same in another way, one after the other: decoding, what was gathered.

    Raises:
        DataError: a signal changed its type or unit, or a block is damaged.
    """
    decoding = _Decoding(patterns, where, None if tally is None else Tally())
    for found in mapped(decoding, _gathered(batches, size, rows, tally)):
        yield from found
    if tally is not None and decoding.tally is not None:
        tally.undecodable += decoding.tally.undecodable


class _Decoding:
    """Turns batches of one schema, in the order they come, into pieces."""

    def __init__(self, patterns: Sequence[str] | None, where: str, tally: Tally | None) -> None:
        self.tally = tally
        self._patterns, self._where = patterns, where
        self._known: dict[str, Signal] = {}
        self._names: list[str] = []
        self._schema: Schema | None = None

    def __call__(self, parts: Sequence[Batch]) -> list[Piece]:
        schema = parts[0].schema
        if schema is not self._schema:
            self._schema, self._names = schema, chosen(schema, self._patterns)
            _join(self._known, schema, self._names, self._where)
        names = self._names
        if not names:
            return []
        try:
            return [(schema, _columns(parts, None if len(names) == len(schema.signals) else names))]
        except DataError:
            if self.tally is None:
                raise
            return [(schema, codec.columns(part, names)) for part in told_apart(parts, self.tally)]


def together(pieces: Iterable[Piece]) -> tuple[dict[str, Signal], dict[str, Column]]:
    """All *pieces* end to end: signals by name, columns of one length; values that are missing are null."""
    found: dict[str, Signal] = {}
    parts: list[tuple[int, Mapping[str, Column]]] = []
    for schema, columns in pieces:
        found |= {signal.name: signal for signal in schema.signals if signal.name in columns}
        parts.append((len(next(iter(columns.values())).values), columns))
    return found, {name: _end_to_end(signal, parts) for name, signal in found.items()}


def missing(signal: Signal, count: int) -> Column:
    """*count* times null."""
    return Column(blank(signal.value_node, count), np.zeros(count, np.bool_))


def _end_to_end(signal: Signal, parts: Sequence[tuple[int, Mapping[str, Column]]]) -> Column:
    columns = [part.get(signal.name) or missing(signal, count) for count, part in parts]
    values = [column.values for column in columns]
    if (
        len({(each.dtype, each.shape[1:]) for each in values}) > 1
    ):  # arrays with and without the length promised
        values = [as_objects(column) for column in columns]
    valid = None
    if any(column.valid is not None for column in columns):
        valid = np.concatenate(
            [np.ones(len(c.values), np.bool_) if c.valid is None else c.valid for c in columns]
        )
    return Column(np.concatenate(values), valid)


# -- gathering ----------------------------------------------------------------------------------------------


def _gathered(
    batches: Iterable[Batch], size: int, rows: int | None, tally: Tally | None
) -> Iterator[list[Batch]]:
    """Batches of one schema, in lists of about *size* bytes, or of just *rows* datums where that is less."""
    waiting: list[Batch] = []
    held = count = 0
    for batch in batches:
        if batch.count < 1:
            continue
        if waiting and waiting[0].schema is not batch.schema:
            if waiting[0].schema == batch.schema:
                batch = replace(batch, schema=waiting[0].schema)
            else:
                yield waiting
                waiting, held, count = [], 0, 0
        if rows is not None and count + batch.count > rows:
            try:
                codec.offsets(batch)
            except DataError:
                if tally is None:
                    raise
                tally.undecodable += batch.count
                continue
            while count + batch.count > rows:
                yield [*waiting, batch.part(0, rows - count)]
                batch = batch.part(rows - count, batch.count)
                waiting, held, count = [], 0, 0
        waiting.append(batch)
        held += len(batch.data)
        count += batch.count
        if count == rows or held >= size:
            yield waiting
            waiting, held, count = [], 0, 0
    if waiting:
        yield waiting


def _columns(parts: Sequence[Batch], names: Sequence[str] | None) -> dict[str, Column]:
    joined = _joined(parts)
    if len(parts) > 1 and joined.offsets is None:
        # a damaged block could make up for another: each has to end where it says
        found = codec.offsets(joined)
        ends = list(itertools.accumulate(len(part.data) for part in parts))
        if found[list(itertools.accumulate(part.count for part in parts))].tolist() != ends:
            raise DataError("a block does not hold as many datums as it says")
    return codec.columns(joined, names)


def _joined(parts: Sequence[Batch]) -> Batch:
    """*parts* as one batch; its offsets are known where those of all are."""
    if len(parts) == 1:
        return parts[0]
    offsets = None
    if all(part.offsets is not None for part in parts):
        shifted, at = [np.zeros(1, np.int64)], 0
        for part in parts:
            assert part.offsets is not None
            shifted.append(part.offsets[1:] - part.offsets[0] + at)
            at += len(part.data)
        offsets = np.concatenate(shifted)
    data = b"".join([part.data for part in parts])
    return Batch(parts[0].schema, data, sum(part.count for part in parts), offsets)


# -- joining over schemas -----------------------------------------------------------------------------------


def _join(known: dict[str, Signal], schema: Schema, names: Sequence[str], where: str) -> None:
    """Add the signals *names* of *schema* to *known*.

    Raises:
        DataError: one of them is there with another type or unit.
    """
    for signal in schema.signals:
        if signal.name not in names:
            continue
        if signal is schema.abscissa:
            signal = replace(signal, unit=schema.time_unit)
        before = known.setdefault(signal.name, signal)
        mend = f"take one part with --since/--until, or leave out {signal.name} with --signal"
        if _form(before.value_node) != _form(signal.value_node):
            was, now = _described(before.value_node), _described(signal.value_node)
            raise DataError(
                f"signal {signal.name} changed its type from {was} to {now}", where=where, mend=mend
            )
        if (before.unit or "") != (signal.unit or ""):
            was, now = before.unit or "none", signal.unit or "none"
            what = f"signal {signal.name} changed its unit from {printable(was)} to {printable(now)}"
            raise DataError(what, where=where, mend=mend)


def _form(node: Node) -> object:
    """What has to stay the same; the symbols of an enum need not: a column holds their text."""
    match node:
        case Enum():
            return "enum"
        case Array(items=items, length=length):
            return ["array", length, _form(items)]
        case Union(branches=branches):
            return [_form(branch) for branch in branches]
        case _:
            return canonical(node)


def _described(node: Node) -> str:
    match node:
        case Primitive(kind=kind):
            return kind
        case Array(items=items, length=length):
            return f"array of {length or 'any number of'} {_described(items)}"
    text = json.dumps(canonical(node))
    return text if len(text) <= 80 else f"{text[:77]}..."
