"""Datagrams in numbers: what waits at a socket in one go, and many datums out in one go.

On Linux through `linux_datagrams`: hardly any Python a datagram, and trains wherever sizes are equal.
Elsewhere the plain way, a system call a datagram, with the same results.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import select
import socket
import struct
import time
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from speeddata.wire import linux_datagrams as linux
from speeddata.wire.linux_datagrams import Arrival
from speeddata.wire.sockets import buffer_bytes, buffer_note, group_sockets, listen, unicast_socket

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = (
    "MAX_DATUM", "Arrival", "Receiver", "Sender", "buffer_note", "group_sockets", "listen", "unicast_socket",
)  # fmt: skip

MAX_DATUM = 65_507  # IPv4: 65,535 less two headers

_BYTES = 4 << 20  # a call of `Receiver.receive` takes about so much
_PLAIN_DATAGRAMS = 512  # of a call, the plain way
_FIRST_SLOTS, _LEAST_SLOTS = 128, 64
_TRAIN_SEGMENTS = 64  # UDP_MAX_SEGMENTS of the kernels before 6.9
_BY_HAND = 16  # up to so many sizes are sooner looked at without NumPy
_LONG_RUN = 3  # from so many equal sizes on; a train costs 8 us to send, a datagram of sendmmsg 3 to 4
_FEW = 3  # up to so many, a sendto each is quicker than preparing one sendmmsg
_STUCK_S = 5.0  # without one datagram leaving
# What ICMP brings back belongs to an earlier datagram, and to the peer: nothing is wrong with the socket.
_ECHOES = frozenset(
    (errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)
)
_FULL = frozenset((errno.EAGAIN, errno.ENOBUFS))
# The kernel sends no train of this size here: too large for the interface, or it computes no checksums.
_NO_TRAIN = frozenset((errno.EINVAL, errno.EMSGSIZE, errno.EIO, errno.EOPNOTSUPP))

log = logging.getLogger(__name__)


class Receiver:
    """Takes what waits at a socket.

    Args:
        sock: bound, as `listen` makes it; the receiver owns it from now on.
        coalesced: let the kernel hand over trains of datagrams whole; they come out as single ones.
        native: False takes the plain way even where there is a better one.

    Attributes:
        more: the last `receive` stopped at its bound, so that more may wait.
        buffer_bytes: size of the receive buffer, in the bytes that one asks for.
    """

    def __init__(self, sock: socket.socket, *, coalesced: bool = True, native: bool = True) -> None:
        sock.setblocking(False)
        self._sock, self._family = sock, sock.family
        self._native = native and linux.AVAILABLE
        self._trains = self._native and coalesced and linux.ask_for_trains(sock)
        self._slots = min(linux.SLOTS, _FIRST_SLOTS)
        self._drops = linux.drops(sock) if linux.AVAILABLE else 0
        self._drops_before = -self._drops
        self.more = False
        self.buffer_bytes = buffer_bytes(sock)

    def receive(self) -> list[Arrival]:
        """Take what waits, without waiting: at most about 4 MiB, and [] when it is nothing.

        Returns:
            One `Arrival` for each address, ordered by their first datagrams.

        Raises:
            OSError: the socket is broken or closed.
        """
        take = self._receive_native if self._native else self._receive_plain
        for _ in range(8):  # errors of the peer that may stand before the datagrams
            try:
                return take()
            except BlockingIOError:
                break
            except OSError as exc:
                if exc.errno not in _ECHOES and exc.errno != errno.EINTR:
                    raise
        self.more = False
        return []

    def _receive_native(self) -> list[Arrival]:
        arrivals, slots = linux.boxes.inbox.receive(self._sock.fileno(), self._family, self._slots)
        self.more = slots == self._slots
        # Trains and large datagrams reach 64 KiB each. What comes next will be as large as what came.
        size = sum(len(arrival.data) for arrival in arrivals) // slots
        self._slots = min(linux.SLOTS, max(_LEAST_SLOTS, _BYTES // max(size, 1)))
        return arrivals

    def _receive_plain(self) -> list[Arrival]:
        pieces: dict[tuple[str, int], list[bytes]] = {}
        total = count = 0
        with contextlib.suppress(BlockingIOError):
            while count < _PLAIN_DATAGRAMS and total < _BYTES:
                try:
                    data, address = self._sock.recvfrom(1 << 16)
                except OSError as exc:
                    if exc.errno in _ECHOES and count:
                        continue
                    raise
                pieces.setdefault((address[0].partition("%")[0], address[1]), []).append(data)
                count += 1
                total += len(data)
        self.more = count == _PLAIN_DATAGRAMS or total >= _BYTES
        arrivals = []
        for address, datums in pieces.items():
            sizes = [len(datum) for datum in datums]
            arrivals.append(Arrival(address, b"".join(datums), linux.boundaries(sizes, sizes)))
        return arrivals

    def connect(self, address: tuple[str, int]) -> None:
        """Let the kernel drop what comes from any other address; what waits already still comes out."""
        self._sock.connect(address)

    def drops(self) -> int:
        """Datagrams that the kernel gave up so far, for want of room; 0 where it does not count.

        A train that came whole and found no room counts once (measured on Linux 6.18): the exact loss is
        known from what the source says it sent, and this number only says that it happened here.
        """
        if not linux.AVAILABLE:
            return 0
        now = linux.drops(self._sock)
        if now < self._drops:  # the kernel counts in 32 bits
            self._drops_before += 1 << 32
        self._drops = now
        return self._drops_before + now

    def fileno(self) -> int:
        """For select and poll; -1 once closed."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


