"""Envelopes against a plain statement of them: exact integers, one sample after the other."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.chart.envelope import Entries, Envelope, condensed, envelope, merged, nothing

NAN, INF = math.nan, math.inf
VALUES = st.one_of(
    st.floats(-1e308, 1e308), st.sampled_from([NAN, INF, -INF, 0.0, -0.0, 5e-324, 1.0]), st.just(1.0)
)
STEPS = st.one_of(st.integers(0, 3), st.integers(0, 10**12))


@st.composite
def signals(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    """Ascending times, sparse or dense, and a value at each."""
    steps = draw(st.lists(STEPS, max_size=80))
    begin = draw(st.sampled_from([0, -5, 1_795_338_000_123_456_789]))
    return list(itertools.accumulate(steps, initial=begin))[1:], [draw(VALUES) for _ in steps]


@st.composite
def windows(draw: st.DrawFn, x: list[int]) -> tuple[int, int, int]:
    middle = draw(st.sampled_from(x)) if x else 0
    begin = middle - draw(st.integers(0, 10**13))
    return begin, draw(st.integers(middle + 1, middle + 10**13)), draw(st.integers(1, 50))


def plainly(x: list[int], values: list[float], begin: int, end: int, columns: int, gap_over: int | None):
    """What `envelope` says, sample by sample; lines as a set of pairs of samples that one joins."""
    low, high, first, last = ([NAN] * columns for _ in range(4))
    gap, above, below = ([False] * columns for _ in range(3))
    for number, (at, value) in enumerate(zip(x, values, strict=True)):
        if not begin <= at < end:
            continue
        column = (at - begin) * columns // (end - begin)
        if math.isnan(value):
            continue
        if math.isinf(value):
            (above if value > 0 else below)[column] = True
            continue
        if math.isnan(first[column]):
            first[column] = value
            gap[column] = number > 0 and not joined(x, values, number, gap_over)
        last[column] = value
        low[column] = value if math.isnan(low[column]) else min(low[column], value)
        high[column] = value if math.isnan(high[column]) else max(high[column], value)
    return low, high, first, last, gap, above, below


def joined(x: list[int], values: list[float], number: int, gap_over: int | None) -> bool:
    """Whether a line leads from the sample before *number* to it."""
    near = gap_over is None or x[number] - x[number - 1] <= gap_over
    return number > 0 and near and math.isfinite(values[number - 1]) and math.isfinite(values[number])


def arrays(x: list[int], values: list[float]):
    return np.array(x, np.int64), np.array(values, np.float64)


@given(st.data(), signals(), st.sampled_from([None, 0, 2, 10**9]))
def test_an_envelope_says_of_each_column_what_its_samples_say(data, signal, gap_over):
    x, values = signal
    begin, end, columns = data.draw(windows(x))
    found = envelope(*arrays(x, values), begin, end, columns, gap_over=gap_over)
    low, high, first, last, gap, above, below = plainly(x, values, begin, end, columns, gap_over)
    np.testing.assert_array_equal(found.low, low)
    np.testing.assert_array_equal(found.high, high)
    np.testing.assert_array_equal(found.first, first)
    np.testing.assert_array_equal(found.last, last)
    there = ~np.isnan(low)
    assert found.gap[there].tolist() == np.array(gap)[there].tolist()
    assert (found.above.tolist(), found.below.tolist()) == (above, below)
    assert found.infinite.tolist() == (np.array(above) | np.array(below)).tolist()


@given(st.data(), signals(), st.sampled_from([None, 2, 10**9]))
def test_lines_go_on_to_the_nearest_samples_outside_unless_there_is_a_gap(data, signal, gap_over):
    x, values = signal
    begin, end, columns = data.draw(windows(x))
    found = envelope(*arrays(x, values), begin, end, columns, gap_over=gap_over)
    first = sum(at < begin for at in x)
    stop = sum(at < end for at in x)
    inside = [number for number in range(first, stop) if math.isfinite(values[number])]
    # the line from the sample before goes to the next finite sample, which has to be the very next one
    begun = first > 0 and first < len(x) and joined(x, values, first, gap_over)
    assert (found.before is not None) == begun
    ended = stop < len(x) and stop > 0 and joined(x, values, stop, gap_over)
    assert (found.after is not None) == (ended and (bool(inside) or begun))
    if found.before is not None:
        assert found.before == (x[first - 1], values[first - 1])
    if found.after is not None:
        assert found.after == (x[stop], values[stop])


@given(st.data(), signals())
def test_two_envelopes_of_the_parts_are_the_envelope_of_the_whole(data, signal):
    x, values = signal
    begin, end, columns = data.draw(windows(x))
    cut = data.draw(st.integers(0, len(x)))
    whole = envelope(*arrays(x, values), begin, end, columns)
    parts = [
        envelope(*arrays(x[part], values[part]), begin, end, columns)
        for part in (slice(None, cut), slice(cut, None))
    ]
    found = merged(*parts)
    for name in ("low", "high", "first", "last", "infinite", "above", "below"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name), err_msg=name)


@pytest.mark.parametrize(("gap_over", "is_gap"), [(None, False), (5, True), (6, False)])
def test_where_parts_are_far_apart_no_line_joins_them(gap_over, is_gap):
    parts = [envelope(*arrays(x, [1.0, 2.0]), 0, 10, 10) for x in ([0, 1], [8, 9])]
    found = merged(*parts, gap_over=gap_over)
    assert np.flatnonzero(found.gap).tolist() == ([8] if is_gap else [])


def test_envelopes_of_different_ranges_do_not_merge():
    with pytest.raises(ValueError, match="different ranges"):
        merged(nothing(0, 10, 5), nothing(0, 10, 6))


def test_an_envelope_that_does_not_tell_the_sign_of_infinities_merges_to_one_that_does_not():
    told = nothing(0, 10, 2)
    untold = dataclasses.replace(told, infinite=np.array([True, False]), above=None, below=None)
    found = merged(told, untold)
    assert found.infinite.tolist() == [True, False]
    assert found.above is None


@pytest.mark.parametrize("range_", [(5, 5, 3), (5, 4, 3), (0, 1, 0), (0.0, math.nan, 3)])
def test_no_columns_and_no_range_are_refused(range_):
    with pytest.raises(ValueError, match="columns of"):
        nothing(*range_)
    with pytest.raises(ValueError, match="columns of"):
        envelope(np.array([1.0]), np.array([1.0]), *range_)


def test_numbers_other_than_times_have_columns_too():
    x = np.array([0.0, 0.4, 0.5, 0.99, 1.0])
    found = envelope(x, np.arange(5), 0.0, 1.0, 2)
    assert (found.low.tolist(), found.high.tolist()) == ([0.0, 2.0], [1.0, 3.0])
    assert found.after == (1.0, 4.0)


def test_a_range_as_wide_as_all_times_is_cut_exactly():
    x = np.array([-(2**62) - 9, 1, 2**62 + 9], np.int64)
    found = envelope(x, np.array([1.0, 2.0, 3.0]), -(2**63), 2**63, 4)
    np.testing.assert_array_equal(found.low, [1.0, NAN, 2.0, 3.0])


def buckets(*each: tuple[int, int, float, float, int]) -> Entries:
    begin, end, low, high, flags = zip(*each, strict=True)
    extents = (np.array(low), np.array(high), np.array(low), np.array(high))
    return Entries(np.array(begin), np.array(end), *extents, np.array(flags, np.uint8))


def shown(found: Envelope) -> str:
    return "".join("." if math.isnan(low) else "#" for low in found.low)


def test_a_bucket_wider_than_a_column_is_drawn_wherever_its_samples_may_lie():
    found = condensed(buckets((-30, 35, 1.0, 9.0, 0), (60, 65, 2.0, 3.0, 0)), 0, 2, 0, 100, 10)
    assert shown(found) == "####..#..."
    assert found.high[:4].tolist() == [9.0] * 4
    assert not found.gap.any()


def test_a_bucket_with_a_hole_is_drawn_at_its_ends_which_no_line_joins():
    hole = 8
    found = condensed(buckets((5, 75, 1.0, 9.0, hole), (90, 90, 2.0, 3.0, 0)), 0, 2, 0, 100, 10)
    assert shown(found) == "#......#.#"
    assert found.gap.tolist() == [column == 7 for column in range(10)]


def test_a_bucket_that_is_no_wider_than_a_column_stays_in_the_one_where_it_begins():
    found = condensed(buckets((5, 14, 1.0, 9.0, 0), (15, 24, 2.0, 3.0, 0)), 0, 2, 0, 100, 10)
    assert shown(found) == "##........"
    assert found.high[:2].tolist() == [9.0, 3.0]
