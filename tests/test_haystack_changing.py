"""On change: what differs from the last one kept, and a heartbeat, however the history is cut."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speeddata.haystack.changing import Changes

S = 10**9


def kept(changes, times, values, present=None):
    values = np.array(values, object if isinstance(values[0], str) else None)
    mask = changes.kept(np.array(times, np.int64), values, None if present is None else np.array(present))
    return np.flatnonzero(mask).tolist()


def by_hand(samples, deadband, heartbeat):
    """The rule, one sample at a time."""
    last, found = None, []
    for time, value in samples:
        if last is None or time < last[0]:
            differs = True
        elif math.isnan(value) or math.isnan(last[1]):
            differs = math.isnan(value) != math.isnan(last[1])
        elif math.isinf(value) or math.isinf(last[1]):
            differs = value != last[1]
        else:
            differs = abs(value - last[1]) > deadband
        if differs or (heartbeat is not None and time - last[0] >= heartbeat):
            found.append((time, value))
            last = (time, value)
    return found


SAMPLES = st.tuples(
    st.integers(0, 6),
    st.sampled_from((0.0, 0.5, 1.0, 2.0, math.nan, math.nan, math.inf, -math.inf)),
    st.sampled_from((True, True, True, False)),
)


@settings(max_examples=300)
@given(
    st.lists(SAMPLES, min_size=1, max_size=40),
    st.sampled_from((0.0, 0.5, 1.0)),
    st.none() | st.integers(1, 9),
    st.sets(st.integers(0, 39), max_size=3),
)
def test_any_cut_keeps_what_the_rule_says(rows, deadband, heartbeat, cuts):
    times = np.cumsum([step for step, _, _ in rows])
    values = np.array([value for _, value, _ in rows])
    present = np.array([there for _, _, there in rows])
    samples = list(zip(times[present].tolist(), values[present].tolist(), strict=True))
    expected = by_hand(samples, deadband, heartbeat)
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    changes, found = Changes(deadband, heartbeat), []
    for begin, end in itertools.pairwise(edges):
        mask = changes.kept(times[begin:end], values[begin:end], present[begin:end])
        at = begin + np.flatnonzero(mask)
        found += zip(times[at].tolist(), values[at].tolist(), strict=True)
    assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    "values", [["a", "a", "b", "b", "a"], [True, True, False, False, True], [3, 3, 4, 4, 3]]
)
def test_text_booleans_and_whole_numbers_change(values):
    changes = Changes()
    assert kept(changes, range(5), values) == [0, 2, 4]
    assert changes.last == (4, values[0])
    assert kept(changes, range(5, 10), values) == [2, 4]


def test_whole_numbers_beyond_a_double_are_told_apart():
    assert kept(Changes(), range(3), [2**60, 2**60 + 1, 2**60 + 1]) == [0, 1]
    assert kept(Changes(deadband=0.5), range(3), [2**60, 2**60 + 1, 2**60 + 1]) == [0, 1]


def test_a_heartbeat_counts_from_the_last_one_kept():
    changes = Changes(heartbeat_ns=10 * S)
    assert kept(changes, [t * S for t in range(0, 40, 3)], [5.0] * 14) == [0, 4, 8, 12]  # at 0, 12, 24, 36 s
    assert kept(changes, [45 * S, 46 * S], [5.0, 5.0]) == [1]


@pytest.mark.parametrize("deadband", [0.0, 0.5])
def test_nan_does_not_differ_from_nan(deadband):
    changes = Changes(deadband)
    assert kept(changes, range(5), [math.nan, math.nan, 1.0, math.nan, math.nan]) == [0, 2, 3]
    assert kept(changes, range(5, 7), [math.nan, 1.0]) == [1]


@pytest.mark.parametrize("deadband", [0.0, 0.5])
def test_a_clock_that_steps_back_is_a_beginning(deadband):
    changes = Changes(deadband, heartbeat_ns=10 * S)
    assert kept(changes, [100 * S], [5.0]) == [0]
    assert kept(changes, [50 * S, 51 * S, 60 * S], [5.0, 5.0, 5.0]) == [0, 2]


def test_where_nothing_is_nothing_is_kept():
    changes = Changes(heartbeat_ns=S)
    assert kept(changes, [0, 1], [1.0, 2.0], [False, False]) == []
    assert changes.last is None
