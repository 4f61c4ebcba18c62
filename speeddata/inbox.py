"""What arrives of many channels until somebody takes it: bounded, and who comes too late misses the oldest.

A picture that is drawn twenty times a second has no use for a thousand batches: those of a channel are handed
out joined. What is in them is looked at by whoever decodes them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

import numpy as np

from speeddata.avro.schema import Schema
from speeddata.batch import Batch
from speeddata.interrupts import Stop
from speeddata.thinning import Thinning

State = Literal["live", "silent", "end", "file", "reading"]

_CHANNEL_BYTES = 8 << 20
_ALL_BYTES = 64 << 20
_BATCH_BYTES = 500  # what a batch costs beside its datums
_ROOM_S = 0.02  # between two looks for room


@dataclass
class Watched:
    """A channel and what is told of it; its producer alone changes that.

    Attributes:
        name: of the channel; of a SOURCE that has not said it yet, the SOURCE.
        source: what the user named, empty where nothing was named.
        schema: of what comes next, once it is known.
        state: "live", "silent" or "end" of what is announced; "reading" or "file" (read) of what is not.
        since_ns: when it fell silent, or ended: nanoseconds since 1970; None while it is live, or not known.
        rate_hz, received, lost, rejected: as the relay says.
        undecodable: datums of blocks that are damaged.
        missed: datagrams, or trains of them, that the kernel gave up since we were too slow.
        endpoint: where its datums arrive, as text.
        problem: what is wrong with it, in one line; empty when all is well.
        thinning: of its datums, before they came here.
        channel: what it is called where it comes from.
    """

    name: str
    source: str = ""
    schema: Schema | None = None
    state: State = "silent"
    since_ns: int | None = None
    rate_hz: float = 0.0
    received: int = 0
    lost: int = 0
    rejected: int = 0
    undecodable: int = 0
    missed: int = 0
    endpoint: str = ""
    problem: str = ""
    thinning: Thinning = field(default_factory=Thinning)
    channel: str = ""
    # Of the inbox:
    dropped: int = field(default=0, init=False)
    told: Schema | None = field(default=None, init=False, repr=False)
    pending: deque[Batch] = field(default_factory=deque, init=False, repr=False)
    bytes: int = field(default=0, init=False, repr=False)


@dataclass(frozen=True)
class ChannelState:
    """A channel as it is now; see `Watched` for the rest.

    Attributes:
        dropped: datums that arrived and were given up, since nobody took them in time, or the kernel had no
            room (there a train of them counts once).
        undecodable: datums of damaged blocks, which were left out.
    """

    name: str
    state: State
    since_ns: int | None
    rate_hz: float
    received: int
    lost: int
    rejected: int
    dropped: int
    undecodable: int
    endpoint: str
    source: str
    problem: str
    thinning: Thinning = field(default_factory=Thinning)
    channel: str = ""


@dataclass(frozen=True)
class News:
    """What came of one channel, in order, under one schema; none where only the schema is new.

    Attributes:
        channel: its name.
        schema: the same object until it changes.
        batches: with their boundaries known; datums from the network can be anything.
    """

    channel: str
    schema: Schema
    batches: list[Batch]


class Inbox:
    """Channels by the order in which they came; safe between producers and one that takes."""

    def __init__(self) -> None:
        self._all: list[Watched] = []
        self._change = threading.Condition(threading.Lock())
        self._news = False
        self._waiting = False  # notifying costs a system call: only when somebody waits

    def open(self, name: str, source: str = "") -> Watched:
        """A new channel. Its name is made another where it is taken, by another SOURCE."""
        with self._change:
            watched = Watched(self._free(name, source), source, channel=name)
            self._all.append(watched)
            self._tell()
            return watched

    def rename(self, watched: Watched, name: str) -> None:
        """The channel says what it is called; what was put before goes by that name, too."""
        with self._change:
            watched.channel = name
            if watched.name != name:
                watched.name = ""
                watched.name = self._free(name, watched.source)
                self._tell()

    def forget(self, watched: Watched) -> None:
        """The channel gives its place to another."""
        with self._change:
            self._all.remove(watched)

    def _free(self, name: str, source: str) -> str:
        taken = {each.name.lower() for each in self._all}
        tries = [name, f"{name} ({source})"] if source and source != name else [name]
        for text in tries:
            if text.lower() not in taken:
                return text
        return next(
            text for n in range(2, len(taken) + 3) if (text := f"{tries[-1]} {n}").lower() not in taken
        )

    def begin(self, watched: Watched, schema: Schema) -> None:
        """What comes next of the channel is of *schema*."""
        with self._change:
            if watched.schema != schema:
                watched.schema = schema
                self._tell()

    def put(self, watched: Watched, batch: Batch) -> None:
        """Add a batch, its boundaries known; the oldest of the channel go where there is no room."""
        with self._change:
            self._add(watched, batch)
            limit = self._limit()
            while watched.bytes > limit and len(watched.pending) > 1:
                oldest = watched.pending.popleft()
                watched.bytes -= _weight(oldest)
                watched.dropped += oldest.count

    def put_waiting(self, watched: Watched, batch: Batch, stop: Stop) -> None:
        """The same, but wait for room: what is read from a file is not lost by waiting."""
        while watched.bytes > self._limit() and not stop.asked:
            stop.wait(_ROOM_S)
        with self._change:
            self._add(watched, batch)

    def _add(self, watched: Watched, batch: Batch) -> None:
        watched.pending.append(batch)
        watched.bytes += _weight(batch)
        self._tell()

    def _limit(self) -> int:
        return min(_CHANNEL_BYTES, _ALL_BYTES // max(1, len(self._all)))

    def _tell(self) -> None:
        self._news = True
        if self._waiting:
            self._change.notify()

    def wait(self, seconds: float) -> bool:
        """Wait until there is something to take, at most *seconds*; return whether there is."""
        deadline = time.monotonic() + seconds
        with self._change:
            self._waiting = True
            try:
                while not self._news and (left := deadline - time.monotonic()) > 0:
                    self._change.wait(left)
            finally:
                self._waiting = False
            return self._news

    def take(self) -> list[News]:
        """All that came since the last time, channel by channel; never waits."""
        with self._change:
            self._news = False
            taken = [(each, each.name, each.schema, list(each.pending)) for each in self._all]
            for each in self._all:
                each.pending.clear()
                each.bytes = 0
        return [
            news
            for each, name, schema, batches in taken
            if batches or schema is not each.told
            for news in _news(each, name, schema, batches)
        ]

    def states(self) -> list[ChannelState]:
        """Every channel as it is now."""
        with self._change:
            return [
                ChannelState(
                    each.name,
                    each.state,
                    each.since_ns,
                    each.rate_hz,
                    each.received,
                    each.lost,
                    each.rejected,
                    each.dropped + each.missed,
                    each.undecodable,
                    each.endpoint,
                    each.source,
                    each.problem,
                    each.thinning,
                    each.channel,
                )
                for each in self._all
            ]


def _news(watched: Watched, name: str, schema: Schema | None, batches: Sequence[Batch]) -> Iterator[News]:
    """*batches* joined, a piece of news for each run of one schema; the last is told even if nothing came."""
    for _, run in groupby(batches, key=lambda batch: batch.schema):
        parts = list(run)
        schema_told = _known(watched, parts[0].schema)
        yield News(name, schema_told, [_joined(schema_told, parts)])
    if schema is not None and schema != watched.told:
        yield News(name, _known(watched, schema), [])


def _known(watched: Watched, schema: Schema) -> Schema:
    """*schema*, or the one that was told before, where that is the same."""
    if watched.told is None or watched.told != schema:
        watched.told = schema
    return watched.told


def _joined(schema: Schema, parts: Sequence[Batch]) -> Batch:
    shifted, at = [np.zeros(1, np.int64)], 0
    for part in parts:
        assert part.offsets is not None
        shifted.append(part.offsets[1:] - part.offsets[0] + at)
        at += len(part.data)
    data = b"".join([part.data for part in parts])
    return Batch(schema, data, sum(part.count for part in parts), np.concatenate(shifted))


def _weight(batch: Batch) -> int:
    assert batch.offsets is not None
    return len(batch.data) + batch.offsets.nbytes + _BATCH_BYTES
