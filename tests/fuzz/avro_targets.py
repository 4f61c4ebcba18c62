"""Fuzz targets for Avro: containers, blocks, schemas, datums, and the index beside a recording."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from workbench import one_line, scratch

from speeddata.avro import codec, container, schema
from speeddata.avro.container import (
    SYNC_SIZE,
    Block,
    ContainerReader,
    Damage,
    frame,
    read_header,
    write_header,
)
from speeddata.avro.datum import decode
from speeddata.avro.schema import MAX_TEXT, Schema
from speeddata.avro.skipper import skipper
from speeddata.batch import Batch
from speeddata.errors import DataError
from speeddata.interrupts import Stop
from speeddata.recording import blockindex
from speeddata.recording.blocktable import ChangedError, FileTable

SYNC = bytes(range(100, 116))
VOLTS = (
    '{"type":"record","name":"volts","fields":'
    '[{"name":"time","type":{"type":"long","logicalType":"timestamp-nanos"}},{"name":"v","type":"float"}]}'
)
_NOTHINGS = {"type": "array", "items": "null"}
_OPTIONAL = {"name": "b", "type": ["null", "long"]}
_INNER = {"type": "record", "name": "I", "fields": [{"name": "a", "type": "string"}, _OPTIONAL]}


def _text_of(types: Sequence[object]) -> str:
    fields = [{"name": f"f{number}", "type": each} for number, each in enumerate(types)]
    return json.dumps({"type": "record", "name": "r", "fields": fields})


TEXTS = [
    VOLTS,
    *(
        _text_of(types)
        for types in (
            ["boolean", "int", "long", "double"],
            ["string", "bytes"],
            ["long", ["null", "double"], ["string", "null"]],
            [{"type": "array", "items": "long"}, "float"],
            [{"type": "array", "items": "double", "length": 3}, {"type": "array", "items": "string"}],
            [{"type": "map", "values": ["null", "int"]}, "boolean"],
            [{"type": "enum", "name": "E", "symbols": [f"S{n}" for n in range(70)]}, "int"],
            [{"type": "fixed", "name": "F", "size": 5}, ["null", "F"], ["int", "string", "F"]],
            [_NOTHINGS, "int", {"type": "map", "values": _NOTHINGS}],
            [_INNER, {"type": "array", "items": "I"}],
            ["long"] * 20,
            ["int", "string", "double", {"type": "array", "items": {"type": "array", "items": "int"}}],
        )
    ),
]  # fmt: skip
SCHEMAS = [schema.parse(text) for text in TEXTS]
CODECS = ("null", "deflate", "snappy")
HEADS = [write_header({"avro.schema": VOLTS, "avro.codec": each}, SYNC) for each in CODECS]
_STOP = Stop()


def a_container(data: bytes) -> None:
    """Whatever the bytes and however they are cut, the same blocks come out, or the same one-line error.

    Every block is in its place, nothing is told twice, and what was whole can be written anew and read again.
    """
    how, step, stream = data[:1] or b"\0", (data[1:2] or b"\7")[0], data[2:]
    kind = how[0] % 4
    stream = HEADS[kind] + stream if kind < 3 else stream
    whole = _read([stream])
    size = 1 + step + len(stream) // 100
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert _read(pieces) == whole, f"pieces of {size} bytes give something else"
    blocks, damage, tail, error = whole
    spans = sorted([(each.offset, each.size) for each in blocks] + [tuple(each) for each in damage])
    for (at, size), (after, _) in pairwise([*spans, (len(stream) - tail, 0)]):
        assert (size > 0 and at + size <= after) or error, "places overlap"
    assert all(each.batch.data and each.batch.count > 0 for each in blocks)
    for each in blocks[:3]:
        _walk(each.batch)
    _written_again([each for each in blocks if each.batch.schema == blocks[0].batch.schema])


def _read(pieces: Sequence[bytes]) -> tuple[list[Block], list[Damage], int, str]:
    reader = ContainerReader("fuzzed.avro")
    blocks: list[Block] = []
    try:
        for piece in pieces:
            for block in reader.feed(piece):
                blocks.append(block)
        return blocks, reader.damage, reader.finish(), ""
    except DataError as exc:
        one_line(exc, "fuzzed.avro: ")
        return blocks, reader.damage, 0, str(exc)


def _written_again(blocks: list[Block]) -> None:
    if not blocks:
        return
    batches = [each.batch for each in blocks]
    everything = b"".join(each.data for each in batches)
    marks = (b"repaired" + number.to_bytes(SYNC_SIZE - 8, "big") for number in range(1 << 30))
    sync = next(mark for mark in marks if mark not in everything)
    stream = write_header({"avro.schema": batches[0].schema.text}, sync)
    stream += b"".join(frame(each.count, len(each.data)) + each.data + sync for each in batches)
    again, damage, tail, error = _read([stream])
    assert ([each.batch for each in again], damage, tail, error) == (batches, [], 0, "")


def _walk(batch: Batch) -> None:
    """The boundaries of a block are those of the plain walk, or there are none."""
    if batch.count > 100_000:
        return
    skip, at, bounds = skipper(batch.schema), 0, [0]
    try:
        for _ in range(batch.count):
            at = skip(batch.data, at, len(batch.data))
            bounds.append(at)
    except ValueError:
        at = -1
    try:
        found = codec.offsets(Batch(batch.schema, batch.data, batch.count)).tolist()
    except DataError:
        found = []
    assert found == (bounds if at == len(batch.data) else [])


def a_header(data: bytes) -> None:
    """A header is read within its limit, refused or waited for; what was read is written and read again."""
    for limit in (64, 4096):
        try:
            header = read_header(data, limit=limit)
        except DataError:
            continue
        if header is not None:
            assert header.size <= min(len(data), limit)
            again = read_header(write_header(header.metadata, header.sync))
            assert again is not None
            assert (again.metadata, again.sync) == (header.metadata, header.sync)


def datums(data: bytes) -> None:
    """The quick way and the plain one say the same of every byte string; fastavro reads what they take.

    Bytes: which schema, how often all of it is repeated, and then datums, each behind its length.
    """
    each = SCHEMAS[(data[:1] or b"\0")[0] % len(SCHEMAS)]
    _judge(each, list(_pieces(data[2:])), 1 + (data[1:2] or b"\0")[0])


def _pieces(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = data[at]
        yield data[at + 1 : at + 1 + size]
        at += 1 + size


def _judge(each: Schema, pieces: list[bytes], repeats: int) -> None:
    plain = [_is_datum(each, piece) for piece in pieces]
    many = (pieces * repeats)[:200]
    joined = b"".join(many)
    bounds = np.array(list(accumulate(map(len, many), initial=0)), np.int64)
    if many:
        good = codec.valid(each, joined, bounds)
        said = [True] * len(many) if good is None else good.tolist()
        assert said == (plain * repeats)[: len(many)]
    right = [piece for piece, ok in zip(pieces, plain, strict=True) if ok]
    if not right:
        return
    values = [decode(each, piece, 0, len(piece)) for piece in right]
    together = (right * repeats)[:120]
    batch = Batch(each, b"".join(together), len(together))
    assert codec.offsets(batch).tolist() == list(accumulate(map(len, together), initial=0))
    found = {name: _column(column) for name, column in codec.columns(batch).items()}
    expected = (values * repeats)[: len(together)]
    for signal in each.signals:
        assert repr(found[signal.name]) == repr([value[signal.name] for value in expected])
    if each.abscissa.dtype not in (None, "?"):
        assert len(codec.abscissa(batch)) == batch.count


def _is_datum(each: Schema, piece: bytes) -> bool:
    try:
        return skipper(each)(piece, 0, len(piece)) == len(piece) and bool(piece)
    except ValueError:
        return False


def _column(column: codec.Column) -> list[Any]:
    values = column.values.tolist()
    if column.valid is None:
        return values
    return [value if ok else None for value, ok in zip(values, column.valid.tolist(), strict=True)]


def a_schema(data: bytes) -> None:
    """Any text is a schema that works, or one line says what is wrong with it.

    Bytes: the schema, and behind an empty line datums, as for `datums`.
    """
    text, _, rest = data.partition(b"\n\n")
    try:
        each = schema.parse(text, where="fuzzed.avsc")
    except DataError as exc:
        one_line(exc, "fuzzed.avsc: ")
        return
    assert schema.parse(each.text) == each
    plain = json.dumps(each.plain)
    if len(plain.encode()) <= MAX_TEXT:
        assert schema.parse(plain).fingerprint == each.fingerprint
    least = min(each.min_size, 70_000)
    _judge(each, [*_pieces(rest), bytes(least), bytes(least - 1)], 60)


def an_index(data: bytes) -> None:
    """Nobody believes a bad index: the recording beside it is read to the same blocks.

    Bytes: of the index, behind its head; the first says whether the head is right.
    """
    recording = scratch() / "rig_20261122T050400.000000000Z.avro"
    if not recording.exists():
        recording.write_bytes(_RECORDING)
    head = b"SDix\x01i" + bytes(10) + SYNC if data[:1] != b"\xff" else b""
    beside = blockindex.index_path(recording)
    beside.write_bytes(head + data[1:])
    header = read_header(_RECORDING)
    assert header is not None
    at = header.size
    for entry in blockindex.read_index(recording, header, len(_RECORDING)):
        assert (entry.offset, entry.count > 0, entry.size > SYNC_SIZE) == (at, True, True)
        assert (entry.least is None) == (entry.greatest is None)
        at += entry.size
        assert at <= len(_RECORDING)
    table = FileTable(recording)
    for _ in range(3):
        table.refresh(_STOP)
        try:
            found = list(table.blocks(0, len(table.least), _STOP))
            break
        except ChangedError:
            continue
    else:
        raise AssertionError("a wrong index is never given up")
    assert found == _BLOCKS


def _recording() -> bytes:
    data = HEADS[0]
    for number in range(6):
        body = b"".join(container.zigzag(number * 100 + n) + bytes(4) for n in range(3 + number))
        data += frame(3 + number, len(body)) + body + SYNC
    return data


_RECORDING = _recording()
_BLOCKS = _read([_RECORDING])[0]
