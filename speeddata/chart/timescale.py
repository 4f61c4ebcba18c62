"""The axis of time: round moments, by the clock of a time zone, and moments in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_S = 1_000_000_000
_MIN, _H, _DAY = 60 * _S, 3600 * _S, 86400 * _S

_STEPS = (
    *(digit * 10**power for power in range(9) for digit in (1, 2, 5)),
    *(count * _S for count in (1, 2, 5, 10, 15, 30)),
    *(count * _MIN for count in (1, 2, 5, 10, 15, 30)),
    *(count * _H for count in (1, 2, 3, 6, 12)),
    *(digit * 10**power * _DAY for power in range(5) for digit in (1, 2, 5)),
)


def time_ticks(begin_ns: int, end_ns: int, most: int, zone: tzinfo) -> list[tuple[int, str]]:
    """At most *most* round moments within [begin_ns, end_ns], ascending, with what to write below them.

    Args:
        begin_ns, end_ns: nanoseconds since 1970.
        zone: by whose clock they are round; a day may have 23 or 25 hours.
    """
    if end_ns < begin_ns or most < 1:
        return []
    for step in _STEPS:
        if (end_ns - begin_ns) // step > most:
            continue
        try:
            moments = _moments(begin_ns, end_ns, step, zone)
            if len(moments) <= most:
                return [(moment, _text(moment, step, zone)) for moment in moments]
        except (OverflowError, ValueError):  # beyond the years 1 to 9999
            return []
    return []


def exact_time(ns: int, zone: tzinfo) -> str:
    """A moment with its date, every digit of its second and the zone's distance from UTC ("Z": none)."""
    try:
        moment = _at(ns, zone)
    except (OverflowError, ValueError):
        return f"{ns} ns"
    offset = moment.strftime("%z")
    zulu = moment.utcoffset() == timedelta(0)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{ns % _S:09d}{'Z' if zulu else f'{offset[:3]}:{offset[3:5]}'}"


def _moments(begin_ns: int, end_ns: int, step: int, zone: tzinfo) -> list[int]:
    """Multiples of *step* on the clock of *zone*."""
    offset = _offset_ns(begin_ns, zone)
    first = -(-(begin_ns + offset) // step) * step
    if step < _H:  # clocks are changed by more than that
        return list(range(first - offset, end_ns + 1, step))
    found: list[int] = []
    for local in range(first - step, end_ns + _DAY + step, step):
        clock = (_EPOCH + timedelta(seconds=local // _S)).replace(tzinfo=zone)
        moment = (clock - _EPOCH) // timedelta(seconds=1) * _S
        if moment > end_ns:
            break
        # an hour that the clock leaves out is no moment of its own
        if moment >= begin_ns and _at(moment, zone).replace(tzinfo=None) == clock.replace(tzinfo=None):
            found.append(moment)
    return found


def _offset_ns(ns: int, zone: tzinfo) -> int:
    offset = _at(ns, zone).utcoffset() or timedelta(0)
    return offset // timedelta(microseconds=1) * 1000


def _at(ns: int, zone: tzinfo) -> datetime:
    """The moment without its fraction of a second."""
    return (_EPOCH + timedelta(seconds=ns // _S)).astimezone(zone)


def _text(ns: int, step: int, zone: tzinfo) -> str:
    moment = _at(ns, zone)
    if step >= _DAY or (step >= _MIN and (moment.hour, moment.minute) == (0, 0)):
        return f"{moment:%Y-%m-%d}"
    if step >= _MIN:
        return f"{moment:%H:%M}"
    digits = next(digits for digits in (0, 3, 6, 9) if step % 10 ** (9 - digits) == 0)
    fraction = f".{ns % _S:09d}"[: digits + 1] if digits else ""
    return f"{moment:%H:%M:%S}{fraction}"
