"""An envelope laid on another range of the same dot columns."""

from __future__ import annotations

import numpy as np
import pytest

from speeddata.chart.envelope import envelope
from speeddata.chart.readings import StateRun
from speeddata.chart.shifting import runs_joined, runs_within, shifted

X = np.arange(100, dtype=np.int64) * 10
KNOWN = envelope(X, np.sin(X / 7), 0, 1000, 50)


@pytest.mark.parametrize(("begin", "end"), [(0, 1000), (200, 600), (-400, 600), (600, 1400), (2000, 2400)])
def test_it_is_what_it_would_be_of_the_samples_themselves(begin, end):
    columns = (end - begin) // 20
    moved = shifted(KNOWN, begin, end, columns)
    inside = (max(0, begin) <= X) & (min(1000, end) > X)
    fresh = envelope(X[inside], np.sin(X[inside] / 7), begin, end, columns)
    for name in ("low", "high", "first", "last"):
        np.testing.assert_array_equal(getattr(moved, name), getattr(fresh, name))
    assert (moved.begin, moved.end, moved.columns) == (begin, end, columns)


def test_states_are_moved_cut_and_joined():
    runs = [StateRun(0, 3, "a"), StateRun(4, 9, "b"), StateRun(10, 12, None)]
    assert runs_within(runs, 2, 6) == [StateRun(0, 1, "a"), StateRun(2, 5, "b")]
    assert runs_within(runs, 20, 6) == runs_within(runs, -20, 6) == []
    recent = [StateRun(5, 6, "c"), StateRun(7, 9, "d")]
    assert runs_joined(runs, recent) == [StateRun(0, 3, "a"), StateRun(4, 4, "b"), *recent]
    assert runs_joined(runs, []) == runs
    assert runs_joined([], recent) == recent
