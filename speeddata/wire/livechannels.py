"""All live channels at once, received by one thread: those that are announced, as they come and go.

Nothing is decoded here. A channel goes on by itself when its relay comes back, moves it to another group, or
when its source comes back with another schema. Everything that the network can ask for is bounded.
"""

from __future__ import annotations

import contextlib
import logging
import math
import resource
import select
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from speeddata.errors import DataError, HostError, SpeedDataError, UsageError
from speeddata.inbox import Inbox, Watched
from speeddata.interrupts import Stop
from speeddata.legible import printable
from speeddata.names import Endpoint
from speeddata.wire import interfaces, sockets
from speeddata.wire.announcement import ROLE_RELAY, ROLE_SOURCE, Announcement
from speeddata.wire.datagrams import Receiver
from speeddata.wire.discovery import Discovery
from speeddata.wire.finding import Found, same_relay
from speeddata.wire.following import Following
from speeddata.wire.sessions import CHANNEL_LIMIT, SILENCE_NS, Address

_GATHER_S = 0.005  # a picture does not need them sooner, and a wake-up for each datum would cost too much
_LOOK_UP_S = 0.25  # while nothing arrives
_ASK_AT_S = (0.5, 1.5, 2.5)  # after the first question: on a busy start an answer may be lost
_BUFFER_BYTES = 8 << 20  # of a socket: there may be hundreds
_ROUNDS = 4  # of one channel before the next one gets its turn
_WORDS = 1024  # announcements that wait; each is said again within a second
_WORDS_S = 0.02  # of each turn: parsing a hostile schema takes as long as parsing a large one
_FILES = 1024  # descriptors: sockets for every channel, and what the rest of the program needs
_NOBODY = "no relay announced it so far; see `speeddata ls`, and is a relay running, on this interface?"

log = logging.getLogger("speeddata")

_Key = str | Endpoint


@dataclass
class _Live:
    """A channel that is wanted; *following* and *receiver* once it was found and its group joined."""

    watched: Watched
    begun_ns: int
    following: Following | None = None
    receiver: Receiver | None = None
    datum_ns: int = 0  # since 1970: when the last one came; before the first, when the channel was found
    missed: int = 0  # at sockets that are closed
    taken: bool = False  # whether a datum came
    refused: str = ""  # the schema that was refused when the channel was found
    trouble: str = ""
    rival: Found | None = None  # another relay that serves the name
    rival_ns: int = 0
    rival_heard_ns: int = 0


