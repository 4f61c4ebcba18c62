"""UDP sockets, opened the way telemetry needs them: to listen at an endpoint, and to send to groups."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import struct
import sys
from typing import TYPE_CHECKING

from speeddata.errors import HostError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speeddata.names import Endpoint
    from speeddata.wire.interfaces import Interface

RECEIVE_BUFFER = 64 << 20  # a second of a million datums a second; the kernel gives what it may
SEND_BUFFER = 4 << 20

_LINUX = sys.platform == "linux"
_IP_MULTICAST_ALL = 49  # linux/in.h, not in Python's socket
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h
_PORT_TRIES = 32

log = logging.getLogger(__name__)


def listen(
    endpoint: Endpoint, *, interfaces: Sequence[Interface], buffer_bytes: int = RECEIVE_BUFFER
) -> socket.socket:
    """A socket bound to *endpoint*, which never blocks; of a group it is a member on each of *interfaces*.

    A unicast endpoint is bound without address reuse: nobody takes datums away from somebody else unnoticed.

    Raises:
        HostError: the port is in use, the address is not ours, or no interface takes the group.
        UsageError: an IPv6 group.
    """
    sock = socket.socket(_family(endpoint), socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if endpoint.is_group:
            _share(sock)
        if _LINUX and sock.family == socket.AF_INET:
            # Else a socket bound to 0.0.0.0 hears every group that any process of this machine has joined.
            sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        ask_receive_buffer(sock, buffer_bytes)
        _bind(sock, endpoint)
        if endpoint.is_group:
            _join(sock, endpoint, interfaces)
    except BaseException:
        sock.close()
        raise
    return sock


def group_sockets(interfaces: Sequence[Interface], ttl: int) -> list[socket.socket]:
    """A socket for each of *interfaces* that sends to groups by it, all from one source port, none blocking.

    Args:
        interfaces: at least one.
        ttl: 1 stays in the network of the interface.

    Raises:
        HostError: an interface cannot be sent by.
    """
    if not interfaces:
        raise ValueError("no interface to send by")
    for _ in range(_PORT_TRIES):
        sockets: list[socket.socket] = []
        try:
            for interface in interfaces:
                port = sockets[0].getsockname()[1] if sockets else 0
                sockets.append(_group_socket(interface, port, ttl))
        except OSError as exc:
            for sock in sockets:
                sock.close()
            if exc.errno == errno.EADDRINUSE and sockets:
                continue  # the port that the first one got is taken at another address: another port
            where = f"{interface.name} ({interface.address})"
            raise HostError(f"cannot send to groups by it: {exc.strerror}", where=where) from exc
        return sockets
    raise HostError("no source port is free on all interfaces", mend="name fewer interfaces")


def unicast_socket(endpoint: Endpoint) -> socket.socket:
    """A socket to send to *endpoint* from, which never blocks, with a large send buffer."""
    sock = socket.socket(_family(endpoint), socket.SOCK_DGRAM)
    sock.setblocking(False)
    ask_send_buffer(sock, SEND_BUFFER)
    return sock


def ask_receive_buffer(sock: socket.socket, asked: int) -> int:
    """Ask for a receive buffer of *asked* bytes; returns what the kernel gave."""
    _ask_buffer(sock, socket.SO_RCVBUF, _SO_RCVBUFFORCE, asked)
    return buffer_bytes(sock)


def ask_send_buffer(sock: socket.socket, asked: int) -> None:
    """Ask for a send buffer of *asked* bytes, and take what the kernel gives."""
    _ask_buffer(sock, socket.SO_SNDBUF, _SO_SNDBUFFORCE, asked)


def buffer_bytes(sock: socket.socket) -> int:
    """Size of the receive buffer in the bytes that one asks for; Linux reports twice that."""
    got = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return got // 2 if _LINUX else got


def buffer_note(asked: int, got: int) -> str | None:
    """What to tell of a receive buffer that came out smaller than asked for, with the cure; None if not."""
    if got >= asked:
        return None
    cure = f"sysctl -w net.core.rmem_max={asked}" if _LINUX else f"sysctl -w kern.ipc.maxsockbuf={asked}"
    return f"receive buffer is {got >> 10} KiB of the {asked >> 10} KiB asked for; `{cure}` lets it grow"


def _family(endpoint: Endpoint) -> socket.AddressFamily:
    if ":" not in endpoint.host:
        return socket.AF_INET
    if endpoint.is_group:
        raise UsageError("IPv6 groups are not supported", where=str(endpoint), mend="use one of 239.0.0.0/8")
    return socket.AF_INET6


def _share(sock: socket.socket) -> None:
    """Let other processes bind to the same group and port; every one gets every datagram."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if not _LINUX and hasattr(socket, "SO_REUSEPORT"):  # BSD and macOS want this one for groups
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _bind(sock: socket.socket, endpoint: Endpoint) -> None:
    mends = {
        errno.EADDRINUSE: "stop the other relay or choose another port",
        errno.EADDRNOTAVAIL: "use an address of this machine, or 0.0.0.0 for all of them",
        errno.EACCES: "choose a port from 1024 on",
    }
    try:
        sock.bind(endpoint.address)
    except OSError as exc:
        what = "port in use" if exc.errno == errno.EADDRINUSE else f"cannot listen: {exc.strerror}"
        raise HostError(what, where=str(endpoint), mend=mends.get(exc.errno or 0, "")) from exc


def _join(sock: socket.socket, endpoint: Endpoint, interfaces: Sequence[Interface]) -> None:
    refusals: list[str] = []
    for interface in interfaces:
        try:
            _join_on(sock, endpoint.host, interface)
        except OSError as exc:
            refusals.append(f"{interface.name}: {exc.strerror}")
            log.debug("%s: cannot join on %s: %s", endpoint, interface.name, exc.strerror)
    if len(refusals) == len(interfaces):
        why = ", ".join(refusals) or "there is none"
        raise HostError(
            f"no interface takes the group ({why})",
            where=str(endpoint),
            mend="name one of `ip addr` with --interface",
        )


def _join_on(sock: socket.socket, group: str, interface: Interface) -> None:
    try:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _mreqn(group, interface))
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.ENOPROTOOPT):
            raise
        # A system without ip_mreqn knows ip_mreq, which names the interface by its address.
        mreq = socket.inet_aton(group) + socket.inet_aton(interface.address)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, mreq)


def _mreqn(group: str, interface: Interface) -> bytes:
    """ip_mreqn of ip(7): by index, since several interfaces may share an address."""
    return struct.pack("4s4si", socket.inet_aton(group), socket.inet_aton(interface.address), interface.index)


def _group_socket(interface: Interface, port: int, ttl: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind((interface.address, port))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _mreqn("0.0.0.0", interface))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        ask_send_buffer(sock, SEND_BUFFER)
    except BaseException:
        sock.close()
        raise
    return sock


def _ask_buffer(sock: socket.socket, option: int, force: int, asked: int) -> None:
    if _LINUX:
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, asked)  # beyond rmem_max, with CAP_NET_ADMIN
            return
        except OSError:
            pass
    while asked >= 1 << 16:
        with contextlib.suppress(OSError):  # macOS refuses what is too large, where Linux trims it
            sock.setsockopt(socket.SOL_SOCKET, option, asked)
            return
        asked //= 2
