"""The interfaces of this machine, the way to a group, and groups tried out: joined, and sent to."""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import select
import socket
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from speeddata.doctor.joining import Attempt, Joins
from speeddata.doctor.multicast import Device, Network, Route
from speeddata.errors import HostError
from speeddata.names import FULL_GROUP, Endpoint
from speeddata.wire import interfaces, sockets
from speeddata.wire.interfaces import Interface

_LINUX = sys.platform == "linux"
_SIOCGIFFLAGS = 0x8913 if _LINUX else 0xC0206911  # linux/sockios.h, sys/sockio.h
_UP, _LOOPBACK, _RUNNING = 0x1, 0x8, 0x40  # net/if.h
_MULTICAST = 0x1000 if _LINUX else 0x8000
_IFREQ = struct.Struct("16sH22x")
_ROUTES = Path("/proc/net/route")
_MEMBERSHIPS = Path("/proc/sys/net/ipv4/igmp_max_memberships")
# Beside those of the relays, so that the same routes and rules are tried, and nobody is disturbed.
_TRIED_GROUP = "239.1.1.4"
_ECHO_S = 0.3
_BUFFER_BYTES = 1 << 16


def network(asked: Sequence[str]) -> Network:
    """The interfaces, and the way to the group that relays serve full rate to; nothing is sent."""
    try:
        known = interfaces.interfaces()
        devices = tuple(_devices(known))
    except (HostError, OSError):
        return Network((), tuple(asked), FULL_GROUP, None, _LINUX)
    return Network(devices, tuple(asked), FULL_GROUP, _route(FULL_GROUP, known), _LINUX)


def joins(asked: Sequence[str]) -> Joins:
    """A group joined wherever receivers would, and sent to wherever relays would: with a TTL of 0, so that
    nothing of it leaves the machine.
    """
    try:
        receiving, sending = interfaces.receiving(asked), interfaces.sending(asked)
    except HostError:  # told by `network`
        receiving, sending = [], []
    by = {one.index for one in sending}
    attempts = tuple(_tried(one, one.index in by) for one in receiving)
    return Joins(attempts, _TRIED_GROUP, _number(_MEMBERSHIPS), _LINUX)


def _devices(known: Sequence[Interface]) -> list[Device]:
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, _IFREQ.pack(name.encode(), 0))
            except OSError:
                continue  # gone since
            flags = _IFREQ.unpack(answer)[1]
            addresses = tuple(one.address for one in known if one.name == name)
            found.append(
                Device(
                    name,
                    addresses,
                    up=bool(flags & _UP),
                    running=bool(flags & _RUNNING),
                    multicast=bool(flags & _MULTICAST),
                    loopback=bool(flags & _LOOPBACK),
                )
            )
    return found


def _route(group: str, known: Sequence[Interface]) -> Route | None:
    """Asked by a connect, which sends nothing for UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((group, 9))
        except OSError:
            return Route("")
        source = sock.getsockname()[0]
    by = next((one.name for one in known if one.address == source), None)
    table = _table()
    if table is not None:
        wanted = int.from_bytes(socket.inet_aton(group), sys.byteorder)
        fits = [(mask, name) for name, destination, mask in table if wanted & mask == destination]
        if fits:
            mask, name = max(fits, key=lambda fit: fit[0].bit_count())
            return Route(name, default=not mask)
    return Route(by) if by is not None else None


def _table() -> list[tuple[str, int, int]] | None:
    """Interface, destination and mask of each route that is up (proc(5), /proc/net/route)."""
    try:
        rows = [line.split() for line in _ROUTES.read_text("ascii", "replace").splitlines()[1:]]
        return [(row[0], int(row[1], 16), int(row[7], 16)) for row in rows if int(row[3], 16) & 1]
    except (OSError, ValueError, IndexError):
        return None


def _tried(interface: Interface, served: bool) -> Attempt:
    try:
        member = sockets.listen(Endpoint(_TRIED_GROUP, 0), interfaces=[interface], buffer_bytes=_BUFFER_BYTES)
    except (HostError, OSError) as exc:
        return Attempt(str(interface), refused=_reason(exc), served=served)
    with member:
        if not served:
            return Attempt(str(interface))
        try:
            (sender,) = sockets.group_sockets([interface], ttl=0)
            with sender:
                return Attempt(str(interface), served=True, echo_ms=_echo(member, sender))
        except (HostError, OSError) as exc:
            return Attempt(str(interface), served=True, unsent=_reason(exc))


def _reason(exc: HostError | OSError) -> str:
    return exc.what if isinstance(exc, HostError) else exc.strerror or str(exc)


def _echo(member: socket.socket, sender: socket.socket) -> float | None:
    """Milliseconds until a datagram was there."""
    word = secrets.token_bytes(16)
    began = time.monotonic()
    sender.sendto(word, (_TRIED_GROUP, member.getsockname()[1]))
    while (left := began + _ECHO_S - time.monotonic()) > 0 and select.select([member], [], [], left)[0]:
        with contextlib.suppress(BlockingIOError):
            if member.recv(64) == word:
                return (time.monotonic() - began) * 1000
    return None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
