"""Values and spans in few cells, fit for a terminal."""

from __future__ import annotations

import math

import pytest

from speeddata.chart.wording import ago_text, span_text, value_text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.1 + 0.2, None, "0.30000000000000004"),
        (0.1 + 0.2, 4, "0.3"),
        (1e308, 4, "1e+308"),
        (math.nan, 4, "NaN"),
        (math.inf, None, "∞"),
        (-math.inf, None, "-∞"),
        (2**63, None, "9223372036854775808"),
        (True, 4, "true"),
        (None, 4, "null"),
        ("a\x1b[31m", 4, "a\\x1b[31m"),
        (b"\x00\xff", None, "00 ff"),
        (bytes(20), None, f"{'00 ' * 15}00 … (20 bytes)"),
        ([1, 2.5, "x"], None, "[1, 2.5, x]"),
        ({"a": 1}, None, "a: 1"),
    ],
)
def test_values(value, digits, text):
    assert value_text(value, digits) == text


def test_long_text_is_cut():
    assert len(value_text("x" * 1000)) == 60


@pytest.mark.parametrize(
    ("span_ns", "text"),
    [
        (500, "500 ns"),
        (1500, "1.5 us"),
        (20_000_000, "20 ms"),
        (30 * 10**9, "30 s"),
        (90 * 10**9, "1.5 min"),
        (86400 * 10**9, "24 h"),
        (7 * 86400 * 10**9, "7 d"),
    ],
)
def test_spans(span_ns, text):
    assert span_text(span_ns) == text


def test_a_span_of_another_number_has_no_unit():
    assert span_text(12.5, is_time=False) == "12.5"


@pytest.mark.parametrize(
    ("ns", "text"), [(-5, "0 s"), (59 * 10**9, "59 s"), (3600 * 10**9, "1 h"), (10**15, "11 d")]
)
def test_how_long_ago(ns, text):
    assert ago_text(ns) == text
