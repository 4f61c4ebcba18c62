"""`pick` against a plain statement of it: every N-th datum, wherever the stream is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.decimation import Pick


def offsets(datums):
    return np.concatenate(([0], np.cumsum([len(datum) for datum in datums]))).astype(np.int64)


def taken(pick, datums):
    data, bounds = pick.take(b"".join(datums), offsets(datums))
    return [data[start:end] for start, end in zip(bounds.tolist(), bounds.tolist()[1:], strict=False)]


@given(
    st.lists(st.binary(max_size=5), max_size=60),
    st.integers(1, 9),
    st.lists(st.integers(0, 60), max_size=6),
)
def test_every_nth_datum_passes_byte_for_byte_whatever_the_cut(datums, factor, cuts):
    pick = Pick(factor)
    edges = [0, *sorted(min(cut, len(datums)) for cut in cuts), len(datums)]
    kept = [datum for a, b in zip(edges, edges[1:], strict=False) for datum in taken(pick, datums[a:b])]
    assert kept == datums[::factor]


def test_equal_sizes_take_the_quick_way_to_the_same_end():
    datums = [bytes([number, 1, 2]) for number in range(100)]
    pick = Pick(7)
    assert taken(pick, datums[:50]) + taken(pick, datums[50:]) == datums[::7]


def test_a_factor_below_one_is_refused():
    with pytest.raises(ValueError, match="below 1"):
        Pick(0)
