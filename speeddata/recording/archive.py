"""A recording to scroll through: what a chart draws of any range, read from just the blocks that it needs."""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speeddata import columnar
from speeddata.avro import codec
from speeddata.avro.codec import Column
from speeddata.avro.datum import decode
from speeddata.avro.schema import Schema
from speeddata.batch import Batch
from speeddata.chart.abscissas import axis_of, counted, placed
from speeddata.chart.envelope import Entries, Envelope, edges, samples
from speeddata.chart.gaps import INTERVALS, gap_over
from speeddata.chart.grouping import Summary, by_column, grouped, pictured
from speeddata.chart.readings import Sample, StateRun, Statistics
from speeddata.chart.statelog import StateLog
from speeddata.chart.sums import Sums, of_groups, told_of
from speeddata.errors import DataError, HostError
from speeddata.interrupts import Stop
from speeddata.recording.blocktable import BlockTable, ChangedError, FileTable
from speeddata.recording.catalogue import Catalogue
from speeddata.stages import Tally

_LOOK_AGAIN_S = 1.0  # for new files, and whether they have grown
_PIECE_BYTES = 4 << 20  # decoded together
_PARTS = 8  # of a column: a block no wider than one of them is drawn whole
_ANSWERS = 64
_SUMMED = 1 << 20  # blocks of which is kept what they tell of a signal: 65 MB
_CHANGES = 1 << 16  # of a state, in one picture

X = int | float

log = logging.getLogger("speeddata")


