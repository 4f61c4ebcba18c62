"""A source: datums to one endpoint, each when it is due, and the announcements that say whose they are."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from speeddata.avro import codec
from speeddata.errors import DataError, HostError
from speeddata.names import DISCOVERY, Endpoint
from speeddata.sending.pacing import ByAbscissa, ByRate
from speeddata.wire import announcement, interfaces, sockets
from speeddata.wire.announcement import Announcement
from speeddata.wire.datagrams import MAX_DATUM, Sender

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speeddata.avro.schema import Schema
    from speeddata.batch import Batch
    from speeddata.interrupts import Stop

ANNOUNCE_EVERY_S = 1.0
LATE_NS = (
    1_000_000_000  # an input later than this begins its pace anew: not everything is made up for at once
)
HEARD_S = 3.0  # so long without a refusal, announcements included: somebody listens
GOODBYES = 3  # the end is said so often, since nobody acknowledges it

log = logging.getLogger(__name__)


class SourceSender:
    """Sends datums, and announces them from the same socket: before the first, every second, and at the end.

    The announcements tell how many datums were sent before them, which is how a relay knows exactly what
    was lost. Used as a context manager; leaving it says goodbye.

    Args:
        endpoint: where to. When it is a group, the announcements go to the discovery group and name it.
        name: of the channel; None announces nothing (a bare sender).
        schema: of the datums.
        on: interfaces by name or address for what goes to groups; empty for loopback.
        ttl: time to live of what goes to groups.
    """

    def __init__(
        self, endpoint: Endpoint, *, name: str | None, schema: Schema, on: Sequence[str] = (), ttl: int = 1
    ) -> None:
        self.endpoint, self.name, self.schema = endpoint, name, schema
        self.sent = 0
        self._refusable: socket.socket | None = None  # learns whether anybody listens
        self._refusals = 0  # that the sender met itself
        self._refused_s: float | None = None  # the last one; None: somebody listens, as far as is known
        self._fields: dict[str, str] = {}
        self._announce_to = endpoint.address
        if endpoint.is_group:
            outward = sockets.group_sockets(interfaces.sending(on), ttl)
            self._announce_to = DISCOVERY.address
            self._fields["full"] = str(endpoint)
        else:
            outward = [sockets.unicast_socket(endpoint)]
            if sys.platform == "linux":
                self._refusable = outward[0]
                with contextlib.suppress(OSError):  # the first datagram tells it
                    self._refusable.connect(endpoint.address)
        self._sender = Sender(outward, wait=True)
        self._session = announcement.new_session()
        self._turn = (
            threading.Lock()
        )  # datums and announcements leave in one order, which the count relies on
        self._over = threading.Event()
        self._announcer = threading.Thread(target=self._keep_announcing, name="announcer", daemon=True)

    def __enter__(self) -> Self:
        if self.name is not None:
            self._announce(announcement.LIVE)
            self._announcer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        if self.name is not None:
            self._announcer.join()
            for _ in range(GOODBYES):
                self._announce(announcement.END)
        self._sender.close()

    def send(self, batch: Batch) -> None:
        """Send the datums of *batch*, one a datagram; its offsets must be known.

        Raises:
            DataError: one is too large for a datagram.
            HostError: the system does not send to this endpoint.
        """
        assert batch.offsets is not None
        if (
            len(batch.data) > MAX_DATUM
            and (largest := int((batch.offsets[1:] - batch.offsets[:-1]).max())) > MAX_DATUM
        ):
            raise DataError(
                f"datum of {largest} bytes after the first {self.sent}; a datagram holds {MAX_DATUM}",
                where=self.name or str(self.endpoint),
            )
        with self._turn:
            self._tell_refusal()
            try:
                self._sender.send(batch.data, batch.offsets, self.endpoint.address)
            except OSError as exc:
                raise self._refused("cannot send", exc) from exc
            self.sent += batch.count

    def _announce(self, state: str) -> None:
        assert self.name is not None
        with self._turn:
            fields = {**self._fields, "sent": str(self.sent), "state": state}
            text = Announcement(announcement.ROLE_SOURCE, self.name, self._session, self.schema.text, fields)
            self._tell_refusal()
            try:
                self._sender.send_one(announcement.encode(text), self._announce_to)
            except OSError as exc:
                raise self._refused("cannot announce", exc) from exc

    def _refused(self, what: str, exc: OSError) -> HostError:
        unreachable = exc.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH)
        mend = "bring up a network that leads there, or send elsewhere (--to)" if unreachable else ""
        return HostError(f"{what}: {exc.strerror}", where=str(self.endpoint), mend=mend)

    def _tell_refusal(self) -> None:
        """Say that nobody listens, where the system told so of an earlier datagram; and when that is over."""
        if self._refusable is None:
            return
        error = self._refusable.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        refusals = self._sender.refusals
        if error == errno.ECONNREFUSED or refusals != self._refusals:
            self._refusals = refusals
            if self._refused_s is None:
                log.warning(
                    "%s: nobody listens there; what is sent is lost until a relay does", self.endpoint
                )
            self._refused_s = time.monotonic()
        elif self._refused_s is not None and time.monotonic() - self._refused_s >= HEARD_S:
            log.warning("%s: somebody listens there now", self.endpoint)
            self._refused_s = None

    def _keep_announcing(self) -> None:
        while not self._over.wait(ANNOUNCE_EVERY_S):
            try:
                self._announce(announcement.LIVE)
            except HostError:
                continue  # the sending of datums tells it, if it lasts


def on_time(
    batches: Iterable[Batch], pace: ByRate | ByAbscissa, stop: Stop, *, late_ns: int = LATE_NS
) -> Iterator[Batch]:
    """Cut batches into bursts and hand out each when it is due, until asked to stop.

    The pace begins with the first batch: for an input that was silent before nothing is made up.
    """
    start_ns: int | None = None
    for batch in batches:
        if start_ns is None:
            start_ns = time.monotonic_ns()
        bursts = pace.bursts(batch.count) if isinstance(pace, ByRate) else pace.bursts(codec.abscissa(batch))
        for first, end, due_ns in bursts:
            wait_ns = start_ns + due_ns - time.monotonic_ns()
            if wait_ns < -late_ns:
                start_ns -= wait_ns
            if stop.wait(max(0, wait_ns) / 1e9):
                return
            yield batch.part(first, end)
