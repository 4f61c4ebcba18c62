"""Abscissas as nanoseconds: exact where they are whole, refused where a server takes no such time."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from speeddata.avro import schema
from speeddata.avro.codec import Column
from speeddata.errors import UsageError
from speeddata.haystack.moments import moments

NOW = int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()) * 10**9


def indexed_by(kind, unit):
    field = {"name": "time", "type": kind} | ({"unit": unit} if unit else {})
    return schema.parse(json.dumps({"type": "record", "name": "r", "fields": [field]}))


def ns(values, kind="long", unit="ns", valid=None):
    return moments(indexed_by(kind, unit), Column(np.array(values), valid), NOW)


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("ns", 1_764_763_200_123_456_789, 1_764_763_200_123_456_789),
        ("ms", -1, -1_000_000),
        ("s", 7, 7 * 10**9),
    ],
)
def test_whole_numbers_stay_exact(unit, value, expected):
    found = ns([value], unit=unit)
    assert (found.ns.tolist(), found.rows, found.refused) == ([expected], None, [])


def test_32_bits_of_seconds_have_room():
    assert ns(np.array([2_000_000], "<i4"), "int", "s").ns.tolist() == [2_000_000 * 10**9]


def test_a_double_of_seconds_keeps_its_milliseconds():
    seconds = 1_764_763_200 + np.arange(1000) / 1000
    assert (ns(seconds, "double", "s").ns == 1_764_763_200 * 10**9 + np.arange(1000) * 10**6).all()


def test_what_a_server_takes_is_from_1950_to_five_minutes_ahead():
    first = -631_152_000  # date -u -d 1950-01-01 +%s
    last = NOW // 10**9 + 300
    found = ns([first - 1, first, 0, last, last + 1, 2**63 - 1, -(2**63)], unit="s")
    assert (found.ns // 10**9).tolist() == [first, 0, last]
    assert found.rows.tolist() == [1, 2, 3]
    assert [(reason, rows.tolist()) for reason, rows in found.refused] == [
        ("before 1950", [0, 6]),
        ("more than 5 minutes in the future", [4, 5]),
    ]


def test_without_a_time_there_is_no_moment():
    found = ns([np.nan, 5.0, np.inf, -np.inf], "double", "s")
    assert found.ns.tolist() == [5 * 10**9]
    assert [(reason, rows.tolist()) for reason, rows in found.refused] == [
        ("has no time", [0]),
        ("before 1950", [3]),
        ("more than 5 minutes in the future", [2]),
    ]
    found = ns([0, 5, 2**62], ["null", "long"], "s", np.array([False, True, False]))
    assert (found.ns.tolist(), [rows.tolist() for _, rows in found.refused]) == ([5 * 10**9], [[0, 2]])


@pytest.mark.parametrize(
    ("kind", "unit", "said"), [("string", None, "of type string, no time"), ("long", None, "does not tell")]
)
def test_an_abscissa_that_is_no_time_is_refused(kind, unit, said):
    with pytest.raises(UsageError, match=said):
        ns([1], kind, unit)