class Sender:
    """Sends datums, one a datagram, by each of its sockets.

    Args:
        sockets: one an interface, as `group_sockets` makes them, or one for unicast; the sender owns them.
        wait: wait while the system is busy, and raise what it says, as a source wants. Otherwise what cannot
            leave at once does not leave: it is counted and, once for each kind of trouble, logged.
        segmented: send runs of equal sizes as trains, which the kernel cuts (UDP_SEGMENT).
        native: False takes the plain way even where there is a better one.

    Attributes:
        unsent: datagrams that did not leave, over all sockets.
        refusals: how often the system said, to a datagram, that nobody took an earlier one.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        *,
        wait: bool = False,
        segmented: bool = True,
        native: bool = True,
    ) -> None:
        self._native = native and linux.AVAILABLE
        self._outlets = [_Outlet(sock, wait, self._native, segmented and self._native) for sock in sockets]

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where the datagrams come from by socket; an unbound one has port 0 before the first leaves."""
        return [outlet.address for outlet in self._outlets]

    @property
    def unsent(self) -> int:
        return sum(outlet.unsent for outlet in self._outlets)

    @property
    def refusals(self) -> int:
        return sum(outlet.refusals for outlet in self._outlets)

    def send(self, data: bytes, offsets: NDArray[np.int64], address: tuple[str, int]) -> int:
        """Send datagrams to *address*, in order.

        Args:
            data: holds the datagrams.
            offsets: datagram i is data[offsets[i] : offsets[i + 1]], int64, shape (datagrams + 1,).
            address: host and port.

        Returns:
            How many the kernel took, summed over the sockets.

        Raises:
            OSError: the system refuses (only a sender that waits).
        """
        if len(offsets) == 2:
            start, end = offsets.tolist()
            return self.send_one(data[start:end], address)
        runs = _runs(offsets) if self._native else [_Run(0, len(offsets) - 1, 0)]
        sent = 0
        for outlet in self._outlets:
            sent += outlet.send(data, offsets, runs, address)
        return sent

    def send_one(self, datagram: bytes, address: tuple[str, int]) -> int:
        """Send one datagram; otherwise as `send`."""
        sent = 0
        for outlet in self._outlets:
            sent += outlet.send_one(datagram, address)
        return sent

    def close(self) -> None:
        """Close the sockets."""
        for outlet in self._outlets:
            outlet.close()


class _Run(NamedTuple):
    """Datagrams *first* to *last* (exclusive) that go one way: in trains of *size*, or singly if it is 0."""

    first: int
    last: int
    size: int


def _runs(offsets: NDArray[np.int64]) -> Sequence[_Run]:
    """Part datagrams into what can go in trains and what goes singly."""
    count = len(offsets) - 1
    if 2 <= count <= _BY_HAND:
        bounds = offsets.tolist()
        size = bounds[1] - bounds[0]
        if 0 < size <= MAX_DATUM // 2 and bounds == [*range(bounds[0], bounds[-1] + 1, size)]:
            return _one_run(count, size)
    return list(_parted(offsets, count))


@lru_cache(maxsize=1024)
def _one_run(count: int, size: int) -> Sequence[_Run]:
    """What slow channels send again and again."""
    return (_Run(0, count, size),)


def _parted(offsets: NDArray[np.int64], count: int) -> Iterator[_Run]:
    if count < 2:
        yield _Run(0, count, 0)
        return
    sizes = offsets[1:] - offsets[:-1]
    size = int(sizes[0])
    # The last datagram of a train may be shorter.
    if 0 < int(sizes[-1]) <= size <= MAX_DATUM // 2 and not np.count_nonzero(sizes[1:-1] != size):
        yield _Run(0, count, size)
        return
    bounds = np.concatenate(([0], np.flatnonzero(sizes[1:] != sizes[:-1]) + 1, [count]))
    first = 0  # of what is not handed out yet
    for index in np.flatnonzero(bounds[1:] - bounds[:-1] >= _LONG_RUN).tolist():
        start, end = max(int(bounds[index]), first), int(bounds[index + 1])
        size = int(sizes[start])
        if not 0 < size <= MAX_DATUM // 2:
            continue
        if first < start:
            yield _Run(first, start, 0)
        first = end + 1 if end < count and 0 < sizes[end] < size else end
        yield _Run(start, first, size)
    if first < count:
        yield _Run(first, count, 0)


