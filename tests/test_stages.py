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
from speeddata.errors import HostError
from speeddata.stages import GATHERED_BYTES, Tally, decodable, gathered, limited, told_apart

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
    assert tally.shortfall == "4 datums are not what the schema says"
    assert Tally(1).shortfall == "1 datum is not what the schema says"


@pytest.mark.parametrize("first", [0, 2])
def test_a_part_of_a_batch_is_a_batch(first):
    assert pieces([batch(rig(range(5))).part(first, 4)]) == rig(range(first, 4))


@given(st.lists(st.integers(1, 300), max_size=30))
def test_gathered_batches_are_large_and_hold_the_same_datums(sizes):
    datums = rig(range(sum(sizes)))
    ends = np.cumsum(sizes).tolist()
    found = list(
        gathered(batch(datums[end - size : end], False) for size, end in zip(sizes, ends, strict=True))
    )
    assert all(len(each.data) >= GATHERED_BYTES for each in found[:-1])
    assert pieces(told_apart(found, Tally())) == datums


def test_a_damaged_batch_costs_no_other_and_is_not_made_good_by_the_next():
    datums = rig(range(6))
    long, short = batch(datums[2:4], False), batch(datums[4:5], False)
    long.count, short.count = 1, 2  # together they would be three datums in as many bytes
    damaged = batch([b"\xff" * 40], False)
    for bad in ([damaged], [long, short]):
        tally = Tally()
        batches = [batch(datums[:2], False), *bad, batch(datums[5:], False)]
        assert pieces(told_apart(gathered(batches), tally)) == [*datums[:2], *datums[5:]]
        assert tally.undecodable == sum(each.count for each in bad)


def test_what_came_before_an_error_is_handed_on():
    def broken():
        yield batch(rig(range(2)), False)
        raise HostError("cannot read")

    found = gathered(broken())
    assert next(found).count == 2
    with pytest.raises(HostError):
        next(found)


def test_batches_of_two_schemas_are_not_joined():
    other = schema.parse(RIG_TEXT.replace('"rig"', '"other"'))
    first, second = batch(rig(range(3)), False), batch(rig(range(3)), False)
    second.schema = other
    assert [each.schema for each in gathered([first, second])] == [RIG, other]
