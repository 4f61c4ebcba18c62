"""A run put together: what is read, which points there are, how they are written, what is remembered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

from speeddata import cutting
from speeddata.avro.schema import Schema
from speeddata.cutting import Range
from speeddata.errors import UsageError
from speeddata.feeding import Feed, Item
from speeddata.haystack.addressing import addressed, entries, other_units, refuse_none
from speeddata.haystack.batching import MAX_BYTES, Call
from speeddata.haystack.client import Client
from speeddata.haystack.delivery import Delivery
from speeddata.haystack.hisgrid import batch_body
from speeddata.haystack.joining import Problem
from speeddata.haystack.patience import Outage
from speeddata.haystack.points import Point, Table
from speeddata.haystack.positions import State
from speeddata.haystack.preparing import Aside, Preparer, Told
from speeddata.haystack.pushing import Keeper, Pusher
from speeddata.haystack.refusals import Refusal
from speeddata.haystack.rules import Mapping
from speeddata.haystack.setaside import SetAside
from speeddata.haystack.surveying import Survey, survey
from speeddata.haystack.tiers import AGAIN_S, Form, Tiers
from speeddata.haystack.verifying import Verified, Verifier
from speeddata.interrupts import Stop
from speeddata.recording import listing
from speeddata.sources import Wanted, is_file
from speeddata.stages import Tally
from speeddata.table import many

NotANumber = Literal["na", "skip", "keep"]
Resample = Literal["last", "mean", "min", "max"]

log = logging.getLogger("speeddata")


@dataclass
class Summary:
    """What a run has done so far.

    Attributes:
        samples: written.
        calls: to hisWrite, or what stands in for it.
        steps: distinct times that were written, for each time zone and precision.
        points: that there are to write.
        newest_ns: time of the newest sample written.
        set_aside: samples kept in the file of rejects.
        refused: points that the server refused, and why, by id.
        told: what became of samples on their way.
        first: in a rehearsal, the body of the first call.
    """

    samples: int = 0
    calls: int = 0
    steps: int = 0
    points: int = 0
    newest_ns: int | None = None
    set_aside: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    first: bytes = b""


@dataclass(frozen=True)
class Wish:
    """How samples become values: see `Preparer`."""

    nan: NotANumber = "na"
    resample: Resample = "last"


class Run:
    """One run against one server.

    Args:
        named: SOURCEs.
        wanted: what the options say about them.
        span: what lies outside is left out; a range is sent again, and moves no position.
        client, state, aside, mapping: of the server.

    Attributes:
        problems: what keeps signals from their points, and what is to be known of the others.
        shortfalls: what could not be read or written, in words.
        interrupted: 130 or 143 where a signal came before the end of a recording, else 0.
    """

    def __init__(
        self,
        named: Sequence[str],
        wanted: Wanted,
        span: Range,
        stop: Stop,
        *,
        client: Client,
        state: State,
        aside: SetAside,
        mapping: Mapping,
        wish: Wish,
    ) -> None:
        self._named, self._wanted, self._stop = named, wanted, stop
        self._client, self._state, self._aside, self._mapping = client, state, aside, mapping
        self._wish = wish
        self._not_finite: Literal["na", "keep"] = "keep" if wish.nan == "keep" else "na"
        self._recorded = all(map(is_file, named))
        self.problems: list[Problem] = []
        self.shortfalls: list[str] = []
        self.interrupted = 0
        surveyed = survey([name for name in named if name != "-"], wanted, stop, listen=False)
        self._span = _ended(span, surveyed, wanted.time_unit)
        self._points = self._look_up(surveyed)
        self._surveyed = surveyed

    @property
    def points(self) -> Sequence[Point]:
        return self._points

    @property
    def total_bytes(self) -> int:
        """Of the recordings, what is there to be read; 0 where nobody knows, as of a range."""
        if not self._span.everything:
            return 0
        with_points = {point.channel.lower() for point in self._points}
        return sum(
            self._state.unsent(name, paths)
            for name, paths in self._surveyed.files.items()
            if name.lower() in with_points
        )

    def push(
        self,
        *,
        flush_s: float,
        seen: Callable[[Summary, int], None],
        rehearse: bool = False,
        eval_all: bool = False,
        max_bytes: int,
    ) -> Summary:
        """Write what is read, until its end; *seen* hears of each window, and how many bytes it had.

        Args:
            rehearse: write nothing, and remember nothing.

        Raises:
            PeerError: the server cannot be reached, or refuses everything.
            HostError, DataError: the rest cannot be read, or what has to be kept not be written.
        """
        summary = Summary(points=len(self._points))
        aside: Keeper = _Forgetful() if rehearse else self._aside
        writer: _Rehearsal | Tiers = _Rehearsal(self._not_finite) if rehearse else self._tiers(eval_all)
        delivery = Delivery(writer.write, aside.keep, where=self._client.where)
        remembers = self._span.everything and not rehearse
        pusher = Pusher(
            prepare=self._preparer,
            send=delivery.send,
            aside=aside,
            state=self._state if remembers else None,
            span=self._span,
            more_points=self._more_points,
            misfits=self._misfits,
            points=list(self._points),
            known={
                (name.lower(), each.text) for name, used in self._surveyed.schemas.items() for each in used
            },
            max_bytes=max_bytes,
        )

        def tell(size: int) -> None:
            summary.samples, summary.calls, summary.points = delivery.samples, writer.calls, len(self._points)
            summary.steps, summary.newest_ns = pusher.steps, pusher.newest_ns
            summary.set_aside, summary.refused = aside.count, delivery.refused
            summary.told = pusher.preparer.told
            seen(summary, size)

        ends = self._recorded and not self._wanted.follow
        with self._ending(), self._feed(flush_s) as feed:
            try:
                for window in feed:
                    pusher.push(window)
                    tell(sum(len(item.batch.data) for item in window))
                    if ends and self._stop.asked:
                        break
                pusher.finish()
            except Outage:
                if not (self._stop.status and self._recorded):
                    raise
                log.info("%s: not all was sent; the next run goes on there", self._client.where)
        tell(0)
        if isinstance(writer, _Rehearsal):
            summary.first = writer.first
        self.interrupted = self._stop.status if ends else 0
        if pusher.undecodable:
            self.shortfalls.append(Tally(pusher.undecodable).shortfall)
        if (shortfall := feed.shortfall()) is not None:
            self.shortfalls.append(shortfall.what)
        return summary

    def verify(self) -> list[Verified]:
        """Read back what was sent of recordings, up to their positions, and compare.

        Raises:
            UsageError: a SOURCE is no recording.
        """
        if not self._recorded:
            raise UsageError("only what is recorded can be compared", where="--verify")
        verifier = Verifier(
            self._client,
            not_finite=self._not_finite,
            whole=self._span.everything,
        )
        pusher = Pusher(
            prepare=self._preparer,
            send=verifier.check,
            aside=_Forgetful(),
            state=None,
            span=self._span,
            more_points=lambda channel, schema: [],
            misfits=self._misfits,
            points=list(self._points),
            max_bytes=MAX_BYTES,
        )
        with self._feed(0.0, again=True) as feed:
            for window in feed:
                pusher.push([item for item in window if self._was_sent(item)])
            pusher.finish()
        return verifier.finish()

    def _look_up(self, surveyed: Survey) -> list[Point]:
        wanted = entries(self._mapping, surveyed.schemas)
        if not self._wanted.follow:
            refuse_none(wanted, surveyed.schemas, self._mapping)
        joined = addressed(
            self._client, self._mapping, wanted, surveyed.schemas, sub_second=surveyed.sub_second
        )
        self.problems += joined.problems
        self._wanted_as = {(entry.channel.lower(), entry.signal): entry for entry in wanted}
        return joined.points

    def _misfits(self, channel: str, schema: Schema) -> dict[str, str]:
        return other_units(self._wanted_as, self._mapping.entries(channel, schema))

    def _more_points(self, channel: str, schema: Schema) -> list[Point]:
        """The points of what was not there when the run began.

        Raises:
            UsageError: the map says nothing of the only channel there is.
        """
        if len(self._named) == 1 and not self._recorded and not self._points:
            refuse_none(entries(self._mapping, {channel: [schema]}), {channel: [schema]}, self._mapping)
        known = {(point.channel.lower(), point.signal) for point in self._points}
        known |= {(problem.channel.lower(), problem.signal) for problem in self.problems}
        wanted = [
            entry
            for entry in entries(self._mapping, {channel: [schema]})
            if (channel.lower(), entry.signal) not in known
        ]
        if not wanted:
            return []
        self._wanted_as |= {(channel.lower(), entry.signal): entry for entry in wanted}
        joined = addressed(self._client, self._mapping, wanted, {channel: [schema]})
        self.problems += joined.problems
        for problem in joined.problems:
            log.warning("%s: %s; %s", *problem.row()[::2], problem.mend)
        self._points += joined.points
        return joined.points

    def _feed(self, flush_s: float, *, again: bool = False) -> Feed:
        """The reading of what has points: of all, *again*, or of a range, or behind what was sent before."""
        with_points = {point.channel.lower() for point in self._points}
        files = {name: paths for name, paths in self._surveyed.files.items() if name.lower() in with_points}
        start = self._state.start(files)
        again = again or not self._span.everything
        if not again:
            for gap in self._state.gaps:
                log.warning("%s", gap)
            if gaps := len(self._state.gaps):
                self.shortfalls.append(f"{many(gaps, 'file')} gone before the end was sent")
        return Feed(
            self._named,
            self._wanted,
            self._stop,
            only=None if self._wanted.follow else with_points,
            start=None if again else start,
            choice=cutting.choice(self._span),
            flush_s=flush_s,
        )

    def _ending(self) -> AbstractContextManager[None]:
        """--duration for recordings, whose rest the next run finds; what is live ends by itself."""
        duration_ns = self._wanted.duration_ns
        if duration_ns is None or not self._recorded:
            return nullcontext()
        return self._stop.after(duration_ns / 1e9)

    def _was_sent(self, item: Item) -> bool:
        recorded = item.recorded
        return recorded is not None and self._state.sent(item.channel, recorded.path, recorded.block.offset)

    def _preparer(self, points: Sequence[Point]) -> Preparer:
        return Preparer(points, nan=self._wish.nan, resample=self._wish.resample, now_ns=time.time_ns)

    def _tiers(self, eval_all: bool) -> Tiers:
        def remember(form: Form) -> None:
            self._state.server |= {"form": form, "found": str(int(time.time()))}
            self._state.save()

        return Tiers(
            self._client,
            form=_remembered(self._state.server, time.time()),
            found=remember,
            stop=self._stop,
            not_finite=self._not_finite,
            eval_all=eval_all,
        )


def _remembered(server: dict[str, str], now_s: float) -> Form | None:
    """The form of hisWrite that the server is known to take; that of old servers for a while only."""
    form, found = server.get("form"), server.get("found", "")
    if form == "batch":
        return "batch"
    recent = found.isdecimal() and len(found) < 16 and 0 <= now_s - int(found) < AGAIN_S
    return "single" if form == "single" and recent else None


class _Rehearsal:
    """Takes calls in a server's place."""

    def __init__(self, not_finite: Literal["na", "keep"]) -> None:
        self._not_finite: Literal["na", "keep"] = not_finite
        self.calls = 0
        self.first = b""

    def write(self, call: Call) -> Refusal | None:
        self.calls += 1
        self.first = self.first or batch_body(call, not_finite=self._not_finite)
        return None


class _Forgetful:
    """Takes rejects, and only counts them."""

    def __init__(self) -> None:
        self.count = 0

    def keep(self, table: Table, reason: str) -> None:
        self.count += table.samples

    def keep_all(self, asides: Iterable[Aside]) -> None:
        self.count += sum(len(aside.times) for aside in asides)


def _ended(span: Range, surveyed: Survey, time_unit: str | None) -> Range:
    """The range with the end of the data known, where --last asks for it.

    Raises:
        UsageError: there are no files, which alone have an end.
    """
    if span.last_ns is None:
        return span
    if not surveyed.files:
        raise UsageError("only files have an end", where="--last", mend="say how long with --duration")
    ends = [listing.end_ns(paths, time_unit) for paths in surveyed.files.values()]
    return span.ending(max((end for end in ends if end is not None), default=0))
