"""Figures of samples by groups: together they are those of all samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.chart.readings import Statistics
from speeddata.chart.sums import NOTHING, joined, of_groups, of_samples, told_of

VALUES = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([np.nan, np.inf, -np.inf]))


def alike(found: Statistics, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    assert found.count == len(finite)
    if len(finite):
        assert (found.minimum, found.maximum) == (finite.min(), finite.max())
        assert found.mean == pytest.approx(finite.mean(), rel=1e-12, abs=1e-12 * np.abs(finite).max())
    else:
        assert np.isnan([found.minimum, found.mean, found.maximum]).all()


@given(st.lists(VALUES, max_size=60), st.sets(st.integers(1, 59)), st.integers(0, 60))
def test_groups_in_any_parts_have_the_figures_of_all_samples(values, cuts, at):
    samples = np.array(values, np.float64)
    heads = np.array([0, *sorted(cut for cut in cuts if cut < len(values))] if values else [], np.int64)
    groups = of_groups(samples, heads)
    assert len(groups.counts) == len(heads)
    alike(told_of([groups]), samples)
    alike(told_of([of_samples(samples)]), samples)
    single = np.arange(len(samples))
    alike(told_of([of_groups(samples[:at], single[:at][:1]), of_samples(samples[at:])]), samples)
    alike(joined(told_of([of_samples(samples[:at])]), told_of([of_samples(samples[at:])])), samples)


def test_of_what_is_huge_the_mean_is_none_too_large():
    samples = np.full(1000, 1.7e308)
    assert told_of([of_groups(samples, np.array([0, 10, 500]))]).mean == pytest.approx(1.7e308)


def test_of_nothing_nothing_is_told():
    assert told_of([]) is NOTHING
    assert joined(NOTHING, NOTHING).count == 0
