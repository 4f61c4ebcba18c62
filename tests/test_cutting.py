"""A range of time: every datum inside, none outside, whatever the unit and the order."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from by_hand import NOON
from hypothesis import given
from hypothesis import strategies as st

from speeddata import cutting
from speeddata.avro import codec, schema
from speeddata.cutting import Range
from speeddata.errors import UsageError
from speeddata.recording.blockindex import Entry


def of_time(kind, unit=None, nullable=False):
    time = ["null", kind] if nullable else kind
    fields = [{"name": "time", "type": time, "unit": unit or ""}, {"name": "n", "type": "long"}]
    return schema.parse(json.dumps({"type": "record", "name": "rig", "fields": fields}))


def batches(each, *groups):
    first = 0
    for times in groups:
        yield codec.encode(each, {"time": times, "n": np.arange(first, first + len(times))})
        first += len(times)


def numbers(cut):
    return [n for batch in cut for n in codec.columns(batch, ["n"])["n"].values.tolist()]


def test_the_range_is_half_open_and_exact_where_time_steps_back():
    times = [NOON + 5, NOON + 1, NOON + 2, NOON + 4, NOON + 3, NOON + 2]
    source = batches(of_time("long", "ns"), times[:4], times[4:], [NOON + 9])
    assert numbers(cutting.cut(source, Range(NOON + 2, NOON + 4))) == [2, 4, 5]


def test_what_is_wholly_inside_passes_untouched_and_without_a_range_nothing_is_looked_at():
    source = list(batches(of_time("long", "ns"), [1, 2], [3]))
    assert all(a is b for a, b in zip(cutting.cut(source, Range(0, 10)), source, strict=True))
    damaged = codec.Batch(source[0].schema, b"", 7)
    assert list(cutting.cut([damaged], Range())) == [damaged]


@given(
    st.sampled_from(("ns", "us", "ms", "s")),
    st.sampled_from(("int", "long", "float", "double")),
    st.lists(st.integers(-5000, 5000), min_size=1, max_size=30),
    st.integers(-(10**13), 10**13),
    st.integers(1, 10**13),
)
def test_it_agrees_with_exact_arithmetic(unit, kind, ticks, since_ns, length_ns):
    values = [tick / 7 for tick in ticks] if kind in ("float", "double") else ticks
    values = np.array(values, {"int": "i4", "long": "i8", "float": "f4", "double": "f8"}[kind])
    wanted = Range(since_ns, since_ns + length_ns)
    tick_ns = schema.TICK_NS[unit]
    inside = [
        n
        for n, value in enumerate(values.tolist())
        if since_ns <= schema_time(value, tick_ns) < since_ns + length_ns
    ]
    assert numbers(cutting.cut(batches(of_time(kind, unit), values), wanted)) == inside


def schema_time(value, tick_ns):
    from fractions import Fraction

    return Fraction(value) * tick_ns


def test_a_moment_between_two_floats_is_no_rounding_matter():
    each = of_time("double", "s")
    at = NOON / 1e9
    after = math.nextafter(at, math.inf)
    between = Range(math.floor(at * 10**9) + 1, None)
    assert numbers(cutting.cut(batches(each, [at, after]), between)) == [1]


@pytest.mark.parametrize(
    ("each", "times"),
    [(of_time("long", "ns", nullable=True), [None, 5, None]), (of_time("double", "s"), [math.nan, 0.0])],
)
def test_what_has_no_time_is_in_no_range(each, times):
    for wanted in (Range(-(10**18), None), Range(None, 10**18)):
        assert numbers(cutting.cut(batches(each, times), wanted)) == [1]


def test_an_abscissa_that_is_no_time_is_refused():
    for each, times, why in (
        (of_time("long"), [1], "does not tell its unit of time; name it with --time-unit"),
        (of_time("string"), ["a"], "is of type string, no time"),
    ):
        with pytest.raises(UsageError, match=why):
            list(cutting.cut(batches(each, times), Range(0, 1)))
        assert len(list(cutting.cut(batches(each, times), Range()))) == 1


def test_a_block_is_left_out_only_when_it_cannot_hold_a_datum_of_the_range():
    each = of_time("long", "ms")
    chosen = cutting.choice(Range(10_000_000, 20_000_001))
    spans = [(0, 9), (0, 10), (10, 12), (20, 30), (21, 30), (0, 100), (None, None)]
    entries = [Entry(0, 100, 1, least, greatest) for least, greatest in spans]
    assert [chosen(each, entry) for entry in entries] == [False, True, True, True, False, True, True]
    assert cutting.choice(Range()) is None


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ((None, None, None), Range()),
        (("-10m", None, None), Range(NOON - 600 * 10**9, None)),
        (("-2s", "now", None), Range(NOON - 2 * 10**9, NOON)),
        (("2025-12-03T12:00:00Z", "2025-12-03T12:00:01Z", None), Range(NOON, NOON + 10**9)),
        ((None, None, "10s"), Range(last_ns=10**10)),
    ],
)
def test_options_make_a_range(options, wanted):
    assert cutting.range_of(*options, NOON) == wanted


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("now", "-10m", None), "nothing is between now and -10m"),
        (("-1s", None, "10s"), "leave out --since and --until"),
        (("yesterday", None, None), "is no moment"),
    ],
)
def test_what_makes_no_range_is_refused(options, why):
    with pytest.raises(UsageError, match=why):
        cutting.range_of(*options, NOON)


def test_the_last_second_of_ten_a_second_holds_ten():
    times = [NOON + n * 10**8 for n in range(100)]
    wanted = Range(last_ns=10**9).ending(times[-1])
    assert numbers(cutting.cut(batches(of_time("long", "ns"), times), wanted)) == list(range(90, 100))
