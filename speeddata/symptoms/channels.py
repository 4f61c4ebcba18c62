"""The channels that are live now, each heard for a moment: how large its datums are, and what time it is."""

from __future__ import annotations

import math
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from speeddata.avro.datum import decode, skipper
from speeddata.avro.schema import TICK_NS, parse
from speeddata.doctor.limits import MOST_CHANNELS
from speeddata.doctor.load import Seen
from speeddata.errors import SpeedDataError
from speeddata.interrupts import Stop
from speeddata.wire import finding, interfaces, sockets
from speeddata.wire.announcement import END, Announcement
from speeddata.wire.sessions import Address

LISTEN_S = 0.8
_ENOUGH = 100  # datums of a channel tell their mean size
_BUFFER_BYTES = 256 << 10


@dataclass
class _Ear:
    """What was heard of one channel."""

    said: Announcement
    seen: Seen
    count: int = 0
    size: int = 0
    last: bytes = b""
    last_ns: int = 0
    sock: socket.socket | None = field(default=None, repr=False)


def seen(on: Sequence[str], stop: Stop, seconds: float = LISTEN_S) -> list[Seen]:
    """Every live channel that a relay announces; takes *seconds* where there are some.

    Args:
        on: interfaces to ask and listen on, by name or address; empty: as `ls` does.
        stop: ends it early.

    Raises:
        HostError: the discovery group cannot be joined.
    """
    far = any(not one.loopback for one in interfaces.receiving(on))  # a question may not reach relays there
    spoken = finding.survey(on, patience_s=finding.SPOKEN_S if far else 0.0)
    answers = [(said, who) for said, who in spoken if said.fields.get("state") != END]
    ours = {one.address for one in interfaces.interfaces()}
    ears = [_Ear(said, _announced(said, who, ours)) for said, who in answers[:MOST_CHANNELS]]
    with ExitStack() as stack:
        for ear, (_, who) in zip(ears, answers, strict=False):
            ear.sock = _member(ear.said, who, on)
            if ear.sock is not None:
                stack.enter_context(ear.sock)
        _listen([ear for ear in ears if ear.sock is not None], stop, seconds)
    return [_heard(ear) for ear in ears]


def _announced(said: Announcement, who: Address, ours: set[str]) -> Seen:
    try:
        rate_hz = float(said.fields.get("rate_hz", ""))
    except ValueError:
        rate_hz = 0.0
    return Seen(
        said.channel,
        rate_hz if math.isfinite(rate_hz) and rate_hz >= 0 else 0.0,
        here=who[0] in ours or who[0].startswith("127."),
        lost=said.number("lost"),
        lost_kernel=said.number("lost_kernel"),
        lost_disk=said.number("lost_disk"),
    )


def _member(said: Announcement, who: Address, on: Sequence[str]) -> socket.socket | None:
    """A member of the channel's full-rate group, which hears its relay only."""
    endpoint = said.endpoint("full")
    if endpoint is None or not endpoint.is_group:
        return None
    try:
        sock = sockets.listen(endpoint, interfaces=interfaces.receiving(on), buffer_bytes=_BUFFER_BYTES)
    except (SpeedDataError, OSError):
        return None
    try:
        sock.connect(who)
    except OSError:
        sock.close()
        return None
    return sock


def _listen(ears: Sequence[_Ear], stop: Stop, seconds: float) -> None:
    poll = select.poll()
    poll.register(stop.fd, select.POLLIN)
    by_fd = {ear.sock.fileno(): ear for ear in ears if ear.sock is not None}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    end = time.monotonic() + seconds
    while by_fd and (left := end - time.monotonic()) > 0 and not stop.asked:
        for fd, _ in poll.poll(left * 1000):
            if fd == stop.fd:
                stop.wait(0)
                continue
            if _take(by_fd[fd]):
                poll.unregister(fd)
                del by_fd[fd]


def _take(ear: _Ear) -> bool:
    """Take what waits; whether that is enough."""
    assert ear.sock is not None
    try:
        while ear.count < _ENOUGH:
            ear.last = ear.sock.recv(1 << 16)
            ear.last_ns = time.time_ns()
            ear.count, ear.size = ear.count + 1, ear.size + len(ear.last)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _heard(ear: _Ear) -> Seen:
    if not ear.count:
        return ear.seen
    ahead_s = next(_ahead(ear), None)
    return replace(ear.seen, datum_bytes=ear.size / ear.count, ahead_s=ahead_s)


def _ahead(ear: _Ear) -> Iterator[float]:
    """By how many seconds the time of the last datum is ahead of ours; nothing where it has none."""
    try:
        schema = parse(ear.said.schema_text)
        if schema.time_unit is None or not (schema.abscissa.logical or "").startswith("timestamp-"):
            return  # no time of day, or that of some time zone
        if skipper(schema)(ear.last, 0, len(ear.last)) != len(ear.last):
            return
        value = decode(schema, ear.last, 0, len(ear.last))[schema.abscissa.name]
        yield float(value * TICK_NS[schema.time_unit] - ear.last_ns) / 1e9
    except (SpeedDataError, ValueError, TypeError, OverflowError, KeyError):
        return
