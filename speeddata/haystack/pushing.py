"""Windows of datums become tables, tables calls, and positions move once all before them has arrived."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np

from speeddata import columnar, cutting
from speeddata.avro import codec
from speeddata.avro.codec import Column
from speeddata.avro.schema import Schema
from speeddata.batch import Batch
from speeddata.cutting import Range
from speeddata.errors import DataError, UsageError
from speeddata.feeding import Item
from speeddata.haystack.batching import MAX_BYTES, Call, calls
from speeddata.haystack.points import Point, Table
from speeddata.haystack.positions import Place, State
from speeddata.haystack.preparing import Aside, Preparer, check
from speeddata.recording.reading import Recorded
from speeddata.stages import Tally

_PLAIN = (bool, int, float, str)

log = logging.getLogger("speeddata")

# Points for the signals of a channel that was not there at the start, or whose schema has changed.
Addresses = Callable[[str, Schema], Sequence[Point]]
# Signals whose samples, by a schema of their channel, are not what their points take, and why.
Misfits = Callable[[str, Schema], Mapping[str, str]]


class Keeper(Protocol):
    """Keeps samples that have no place on the server; `SetAside` is one."""

    @property
    def count(self) -> int: ...

    def keep(self, table: Table, reason: str) -> None: ...

    def keep_all(self, asides: Iterable[Aside]) -> None: ...


@dataclass
class Pusher:
    """Takes windows, sends what is in them.

    Args:
        prepare: makes the points that it is given a preparer.
        send: delivers a call, whatever it takes.
        aside: keeps what has no place on the server.
        state: keeps positions; None: nothing is kept.
        span: what lies outside it is left out.
        more_points: asked for channels and schemas that *known* does not have.
        misfits: asked once for each schema; what it names is set aside.
        points: known now.
        known: the channels, in lower case, and the texts of the schemas whose points they are.
        max_bytes: of a call.

    Attributes:
        steps: times that were sent, for each time zone and precision.
        newest_ns: the greatest of them, since 1970; None where there was none.
        undecodable: datums of damaged blocks.
    """

    prepare: Callable[[Sequence[Point]], Preparer]
    send: Callable[[Call], None]
    aside: Keeper
    state: State | None
    span: Range
    more_points: Addresses
    points: list[Point]
    misfits: Misfits = lambda channel, schema: {}
    known: set[tuple[str, str]] = field(default_factory=set)
    max_bytes: int = MAX_BYTES
    steps: int = field(default=0, init=False)
    newest_ns: int | None = field(default=None, init=False)
    undecodable: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.preparer = self.prepare(self.points)
        if self.state is not None:
            self.preparer.restore(self.state.preparer)
        self._signals = _signals(self.points)
        self._unfit: set[str] = set()  # points whose signals are of another kind or unit
        self._merging_told = False
        self._misfits: dict[tuple[str, str], Mapping[str, str]] = {}

    def push(self, window: Sequence[Item]) -> None:
        """Send what is in *window*; when this returns, it is on the server or set aside, and remembered.

        Raises:
            PeerError: the server cannot be reached, or refuses everything: the positions stay.
            HostError: what has to be kept cannot be written.
            UsageError: the abscissa is no time.
        """
        for item in window:
            self._meet(item.channel, item.batch.schema)
        tables: list[Table] = []
        for channel, batches in _by_channel(item for item in window if not self._was_sent(item)).items():
            if names := self._signals.get(channel.lower()):
                tables += self._tables(channel, batches, names)
        if any(item.recorded is None for item in window):
            self._tell_merging()
        self._send(tables)
        if self.state is not None:
            self.state.preparer = self.preparer.state()
            self.state.moved(self._places(window))

    def finish(self) -> None:
        """Send what was held back for moments that may not be over; should more come, it is sent again."""
        tables = self.preparer.flush()
        self._send(tables)
        if tables and self.state is not None:
            self.state.preparer = self.preparer.state()
            self.state.save()

    def _tell_merging(self) -> None:
        """Of what is live nobody may know how fast it is before it comes, nor tell it at the end."""
        told = self.preparer.told
        if told.merged and not self._merging_told:
            self._merging_told = True
            what = "samples share a moment of their point, and what --resample makes of them is sent"
            log.warning("%s: %s", told.merged_example, what)

    def _meet(self, channel: str, schema: Schema) -> None:
        """Ask for the points of what was not there when the run began."""
        if (channel.lower(), schema.text) in self.known:
            return
        self.known.add((channel.lower(), schema.text))
        known = {point.id for point in self.points}
        if new := [point for point in self.more_points(channel, schema) if point.id not in known]:
            state = self.preparer.state()
            told = self.preparer.told
            self.points += new
            self.preparer = self.prepare(self.points)
            self.preparer.restore(state)
            self.preparer.told = told
            self._signals = _signals(self.points)

    def _tables(self, channel: str, batches: Iterable[Batch], names: Sequence[str]) -> list[Table]:
        tally = Tally()
        found: list[Table] = []
        # Schema by schema: one that makes another kind of a signal must not hold up what comes behind it.
        for _, alike in groupby(batches, key=lambda batch: batch.schema.text):
            cut = cutting.cut(alike, self.span)
            for schema, columns in columnar.pieces(cut, names, tally=tally, where=channel):
                found += self.preparer.tables(channel, schema, self._fitting(channel, schema, columns))
        self.undecodable += tally.undecodable
        return found

    def _fitting(self, channel: str, schema: Schema, columns: Mapping[str, Column]) -> Mapping[str, Column]:
        """*columns* without those that are not of their point's kind and unit, which are set aside."""
        found = dict(columns)
        if (key := (channel.lower(), schema.text)) not in self._misfits:
            self._misfits[key] = self.misfits(channel, schema)
        misfits = self._misfits[key]
        for point in self.points:
            if point.channel.lower() != channel.lower() or point.signal not in columns:
                continue
            column = columns[point.signal]
            try:
                if why := misfits.get(point.signal):
                    name = f"signal {point.channel}.{point.signal}"
                    raise DataError(f"{name} {why}", mend="convert it, and send it by itself")
                check(point, column)
            except DataError as exc:
                del found[point.signal]
                if point.id not in self._unfit:
                    self._unfit.add(point.id)
                    log.warning("%s; set aside; %s", exc.what, exc.mend)
                self.aside.keep_all([_aside(point, exc.what, schema, columns[schema.abscissa.name], column)])
        return found

    def _send(self, tables: Sequence[Table]) -> None:
        self.aside.keep_all(self.preparer.take_aside())
        for call in calls(tables, max_bytes=self.max_bytes):
            self.send(call)
            for table in call:
                self.steps += len(table.times_ns)
                newest = int(table.times_ns[-1])
                self.newest_ns = newest if self.newest_ns is None else max(newest, self.newest_ns)

    def _was_sent(self, item: Item) -> bool:
        if self.state is None or item.recorded is None:
            return False
        return self.state.sent(item.channel, item.recorded.path, item.recorded.block.offset)

    def _places(self, window: Iterable[Item]) -> list[Place]:
        """Behind the last block of each file whose channel has points."""
        last: dict[tuple[str, Path], Recorded] = {}
        for item in window:
            if item.recorded is None or self._was_sent(item):  # what was is behind its place, or at it
                continue
            if item.channel.lower() in self._signals:
                last[item.channel, item.recorded.path] = item.recorded
        return [
            Place(channel, path, recorded.position(recorded.batch.count), _newest_ns(recorded.batch))
            for (channel, path), recorded in last.items()
        ]


