"""What the kernel gives and grants: receive buffers, open files, trains; and what it dropped."""

from __future__ import annotations

import resource
import socket
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from speeddata.doctor.buffers import Buffer, Dropped
from speeddata.doctor.limits import Limits
from speeddata.wire import sockets

_LINUX = sys.platform == "linux"
_RMEM_MAX = Path("/proc/sys/net/core/rmem_max")
_UDP = (Path("/proc/net/udp"), Path("/proc/net/udp6"))


@dataclass(frozen=True)
class UdpSocket:
    """A row of /proc/net/udp: a bound UDP socket of this network namespace."""

    address: str
    port: int
    inode: int
    drops: int
    uid: int


def buffer() -> Buffer:
    """A receive buffer asked for as the relay does, and once more without force."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        got = sockets.ask_receive_buffer(sock, sockets.RECEIVE_BUFFER)
    limit = rmem_max()
    # Linux trims what is not forced to its limit.
    unforced = got if limit is None or not _LINUX else min(limit, sockets.RECEIVE_BUFFER)
    return Buffer(sockets.RECEIVE_BUFFER, got, unforced, limit, _LINUX)


def rmem_max() -> int | None:
    """Beyond which a receive buffer needs CAP_NET_ADMIN; None: cannot be told."""
    try:
        return int(_RMEM_MAX.read_text("ascii"))
    except (OSError, ValueError):
        return None


def udp_sockets() -> list[UdpSocket] | None:
    """All that are bound; None: cannot be told."""
    try:
        return [row for path in _UDP if path.exists() for row in _rows(path)] if _UDP[0].exists() else None
    except (OSError, ValueError, IndexError):
        return None


def drops(
    before: Collection[UdpSocket] | None, now: Collection[UdpSocket] | None, listening: Collection[int]
) -> list[Dropped] | None:
    """What was dropped, port by port; *before*: as it was some time ago; *listening*: ports of relays."""
    if before is None or now is None:
        return None
    earlier = {one.inode: one.drops for one in before}
    total, lately = Counter[int](), Counter[int]()
    for one in now:
        if one.inode in earlier:  # else it was opened meanwhile: by ourselves perhaps
            total[one.port] += one.drops
            lately[one.port] += one.drops - earlier[one.inode]
    return [Dropped(port, count, lately[port], port in listening) for port, count in sorted(total.items())]


def limits() -> Limits:
    """Of this process, and what its kernel can."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files, most = (None if each == resource.RLIM_INFINITY else each for each in (soft, hard))
    files = (1 << 20) if files is None else files  # no limit at all
    from speeddata.wire import linux_datagrams as linux

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        trains = linux.AVAILABLE and linux.ask_for_trains(sock) and linux.sends_trains(sock)
    return Limits(files, most, trains, linux.AVAILABLE)


def _rows(path: Path) -> Iterator[UdpSocket]:
    """proc(5), /proc/net/udp: addresses are words of the machine's byte order in hexadecimal digits."""
    for line in path.read_text("ascii", "replace").splitlines()[1:]:
        words = line.split()
        host, _, port = words[1].partition(":")
        yield UdpSocket(_address(host), int(port, 16), int(words[9]), int(words[12]), int(words[7]))


def _address(digits: str) -> str:
    whole = bytes.fromhex(digits)
    words = [whole[at : at + 4] for at in range(0, len(whole), 4)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