class LiveChannels:
    """Receives channels from entering on until it is left.

    Args:
        inbox: gets what arrives, and what is told of the channels.
        stop: ends the reception, too.
        names: the channels to receive.
        endpoints: groups to receive, of whatever channel.
        everything: receive all that are announced, up to `CHANNEL_LIMIT`.
        on: interfaces by name or address; empty for loopback and every multicast interface.
        decimated: take the thin groups.
        thin: take the thin group where its method is "minmax", which hides no spike.
        time_unit: of an abscissa that does not tell its own.

    Attributes:
        failure: why a SOURCE makes no sense; None when all do.
    """

    def __init__(
        self,
        inbox: Inbox,
        stop: Stop,
        *,
        names: Collection[str] = (),
        endpoints: Collection[Endpoint] = (),
        everything: bool = False,
        on: Sequence[str] = (),
        decimated: bool = False,
        thin: bool = False,
        time_unit: str | None = None,
    ) -> None:
        self._inbox, self._stop, self._quit = inbox, stop, Stop()
        self._everything, self._decimated, self._thin = everything, decimated, thin
        self._time_unit = time_unit
        self._on, self._asking = interfaces.receiving(on), interfaces.sending(on)
        self._lives: dict[_Key, _Live] = {}
        self._by_fd: dict[int, _Live] = {}
        self._words: deque[tuple[Announcement, Address]] = deque(maxlen=_WORDS)
        self._poll = select.poll()
        self._stack = ExitStack()
        self._full_told = False
        self.failure: SpeedDataError | None = None
        wanted: list[tuple[_Key, str]] = [(name.lower(), name) for name in names]
        wanted += [(endpoint, str(endpoint)) for endpoint in endpoints]
        for key, source in wanted:
            live = self._add(key, source, source)
            live.trouble = live.watched.problem = _NOBODY
        self._thread = threading.Thread(target=self._receive, name="live", daemon=True)

    def __enter__(self) -> Self:
        """Raises:
        HostError: the discovery group cannot be joined, or an interface not be sent by.
        """
        _allow_files()
        self._discovery = self._stack.enter_context(Discovery(self._on, self._asking))
        with contextlib.ExitStack() as unless_begun:
            unless_begun.callback(self._stack.close)
            self._discovery.query()
            unless_begun.pop_all()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._quit.ask()
        self._thread.join()
        for live in self._lives.values():
            self._stop_listening(live)
        self._stack.close()

    # -- the thread -----------------------------------------------------------------------------------------

    def _receive(self) -> None:
        try:
            self._receive_until_the_end()
        except SpeedDataError as exc:
            self.failure = exc
        except Exception as exc:  # a thread that dies unseen would leave a picture that stands still
            log.debug("the reception ended", exc_info=True)
            self.failure = HostError(f"the reception ended: {exc}")

    def _receive_until_the_end(self) -> None:
        for fd in (self._stop.fd, self._quit.fd, self._discovery.fileno()):
            self._poll.register(fd, select.POLLIN)
        begun = time.monotonic()
        ask_at, look_at = [begun + after for after in _ASK_AT_S], begun
        while not (self._stop.asked or self._quit.asked):
            wait_s = 0 if self._words else _LOOK_UP_S
            ready = [self._by_fd[fd] for fd, _ in self._poll.poll(wait_s * 1000) if fd in self._by_fd]
            self._hear()
            for live in ready:
                self._drain(live)
            now = time.monotonic()
            if ask_at and now >= ask_at[0]:
                ask_at.pop(0)
                self._discovery.query()
            if now >= look_at:
                look_at = now + _LOOK_UP_S
                for live in self._lives.values():
                    self._look_at(live, time.monotonic_ns())
            if ready:
                self._quit.wait(_GATHER_S)  # the next ones gather meanwhile

    def _hear(self) -> None:
        """Listen to what is announced, as long as a turn may take."""
        self._words += self._discovery.receive()
        if not self._words:
            return
        until = time.monotonic() + _WORDS_S
        while self._words:
            said, address = self._words.popleft()
            if said.role in (ROLE_RELAY, ROLE_SOURCE):
                for key, endpoint in self._meant(said):
                    self._heard(key, Found(said, address, endpoint), time.monotonic_ns())
            if time.monotonic() > until:
                return

    def _drain(self, live: _Live) -> None:
        receiver, following = live.receiver, live.following
        if receiver is None or following is None:
            return
        for _ in range(_ROUNDS):
            try:
                arrivals = receiver.receive()
            except OSError as exc:
                live.trouble = f"{following.found.endpoint}: cannot receive: {exc.strerror}"
                self._stop_listening(live)
                return
            if arrivals:
                self._hear()  # a relay says that the schema is new before the first datum that needs it
                live.datum_ns, live.taken = time.time_ns(), True
                now_ns = time.monotonic_ns()
            for _, data, offsets in arrivals:
                for batch in following.batches(data, offsets, now_ns):
                    self._inbox.put(live.watched, batch)
            if live.receiver is not receiver:  # another group, since what was just heard
                return
            if not receiver.more:
                following.settle()
                return

    # -- announcements --------------------------------------------------------------------------------------

    def _meant(self, said: Announcement) -> Iterator[tuple[_Key, Endpoint]]:
        """Which of the wanted channels an announcement is about, and where to receive each."""
        full, decimated = said.group("full"), said.group("decimated")
        name = said.channel.lower()
        if self._everything or name in self._lives:
            thin = self._decimated or (self._thin and said.fields.get("method") == "minmax")
            if endpoint := decimated if thin else full:
                yield name, endpoint
        for endpoint in (full, decimated):
            if endpoint is not None and endpoint in self._lives:
                yield endpoint, endpoint

    def _heard(self, key: _Key, found: Found, now_ns: int) -> None:
        live = self._lives.get(key)
        if live is None:
            if not self._room(now_ns):
                return
            live = self._add(key, found.announcement.channel, "")
        following = live.following
        if following is None:
            self._begin(live, found, now_ns)
            return
        before = following.found
        if found.address != before.address and not _replaces(found, following, now_ns):
            if same_relay(found, before):
                return  # by another interface of it
            self._contested(live, following, found, now_ns)
            return
        following.heard(found, now_ns)
        if live.receiver is None or found.endpoint != before.endpoint:
            self._listen(live, found)
        elif found.address != before.address:
            self._connect(live, live.receiver, found.address)
        self._inbox.begin(live.watched, following.schema)
        self._look_at(live, now_ns)

    def _begin(self, live: _Live, found: Found, now_ns: int) -> None:
        if found.schema_text == live.refused:
            return
        try:
            live.following = Following(found, now_ns, time_unit=self._time_unit)
        except DataError as exc:
            live.refused, live.trouble = found.schema_text, str(exc)
            live.watched.problem = live.trouble
            return
        live.refused = live.trouble = ""
        live.datum_ns = time.time_ns()
        self._inbox.rename(live.watched, live.following.channel)
        self._listen(live, found)
        self._inbox.begin(live.watched, live.following.schema)
        self._look_at(live, now_ns)

    def _contested(self, live: _Live, following: Following, found: Found, now_ns: int) -> None:
        """Another relay serves the channel: so it is if both go on to speak."""
        if live.rival is None or live.rival.address != found.address:
            live.rival, live.rival_ns = found, now_ns
        live.rival_heard_ns = now_ns
        if following.heard_ns <= live.rival_ns:
            return
        first, second = sorted((following.found, found), key=lambda each: each.address)
        what = " and ".join(
            f"{each.address[0]}:{each.address[1]} ({each.endpoint})" for each in (first, second)
        )
        trouble = UsageError(
            f"two relays serve it: {what}",
            where=printable(following.channel),
            mend="name one by its endpoint",
        )
        live.trouble = str(trouble)
        if live.watched.source and now_ns - live.begun_ns < SILENCE_NS:
            self.failure = trouble

    # -- channels -------------------------------------------------------------------------------------------

    def _add(self, key: _Key, name: str, source: str) -> _Live:
        live = self._lives[key] = _Live(self._inbox.open(name, source), time.monotonic_ns())
        live.watched.endpoint = str(key) if isinstance(key, Endpoint) else ""
        return live

    def _room(self, now_ns: int) -> bool:
        """Whether there is room for one more; one that never said anything gives its place away."""
        if len(self._lives) < CHANNEL_LIMIT:
            return True
        for key, live in self._lives.items():
            idle = live.following is None or live.following.gone(now_ns)
            if idle and not (live.taken or live.watched.source):
                self._stop_listening(live)
                self._inbox.forget(live.watched)
                del self._lives[key]
                return True
        if not self._full_told:
            self._full_told = True
            log.warning("more than %d channels are announced; the others are left out", CHANNEL_LIMIT)
        return False

    def _listen(self, live: _Live, found: Found) -> None:
        self._stop_listening(live)
        live.watched.endpoint = str(found.endpoint)
        try:
            sock = sockets.listen(found.endpoint, interfaces=self._on, buffer_bytes=_BUFFER_BYTES)
        except HostError as exc:
            live.trouble = str(exc)
        except OSError as exc:
            live.trouble = f"{found.endpoint}: cannot listen: {exc.strerror}"
        else:
            live.trouble = ""
            receiver = live.receiver = Receiver(sock)
            self._by_fd[receiver.fileno()] = live
            self._poll.register(receiver.fileno(), select.POLLIN)
            self._connect(live, receiver, found.address)

    def _connect(self, live: _Live, receiver: Receiver, address: Address) -> None:
        try:
            receiver.connect(address)
        except OSError as exc:
            live.trouble = f"{address[0]}:{address[1]}: cannot be heard: {exc.strerror}"
            self._stop_listening(live)

    def _stop_listening(self, live: _Live) -> None:
        if live.receiver is not None:
            live.missed += live.receiver.drops()
            self._poll.unregister(live.receiver.fileno())
            del self._by_fd[live.receiver.fileno()]
            live.receiver.close()
            live.receiver = None

    def _look_at(self, live: _Live, now_ns: int) -> None:
        """Bring what is told of a channel up to date."""
        watched, following = live.watched, live.following
        if following is None:
            watched.problem = live.trouble
            return
        if live.rival is not None and now_ns - live.rival_heard_ns > SILENCE_NS:
            live.rival, live.trouble = None, ""
        said = following.found.announcement
        watched.received, watched.rejected = said.number("received"), said.number("rejected")
        watched.lost = said.number("lost") + said.number("lost_disk")
        watched.rate_hz, watched.thinning = _rate(said), following.thinning
        watched.problem = str(following.refusal) if following.refusal is not None else live.trouble
        if live.receiver is not None:
            watched.missed = live.missed + live.receiver.drops()
        silent = said.fields.get("state") == "silent" or following.silent(now_ns)
        watched.state = state = "end" if following.ended else "silent" if silent else "live"
        watched.since_ns = None if state == "live" else live.datum_ns


def _replaces(found: Found, following: Following, now_ns: int) -> bool:
    """Whether a word counts although it comes from another address than those before."""
    before = following.found.announcement.role
    return following.gone(now_ns) or (before == ROLE_SOURCE and found.announcement.role == ROLE_RELAY)


def _rate(said: Announcement) -> float:
    """What somebody on the network calls a rate."""
    try:
        rate = float(said.fields.get("rate_hz", ""))
    except ValueError:
        return 0.0
    return rate if math.isfinite(rate) and rate > 0 else 0.0


def _allow_files() -> None:
    """Raise the soft limit of open files where it is lower than the channels need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