def _aside(point: Point, why: str, schema: Schema, abscissa: Column, column: Column) -> Aside:
    """All samples of *column* as they are to be kept; what JSON has no word for as text."""
    there = slice(None) if column.valid is None else column.valid
    times = abscissa.values[there].astype(object)
    if abscissa.valid is not None:
        times[~abscissa.valid[there]] = None
    plain = [each if isinstance(each, _PLAIN) else str(each) for each in column.values[there].tolist()]
    values = np.empty(len(plain), object)
    values[:] = plain
    return Aside(point, why, schema.time_unit or "ns", times, values)


def _newest_ns(batch: Batch) -> int | None:
    """The greatest time in *batch*, since 1970; None where none is a time."""
    try:
        times = codec.abscissa(batch)
        there = np.isfinite(times) if times.dtype.kind == "f" else times != np.iinfo(np.int64).min
        return cutting.time_ns(batch.schema, times[there].max().item()) if there.any() else None
    except (DataError, UsageError):
        return None


def _by_channel(window: Iterable[Item]) -> dict[str, list[Batch]]:
    found: dict[str, list[Batch]] = {}
    for item in window:
        found.setdefault(item.channel, []).append(item.batch)
    return found


def _signals(points: Iterable[Point]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for point in points:
        found.setdefault(point.channel.lower(), []).append(point.signal)
    return found