@lru_cache(maxsize=1024)
def _segmented(size: int) -> list[tuple[int, int, bytes]]:
    """The ancillary data of a train of datagrams of *size*."""
    return [(socket.IPPROTO_UDP, linux.UDP_SEGMENT, struct.pack("=H", size))]


class _Outlet:
    """One socket to send by, and what was learnt about it."""

    def __init__(self, sock: socket.socket, wait: bool, native: bool, segmented: bool) -> None:
        self.unsent = self.refusals = 0
        sock.setblocking(False)
        self._sock, self._wait = sock, wait
        self._many = native and sock.family == socket.AF_INET
        self._segmented = segmented and linux.sends_trains(sock)
        self._train_limit: dict[tuple[str, int], int] = {}  # from this size on no trains go to an address
        self._told: set[int] = set()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._sock.getsockname()[:2]
        return host, port

    def close(self) -> None:
        self._sock.close()

    def send(
        self, data: bytes, offsets: NDArray[np.int64], runs: Sequence[_Run], address: tuple[str, int]
    ) -> int:
        sent = 0
        for first, last, size in runs:
            if size and self._segmented and size < self._train_limit.get(address, MAX_DATUM):
                sent += self._trains(data, offsets, first, last, size, address)
            else:
                sent += self._singly(data, offsets, first, last, address)
        return sent

    def send_one(self, datagram: bytes, address: tuple[str, int]) -> int:
        began = 0.0
        while True:
            try:
                self._sock.sendto(datagram, address)
                return 1
            except OSError as exc:
                began = began or time.monotonic()
                if not self._again(exc, began):
                    return self._given_up(exc, 1, address)

    def _trains(
        self,
        data: bytes,
        offsets: NDArray[np.int64],
        first: int,
        last: int,
        size: int,
        address: tuple[str, int],
    ) -> int:
        view, sent, began = memoryview(data), 0, 0.0
        length = min(_TRAIN_SEGMENTS, MAX_DATUM // size)
        control = _segmented(size)
        start = first
        while start < last:
            end = min(start + length, last)
            try:
                self._sock.sendmsg([view[offsets.item(start) : offsets.item(end)]], control, 0, address)
                sent, start, began = sent + end - start, end, 0.0
            except OSError as exc:
                if exc.errno in _NO_TRAIN:
                    log.debug("%s: no trains of %d bytes: %s", address, size, exc.strerror)
                    self._train_limit[address] = size
                    return sent + self._singly(data, offsets, start, last, address)
                began = began or time.monotonic()
                if not self._again(exc, began):
                    return sent + self._given_up(exc, last - start, address)
        return sent

    def _singly(
        self, data: bytes, offsets: NDArray[np.int64], first: int, last: int, address: tuple[str, int]
    ) -> int:
        view, sent, began = memoryview(data), 0, 0.0
        many = self._many and last - first > _FEW
        start = first
        while start < last:
            try:
                if many:
                    took = linux.boxes.outbox.send(
                        self._sock.fileno(), data, offsets[start : last + 1], address
                    )
                else:
                    self._sock.sendto(view[offsets[start] : offsets[start + 1]], address)
                    took = 1
                sent, start, began = sent + took, start + took, 0.0
            except OSError as exc:
                began = began or time.monotonic()
                if self._again(exc, began):
                    continue
                if exc.errno != errno.EMSGSIZE:
                    return sent + self._given_up(exc, last - start, address)
                self._given_up(exc, 1, address)  # this one is too large; the next may not be
                start += 1
        return sent

    def _again(self, exc: OSError, began: float) -> bool:
        """Whether to try once more, after waiting for room where that is wanted."""
        if exc.errno == errno.EINTR:
            return True
        left = _STUCK_S + began - time.monotonic()
        if exc.errno == errno.ECONNREFUSED:  # nobody took an earlier datagram; that is said, and over
            self.refusals += 1
            return left > 0
        if exc.errno not in _FULL or not self._wait or left <= 0:
            return False
        if exc.errno == errno.ENOBUFS:  # the queue of the interface is full, of which no poll knows
            time.sleep(0.001)
        else:
            poll = select.poll()
            poll.register(self._sock, select.POLLOUT)
            poll.poll(left * 1000)
        return True

    def _given_up(self, exc: OSError, count: int, address: tuple[str, int]) -> int:
        """Count datagrams that do not leave; none of them were sent."""
        if self._wait:
            raise exc
        self.unsent += count
        if exc.errno not in self._told:
            self._told.add(exc.errno or 0)
            log.warning("%s:%d: cannot send by %s: %s", *address, self.address[0], exc.strerror)
        return 0
