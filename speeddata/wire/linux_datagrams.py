"""Many datagrams a system call on Linux: recvmmsg, sendmmsg and trains (UDP_GRO, UDP_SEGMENT), by ctypes.

The kernel's arrays of headers are allocated and wired together once; a call then costs a few slices,
however many datagrams it moves. `datagrams` is the way in, and has the plain way for other systems.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct
import sys
import threading
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

UDP_SEGMENT = 103  # linux/udp.h; both at level IPPROTO_UDP
UDP_GRO = 104
SO_MEMINFO = 55  # asm-generic/socket.h
_MEMINFO_DROPS = 8  # linux/sock_diag.h, SK_MEMINFO_DROPS
_MEMINFO = struct.Struct("=9I")

SLOTS = 512  # datagrams or trains a call, at most
_SLOT_BYTES = 1 << 16  # no datagram and no train is longer
# From slot to slot. Were it a power of two, the beginnings of all slots would compete for the same few places
# in the cache of the processor: a fifth of the time that datums of 809 bytes took went there.
_SLOT_STEP = _SLOT_BYTES + 13 * 64
_FEW_SLOTS = 8  # up to so many are sooner joined one by one
_FEW = 64  # datagrams whose boundaries are kept
_NAME_BYTES = 32  # holds a sockaddr_in6
_CONTROL_BYTES = 64  # one control message of an int, and room for one that nobody asked for
_ADDRESSES = 1024  # remembered in readable form
_SOCKADDR_IN = struct.Struct("!2sH4s8x")


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_size_t), ("len", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    """recvmmsg(2); pointers as integers, for NumPy to fill in."""

    _fields_ = (
        ("name", ctypes.c_size_t),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_size_t),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_size_t),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("hdr", _Msghdr), ("len", ctypes.c_uint))


class _Cmsghdr(ctypes.Structure):
    _fields_ = (("len", ctypes.c_size_t), ("level", ctypes.c_int), ("type", ctypes.c_int))


class Arrival(NamedTuple):
    """What one address sent, in order of arrival.

    Attributes:
        address: host and port of the sender.
        data: the datagrams, one after the other.
        offsets: where each begins, and where the last one ends: int64, shape (datagrams + 1,).
    """

    address: tuple[str, int]
    data: bytes
    offsets: NDArray[np.int64]


def _native() -> bool:
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    return hasattr(_libc, "recvmmsg") and hasattr(_libc, "sendmmsg")


_libc = ctypes.CDLL(None, use_errno=True)
AVAILABLE = _native()
if AVAILABLE:
    _recvmmsg, _sendmmsg = _libc.recvmmsg, _libc.sendmmsg
    _recvmmsg.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
    _sendmmsg.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int)
    _recvmmsg.restype = _sendmmsg.restype = ctypes.c_int


class _Memory:
    """Anonymous memory at a fixed place; only the pages that are touched are resident."""

    def __init__(self, size: int) -> None:
        self._map = mmap.mmap(-1, size)
        self.bytes = np.frombuffer(self._map, np.uint8)
        self.view = memoryview(self._map)
        self.base = self.bytes.ctypes.data


def _wire(memory: _Memory, count: int) -> tuple[NDArray[np.void], int]:
    """Headers and iovecs for *count* messages at the start of *memory*: the headers, and the bytes used."""
    headers = memory.bytes[: count * ctypes.sizeof(_Mmsghdr)].view(np.dtype(_Mmsghdr))
    start = headers.nbytes
    headers["hdr"]["iov"] = memory.base + start + np.arange(count) * ctypes.sizeof(_Iovec)
    headers["hdr"]["iovlen"] = 1
    return headers, start + count * ctypes.sizeof(_Iovec)


class Inbox:
    """Slots that recvmmsg fills: one inbox serves all the receivers of a thread."""

    def __init__(self) -> None:
        head = _Memory(
            SLOTS * (ctypes.sizeof(_Mmsghdr) + ctypes.sizeof(_Iovec) + _NAME_BYTES + _CONTROL_BYTES)
        )
        slots = _Memory(SLOTS * _SLOT_STEP)
        headers, iovecs_end = _wire(head, SLOTS)
        iovecs = head.bytes[headers.nbytes : iovecs_end].view(np.dtype(_Iovec))
        names_end = iovecs_end + SLOTS * _NAME_BYTES
        step = np.arange(SLOTS)
        headers["hdr"]["name"] = head.base + iovecs_end + step * _NAME_BYTES
        headers["hdr"]["namelen"] = _NAME_BYTES
        headers["hdr"]["control"] = head.base + names_end + step * _CONTROL_BYTES
        headers["hdr"]["controllen"] = _CONTROL_BYTES
        iovecs["base"] = slots.base + step * _SLOT_STEP
        iovecs["len"] = _SLOT_BYTES
        # recvmmsg writes lengths and flags into the headers: before the next call they are copied afresh.
        self._head = head
        self._pristine = memoryview(bytes(head.view[: headers.nbytes]))
        self._used = 0
        self._lengths = headers["len"]
        self._control_lengths = headers["hdr"]["controllen"]
        names = head.bytes[iovecs_end:names_end].reshape(SLOTS, _NAME_BYTES)
        self._names4 = names.view(np.uint64)[:, 0]  # family, port and address of a sockaddr_in
        self._names6 = np.ndarray(SLOTS, "V28", head.bytes.data, iovecs_end, (_NAME_BYTES,))  # a sockaddr_in6
        controls = head.bytes[names_end:].reshape(SLOTS, _CONTROL_BYTES)
        data = ctypes.sizeof(_Cmsghdr)
        self._segments = controls[:, data : data + 4].view(np.int32)[:, 0]
        self._slots, self._bytes = slots.bytes.reshape(SLOTS, _SLOT_STEP), slots.view
        self._addresses: dict[object, tuple[str, int]] = {}

    def receive(self, fd: int, family: int, limit: int) -> tuple[list[Arrival], int]:
        """What waits at *fd*, at most *limit* datagrams or trains, by address; and how many those were.

        Raises:
            OSError: BlockingIOError when nothing waits, and whatever else recvmmsg says.
        """
        self._head.view[: self._used] = self._pristine[: self._used]
        count = _recvmmsg(fd, self._head.base, limit, socket.MSG_DONTWAIT, None)
        if count < 0:
            self._used = 0
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        self._used = count * ctypes.sizeof(_Mmsghdr)
        # Lists, since their methods run in C without the fixed price of a NumPy call: 5 us in all for one
        # datagram, 10 for ten, 80 for 128 (kernel included).
        lengths: list[int] = self._lengths[:count].tolist()
        segments = lengths
        controls = self._control_lengths[:count].tolist()
        if any(controls):  # UDP_GRO came with some: no other ancillary data was asked for
            segments = self._segments[:count].tolist()
            if not all(controls):
                segments = [s if c else n for s, c, n in zip(segments, controls, lengths, strict=True)]
        keys: list[object] = (
            self._names4[:count] if family == socket.AF_INET else self._names6[:count]
        ).tolist()
        if keys.count(keys[0]) == count:
            return [self._received(self._address(keys[0]), range(count), lengths, segments)], count
        senders: dict[object, list[int]] = {}
        for slot, key in enumerate(keys):
            senders.setdefault(key, []).append(slot)
        arrivals = []
        for key, slots in senders.items():
            sizes = [lengths[slot] for slot in slots]
            steps = sizes if segments is lengths else [segments[slot] for slot in slots]
            arrivals.append(self._received(self._address(key), slots, sizes, steps))
        return arrivals, count

    def _received(
        self, address: tuple[str, int], slots: Sequence[int], lengths: list[int], segments: list[int]
    ) -> Arrival:
        count, length = len(slots), lengths[0]
        if count == 1:
            start = slots[0] * _SLOT_STEP
            data = self._bytes[start : start + length].tobytes()
        elif count > _FEW_SLOTS and lengths.count(length) == count:
            which = slice(count) if isinstance(slots, range) else slots
            data = self._slots[which, :length].tobytes()
        else:
            starts = [slot * _SLOT_STEP for slot in slots]
            view = self._bytes
            data = b"".join([view[i : i + size] for i, size in zip(starts, lengths, strict=True)])
        return Arrival(address, data, boundaries(lengths, segments))

    def _address(self, key: object) -> tuple[str, int]:
        """The address behind the raw bytes of a sockaddr; known ones cost a look into a dictionary."""
        address = self._addresses.get(key)
        if address is None:
            if isinstance(key, int):
                _, port, host = struct.unpack("!HH4s", key.to_bytes(8, sys.byteorder))
                address = socket.inet_ntop(socket.AF_INET, host), port
            else:
                assert isinstance(key, bytes)
                _, port, _, host = struct.unpack_from("!HHI16s", key)
                address = socket.inet_ntop(socket.AF_INET6, host), port
            if len(self._addresses) >= _ADDRESSES:
                self._addresses.clear()
            self._addresses[key] = address
        return address


@lru_cache(maxsize=1024)
def _even(size: int, count: int) -> NDArray[np.int64]:
    """The boundaries of *count* datagrams of one size: the same few again and again for slow channels."""
    offsets = np.arange(0, (count + 1) * size, size, dtype=np.int64)
    offsets.flags.writeable = False
    return offsets


def boundaries(lengths: list[int], segments: list[int]) -> NDArray[np.int64]:
    """Where each datagram begins, and where the last one ends, of trains laid end to end.

    Args:
        lengths: of the trains, in bytes; a datagram that came alone is a train of one.
        segments: size of the datagrams of each train; only its last one may be shorter.

    Returns:
        int64, shape (datagrams + 1,).
    """
    segment, trains = segments[0], len(lengths)
    if segments is lengths and segment and trains <= _FEW and lengths.count(segment) == trains:
        return _even(segment, trains)  # the usual case of slow channels
    total = sum(lengths)
    full = segment and segments.count(segment) == trains
    if full and total <= segment * _FEW and not any(size % segment for size in lengths):
        return _even(segment, total // segment)
    if full and (lengths.count(segment) == trains or all(not size % segment for size in lengths[:-1])):
        offsets = np.arange(0, total + segment, segment, dtype=np.int64)
        offsets[-1] = total
        return offsets
    if segments == lengths:
        return np.array([0, *accumulate(lengths)], np.int64)
    steps = np.array(segments, np.int64)
    counts = np.maximum(-(-np.array(lengths) // np.maximum(steps, 1)), 1)
    lasts = np.cumsum(counts) - 1
    sizes = np.repeat(steps, counts)
    sizes[lasts] = lengths - steps * (counts - 1)
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


class Outbox:
    """Headers for sendmmsg: one outbox serves all the senders of a thread."""

    def __init__(self) -> None:
        self._head = _Memory(SLOTS * (ctypes.sizeof(_Mmsghdr) + ctypes.sizeof(_Iovec)) + _NAME_BYTES)
        headers, end = _wire(self._head, SLOTS)
        iovecs = self._head.bytes[headers.nbytes : end].view(np.dtype(_Iovec))
        self._bases, self._sizes = iovecs["base"], iovecs["len"]
        self._name = self._head.view[end : end + _SOCKADDR_IN.size]
        headers["hdr"]["name"] = self._head.base + end
        headers["hdr"]["namelen"] = _SOCKADDR_IN.size

    def send(self, fd: int, data: bytes, offsets: NDArray[np.int64], address: tuple[str, int]) -> int:
        """Send the first datagrams of *data*, as many as one call takes; how many those were, at least one.

        Args:
            data: holds the datagrams.
            offsets: where each begins in *data*, and where the last one ends, int64, shape (datagrams + 1,).
            address: IPv4.

        Raises:
            OSError: not even the first was taken.
        """
        count = min(len(offsets) - 1, SLOTS)
        self._name[:] = sockaddr(address)
        start = np.frombuffer(data, np.uint8).__array_interface__["data"][0] if data else 0
        np.add(offsets[:count], start, out=self._bases[:count], casting="unsafe")
        np.subtract(offsets[1 : count + 1], offsets[:count], out=self._sizes[:count], casting="unsafe")
        sent: int = _sendmmsg(fd, self._head.base, count, socket.MSG_DONTWAIT)
        if sent < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return sent


@lru_cache(maxsize=256)
def sockaddr(address: tuple[str, int]) -> bytes:
    """An IPv4 address as the kernel wants it."""
    host, port = address
    return _SOCKADDR_IN.pack(socket.AF_INET.to_bytes(2, sys.byteorder), port, socket.inet_aton(host))


class _Boxes(threading.local):
    """One inbox and one outbox a thread, made when first used: 8 MiB, resident as far as touched."""

    @cached_property
    def inbox(self) -> Inbox:
        return Inbox()

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox()


boxes = _Boxes()


def ask_for_trains(sock: socket.socket) -> bool:
    """Take trains whole from now on (UDP_GRO); whether the kernel can."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    except OSError:
        return False
    return True


def sends_trains(sock: socket.socket) -> bool:
    """Whether the kernel knows UDP_SEGMENT: one before 4.18 would send a train as one huge datagram."""
    try:
        sock.getsockopt(socket.IPPROTO_UDP, UDP_SEGMENT)
    except OSError:
        return False
    return True


def drops(sock: socket.socket) -> int:
    """Datagrams that the kernel gave up for want of room in the receive buffer, modulo 2**32."""
    try:
        counters = _MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size))
    except (OSError, struct.error):
        return 0
    return int(counters[_MEMINFO_DROPS])
