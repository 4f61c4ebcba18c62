"""Finding names by some of their letters."""

from __future__ import annotations

import pytest

from speeddata.chart.fuzzy import found, score

NAMES = ["rig.temperature", "rig.tram", "pump.rate", "pump.target", "RIG.Gate"]


@pytest.mark.parametrize(
    ("letters", "best"),
    [
        ("temp", "rig.temperature"),
        ("rgtm", "rig.tram"),
        ("gate", "RIG.Gate"),
        ("pt", "pump.target"),
        ("pump rate", "pump.rate"),
        ("TRAM", "rig.tram"),
    ],
)
def test_the_best_fit_comes_first(letters, best):
    assert found(letters, NAMES)[0] == best


def test_what_does_not_fit_is_left_out():
    assert found("xyz", NAMES) == []
    assert score("ba", "ab") is None


def test_no_letters_fit_everything():
    assert set(found("", NAMES)) == set(NAMES)
