"""The relay's loop: ports and groups in, channels out; who speaks, what they said, what is due.

One thread receives and re-serves; the recorder's own thread writes. Datums are gathered for up to three
milliseconds before they are fetched, since a wake-up for each would cost more than the work.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import select
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import numpy as np

from speeddata.avro.schema import parse as parse_schema
from speeddata.errors import DataError, UsageError
from speeddata.names import DISCOVERY, Endpoint, printable
from speeddata.relay.serving import Allowed, Outlets, Port, ServedChannel, Status
from speeddata.relay.serving import FixedChannel as FixedChannel
from speeddata.wire import announcement, interfaces, sockets
from speeddata.wire.announcement import END, MAGIC, ROLE_QUERY, ROLE_RELAY, ROLE_SOURCE, Announcement
from speeddata.wire.datagrams import Receiver, Sender
from speeddata.wire.discovery import Discovery
from speeddata.wire.sessions import Address, Event, Roster, Session, Speaker, split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speeddata.interrupts import Stop
    from speeddata.recording.recorder import Recorder

GATHER_NS = 3_000_000  # at 2 ms ten channels of 1 kHz cost a quarter more; 99 % still leave within 3.5 ms
# How long one port is emptied, however fast it fills: all else has its turn too. At the end it takes longer.
FETCH_NS = 20_000_000
LAST_FETCH_NS = 2_000_000_000
SECOND_NS = 1_000_000_000
ANSWER_EVERY_NS = SECOND_NS // 10  # at most: a flood of queries echoes no flood
GOODBYES = 3
_TOLD_LIMIT = 1024
_SEARCHED = 1024  # bytes: so few are searched as quickly as looked at one by one

log = logging.getLogger("speeddata")


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
        self._factor, self._method, self._recorder = factor, method, recorder
        self._fixed = {channel.name.lower(): channel for channel in fixed}
        self._allowed = Allowed(allow)
        self._told: dict[tuple[object, ...], None] = {}
        self._roster = Roster()
        self.channels: dict[str, ServedChannel] = {}
        self._announce_at_ns = 0  # when the first of the channels is due
        self._answer_at_ns = 0
        self._answered_ns = 0
        self._stack = ExitStack()
        with self._stack:  # what was opened is closed again where a later step fails
            outward = sockets.group_sockets(interfaces.sending(on), ttl)
            self._sender = Sender(outward)
            self._stack.callback(self._sender.close)
            joined = interfaces.receiving(on)
            self._discovery = self._stack.enter_context(Discovery(joined))
            self._discovery.ignore(self._sender.addresses)
            wanted = [(channel.listen, channel) for channel in fixed if channel.listen is not None]
            wanted += [(listen, None)] if listen is not None else []  # type: ignore[list-item]
            self._ports = [self._open(endpoint, channel, joined) for endpoint, channel in wanted]
            self._groups = [port for port in self._ports if port.endpoint.is_group]
            self._outlets = self._lay_out(fixed)
            now_ns = time.monotonic_ns()
            for channel in fixed:
                if channel.schema is not None and channel.listen is not None:
                    served = self._channel(channel.name)
                    served.begin(channel.schema, announcement.new_session(), None, now_ns)
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
            self._tell_once(("buffer",), logging.INFO, note)
        return Port(endpoint, receiver, fixed)

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
        fetched_ns = 0
        while not stop.asked:
            now_ns = time.monotonic_ns()
            ready = {fd for fd, _ in poll.poll(max(0, min(second_ns, self._next_due_ns()) - now_ns) / 1e6)}
            if stop.fd in ready:
                stop.wait(0)  # a signal that is none of ours must not leave it readable
            now_ns = time.monotonic_ns()
            if self._discovery.fileno() in ready:
                self._discover(now_ns)
            else:
                for port in self._groups:
                    port.settle(self._roster)
            fetch = [port for fd, port in by_fd.items() if fd in ready]
            if fetch and now_ns - fetched_ns < GATHER_NS:
                # Not `stop.wait`: it costs several times as much, and the end can wait as long as this.
                time.sleep((GATHER_NS - (now_ns - fetched_ns)) / 1e9)
                fetch = self._ports
            if fetch:
                fetched_ns = time.monotonic_ns()
                for port in fetch:
                    self._fetch(port, fetched_ns)
            now_ns = time.monotonic_ns()
            if now_ns >= second_ns:
                self._each_second(now_ns)
                if every_second is not None:
                    every_second(self.statuses())
                second_ns += SECOND_NS * ((now_ns - second_ns) // SECOND_NS + 1)
            self._do_due(now_ns)
        self._finish()

    def _next_due_ns(self) -> int:
        due = self._announce_at_ns
        if self._answer_at_ns:
            due = min(due, self._answer_at_ns)
        if self._recorder is not None:
            due = min(due, self._recorder.deadline() or due)
        return due

    def _do_due(self, now_ns: int) -> None:
        if self._recorder is not None:
            self._recorder.tick(now_ns)
        if self._answer_at_ns and now_ns >= self._answer_at_ns:
            self._answer_at_ns, self._answered_ns = 0, now_ns
            for channel in self.channels.values():
                self._announce(channel, now_ns)
        if now_ns < self._announce_at_ns:  # the channels are not asked one by one 500 times a second
            return
        self._announce_at_ns = now_ns + SECOND_NS
        for channel in self.channels.values():
            if now_ns >= channel.announce_at_ns:
                channel.announce_at_ns = now_ns + SECOND_NS
                self._announce(channel, now_ns)
            self._announce_at_ns = min(self._announce_at_ns, channel.announce_at_ns)

    def _each_second(self, now_ns: int) -> None:
        self._roster.expire(now_ns)
        if self._roster.unclaimed:
            self._tell_once(
                ("unclaimed",),
                logging.WARNING,
                f"{self._roster.unclaimed} datums came from addresses that no channel is known of; given up",
            )
        for port in self._ports:
            port.read_drops(self.channels)
        for channel in self.channels.values():
            channel.measure(now_ns)
            channel.tell_writer()
            channel.remember(self._outlets.port(channel.name))

    def _finish(self) -> None:
        now_ns = time.monotonic_ns()
        for port in self._ports:
            self._fetch(port, now_ns, LAST_FETCH_NS)
            port.read_drops(self.channels)
        for channel in self.channels.values():
            channel.end_window()
            for _ in range(GOODBYES):
                self._announce(channel, now_ns, state=END)
        for channel in self.channels.values():
            channel.measure(now_ns)
            channel.remember(self._outlets.port(channel.name))
            channel.end()

    # -- what arrives ------------------------------------------------------------------------------------

    def _fetch(self, port: Port, now_ns: int, limit_ns: int = FETCH_NS) -> None:
        while arrivals := port.receiver.receive():
            for address, data, offsets in arrivals:
                if _may_announce(data, offsets):
                    self._with_announcements(port, address, data, offsets, now_ns)
                else:
                    self._datums(port, address, data, offsets, now_ns)
            if not port.receiver.more or time.monotonic_ns() - now_ns >= limit_ns:
                break

    def _with_announcements(
        self, port: Port, address: Address, data: bytes, offsets: NDArray[np.int64], now_ns: int
    ) -> None:
        for piece in split(data, offsets):
            if not isinstance(piece, Announcement):
                self._datums(port, address, *piece, now_ns)
            elif piece.role == ROLE_SOURCE and self._is_allowed(address):
                self._announced(port.fixed, piece, port.speaker(address), now_ns)

    def _datums(
        self, port: Port, address: Address, data: bytes, offsets: NDArray[np.int64], now_ns: int
    ) -> None:
        speaker = port.speaker(address)
        session = self._roster.speaking(speaker)
        fixed = port.fixed
        if fixed is not None and fixed.schema is not None and not self._roster.is_refused(speaker):
            if session is not None:
                session.arrived(len(offsets) - 1, now_ns)
            elif not self._is_allowed(address):
                return
            self.channels[fixed.name.lower()].take(data, offsets, address, now_ns)
        elif session is not None:
            session.arrived(len(offsets) - 1, now_ns)
            self.channels[session.name.lower()].take(data, offsets, address, now_ns)
        elif self._is_allowed(address):
            self._roster.hold(speaker, data, offsets, now_ns)

    def _announced(
        self, fixed: FixedChannel | None, said: Announcement, address: Speaker, now_ns: int
    ) -> None:
        """A source says who it is; on a port for one channel that channel's name goes before its own."""
        if fixed is not None:
            said = dataclasses.replace(said, channel=fixed.name)
        elif (owner := self._fixed.get(said.channel.lower())) is not None and owner.listen is not None:
            why = f"the name belongs to the channel on {owner.listen}"
            self._tell_once((address, "owned"), logging.WARNING, f"{_who(said, address)} refused: {why}")
            return
        event, session = self._roster.announce(said, address, now_ns)
        if session is None or event is Event.HEARD:
            return
        if event is Event.REFUSED:
            holder = self._roster.holder(said.channel)
            why = f"{address_text(holder.address)} has this name" if holder else "too many channels"
            key = (address, said.session) if holder else ("too many channels",)
            self._tell_once(key, logging.WARNING, f"{_who(said, address)} refused: {why}")
        elif event is Event.BEGUN:
            self._begin(fixed, said, session, now_ns)
        elif event is Event.ENDED and (channel := self.channels.get(session.name.lower())) is not None:
            if fixed is None or fixed.schema is None:
                channel.end()
            self._announce(channel, now_ns)
            log.info("%s: the source said goodbye; %d lost", session.name, session.lost)

    def _begin(self, fixed: FixedChannel | None, said: Announcement, session: Session, now_ns: int) -> None:
        try:
            schema = parse_schema(said.schema_text, where=f"announced by {address_text(session.address)}")
        except DataError as exc:
            self._roster.forget(session)
            if (fixed is None or fixed.schema is None) and (known := self.channels.get(session.name.lower())):
                known.end()
            self._tell_once((session.address, said.session), logging.WARNING, str(exc))
            return
        channel = self._channel(session.name)
        if fixed is not None and fixed.schema is not None:
            channel.counted_by(session)
            if schema.fingerprint != fixed.schema.fingerprint:
                why = "it announces another schema than the channel's file; what does not fit is rejected"
                self._tell_once(
                    (session.address, "schema"), logging.WARNING, f"{_who(said, session.address)}: {why}"
                )
        else:
            channel.begin(schema, session.id, session, now_ns)
            # Receivers must know the schema before the first datum of it.
            self._announce(channel, now_ns)
            log.info("%s begins", _who(said, session.address))
        for held in self._roster.release(session.address):
            if fixed is not None and fixed.listen is not None and fixed.listen.is_group and not held.counted:
                session.received += len(held.offsets) - 1
            channel.take(held.data, held.offsets, session.address[:2], now_ns)
        if session.ended and (fixed is None or fixed.schema is None):
            channel.end()

    def _channel(self, name: str) -> ServedChannel:
        known = self.channels.get(name.lower())
        if known is not None:
            return known
        self._make_room()
        fixed = self._fixed.get(name.lower())
        full, decimated = (fixed.full, fixed.decimated) if fixed else (None, None)
        if full is None or decimated is None:
            derived = self._outlets.endpoints(name)
            full, decimated = full or derived[0], decimated or derived[1]
        factor = (fixed.factor if fixed else None) or self._factor
        method = (fixed.method if fixed else None) or self._method
        channel = ServedChannel(name, full, decimated, factor, self._sender, self._recorder, method)
        # Announcements are spread over the second, so that many channels do not speak all at once.
        channel.announce_at_ns = time.monotonic_ns() + full.port * 7919 % 1000 * (SECOND_NS // 1000)
        self._announce_at_ns = min(self._announce_at_ns, channel.announce_at_ns)
        self.channels[name.lower()] = channel
        return channel

    def _make_room(self) -> None:
        """A channel whose session the roster has given up makes room for another."""
        held = {session.name.lower() for session in self._roster.sessions()} | self._fixed.keys()
        for name, channel in list(self.channels.items()):
            if name not in held:
                channel.end()
                self._outlets.release(channel.full)
                del self.channels[name]

    def _is_allowed(self, address: Address) -> bool:
        host = address[0]
        if self._allowed.includes(host):
            return True
        self._tell_once((host,), logging.WARNING, f"{host}: not heard; name its network with --allow")
        return False

    # -- discovery ---------------------------------------------------------------------------------------

    def _discover(self, now_ns: int) -> None:
        for said, address in self._discovery.receive():
            if said.role == ROLE_QUERY:
                if said.channel == "*" or said.channel.lower() in self.channels:
                    soonest_ns = max(now_ns, self._answered_ns + ANSWER_EVERY_NS)
                    self._answer_at_ns = self._answer_at_ns or soonest_ns
            else:
                self._overheard(said, address, now_ns)

    def _overheard(self, said: Announcement, address: Address, now_ns: int) -> None:
        """Somebody else serves a group: it may be one that we listen to, and is one to keep clear of."""
        full, decimated = said.endpoint("full"), said.endpoint("decimated")
        for endpoint in filter(None, (full, decimated)):
            self._outlets.avoid(endpoint)
        for port in self._ports:
            if port.fixed is None or port.endpoint not in (full, decimated) or not self._is_allowed(address):
                continue
            fields = dict(said.fields)
            if said.role == ROLE_RELAY:
                # It sent on what it received: a count to compare with ours. Of a thin group nobody counts.
                fields["sent"] = fields.get("received", "0") if port.endpoint == full else "0"
            schema_text = said.schema_text
            if port.endpoint == decimated:
                schema_text = fields.get("decimated_schema", schema_text)
            heard = dataclasses.replace(said, fields=fields, schema_text=schema_text)
            speaker = port.speaker(address)
            if (session := self._roster.speaking(speaker)) is not None and session.id == said.session:
                session.expect(heard.number("sent"))
                # All that the count is about has come, by another socket; nothing comes after the end.
                if fields.get("state") != END:
                    self._fetch(port, time.monotonic_ns())
                else:
                    self._fetch(port, time.monotonic_ns(), LAST_FETCH_NS)
                    session.settle()
                    session.expect(heard.number("sent"))
            self._announced(port.fixed, heard, speaker, now_ns)

    def _announce(self, channel: ServedChannel, now_ns: int, *, state: str = "") -> None:
        if channel.schema is None:
            return
        try:
            datagram = announcement.encode(channel.announcement(now_ns, state=state))
        except DataError as exc:
            self._tell_once((channel.name, "announce"), logging.WARNING, f"{channel.name}: {exc}")
            return
        self._sender.send_one(datagram, DISCOVERY.address)

    # -- counts ------------------------------------------------------------------------------------------

    def statuses(self) -> list[Status]:
        now_ns = time.monotonic_ns()
        return [channel.status(now_ns) for channel in self.channels.values() if channel.schema is not None]

    @property
    def listening(self) -> list[Endpoint]:
        """Where datums arrive; port 0 has become a free one."""
        return [port.endpoint for port in self._ports]

    @property
    def source_address(self) -> Address:
        """Where everything sent to groups comes from, on the first interface."""
        return self._sender.addresses[0]

    def _tell_once(self, key: tuple[object, ...], level: int, text: str) -> None:
        """Say *text*, but not again for the same *key*: what the network can repeat must not fill a log."""
        if key in self._told or len(self._told) >= _TOLD_LIMIT:
            return
        self._told[key] = None
        log.log(level, "%s", text)


def _may_announce(data: bytes, offsets: NDArray[np.int64]) -> bool:
    """Whether one of these datagrams may be an announcement.

    Of many bytes only the first of each datagram is looked at: to search them from end to end took an eighth
    of the relay's time.
    """
    if len(data) > _SEARCHED:
        firsts = np.frombuffer(data, np.uint8).take(offsets[:-1], mode="clip")  # the last one may be empty
        if MAGIC[0] not in firsts.tobytes():
            return False
    return MAGIC in data


def address_text(address: Speaker) -> str:
    return f"{address[0]}:{address[1]}"


def _who(said: Announcement, address: Speaker) -> str:
    return f"{printable(said.channel)} from {address_text(address)}"
