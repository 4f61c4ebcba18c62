"""Figures in few cells: never cut so that a number would be another one."""

from __future__ import annotations

import math

import pytest
from on_screen import NOW, Fed, drawn, on_screen, schema_of, screen

from speeddata.stripchart.numbers import _figure


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.123456, "0.12346"),
        (-0.0063212, "-0.006321"),
        (-1.23456e-300, "-1.2e-300"),
        (1e308, "1e+308"),
        (2**62, "4.6e+18"),
        (123456789, "123456789"),
        (math.nan, "NaN"),
        (-math.inf, "-∞"),
    ],
)
def test_a_number_has_as_many_digits_as_there_is_room_for(number, text):
    assert _figure(number, 5).strip() == text
    assert len(_figure(number, 5)) == 10


@pytest.mark.parametrize("width", [20, 24, 30])
def test_a_value_is_whole_beside_the_scrollbar_too(width):
    names = {f"a_long_name_{number}": "double" for number in range(9)}
    fed = Fed()
    fed.feed("rig", schema_of(**names), {"time": [NOW], **{name: [-12345.6789] for name in names}})

    async def do(app, pilot):
        await pilot.press("v")
        await drawn(pilot)
        lines = screen(app).splitlines()
        assert len(lines) == 5
        assert "-12346" in lines[3]

    on_screen(do, fed, (width, 5))
