"""Rows to columns: channels, cut, picked and thinned, become the groups of a set."""

from __future__ import annotations

import itertools
import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from speeddata import columnar, cutting, decimation, stages, timerange
from speeddata.batch import Batch
from speeddata.cutting import EVERYTHING, Range
from speeddata.h5file import ChannelWriter, SetFile, chunk_rows
from speeddata.recording import catalogue, ledger
from speeddata.recording.ledger import Counts
from speeddata.sources import Channel, Channels

if TYPE_CHECKING:
    from speeddata.avro.codec import Column
    from speeddata.avro.schema import Schema
    from speeddata.columnar import Piece
    from speeddata.interrupts import Stop

_GATHERED_BYTES = 1 << 20
_PIECE_BYTES = (10 << 20, 18 << 20)  # of datums; of large ones a chunk of rows is more
Given = TypeVar("Given")
Done = TypeVar("Done")

_LOSSES = ("received", "lost", "lost_kernel", "lost_disk", "rejected")


@dataclass(frozen=True)
class Wish:
    """What of the channels goes into the set.

    Attributes:
        span: of time.
        signals: names and globs; none for all.
        factor, method: of decimation; a factor of 1 with "pick" leaves all.
        sort: order the samples by the abscissa where they are not.
    """

    span: Range = EVERYTHING
    signals: Sequence[str] = ()
    factor: int = 1
    method: str = "pick"
    sort: bool = False

    @property
    def thins(self) -> bool:
        return self.factor > 1 or self.method != "pick"


@dataclass
class Made:
    """A group that was made, or not: then it has no samples.

    Attributes:
        channel: its name.
        samples: in the group.
        taken: datums of the channel within the range, before they were thinned.
        undecodable: datums that were left out because they are none.
        least_ns, greatest_ns: of the abscissa, where it is a time.
    """

    channel: str
    samples: int = 0
    taken: int = 0
    undecodable: int = 0
    least_ns: int | None = None
    greatest_ns: int | None = None
    in_order: bool = field(default=True, repr=False)
    _last: Any = field(default=None, repr=False)

    def see(self, schema: Schema, column: Column) -> None:
        """Note the range and the order of the next values of the abscissa."""
        values = column.values if column.valid is None else column.values[column.valid]
        if values.dtype.kind not in "if" or not len(values):
            return
        self.in_order &= bool(np.all(values[1:] >= values[:-1])) and not (
            self._last is not None and values[0] < self._last
        )
        self._last = values[-1]
        if schema.time_unit is None:
            return
        for extreme, known in ((np.fmin, min), (np.fmax, max)):
            found = extreme.reduce(values).item()
            if not math.isfinite(found):
                continue
            name = "least_ns" if known is min else "greatest_ns"
            now, before = cutting.time_ns(schema, found), getattr(self, name)
            setattr(self, name, now if before is None else known(now, before))


def pivot(
    channels: Channels,
    into: SetFile,
    wish: Wish,
    stop: Stop,
    *,
    seen: Callable[[Batch], None] | None = None,
) -> list[Made]:
    """Write all *channels* as groups; those that are live at the same time, each in a thread of its own.

    Args:
        channels: open.
        into: the set.
        wish: what of them.
        stop: asked when one of them fails, so that the others end.
        seen: told every batch that is read, from any thread.
    """

    def one(channel: Channel) -> Made:
        try:
            return pivot_channel(channel, into, wish, seen=seen)
        except BaseException:
            stop.ask()
            raise

    if len(channels.live) < 2:
        return [one(channel) for channel in channels]
    with ThreadPoolExecutor(len(channels.live), thread_name_prefix="channel") as pool:
        live = [pool.submit(one, channel) for channel in channels.live]
        recorded = [one(channel) for channel in itertools.islice(channels, len(live), None)]
        return [each.result() for each in live] + recorded


