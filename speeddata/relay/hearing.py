"""Who speaks on which port, and what they said: datums to their channels, announcements to the roster."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from speeddata.avro.schema import parse as parse_schema
from speeddata.errors import DataError
from speeddata.legible import printable
from speeddata.relay.channels import Channels
from speeddata.relay.once import Once
from speeddata.relay.serving import Allowed, FixedChannel, Outlets, Port, ServedChannel
from speeddata.table import many
from speeddata.wire.announcement import END, MAGIC, ROLE_RELAY, ROLE_SOURCE, Announcement, new_session
from speeddata.wire.sessions import Address, Event, Roster, Session, Speaker, split

if TYPE_CHECKING:
    from numpy.typing import NDArray

# How long one port is emptied, however fast it fills: all else has its turn too. At the end it takes longer.
FETCH_NS = 20_000_000
LAST_FETCH_NS = 2_000_000_000
_FOR_EVER_NS = 3600 * 10**9
_BARE = "a bare sender needs a port and a schema of its own: speeddata relay NAME=PORT,FILE.avsc"
_SEARCHED = 1024  # bytes: so few are searched as quickly as looked at one by one

log = logging.getLogger("speeddata")


class Hearing:
    """Takes what arrives on the ports.

    Args:
        ports: the sockets that are listened on.
        fixed: channels that the user names, by their names in lower case.
        channels: those served; new ones are made here.
        outlets: told what others serve, to keep clear of it.
        allowed: whose datums are heard.
        once: for what is told once.
    """

    def __init__(
        self,
        ports: Sequence[Port],
        *,
        fixed: Mapping[str, FixedChannel],
        channels: Channels,
        outlets: Outlets,
        allowed: Allowed,
        once: Once,
    ) -> None:
        self._ports, self._fixed, self._channels = ports, fixed, channels
        self._outlets, self._allowed, self._once = outlets, allowed, once
        self._groups = [port for port in ports if port.endpoint.is_group]
        self._roster = Roster()
        self._told_unclaimed = 0

    def begin_fixed(self, now_ns: int) -> None:
        """Channels whose schema is known from a file are there before anybody speaks."""
        for channel in self._fixed.values():
            if channel.schema is not None and channel.listen is not None:
                self._made(channel.name).begin(channel.schema, new_session(), None, now_ns)

    def _made(self, name: str) -> ServedChannel:
        return self._channels.made(name, (session.name for session in self._roster.sessions()))

    def settle(self) -> None:
        """No announcement waits: all that has come so far was sent before the next one."""
        for port in self._groups:
            port.settle(self._roster)

    def each_second(self, now_ns: int) -> None:
        """Give up what waited too long; find out what the kernel dropped."""
        self._roster.expire(now_ns)
        if not self._told_unclaimed:
            self._tell_unclaimed()
        self.read_drops()

    def finish(self, now_ns: int) -> None:
        """Nothing more is fetched: who was waited for will not come; tell how many datums that is in all."""
        self.read_drops()
        self._roster.expire(now_ns + _FOR_EVER_NS)
        self._tell_unclaimed("in all, ")

    def _tell_unclaimed(self, in_all: str = "") -> None:
        if (count := self._roster.unclaimed) > self._told_unclaimed:
            what = "came from addresses that have no channel, or were refused one; given up"
            if self._told_unclaimed:
                log.warning("%s%s %s", in_all, many(count, "datum"), what)
            else:
                log.warning("%s %s; %s", many(count, "datum"), what, _BARE)
            self._told_unclaimed = count

    def read_drops(self) -> None:
        for port in self._ports:
            port.read_drops(self._channels)

    # -- what arrives ------------------------------------------------------------------------------------

    def fetch(self, port: Port, now_ns: int, limit_ns: int = FETCH_NS) -> int:
        """Take what waits at *port*; from how many addresses it came, at the least."""
        addresses = 0
        while arrivals := port.receiver.receive():
            addresses = max(addresses, len(arrivals))
            for address, data, offsets in arrivals:
                if _may_announce(data, offsets):
                    self._with_announcements(port, address, data, offsets, now_ns)
                else:
                    self._datums(port, address, data, offsets, now_ns)
            if not port.receiver.more or time.monotonic_ns() - now_ns >= limit_ns:
                break
        return addresses

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
            self._channels[fixed.name].take(data, offsets, address, now_ns)
        elif session is not None:
            session.arrived(len(offsets) - 1, now_ns)
            self._channels[session.name].take(data, offsets, address, now_ns)
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
            self._once.tell((address, "owned"), logging.WARNING, f"{_who(said, address)} refused: {why}")
            return
        event, session = self._roster.announce(said, address, now_ns)
        if session is None or event is Event.HEARD:
            return
        if event is Event.REFUSED:
            holder = self._roster.holder(said.channel)
            why = f"{address_text(holder.address)} has this name" if holder else "too many channels"
            key = (address, said.session) if holder else ("too many channels",)
            self._once.tell(key, logging.WARNING, f"{_who(said, address)} refused: {why}")
        elif event is Event.BEGUN:
            self._begin(fixed, said, session, now_ns)
        elif event is Event.ENDED and (channel := self._channels.get(session.name)) is not None:
            if fixed is None or fixed.schema is None:
                channel.end()
            self._channels.announce(channel, now_ns)
            log.info("%s: the source said goodbye; %d lost", session.name, session.lost)

    def _begin(self, fixed: FixedChannel | None, said: Announcement, session: Session, now_ns: int) -> None:
        try:
            schema = parse_schema(said.schema_text, where=f"announced by {address_text(session.address)}")
        except DataError as exc:
            self._roster.forget(session)
            if (fixed is None or fixed.schema is None) and (known := self._channels.get(session.name)):
                known.end()
            self._once.tell((session.address, said.session), logging.WARNING, str(exc))
            return
        channel = self._made(session.name)
        if fixed is not None and fixed.schema is not None:
            channel.counted_by(session)
            if schema.fingerprint != fixed.schema.fingerprint:
                why = "it announces another schema than the channel's file; what does not fit is rejected"
                self._once.tell(
                    (session.address, "schema"), logging.WARNING, f"{_who(said, session.address)}: {why}"
                )
        else:
            channel.begin(schema, session.id, session, now_ns)
            # Receivers must know the schema before the first datum of it.
            self._channels.announce(channel, now_ns)
            log.info("%s begins", _who(said, session.address))
        for held in self._roster.release(session.address):
            if fixed is not None and fixed.listen is not None and fixed.listen.is_group and not held.counted:
                session.received += len(held.offsets) - 1
            channel.take(held.data, held.offsets, session.address[:2], now_ns)
        channel.caught_up(now_ns)
        if session.ended and (fixed is None or fixed.schema is None):
            channel.end()

    def _is_allowed(self, address: Address) -> bool:
        host = address[0]
        if self._allowed.includes(host):
            return True
        self._once.tell((host,), logging.WARNING, f"{host}: not heard; name its network with --allow")
        return False

    # -- what others serve -------------------------------------------------------------------------------

    def overheard(self, said: Announcement, address: Address, now_ns: int) -> None:
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
                    self.fetch(port, time.monotonic_ns())
                else:
                    self.fetch(port, time.monotonic_ns(), LAST_FETCH_NS)
                    session.settle()
                    session.expect(heard.number("sent"))
            self._announced(port.fixed, heard, speaker, now_ns)


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
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _who(said: Announcement, address: Speaker) -> str:
    return f"{printable(said.channel)} from {address_text(address)}"
