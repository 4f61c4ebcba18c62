"""A disk that refuses: told once, tried again a few times a second, told again when it is over."""

from __future__ import annotations

import errno
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from speeddata.errors import HostError

RETRY_NS = 250_000_000
ROOM_BYTES = 256 << 10  # free on a disk that was full, before it is worth to begin a file there

log = logging.getLogger("speeddata")

_RESUMES = "recording resumes by itself"
_TOLD = {
    errno.ENOSPC: ("the disk is full: recording pauses, re-serving goes on", f"free some space; {_RESUMES}"),
    errno.EDQUOT: (
        "the disk quota is used up: recording pauses, re-serving goes on",
        f"free some space; {_RESUMES}",
    ),
}


@dataclass
class _Outage:
    """One trouble, and the channels that are in it."""

    number: int
    since_ns: int
    next_try_ns: int = 0
    channels: set[str] = field(default_factory=set)
    lost: int = 0


class Outages:
    """The troubles of a recording directory, one for each kind of error, whichever channels meet it.

    Times are monotonic. Only the writer thread uses it.

    Args:
        directory: that of the recordings, for messages.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._by_errno: dict[int, _Outage] = {}
        self._of: dict[str, _Outage] = {}

    def begin(self, channel: str, problem: OSError, now_ns: int) -> bool:
        """*channel* could not be written. True for the first channel that meets this trouble: it was told."""
        number = problem.errno or 0
        outage = self._by_errno.get(number)
        first = outage is None
        if outage is None:
            outage = self._by_errno[number] = _Outage(number, now_ns)
            what, mend = _TOLD.get(number, (f"cannot record: {problem.strerror or problem}", _RESUMES))
            where = str(problem.filename or self.directory)
            log.error("%s", HostError(what, where=where, mend=mend))
        self.forget(channel)
        self._of[channel] = outage
        outage.channels.add(channel)
        outage.next_try_ns = now_ns + RETRY_NS
        return first

    def may_try(self, channel: str, now_ns: int) -> bool:
        """Whether to write now; where a trouble lasts, one channel tries at a time, every `RETRY_NS`."""
        outage = self._of.get(channel)
        if outage is None:
            return True
        if now_ns < outage.next_try_ns:
            return False
        outage.next_try_ns = now_ns + RETRY_NS
        return outage.number != errno.ENOSPC or self._has_room()

    def lose(self, channel: str, count: int) -> None:
        """*count* datums of *channel* could not be recorded."""
        if channel in self._of:
            self._of[channel].lost += count

    def over(self, channel: str, now_ns: int) -> None:
        """*channel* was written: the troubles that no channel is in any more are over."""
        if not self._by_errno:
            return
        if channel in self._of:
            self._of[channel].next_try_ns = now_ns  # the others need not wait
        self.forget(channel)
        for number, outage in list(self._by_errno.items()):
            if not outage.channels:
                del self._by_errno[number]
                text = f"recording resumed after {(now_ns - outage.since_ns) / 1e9:.1f} s"
                log.warning("%s: %s; datums missing: %s", self.directory, text, f"{outage.lost:,}")

    def forget(self, channel: str) -> None:
        """*channel* is not in any trouble now, though nothing says that the trouble is over."""
        outage = self._of.pop(channel, None)
        if outage is not None:
            outage.channels.discard(channel)

    def _has_room(self) -> bool:
        try:
            system = os.statvfs(self.directory)
        except OSError:
            return True  # the next write will say what is wrong
        return system.f_bavail * system.f_frsize >= ROOM_BYTES
