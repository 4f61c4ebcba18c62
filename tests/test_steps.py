"""The usual step of a signal, and its gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.steps import PLACES, Gap, Steps


def of(values, *, sequence=False, dtype=np.int64):
    steps = Steps(sequence=sequence)
    steps.add(np.array(values, dtype))
    return steps.summary()


def test_a_gap_is_a_step_in_which_another_sample_has_its_place():
    found = of([0, 10, 20, 34, 44, 59, 69, 99, 109])
    assert (found.median, found.gaps, found.missing) == (10, 2, 3)  # 14 is jitter; 15 rounds to another one
    assert found.longest == (Gap(44, 59), Gap(69, 99))
    assert [gap.step for gap in found.longest] == [15, 30]


def test_in_a_sequence_each_step_beyond_the_median_tells_exactly_what_is_missing():
    found = of([0, 1, 2, 4, 5, 100, 101, 101, 3], sequence=True)
    assert (found.median, found.gaps, found.missing) == (1, 2, 95)
    assert (found.back, found.repeated) == (1, 1)
    thinned = of([0, 5, 10, 16, 21, 26], sequence=True)  # one in five, and one was lost before it was counted
    assert (thinned.median, thinned.gaps, thinned.missing) == (5, 1, 1)


@pytest.mark.parametrize("values", [[], [7], [7, 7], [9, 5, 1]])
def test_where_nothing_goes_forward_there_is_no_median_and_no_gap(values):
    found = of(values)
    assert (found.median, found.gaps, found.longest) == (None, 0, ())


def test_steps_wider_than_an_integer_and_numbers_that_are_none_do_no_harm():
    assert of([-(2**63), 2**63 - 1]).median == 2**64
    assert of([2**63 - 1, -(2**63)]).back == 1
    found = of([0.0, 0.5, np.nan, 1.0, np.inf, 2.0], dtype=np.float64)
    assert (found.median, found.gaps, found.missing) == (0.5, 1, 1)
    assert of([-1e308, 1e308, 1.1e308], dtype=np.float64).gaps == 0  # the first step is no number any more


@given(
    st.lists(st.integers(-5, 50), min_size=2, max_size=300),
    st.lists(st.integers(1, 300), max_size=5),
    st.booleans(),
)
def test_however_the_values_are_cut_the_answer_is_that_of_a_plain_statement(steps, cuts, sequence):
    values = np.cumsum(steps)
    found = Steps(sequence=sequence)
    for piece in np.split(values, sorted(cuts)):
        found.add(piece)
    forward = sorted(step for step in np.diff(values).tolist() if step > 0)
    told = found.summary()
    assert told.back == sum(step < 0 for step in np.diff(values).tolist())
    if not forward:
        assert told.median is None
        return
    median = forward[(len(forward) - 1) // 2]
    wide = [step for step in forward if (step > median if sequence else step >= 1.5 * median)]
    assert (told.median, told.gaps) == (median, len(wide))
    assert told.missing == sum(
        step - median if sequence else math.floor(step / median + 0.5) - 1 for step in wide
    )
    assert len(told.longest) == min(PLACES, len(wide))
    assert sorted((gap.step for gap in told.longest), reverse=True) == sorted(wide, reverse=True)[:PLACES]


def test_millions_of_different_steps_are_told_in_bounded_memory_and_nearly_exactly():
    generator = np.random.default_rng(1)
    steps = generator.integers(900_000, 1_100_000, 1_000_000)
    steps[500_000] = 5_000_000
    values = np.cumsum(steps)
    found = Steps()
    for piece in np.array_split(values, 40):
        found.add(piece)
    assert len(found._forward._steps) <= 1 << 16
    told = found.summary()
    assert told.median == pytest.approx(np.median(steps), rel=1e-3)
    assert (told.gaps, told.missing) == (1, 4)
    assert told.longest == (Gap(values[499_999], values[500_000]),)
