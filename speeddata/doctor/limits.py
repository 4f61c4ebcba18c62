"""What one process may have, and what the kernel can: open files, and trains of datagrams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from speeddata.doctor.finding import FAULT, NOTE, OK, Finding, cannot_tell

MOST_CHANNELS = 256
_FILES_EACH = 2  # of a channel: its recording and what was rejected, or the socket of a reader
_FILES_ELSE = 48  # sockets, pipes, libraries


@dataclass(frozen=True)
class Limits:
    """Of this process and its kernel; None: cannot be told.

    Attributes:
        files: that may be open.
        most_files: up to which the user may raise that.
        trains: the kernel hands over and takes many datagrams of one size at once (UDP_GRO, UDP_SEGMENT).
        many: it takes many datagrams a call (recvmmsg, sendmmsg).
    """

    files: int | None
    most_files: int | None = None
    trains: bool | None = None
    many: bool | None = None


def judge(limits: Limits, channels: int) -> Iterator[Finding]:
    """Whether that is enough for so many channels."""
    yield _files(limits, channels)
    if limits.many is None or limits.trains is None:
        yield cannot_tell("kernel", "whether it moves many datagrams at once")
    elif limits.many and limits.trains:
        yield Finding("kernel", OK, "many datagrams a call, and in trains (recvmmsg, UDP_GRO, UDP_SEGMENT)")
    else:
        missing = "trains of datagrams (UDP_GRO, UDP_SEGMENT)" if limits.many else "many datagrams a call"
        what = f"it does not know {missing}: all works, with more work a datum"
        yield Finding("kernel", NOTE, what, "Linux 5.0 or newer has both")


def _files(limits: Limits, channels: int) -> Finding:
    if limits.files is None:
        return cannot_tell("files", "how many may be open")
    measured = {"files": limits.files, "most_files": limits.most_files, "channels": channels}
    enough_for = max(0, limits.files - _FILES_ELSE) // _FILES_EACH
    what = f"{limits.files:,} may be open: enough for {min(enough_for, MOST_CHANNELS):,} channels"
    if enough_for >= MOST_CHANNELS:
        return Finding("files", OK, what, "", measured)
    wanted = MOST_CHANNELS * _FILES_EACH + _FILES_ELSE
    raised = -(-wanted // 1024) * 1024
    cure = f"ulimit -n {raised}; in a systemd unit: LimitNOFILE={raised}"
    if limits.most_files is not None and limits.most_files < raised:
        cure += f"; more than {limits.most_files:,} needs root"
    if enough_for < channels:
        return Finding("files", FAULT, f"{what}, and {channels:,} are live", cure, measured)
    return Finding("files", NOTE, what, cure, measured)
