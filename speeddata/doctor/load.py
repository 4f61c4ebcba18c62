"""What is live now, and how much that is a second: what the disk and the buffers have to be enough for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from speeddata import table
from speeddata.doctor.finding import NOTE, OK, WARNING, Finding, cannot_tell

_ABOUT = "channels"
_TIMELY_S = 5.0  # beyond what datums wait anywhere
_SHOWN = 8  # channels


@dataclass(frozen=True)
class Seen:
    """A live channel.

    Attributes:
        rate_hz: datums a second, as its relay says.
        datum_bytes: mean size; None: none came while we looked.
        ahead_s: by how much the newest time in it is ahead of our clock; None: it has no time of day.
        here: its relay is on this machine, and may record on its disk.
        lost, lost_kernel, lost_disk: as its relay says, since it began.
    """

    channel: str
    rate_hz: float
    datum_bytes: float | None = None
    ahead_s: float | None = None
    here: bool = True
    lost: int = 0
    lost_kernel: int = 0
    lost_disk: int = 0


@dataclass(frozen=True)
class Load:
    """What comes in a second.

    Attributes:
        bytes_s: None: cannot be told.
        datums_hz: None: cannot be told.
        whose: "2 channels", "--expect".
    """

    bytes_s: float | None = None
    datums_hz: float | None = None
    whose: str = ""


def load(seen: Sequence[Seen], expected: int | None) -> Load:
    """What to reckon with: what is *expected*, in bytes a second, else the channels of relays here."""
    here = [one for one in seen if one.here]
    rate_hz = sum(one.rate_hz for one in here) if here else None
    if expected is not None:
        return Load(float(expected), rate_hz, "--expect")
    sized = [one for one in here if one.datum_bytes is not None]
    if not sized:
        return Load(None, rate_hz)
    total = sum(one.rate_hz * (one.datum_bytes or 0) for one in sized)
    return Load(total, rate_hz, table.many(len(sized), "channel"))


def judge(seen: Sequence[Seen] | None, why: str = "", *, expected: int | None = None) -> Iterator[Finding]:
    """What is live, what was lost of it, and whose clock is elsewhere.

    Args:
        seen: None: nobody could be asked.
        why: then.
        expected: bytes a second; the disk is judged by it, whatever is live.
    """
    if seen is None:
        yield cannot_tell(_ABOUT, "what is live", why)
        return
    if not seen and expected is not None:
        yield Finding(_ABOUT, OK, "none is live")
        return
    if not seen:
        what = "none is live: disk and buffers are judged without their rate"
        yield Finding(_ABOUT, NOTE, what, "say what is planned: --expect 2MiB, in bytes a second")
        return
    yield _live(seen)
    for one in seen:
        yield from _losses(one)
        yield from _clock(one)


def _live(seen: Sequence[Seen]) -> Finding:
    rate_hz = sum(one.rate_hz for one in seen)
    bytes_s = sum(one.rate_hz * (one.datum_bytes or 0) for one in seen)
    names = ", ".join(one.channel for one in seen[:_SHOWN]) + (", ..." if len(seen) > _SHOWN else "")
    what = f"{table.many(len(seen), 'channel')} live: {names}; "
    what += f"{table.rate(rate_hz)}, {table.size(round(bytes_s))}/s"
    elsewhere = sum(not one.here for one in seen)
    if elsewhere:
        what += f"; {elsewhere} of other machines, which are not recorded here"
    silent = sum(one.datum_bytes is None for one in seen)
    if silent:
        what += f"; {silent} said nothing while we looked"
    measured = {"channels": len(seen), "rate_hz": round(rate_hz, 1), "bytes_s": round(bytes_s)}
    return Finding(_ABOUT, OK, what, "", measured)


def _losses(one: Seen) -> Iterator[Finding]:
    places = (
        (max(0, one.lost - one.lost_kernel), "on the way"),
        (one.lost_kernel, "in the receive buffer"),
        (one.lost_disk, "before the disk"),
    )
    lost = [f"{count:,} {where}" for count, where in places if count]
    if not lost:
        return
    cures = [
        *(["the network or the pace of the source"] if one.lost > one.lost_kernel else []),
        *(["a larger receive buffer"] if one.lost_kernel else []),
        *(["a faster disk, or one with room"] if one.lost_disk else []),
    ]
    measured = {"lost": one.lost, "lost_kernel": one.lost_kernel, "lost_disk": one.lost_disk}
    what = f"{one.channel} lost datums since its relay began: {', '.join(lost)}"
    yield Finding(_ABOUT, NOTE, what, f"look at {', '.join(cures)}; when it was is in ledger.jsonl", measured)


def _clock(one: Seen) -> Iterator[Finding]:
    if one.ahead_s is None or abs(one.ahead_s) <= _TIMELY_S:
        return
    which = "ahead of" if one.ahead_s > 0 else "behind"
    hours = one.ahead_s / 3600
    zone = abs(hours) >= 0.5 and abs(hours) < 15 and abs(hours * 4 - round(hours * 4)) < 0.02
    guess = "its clock is set to local time" if zone else "its clock is wrong, or it replays a recording"
    what = f"the time in {one.channel} is {span(abs(one.ahead_s))} {which} this clock: {guess}"
    cure = "set the source's clock (NTP, in UTC), or let `speeddata send --stamp` write the time"
    yield Finding("clock", WARNING, what, cure, {"channel": one.channel, "ahead_s": round(one.ahead_s, 3)})


def span(seconds: float) -> str:
    """`4 s`, `3 h`, `12 days`: two digits are enough."""
    for length, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * length:
            return (
                f"{seconds / length:,.0f} {unit}"
                if seconds >= 10 * length
                else f"{seconds / length:.2g} {unit}"
            )
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
