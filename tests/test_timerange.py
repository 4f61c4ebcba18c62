"""Durations, sizes and moments, exact to the nanosecond."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.errors import UsageError
from speeddata.timerange import duration_ns, iso_utc, moment_ns, size_bytes

INT64 = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("90s", 90_000_000_000),
        ("10m", 600_000_000_000),
        ("1h", 3_600_000_000_000),
        ("2d", 172_800_000_000_000),
        ("1.5s", 1_500_000_000),
        ("100ms", 100_000_000),
        ("7us", 7_000),
        ("7µs", 7_000),
        ("1ns", 1),
        ("0.000000001s", 1),
        ("5", 5_000_000_000),
        ("0.1", 100_000_000),
        ("0", 0),
        (" 5 s ", 5_000_000_000),
        ("9223372036.854775807", 2**63 - 1),  # a double would round it
    ],
)
def test_durations_are_exact(text, ns):
    assert duration_ns(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "-1s",
        "1x",
        "1 m 5",
        "1e3",
        "1_000",
        "٣s",
        ".5s",
        "5.",
        "1h30m",
        "M",
        "1M",
        "300y",
        "9" * 19,
        "9" * 99,
    ],
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="is no duration; write it like 90s"):
        duration_ns(text)


def test_a_duration_finer_than_a_nanosecond_is_refused():
    with pytest.raises(UsageError, match="finer than a nanosecond"):
        duration_ns("0.5ns")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("65536", 65536),
        ("50MiB", 52_428_800),
        ("50mib", 52_428_800),
        ("10GB", 10_000_000_000),
        ("64 kB", 64_000),
        ("1.5KiB", 1536),
        ("1TiB", 2**40),
        ("7B", 7),
        ("0.3B", 0),
        ("0", 0),
    ],
)
def test_sizes_tell_1024_from_1000(text, size):
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-5MB", "5M", "5k", "5 Mbit", "1e6", "9EiB", "9" * 20, "٣MB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="is no size; write it like 50MiB"):
        size_bytes(text)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-22T05:04:00.123456789Z", 1_795_323_840_123_456_789),
        ("2026-11-22t05:04:00.5z", 1_795_323_840_500_000_000),
        ("2026-11-22 05:04:00Z", 1_795_323_840_000_000_000),
        ("2026-11-22T05:04Z", 1_795_323_840_000_000_000),
        ("2026-11-22 07:34+02:30", 1_795_323_840_000_000_000),
        ("2026-11-22T07:34:00+02:30", 1_795_323_840_000_000_000),
        ("2026-11-21T23:04:00-06:00", 1_795_323_840_000_000_000),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000),  # a leap second
        ("2026-11-22T05:04:00.100000000000Z", 1_795_323_840_100_000_000),
        ("now", 1_000),
        ("-1us", 0),
        ("-10m", 1_000 - 600_000_000_000),
    ],
)
def test_moments_are_exact(text, ns):
    assert moment_ns(text, now_ns=1_000) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-22",
        "2026-11-22T05:04:00",
        "2026-11-22T05:04",
        "2026-11-22T05Z",
        "2026-11-22T05:04.5Z",
        "20261122T050400Z",
        "+10m",
        "10m",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+00:60",
        "0000-01-01T00:00:00Z",
        "2026-01-01T00:00:00.Z",
        "-",
        "--10m",
        "2026-01-01T00:00:00Z\n",
        "٢٠٢٦-01-01T00:00:00Z",
    ],
)
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(UsageError, match=r"is no (moment|duration)"):
        moment_ns(text, now_ns=0)


def test_a_moment_finer_than_a_nanosecond_is_refused():
    with pytest.raises(UsageError, match="finer than a nanosecond"):
        moment_ns("2026-11-22T05:04:00.1234567891Z", now_ns=0)


def test_a_moment_needs_its_zone_and_the_error_says_so():
    with pytest.raises(UsageError, match="a zone is needed"):
        moment_ns("2026-11-22T05:04:00", now_ns=0)


def test_a_time_is_written_with_all_its_nanoseconds():
    assert iso_utc(1_795_323_840_123_456_789) == "2026-11-22T05:04:00.123456789Z"
    assert iso_utc(0) == "1970-01-01T00:00:00.000000000Z"
    assert iso_utc(-1) == "1969-12-31T23:59:59.999999999Z"


@given(INT64)
def test_every_int64_time_reads_back_and_agrees_with_the_standard_library(time_ns):
    text = iso_utc(time_ns)
    assert moment_ns(text, now_ns=0) == time_ns
    assert datetime.fromisoformat(text[:19] + "+00:00").timestamp() == time_ns // 10**9


@pytest.mark.parametrize("time_ns", [10**21, -(10**21), 10**40])
def test_a_time_beyond_what_rfc_3339_can_write_is_refused(time_ns):
    with pytest.raises(ValueError, match="outside the years 1 to 9999"):
        iso_utc(time_ns)
