"""Dots: every sample is seen where it belongs, gaps are gaps, and lines are thin and whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from speeddata.chart.canvas import EMPTY, GRID, Canvas, dots_of, line_of, stretched
from speeddata.chart.envelope import Envelope

NAN = math.nan
# by hand, from the Unicode charts: where the dots of a cell are, as (column, line) of each
BRAILLE = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))  # from the lowest bit on
QUADRANTS = {
    "▘": "a", "▝": "b", "▖": "c", "▗": "d", "▀": "ab", "▄": "cd", "▌": "ac", "▐": "bd", "▞": "bc", "▚": "ad",
    "▛": "abc", "▜": "abd", "▙": "acd", "▟": "bcd", "█": "abcd", " ": "",
}  # fmt: skip
QUADRANT = {"a": (0, 0), "b": (1, 0), "c": (0, 1), "d": (1, 1)}
ASCII = {" ": (), "'": ((0, 0),), ".": ((0, 1),), "|": ((0, 0), (0, 1))}


def dots_in(character):
    if character in ASCII:
        return ASCII[character]
    if character in QUADRANTS:
        return [QUADRANT[each] for each in QUADRANTS[character]]
    bits = ord(character) - 0x2800
    assert 0 < bits < 256
    return [place for bit, place in enumerate(BRAILLE) if bits >> bit & 1]


def dots(canvas, charset="braille"):
    """What a reader of the text sees: (line, column) of each dot."""
    across, down = dots_of(charset)
    return {
        (row * down + y, cell * across + x)
        for row, text in enumerate(canvas.rows()[0])
        for cell, character in enumerate(text)
        for x, y in dots_in(character)
    }


def enveloped(*columns, gaps=(), infinite=(), before=None, after=None, **rest):
    """An envelope of these columns, each the list of its samples, one unit of the abscissa wide."""
    count = len(columns)
    low, high, first, last = (np.full(count, NAN) for _ in range(4))
    for number, samples in enumerate(columns):
        if samples:
            low[number], high[number] = min(samples), max(samples)
            first[number], last[number] = samples[0], samples[-1]
    flags = [np.isin(np.arange(count), each) for each in (gaps, infinite)]
    return Envelope(0.0, float(count), low, high, first, last, flags[0], before, after, flags[1], **rest)


def drawn(envelope, low, high, height=2, charset="braille"):
    canvas = Canvas(len(envelope.low) // dots_of(charset)[0], height, charset)
    canvas.draw(envelope, low, high, 0)
    return canvas


numbers = st.floats(-1e308, 1e308) | st.floats(-10, 10) | st.sampled_from([0.0, 5e-324, -5e-324, 1.0])
columns_of_samples = st.integers(1, 12).flatmap(
    lambda cells: st.lists(st.lists(numbers, max_size=4), min_size=2 * cells, max_size=2 * cells)
)


@pytest.mark.parametrize("charset", ["braille", "blocks", "ascii"])
@given(columns=columns_of_samples, height=st.integers(1, 5), gaps=st.sets(st.integers(0, 23)), data=st.data())
def test_every_sample_in_range_sets_a_dot_in_its_column_at_its_value(charset, columns, height, gaps, data):
    low, high = sorted((data.draw(numbers), data.draw(numbers)))
    canvas = drawn(enveloped(*columns, gaps=list(gaps)), low, high, height, charset)
    seen = dots(canvas, charset)
    for number, samples in enumerate(columns):
        for value in samples:
            if low <= value <= high:
                line = int(line_of(value, low, high, canvas.lines))
                assert (line, number) in seen


@given(columns=columns_of_samples, height=st.integers(1, 5))
def test_neighbours_that_are_joined_touch(columns, height):
    canvas = drawn(enveloped(*columns), -10, 10, height)
    lines = [{line for line, column in dots(canvas) if column == each} for each in range(canvas.columns)]
    sampled = [number for number, samples in enumerate(columns) if samples]
    for left in range(sampled[0] if sampled else 0, sampled[-1] if sampled else 0):
        assert lines[left]
        assert any(abs(one - other) <= 1 for one in lines[left] for other in lines[left + 1])


@given(columns=columns_of_samples, height=st.integers(1, 5))
def test_nothing_is_drawn_beyond_what_joins_the_samples(columns, height):
    canvas = drawn(enveloped(*columns), -10, 10, height)
    values = [max(-10.0, min(value, 10.0)) for samples in columns for value in samples]
    sampled = [number for number, samples in enumerate(columns) if samples]
    for line, column in dots(canvas):
        assert sampled[0] <= column <= sampled[-1]
        assert line_of(max(values), -10, 10, canvas.lines) <= line
        assert line <= line_of(min(values), -10, 10, canvas.lines)


def test_a_picture_looks_like_this():
    envelope = enveloped(*([math.sin(x / 40 * 2 * math.pi)] for x in range(40)))
    assert drawn(envelope, -1, 1, 3).rows()[0] == [
        " ⢀⠤⠒⠉⠉⠑⠢⢄           ",
        "⠔⠁       ⠑⠢⡀       ⡠",
        "           ⠈⠒⠤⣀⣀⡠⠔⠊ ",
    ]


@pytest.mark.parametrize(
    ("charset", "rows"),
    [("braille", ["  ⡇ ", "⠉⠉⡏⠉"]), ("blocks", ["  ▌ ", "▀▀▛▀"]), ("ascii", ["  | ", "''|'"])],
)
def test_each_charset_shows_a_spike_in_full(charset, rows):
    across = dots_of(charset)[0]
    columns = [[3.0]] * (4 * across)
    columns[2 * across] = [3.0, 0.0, 7.0, 3.0]
    assert drawn(enveloped(*columns), 0, 7, 2, charset).rows()[0] == rows


def test_a_gap_is_a_gap():
    canvas = drawn(enveloped([0.0], [], [], [], [7.0], [7.0], gaps=[4]), 0, 7)
    assert {column for _, column in dots(canvas)} == {0, 4, 5}
    assert dots(canvas) == {(7, 0), (0, 4), (0, 5)}


def test_a_gap_between_neighbours_leaves_them_apart():
    assert dots(drawn(enveloped([0.0], [7.0], gaps=[1]), 0, 7)) == {(7, 0), (0, 1)}


def test_neighbours_meet_half_way_and_each_line_is_there_once():
    assert dots(drawn(enveloped([0.0], [7.0]), 0, 7)) == {
        *((line, 0) for line in (4, 5, 6, 7)),
        *((line, 1) for line in (0, 1, 2, 3)),
    }


def test_a_slope_is_one_dot_wide():
    canvas = drawn(enveloped(*([float(value)] for value in range(8))), 0, 7)
    assert dots(canvas) == {(7 - value, value) for value in range(8)}


def test_a_straight_line_goes_through_columns_without_a_sample():
    canvas = drawn(enveloped([0.0], [], [], [], [], [], [], [7.0]), 0, 7)
    assert dots(canvas) == {(7 - value, value) for value in range(8)}


def test_a_line_comes_in_and_leaves_at_the_edges():
    # 4 columns of 1 each: the middle of the first one is 0.5
    envelope = enveloped([], [3.0], [4.0], [], before=(-0.5, 1.0), after=(4.5, 6.0))
    assert dots(drawn(envelope, 0, 7)) == {(5, 0), (4, 1), (3, 2), (2, 3)}


def test_a_line_crosses_a_range_in_which_no_sample_lies():
    envelope = enveloped([], [], [], [], before=(-100, 3.0), after=(100, 3.0))
    assert dots(drawn(envelope, 0, 7)) == {(4, column) for column in range(4)}


@pytest.mark.parametrize("edges", [{"before": (-3, 1.0)}, {"after": (9, 1.0)}, {}])
def test_nothing_is_drawn_where_nothing_is_joined(edges):
    assert not dots(drawn(enveloped([], [], [], [], **edges), 0, 7))


def test_times_keep_their_nanoseconds():
    begin = 1_790_000_000_000_000_000
    nan = np.full(8, NAN)
    flags = np.zeros(8, np.bool_)
    envelope = Envelope(
        begin, begin + 8, nan, nan, nan, nan, flags, (begin - 1, 7.0), (begin + 8, 7.0 - 9 * 0.5), flags
    )
    assert {column for _, column in dots(drawn(envelope, 0, 7))} == set(range(8))
    assert len(dots(drawn(envelope, 0, 7))) < 16


def test_a_value_beyond_the_range_is_pegged_to_the_edge():
    assert dots(drawn(enveloped([100.0], [100.0]), 0, 7)) == {(0, 0), (0, 1)}
    assert dots(drawn(enveloped([-1e308], [-1e308]), 0, 7)) == {(7, 0), (7, 1)}


@pytest.mark.parametrize("end", [1e308, 1.7976931348623157e308, 1e-300, 1e-12, 1.0])
def test_any_range_that_a_double_holds_can_be_drawn(end):
    assert {line for line, _ in dots(drawn(enveloped([-end], [end]), -end, end))} == set(range(8))


def test_a_constant_lies_in_the_middle_of_a_range_without_extent():
    assert dots(drawn(enveloped([5.0], [5.0]), 5.0, 5.0)) == {(4, 0), (4, 1)}


@pytest.mark.parametrize(
    ("rest", "row"),
    [({}, 0), ({"above": [0]}, 0), ({"below": [0]}, 2)],
)
def test_an_infinity_is_marked_at_its_edge(rest, row):
    flags = {name: np.isin(np.arange(4), at) for name, at in rest.items()}
    texts, colours = drawn(enveloped([], [], [3.0], [3.0], infinite=[0], **flags), 0, 7, 3).rows()
    assert texts[row][0] == "∞"
    assert "".join(texts).count("∞") == 1
    assert colours[row, 0] == 0


def test_the_mark_of_an_infinity_makes_room_for_a_spike():
    texts, _ = drawn(enveloped([7.0], []), 0, 7, 3).rows()
    spike = texts[0][0]
    texts, _ = drawn(enveloped([7.0], [], infinite=[1]), 0, 7, 3).rows()
    assert (texts[0][0], texts[1][0]) == (spike, "∞")


def test_a_later_trace_is_above_an_earlier_one_and_both_are_seen():
    canvas = Canvas(2, 2)
    one, two = enveloped([7.0], [7.0], [7.0], [7.0]), enveloped([], [], [6.0], [6.0])
    canvas.draw_all([one, two], 0, 7, colour=5)
    texts, colours = canvas.rows()
    assert colours.tolist() == [[5, 6], [EMPTY, EMPTY]]
    assert dots(canvas) == {(0, 0), (0, 1), (0, 2), (0, 3), (1, 2), (1, 3)}
    assert texts[1] == "  "


def test_traces_drawn_together_are_those_drawn_one_by_one():
    traces = [enveloped(*([math.sin(x + number)] for x in range(40))) for number in range(5)]
    together, apart = Canvas(20, 4), Canvas(20, 4)
    together.draw_all(traces, -1, 1)
    for number, each in enumerate(traces):
        apart.draw(each, -1, 1, number)
    assert together.rows()[0] == apart.rows()[0]
    assert np.array_equal(together.rows()[1], apart.rows()[1])


def test_the_grid_stays_out_of_cells_with_dots():
    canvas = drawn(enveloped([7.0], [7.0], [], []), 0, 7)
    canvas.grid([0, 100, -1], [3, 400])
    texts, colours = canvas.rows()
    assert texts[0][0] == "⠉"
    assert colours.tolist() == [[0, GRID], [EMPTY, GRID]]


def test_nothing_that_is_written_hides_a_dot():
    canvas = drawn(enveloped([], [], [7.0], [7.0], [], []), 0, 7)
    assert not canvas.write(0, 0, "mark", 9)
    assert not canvas.write(0, 0, "ma", 9)
    assert not canvas.write(5, 0, "m", 9)
    assert canvas.write(1, 0, "mar", 9)
    assert not canvas.write(1, 2, "k", 9)
    canvas.upright(1, "│", 8)
    canvas.upright(7, "│", 8)
    canvas.upright(2, "│", 8)
    texts, colours = canvas.rows()
    assert texts == [" ⠉│", "mar"]
    assert colours.tolist() == [[EMPTY, 0, 8], [9, 9, 9]]


@given(columns=columns_of_samples, wanted=st.integers(1, 30))
@example(columns=[[], []], wanted=1)
def test_an_envelope_of_another_size_keeps_every_spike(columns, wanted):
    old = enveloped(*columns, gaps=[1], infinite=[0], above=np.isin(np.arange(len(columns)), [0]))
    new = stretched(old, wanted)
    values = [value for samples in columns for value in samples]
    assert new.columns == wanted
    assert new.infinite.any()
    assert new.above is not None
    assert new.above.any()
    if values:
        assert (np.nanmin(new.low), np.nanmax(new.high)) == (min(values), max(values))
        assert (~np.isnan(new.first)).sum() == (~np.isnan(new.low)).sum() == (~np.isnan(new.last)).sum()
    canvas = Canvas(7, 2)
    canvas.draw(old, -10, 10, 0)
    assert "∞" in "".join(canvas.rows()[0])


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (-1, 5)])
def test_a_canvas_has_at_least_a_cell(size):
    with pytest.raises(ValueError, match="cells"):
        Canvas(*size)
