"""Who speaks at which address: sessions, the names they hold, and what was lost of each.

Pure arithmetic on announcements and counts; the time is handed in. A relay asks the `Roster` whose datums
have arrived; the design is section 4 of the formats: a name belongs to one session until that ends or falls
silent, and the datums of an address that nobody knows yet wait for it to say who it is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from speeddata.wire.announcement import END, MAGIC, Announcement, parse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Address = tuple[str, int]
# Who speaks: an address, and on a port for one channel that channel's name, since one socket may feed several
# such ports, as a relay does.
Speaker = Address | tuple[str, int, str]

SILENCE_NS = 3_000_000_000  # after which a session no longer holds its name
HOLD_NS = 3_000_000_000  # how long datums wait for the announcement of their address
CLAIM_HOLD_NS = (
    5_000_000_000  # the same while a name is contended: silence, and the next announcement after it
)
HOLD_ADDRESS_BYTES = 8 << 20
HOLD_BYTES = 64 << 20
CHANNEL_LIMIT = 256
ADDRESS_LIMIT = 1024
_FORMER_LIMIT = 4096


@dataclass(slots=True)
class Session:
    """One run of one source, as far as it has been heard.

    Attributes:
        first_sent: how many datums it had sent when its first announcement came: what was sent before is
            not ours to miss.
        settled: datums that had certainly arrived before the next announcement was made; for `expect` only.
        received: datums that arrived since that announcement.
        lost: sent less received, as of the latest announcement. A late datum makes it smaller again.
    """

    name: str
    id: str
    schema_text: str
    address: Speaker
    heard_ns: int
    first_sent: int = 0
    sent: int = 0
    received: int = 0
    settled: int = 0
    lost: int = 0
    ended: bool = False

    def arrived(self, count: int, now_ns: int) -> None:
        self.received += count
        self.heard_ns = now_ns

    def announced(self, sent: int, now_ns: int) -> None:
        self.sent = sent
        self.heard_ns = now_ns
        self.lost = max(0, sent - self.first_sent - self.received)

    def settle(self) -> None:
        """What has arrived so far was sent before any announcement still to be heard."""
        self.settled = self.received

    def expect(self, sent: int) -> None:
        """*sent* datums were announced by another socket than theirs: the two may overtake each other.

        Which of the held ones were sent before the first announcement is then not known. But as many as have
        settled had been sent by now: the least that an announcement tells beyond them was never ours to miss.
        """
        self.first_sent = min(self.first_sent, sent - self.settled)

    def silent(self, now_ns: int) -> bool:
        return now_ns - self.heard_ns > SILENCE_NS


def split(
    data: bytes, offsets: NDArray[np.int64]
) -> Iterator[Announcement | tuple[bytes, NDArray[np.int64]]]:
    """Tell the announcements among datagrams from the datums, in order of arrival.

    Args:
        data: datagrams end to end.
        offsets: where each begins and the last ends: int64, shape (count + 1,).

    Yields:
        Each announcement, and each run of datums between them as (data, offsets).
    """
    bounds: list[int] = offsets.tolist()
    count = len(bounds) - 1

    def run(first: int, end: int) -> tuple[bytes, NDArray[np.int64]]:
        return data[bounds[first] : bounds[end]], offsets[first : end + 1] - offsets[first]

    first = 0  # datagram not yet handed out
    at = data.find(MAGIC)
    while at >= 0:
        index = bisect_right(bounds, at) - 1
        said = parse(data[at : bounds[index + 1]]) if bounds[index] == at else None
        if said is not None:
            if index > first:
                yield run(first, index)
            yield said
            first = index + 1
        # The next can only stand where a datagram begins: a datum full of magic is not looked through.
        at = data.find(MAGIC, bounds[index + 1])
    if first < count:
        yield run(first, count)


class Event(Enum):
    """What an announcement meant."""

    BEGUN = "begun"  # the session holds its name from now on
    HEARD = "heard"
    ENDED = "ended"
    REFUSED = "refused"  # another address holds the name, or there are too many channels
    STALE = "stale"  # of a session that has ended or was taken over


class Held(NamedTuple):
    """Datums that wait for their address to say who it is."""

    since_ns: int
    data: bytes
    offsets: NDArray[np.int64]
    counted: bool  # in `received` of a session already


@dataclass(slots=True)
class _Waiting:
    session: Session | None = None  # a claim that was refused so far
    held: deque[Held] = field(default_factory=deque)
    bytes: int = 0


class Roster:
    """Names and the sessions that hold them, and the datums held for addresses not yet known.

    Attributes:
        unclaimed: datums given up: nobody announced their address in time, or too many waited.
    """

    def __init__(self, *, channel_limit: int = CHANNEL_LIMIT) -> None:
        self.unclaimed = 0
        self._channel_limit = channel_limit
        self._speaking: dict[Speaker, Session] = {}  # the hot path: whose datums are these?
        self._holder: dict[str, Session] = {}  # by the name in lower case
        self._waiting: dict[Speaker, _Waiting] = {}
        # Sessions that are over, oldest first. A relay hands on the id of its source: one that begins anew
        # comes with the same id from another address.
        self._former: dict[tuple[str, Speaker], None] = {}
        self._held_bytes = 0

    def speaking(self, address: Speaker) -> Session | None:
        """The session whose datums come from *address*, if it holds its name."""
        return self._speaking.get(address)

    def holder(self, name: str) -> Session | None:
        """The session that holds *name*, or held it last."""
        return self._holder.get(name.lower())

    def is_refused(self, address: Speaker) -> bool:
        """Whether *address* claims a name that it does not get."""
        waiting = self._waiting.get(address)
        return waiting is not None and waiting.session is not None

    def sessions(self) -> list[Session]:
        return list(self._holder.values())

    def announce(
        self, announcement: Announcement, address: Speaker, now_ns: int
    ) -> tuple[Event, Session | None]:
        """Take in what a source says of itself.

        Returns:
            What it meant, and the session it is about (None for a stale one). After BEGUN, `release` has
            what was held for the address.
        """
        sent = announcement.number("sent")
        ending = announcement.fields.get("state") == END
        session = self._speaking.get(address)
        if session is not None and session.id == announcement.session:
            session.announced(sent, now_ns)
            if ending:
                self._over(session)
                return Event.ENDED, session
            return Event.HEARD, session
        if (announcement.session, address) in self._former:
            return Event.STALE, None
        return self._claim(announcement, address, sent, ending, now_ns)

    def _claim(
        self, announcement: Announcement, address: Speaker, sent: int, ending: bool, now_ns: int
    ) -> tuple[Event, Session | None]:
        waiting = self._waiting.get(address)
        if waiting is not None and waiting.session and waiting.session.id == announcement.session:
            session = waiting.session
        else:
            session = Session(
                announcement.channel,
                announcement.session,
                announcement.schema_text,
                address,
                now_ns,
                first_sent=sent,
            )
        session.announced(sent, now_ns)
        if not self._may_have(session, now_ns):
            if waiting is None and len(self._waiting) < ADDRESS_LIMIT:
                waiting = self._waiting[address] = _Waiting()
            if waiting is not None:
                waiting.session = None if ending else session
            return Event.REFUSED, session
        key = session.name.lower()
        for former in (self._holder.get(key), self._speaking.get(address)):
            if former is not None:
                self._over(former)
        self._holder[key] = session
        self._speaking[address] = session
        if ending:
            # Nothing but its goodbye reached us in time: there is a session to tell of, and it is over.
            self._over(session)
        return Event.BEGUN, session

    def _may_have(self, session: Session, now_ns: int) -> bool:
        holder = self._holder.get(session.name.lower())
        if holder is not None:
            return holder.ended or holder.address == session.address or holder.silent(now_ns)
        if len(self._holder) < self._channel_limit:
            return True
        over = [s for s in self._holder.values() if s.ended or s.silent(now_ns)]
        if not over:
            return False
        self.forget(min(over, key=lambda s: s.heard_ns))
        return True

    def _over(self, session: Session) -> None:
        session.ended = True
        if self._speaking.get(session.address) is session:
            del self._speaking[session.address]
        self._former[session.id, session.address] = None
        if len(self._former) > _FORMER_LIMIT:
            del self._former[next(iter(self._former))]

    def forget(self, session: Session) -> None:
        """Give the place of *session* to another; its name is free."""
        self._over(session)
        if self._holder.get(session.name.lower()) is session:
            del self._holder[session.name.lower()]

    def hold(self, address: Speaker, data: bytes, offsets: NDArray[np.int64], now_ns: int) -> None:
        """Keep datums of an address that holds no name: as many, and for as long, as the limits allow."""
        count = len(offsets) - 1
        waiting = self._waiting.get(address)
        if waiting is None:
            if len(self._waiting) >= ADDRESS_LIMIT:
                self.unclaimed += count
                return
            waiting = self._waiting[address] = _Waiting()
        room = min(HOLD_ADDRESS_BYTES - waiting.bytes, HOLD_BYTES - self._held_bytes)
        if _weight(data, offsets) > room:
            # Datums of an arrival take about the same room each: what is kept is its beginning.
            fit = max(0, room) * count // _weight(data, offsets)
            while fit and int(offsets[fit] - offsets[0]) + offsets[: fit + 1].nbytes > room:
                fit //= 2
            self.unclaimed += count - fit
            if not fit:
                return
            data, offsets = data[int(offsets[0]) : int(offsets[fit])], offsets[: fit + 1] - offsets[0]
            count = fit
        size = _weight(data, offsets)
        if waiting.session is not None:
            waiting.session.received += count
        waiting.held.append(Held(now_ns, data, offsets, waiting.session is not None))
        waiting.bytes += size
        self._held_bytes += size

    def release(self, address: Speaker) -> Iterator[Held]:
        """What was held for *address*, in order of arrival; nothing is held for it from now on."""
        waiting = self._waiting.pop(address, None)
        if waiting is not None:
            self._held_bytes -= waiting.bytes
            yield from waiting.held

    def expire(self, now_ns: int) -> int:
        """Give up what waited too long.

        Returns:
            How many datums that were.
        """
        given_up = 0
        for address, waiting in list(self._waiting.items()):
            limit_ns = CLAIM_HOLD_NS if waiting.session else HOLD_NS
            while waiting.held and now_ns - waiting.held[0].since_ns > limit_ns:
                held = waiting.held.popleft()
                size = _weight(held.data, held.offsets)
                waiting.bytes -= size
                self._held_bytes -= size
                count = len(held.offsets) - 1
                given_up += count
                if held.counted and waiting.session is not None:
                    waiting.session.received -= count
            gone = waiting.session is None or waiting.session.silent(now_ns)
            if not waiting.held and gone:
                del self._waiting[address]
        self.unclaimed += given_up
        return given_up


def _weight(data: bytes, offsets: NDArray[np.int64]) -> int:
    """Bytes of memory: many tiny datums cost their boundaries too."""
    return len(data) + offsets.nbytes
