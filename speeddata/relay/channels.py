"""The channels that a relay serves: made when first heard of, announced every second and when asked."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from speeddata.errors import DataError
from speeddata.names import DISCOVERY
from speeddata.relay.once import Once
from speeddata.relay.serving import FixedChannel, Outlets, ServedChannel, Status
from speeddata.wire import announcement
from speeddata.wire.announcement import END

if TYPE_CHECKING:
    from speeddata.recording.recorder import Recorder
    from speeddata.wire.datagrams import Sender

SECOND_NS = 1_000_000_000
ANSWER_EVERY_NS = SECOND_NS // 10  # at most: a flood of queries echoes no flood
GOODBYES = 3


class Channels:
    """What is served, by name without regard to case.

    Args:
        fixed: channels that the user names, by their names in lower case.
        factor, method: of the decimation of channels that fix none.
        sender: to the groups.
        recorder: None records nothing.
        outlets: the endpoints that are free.
        once: for what is told once.
    """

    def __init__(
        self,
        fixed: Mapping[str, FixedChannel],
        *,
        factor: int,
        method: str,
        sender: Sender,
        recorder: Recorder | None,
        outlets: Outlets,
        once: Once,
    ) -> None:
        self._fixed, self._factor, self._method = fixed, factor, method
        self._sender, self._recorder, self._outlets = sender, recorder, outlets
        self._once = once
        self._served: dict[str, ServedChannel] = {}
        self.due_ns = 0  # when the first of them is to be announced
        self._answer_ns = self._answered_ns = 0

    def __iter__(self) -> Iterator[ServedChannel]:
        return iter(self._served.values())

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._served

    def __getitem__(self, name: str) -> ServedChannel:
        return self._served[name.lower()]

    def get(self, name: str) -> ServedChannel | None:
        return self._served.get(name.lower())

    def made(self, name: str, held: Iterable[str]) -> ServedChannel:
        """The channel *name*, made if it is not there.

        Args:
            name: of the channel.
            held: names that sessions hold; channels of other names make room for a new one.

        Raises:
            HostError: no port is left to serve it on.
        """
        known = self.get(name)
        if known is not None:
            return known
        self._make_room(held)
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
        self.due_ns = min(self.due_ns, channel.announce_at_ns)
        self._served[name.lower()] = channel
        return channel

    def _make_room(self, held: Iterable[str]) -> None:
        """A channel whose session the roster has given up makes room for another."""
        kept = {name.lower() for name in held} | self._fixed.keys()
        for name, channel in list(self._served.items()):
            if name not in kept:
                channel.end()
                self._outlets.release(channel.full)
                del self._served[name]

    # -- announcements -----------------------------------------------------------------------------------

    def asked(self, name: str, now_ns: int) -> None:
        """Somebody asks for *name*, or for all (`*`): they are announced as soon as the limit allows."""
        if (name == "*" or name in self) and not self._answer_ns:
            self._answer_ns = max(now_ns, self._answered_ns + ANSWER_EVERY_NS)
            self.due_ns = min(self.due_ns, self._answer_ns)

    def announce_due(self, now_ns: int) -> None:
        """Announce what is due, if anything is."""
        if now_ns < self.due_ns:  # the channels are not asked one by one 500 times a second
            return
        answer = 0 < self._answer_ns <= now_ns
        if answer:
            self._answer_ns, self._answered_ns = 0, now_ns
        self.due_ns = self._answer_ns or now_ns + SECOND_NS
        for channel in self:
            due = now_ns >= channel.announce_at_ns
            if due:
                channel.announce_at_ns = now_ns + SECOND_NS
            if due or answer:
                self.announce(channel, now_ns)
            self.due_ns = min(self.due_ns, channel.announce_at_ns)

    def announce(self, channel: ServedChannel, now_ns: int, *, state: str = "") -> None:
        """Say of *channel* what it is and how it is, now."""
        if channel.schema is None:
            return
        try:
            datagram = announcement.encode(channel.announcement(now_ns, state=state))
        except DataError as exc:
            self._once.tell((channel.name, "announce"), logging.WARNING, f"{channel.name}: {exc}")
            return
        self._sender.send_one(datagram, DISCOVERY.address)

    # -- counts, and the end -----------------------------------------------------------------------------

    def statuses(self) -> list[Status]:
        now_ns = time.monotonic_ns()
        return [channel.status(now_ns) for channel in self if channel.schema is not None]

    def each_second(self, now_ns: int) -> None:
        """Work out rates, tell the ledger what only we know, keep the ports for the next run."""
        for channel in self:
            channel.measure(now_ns)
            channel.tell_writer()
            channel.remember(self._outlets.port(channel.name))

    def finish(self, now_ns: int) -> None:
        """Serve what is left of windows, say goodbye, end the recordings."""
        for channel in self:
            channel.end_window()
            for _ in range(GOODBYES):
                self.announce(channel, now_ns, state=END)
        for channel in self:
            channel.measure(now_ns)
            channel.remember(self._outlets.port(channel.name))
            channel.end()