def pivot_channel(
    channel: Channel,
    into: SetFile,
    wish: Wish,
    *,
    seen: Callable[[Batch], None] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Made:
    """Write *channel* as a group of *into*, if there is a sample of it.

    Args:
        channel: to read to its end.
        into: the set.
        wish: what of it.
        seen: told every batch that is read.
        attributes: of the group, instead of what the ledger says.
    """
    made, tally = Made(channel.name), stages.Tally()
    writer = into.channel(channel.name)
    for schema, columns in _pieces(channel, wish, made, tally, seen):
        made.see(schema, columns[schema.abscissa.name])
        writer.add(schema, columns)
    made.samples, made.undecodable = writer.count, tally.undecodable
    if tally.undecodable:
        channel.shortfalls.append(tally.shortfall)
    if made.samples:
        _finish(writer, channel, wish, made, attributes)
    return made


def _finish(
    writer: ChannelWriter, channel: Channel, wish: Wish, made: Made, attributes: Mapping[str, Any] | None
) -> None:
    if attributes is None:
        told = told_losses(channel.files, wish.span)
        arrived = made.taken + told.lost_disk + told.rejected
        counts = {**asdict(told), "received": arrived}
        attributes = {name: counts[name] for name in _LOSSES}
    names = [file.name for file in channel.files]
    thinned = channel.thinning.then(wish.factor, wish.method) if wish.thins else channel.thinning
    writer.finish(
        {"files": json.dumps(names), **asdict(thinned), **attributes}, sort=wish.sort and not made.in_order
    )


def _pieces(
    channel: Channel, wish: Wish, made: Made, tally: stages.Tally, seen: Callable[[Batch], None] | None
) -> Iterator[Piece]:
    batches: Iterator[Batch] = channel.batches
    if seen is not None:
        batches = _seen(batches, seen)
    if wish.thins or not wish.span.everything:
        batches = stages.told_apart(stages.gathered(batches, _GATHERED_BYTES), tally)
    batches = _counted(cutting.cut(batches, wish.span), made)
    if wish.thins:
        batches = decimation.thinned(batches, lambda each: decimation.make(wish.method, wish.factor, each))
    first = next(batches, None)
    if first is None:
        return
    # as many rows as a chunk holds, so that columns go to the file without being copied together
    rows = chunk_rows(first.schema)
    # where nearly all are floating-point numbers: little more than the least that datums can have
    plain_bytes = rows * first.schema.min_size * 17 // 16
    yield from columnar.pieces(
        itertools.chain([first], batches),
        wish.signals,
        rows=rows,
        size=max(_PIECE_BYTES[0], min(plain_bytes, _PIECE_BYTES[1])),
        tally=tally,
        where=channel.name,
        mapped=ahead,
    )
    made.taken -= tally.undecodable if not wish.thins and wish.span.everything else 0


def ahead(work: Callable[[Given], Done], items: Iterable[Given]) -> Iterator[Done]:
    """`map`, but while a result is used the next one is made, in a thread: one core reads, one decodes."""
    with ThreadPoolExecutor(1, thread_name_prefix="columns") as pool:
        making: deque[Future[Done]] = deque()
        for item in items:
            making.append(pool.submit(work, item))
            del item  # what was given and what was made are large: nothing keeps them from here on
            if len(making) > 1:
                yield making.popleft().result()
        while making:
            yield making.popleft().result()


def _seen(batches: Iterable[Batch], seen: Callable[[Batch], None]) -> Iterator[Batch]:
    for batch in batches:
        seen(batch)
        yield batch


def _counted(batches: Iterable[Batch], made: Made) -> Iterator[Batch]:
    for batch in batches:
        made.taken += batch.count
        yield batch


def noted(span: Range, made: Sequence[Made]) -> dict[str, str]:
    """What the set says of its range: what was asked for, else what there is."""
    least = [each.least_ns for each in made if each.least_ns is not None]
    greatest = [each.greatest_ns for each in made if each.greatest_ns is not None]
    since_ns = min(least, default=None) if span.since_ns is None else span.since_ns
    until_ns = span.until_ns
    if until_ns is None and greatest:
        until_ns = max(greatest) + 1
    noted = {}
    for name, moment in (("since", since_ns), ("until", until_ns)):
        if moment is not None:
            try:
                noted[name] = timerange.iso_utc(moment)
            except ValueError:  # a time that no calendar knows
                noted[name] = f"{moment} ns"
    if not any(each.samples for each in made):
        noted["note"] = "no data in the range"
    return noted


def told_losses(files: Sequence[Path], span: Range) -> Counts:
    """What the ledgers beside *files*, in recording order, tell of *span*, while these were written."""
    total = Counts()
    for home, group in itertools.groupby(files, key=lambda file: file.parent):
        begun, ended = _written(home, list(group))
        since = max((each for each in (begun, span.since_ns) if each is not None), default=None)
        until = min((each for each in (ended, span.until_ns) if each is not None), default=None)
        total += ledger.losses(ledger.read(home / ledger.LEDGER_NAME, since, until))
    return total


def _written(home: Path, files: Sequence[Path]) -> tuple[int | None, int | None]:
    """From when to when *files* of the directory *home* were written, as their names tell."""
    first, last = (catalogue.parse_file_name(file.name) for file in (files[0], files[-1]))
    if first is None or last is None:
        return None, None
    names = (catalogue.parse_file_name(file.name) for file in home.glob("*.avro"))
    later = [each[1] for each in names if each is not None and each[0] == last[0] and each[1] > last[1]]
    return first[1], min(later, default=None)
