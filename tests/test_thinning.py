"""How samples were thinned travels in headers, and adds up."""

from __future__ import annotations

import pytest

from speeddata.thinning import Thinning, told


def test_what_is_thinned_twice_says_both():
    once = Thinning().then(5, "mean")
    assert (once, once.then(10, "pick")) == (Thinning(5, "mean"), Thinning(50, "mean+pick"))


def test_a_header_says_it_and_is_believed():
    for thinning in (Thinning(), Thinning(5, "mean"), Thinning(0, "minmax")):
        assert told(lambda key, said=thinning.metadata: said.get(key, "")) == thinning


@pytest.mark.parametrize("factor", ["", "-5", "1e9", "\u0665", "9" * 5000])
def test_a_factor_that_is_no_number_is_not_known(factor):
    said = {"speeddata.method": "mean", "speeddata.factor": factor}
    assert told(lambda key: said.get(key, "")) == Thinning(0, "mean")
