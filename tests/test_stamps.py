"""Times as Zinc writes them: every fold and gap of every zone, every fraction, from 1950 to 2200."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from speeddata.errors import UsageError
from speeddata.haystack.stamps import floored, stamps

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
S, MS, US = 10**9, 10**6, 10**3


def ns(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1) * US


def stamp(text: str, city: str = "New_York") -> str:
    (found,) = stamps(np.array([ns(text)]), city)
    return found


@pytest.mark.parametrize(
    ("moment", "city", "text"),
    [
        ("2026-11-21T15:00:00Z", "New_York", "2026-11-21T10:00:00-05:00 New_York"),
        ("2026-11-21T15:00:00.123Z", "New_York", "2026-11-21T10:00:00.123-05:00 New_York"),
        ("2026-11-21T15:00:00.000123Z", "UTC", "2026-11-21T15:00:00.000123Z UTC"),
        ("2026-11-21T15:00:00Z", "Etc/UTC", "2026-11-21T15:00:00Z UTC"),
        ("2026-11-21T15:00:00Z", "America/New_York", "2026-11-21T10:00:00-05:00 New_York"),
        ("2026-11-21T15:00:00Z", "GMT+5", "2026-11-21T10:00:00-05:00 GMT+5"),
        ("2026-11-21T15:00:00Z", "Kathmandu", "2026-11-21T20:45:00+05:45 Kathmandu"),
        ("2026-11-21T15:00:00Z", "London", "2026-11-21T15:00:00Z London"),
        ("2026-07-21T15:00:00Z", "London", "2026-07-21T16:00:00+01:00 London"),
        ("2026-12-31T23:59:59Z", "Auckland", "2027-01-01T12:59:59+13:00 Auckland"),
        ("1950-01-01T00:00:00Z", "New_York", "1949-12-31T19:00:00-05:00 New_York"),
        ("2200-07-01T12:00:00Z", "New_York", "2200-07-01T08:00:00-04:00 New_York"),
        # it was 44 minutes and 30 seconds behind; with the clock of a whole minute the moment is right
        ("1970-01-01T00:00:00Z", "Monrovia", "1969-12-31T23:16:00-00:44 Monrovia"),
    ],
)
def test_a_time_is_written_with_the_clock_and_the_offset_of_its_zone(moment, city, text):
    assert stamp(moment, city) == text
    assert datetime.fromisoformat(text.split()[0]) == datetime.fromisoformat(moment)


def test_the_hour_that_comes_twice_has_two_offsets():
    texts = stamps(ns("2026-11-01T05:30:00Z") + np.arange(4) * 1800 * S, "New_York")
    assert [text.split()[0] for text in texts] == [
        "2026-11-01T01:30:00-04:00",
        "2026-11-01T01:00:00-05:00",
        "2026-11-01T01:30:00-05:00",
        "2026-11-01T02:00:00-05:00",
    ]


def test_the_hour_that_is_missing_is_missing():
    texts = stamps(ns("2026-03-08T06:59:59Z") + np.arange(2) * S, "New_York")
    assert [text.split()[0] for text in texts] == ["2026-03-08T01:59:59-05:00", "2026-03-08T03:00:00-04:00"]


def test_a_whole_second_has_no_fraction_and_others_as_many_digits_as_any_needs():
    base = ns("2026-01-01T00:00:00Z")
    for offsets, texts in (
        ([0, S], ["00", "01"]),
        ([0, 5 * MS, S], ["00", "00.005", "01"]),
        ([0, 5 * MS, 7 * US], ["00", "00.005000", "00.000007"]),
        ([S - 1, S, 5 * MS], ["00.999999999", "01", "00.005000000"]),
    ):
        found = stamps(base + np.array(offsets), "UTC")
        assert found == [f"2026-01-01T00:00:{text}Z UTC" for text in texts]


def test_times_before_1970_count_down_to_it():
    assert stamps(np.array([-1, -MS, -S, -S - MS]), "UTC") == [
        "1969-12-31T23:59:59.999999999Z UTC",
        "1969-12-31T23:59:59.999000000Z UTC",
        "1969-12-31T23:59:59Z UTC",
        "1969-12-31T23:59:58.999000000Z UTC",
    ]


def test_none_are_none():
    assert stamps(np.array([], np.int64), "New_York") == []
    with pytest.raises(UsageError):
        stamps(np.array([], np.int64), "New_York\n")


CITIES = {
    "New_York": "America/New_York",
    "Lord_Howe": "Australia/Lord_Howe",  # half an hour of summer time
    "Casablanca": "Africa/Casablanca",  # four changes a year
    "Apia": "Pacific/Apia",  # left a day out
    "Troll": "Antarctica/Troll",
    "Caracas": "America/Caracas",
    "Pyongyang": "Asia/Pyongyang",
    "GMT-14": "Etc/GMT-14",
}


def changes(key: str, first: int, last: int) -> list[int]:
    """The half hours at which the offset of *key* differs from that before, in seconds."""
    zone = ZoneInfo(key)
    year = range(
        int(datetime(first, 1, 1, tzinfo=UTC).timestamp()),
        int(datetime(last, 1, 1, tzinfo=UTC).timestamp()),
        1800,
    )
    shifts = ((at, (EPOCH + timedelta(seconds=at)).astimezone(zone).utcoffset()) for at in year)
    return [after for (_, was), (after, now) in pairwise(shifts) if was != now]


@pytest.mark.parametrize("city", CITIES)
def test_around_every_change_all_seconds_are_right(city):
    found = changes(CITIES[city], 2007, 2019)
    assert len(found) > 1 or city == "GMT-14"
    seconds = np.array(sorted({at + step for at in [*found, 0] for step in (-1801, -2, -1, 0, 1, 2, 1799)}))
    zone = ZoneInfo(CITIES[city])
    right = [(EPOCH + timedelta(seconds=at)).astimezone(zone).isoformat() for at in seconds.tolist()]
    assert [text.split()[0].replace("Z", "+00:00") for text in stamps(seconds * S, city)] == right


@given(
    st.lists(st.integers(ns("1950-01-01T00:00:00Z"), ns("2200-01-01T00:00:00Z")), min_size=1, max_size=20),
    st.sampled_from(list(CITIES)),
    st.sampled_from([1, US, MS, S]),
)
def test_any_times_in_any_order_are_those_that_python_finds(times, city, precision):
    times_ns = floored(np.array(times), precision)
    for text, time_ns in zip(stamps(times_ns, city), times_ns.tolist(), strict=True):
        clock, name = text.split()
        moment = (EPOCH + timedelta(microseconds=time_ns // US)).astimezone(ZoneInfo(CITIES[city]))
        assert name == city
        assert datetime.fromisoformat(clock) == moment
        whole_minutes = timedelta(minutes=round(moment.utcoffset() / timedelta(minutes=1)))
        assert datetime.fromisoformat(clock).tzinfo == timezone(whole_minutes)
        assert int(f"{clock[19:].rstrip('Z').partition('+')[0].partition('-')[0][1:]:0<9}") == time_ns % S


def test_times_are_moved_back_to_the_precision():
    times = np.array([1_999_999_999, -1, -S, 0])
    assert floored(times, S).tolist() == [S, -S, -S, 0]
    assert floored(times, MS).tolist() == [1_999_000_000, -MS, -S, 0]
