"""One channel inside a relay: where it arrives, and how it is re-served, thinned, recorded and counted."""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speeddata import decimation
from speeddata.errors import DataError, HostError
from speeddata.names import DECIMATED_GROUP, FULL_GROUP, Endpoint, derived_port
from speeddata.wire import interfaces
from speeddata.wire.announcement import END, LIVE, ROLE_RELAY, SIZE_LIMIT, Announcement
from speeddata.wire.sessions import SILENCE_NS, Address, Roster, Session, Speaker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from speeddata.avro.schema import Schema
    from speeddata.recording.channelfiles import Tally
    from speeddata.recording.recorder import ChannelWriter, Recorder
    from speeddata.wire.datagrams import Receiver, Sender

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SILENT = "silent"  # beside LIVE and END: the source has said nothing for a while

_PORTS = range(20_000, 30_000)
# Whoever announces endless names or endpoints can use up neither the ports nor the memory.
_AVOIDED = 1024  # endpoints of others that are kept clear of
_REMEMBERED = 4096  # names
_HOSTS = 1024
_RATE_NS = 500_000_000  # of less, what was held and came together would look like a rate
_OTHER_FIELDS = 2048  # bytes: what an announcement holds beside its schemas, at most

log = logging.getLogger("speeddata")


@dataclass(frozen=True)
class FixedChannel:
    """A channel that the user names.

    Attributes:
        listen: where its datums arrive; a group is joined. None: on the shared port, once it is announced.
        schema: of bare datums; None: announced.
        full, decimated: the groups it is re-served on; None: derived from its name.
        factor, method: None: the relay's own.
    """

    name: str
    listen: Endpoint | None = None
    schema: Schema | None = None
    full: Endpoint | None = None
    decimated: Endpoint | None = None
    factor: int | None = None
    method: str | None = None


class Port:
    """One listening socket, and the channel it is for, if it is for one only.

    Args:
        endpoint: where it listens.
        receiver: of its socket.
        fixed: the channel; None where announced sources of any channel send to.
    """

    def __init__(self, endpoint: Endpoint, receiver: Receiver, fixed: FixedChannel | None) -> None:
        self.endpoint, self.receiver, self.fixed = endpoint, receiver, fixed
        self.name = fixed.name if fixed is not None else ""
        self._drops = 0  # of the kernel, as last read
        self._unexplained = 0  # drops that no channel's loss has been matched with yet

    def speaker(self, address: Address) -> Speaker:
        """Who it is that sends to this port from *address*."""
        return address if self.fixed is None else (*address, self.name)

    def settle(self, roster: Roster) -> None:
        """No announcement waits: all that has come so far was sent before the next one."""
        if (session := roster.holder(self.name)) is not None:
            session.settle()

    def read_drops(self, channels: Iterable[ServedChannel]) -> None:
        """Lay the kernel's drops at the door of the channels that miss datums: those in *channels*."""
        drops = self.receiver.drops()
        self._unexplained += drops - self._drops
        self._drops = drops
        if not self._unexplained:
            return
        known = self.fixed is not None and self.fixed.schema is not None
        for channel in channels:
            if known and channel.name.lower() != self.name.lower():
                continue
            missing = self._unexplained if known else max(0, channel.lost - channel.lost_kernel)
            share = min(self._unexplained, missing)
            channel.lost_kernel += share
            self._unexplained -= share


