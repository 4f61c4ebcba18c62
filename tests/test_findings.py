"""What a channel's data is like, found from literal bytes: gaps, torn ends, damage, changed schemas."""

from __future__ import annotations

import pytest

from speeddata.avro import schema
from speeddata.errors import DataError
from speeddata.findings import PLACES, FileFindings, Inspector, Place, differences, type_text

SYNC = b"0123456789abcdef"
TEXT = b'{"type":"record","name":"r","fields":[{"name":"time","type":"long"},{"name":"n","type":"int"}]}'
# magic; a map of one entry: its key of 11 bytes, its value of 128; the end of the map; the marker
HEADER = b"Obj\x01" + b"\x02" + b"\x16avro.schema" + b"\x80\x02" + TEXT.ljust(128) + b"\x00" + SYNC
# count and size; time and n of each datum; the marker: numbers are zigzag, so twice themselves
FIRST = b"\x06\x0c" + b"\x00\x00" + b"\x02\x02" + b"\x04\x04" + SYNC  # time 0 1 2, n 0 1 2
SECOND = b"\x04\x08" + b"\x0a\x06" + b"\x0c\x08" + SYNC  # time 5 6, n 3 4
THIRD = b"\x02\x04" + b"\x0e\x0c" + SYNC  # time 7, n 6


def inspected(*pieces: bytes, sequence=None, keep=None, time_unit="ms"):
    """The findings on the channel and on the file that *pieces* make."""
    inspector, file = Inspector("rig", sequence, keep=keep), FileFindings("r.avro")
    inspector.container(pieces, file, time_unit)
    return inspector.finish(), file


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
def test_a_container_in_any_cut_is_counted_and_ranged(step):
    data = HEADER + FIRST + SECOND + THIRD
    found, file = inspected(*(data[at : at + step] for at in range(0, len(data), step)))
    assert (found.datums, found.blocks, found.damaged) == (6, 3, False)
    assert (file.size, file.blocks, file.datums, file.torn, file.codec) == (len(data), 3, 6, 0, "null")
    assert (found.least, found.greatest) == (0, 7_000_000)  # nanoseconds
    assert found.rate_hz == 5e9 / 7e6


def test_a_gap_is_found_between_blocks_and_says_how_many_are_missing():
    found, _ = inspected(HEADER + FIRST + SECOND + THIRD, sequence="n")
    (gap,) = found.steps.longest
    assert (gap.after, gap.before, found.steps.missing, found.steps.median) == (2, 5, 2, 1)
    (lost,) = found.sequence.longest
    assert (lost.after, lost.before, found.sequence.missing) == (4, 6, 1)


def test_without_a_unit_of_time_there_is_a_range_and_no_rate():
    found, _ = inspected(HEADER + FIRST + SECOND, time_unit=None)
    assert (found.least, found.greatest, found.rate_hz) == (0, 6, None)


@pytest.mark.parametrize("left", range(1, len(SECOND)))
def test_a_torn_end_is_measured_to_the_byte_and_is_no_damage(left):
    found, file = inspected(HEADER + FIRST + SECOND[:left])
    assert (file.torn, found.datums, found.damaged) == (left, 3, False)


@pytest.mark.parametrize(
    ("damaged", "offset", "size", "datums"),
    [
        (FIRST + b"\xff" * 40 + SECOND, len(FIRST), 40 + len(SECOND), 3),  # up to the next marker
        (b"\xff\xff" + FIRST[2:] + SECOND + THIRD, 0, len(FIRST), 3),
        # without its marker a block ends nowhere: the one behind it goes with it
        (FIRST[:-16] + bytes(16) + SECOND + THIRD, 0, len(FIRST) + len(SECOND), 1),
    ],
)
def test_damage_is_placed_to_the_byte_and_what_is_around_it_is_whole(damaged, offset, size, datums):
    found, file = inspected(HEADER + damaged)
    assert found.damage == [Place("r.avro", len(HEADER) + offset, size)]
    assert (found.damaged_places, found.damaged_bytes, found.datums) == (1, size, datums)
    assert (found.damaged, file.torn) == (True, 0)


