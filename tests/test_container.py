"""Containers: literal bytes, agreement with fastavro both ways, damage of every kind, any cut."""

from __future__ import annotations

import io
import json
import zlib

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speeddata.avro import container, schema
from speeddata.avro.container import ContainerReader, Damage, frame, read_header, write_header, zigzag
from speeddata.errors import DataError

SYNC = bytes(range(100, 116))
VOLTS = (
    '{"type":"record","name":"volts","fields":'
    '[{"name":"time","type":{"type":"long","logicalType":"timestamp-nanos"}},{"name":"v","type":"float"}]}'
)
RECORDS = [{"time": 1_700_000_000_000_000_000 + i, "v": i / 4} for i in range(1000)]

# Two blocks written out by hand: {"time": 1, "v": 0.0}, {"time": -1, "v": 1.0}, and {"time": 64, "v": -2.0}.
FIRST = bytes.fromhex("04 14  02 00000000  01 0000803f") + SYNC
SECOND = bytes.fromhex("02 0c  8001 000000c0") + SYNC
HEAD = write_header({"avro.schema": VOLTS}, SYNC)


def read(data, step=1 << 20, **options):
    reader = ContainerReader("test.avro", **options)
    blocks = [b for at in range(0, len(data), step) for b in reader.feed(data[at : at + step])]
    return blocks, reader


def written(codec="null", records=RECORDS, sync_interval=1000):
    out = io.BytesIO()
    fastavro.writer(out, json.loads(VOLTS), records, codec=codec, sync_interval=sync_interval)
    return out.getvalue()


def times(blocks):
    """The first value of each datum, by fastavro."""
    values = []
    for block in blocks:
        data = io.BytesIO(block.batch.data)
        values += [
            fastavro.schemaless_reader(data, json.loads(VOLTS), None) for _ in range(block.batch.count)
        ]
        assert not data.read()
    return [value["time"] for value in values]


# -- literal bytes


@pytest.mark.parametrize("encoded", ["ff" * 9 + "02", "ff" * 9 + "7f", "80" * 10 + "00"])
def test_a_number_of_more_than_64_bits_is_none(encoded):
    with pytest.raises(ValueError, match="64 bits"):
        container._read_long(bytes.fromhex(encoded), 0, 11)


