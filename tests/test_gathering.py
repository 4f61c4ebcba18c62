"""Blocks gathered from arrivals of every shape; good datums kept in order, bad ones found."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.avro import schema
from speeddata.recording.gathering import BLOCK_BYTES, OpenBlock, cut, joined, ready_blocks, reason, sift

BOOLS = schema.parse(
    '{"type": "record", "name": "r", "fields": ['
    '{"name": "on", "type": "boolean"}, {"name": "text", "type": "string"}]}'
)


def packed(datums: list[bytes], before: bytes = b"", after: bytes = b"") -> tuple[bytes, np.ndarray]:
    offsets = np.cumsum([len(before), *map(len, datums)]).astype(np.int64)
    return before + b"".join(datums) + after, offsets


def unpacked(data: bytes, offsets: np.ndarray) -> list[bytes]:
    return [data[begin:end] for begin, end in itertools.pairwise(offsets)]


arrivals = st.lists(
    st.tuples(
        st.lists(st.integers(0, 30_000).map(bytes), max_size=6), st.binary(max_size=3), st.binary(max_size=3)
    )
)


@given(arrivals)
def test_blocks_hold_every_datum_in_order_and_never_more_than_64_kib(arrivals):
    blocks = [OpenBlock(0, 0)]
    for number, (datums, before, after) in enumerate(arrivals):
        data, offsets = packed(datums, before, after)
        first = 0
        while first < len(datums):
            taken = blocks[-1].take(data, offsets, first, ("10.0.0.1", number), number)
            if taken < len(datums):
                assert blocks[-1].size + len(datums[taken]) > BLOCK_BYTES
                blocks.append(OpenBlock(0, 0))
            first = taken
    seen = []
    for block in blocks:
        if block.count:
            data, offsets = joined([block])
            assert (offsets[-1] - offsets[0], len(offsets)) == (block.size, block.count + 1)
            assert block.size <= BLOCK_BYTES
            seen += [(block.origin(i)[0], each) for i, each in enumerate(unpacked(data, offsets))]
    assert seen == [
        (f"10.0.0.1:{number}", each) for number, (datums, *_) in enumerate(arrivals) for each in datums
    ]


def test_an_arrival_that_fills_the_block_alone_is_not_copied():
    data, offsets = packed([b"ab", b"c"])
    block = OpenBlock(0, 0)
    assert block.take(data, offsets, 0, ("::1", 5), 0) == 2
    together, boundaries = joined([block])
    assert together is data
    assert boundaries is offsets


def test_what_is_put_together_is_followed_by_the_room_that_sifting_needs():
    block = OpenBlock(0, 0)
    block.take(*packed([b"ab"]), 0, ("::1", 5), 0)
    block.take(*packed([b"c"]), 0, ("::1", 5), 0)
    data, offsets = joined([block])
    assert data == b"abc" + bytes(16)
    assert offsets.tolist() == [0, 2, 3]


def test_a_large_arrival_is_cut_into_full_blocks_and_not_copied():
    datums = [bytes([number % 251]) * 809 for number in range(400)]
    data, offsets = packed(datums, b"before", b"after")
    blocks = cut(data, offsets, ("10.0.0.1", 5), 0, 0)
    assert [block.count for block in blocks] == [81, 81, 81, 81, 76]  # 81 * 809 bytes are 64 KiB and no more
    together, boundaries = joined(blocks)
    assert together is data
    assert unpacked(together, boundaries) == datums
    assert unpacked(*joined(blocks[1:3])) == datums[81:243]
    assert unpacked(*joined([blocks[0], blocks[2]])) == datums[:81] + datums[162:243]


def test_a_block_that_stays_open_keeps_no_more_of_an_arrival_than_its_own():
    data, offsets = packed([bytes(60_000), b"ab", b"c"])
    block = OpenBlock(0, 0)
    assert block.take(data, offsets, 1, ("::1", 5), 7) == 3
    block.settle()
    together, boundaries = joined([block])
    assert (together, boundaries.tolist()) == (b"abc", [0, 2, 3])
    assert block.origin(1) == ("[::1]:5", 7)


def test_a_datum_knows_where_it_came_from_and_when():
    block = OpenBlock(begun_ns=1000, time_ns=5_000_000)
    block.take(*packed([b"a", b"b"]), 0, ("10.0.0.1", 5), 1000)
    block.take(*packed([b"c"]), 0, ("fe80::1", 6), 1250)
    assert block.origin(1) == ("10.0.0.1:5", 5_000_000)
    assert block.origin(2) == ("[fe80::1]:6", 5_000_250)
    with pytest.raises(IndexError):
        block.origin(3)


def test_memory_counts_more_than_bytes():
    block = OpenBlock(0, 0)
    block.take(*packed([b""] * 1000), 0, ("10.0.0.1", 5), 0)
    assert block.size == 0
    assert block.weight > 8000


datums = st.sampled_from(
    [
        b"\x00\x00",
        b"\x01\x04hi",
        b"\x01\x08four",
        b"",
        b"\x02\x00",
        b"\x01\x04h",
        b"\x01\x00!",
        b"\x01\x02\xff",
    ]
)
GOOD = {b"\x00\x00", b"\x01\x04hi", b"\x01\x08four"}


@given(st.lists(datums, min_size=1, max_size=300))
def test_sifting_takes_out_what_does_not_decode_to_exactly_its_length(sent):
    good, offsets, bad = sift(BOOLS, *packed(sent))
    assert unpacked(good, offsets) == [each for each in sent if each in GOOD]
    assert bad == [number for number, each in enumerate(sent) if each not in GOOD]


def test_what_is_all_good_is_not_copied():
    data, offsets = packed([b"\x00\x00"] * 3)
    good, boundaries, bad = sift(BOOLS, data, offsets)
    assert good is data
    assert boundaries is offsets
    assert bad == []


def blocks_of(*arrivals: list[bytes]) -> list[OpenBlock]:
    blocks = []
    for number, datums in enumerate(arrivals):
        blocks.append(OpenBlock(0, 1000 * number))
        if datums:
            blocks[-1].take(*packed(datums), 0, ("10.0.0.1", 5), 0)
    return blocks


def test_blocks_are_ready_without_their_bad_datums_and_none_is_empty():
    two, one, none = [b"\x00\x00", b"\x02\x00", b"\x01\x04hi"], [b"\x01\x00", b"!"], [b"!", b"\x07\x00"]
    blocks = blocks_of(two, none, [], one)
    ready = ready_blocks(BOOLS, blocks, *sift(BOOLS, *joined(blocks)))
    assert [(each.datums, bytes(each.data), each.time_ns) for each in ready] == [
        (2, b"\x00\x00\x01\x04hi", 0),
        (1, b"\x01\x00", 3000),
    ]
    assert {(each.least, each.greatest) for each in ready} == {(None, None)}  # a boolean is no abscissa
    assert ready_blocks(BOOLS, blocks[1:3], *sift(BOOLS, *joined(blocks[1:3]))) == []


def test_blocks_that_are_ready_know_what_they_span():
    times = schema.parse('{"type": "record", "name": "r", "fields": [{"name": "time", "type": "long"}]}')
    blocks = blocks_of([b"\x06", b"\x02", b"\x04"], [b"\x01"])
    ready = ready_blocks(times, blocks, *sift(times, *joined(blocks)))
    assert [(each.least, each.greatest) for each in ready] == [(1, 3), (-1, -1)]


def test_reasons_are_for_people():
    assert reason(BOOLS, b"\x00\x00!!", 0, 4) == "2 bytes too many"
    assert "on" in reason(BOOLS, b"\x07\x00", 0, 2)
    assert "text" in reason(BOOLS, b"\x01\x08fo", 0, 4)
    assert reason(BOOLS, b"", 0, 0)
