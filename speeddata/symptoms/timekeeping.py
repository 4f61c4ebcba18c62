"""The system's clock: what it says, who keeps it right, and whether it jumps."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import speeddata
from speeddata.doctor.clock import Clock
from speeddata.recording import catalogue

_LINUX = sys.platform == "linux"
_ERROR, _UNSYNC = 5, 0x40  # TIME_ERROR and STA_UNSYNC of linux/timex.h
_SYNCHRONISED = Path("/run/systemd/timesync/synchronized")
_KEEPERS = {
    "chronyd": ("/run/chrony/chronyd.pid", "/run/chronyd.pid", "/var/run/chrony/chronyd.pid"),
    "ntpd": ("/run/ntpd.pid", "/run/ntp/ntpd.pid", "/run/ntpsec/ntpd.pid", "/var/run/ntpd.pid"),
    "ptp4l": ("/run/ptp4l",),
}
_FILES = 4096  # of a recording that are looked at, at most


class _Timex(ctypes.Structure):
    """The head of struct timex of adjtimex(2), and room for its rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


@dataclass(frozen=True)
class Moment:
    """The clock and the one that never jumps, read together, in nanoseconds."""

    real_ns: int
    steady_ns: int


def moment() -> Moment:
    return Moment(time.time_ns(), time.monotonic_ns())


def clock(began: Moment, recording: Path | None) -> Clock:
    """What is known of it.

    Args:
        began: as it was some seconds ago.
        recording: the directory whose newest file tells what the clock once said; None for none.
    """
    now = moment()
    synchronised, error_ms = _synchronised()
    keeper = "systemd-timesyncd" if _SYNCHRONISED.exists() else ""
    for name, places in _KEEPERS.items():
        if not keeper and any(os.path.exists(place) for place in places):
            keeper = name
    return Clock(
        now.real_ns,
        True if _SYNCHRONISED.exists() else synchronised,
        keeper,
        error_ms,
        round(time.get_clock_info("time").resolution * 1e9),
        ((now.real_ns - began.real_ns) - (now.steady_ns - began.steady_ns)) / 1e9,
        _installed_ns(),
        None if recording is None else _recorded_ns(recording),
        _LINUX,
    )


def _synchronised() -> tuple[bool | None, float | None]:
    """What the kernel believes, and by how many milliseconds the clock is off at most; sets nothing."""
    if not _LINUX:
        return None, None
    told = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(told))
    except (OSError, AttributeError):
        return None, None
    if state < 0:
        return None, None  # containers may forbid the question
    synchronised = state != _ERROR and not told.status & _UNSYNC
    return synchronised, told.maxerror / 1000 if synchronised else None


def _installed_ns() -> int | None:
    with contextlib.suppress(OSError, TypeError):
        return os.stat(speeddata.__file__).st_mtime_ns
    return None


def _recorded_ns(recording: Path) -> int | None:
    """When the newest file of the recording began, by its name."""
    newest = None
    with contextlib.suppress(OSError):
        for home in sorted(recording.iterdir())[:_FILES]:
            if not home.is_dir():
                continue
            for name in os.listdir(home)[:_FILES]:
                parsed = catalogue.parse_file_name(name)
                if parsed is not None and parsed[0] == home.name:
                    newest = max(newest or 0, parsed[1])
    return newest