class Archive:
    """The recording in a directory, or a file; for one thread at a time.

    It may be there only later, may grow, and its oldest files may go. A channel whose abscissa is no number
    cannot be looked up. x is as in `Envelope`.

    Args:
        root: a directory or a file.
        time_unit: of an abscissa that does not tell its own.
    """

    def __init__(self, root: Path, *, time_unit: str | None = None) -> None:
        self._root, self._time_unit = root, time_unit
        self._catalogue = Catalogue(root)
        self._tables: dict[str, BlockTable] = {}
        self._looked_s: dict[str, float] = {}
        self._answers: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._summaries: OrderedDict[tuple[FileTable, int, str], Summary] = OrderedDict()

    def channels(self) -> list[str]:
        """The channels that it holds, in lower case, by name.

        Raises:
            HostError, DataError: it is there, and cannot be read, or is no recording.
        """
        self._find_files()
        return sorted(self._tables)

    def covers(self, channel: str) -> tuple[X, X] | None:
        """The first and the last x of *channel*; None where there is nothing of it.

        Raises:
            HostError, DataError: see `channels`.
        """
        return self._table(channel, Stop()).span()

    def envelope(self, channel: str, signal: str, begin: X, end: X, columns: int, stop: Stop) -> Envelope:
        """What a chart draws of a signal over equal columns of [begin, end): no spike in it is missing.

        A block that is much narrower than a column is drawn in the column in which it begins.

        Args:
            channel, signal: names; of what is not there, or is not of numbers, there are no samples.
            begin, end, columns: the range and how many columns it is cut into.
            stop: ends it when asked; what is returned then is of no use.

        Raises:
            ValueError: no columns, or a range that ends before it begins.
            HostError, DataError: see `channels`.
        """
        look_up = partial(self._envelope, signal=signal, begin=begin, end=end, columns=columns, stop=stop)
        found: Envelope = self._answer(("envelope", channel, signal, begin, end, columns), stop, look_up)
        return found

    def statistics(self, channel: str, signal: str, begin: X, end: X, stop: Stop) -> tuple[Statistics, X]:
        """Figures of the finite samples of a signal in [begin, end), of every one and exactly.

        Args: see `envelope`.

        Returns:
            The figures, and where what they tell ends: *end*, or less where the recording does not reach it.

        Raises:
            HostError, DataError: see `channels`.
        """
        look_up = partial(self._statistics, signal=signal, begin=begin, end=end, stop=stop)
        found: tuple[Statistics, X] = self._answer(("statistics", channel, signal, begin, end), stop, look_up)
        return found

    def states(self, channel: str, signal: str, begin: X, end: X, columns: int, stop: Stop) -> list[StateRun]:
        """The states of a signal of text, booleans or an enum; otherwise as `envelope`."""
        look_up = partial(self._states, signal=signal, begin=begin, end=end, columns=columns, stop=stop)
        found: list[StateRun] = self._answer(("states", channel, signal, begin, end, columns), stop, look_up)
        return found

    def sample(self, channel: str, x: X) -> Sample | None:
        """The sample nearest to *x*, every signal of it; None where there is nothing of the channel.

        Raises:
            HostError, DataError: see `channels`.
        """
        found: Sample | None = self._answer(("sample", channel, x), Stop(), partial(self._sample, x=x))
        return found

    # -- which files and blocks -----------------------------------------------------------------------------

    def _find_files(self) -> None:
        if not self._due("") or not self._root.exists():
            return
        self._looked_s[""] = time.monotonic()
        for name, path in self._catalogue.new():
            try:
                file = FileTable(path, time_unit=self._time_unit)
            except (DataError, OSError) as exc:
                log.debug("%s: left out: %s", path, exc)
                continue
            if not counted(file.schema):
                self._tables.setdefault(name.lower(), BlockTable()).files.append(file)
                self._looked_s.pop(name.lower(), None)

    def _due(self, key: str) -> bool:
        return time.monotonic() - self._looked_s.get(key, -math.inf) >= _LOOK_AGAIN_S

    def _table(self, channel: str, stop: Stop) -> BlockTable:
        self._find_files()
        key = channel.lower()
        table = self._tables.get(key, BlockTable())
        if self._due(key):
            try:
                table.refresh(stop)
            except OSError as exc:
                raise HostError(f"cannot read: {exc.strerror}", where=str(self._root)) from exc
            if not stop.asked:
                self._looked_s[key] = time.monotonic()
        return table

    def _answer(self, asked: tuple[Any, ...], stop: Stop, look_up: Callable[[BlockTable], Any]) -> Any:
        table = self._table(asked[1], stop)
        key = (*asked, table.version)
        if key in self._answers:
            self._answers.move_to_end(key)
            return self._answers[key]
        try:
            while True:
                try:
                    answer = look_up(table)
                    break
                except ChangedError:  # retention was quicker, or an index wrong: once a file at most
                    table.renew(stop)
        except OSError as exc:
            raise HostError(f"cannot read: {exc.strerror}", where=str(self._root)) from exc
        if not stop.asked:
            self._answers[key] = answer
            if len(self._answers) > _ANSWERS:
                self._answers.popitem(last=False)
        return answer

    def _summary(self, file: FileTable, signal: str) -> Summary:
        key = file, file.counts, signal
        summary = self._summaries.setdefault(key, Summary(axis_of(file.schema)))
        self._summaries.move_to_end(key)
        summary.fit(len(file.least))
        while len(self._summaries) > 1 and sum(map(len, self._summaries.values())) > _SUMMED:
            self._summaries.popitem(last=False)
        return summary

    # -- answers --------------------------------------------------------------------------------------------

    def _envelope(
        self, table: BlockTable, *, signal: str, begin: X, end: X, columns: int, stop: Stop
    ) -> Envelope:
        parts: list[Entries] = []
        gaps: list[X] = []
        narrow = (end - begin) / columns / _PARTS
        for file, first, last in table.near(begin, end):
            summary = self._summary(file, signal)
            for run_first, run_last, told in summary.runs(first, last, narrow):
                if told:
                    parts.append(summary.entries(run_first, run_last))
                    continue
                for numbers, x, values in _numbers(file, run_first, run_last, signal, stop):
                    heads = _summed(summary, numbers, values)
                    single = samples(x, values, np.zeros(len(x), np.bool_))
                    blocks: Entries | None = None
                    if (x[1:] < x[:-1]).any():
                        order = np.argsort(x, kind="stable")
                        single = Entries._make(each[order] for each in single)
                    elif numbers is not None:
                        blocks = grouped(single, heads)
                        summary.tell(numbers[heads], blocks, gap_over(np.diff(x[-INTERVALS:])))
                    if blocks is not None and (blocks.end - blocks.begin <= narrow).all():
                        parts.append(blocks)
                    else:
                        bounds = edges(x.dtype, begin, end, columns)
                        parts.append(grouped(single, by_column(single.begin, bounds)))
            if summary.gap_over is not None:
                gaps.append(summary.gap_over)
        return pictured(parts, begin, end, columns, max(gaps, default=None))

    def _statistics(
        self, table: BlockTable, *, signal: str, begin: X, end: X, stop: Stop
    ) -> tuple[Statistics, X]:
        parts: list[Sums] = []
        for file, first, _, whole in table.within(begin, end):
            summary = self._summary(file, signal)
            for run_first, run_last, told in summary.runs_summed(first, whole):
                if told:
                    parts.append(summary.sums(run_first, run_last))
                    continue
                for numbers, x, values in _numbers(file, run_first, run_last, signal, stop):
                    _summed(summary, numbers, values)
                    inside = values[(x >= begin) & (x < end)]
                    parts.append(of_groups(inside, np.arange(min(1, len(inside)))))
        span = table.span()
        behind = begin if span is None else min(end, max(begin, _behind(span[1])))
        return told_of(parts), behind

    def _states(
        self, table: BlockTable, *, signal: str, begin: X, end: X, columns: int, stop: Stop
    ) -> list[StateRun]:
        states: StateLog | None = None
        newest: X | None = None
        usual: X | None = None
        for file, first, last in table.near(begin, end):
            if not any(each.name == signal and each.kind in _STATES for each in file.schema.signals):
                continue
            for _, x, there, found in _placed(file, first, last, signal, stop):
                there &= x >= np.maximum.accumulate(x) if newest is None else x >= max(newest, x[0])
                x, values = x[there], _or_none(found[signal])[there]
                if not len(x):
                    continue
                states = states or StateLog(x.dtype.str, _CHANGES)
                distances = np.diff(x, prepend=x[0] if newest is None else newest)
                usual = usual or gap_over(distances[1:][-INTERVALS:])
                apart = np.flatnonzero(distances > usual) if usual is not None else np.zeros(0, np.int64)
                states.add(x, values, apart, newest)
                newest = x[-1].item()
        return [] if states is None or newest is None else states.runs(begin, end, columns, newest)

    def _sample(self, table: BlockTable, *, x: X) -> Sample | None:
        nearest: tuple[X, X, Batch, int] | None = None  # how far, where, and which datum
        for file, first, last in table.near(x, _behind(x)):
            for block in file.blocks(first, last, Stop()):
                try:
                    name = file.schema.abscissa.name
                    places, there = placed(file.schema, codec.columns(block.batch, [name])[name])
                except DataError:
                    continue
                rows = np.flatnonzero(there)
                if not len(rows):
                    continue
                row = rows[np.argmin(np.abs(places[rows] - x))]
                far = abs(places[row].item() - x)
                if nearest is None or far < nearest[0]:
                    nearest = far, places[row].item(), block.batch, int(row)
        if nearest is None:
            return None
        _, at, batch, row = nearest
        start, end = codec.offsets(batch)[row : row + 2].tolist()
        values = decode(batch.schema, batch.data, start, end)
        return Sample(
            at, {name: value for name, value in values.items() if name != batch.schema.abscissa.name}
        )


