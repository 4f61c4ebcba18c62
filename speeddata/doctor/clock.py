"""Can the times in recordings be relied on: is the clock set, kept right, steady and fine enough?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from speeddata.doctor.finding import FAULT, NOTE, OK, WARNING, Finding, cannot_tell
from speeddata.doctor.load import span

_ABOUT = "clock"
_STEP_S = 0.05  # far beyond what slewing moves it in a few seconds
_COARSE_NS = 1_000_000
_TOLERANCE_S = 60.0


@dataclass(frozen=True)
class Clock:
    """What is known of the system's clock; None: cannot be told.

    Attributes:
        now_ns: UTC.
        synchronised: something keeps it right.
        keeper: the service that does so, or seems to run: "chronyd"; "" where none is known.
        error_ms: the most it is off, as the system reckons.
        resolution_ns: what it can tell apart.
        step_s: by how much it jumped while we looked.
        installed_ns: when this program was installed: it cannot be earlier than that.
        recorded_ns: the begin of the newest file in the recording.
    """

    now_ns: int
    synchronised: bool | None
    keeper: str = ""
    error_ms: float | None = None
    resolution_ns: int | None = None
    step_s: float = 0.0
    installed_ns: int | None = None
    recorded_ns: int | None = None
    linux: bool = True


def judge(clock: Clock) -> Iterator[Finding]:
    """Is it plainly wrong, does somebody keep it, does it jump, is it fine?"""
    set_it = "set it: `timedatectl set-ntp true`, or `date -s`; a machine without a battery needs NTP"
    if clock.installed_ns is not None and clock.now_ns < clock.installed_ns - 86400 * 10**9:
        behind = span((clock.installed_ns - clock.now_ns) / 1e9)
        what = f"the clock is wrong: {behind} before this program was installed"
        yield Finding(_ABOUT, FAULT, what, set_it)
    if clock.recorded_ns is not None and clock.recorded_ns > clock.now_ns + _TOLERANCE_S * 10**9:
        ahead = span((clock.recorded_ns - clock.now_ns) / 1e9)
        what = f"the newest recording began {ahead} in the future: the clock was, or is, wrong"
        yield Finding(_ABOUT, WARNING, what, set_it)
    if abs(clock.step_s) > _STEP_S:
        what = f"the clock jumped by {clock.step_s:+.2g} s while we looked"
        cure = "let one service alone set it, and slowly: `makestep 1 3` in chrony.conf"
        yield Finding(_ABOUT, WARNING, what, cure, {"step_s": round(clock.step_s, 6)})
    yield _kept(clock)
    if clock.resolution_ns is not None and clock.resolution_ns >= _COARSE_NS:
        what = (
            f"the clock tells apart {clock.resolution_ns / 1e6:.2g} ms: samples closer than that share a time"
        )
        yield Finding(_ABOUT, NOTE, what, "", {"resolution_ns": clock.resolution_ns})


def _kept(clock: Clock) -> Finding:
    measured = {"error_ms": clock.error_ms, "resolution_ns": clock.resolution_ns}
    if clock.synchronised is None:
        return cannot_tell(_ABOUT, "whether something keeps the clock right")
    if clock.synchronised:
        by = f" by {clock.keeper}" if clock.keeper else ""
        within = f", within {clock.error_ms:.2g} ms" if clock.error_ms is not None else ""
        return Finding(_ABOUT, OK, f"the clock is synchronised{by}{within}", "", measured)
    if clock.keeper:
        what = f"{clock.keeper} runs, and the kernel does not know the clock as synchronised"
        cure = "see `chronyc tracking`; with `rtcsync` in chrony.conf it tells the kernel"
        cure = cure if "chrony" in clock.keeper else "see `timedatectl timesync-status`, `ntpq -p`"
        return Finding(_ABOUT, NOTE, what, cure, measured)
    what = "nothing is known to keep the clock right: times of several machines drift apart"
    cure = "timedatectl set-ntp true, or install chrony" if clock.linux else "sntp -sS time.apple.com"
    return Finding(_ABOUT, NOTE, what, cure, measured)
