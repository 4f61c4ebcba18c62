"""The relay's loop: ports and groups in, channels out, and what is due when.

One thread receives and re-serves; the recorder's own thread writes. Datums are gathered for three to four
milliseconds before they are fetched, since a wake-up for each would cost more than the work.
"""

from __future__ import annotations

import ipaddress
import itertools
import logging
import select
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from speeddata.errors import UsageError
from speeddata.names import DISCOVERY, Endpoint
from speeddata.relay.channels import SECOND_NS, Channels
from speeddata.relay.hearing import LAST_FETCH_NS, Hearing
from speeddata.relay.once import Once
from speeddata.relay.serving import Allowed, Outlets, Port, Status
from speeddata.relay.serving import FixedChannel as FixedChannel
from speeddata.wire import interfaces, sockets
from speeddata.wire.announcement import END, ROLE_QUERY
from speeddata.wire.datagrams import Receiver, Sender
from speeddata.wire.discovery import Discovery, Heard
from speeddata.wire.sessions import Address

if TYPE_CHECKING:
    from speeddata.interrupts import Stop
    from speeddata.recording.recorder import Recorder

GATHER_NS = 3_000_000  # 99 % then leave within 4 ms
# A fetch costs 30 us an address, however few datums each has sent: the more there are, the longer it waits.
GATHER_ADDRESS_NS, MOST_GATHER_NS = 150_000, 4_250_000
ASK_S = 0.15  # at the start, for what others serve: they answer ten times a second
_MOST_TOLD = 1024


