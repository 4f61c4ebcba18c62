"""The discovery group, where relays and sources say what they serve, and anyone may ask."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Self

from speeddata.names import DISCOVERY
from speeddata.wire import announcement, sockets
from speeddata.wire.announcement import ANY_CHANNEL, ROLE_QUERY, Announcement

if TYPE_CHECKING:
    from speeddata.interrupts import Stop
    from speeddata.wire.interfaces import Interface

_BUFFER_BYTES = 4 << 20
_DATAGRAMS = 512  # a call, so that a flood does not keep us here
_SCHEMA_OF_NOTHING = '"null"'

log = logging.getLogger(__name__)

Heard = tuple[Announcement, tuple[str, int]]


class Discovery:
    """Hears every announcement on some interfaces, and asks for them; remembers none.

    Args:
        interfaces: to listen on.
        asking: to ask by, each from a socket of its own; by default the loopback among *interfaces*, and all
            of them where it is not: nothing leaves the machine unasked.
        stop: ends `listen` early.

    Raises:
        HostError: the discovery group cannot be joined.
    """

    def __init__(
        self,
        interfaces: Sequence[Interface],
        asking: Sequence[Interface] | None = None,
        *,
        stop: Stop | None = None,
    ) -> None:
        self._asking = asking or [one for one in interfaces if one.loopback] or interfaces
        self._stop = stop
        self._session = announcement.new_session()
        self._heard: deque[Heard] = deque()
        self._deaf_to: frozenset[tuple[str, int]] = frozenset()
        self._askers: list[socket.socket] = []
        self._sock = sockets.listen(DISCOVERY, interfaces=interfaces, buffer_bytes=_BUFFER_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def query(self, channel: str = ANY_CHANNEL) -> None:
        """Ask for *channel*: relays that serve it answer at once, to the group. A lost question is no error.

        Raises:
            HostError: an interface cannot be sent by.
        """
        if not self._askers:
            self._askers = sockets.group_sockets(self._asking, ttl=1)
        question = announcement.encode(Announcement(ROLE_QUERY, channel, self._session, _SCHEMA_OF_NOTHING))
        for asker in self._askers:
            try:
                asker.sendto(question, DISCOVERY.address)
            except OSError as exc:
                log.debug("cannot ask by %s: %s", asker.getsockname()[0], exc.strerror)

    def ignore(self, addresses: Iterable[tuple[str, int]]) -> None:
        """Do not hear what comes from *addresses*: one's own words, for a relay, several a second."""
        self._deaf_to = frozenset(addresses)

    def receive(self) -> list[Heard]:
        """Announcements that wait, with the addresses that they came from; never waits, ignores all else."""
        self._take()
        heard = list(self._heard)
        self._heard.clear()
        return heard

    def listen(self, seconds: float) -> Iterator[Heard]:
        """Announcements as they come, for so many seconds, or until asked to stop.

        What was heard and not yet handed out when the caller leaves early is kept for the next call.
        """
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        if self._stop is not None:
            poll.register(self._stop.fd, select.POLLIN)
        while not (self._stop is not None and self._stop.wait(0)):
            while self._heard:
                yield self._heard.popleft()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            poll.poll(left * 1000)
            self._take()

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_DATAGRAMS):
                datagram, (host, port) = self._sock.recvfrom(1 << 16)
                if (host, port) in self._deaf_to:
                    continue
                said = announcement.parse(datagram)
                if said is not None and not (said.role == ROLE_QUERY and said.session == self._session):
                    self._heard.append((said, (host, port)))

    def fileno(self) -> int:
        """For select and poll: readable when something waits at the socket."""
        return self._sock.fileno()

    def close(self) -> None:
        """Leave the group."""
        for sock in (self._sock, *self._askers):
            sock.close()
