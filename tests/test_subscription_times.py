"""Abscissas as ISO 8601 text: exact, cut off to a precision, and told apart where they are no times."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.avro.codec import Column
from speeddata.avro.schema import parse
from speeddata.errors import DataError
from speeddata.subscription.times import texts, times

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def schema(unit: str | None, kind: str = "long"):
    field = {"name": "time", "type": ["null", kind], **({"unit": unit} if unit else {})}
    return parse(json.dumps({"type": "record", "name": "r", "fields": [field]}))


def written(values, unit: str = "ns", precision: str = "ms", kind: str = "long", valid=None) -> list[str]:
    column = Column(np.array(values, "<f8" if kind == "double" else "<i8"), valid)
    return texts(times(schema(unit, kind), column, precision), "<", ">")


def test_the_digits_are_those_of_the_precision_and_the_rest_is_cut_off():
    value = [1_543_572_000_123_456_789]
    assert written(value, "ns", "ms") == ["<2018-11-30T10:00:00.123Z>"]
    assert written(value, "ns", "us") == ["<2018-11-30T10:00:00.123456Z>"]
    assert written(value, "ns", "ns") == ["<2018-11-30T10:00:00.123456789Z>"]
    assert written([1_543_572_000], "s", "us") == ["<2018-11-30T10:00:00.000000Z>"]
    assert written([1_543_572_000_999], "ms", "ns") == ["<2018-11-30T10:00:00.999000000Z>"]


def test_before_1970_the_earlier_time_is_written_too():
    assert written([-1], "ns", "ms") == ["<1969-12-31T23:59:59.999Z>"]
    assert written([-1], "us", "ns") == ["<1969-12-31T23:59:59.999999000Z>"]


@pytest.mark.parametrize("precision", ["ms", "us", "ns"])
@pytest.mark.parametrize(("unit", "per_second"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@given(st.lists(st.datetimes(datetime(1700, 1, 1), datetime(2262, 1, 1)), min_size=1, max_size=30))
def test_integers_are_written_as_python_writes_them(unit, per_second, precision, moments):
    ticks = [(m.replace(tzinfo=UTC) - EPOCH) // MICROSECOND * per_second // 10**6 for m in moments]
    shown = []
    for tick in ticks:
        digits = {"ms": 3, "us": 6, "ns": 9}[precision]
        moment = EPOCH + timedelta(seconds=tick // per_second)
        fraction = tick % per_second * 10**9 // per_second // 10 ** (9 - digits)
        shown.append(f"<{moment:%Y-%m-%dT%H:%M:%S}.{fraction:0{digits}d}Z>")
    assert written(ticks, unit, precision) == shown


def test_floats_are_taken_to_the_nearest_microsecond_first():
    values = [1_700_000_000 + number / 1000 for number in range(1000)]
    ends = [text[-6:-2] for text in written(values, "s", "ms", "double")]
    assert ends == [f".{number:03d}" for number in range(1000)]
    assert written([0.999_999_9, -0.000_000_1], "s", "us", "double") == [
        "<1970-01-01T00:00:01.000000Z>",
        "<1970-01-01T00:00:00.000000Z>",
    ]


@pytest.mark.parametrize("kind", ["long", "double"])
def test_null_and_what_four_digits_cannot_write_have_no_row(kind):
    values = [-62_135_596_801, -62_135_596_800, 0, 5, 253_402_300_799, 253_402_300_800]
    valid = np.array([True, True, True, False, True, True])
    column = Column(np.array(values, "<f8" if kind == "double" else "<i8"), valid)
    found = times(schema("s", kind), column, "ms")
    assert found.rows.tolist() == [1, 2, 4]
    assert texts(found, "", "") == [
        "0001-01-01T00:00:00.000Z",
        "1970-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59.000Z",
    ]
    assert found.newest_ns(0, 3) == 253_402_300_799 * 10**9


def test_floats_that_are_no_numbers_and_integers_at_their_ends_have_no_time():
    found = times(schema("s", "double"), Column(np.array([np.nan, np.inf, -np.inf, 1e300, 1.0])), "ns")
    assert found.rows.tolist() == [4]
    ends = times(schema("s"), Column(np.array([-(2**63), 2**63 - 1])), "ns")
    assert ends.rows.tolist() == []
    assert texts(ends, "", "") == []


def test_the_newest_is_found_in_any_order():
    found = times(schema("ns"), Column(np.array([5, 2_000_000_007, 2_000_000_003, 9])), "ns")
    assert found.newest_ns(0, 4) == 2_000_000_007
    assert found.newest_ns(2, 4) == 2_000_000_003


@pytest.mark.parametrize(("unit", "kind"), [(None, "long"), ("ns", "string"), ("ns", "boolean")])
def test_what_is_no_time_is_an_error(unit, kind):
    with pytest.raises(DataError, match="tells no time"):
        times(schema(unit, kind), Column(np.array([1])), "ms")