_STATES = ("boolean", "enum", "string")


def _numbers(
    file: FileTable, first: int, last: int, signal: str, stop: Stop
) -> Iterator[tuple[NDArray[np.int64] | None, NDArray[Any], NDArray[np.float64]]]:
    """Samples of a signal of numbers, some blocks at a time.

    Yields:
        In which block each is, or None where that is not known; their places; values, NaN for null.
        All of shape (n,), n > 0.
    """
    for numbers, x, there, found in _placed(file, first, last, signal, stop):
        column = found[signal]
        if column.values.dtype.kind not in "if" or column.values.ndim != 1:
            return
        values = column.values.astype(np.float64)
        if column.valid is not None:
            values[~column.valid] = np.nan
        if not there.all():
            numbers, x, values = None if numbers is None else numbers[there], x[there], values[there]
        if len(x):
            yield numbers, x, values


def _summed(
    summary: Summary, numbers: NDArray[np.int64] | None, values: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Tell *summary* what the samples of each block come to; returns where the blocks begin."""
    if numbers is None:
        return np.zeros(1, np.int64)
    heads = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1]))
    summary.tell_sums(numbers[heads], of_groups(values, heads))
    return heads


def _placed(
    file: FileTable, first: int, last: int, signal: str, stop: Stop
) -> Iterator[tuple[NDArray[np.int64] | None, NDArray[Any], NDArray[np.bool_], dict[str, Column]]]:
    """Columns of some blocks at a time.

    Yields:
        In which block each row is, or None where that is not known; its place; if it has one; the columns.
    """
    schema: Schema = file.schema
    for numbers, batches in _gathered(file, first, last, stop):
        pieces = list(columnar.pieces(batches, [signal], size=1 << 62, tally=Tally()))
        for _, found in pieces:
            x, there = placed(schema, found[schema.abscissa.name])
            counts = [batch.count for batch in batches]
            rows = np.repeat(numbers, counts) if len(pieces) == 1 and sum(counts) == len(x) else None
            yield rows, x, there, found


def _gathered(file: FileTable, first: int, last: int, stop: Stop) -> Iterator[tuple[list[int], list[Batch]]]:
    numbers: list[int] = []
    batches: list[Batch] = []
    held = 0
    for block in file.blocks(first, last, stop):
        numbers.append(file.number_of(block.offset))
        batches.append(block.batch)
        held += len(block.batch.data)
        if held >= _PIECE_BYTES:
            yield numbers, batches
            numbers, batches, held = [], [], 0
    if batches:
        yield numbers, batches


def _behind(x: X) -> X:
    """The first place behind *x*."""
    return x + 1 if isinstance(x, int) else math.nextafter(x, math.inf)


def _or_none(column: Column) -> NDArray[Any]:
    if column.valid is None or column.valid.all():
        return column.values
    found = column.values.astype(object)
    found[~column.valid] = None
    return found
