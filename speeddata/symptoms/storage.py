"""The directory of a recording: whether it can be written, on what it is, and how fast that takes data."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import re
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from speeddata.doctor.disk import Disk, Trial
from speeddata.interrupts import Stop
from speeddata.names import is_channel_name

TRIAL_BYTES = 64 << 20
TRIAL_S = 1.0
_FIRST_BYTES, _MOST_BYTES = 256 << 10, 8 << 20  # of one write: more and more, as long as that goes quickly
_LEAST_BYTES = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_MOUNTS, _LOCKS = Path("/proc/self/mountinfo"), Path("/proc/locks")
_DEVICES = Path("/sys/dev/block")
_CARD = re.compile(r"mmcblk[0-9]+")
_MAC_TYPE_AT = 72  # f_fstypename in struct statfs of macOS, 16 bytes


def disk(directory: Path, stop: Stop, *, min_free: float) -> Disk:
    """Look at *directory*, or where it would be made.

    Args:
        stop: ends the trial early.
        min_free: share of the file system that the trial leaves free, as the relay does: what it writes must
            not be what makes a running relay delete a recording.
    """
    text, made = str(directory), False
    try:
        made = directory.is_dir()
        place = next((one for one in (directory, *directory.absolute().parents) if one.exists()), Path("/"))
        if not place.is_dir():
            return Disk(text, made, refused=f"{place} is no directory")
        system = os.statvfs(place)
    except OSError as exc:
        return Disk(text, made, refused=exc.strerror or str(exc))
    free, total = system.f_bavail * system.f_frsize, system.f_blocks * system.f_frsize
    room = int(free - total * min_free) // 2
    size = min(TRIAL_BYTES, room)
    refused, full, trial = "", False, Trial()
    try:
        trial = _trial(place, size, stop)
    except OSError as exc:
        full = exc.errno in _FULL
        refused = "" if full else exc.strerror or str(exc)
    kind, device = _mounted(place)
    return Disk(
        text,
        made,
        refused,
        full,
        tuple(_unwritable(directory)) if made else (),
        _locked_by(directory) if made else 0,
        total,
        free,
        system.f_favail if system.f_files else None,
        kind,
        _card(device, place),
        trial,
    )


def _trial(place: Path, size: int, stop: Stop) -> Trial:
    """Write at most *size* bytes to a file without a name, and have the disk keep them.

    Its name is gone before anything is written: whatever ends this process takes the file away.

    Raises:
        OSError: nothing can be written there.
    """
    descriptor, name = tempfile.mkstemp(dir=place, prefix=".speeddata-")
    try:
        os.unlink(name)
        if size < _LEAST_BYTES:
            os.write(descriptor, secrets.token_bytes(4096))  # a disk that is full says so
            os.fsync(descriptor)
            return Trial()
        with contextlib.closing(mmap.mmap(-1, _MOST_BYTES)) as memory:
            memory.write(secrets.token_bytes(_LEAST_BYTES) * (_MOST_BYTES // _LEAST_BYTES))
            return _written(descriptor, memory, size, stop)
    finally:
        os.close(descriptor)


def _written(descriptor: int, memory: mmap.mmap, size: int, stop: Stop) -> Trial:
    keep = getattr(os, "fdatasync", os.fsync)
    os.write(
        descriptor, b"\0"
    )  # makes the file what it is, so that the first measured write is like the rest
    keep(descriptor)
    began = now = time.monotonic()
    written, longest, step = 0, 0.0, _FIRST_BYTES
    with memoryview(memory) as view:
        while written < size and now - began < TRIAL_S and not stop.asked:
            try:
                count = os.write(descriptor, view[: min(step, size - written)])
                keep(descriptor)
            except OSError as exc:
                if exc.errno in _FULL and written:
                    break  # somebody else was quicker
                raise
            before, now = now, time.monotonic()
            written, longest = written + count, max(longest, now - before)
            if now - before < TRIAL_S / 16:
                step = min(2 * step, _MOST_BYTES)
    return Trial(written, now - began, longest)


def _unwritable(directory: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for home in sorted(directory.iterdir()):
            if is_channel_name(home.name) and home.is_dir() and not os.access(home, os.W_OK | os.X_OK):
                yield str(home)


def _locked_by(directory: Path) -> int:
    """The process that holds the lock on it, as `directorylock` takes it: looked up, and not tried, since a
    relay that starts in that moment would be refused. 0: nobody, or it cannot be told.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        found = os.stat(directory)
        place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        for line in _LOCKS.read_text("ascii", "replace").splitlines():
            words = line.split()  # proc(5): 1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END
            if words[1:4] == ["FLOCK", "ADVISORY", "WRITE"] and words[5] == place:
                return max(0, int(words[4]))
    return 0


def _mounted(place: Path) -> tuple[str | None, str]:
    """Type of the file system, and the device that it is on; None and "": cannot be told."""
    if sys.platform == "darwin":
        return _mac_type(place), ""
    device = os.stat(place).st_dev
    wanted, real = f"{os.major(device)}:{os.minor(device)}", os.path.realpath(place)
    best: tuple[bool, int, str, str] = (False, -1, "", "")
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _MOUNTS.read_text("utf-8", "replace").splitlines():
            before, _, after = line.partition(" - ")  # proc(5), /proc/pid/mountinfo
            words, (kind, source) = before.split(), after.split()[:2]
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), words[4])
            inside = real == point or real.startswith(point.rstrip("/") + "/")
            if inside and (words[2] == wanted, len(point)) >= best[:2]:
                best = (words[2] == wanted, len(point), kind, source)
    return best[2] or None, best[3]


def _mac_type(place: Path) -> str | None:
    with contextlib.suppress(OSError, AttributeError):
        told = ctypes.create_string_buffer(4096)
        libc = ctypes.CDLL(None)
        call = getattr(libc, "statfs$INODE64", None) or libc.statfs
        if call(os.fsencode(place), told) == 0:
            return told.raw[_MAC_TYPE_AT : _MAC_TYPE_AT + 16].split(b"\0")[0].decode("ascii", "replace")
    return None


def _card(device: str, place: Path) -> str:
    """The name of the memory card below, be it the device itself or what /sys says that it is part of."""
    if found := _CARD.search(os.path.basename(device)):
        return found[0]
    with contextlib.suppress(OSError):
        number = os.stat(place).st_dev
        path = os.path.realpath(_DEVICES / f"{os.major(number)}:{os.minor(number)}")
        if found := _CARD.search(path):
            return found[0]
    return ""
