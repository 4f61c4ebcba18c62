"""A channel as it arrives: received in a thread of its own, handed on in order.

The thread does nothing but receive, so that a slow consumer costs datums only when the `Spool` between them
is full; those are counted, never lost in silence.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from speeddata.avro.schema import Schema
from speeddata.avro.schema import parse as parse_schema
from speeddata.batch import Batch
from speeddata.errors import SpeedDataError, UsageError
from speeddata.interrupts import Stop
from speeddata.names import Endpoint
from speeddata.spool import Spool
from speeddata.thinning import Thinning
from speeddata.wire import interfaces, sockets
from speeddata.wire.announcement import MAGIC, ROLE_RELAY, ROLE_SOURCE, Announcement
from speeddata.wire.datagrams import Receiver
from speeddata.wire.discovery import Discovery
from speeddata.wire.finding import Found, by_endpoint, by_name
from speeddata.wire.following import Following
from speeddata.wire.sessions import Address, Event, Roster, split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from speeddata.wire.interfaces import Interface

_GATHER_S = 0.001
_LOOK_UP_MS = 500  # while nothing arrives
_SPOOL_BYTES = 64 << 20
_BATCH_BYTES = 500  # what a batch costs beside its datums


class LiveChannel:
    """Datums of one channel as they arrive; iterating yields batches until asked to stop.

    Args:
        source: a channel's name, an endpoint, or what `finding` found.
        stop: ends the reception; what has arrived is still handed out.
        schema: of the datums, where nobody announces it; then *source* is an endpoint.
        on: interfaces by name or address; empty for loopback and every multicast interface.
        decimated: of a name, the thin group.

    Attributes:
        dropped: datums given up since the consumer was too slow.
        dropped_kernel: datagrams, or trains of them, that the kernel gave up for the same reason.
    """

    def __init__(
        self,
        source: str | Endpoint | Found,
        stop: Stop,
        *,
        schema: Schema | None = None,
        on: Sequence[str] = (),
        decimated: bool = False,
        time_unit: str | None = None,
    ) -> None:
        self._on: list[Interface] = interfaces.receiving(on)
        self._asking = interfaces.sending(on)
        self._stop, self._quit = stop, Stop()
        self._time_unit, self._decimated = time_unit, decimated
        self._spool: Spool[Batch] = Spool(_SPOOL_BYTES)
        self._failure: SpeedDataError | None = None
        self._roster = Roster()
        self._schemas: dict[Address, Schema] = {}
        self._stack = ExitStack()
        self._discovery: Discovery | None = None
        self._following: Following | None = None  # where somebody announces it to the discovery group
        self.dropped = self.dropped_kernel = 0
        self.schema = schema
        self.channel = source if isinstance(source, str) else ""
        self._endpoint = source if isinstance(source, Endpoint) else None
        if isinstance(source, Found):
            self._take(source)
        self._thread = threading.Thread(target=self._receive, name="live", daemon=True)

    def __enter__(self) -> Self:
        """Find the channel and begin to receive.

        Raises:
            PeerError, UsageError: as `by_name`.
            HostError: the endpoint cannot be listened on.
        """
        by_group = self._endpoint is not None and self._endpoint.is_group and self.schema is None
        if self._endpoint is None or by_group or self._following is not None:
            self._discovery = self._stack.enter_context(Discovery(self._on, self._asking, stop=self._stop))
            if not self._find(self._discovery):
                self._spool.close()
                return self
        assert self._endpoint is not None
        self._receiver = Receiver(sockets.listen(self._endpoint, interfaces=self._on))
        self._stack.callback(self._receiver.close)
        if self._following is not None:
            self._receiver.connect(self._following.found.address)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._quit.ask()
        if self._thread.is_alive():
            self._thread.join()
        self._stack.close()

    def __iter__(self) -> Iterator[Batch]:
        yield from self._spool
        if self._failure is not None:
            raise self._failure

    @property
    def thinning(self) -> Thinning:
        """What the relay says of the group, once that is found."""
        return Thinning() if self._following is None else self._following.thinning

    @property
    def ended(self) -> bool:
        """Whether its source said goodbye: nothing comes until it begins again."""
        return self._following is not None and self._following.ended

    def _find(self, discovery: Discovery) -> bool:
        """Find what is not found yet; False when asked to stop meanwhile."""
        if self._following is not None:
            return True
        if self._endpoint is None:
            found = by_name(discovery, self.channel, self._stop, decimated=self._decimated)
        else:
            found = by_endpoint(discovery, self._endpoint, self._stop)
        if found is not None:
            self._take(found)
        return found is not None

    def _take(self, found: Found) -> None:
        following = Following(found, time.monotonic_ns(), time_unit=self._time_unit)
        self._following, self._endpoint = following, found.endpoint
        self.channel, self.schema = following.channel, following.schema

    def _receive(self) -> None:
        """The thread: everything that arrives goes into the spool, until the end."""
        try:
            self._receive_until_the_end()
        except SpeedDataError as exc:
            self._failure = exc
        finally:
            self._spool.close()

    def _receive_until_the_end(self) -> None:
        poll = select.poll()
        for fd in (self._stop.fd, self._quit.fd, self._receiver.fileno()):
            poll.register(fd, select.POLLIN)
        if self._discovery is not None:
            poll.register(self._discovery.fileno(), select.POLLIN)
        while not (self._stop.asked or self._quit.asked):
            ready = poll.poll(_LOOK_UP_MS)
            self._listen()
            if any(fd == self._receiver.fileno() for fd, _ in ready):
                self._drain()
                # A wake-up for each datum would cost more than the work: the next ones gather meanwhile.
                self._quit.wait(_GATHER_S)
            self._roster.expire(time.monotonic_ns())
        self._drain()
        self.dropped_kernel = self._receiver.drops()

    def _listen(self) -> None:
        if self._discovery is not None:
            for said, address in self._discovery.receive():
                self._heard(said, address)

    def _drain(self) -> None:
        while arrivals := self._receiver.receive():
            self._listen()  # a relay says that the schema is new before the first datum that needs it
            now_ns = time.monotonic_ns()
            for address, data, offsets in arrivals:
                if self._following is not None:
                    for batch in self._following.batches(data, offsets, now_ns):
                        self._hand_on(batch)
                elif MAGIC in data:
                    self._arrived_with_announcements(address, data, offsets, now_ns)
                else:
                    self._arrived(address, data, offsets, now_ns)
            if not self._receiver.more:
                break
        if self._following is not None:
            self._following.settle()

    def _arrived(self, address: Address, data: bytes, offsets: NDArray[np.int64], now_ns: int) -> None:
        schema = self.schema or self._schemas.get(address)
        if schema is None:
            self._roster.hold(address, data, offsets, now_ns)
        else:
            self._hand_on(Batch(schema, data, len(offsets) - 1, offsets))

    def _hand_on(self, batch: Batch) -> None:
        assert batch.offsets is not None
        if not self._spool.put(batch, len(batch.data) + batch.offsets.nbytes + _BATCH_BYTES):
            self.dropped += batch.count

    def _arrived_with_announcements(
        self, address: Address, data: bytes, offsets: NDArray[np.int64], now_ns: int
    ) -> None:
        for piece in split(data, offsets):
            if isinstance(piece, Announcement):
                self._introduced(piece, address, now_ns)
            else:
                self._arrived(address, *piece, now_ns)

    def _introduced(self, said: Announcement, address: Address, now_ns: int) -> None:
        """A source that sends straight to us says who it is."""
        if said.role != ROLE_SOURCE:
            return
        if self.channel and said.channel.lower() != self.channel.lower():
            both = f"{self.channel} and {said.channel}"
            raise UsageError(
                f"two channels arrive: {both}",
                where=str(self._endpoint),
                mend="use a relay to tell them apart",
            )
        event, _ = self._roster.announce(said, address, now_ns)
        if event is Event.BEGUN:
            self.channel = said.channel
            if self.schema is None:
                where = f"announced by {address[0]}:{address[1]}"
                self._schemas[address] = parse_schema(
                    said.schema_text, where=where, time_unit=self._time_unit
                )
            for held in self._roster.release(address):
                self._arrived(address, held.data, held.offsets, now_ns)

    def _heard(self, said: Announcement, address: Address) -> None:
        """Another word about our channel: its schema may be new, or its relay."""
        following = self._following
        assert following is not None
        if said.role not in (ROLE_RELAY, ROLE_SOURCE) or said.channel.lower() != self.channel.lower():
            return
        now_ns, here = time.monotonic_ns(), following.found.endpoint
        if address != following.found.address:
            endpoint = said.endpoint("decimated" if following.thin else "full")
            if not following.gone(now_ns) or endpoint != here:
                return
            self._receiver.connect(address)
        following.heard(Found(said, address, here), now_ns)
        self.schema = following.schema
