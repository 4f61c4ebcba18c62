"""Axes: ticks that are round, few and inside; a range that holds the values and does not jump about."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.chart.scale import Autoscale, exact_time, tick_text, time_ticks, value_ticks

FINITE = st.floats(allow_nan=False, allow_infinity=False)
S = 1_000_000_000
NOON = 1_795_348_800 * S  # 2026-11-22T12:00:00Z
BERLIN = ZoneInfo("Europe/Berlin")


# -- values -------------------------------------------------------------------------------------------------


@given(FINITE, FINITE, st.integers(1, 12))
def test_ticks_are_inside_ascending_and_not_more_than_asked_for(one, other, most):
    low, high = min(one, other), max(one, other)
    ticks = value_ticks(low, high, most)
    assert len(ticks) <= most
    assert all(low <= tick <= high for tick in ticks)
    assert all(a < b for a, b in itertools.pairwise(ticks))


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**6), st.integers(-12, 12), st.integers(3, 12))
def test_ticks_are_multiples_of_1_2_or_5_and_as_many_as_fit(first, count, exponent, most):
    unit = Fraction(10) ** exponent
    low, high = float(first * unit), float((first + count) * unit)
    ticks = value_ticks(low, high, most)
    step = min(
        digit * Fraction(10) ** power
        for power in range(-16, 22)
        for digit in (1, 2, 5)
        if math.floor(Fraction(repr(high)) / (digit * Fraction(10) ** power))
        - math.ceil(Fraction(repr(low)) / (digit * Fraction(10) ** power))
        < most
    )
    assert ticks == [
        float(number * step)
        for number in range(
            math.ceil(Fraction(repr(low)) / step), math.floor(Fraction(repr(high)) / step) + 1
        )
    ]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (-1.05, 1.05, [-1.0, -0.5, 0.0, 0.5, 1.0]),
        (0.1, 0.35, [0.1, 0.15, 0.2, 0.25, 0.3, 0.35]),
        (-1.7e308, 1.7e308, [-1e308, 0.0, 1e308]),
        (5e-324, 3e-323, [5e-324, 1e-323, 1.5e-323, 2e-323, 2.5e-323, 3e-323]),
        (3.3, 3.3, [3.3]),
        (math.nan, 1.0, []),
        (0.0, math.inf, []),
        (1.0, 0.0, []),
    ],
)
def test_ticks_of_ordinary_and_of_extreme_ranges(low, high, ticks):
    assert value_ticks(low, high, 6) == ticks


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (0.0, 0.5, "0"),
        (-0.0, 0.5, "0"),
        (0.5, 0.5, "0.5"),
        (1.0, 0.5, "1.0"),
        (0.30000000000000004, 0.05, "0.30"),
        (-250.0, 50.0, "-250"),
        (999_999.0, 1.0, "999999"),
        (5_000_000.0, 1_000_000.0, "5e6"),
        (12_500_000.0, 500_000.0, "1.25e7"),
        (2e-7, 1e-7, "2e-7"),
        (1e308, 1e308, "1e308"),
        (math.inf, 1.0, "inf"),
        (2.5, math.nan, "2"),
    ],
)
def test_a_tick_is_written_with_the_digits_that_it_needs(value, step, text):
    assert tick_text(value, step) == text


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12), st.integers(2, 10))
def test_ticks_beside_each_other_are_written_differently(low, span, most):
    ticks = value_ticks(low, low + span, most)
    if len(ticks) > 1 and ticks[1] - ticks[0] > 1e-12 * max(map(abs, ticks)):
        texts = [tick_text(tick, ticks[1] - ticks[0]) for tick in ticks]
        assert len(set(texts)) == len(ticks)


# -- times --------------------------------------------------------------------------------------------------


@given(
    st.integers(-(2**62), 2**62), st.integers(0, 2**61), st.integers(1, 12), st.sampled_from([UTC, BERLIN])
)
def test_moments_are_inside_ascending_and_not_more_than_asked_for(begin, span, most, zone):
    ticks = [moment for moment, _ in time_ticks(begin, begin + span, most, zone)]
    assert len(ticks) <= most
    assert all(begin <= tick <= begin + span for tick in ticks)
    assert all(a < b for a, b in itertools.pairwise(ticks))


@pytest.mark.parametrize(
    ("span", "texts"),
    [
        (
            5_000,
            ["12:00:00.000000", "12:00:00.000001", "12:00:00.000002", "12:00:00.000003", "12:00:00.000004"],
        ),
        (3_000_000, ["12:00:00.000", "12:00:00.001", "12:00:00.002", "12:00:00.003"]),
        (S, ["12:00:00.000", "12:00:00.200", "12:00:00.400", "12:00:00.600", "12:00:00.800", "12:00:01.000"]),
        (30 * S, ["12:00:00", "12:00:10", "12:00:20", "12:00:30"]),
        (3600 * S, ["12:00", "12:15", "12:30", "12:45", "13:00"]),
        (24 * 3600 * S, ["12:00", "18:00", "2026-11-23", "06:00", "12:00"]),
        (3 * 86400 * S, ["2026-11-23", "2026-11-24", "2026-11-25"]),
    ],
)
def test_moments_are_written_as_finely_as_they_are_spaced(span, texts):
    found = [text for _, text in time_ticks(NOON, NOON + span, 6, UTC)]
    if span == 5_000:
        assert found[:5] == texts
    else:
        assert found == texts


def test_moments_are_round_by_the_clock_of_the_zone():
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    found = time_ticks(NOON, NOON + 3600 * S, 5, kathmandu)
    assert [text for _, text in found] == ["17:45", "18:00", "18:15", "18:30", "18:45"]
    found = time_ticks(NOON, NOON + 6 * 3600 * S, 4, kathmandu)
    assert [text for _, text in found] == ["18:00", "20:00", "22:00"]


@pytest.mark.parametrize(
    ("day", "hours", "texts"),
    [
        ((2026, 10, 24, 22), 4, ["2026-10-25", "01:00", "02:00", "03:00"]),  # 02:00 to 03:00 comes twice
        ((2026, 3, 28, 23), 3, ["2026-03-29", "01:00", "03:00", "04:00"]),  # and there is none
    ],
)
def test_moments_follow_a_clock_that_is_changed(day, hours, texts):
    begin = int(datetime(*day, tzinfo=UTC).timestamp()) * S
    found = time_ticks(begin, begin + hours * 3600 * S, 6, BERLIN)
    assert [text for _, text in found] == texts
    assert [exact_time(moment, BERLIN)[11:16] for moment, _ in found[1:]] == texts[1:]


def test_times_beyond_the_calendar_have_no_ticks():
    assert time_ticks(10**30, 10**30 + S, 5, UTC) == []
    assert exact_time(10**30, UTC) == f"{10**30} ns"
    assert time_ticks(5, 4, 5, UTC) == []
    assert time_ticks(5, 6, 0, UTC) == []


@pytest.mark.parametrize(
    ("ns", "zone", "text"),
    [
        (NOON + 1, UTC, "2026-11-22 12:00:00.000000001Z"),
        (NOON, BERLIN, "2026-11-22 13:00:00.000000000+01:00"),
        (-1, UTC, "1969-12-31 23:59:59.999999999Z"),
        (NOON, timezone(timedelta(hours=-3, minutes=-30)), "2026-11-22 08:30:00.000000000-03:30"),
    ],
)
def test_an_exact_time_has_every_digit_and_its_zone(ns, zone, text):
    assert exact_time(ns, zone) == text


# -- the range ----------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=40))
def test_a_range_holds_all_finite_values_of_the_last_update_and_is_never_empty(updates):
    scale = Autoscale()
    for low, high in updates:
        begin, end = scale.update(low, high)
        assert math.isfinite(begin)
        assert math.isfinite(end)
        assert begin < end
        if math.isfinite(low) and math.isfinite(high) and low <= high:
            assert begin <= low <= high <= end


def test_a_range_grows_at_once_and_a_little_further_than_needed():
    scale = Autoscale()
    assert scale.update(0.0, 10.0) == (-0.5, 10.5)
    assert scale.update(0.0, 10.4) == (-0.5, 10.5)
    begin, end = scale.update(0.0, 12.0)
    assert begin == -0.5
    assert 12.0 < end < 13.0


def test_a_range_shrinks_only_after_less_than_half_was_used_for_a_while():
    scale = Autoscale()
    wide = scale.update(0.0, 100.0)
    for _ in range(19):
        assert scale.update(0.0, 10.0) == wide
    assert scale.update(0.0, 60.0) == wide  # begins anew
    for _ in range(18):
        assert scale.update(0.0, 10.0) == wide
    assert scale.update(5.0, 20.0) == wide
    assert scale.update(0.0, 10.0) == (-1.0, 21.0)  # all that was seen meanwhile


def test_a_constant_is_in_the_middle_and_stays_there():
    scale = Autoscale()
    assert scale.update(5.0, 5.0) == (4.5, 5.5)
    for _ in range(50):
        assert scale.update(5.0, 5.0) == (4.5, 5.5)
    assert Autoscale().update(0.0, 0.0) == (-1.0, 1.0)
    low, high = Autoscale().update(5e-324, 5e-324)
    assert low < 5e-324 < high


def test_what_is_no_range_changes_nothing():
    scale = Autoscale()
    before = scale.update(1.0, 2.0)
    for low, high in ((math.nan, math.nan), (1.0, math.inf), (3.0, 2.0)):
        assert scale.update(low, high) == before


@pytest.mark.parametrize(
    ("fixed", "values", "range_"),
    [
        ((-1.0, 1.0), (-5.0, 7.0), (-1.0, 1.0)),
        ((0.0, None), (2.0, 10.0), (0.0, 10.4)),
        ((None, 100.0), (0.0, 10.0), (-0.5, 100.0)),
        ((0.0, None), (-3.0, -2.0), (0.0, 1.0)),
    ],
)
def test_a_fixed_end_stays_where_it_is(fixed, values, range_):
    scale = Autoscale(*fixed)
    assert scale.fixed
    assert scale.update(*values) == pytest.approx(range_)
    scale.fix(None, None)
    assert not scale.fixed
    begin, end = scale.update(*values)
    assert begin <= values[0] <= values[1] <= end


@pytest.mark.parametrize("fixed", [(1.0, 1.0), (2.0, 1.0), (math.nan, None), (None, math.inf)])
def test_a_fixed_range_that_is_none_is_refused(fixed):
    with pytest.raises(ValueError, match="range"):
        Autoscale(*fixed)