class Relay:
    """Records every datum and re-serves it.

    Args:
        fixed: channels that the user names.
        listen: the port for announced sources; None for none.
        factor, method: of the decimation of channels that fix none.
        recorder: None records nothing.
        on: interfaces by name or address; empty: send on loopback, join groups on all.
        ttl: of what is sent to groups.
        allow: networks whose sources are heard; empty: those directly connected, and loopback.

    Raises:
        HostError: a port is in use, an interface is not there.
        UsageError: two channels would share an endpoint.
    """

    def __init__(
        self,
        fixed: Sequence[FixedChannel],
        *,
        listen: Endpoint | None,
        factor: int,
        recorder: Recorder | None,
        method: str = "pick",
        on: Sequence[str] = (),
        ttl: int = 1,
        allow: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = (),
    ) -> None:
        self._recorder, self._once = recorder, Once()
        by_name = {channel.name.lower(): channel for channel in fixed}
        self._stack = ExitStack()
        with self._stack:  # what was opened is closed again where a later step fails
            outward = sockets.group_sockets(interfaces.sending(on), ttl)
            self._sender = Sender(outward)
            self._stack.callback(self._sender.close)
            joined = interfaces.receiving(on)
            self._discovery = self._stack.enter_context(Discovery(joined, interfaces.sending(on)))
            self._discovery.ignore(self._sender.addresses)
            wanted = [(channel.listen, channel) for channel in fixed if channel.listen is not None]
            wanted += [(listen, None)] if listen is not None else []  # type: ignore[list-item]
            self._ports = [self._open(endpoint, channel, joined) for endpoint, channel in wanted]
            outlets = self._lay_out(fixed)
            self.channels = Channels(
                by_name,
                factor=factor,
                method=method,
                sender=self._sender,
                recorder=recorder,
                outlets=outlets,
                once=self._once,
            )
            self._hearing = Hearing(
                self._ports,
                fixed=by_name,
                channels=self.channels,
                outlets=outlets,
                allowed=Allowed(allow),
                once=self._once,
            )
            others = self._others(outlets)
            self._hearing.begin_fixed(time.monotonic_ns())
            for said, address in others:
                self._hearing.overheard(said, address, time.monotonic_ns())
            self._stack = self._stack.pop_all()

    def _open(
        self, endpoint: Endpoint, fixed: FixedChannel | None, joined: list[interfaces.Interface]
    ) -> Port:
        sock = sockets.listen(endpoint, interfaces=joined)
        if not endpoint.port:
            endpoint = Endpoint(endpoint.host, sock.getsockname()[1])
        receiver = Receiver(sock)
        self._stack.callback(receiver.close)
        note = sockets.buffer_note(sockets.RECEIVE_BUFFER, receiver.buffer_bytes)
        if note:
            self._once.tell(("buffer",), logging.INFO, note)
        return Port(endpoint, receiver, fixed)

    def _others(self, outlets: Outlets) -> list[Heard]:
        """What others announce now. Where they serve is taken, also before they say so unasked.

        Raises:
            HostError: an interface cannot be sent by.
        """
        self._discovery.query()
        told = itertools.islice(self._discovery.listen(ASK_S), _MOST_TOLD)
        heard = [each for each in told if each[0].role != ROLE_QUERY and each[0].fields.get("state") != END]
        for said, _ in heard:
            for endpoint in filter(None, (said.endpoint("full"), said.endpoint("decimated"))):
                outlets.avoid(endpoint)
        return heard

    def _lay_out(self, fixed: Sequence[FixedChannel]) -> Outlets:
        listening = {port.endpoint for port in self._ports}
        given = [endpoint for channel in fixed for endpoint in (channel.full, channel.decimated) if endpoint]
        for endpoint in given:
            if endpoint in listening:
                raise UsageError(f"{endpoint} is listened on and sent to", mend="the relay would hear itself")
        remembered = self._recorder.remembered() if self._recorder is not None else {}
        return Outlets(remembered, [*listening, *given, DISCOVERY])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    # -- the loop ----------------------------------------------------------------------------------------

    def run(self, stop: Stop, *, every_second: Callable[[list[Status]], None] | None = None) -> None:
        """Relay until asked to stop, then take in what waits, say goodbye and close the files."""
        poll = select.poll()
        poll.register(stop.fd, select.POLLIN)
        poll.register(self._discovery.fileno(), select.POLLIN)
        by_fd = {port.receiver.fileno(): port for port in self._ports}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        second_ns = time.monotonic_ns() + SECOND_NS
        fetched_ns, gather_ns = 0, GATHER_NS
        while not stop.asked:
            now_ns = time.monotonic_ns()
            ready = {fd for fd, _ in poll.poll(max(0, min(second_ns, self._next_due_ns()) - now_ns) / 1e6)}
            if stop.fd in ready:
                stop.wait(0)  # a signal that is none of ours must not leave it readable
            now_ns = time.monotonic_ns()
            if self._discovery.fileno() in ready:
                self._discover(now_ns)
            else:
                self._hearing.settle()
            fetch = [port for fd, port in by_fd.items() if fd in ready]
            if fetch and now_ns - fetched_ns < gather_ns:
                # Not `stop.wait`: it costs several times as much, and the end can wait as long as this.
                time.sleep((gather_ns - (now_ns - fetched_ns)) / 1e9)
                fetch = self._ports
            if fetch:
                fetched_ns = time.monotonic_ns()
                addresses = sum(self._hearing.fetch(port, fetched_ns) for port in fetch)
                gather_ns = min(MOST_GATHER_NS, GATHER_NS + (addresses - 1) * GATHER_ADDRESS_NS)
            now_ns = time.monotonic_ns()
            if now_ns >= second_ns:
                self._hearing.each_second(now_ns)
                self.channels.each_second(now_ns)
                if every_second is not None:
                    every_second(self.statuses())
                second_ns += SECOND_NS * ((now_ns - second_ns) // SECOND_NS + 1)
            if self._recorder is not None:
                self._recorder.tick(now_ns)
            self.channels.announce_due(now_ns)
        self._finish()

    def _next_due_ns(self) -> int:
        due = self.channels.due_ns
        return due if self._recorder is None else min(due, self._recorder.deadline() or due)

    def _discover(self, now_ns: int) -> None:
        for said, address in self._discovery.receive():
            if said.role == ROLE_QUERY:
                self.channels.asked(said.channel, now_ns)
            else:
                self._hearing.overheard(said, address, now_ns)

    def _finish(self) -> None:
        now_ns = time.monotonic_ns()
        for port in self._ports:
            self._hearing.fetch(port, now_ns, LAST_FETCH_NS)
        self._hearing.finish(now_ns)
        self.channels.finish(now_ns)

    # -- counts ------------------------------------------------------------------------------------------

    def statuses(self) -> list[Status]:
        return self.channels.statuses()

    @property
    def listening(self) -> list[Endpoint]:
        """Where datums arrive; port 0 has become a free one."""
        return [port.endpoint for port in self._ports]

    @property
    def source_address(self) -> Address:
        """Where everything sent to groups comes from, on the first interface."""
        return self._sender.addresses[0]
