"""What distance of samples is a gap: jitter is none, a sample that is missing is one."""

from __future__ import annotations

import numpy as np
import pytest

from speeddata.chart.gaps import gap_over


@pytest.mark.parametrize(
    ("intervals", "at_most", "beyond"),
    [
        ([10] * 50, 17, 20),
        ([10] * 99 + [1500], 17, 20),  # a gap among them does not hide itself
        ([5, 15] * 40, 22, 30),  # as even as a busy machine sends
        ([1] * 9 + [100], 1, 2),
        (([1] * 9 + [100]) * 20, 100, 151),  # bursts
        ([0.25] * 5, 0.4, 0.5),
    ],
)
def test_beyond_what_is_usual_and_what_is_seldom_is_a_gap(intervals, at_most, beyond):
    assert at_most <= gap_over(np.array(intervals)) < beyond


@pytest.mark.parametrize("intervals", [[], [1], [0, 0, 0]])
def test_too_few_or_no_distances_tell_nothing(intervals):
    assert gap_over(np.array(intervals)) is None
