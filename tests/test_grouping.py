"""Groups of samples: what is drawn of them is what is drawn of the samples themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.chart.envelope import edges, envelope, samples
from speeddata.chart.grouping import Summary, by_column, grouped, pictured

VALUES = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([np.nan, np.inf, -np.inf]))


def alike(a, b):
    for name in ("low", "high", "first", "last"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    filled = ~np.isnan(a.low)
    np.testing.assert_array_equal(a.gap[filled], b.gap[filled])
    np.testing.assert_array_equal(a.infinite, b.infinite)
    assert (a.before, a.after) == (b.before, b.after)


@given(
    st.lists(st.tuples(st.integers(0, 40), VALUES), max_size=60),
    st.integers(0, 300),
    st.integers(1, 300),
    st.integers(1, 20),
    st.integers(1, 30),
)
def test_pieces_in_groups_of_a_column_give_the_envelope_of_all_samples(rows, begin, length, columns, size):
    x = np.cumsum(np.array([step for step, _ in rows], np.int64))
    values = np.array([value for _, value in rows], np.float64)
    end = begin + length
    bounds = edges(x.dtype, begin, end, columns)
    parts = []
    for at in range(0, len(x), size):
        piece = samples(x[at : at + size], values[at : at + size], np.zeros(len(x[at : at + size]), np.bool_))
        parts.append(grouped(piece, by_column(piece.begin, bounds)))
    alike(pictured(parts, begin, end, columns, 25), envelope(x, values, begin, end, columns, gap_over=25))


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_what_is_not_finite_at_the_end_of_a_piece_is_a_gap_before_the_next(lost):
    x, values = np.arange(6), np.array([0, 1, lost, 3, 4, 5])
    pieces = [samples(x[part], values[part], np.zeros(3, np.bool_)) for part in (slice(3), slice(3, 6))]
    for heads in (np.arange(3), np.array([0])):
        parts = [grouped(piece, heads) for piece in pieces]
        assert pictured(parts, 0, 6, 6, None).gap[3]


def test_parts_in_any_order_are_put_in_that_of_the_abscissa():
    x, values = np.arange(10), np.arange(10.0)
    pieces = [samples(x[part], values[part], np.zeros(5, np.bool_)) for part in (slice(5, 10), slice(0, 5))]
    parts = [grouped(piece, np.arange(5)) for piece in pieces]
    alike(pictured(parts, 0, 10, 5, None), envelope(x, values, 0, 10, 5))


def test_nothing_is_an_empty_picture():
    found = pictured([], 0, 10, 3, None)
    assert np.isnan(found.low).all()
    assert not found.gap.any()


def test_a_summary_keeps_what_was_told_while_it_grows():
    summary = Summary("time")
    summary.fit(3)
    piece = samples(np.arange(4), np.arange(4.0), np.zeros(4, np.bool_))
    summary.tell(np.array([0, 2]), grouped(piece, np.array([0, 2])), 7)
    summary.fit(5)
    assert len(summary) == 5
    assert list(summary.runs(0, 5, 10)) == [(0, 1, True), (1, 2, False), (2, 3, True), (3, 5, False)]
    assert list(summary.runs(0, 3, 0.5)) == [(0, 3, False)]
    assert summary.entries(2, 3).high.tolist() == [3.0]
    assert summary.gap_over == 7
    summary.fit(2)  # counted anew: nothing that was told holds
    assert list(summary.runs(0, 2, 10)) == [(0, 2, False)]


@pytest.mark.parametrize("count", [0, 1])
def test_no_samples_are_no_groups(count):
    piece = samples(np.arange(count), np.arange(count) * 1.0, np.zeros(count, np.bool_))
    assert len(grouped(piece, np.arange(count)).low) == count
    assert len(by_column(piece.begin, np.array([0, 5]))) == count
