"""Due times are exact however long a source runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.sending.pacing import ByAbscissa, ByRate


@given(st.sampled_from([0.5, 3, 1000, 12_345.6, 250_000]), st.lists(st.integers(1, 500), max_size=20))
def test_by_rate_every_datum_leaves_once_and_never_more_than_a_burst_from_its_time(rate, counts):
    pace = ByRate(rate)
    sent = 0
    for count in counts:
        for first, end, due_ns in pace.bursts(count):
            assert first < end <= count
            for number in (sent + first, sent + end - 1):
                late_ns = number / rate * 1e9 - due_ns
                assert -1 <= late_ns <= max(2e6, 1e9 / rate)
        sent += count


def test_a_high_rate_leaves_in_bursts_of_equal_size():
    bursts = [end - first for first, end, _ in ByRate(64_000).bursts(6400)]
    assert set(bursts) == {64}


def test_nothing_adds_up_over_a_day_of_samples():
    pace = ByRate(3)
    for _ in range(3 * 86_400 // 1000):
        last = list(pace.bursts(1000))[-1]
    number = 3 * 86_400 // 1000 * 1000 - 1
    assert last[2] == round(number / 3 * 1e9)


def test_by_abscissa_the_gaps_are_those_of_the_recording_at_the_given_speed():
    pace = ByAbscissa(2, 1_000_000)  # milliseconds, twice as fast
    first = list(pace.bursts(np.array([5000, 5010, 5030])))
    then = list(pace.bursts(np.array([5130])))
    assert [due for _, _, due in first + then] == [0, 5_000_000, 15_000_000, 65_000_000]


def test_a_step_back_is_no_wait():
    pace = ByAbscissa(1, 1_000_000_000)
    dues = [due for _, _, due in pace.bursts(np.array([10.0, 11.0, 3.0, 4.0, np.nan, 4.5]))]
    assert dues == sorted(dues)
    assert dues[-1] <= 3_000_000_000


@pytest.mark.parametrize("pace", [lambda: ByRate(0), lambda: ByRate(float("nan")), lambda: ByAbscissa(-1, 1)])
def test_a_pace_that_is_none_is_refused(pace):
    with pytest.raises(ValueError, match="not above 0"):
        pace()
