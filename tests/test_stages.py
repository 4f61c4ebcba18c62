"""Batches on their way: so many of them, and only what the schema says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from by_hand import RIG_TEXT, rig
from hypothesis import given
from hypothesis import strategies as st

from speeddata.avro import schema
from speeddata.batch import Batch
from speeddata.stages import Tally, decodable, limited, told_apart

RIG = schema.parse(RIG_TEXT)


def batch(datums: list[bytes], known: bool = True) -> Batch:
    offsets = np.cumsum([0, *map(len, datums)]).astype(np.int64)
    return Batch(RIG, b"".join(datums), len(datums), offsets if known else None)


def pieces(batches) -> list[bytes]:
    found = []
    for each in batches:
        assert each.offsets is not None
        bounds = each.offsets.tolist()
        assert len(bounds) == each.count + 1
        found += [each.data[start:end] for start, end in itertools.pairwise(bounds)]
    return found


@given(st.lists(st.integers(1, 9), max_size=9), st.none() | st.integers(1, 50), st.booleans())
def test_a_limit_lets_the_first_datums_pass_in_order_and_no_more(sizes, count, known):
    datums = rig(range(sum(sizes)))
    ends = np.cumsum(sizes).tolist()
    batches = (batch(datums[end - size : end], known) for size, end in zip(sizes, ends, strict=True))
    assert pieces(told_apart(limited(batches, count), Tally())) == datums[:count]


def test_a_limit_that_is_reached_asks_for_no_further_batch():
    def batches():
        yield batch(rig(range(3)))
        raise AssertionError("asked for more")

    assert pieces(limited(batches(), 3)) == rig(range(3))


@given(st.lists(st.booleans(), max_size=300), st.integers(1, 300))
def test_what_is_no_datum_of_its_schema_is_left_out_and_counted(good, step):
    datums = rig(range(len(good)))
    bad = [b"", b"\x01", datums[0] + b"\0" if datums else b""]
    mixed = [datum if fine else bad[n % 3] for n, (datum, fine) in enumerate(zip(datums, good, strict=True))]
    tally = Tally()
    batches = (batch(mixed[first : first + step]) for first in range(0, len(mixed), step))
    assert pieces(decodable(batches, tally)) == [d for d, fine in zip(datums, good, strict=True) if fine]
    assert tally.undecodable == good.count(False)


def test_a_block_that_cannot_be_cut_into_its_datums_is_left_out_whole():
    whole, tally = rig(range(4)), Tally()
    torn = Batch(RIG, b"".join(whole)[:-1], 4)
    assert pieces(told_apart([batch(whole, known=False), torn, batch(whole)], tally)) == whole + whole
    assert tally.undecodable == 4


@pytest.mark.parametrize("first", [0, 2])
def test_a_part_of_a_batch_is_a_batch(first):
    assert pieces([batch(rig(range(5))).part(first, 4)]) == rig(range(first, 4))