@pytest.mark.parametrize(
    "block",
    [
        b"\x04\x08" + b"\x00\x00" + b"\x80\x01" + SYNC,  # the second ends half-way
        b"\x02\x08" + b"\x00\x00" + b"\x02\x02" + SYNC,  # one in those of two
        b"\x02\x04" + b"\x00\x80" + SYNC,  # a number that goes on
        b"\x02\x0c" + b"\x00\xff\xff\xff\xff\x7f" + SYNC,  # more than an int holds
    ],
)
def test_a_block_whose_datums_do_not_decode_is_counted_and_its_neighbours_are_whole(block):
    found, _ = inspected(HEADER + FIRST + block + THIRD)
    assert found.undecodable == [Place("r.avro", len(HEADER + FIRST), len(block))]
    assert (found.undecodable_blocks, found.undecodable_datums) == (1, block[0] // 2)
    assert (found.blocks, found.datums, found.damaged_places, found.damaged) == (2, 4, 0, True)


def test_blocks_that_only_together_hold_their_datums_do_not_decode():
    # one datum that is one and a half, and two that are one and a half: end to end they are three
    found, _ = inspected(HEADER + b"\x02\x06\x00\x00\x02" + SYNC + b"\x04\x08\x80\x01\x06\x06" + SYNC)
    assert (found.datums, found.undecodable_blocks, found.undecodable_datums) == (0, 2, 3)


def test_no_more_places_are_kept_than_anybody_reads():
    bad = b"\x02\x06\x00\x00\x00" + SYNC
    found, _ = inspected(HEADER + bad * (PLACES + 5) + THIRD)
    assert (len(found.undecodable), found.undecodable_blocks, found.datums) == (PLACES, PLACES + 5, 1)


def test_what_is_kept_is_what_is_whole():
    kept = []
    inspected(
        HEADER + FIRST + b"\x02\x06\x00\x00\x00" + SYNC + THIRD + SECOND[:9],
        keep=lambda header, batch: kept.append((header.sync, batch.count, batch.data)),
    )
    assert kept == [(SYNC, 3, FIRST[2:-16]), (SYNC, 1, THIRD[2:-16])]


@pytest.mark.parametrize("data", [b"", HEADER[:3], HEADER[:-1]])
def test_a_header_that_is_not_whole_is_no_container(data):
    with pytest.raises(DataError, match=r"r\.avro: ends before an Avro header is whole"):
        inspected(data)


def read(text: str) -> schema.Schema:
    return schema.parse(f'{{"type":"record","name":"r","fields":[{text}]}}')


def test_a_change_of_the_schema_is_told_in_words_signal_by_signal():
    before = read('{"name":"time","type":"long"},{"name":"a","type":"int"},{"name":"b","type":"string"}')
    now = read(
        '{"name":"time","type":{"type":"long","logicalType":"timestamp-millis"}},'
        '{"name":"a","type":["null","int"]},{"name":"c","type":"string"}'
    )
    assert differences(before, now) == [
        "b is gone",
        "c is new (string)",
        "a was int, is int or null",
        "the abscissa was in ?, is in ms",
    ]
    assert differences(now, now) == []


def test_values_of_one_unit_of_time_are_not_compared_with_those_of_another():
    inspector = Inspector("rig")
    inspector.container([HEADER + FIRST], FileFindings("a.avro"), "ms")
    inspector.container([HEADER + SECOND], FileFindings("b.avro"), "s")
    found = inspector.finish()
    assert (found.least, found.greatest, found.steps.gaps) == (5_000_000_000, 6_000_000_000, 0)
    assert (found.datums, found.changes) == (5, ["the abscissa was in ms, is in s"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"double"', "double"),
        ('["null","int"]', "int or null"),
        ('["int","string"]', "int or string"),
        ('{"type":"array","items":"float"}', "array of float"),
        ('{"type":"array","items":"float","length":3}', "array of 3 float"),
        ('{"type":"map","values":["null","long"]}', "map of long or null"),
        ('{"type":"enum","name":"e","symbols":["UP","DOWN"]}', "enum of UP, DOWN"),
        ('{"type":"fixed","name":"f","size":6}', "fixed of 6 bytes"),
    ],
)
def test_types_are_words(text, words):
    assert type_text(read(f'{{"name":"x","type":{text}}}').signals[0].node) == words