@pytest.mark.parametrize(
    ("number", "encoded"),
    [
        (0, "00"),
        (-1, "01"),
        (1, "02"),
        (-64, "7f"),
        (64, "8001"),
        (2**63 - 1, "feffffffffffffffff01"),
        (-(2**63), "ffffffffffffffffff01"),
    ],
)
def test_a_long_is_written_as_the_specification_says(number, encoded):
    assert zigzag(number).hex() == encoded
    assert container._read_long(bytes.fromhex(encoded), 0, 10) == (number, len(encoded) // 2)


def test_a_header_written_out_by_hand_is_read():
    data = (
        b"Obj\x01"
        + b"\x04"
        + b"\x16avro.schema"
        + b"\x0c"
        + b'"null"'
        + b"\x02x"
        + b"\x02\xff"
        + b"\x00"
        + SYNC
    )
    assert read_header(data + b"more") == container.Header(
        {"avro.schema": b'"null"', "x": b"\xff"}, SYNC, len(data)
    )
    assert write_header({"avro.schema": '"null"', "x": b"\xff"}, SYNC) == data


def test_a_header_map_may_come_in_parts_with_their_sizes():
    part = b"\x02a" + b"\x02b"
    data = b"Obj\x01" + b"\x01" + zigzag(len(part)) + part + b"\x02" + b"\x02c" + b"\x00" + b"\x00" + SYNC
    header = read_header(data)
    assert (header.metadata, header.size, header.codec) == ({"a": b"b", "c": b""}, len(data), "null")


def test_blocks_written_out_by_hand_are_read():
    blocks, reader = read(HEAD + FIRST + SECOND)
    assert [(b.batch.count, b.batch.data.hex(" ", 5), b.offset, b.size) for b in blocks] == [
        (2, "0200000000 010000803f", len(HEAD), len(FIRST)),
        (1, "80 01000000c0", len(HEAD) + len(FIRST), len(SECOND)),
    ]
    assert blocks[0].batch.schema is reader.schema
    assert reader.schema.name == "volts"
    assert reader.finish() == 0
    assert reader.damage == []
    assert reader.offset == len(HEAD + FIRST + SECOND)
    assert type(blocks[0].batch.data) is bytes


# -- agreement with fastavro


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_what_fastavro_writes_is_read(codec):
    blocks, reader = read(written(codec))
    assert times(blocks) == [r["time"] for r in RECORDS]
    assert len(blocks) > 10
    assert reader.finish() == 0


def test_what_is_written_fastavro_reads():
    datum = b"\x02" + bytes(4)
    data = write_header({"avro.schema": VOLTS, "avro.codec": "null", "speeddata.channel": "rig"}, SYNC)
    data += frame(300, 1500) + datum * 300 + SYNC
    reader = fastavro.reader(io.BytesIO(data))
    assert reader.metadata["speeddata.channel"] == "rig"
    assert len(list(reader)) == 300


def compressed(codec, data):
    if codec == "deflate":
        return zlib.compress(data, wbits=-15)
    if codec == "zstandard":
        return pytest.importorskip("zstandard").compress(data)
    snappy = pytest.importorskip("cramjam").snappy
    return bytes(snappy.compress_raw(data)) + zlib.crc32(data).to_bytes(4, "big")


@pytest.mark.parametrize("codec", ["deflate", "zstandard", "snappy"])
def test_each_codec_gives_the_data_back_and_notices_a_wrong_byte(codec):
    datums = b"".join(zigzag(n) + bytes(4) for n in range(5000))
    packed = compressed(codec, datums)
    head = write_header({"avro.schema": VOLTS, "avro.codec": codec}, SYNC)
    block = frame(5000, len(packed)) + packed + SYNC
    broken = frame(5000, len(packed) - 5) + packed[:-5] + SYNC
    blocks, reader = read(head + block + broken + block)
    assert [b.batch.data for b in blocks] == [datums, datums]
    assert reader.damage == [Damage(len(head + block), len(broken))]


# -- cuts


@pytest.mark.parametrize("step", [1, 7, 16, 65536])
def test_blocks_survive_any_cut(step):
    data = written()
    whole, _ = read(data)
    pieces, reader = read(data, step)
    assert pieces == whole
    assert reader.finish() == 0


OTHER = write_header({"avro.schema": VOLTS}, b"b" * 16)
NO_SCHEMA = write_header({"x": "y"}, b"c" * 16)
NO_BLOCKS = write_header({"avro.schema": VOLTS}, b"d" * 16)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_the_same_bytes_give_the_same_blocks_and_damage_however_cut(draw):
    """Blocks, headers, junk and torn pieces in any order; cut anywhere."""
    parts = st.sampled_from(
        [
            *(FIRST, SECOND, FIRST[:-20], SECOND[3:], SYNC, SYNC[:9], b"\x00\x00" + SYNC, b"\xff" * 12),
            *(b"\x08\x28" + FIRST[2:], b"\x08\x28" + SYNC + bytes(4) + SYNC, b"\x10\x50"),
            *(OTHER, OTHER[:-3], OTHER[:30], NO_SCHEMA, NO_SCHEMA[:9], b"Obj\x01\xff", b"Obj\x01", b"Ob"),
            FIRST[:-16] + b"b" * 16,
        ]
    )
    data = HEAD + b"".join(draw.draw(st.lists(st.one_of(parts, st.binary(max_size=20)), max_size=8)))
    whole, one = read(data)
    many = ContainerReader("test.avro")
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert [b for piece in pieces for b in many.feed(piece)] == whole
    assert (many.damage, many.offset, many.finish()) == (one.damage, one.offset, one.finish())
    # every byte is in a header, in a block, in a damaged place, in an empty block, or in the tail
    known = sum(b.size for b in whole) + sum(d.size for d in one.damage) + one.finish()
    headers = [len(HEAD) + len(OTHER) * number for number in range(9)]
    assert any(len(data) - known - size == 18 * ((len(data) - known - size) // 18) >= 0 for size in headers)


def test_blocks_not_taken_are_not_lost():
    reader = ContainerReader()
    assert next(reader.feed(HEAD + FIRST + FIRST)).offset == len(HEAD)
    assert [b.offset for b in reader.feed(SECOND)] == [len(HEAD + FIRST), len(HEAD + FIRST + FIRST)]


def test_reading_resumes_at_a_block():
    _, reader = read(HEAD)
    resumed = ContainerReader.resume(reader.header, len(HEAD + FIRST))
    assert [(b.offset, b.batch.count) for b in resumed.feed(SECOND)] == [(len(HEAD + FIRST), 1)]
    assert resumed.offset == len(HEAD + FIRST + SECOND)


def test_another_schema_takes_the_place_of_the_headers():
    other = schema.parse(VOLTS.replace("volts", "other"))
    blocks, _ = read(write_header({"avro.schema": "no schema at all"}, SYNC) + FIRST, schema_override=other)
    assert blocks[0].batch.schema is other


def test_a_block_of_nothing_is_passed_over_without_damage():
    blocks, reader = read(HEAD + b"\x00\x00" + SYNC + FIRST)
    assert len(blocks) == 1
    assert reader.damage == []


# -- damage


@pytest.mark.parametrize(
    "broken",
    [
        b"\x04\x16" + FIRST[2:],  # a length one too great
        b"\x04\x12" + FIRST[2:],  # one too small
        b"\x04\x13" + FIRST[2:],  # negative
        b"\x03\x14" + FIRST[2:],  # a negative count
        b"\x00\x14" + FIRST[2:],  # bytes, and no datums
        b"\x06\x14" + FIRST[2:],  # more datums than the bytes can hold
        b"\x04" + zigzag(1 << 62) + FIRST[2:],
        b"\x04" + zigzag(200 << 20) + FIRST[2:],  # allowed, but the marker comes first
        b"\xff" * 11 + FIRST[2:],  # a number that never ends
        b"\xff" * 9 + b"\x7f" + FIRST[1:],  # a number of 70 bits
        SYNC,
        b"",
        bytes(4096) + SYNC,
    ],
)
def test_damage_is_passed_over_to_the_next_marker_and_told(broken):
    data = HEAD + FIRST + broken + SECOND
    blocks, reader = read(data, 5)
    assert [b.batch.count for b in blocks] == [2, 1]
    assert reader.damage == ([Damage(len(HEAD + FIRST), len(broken))] if broken else [])
    assert blocks[-1].offset == len(data) - len(SECOND)
    assert reader.finish() == 0


def test_a_damaged_marker_costs_the_block_behind_it_too():
    blocks, reader = read(HEAD + FIRST[:-1] + b"!" + SECOND + FIRST)
    assert [b.batch.count for b in blocks] == [2]
    assert reader.damage == [Damage(len(HEAD), len(FIRST + SECOND))]


def test_a_length_that_swallows_whole_blocks_is_caught_at_the_first_marker():
    swallowing = b"\x0a" + zigzag(len(FIRST) - 2 - 16 + len(FIRST)) + FIRST[2:]
    blocks, reader = read(HEAD + swallowing + FIRST + FIRST)
    assert len(blocks) == 2
    assert reader.damage == [Damage(len(HEAD), len(swallowing))]


# Four datums in 20 bytes, it says: as many bytes a datum as FIRST has. It ends after 10.
LIKE_FIRST = b"\x08\x28" + FIRST[2:]


def test_a_wrong_length_is_caught_behind_a_whole_block_too():
    swallowing = b"\x0a" + zigzag(len(FIRST) - 2 - 16 + len(FIRST)) + FIRST[2:]
    blocks, reader = read(HEAD + FIRST + swallowing + FIRST + LIKE_FIRST + SECOND + LIKE_FIRST)
    assert [b.batch.count for b in blocks] == [2, 2, 1]
    assert [each.size for each in reader.damage] == [len(swallowing), len(LIKE_FIRST), len(LIKE_FIRST)]


@pytest.mark.parametrize("step", [1, 9, 4096])
def test_a_block_is_searched_for_markers_unless_its_datums_are_as_long_as_those_before(step):
    holding = b"\x08\x28" + SYNC + bytes(4) + SYNC
    blocks, reader = read(HEAD + FIRST + holding + FIRST, step)
    assert [b.batch.count for b in blocks] == [2, 4, 2]
    assert (reader.damage, reader.finish()) == ([], 0)
    blocks, reader = read(HEAD + SECOND + holding + FIRST, step)
    assert [b.batch.count for b in blocks] == [1, 2]
    assert sum(each.size for each in reader.damage) == len(holding)


@pytest.mark.parametrize("step", [1, 9, 4096])
def test_a_tail_with_a_marker_in_it_is_damage(step):
    blocks, reader = read(HEAD + FIRST + LIKE_FIRST, step)
    assert (len(blocks), reader.finish()) == (1, 0)
    assert reader.damage == [Damage(len(HEAD + FIRST), len(LIKE_FIRST))]


def test_every_tail_is_torn_or_whole():
    data = HEAD + FIRST + SECOND
    for size in range(len(HEAD + FIRST), len(data)):
        blocks, reader = read(data[:size])
        assert (len(blocks), reader.finish(), reader.damage) == (1, size - len(HEAD + FIRST), [])


@pytest.mark.parametrize("frame_of_lost", [b"\x01\x01", b"\x04\x14"])
def test_lost_bytes_are_not_kept(frame_of_lost):
    """Neither behind a frame that cannot be, nor behind one whose marker is missing."""
    reader = ContainerReader()
    list(reader.feed(HEAD + frame_of_lost))
    for _ in range(100):
        list(reader.feed(b"\xaa" * 10_000))
    assert len(reader._pending) < 20_000
    assert reader.finish() == 1_000_002
    assert [b.batch.count for b in reader.feed(SYNC + FIRST)] == [2]
    assert reader.damage == [Damage(len(HEAD), 1_000_018)]


# -- hostile headers


def test_every_beginning_of_a_header_asks_for_more():
    assert all(read_header(HEAD[:size]) is None for size in range(len(HEAD)))
    assert read_header(HEAD).size == len(HEAD)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"Obj\x02",
        b"\x00" * 64,
        b"Obj\x01" + zigzag(2000),  # more entries than anybody needs
        b"Obj\x01" + zigzag(-(2**63)),
        b"Obj\x01" + zigzag(2**62),
        b"Obj\x01" + b"\xff" * 11,
        b"Obj\x01\x02" + zigzag(1 << 40),
        b"Obj\x01\x02" + zigzag(-5),
        b"Obj\x01\x02" + b"\x02a" + zigzag(1 << 20),
        b"Obj\x01\x02" + b"\x02\xff\x00",
    ],
)
def test_a_hostile_header_is_refused_before_memory_is_asked_for(data):
    with pytest.raises(DataError):
        read_header(data)


def test_a_header_longer_than_the_limit_is_refused():
    data = write_header({"a": bytes(500), "b": bytes(500)}, SYNC)
    assert read_header(data, limit=len(data)).size == len(data)
    with pytest.raises(DataError, match="longer than 1,029 bytes"):
        read_header(data, limit=1029)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_random_bytes_behind_the_magic_never_crash(data):
    try:
        header = read_header(b"Obj\x01" + data)
    except DataError:
        return
    assert header is None or header.size <= len(data) + 4


def test_a_header_without_a_schema_is_refused_with_the_place():
    with pytest.raises(DataError, match=r"test\.avro: the Avro header has no schema"):
        read(write_header({}, SYNC))
    with pytest.raises(DataError, match=r"test\.avro: not an Avro container"):
        read(b"time,volts\n")


# -- containers one after the other -------------------------------------------------------------------------

ONE = '{"type": "record", "name": "volts", "fields": [{"name": "volts", "type": "double"}]}'


@pytest.mark.parametrize("step", [1, 7, 4096])
def test_containers_one_after_the_other_are_read_one_after_the_other(step):
    first = write_header({"avro.schema": ONE}, b"a" * 16) + frame(2, 16) + bytes(16) + b"a" * 16
    other = '{"type": "record", "name": "amps", "fields": [{"name": "amps", "type": "float"}]}'
    second = write_header({"avro.schema": other}, b"b" * 16) + frame(3, 12) + bytes(12) + b"b" * 16
    whole = first + second + first
    reader = ContainerReader()
    blocks = [block for at in range(0, len(whole), step) for block in reader.feed(whole[at : at + step])]
    assert [(block.batch.schema.name, block.batch.count) for block in blocks] == [
        ("volts", 2),
        ("amps", 3),
        ("volts", 2),
    ]
    assert blocks[1].offset == len(first) + len(second) - 12 - 2 - 16
    assert (reader.finish(), reader.damage) == (0, [])


def test_a_container_behind_a_torn_one_is_no_torn_tail_but_damage():
    torn = write_header({"avro.schema": ONE}, b"a" * 16) + frame(100, 800) + bytes(16)
    whole = write_header({"avro.schema": ONE}, b"b" * 16) + (frame(100, 800) + bytes(800) + b"b" * 16)
    reader = ContainerReader()
    assert list(reader.feed(torn + whole)) == []
    assert reader.finish() == 0
    (damage,) = reader.damage
    assert damage.offset + damage.size == len(torn + whole)


@pytest.mark.parametrize("step", [1, 7, 4096])
def test_a_container_without_blocks_hides_none_of_those_behind_it(step):
    stream = HEAD + FIRST + OTHER + NO_BLOCKS + HEAD + SECOND
    blocks, reader = read(stream, step)
    assert [(block.batch.count, block.offset + block.size) for block in blocks] == [
        (2, len(HEAD + FIRST)),
        (1, len(stream)),
    ]
    assert (reader.finish(), reader.damage) == (0, [])


@pytest.mark.parametrize("header", [OTHER, NO_SCHEMA], ids=["whole", "without a schema"])
@pytest.mark.parametrize("lost", [b"\x01\x01", b"Ob", b"\x04\x14" + bytes(40)])
def test_a_tail_that_a_header_is_in_is_damage_wherever_it_is_cut(lost, header):
    tail = lost + header
    for cut in range(len(tail)):
        reader = ContainerReader()
        assert list(reader.feed(HEAD + tail[:cut])) + list(reader.feed(tail[cut:])) == []
        assert (reader.finish(), reader.damage) == (0, [Damage(len(HEAD), len(tail))])


def test_a_header_inside_a_datum_begins_no_container():
    hidden = write_header({"avro.schema": ONE}, b"b" * 16)
    text = '{"type": "record", "name": "r", "fields": [{"name": "b", "type": "bytes"}]}'
    datum = zigzag(len(hidden)) + hidden
    block = frame(1, len(datum)) + datum + b"a" * 16
    reader = ContainerReader()
    stream = write_header({"avro.schema": text}, b"a" * 16) + block + block
    pieces = (stream[at : at + 5] for at in range(0, len(stream), 5))
    assert [each.batch.data for piece in pieces for each in reader.feed(piece)] == [datum, datum]
    assert reader.finish() == 0
