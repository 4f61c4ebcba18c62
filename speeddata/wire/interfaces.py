"""The interfaces of this machine, as far as they are up, asked of getifaddrs(3): groups are of IPv4 only."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from speeddata.errors import HostError

_BSD = sys.platform != "linux"  # there a sockaddr begins with its length
_UP, _LOOPBACK = 0x1, 0x8  # net/if.h
_MULTICAST = 0x8000 if _BSD else 0x1000


@dataclass(frozen=True)
class Interface:
    """An IPv4 address of an interface that is up.

    Attributes:
        network: what is directly connected through it.
        multicast: whether it says that it can; the loopback of Linux does not, and can all the same.
    """

    name: str
    index: int
    address: str
    network: ipaddress.IPv4Network
    multicast: bool
    loopback: bool

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


class _Ifaddrs(ctypes.Structure):
    """The part of struct ifaddrs that Linux and the BSDs have in common."""


_Ifaddrs._fields_ = (
    ("next", ctypes.POINTER(_Ifaddrs)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
    ("netmask", ctypes.c_void_p),
)


def interfaces() -> list[Interface]:
    """Every IPv4 address of the interfaces that are up, in the system's order.

    Raises:
        HostError: the system does not tell.
    """
    with _listed() as first:
        return list(_up(first))


@contextlib.contextmanager
def _listed() -> Iterator[ctypes._Pointer[_Ifaddrs]]:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.getifaddrs.argtypes = (ctypes.POINTER(ctypes.POINTER(_Ifaddrs)),)
    libc.freeifaddrs.argtypes = (ctypes.POINTER(_Ifaddrs),)
    libc.freeifaddrs.restype = None
    first = ctypes.POINTER(_Ifaddrs)()
    if libc.getifaddrs(ctypes.byref(first)) != 0:
        raise HostError(f"cannot list the interfaces: {os.strerror(ctypes.get_errno() or errno.EIO)}")
    try:
        yield first
    finally:
        libc.freeifaddrs(first)


def _up(entry: ctypes._Pointer[_Ifaddrs]) -> Iterator[Interface]:
    while entry:
        found = entry.contents
        entry = found.next
        address = _ipv4(found.address)
        if not found.flags & _UP or address is None:
            continue
        name = os.fsdecode(found.name)
        try:
            index = socket.if_nametoindex(name)
        except OSError:
            continue  # gone since
        netmask = _ipv4(found.netmask) or "255.255.255.255"
        network = ipaddress.ip_network(f"{address}/{netmask}", strict=False)
        assert isinstance(network, ipaddress.IPv4Network)
        flags = found.flags
        yield Interface(name, index, address, network, bool(flags & _MULTICAST), bool(flags & _LOOPBACK))


def _ipv4(sockaddr: int | None) -> str | None:
    """The address in a sockaddr_in: family, port and address; None of any other family."""
    if not sockaddr:
        return None
    head = ctypes.string_at(sockaddr, 2)
    family = head[1] if _BSD else int.from_bytes(head, sys.byteorder)
    # BSD leaves the family of a netmask zero and its tail away: what is missing reads as zero there.
    if family != socket.AF_INET and not (_BSD and family == 0):
        return None
    if _BSD:
        return socket.inet_ntoa(ctypes.string_at(sockaddr, head[0])[4:8].ljust(4, b"\0"))
    return socket.inet_ntoa(ctypes.string_at(sockaddr + 4, 4))


def _ipv6(sockaddr: int | None) -> int | None:
    """The address in a sockaddr_in6: family, port, flow and address; None of any other family."""
    if not sockaddr:
        return None
    head = ctypes.string_at(sockaddr, 2)
    family = head[1] if _BSD else int.from_bytes(head, sys.byteorder)
    if family != socket.AF_INET6:
        return None
    return int.from_bytes(ctypes.string_at(sockaddr + 8, 16), "big")


def named(texts: Sequence[str]) -> list[Interface]:
    """The interfaces that *texts* name or give the address of, each once, in that order.

    Raises:
        HostError: there is no such interface, or it is down; says which there are.
    """
    known = interfaces()
    chosen = []
    for text in texts:
        found = [interface for interface in known if text in (interface.name, interface.address)]
        if not found:
            names = f"there is {', '.join(map(str, known))}" if known else "none with an IPv4 address is up"
            raise HostError(f"no interface '{text}'", mend=names)
        chosen += found
    return _once(chosen)


def receiving(texts: Sequence[str]) -> list[Interface]:
    """Where groups are joined: on *texts*, else on loopback and every interface that can multicast."""
    if texts:
        return named(texts)
    return _once(interface for interface in interfaces() if interface.loopback or interface.multicast)


def sending(texts: Sequence[str]) -> list[Interface]:
    """By what is sent to groups: by *texts*, else by loopback alone: nothing leaves the machine unasked.

    Raises:
        HostError: as `named`; or loopback is down.
    """
    if texts:
        return named(texts)
    loopback = _once(interface for interface in interfaces() if interface.loopback)
    if not loopback:
        raise HostError("loopback is down", mend="`ip link set lo up`, or name an interface with --interface")
    return loopback


def connected_networks() -> list[ipaddress.IPv4Network]:
    """Networks of IPv4 that are directly connected, loopback among them, each once."""
    return list(dict.fromkeys(interface.network for interface in interfaces()))


def connected_ipv6_networks() -> list[ipaddress.IPv6Network]:
    """The same of IPv6; of a machine without it none.

    Raises:
        HostError: the system does not tell.
    """
    networks: dict[ipaddress.IPv6Network, None] = {}
    with _listed() as entry:
        while entry:
            found = entry.contents
            entry = found.next
            address, netmask = _ipv6(found.address), _ipv6(found.netmask)
            if found.flags & _UP and address is not None and netmask is not None:
                networks[ipaddress.IPv6Network((address & netmask, netmask.bit_count()))] = None
    return list(networks)


def _once(found: Iterable[Interface]) -> list[Interface]:
    """An interface with several addresses counts once, by its first: twice would send every datum twice."""
    first: dict[int, Interface] = {}
    for interface in found:
        first.setdefault(interface.index, interface)
    return list(first.values())
