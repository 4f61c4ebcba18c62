"""From a recording to a customer: read, cut into messages, sent, and only then the position moves.

The recording is the store of what is not sent yet. While the destination is away, reading waits; when it is
back, everything goes out in order. What was sent and not remembered goes out again, with the same ids.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from speeddata.errors import HostError, Interrupted, SpeedDataError
from speeddata.feeding import Feed, Item
from speeddata.interrupts import Stop
from speeddata.recording import listing
from speeddata.recording.catalogue import Position
from speeddata.recording.reading import Recorded
from speeddata.sources import Wanted
from speeddata.subscription import starting
from speeddata.subscription.customers import State, Subscription
from speeddata.subscription.destinations import Destination
from speeddata.subscription.engine import Message, Outlet, TooLarge
from speeddata.subscription.messages import BlockRef, Losses, Part, cut
from speeddata.subscription.places import Places
from speeddata.subscription.reconnecting import Line, Stopped
from speeddata.subscription.registry import Registry
from speeddata.subscription.subscribed import Served, Subscribed
from speeddata.subscription.times import Precision

_LOT_BYTES, _LOT_MESSAGES = 1 << 20, 500  # that are sent together
_IDLE_S = 0.5  # between two looks at the registry while nothing comes
_SETTLE_S = 60.0  # between two looks for files that were closed

log = logging.getLogger("speeddata")


@dataclass(frozen=True)
class Wish:
    """How a customer is served.

    Attributes:
        once: end when all there is has been sent.
        retry_s: how long to try while the destination is away; None: for ever.
        flush_s: so long at most datums wait for others that go with them.
        begin_ns: where to begin, whatever was sent: a time, 0 for all there is; None: where it goes on.
        precision, quality: of the envelope; see `Encoder`.
        time_unit: of an abscissa that does not tell its own.
    """

    once: bool = False
    retry_s: float | None = None
    flush_s: float = 0.05
    begin_ns: int | None = None
    precision: Precision = "ms"
    quality: str | None = None
    time_unit: str | None = None


@dataclass
class Sent:
    """What a run has sent.

    Attributes:
        messages, datapoints, bytes: acknowledged.
        gaps: that were found.
        too_large: messages that the destination never takes.
        damaged: datums of damaged blocks.
        damaged_bytes: of damaged places in files.
        timeless: datapoints without a time that can be written.
        crowded: samples that share their written time with the one before, by channel.
    """

    messages: int = 0
    datapoints: int = 0
    bytes: int = 0
    gaps: int = 0
    too_large: int = 0
    damaged: int = 0
    damaged_bytes: int = 0
    timeless: int = 0
    crowded: dict[str, int] = field(default_factory=dict)


class Forwarder:
    """Serves one customer from one recording.

    Args:
        registry: of subscriptions and positions.
        customer: whose.
        directory: of the recording.
        destination: reads the connection string anew.
        open_outlet: opens it.
        stop: ends the run; what was acknowledged by then is remembered.
    """

    def __init__(
        self,
        registry: Registry,
        customer: str,
        directory: Path,
        destination: Callable[[], Destination],
        open_outlet: Callable[[Destination], Outlet],
        stop: Stop,
        wish: Wish,
    ) -> None:
        self._registry, self._customer, self._directory = registry, customer, directory
        self._stop, self._wish = stop, wish
        self._subscribed = Subscribed(registry, customer, precision=wish.precision, quality=wish.quality)
        self._places = Places(registry, customer, directory)
        self._state: State | None = None
        self._line = Line(destination, open_outlet, stop, retry_s=wish.retry_s, tell=self._tell)
        self._losses = Losses()
        self._settled = time.monotonic()
        self._begun: set[str] = set()  # channels that were begun where the wish says
        self.sent = Sent()

    def run(self, seen: Callable[[Sent], None] = lambda sent: None) -> Sent:
        """Serve until all is sent (`Wish.once`), or until asked to stop; *seen* hears of each window.

        Without `Wish.once` a directory that is not there yet is waited for.

        Raises:
            UsageError: the connection string is none, or its library is not installed.
            PeerError: the destination was away longer than `Wish.retry_s`.
            HostError, DataError: the recording or the registry cannot be read or written.
        """
        self._tell("waiting")
        state: State = "idle"
        try:
            with self._line:
                while self._is_there() and self._served(seen):
                    pass
        except Stopped:
            pass
        except SpeedDataError as exc:
            if not isinstance(exc, Interrupted):
                state = "failed"
                self._tell(state, str(exc))
            raise
        finally:
            if state == "idle":
                self._tell(state)
        return self.sent

    def _is_there(self) -> bool:
        while not self._directory.is_dir():
            if self._wish.once:
                raise HostError("is no directory", where=str(self._directory))
            if self._stop.wait(_IDLE_S):
                return False
        return True

    def _served(self, seen: Callable[[Sent], None]) -> bool:
        """Serve until the subscriptions change (True), or to the end."""
        stop = _Part(self._stop)
        feed = Feed(
            [f"{self._directory}/"],
            Wanted(follow=not self._wish.once, time_unit=self._wish.time_unit),
            stop,
            start=self._begin(),
            flush_s=self._wish.flush_s,
            idle_s=_IDLE_S,
        )
        at_end = False
        try:
            with feed:
                for window in feed:
                    if self._subscribed.look():  # what is wanted now may have been passed over
                        return not self._stop.asked
                    self._places.gone(feed.gone())
                    self._forward(window)
                    self._subscribed.tell_unmatched()
                    seen(self.sent)
                    self._settle()
            self._places.gone(feed.gone())
            at_end = True
            return False
        finally:
            files = self._listing()
            if at_end:
                self._places.end(files, self._begun)
            self._places.settle(files)
            self.sent.gaps = self._places.gaps
            self.sent.damaged_bytes += feed.damaged_bytes

    def _settle(self) -> None:
        if time.monotonic() - self._settled >= _SETTLE_S:
            self._settled = time.monotonic()
            self._places.settle(self._listing())

    def _listing(self) -> listing.Listing:
        return listing.listing([self._directory]) if self._directory.is_dir() else {}

    def _begin(self) -> dict[str, Position]:
        """Where reading begins in each channel that is there; what is not wanted is passed over."""
        files = self._listing()
        told = self._places.ledgers.look() - {channel.lower() for channel in files}
        for channel in sorted(told):  # of these there is nothing left
            if wants := self._subscribed.may_want(channel):
                self._places.begin(channel, self._begin_of(channel, (), wants), ())
        self._places.missing(files)
        start: dict[str, Position] = {}
        for channel, paths in files.items():
            wants = self._subscribed.wants(channel, starting.schemas(paths, self._wish.time_unit))
            if wants:
                begin = self._begin_of(channel, paths, wants)
                self._begun.add(channel.lower())
                self._places.begin(channel, begin, paths)
            else:
                begin = starting.Begin(starting.end(paths))
                self._places.forget(channel)
                self._begun.discard(channel.lower())
            if begin.position is not None:
                start[channel] = begin.position
        self._subscribed.tell_unmatched()
        return start

    def _begin_of(self, channel: str, paths: Sequence[Path], wants: Sequence[Subscription]) -> starting.Begin:
        place, now_ns = self._places.get(channel), time.time_ns()
        again = self._wish.begin_ns is not None and channel.lower() not in self._begun
        if place is not None and not again:
            return starting.behind(place, paths, self._places.ledgers, now_ns)
        if again:
            added_ns = 0 if place is not None else min(each.added_ns for each in wants)
            wants = [Subscription("*/*", 0, added_ns, self._wish.begin_ns or None)]
        unit = self._wish.time_unit
        return starting.asked_for(channel, paths, wants, self._places.ledgers, now_ns, unit, place)

    def _forward(self, window: Sequence[Item]) -> None:
        """Send what is in *window*, channel by channel, and remember how far that is."""
        by_channel: dict[str, list[Recorded]] = {}
        for item in window:
            if item.recorded is not None:
                by_channel.setdefault(item.channel, []).append(item.recorded)
        for channel, recorded in by_channel.items():
            for _, run in groupby(recorded, key=lambda each: each.path):
                blocks = list(run)
                served = self._subscribed.served(channel, blocks[0].batch.schema)
                if served is not None:
                    self._begun.add(channel.lower())
                    self._places.reach(channel, blocks[0])
                    self._send(channel, served, blocks)
                elif self._places.get(channel) is not None:  # of another form, in which nothing is wanted
                    self._places.reach(channel, blocks[0])
                    self._places.moved(channel, blocks[-1])

    def _send(self, channel: str, served: Served, recorded: Sequence[Recorded]) -> None:
        """Send blocks of one file, and remember how far that is."""
        if self._places.get(channel) is None:  # whatever comes now, it begins here
            self._places.moved(channel, recorded[0], begin=True)
        encoder = served.encoder
        refs = [BlockRef(each.sync, each.block.offset, each.batch) for each in recorded]
        crowded, timeless, too_large = encoder.crowded, encoder.timeless, self._losses.too_large
        newest_ns: int | None = None
        before = self._counts()
        for lot in _lots(cut(refs, encoder, served.rev, losses=self._losses)):
            if newest_ns is not None:  # all up to this lot is acknowledged
                self._moved(channel, recorded[lot[0].block], newest_ns, before, begin=True)
                before = self._counts()
            if self._stop.asked:
                raise Stopped
            newest_ns = max(each.time_ns for each in lot)
            self._send_lot(channel, lot)
        self.sent.timeless += encoder.timeless - timeless
        self.sent.damaged = self._losses.damaged
        if encoder.crowded > crowded:
            self._tell_crowded(channel, encoder.crowded - crowded)
        if self._losses.too_large > too_large:
            self._tell_too_large(channel, recorded, self._losses.too_large - too_large)
        self._moved(channel, recorded[-1], newest_ns, before)

    def _send_lot(self, channel: str, parts: list[Part]) -> None:
        while parts:
            messages = [Message(each.id, self._customer, channel, each.body, each.time_ns) for each in parts]
            try:
                self._line.send(messages)
                self._count(parts)
                return
            except TooLarge as exc:
                at = next((place for place, each in enumerate(parts) if each.id == exc.id), 0)
                self._count(parts[:at])
                self.sent.too_large += 1
                what = f"message {exc.id} of {len(parts[at].body):,} bytes: {exc.what}"
                self._places.keep_gap(channel, parts[at].time_ns, parts[at].time_ns, what)
                parts = parts[at + 1 :]

    def _count(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self.sent.messages += 1
            self.sent.datapoints += part.points
            self.sent.bytes += len(part.body)

    def _counts(self) -> tuple[int, int, int]:
        return self.sent.messages, self.sent.datapoints, self.sent.bytes

    def _moved(
        self,
        channel: str,
        recorded: Recorded,
        newest_ns: int | None,
        before: tuple[int, int, int],
        *,
        begin: bool = False,
    ) -> None:
        messages, datapoints, size = (
            count - past for count, past in zip(self._counts(), before, strict=True)
        )
        self._places.moved(
            channel,
            recorded,
            begin=begin,
            newest_ns=newest_ns,
            messages=messages,
            datapoints=datapoints,
            bytes=size,
        )

    # -- what is told ---------------------------------------------------------------------------------------

    def _tell(self, state: State, error: str | None = None) -> None:
        if state != self._state or error is not None:
            self._state = state
            self._registry.tell(self._customer, state, time.time_ns(), error)

    def _tell_too_large(self, channel: str, recorded: Sequence[Recorded], count: int) -> None:
        self.sent.too_large += count
        first, last = recorded[0], recorded[-1]
        place = f"{first.path.name}, bytes {first.block.offset} to {last.block.offset + last.block.size}"
        what = f"{place}: {count} datapoints that no message can hold"
        self._places.keep_gap(channel, None, None, what)

    def _tell_crowded(self, channel: str, count: int) -> None:
        if channel not in self.sent.crowded:
            log.warning(
                "%s: several samples share a written time of %s; --time-precision us or ns tells them apart",
                *(channel, self._wish.precision),
            )
        self.sent.crowded[channel] = self.sent.crowded.get(channel, 0) + count


class _Part(Stop):
    """The wish that a part of the work may end, or the *whole* of it."""

    def __init__(self, whole: Stop) -> None:
        self._whole, self._own = whole, False
        super().__init__()

    @property
    def asked(self) -> bool:
        return self._own or self._whole.asked

    @asked.setter
    def asked(self, asked: bool) -> None:
        self._own = asked

    def wait(self, seconds: float | None) -> bool:
        if not self.asked:
            poll = select.poll()
            for fd in (self.fd, self._whole.fd):
                poll.register(fd, select.POLLIN)
            poll.poll(None if seconds is None else max(0, seconds) * 1000)
            self._whole.wait(0)
        return self.asked


def _lots(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Parts in lots that are sent together."""
    lot: list[Part] = []
    size = 0
    for part in parts:
        lot.append(part)
        size += len(part.body)
        if size >= _LOT_BYTES or len(lot) >= _LOT_MESSAGES:
            yield lot
            lot, size = [], 0
    if lot:
        yield lot
