"""The index of a recording: what it says, and that nobody believes a bad one."""

from __future__ import annotations

import math
import struct

import pytest
from indexing import with_index

from speeddata.avro.container import frame, read_header, write_header, zigzag
from speeddata.avro.schema import parse
from speeddata.recording.blockindex import Entry, IndexWriter, index_path, read_index

SYNC = bytes(range(100, 116))
LONG = '{"type":"record","name":"r","fields":[{"name":"time","type":"long"}]}'
DOUBLE = LONG.replace("long", "double")
TEXT = LONG.replace("long", "string")
OPTIONAL = LONG.replace('"long"', '["null","long"]')
HEAD = write_header({"avro.schema": LONG}, SYNC)
HEADER = read_header(HEAD)
AT = HEADER.size

ENTRIES = [
    Entry(AT, 100, 5, -(2**63), 2**63 - 1),
    Entry(AT + 100, 50, 3, 7, 7),
    Entry(AT + 150, 20, 1, None, None),
]


def write(recording, entries, schema=LONG, sync=SYNC):
    writer = IndexWriter(parse(schema), sync)
    index_path(recording).write_bytes(b"".join(map(writer.add, entries)))


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "rig_20261122T050400.000000000Z.avro"
    write(path, ENTRIES)
    return path


def test_an_index_lies_beside_its_recording(recording):
    assert index_path(recording).name == "rig_20261122T050400.000000000Z.index"


def test_a_row_written_out_by_hand():
    writer = IndexWriter(parse(LONG), SYNC)
    head = b"SDix" + b"\x01" + b"i" + bytes(10) + SYNC
    row = bytes.fromhex("6400000000000000 32000000 03000000 ffffffffffffffff 0200000000000000")
    assert writer.add(Entry(100, 50, 3, -1, 2)) == head + row
    assert writer.add(Entry(100, 50, 3, -1, 2)) == row
    assert IndexWriter(parse(DOUBLE), SYNC).add(Entry(100, 50, 3, 0.5, 1.0))[32:] == row[:16] + struct.pack(
        "<dd", 0.5, 1
    )


def test_what_was_written_is_read(recording):
    assert read_index(recording, HEADER, AT + 170) == ENTRIES


@pytest.mark.parametrize(
    ("schema", "bounds", "read"),
    [
        (DOUBLE, (-0.5, math.inf), (-0.5, math.inf)),
        (DOUBLE, (math.nan, math.nan), (None, None)),
        (DOUBLE, (None, None), (None, None)),
        (TEXT, (None, None), (None, None)),
        (TEXT, (1, 2), (None, None)),
        (OPTIONAL, (1, 2), (None, None)),
    ],
)
def test_each_kind_of_abscissa_has_its_bounds_or_none(recording, schema, bounds, read):
    write(recording, [Entry(AT, 100, 5, *bounds)], schema)
    assert read_index(recording, HEADER, AT + 100) == [Entry(AT, 100, 5, *read)]


def test_an_index_knows_no_more_than_the_recording_has(recording):
    sizes = [0, AT, AT + 99, AT + 100, AT + 149, AT + 150, AT + 169, AT + 170, 1 << 60]
    assert [len(read_index(recording, HEADER, size)) for size in sizes] == [0, 0, 0, 1, 1, 2, 2, 3, 3]


def test_an_absent_index_is_none(tmp_path):
    assert read_index(tmp_path / "rig.avro", HEADER, 1000) == []


def test_the_index_of_another_recording_is_none(recording):
    write(recording, ENTRIES, sync=bytes(16))
    assert read_index(recording, HEADER, 1000) == []


def test_a_torn_index_is_believed_as_far_as_it_goes(recording):
    whole = index_path(recording).read_bytes()
    for size in range(len(whole)):
        index_path(recording).write_bytes(whole[:size])
        assert read_index(recording, HEADER, AT + 170) == ENTRIES[: max(0, size // 32 - 1)]


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, b"sdix"), (4, b"\x02"), (5, b"x"), (32, b"\xff"), (40, b"\x11\0\0\0"), (44, bytes(4))],
)
def test_a_wrong_byte_is_the_end_of_belief(recording, place, value):
    data = bytearray(index_path(recording).read_bytes())
    data[place : place + len(value)] = value
    index_path(recording).write_bytes(data)
    assert read_index(recording, HEADER, AT + 170) == []


def test_random_bytes_are_no_index(recording):
    index_path(recording).write_bytes(bytes(range(256)) * 64)
    assert read_index(recording, HEADER, 1 << 40) == []


def test_an_endless_index_is_not_read_to_its_end(recording):
    """As long as the recording can have blocks, and no longer."""
    with open(index_path(recording), "r+b") as file:
        file.truncate(1 << 40)
    assert len(read_index(recording, HEADER, AT + 170)) == 3


def block(*times):
    data = b"".join(map(zigzag, times))
    return frame(len(times), len(data)) + data + SYNC


def test_what_is_in_a_block_is_found_by_reading_it(recording):
    first, second = block(5, 3, 9), block(-1)
    recording.write_bytes(HEAD + first + second)
    entries = [Entry(AT, len(first), 3, 3, 9), Entry(AT + len(first), len(second), 1, -1, -1)]
    assert with_index(recording) == entries
    assert read_index(recording, HEADER, recording.stat().st_size) == entries
