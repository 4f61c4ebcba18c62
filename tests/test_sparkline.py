"""A line of bars that shows every spike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.sparkline import Sparkline

BARS = "▁▂▃▄▅▆▇█"


def test_a_ramp_climbs_from_the_lowest_bar_to_the_highest():
    line = Sparkline(8, 1)
    line.add(np.arange(8))
    assert str(line) == BARS


@pytest.mark.parametrize("spike", [5.0, -5.0])
def test_one_sample_in_a_thousand_is_seen(spike):
    values = np.concatenate((np.linspace(-1, 1, 5000), np.linspace(1, -1, 5000)))
    values[4321] = spike
    line = Sparkline(10, 1000)
    line.add(values)
    assert str(line)[4] == (BARS[-1] if spike > 0 else BARS[0])
    assert len(str(line)) == 10


@given(st.lists(st.lists(st.floats(), max_size=30), max_size=20), st.integers(1, 9), st.integers(0, 12))
def test_any_samples_in_any_cut_give_at_most_a_line_of_bars(runs, columns, samples):
    line, whole = Sparkline(columns, samples), Sparkline(columns, samples)
    for run in runs:
        line.add(np.array(run, np.float64))
    whole.add(np.array([value for run in runs for value in run], np.float64))
    assert str(line) == str(whole)
    assert len(str(line)) <= columns
    assert set(str(line)) <= set(BARS)


def test_what_is_constant_or_not_a_number_is_no_trouble():
    line = Sparkline(4, 2)
    assert str(line) == ""
    line.add(np.array([7, 7, np.nan, np.inf, 7, np.nan]))
    assert str(line) == BARS[0] * 2
