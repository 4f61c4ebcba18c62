"""The view of an axis: live and held, scrolled and zoomed, on whole dot columns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.chart.view import SPANS_NS, View

SECOND = 1_000_000_000
FIRST, LAST = 1_790_000_000 * SECOND, 1_790_000_600 * SECOND


@given(st.integers(1000, 10**15), st.integers(1, 500), st.integers(0, 10**12))
def test_a_range_lies_on_whole_dot_columns_that_do_not_depend_on_the_moment(span, dots, later):
    view = View(span)
    begin, end = view.range(FIRST, LAST + later, dots)
    dot = (end - begin) // dots
    assert (end - begin) % dots == 0
    assert end % dot == 0
    assert end - dot < LAST + later <= end
    assert span <= dot * dots < span + dots


def test_it_goes_with_the_newest_until_it_is_held():
    view = View(10 * SECOND)
    assert view.range(FIRST, LAST + SECOND, 100)[1] == LAST + SECOND
    view.hold(LAST)
    assert view.range(FIRST, LAST + SECOND, 100)[1] == LAST
    view.go_live()
    assert view.live


def test_scrolling_stops_at_the_oldest_and_goes_live_at_the_newest():
    view = View(10 * SECOND)
    view.scroll(-0.5, FIRST, LAST)
    assert view.end == LAST - 5 * SECOND
    view.scroll(-1000, FIRST, LAST)
    assert view.end == FIRST + 10 * SECOND
    view.scroll(1000, FIRST, LAST)
    assert view.live


def test_a_window_that_is_longer_than_all_there_is_does_not_scroll():
    view = View(3600 * SECOND)
    view.scroll(-0.5, FIRST, LAST)
    assert view.live
    view.to_oldest(FIRST, LAST)
    assert view.live


def test_what_is_held_stays_held_where_there_is_nothing_older():
    view = View(3600 * SECOND, end=LAST - SECOND)
    view.scroll(-0.1, FIRST, LAST)
    assert view.end == LAST - SECOND
    view.shift(-SECOND, FIRST, LAST)
    view.to_oldest(FIRST, LAST)
    assert view.end == LAST - SECOND


def test_zooming_out_does_not_let_go_of_what_is_held():
    view = View(30 * SECOND, end=LAST - SECOND)
    view.zoom(1, FIRST, LAST)
    assert (view.span, view.end) == (60 * SECOND, LAST)


def test_zoom_takes_round_sizes_and_keeps_the_middle_or_what_is_pointed_at():
    view = View(30 * SECOND, end=LAST - 100 * SECOND)
    view.zoom(1, FIRST, LAST)
    assert (view.span, view.end) == (60 * SECOND, LAST - 85 * SECOND)
    view.zoom(-1, FIRST, LAST, at=LAST - 85 * SECOND)
    assert (view.span, view.end) == (30 * SECOND, LAST - 85 * SECOND)


def test_zoom_has_a_shortest_and_a_longest_window():
    view = View(30 * SECOND)
    view.zoom(-1000, FIRST, LAST)
    assert view.span == SPANS_NS[0] == 1000
    view.zoom(1000, FIRST, LAST)
    assert view.span == SPANS_NS[-1]
    view.stretch(1e30, FIRST, LAST, LAST)
    assert view.span == SPANS_NS[-1]


def test_the_wheel_keeps_what_is_under_it():
    view = View(10 * SECOND, end=LAST - 100 * SECOND)
    at = LAST - 108 * SECOND  # a fifth from the left
    view.stretch(2.0, FIRST, LAST, at)
    assert view.span == 20 * SECOND
    assert at - (view.end - view.span) == 4 * SECOND


def test_the_cursor_begins_in_the_middle_and_takes_the_window_along():
    view = View(10 * SECOND)
    view.move_cursor(0, FIRST, LAST, 100)
    assert view.cursor == LAST - 5 * SECOND
    view.move_cursor(-60, FIRST, LAST, 100)
    assert view.cursor == LAST - 11 * SECOND
    assert not view.live
    begin, end = view.range(FIRST, LAST, 100)
    assert begin <= view.cursor < end
    view.move_cursor(-(10**6), FIRST, LAST, 100)
    assert view.cursor == FIRST
    view.go_live()  # it is out of sight then
    view.move_cursor(-1, FIRST, LAST, 100)
    assert view.cursor == LAST - 5 * SECOND


def test_nanoseconds_stay_exact():
    view = View(1000, end=FIRST + 5001)
    view.scroll(-1.0, FIRST, LAST)
    assert view.end == FIRST + 4001
    view.move_cursor(0, FIRST, LAST, 1000)
    assert view.cursor == FIRST + 3501


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_an_axis_of_numbers_shows_all_at_first_and_zooms_by_1_2_5(scale):
    view = View(None, is_time=False)
    begin, end = view.range(0.0, 70 * scale, 100)
    assert begin == pytest.approx(0, abs=scale)
    assert end == pytest.approx(70 * scale, rel=0.02)
    view.zoom(-1, 0.0, 70 * scale)
    assert view.span == pytest.approx(50 * scale)
    view.zoom(-2, 0.0, 70 * scale)
    assert view.span == pytest.approx(10 * scale)


def test_a_single_sample_is_a_range_too():
    for is_time, x in ((True, FIRST), (False, 1e300), (False, 0.0)):
        begin, end = View(None, is_time=is_time).range(x, x, 50)
        assert begin < end
