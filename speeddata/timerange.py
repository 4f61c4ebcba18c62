"""Durations, sizes and moments as people write them, exact to the nanosecond; asks no clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from speeddata.errors import UsageError

SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 2**63 - 1  # nanoseconds and bytes travel as int64

_DURATION_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # the micro sign, as on keyboards
    "μs": 1_000,  # the Greek letter, as many programs print it
    "ms": 1_000_000,
    "": SECOND_NS,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
    "d": 86400 * SECOND_NS,
}
_SIZE_BYTES = {"": 1, "b": 1}
_SIZE_BYTES |= {f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", 1)}
_SIZE_BYTES |= {f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", 1)}

_QUANTITY = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?) ?([A-Za-zµμ]*)")
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


def duration_ns(text: str) -> int:
    """Nanoseconds in `90s`, `10m`, `1h`, `1.5s`, `100ms`, `2d`; a bare number is seconds.

    Raises:
        UsageError: no duration, finer than a nanosecond, or beyond 292 years.
    """
    amount = _amount(text, _DURATION_NS)
    if amount is None or amount > _LONGEST:
        raise UsageError(f"'{text}' is no duration", mend="write it like 90s, 10m, 1.5h or 100ms")
    if amount.denominator != 1:
        raise UsageError(f"'{text}' is finer than a nanosecond")
    return int(amount)


def size_bytes(text: str) -> int:
    """Bytes in `50MiB` (of 1024), `10GB` (of 1000), `65536`; part of a byte is left out.

    Raises:
        UsageError: no size, or beyond 8 EiB.
    """
    amount = _amount(text.lower(), _SIZE_BYTES)
    if amount is None or amount > _LONGEST:
        raise UsageError(f"'{text}' is no size", mend="write it like 50MiB, 10GB or 65536")
    return int(amount)


def _amount(text: str, units: dict[str, int]) -> Fraction | None:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[2] not in units:
        return None
    return Fraction(match[1]) * units[match[2]]


def moment_ns(text: str, now_ns: int) -> int:
    """Nanoseconds since 1970-01-01T00:00:00Z of an RFC 3339 time, of `now`, or of so long ago: `-10m`.

    Args:
        text: RFC 3339 section 5.6, with its zone; a space may stand for the `T`, and `:00` be left out.
        now_ns: what `now` means.

    Raises:
        UsageError: none of these, or finer than a nanosecond.
    """
    if text == "now":
        return now_ns
    if text.startswith("-"):
        return now_ns - duration_ns(text[1:])
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise UsageError(
            f"'{text}' is no moment", mend="write 2026-11-22T05:04:00Z (a zone is needed), now, or -10m"
        )
    year, month, day, hour, minute, second = (int(match[i] or 0) for i in range(1, 7))
    fraction = (match[7] or "").rstrip("0")
    if len(fraction) > 9:
        raise UsageError(f"'{text}' is finer than a nanosecond")
    try:
        # a leap second (60) counts as the first second of the next minute, as in POSIX time
        start = datetime(year, month, day, hour, minute, tzinfo=UTC) + timedelta(seconds=_below(second, 61))
        zone = timedelta(hours=_below(int(match[9] or 0), 24), minutes=_below(int(match[10] or 0), 60))
        since_epoch = start - _EPOCH - (-zone if match[8] == "-" else zone)
    except (ValueError, OverflowError) as exc:
        raise UsageError(f"'{text}' is no moment: {exc}") from None
    return _nanoseconds(since_epoch) + int(fraction.ljust(9, "0"))


def _below(number: int, limit: int) -> int:
    if number >= limit:
        raise ValueError(f"{number} must be in 0..{limit - 1}")
    return number


def _nanoseconds(span: timedelta) -> int:
    return (span.days * 86400 + span.seconds) * SECOND_NS + span.microseconds * 1000


def iso_utc(time_ns: int) -> str:
    """`2026-11-22T05:04:00.123456789Z` for nanoseconds since 1970, exactly.

    Raises:
        ValueError: outside the years 1 to 9999, which RFC 3339 can write.
    """
    seconds, nanoseconds = divmod(time_ns, SECOND_NS)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"{time_ns} ns is outside the years 1 to 9999") from None
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%S}.{nanoseconds:09}Z"