class Allowed:
    """Whose datums are heard.

    Args:
        networks: of the sources; empty: those directly connected, and loopback.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = list(networks) or [
            *interfaces.connected_networks(),
            *interfaces.connected_ipv6_networks(),
            *map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")),
        ]
        self._known: dict[str, bool] = {}

    def includes(self, host: str) -> bool:
        known = self._known.get(host)
        if known is None:
            address = ipaddress.ip_address(host)
            # What comes by IPv4 to a socket that listens on all addresses of IPv6 is shown as one of these.
            address = getattr(address, "ipv4_mapped", None) or address
            known = any(address in network for network in self._networks)
            if len(self._known) < _HOSTS:
                self._known[host] = known
        return known


class Outlets:
    """Which endpoints channels are re-served on; no two channels share a group and port.

    Args:
        remembered: ports of earlier runs, by channel name.
        avoid: endpoints that are listened on, or given to channels by name: never handed out.
    """

    def __init__(self, remembered: Mapping[str, int], avoid: Iterable[Endpoint]) -> None:
        self._remembered = {name.lower(): port for name, port in remembered.items()}
        self._taken = {endpoint.port for endpoint in avoid}
        self._avoided: dict[int, None] = {}  # of others, as last heard

    def avoid(self, endpoint: Endpoint) -> None:
        """Keep clear of an endpoint that somebody else serves."""
        self._avoided.pop(endpoint.port, None)
        self._avoided[endpoint.port] = None
        if len(self._avoided) > _AVOIDED:
            del self._avoided[next(iter(self._avoided))]

    def endpoints(self, name: str) -> tuple[Endpoint, Endpoint]:
        """Full-rate and decimated endpoint of a channel that none were fixed for.

        The port is the same in both groups: that of an earlier run, else the one derived from the name,
        else the next free one.

        Raises:
            HostError: no port is left.
        """
        first = self._remembered.get(name.lower(), derived_port(name))
        for step in range(len(_PORTS)):
            port = _PORTS[(first - _PORTS.start + step) % len(_PORTS)]
            if port not in self._taken and port not in self._avoided:
                self._taken.add(port)
                self._remembered.pop(name.lower(), None)
                self._remembered[name.lower()] = port
                if len(self._remembered) > _REMEMBERED:
                    del self._remembered[next(iter(self._remembered))]
                return Endpoint(FULL_GROUP, port), Endpoint(DECIMATED_GROUP, port)
        raise HostError("no free port is left to re-serve it on", where=name)

    def port(self, name: str) -> int | None:
        """The port that *name* was given, in this run or an earlier one."""
        return self._remembered.get(name.lower())

    def release(self, endpoint: Endpoint) -> None:
        """The channel is gone; its port may serve another."""
        self._taken.discard(endpoint.port)


@dataclass(frozen=True)
class Status:
    """What is told of a channel every second: counts since the relay began."""

    channel: str
    state: str
    rate_hz: float
    received: int
    served: int
    recorded: int
    lost: int
    lost_kernel: int
    lost_disk: int
    rejected: int


class ServedChannel:
    """Takes a channel's datums as they arrive.

    Args:
        name: of the channel.
        full: the group that everything is re-served on.
        decimated: the group that gets what is left of each *factor* datums.
        sender: to the groups, on every interface, from one source port.
        recorder: None records nothing.
        method: how they are thinned, one of `decimation.METHODS`.
    """

    def __init__(
        self,
        name: str,
        full: Endpoint,
        decimated: Endpoint,
        factor: int,
        sender: Sender,
        recorder: Recorder | None,
        method: str = "pick",
    ) -> None:
        self.name, self.full, self.decimated = name, full, decimated
        self.factor = factor
        self.method = self._wanted_method = method
        self.schema: Schema | None = None
        self.session: Session | None = None
        self.received = self.served = self.lost_kernel = 0
        self.announce_at_ns = 0
        self.ended = False
        self._session_id = ""
        self._remembered = False
        self._heard_ns = 0
        self._lost_before = 0  # in sessions that are over
        self._sender, self._recorder = sender, recorder
        self._ways = len(sender.addresses)  # interfaces: a datum served on each of them is served once
        self._writer: ChannelWriter | None = None
        self._tally: Tally | None = None  # of the recorder, through all sessions
        self._decimator: decimation.Decimator | None = None
        self._full_address, self._decimated_address = full.address, decimated.address
        self._rate_hz = 0.0
        self._rate_since = (0, 0)  # received, ns: when the rate was last worked out

    def begin(self, schema: Schema, session_id: str, session: Session | None, now_ns: int) -> None:
        """A new session: a new file, a new schema perhaps. *session* is None for bare senders."""
        self.end()
        self.schema, self.session, self._session_id, self.ended = schema, session, session_id, False
        self._begin_windows(schema)
        self._rate_since = (self.received, now_ns)
        if self._recorder is not None:
            self._writer = self._recorder.channel(self.name, schema, session_id)
            self._tally = self._writer.tally

    def caught_up(self, now_ns: int) -> None:
        """All that came before the channel began has been taken: it has waited long enough to be written now.

        The rate is of what comes from now on.
        """
        self._rate_since = (self.received, now_ns)
        if self._writer is not None:
            self._writer.flush()

    def counted_by(self, session: Session) -> None:
        """From now on *session* tells what was lost; the file goes on, since its schema was known before."""
        self._lost_before = self.lost
        self.session = session
        self.end_window()

    def end(self) -> None:
        """The session is over: its last window is served, its file closed."""
        self.ended = True
        self.end_window()
        if self._writer is not None:
            self.tell_writer()
            self._writer.close()
            self._writer = None
        self._lost_before = self.lost
        self.session = None

    def take(self, data: bytes, offsets: NDArray[np.int64], address: Address, now_ns: int) -> None:
        """Re-serve datums, then record them.

        Args:
            data: datums end to end.
            offsets: where each begins and the last ends: int64, shape (count + 1,).
            address: where they came from, for the record of what is rejected.
            now_ns: monotonic.
        """
        self._heard_ns = now_ns
        self.received += len(offsets) - 1
        self.served += self._sender.send(data, offsets, self._full_address) // self._ways
        if self._decimator is not None:
            self._serve_thin(*self._decimator.take(data, offsets))
        if self._writer is not None:
            self._writer.add(data, offsets, address, now_ns)

    def end_window(self) -> None:
        """Serve what is left of a window that is not full: none goes over from one session to the next."""
        if self._decimator is not None and self.schema is not None:
            self._serve_thin(*self._decimator.finish())
            self._decimator = self._made(self.schema)

    def _serve_thin(self, data: bytes, offsets: NDArray[np.int64]) -> None:
        if data:
            self._sender.send(data, offsets, self._decimated_address)

    def _begin_windows(self, schema: Schema) -> None:
        self.method = self._wanted_method
        try:
            self._decimator = self._made(schema)
            thin = self._decimator.schema
            if thin is not schema and _bytes(schema) + _bytes(thin) > SIZE_LIMIT - _OTHER_FIELDS:
                raise DataError("an announcement has no room for the schema that it would change to")
        except DataError as exc:
            log.warning("%s: the decimated group picks: no %s, %s", self.name, self.method, exc)
            self.method = "pick"
            self._decimator = self._made(schema)

    def _made(self, schema: Schema) -> decimation.Decimator:
        # What arrives is served before it is looked at: it can be anything.
        return decimation.make(self.method, self.factor, schema, proven=False)

    @property
    def lost(self) -> int:
        """On the way to us: exactly, where the source announces; else what the kernel counted."""
        now = self.session.lost if self.session is not None else 0
        return max(self._lost_before + now, self.lost_kernel)

    def tell_writer(self) -> None:
        """What only we know goes into the ledger."""
        if self._writer is not None:
            self._writer.counts(received=self.received, lost=self.lost, lost_kernel=self.lost_kernel)

    def remember(self, port: int | None) -> None:
        """Keep its *port* for the next run, once it has sent something: names alone are cheap to make up."""
        if self._recorder is not None and port is not None and self.received and not self._remembered:
            self._recorder.remember(self.name, port)
            self._remembered = True

    def measure(self, now_ns: int) -> None:
        """Work out the rate, from how many came since the last time; not of a channel that has just begun."""
        received, since_ns = self._rate_since
        if now_ns - since_ns >= _RATE_NS:
            self._rate_hz = (self.received - received) * 1e9 / (now_ns - since_ns)
            self._rate_since = (self.received, now_ns)

    def state(self, now_ns: int) -> str:
        if self.ended:
            return END
        heard_ns = max(self._heard_ns, self.session.heard_ns if self.session else 0)
        return SILENT if now_ns - heard_ns > SILENCE_NS else LIVE

    def status(self, now_ns: int) -> Status:
        tally = self._tally
        return Status(
            channel=self.name,
            state=self.state(now_ns),
            rate_hz=round(self._rate_hz, 1),
            received=self.received,
            served=self.served,
            recorded=tally.recorded if tally else 0,
            lost=self.lost,
            lost_kernel=self.lost_kernel,
            lost_disk=tally.lost_disk if tally else 0,
            rejected=tally.rejected if tally else 0,
        )

    def announcement(self, now_ns: int, *, state: str = "") -> Announcement:
        """What the relay says of the channel (formats, "Announcement", role `relay`)."""
        assert self.schema is not None
        told = self.status(now_ns)
        fields = {
            "full": str(self.full),
            "decimated": str(self.decimated),
            "factor": str(self.factor),
            "method": self.method,
            "received": str(told.received),
            "lost": str(told.lost),
            "lost_kernel": str(told.lost_kernel),
            "lost_disk": str(told.lost_disk),
            "rejected": str(told.rejected),
            "rate_hz": f"{told.rate_hz:.1f}",
            "state": state or told.state,
        }
        if self._decimator is not None and self._decimator.schema is not self.schema:
            fields["decimated_schema"] = self._decimator.schema.text
        return Announcement(ROLE_RELAY, self.name, self._session_id, self.schema.text, fields)


def _bytes(schema: Schema) -> int:
    return len(schema.text.encode())
