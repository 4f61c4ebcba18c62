"""Finding channels by what is announced: one by its name, one by its endpoint, or all there are."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from speeddata.errors import PeerError, UsageError
from speeddata.interrupts import Stop
from speeddata.legible import printable
from speeddata.names import Endpoint
from speeddata.wire import interfaces
from speeddata.wire.announcement import END, ROLE_RELAY, ROLE_SOURCE, Announcement
from speeddata.wire.discovery import Discovery
from speeddata.wire.sessions import Address

FIND_S = 3.0  # how long a channel is looked for: relays answer at once, sources speak every second
_ASK_AGAIN_S = 0.5
_SETTLE_S = 0.15  # after the first answer, for another relay that serves the same name
_ANSWER_S = 0.14  # relays answer at most ten times a second, so that any may be a tenth of one late
SPOKEN_S = 1.1  # whom a question does not reach says every channel once a second


@dataclass(frozen=True)
class Found:
    """A channel that somebody announces: whose word it is, and where its datums are."""

    announcement: Announcement
    address: Address
    endpoint: Endpoint

    @property
    def schema_text(self) -> str:
        decimated = self.announcement.endpoint("decimated") == self.endpoint
        return (
            decimated and self.announcement.fields.get("decimated_schema")
        ) or self.announcement.schema_text


def same_relay(one: Found, other: Found) -> bool:
    """Whether both are the word of one relay, which speaks from the same port on each of its interfaces."""
    return _identity(one.announcement, one.address) == _identity(other.announcement, other.address)


def _identity(said: Announcement, address: Address) -> tuple[str, int, str, str]:
    return said.channel.lower(), address[1], said.session, said.fields.get("full", "")


def by_name(discovery: Discovery, name: str, stop: Stop, *, decimated: bool = False) -> Found | None:
    """Find the channel *name*; None when asked to stop meanwhile.

    Raises:
        PeerError: nobody announces it.
        UsageError: two relays do, or it is not served decimated.
    """

    def served(said: Announcement, address: Address) -> Found | None:
        if said.channel.lower() != name.lower():
            return None
        endpoint = said.group("decimated" if decimated else "full")
        return Found(said, address, endpoint) if endpoint else None

    return _find(discovery, name, served, stop)


def by_endpoint(discovery: Discovery, endpoint: Endpoint, stop: Stop) -> Found | None:
    """Find who serves the group *endpoint*; as `by_name`."""

    def served(said: Announcement, address: Address) -> Found | None:
        here = endpoint in (said.endpoint("full"), said.endpoint("decimated"))
        return Found(said, address, endpoint) if here else None

    mend = "see `speeddata ls` for what is live; of bare datums give --schema FILE.avsc"
    return _find(discovery, str(endpoint), served, stop, mend)


def _find(
    discovery: Discovery,
    what: str,
    served: Callable[[Announcement, Address], Found | None],
    stop: Stop,
    mend: str = "see `speeddata ls` for what is live; is a relay running, and on this interface?",
) -> Found | None:
    found: dict[Address, Found] = {}
    others: set[str] = set()
    give_up = time.monotonic() + FIND_S
    ask_at = 0.0
    while not stop.asked:
        now = time.monotonic()
        if now >= give_up:
            break
        if now >= ask_at and not found:
            discovery.query()
            ask_at = now + _ASK_AGAIN_S
        wait_s = min(give_up, ask_at if not found else give_up) - now
        for said, address in discovery.listen(wait_s):
            if said.role == ROLE_RELAY:
                others.add(said.channel)
            candidate = served(said, address)
            if candidate and said.role in (ROLE_RELAY, ROLE_SOURCE):
                if not found:
                    give_up = time.monotonic() + _SETTLE_S
                found[address] = candidate
                break
    if stop.asked:
        return None
    live = {a: f for a, f in found.items() if f.announcement.fields.get("state") != END} or found
    live = dict({_identity(f.announcement, a): (a, f) for a, f in reversed(live.items())}.values())
    if not live:
        near = difflib.get_close_matches(what, others, n=1, cutoff=0.75)
        raise PeerError(
            f"no relay announced it within {FIND_S:g} s",
            where=printable(what),
            mend=f"did you mean {near[0]}?" if near else mend,
        )
    if len(live) > 1:
        relays = " and ".join(f"{host}:{port} ({f.endpoint})" for (host, port), f in sorted(live.items()))
        raise UsageError(
            f"two relays serve it: {relays}", where=printable(what), mend="name one by its endpoint"
        )
    return next(iter(live.values()))


def survey(
    on: Sequence[str], seconds: float = _ANSWER_S, patience_s: float = 0.0
) -> list[tuple[Announcement, Address]]:
    """Every channel that a relay serves now, by name: what it says of it, and its address.

    Takes *seconds*: as long as a relay may take to answer. Where none did, as none does on another host than
    is asked, it takes up to *patience_s*.
    """
    heard: dict[tuple[str, Address], Announcement] = {}
    with Discovery(interfaces.receiving(on), interfaces.sending(on)) as discovery:
        discovery.query()
        for wait_s in (seconds, patience_s - seconds):
            for said, address in discovery.listen(wait_s):
                if said.role == ROLE_RELAY:
                    heard[said.channel.lower(), address] = said
            if heard:
                break
    once: dict[tuple[str, int, str, str], tuple[Announcement, Address]] = {}
    for (_, address), said in sorted(heard.items(), key=lambda item: item[0]):
        once.setdefault(_identity(said, address), (said, address))
    return list(once.values())
