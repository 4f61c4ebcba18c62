"""Rows that line up, and numbers for people."""

from __future__ import annotations

import pytest

from speeddata import table


def test_columns_line_up_and_numbers_on_the_right():
    assert table.lines(("name", "count"), [("a", "1"), ("longer", "1000")], right=("count",)) == [
        "name    count",
        "a           1",
        "longer   1000",
    ]
    assert table.lines(("name", "x"), [("a", "")]) == ["name  x", "a"]


def test_one_is_not_many():
    assert [table.many(count, "step") for count in (0, 1, 2, 1234)] == [
        "0 steps",
        "1 step",
        "2 steps",
        "1,234 steps",
    ]


@pytest.mark.parametrize(
    ("hertz", "text"),
    [
        (0, "0/s"),
        (0.204, "0.2/s"),
        (9.96, "10/s"),
        (1000.4, "1000/s"),
        (999_400, "999400/s"),
        (999_999, "1M/s"),
        (1_250_000, "1.25M/s"),
        (999_999_999, "1G/s"),
        (2.5e9, "2.5G/s"),
    ],
)
def test_rates_have_the_digits_that_matter(hertz, text):
    assert table.rate(hertz) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (50 << 20, "50.0 MiB"), (3 << 40, "3.0 TiB")],
)
def test_sizes_are_told_in_the_unit_that_fits(count, text):
    assert table.size(count) == text
