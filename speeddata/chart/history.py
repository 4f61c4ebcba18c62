"""The history of a channel: what is in memory of its samples, for a chart to be drawn from at any moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speeddata import stages
from speeddata.avro import codec
from speeddata.avro.codec import Column
from speeddata.avro.schema import Schema
from speeddata.avro.types import Primitive
from speeddata.batch import Batch
from speeddata.chart import abscissas, pyramid
from speeddata.chart import envelope as envelopes
from speeddata.chart.abscissas import Axis
from speeddata.chart.envelope import Abscissa, Envelope
from speeddata.chart.gaps import INTERVALS, gap_over
from speeddata.chart.pyramid import Part, Pyramid
from speeddata.chart.readings import Sample, StateRun, Statistics
from speeddata.chart.statelog import StateLog
from speeddata.errors import DataError

__all__ = ["History", "Sample", "StateRun", "Statistics"]

Kind = Literal["number", "state", "text"]

_NUMBERS = ("int", "long", "float", "double")
_STATES = ("boolean", "enum", "string")
_LOG_SHARE = 1 / 8  # of the memory, for all state logs
_TEXT_BYTES, _CODE_BYTES = 512, 16  # what a state takes: text that may be new, or one of few
_SHARP = 128  # entries in a column, before buckets 16 times as large are read instead
_RATE_NS = 2_000_000_000  # the newest samples that tell the rate


class History:
    """The newest samples of one channel, and envelopes of older ones, in at most *limit_bytes*.

    Attributes:
        schema: of all samples.
        axis: of what kind the abscissa is: "time" in ns since 1970 as int, or "number" as float.
        signals: what can be shown, all but a numeric abscissa.
        count: samples there ever were.
        stepped_back: how often the abscissa went back. What lay at or behind its new place is forgotten.
        undecodable: datums that were none.
        unplaced: samples without an abscissa (null, NaN), which are in no chart.
    """

    def __init__(self, schema: Schema, *, limit_bytes: int = 16 << 20) -> None:
        self.schema = schema
        self.axis: Axis = abscissas.axis_of(schema)
        self.count = self.stepped_back = self.undecodable = self.unplaced = 0
        self._counted = abscissas.counted(schema)
        self._signals = {
            signal.name: signal
            for signal in schema.signals
            if self._counted or signal.name != schema.abscissa.name
        }
        self.signals = tuple(self._signals)
        numbers = [name for name in self.signals if self.kind(name) == "number"]
        longs = [name for name in numbers if self._signals[name].kind == "long"]
        states = [name for name in self.signals if self.kind(name) == "state"]
        self._rows = {name: row for row, name in enumerate(numbers)}
        self._exact = {name: row for row, name in enumerate(longs)}
        self._wanted = {*numbers, *states} | (set() if self._counted else {schema.abscissa.name})
        self._rarely = [name for name in self.signals if self.kind(name) == "text"]
        dtype = "i8" if self.axis == "time" else "f8"
        logs = int(limit_bytes * _LOG_SHARE) if states else 0
        self._pyramid = Pyramid(len(numbers), len(longs), dtype, limit_bytes - logs)
        self._logs = {}
        for name in states:
            size = _TEXT_BYTES if self._signals[name].kind == "string" else _CODE_BYTES
            self._logs[name] = StateLog(dtype, logs // len(states) // size)
        self._newest: dict[str, Column] = {}
        self._gap_over: Abscissa | None = None
        self._until_gap = 2  # samples before it is looked at again
        self._cover: tuple[object, tuple[list[Part], int, int]] = (None, ([], 0, 0))

    @property
    def first(self) -> Abscissa | None:
        """The oldest abscissa still known; None before there is one."""
        return self._pyramid.first

    @property
    def known_from(self) -> Abscissa | None:
        """The place from which on no sample has left memory, if one ever did; None: there is none."""
        return self._pyramid.known_from()

    @property
    def sharp_from(self) -> Abscissa | None:
        """The same for single samples: of what lies before there are buckets at most."""
        return self._pyramid.known_from(singly=True)

    @property
    def last(self) -> Abscissa | None:
        """The newest abscissa; None before there is one."""
        return self._pyramid.last

    @property
    def gap_over(self) -> Abscissa | None:
        """The distance of two samples beyond which others are missing between them; None: not known."""
        return self._gap_over

    @property
    def rate_hz(self) -> float:
        """Samples a second over the last two seconds of data; 0.0 where it is not known."""
        x = self._pyramid.levels[0]["x"]
        if self.axis != "time" or len(x) < 2:
            return 0.0
        recent = x[min(int(np.searchsorted(x, x[-1] - _RATE_NS)), len(x) - 2) :]
        span = int(recent[-1] - recent[0])
        return (len(recent) - 1) * 1e9 / span if span else 0.0

    def kind(self, name: str) -> Kind:
        """How a signal is shown: as a chart of numbers, as states, or only its latest value as text.

        Raises:
            KeyError: there is no such signal.
        """
        signal = self._signals[name]
        if not isinstance(signal.value_node, Primitive) and signal.kind != "enum":
            return "text"
        return "number" if signal.kind in _NUMBERS else "state" if signal.kind in _STATES else "text"

    # -- growing --------------------------------------------------------------------------------------------

    def extend(self, batches: Iterable[Batch]) -> int:
        """Add many batches, small ones together, which costs less; returns the samples taken.

        A damaged one is left out and counted.
        """
        return sum(self._add_or_count(batch) for batch in stages.gathered(batches))

    def add(self, batch: Batch) -> int:
        """Add the samples of *batch*, which came after all others; returns how many were taken.

        Raises:
            DataError: where its datums begin cannot be found.
            ValueError: it is of another schema.
        """
        if batch.schema is not self.schema and batch.schema != self.schema:
            raise ValueError("a batch of another schema")
        known = batch.offsets
        offsets = codec.offsets(batch)
        # offsets that came with the batch are a sender's claim; found ones are proven
        valid = codec.valid(batch.schema, batch.data, offsets) if known is not None else None
        if valid is None:
            return self._taken(batch)
        self.undecodable += batch.count - int(np.count_nonzero(valid))
        return sum(self._taken(part) for part in stages.runs(batch, valid))

    def _add_or_count(self, batch: Batch) -> int:
        try:
            return self.add(batch)
        except DataError:
            self.undecodable += batch.count
            return 0

    def _taken(self, batch: Batch) -> int:
        if batch.count < 1:
            return 0
        columns = codec.columns(batch, self._wanted)
        self._newest = {name: _last_of(column) for name, column in columns.items()}
        if self._rarely:
            self._newest |= codec.columns(batch.part(batch.count - 1, batch.count), self._rarely)
        if self._counted:
            x: NDArray[Any] = np.arange(self.count, self.count + batch.count, dtype=np.float64)
        else:
            x, there = abscissas.placed(self.schema, columns[self.schema.abscissa.name])
            if not there.all():
                self.unplaced += batch.count - int(np.count_nonzero(there))
                x, columns = x[there], _chosen(columns, there)
        self.count += batch.count
        if len(x):
            stay, cut, steps = abscissas.ascending(x, self.last)
            if stay is not None:
                self.stepped_back += steps
                self._cut(cut)
                x, columns = x[stay], _chosen(columns, stay)
            self._append(x, columns)
        return batch.count

    def _cut(self, x: Abscissa) -> None:
        self._pyramid.cut(x)
        for log in self._logs.values():
            log.cut(x)

    def _append(self, x: NDArray[Any], columns: dict[str, Column]) -> None:
        newest = self.last
        gaps = self._gaps(x, newest)
        room = self._pyramid.levels[0].room
        for first in range(0, len(x), room):
            part = slice(first, first + room)
            new = self._pyramid.grown(len(x[part]))
            new["x"][...], new["gap"][...] = x[part], gaps[part]
            for name, row in self._rows.items():
                column, values = columns[name], new["values"][row]
                values[...] = column.values[part]
                if column.valid is not None:
                    values[~column.valid[part]] = np.nan
            for name, row in self._exact.items():
                new["exact"][row] = columns[name].values[part]
            self._pyramid.settle()
        rows = np.flatnonzero(gaps)
        for name, log in self._logs.items():
            log.add(x, _states(columns[name]), rows, newest)

    def _gaps(self, x: NDArray[Any], newest: Abscissa | None) -> NDArray[np.bool_]:
        """Before which of the samples at *x* others are missing, judged by the intervals so far."""
        gaps = np.zeros(len(x), np.bool_)
        if self._gap_over is None:
            self._gap_over = gap_over(np.diff(x))
        if self._gap_over is not None:
            np.greater(x[1:] - x[:-1], self._gap_over, out=gaps[1:])
            gaps[0] = newest is not None and x[0] - newest > self._gap_over
        self._until_gap -= len(x)
        if self._until_gap <= 0:
            known = self._pyramid.levels[0]["x"][-INTERVALS:]
            intervals = np.diff(np.concatenate([known, x[-INTERVALS:]])[-INTERVALS:])
            self._gap_over = gap_over(intervals)
            self._until_gap = max(2, len(intervals))
        return gaps

    # -- reading --------------------------------------------------------------------------------------------

    def envelope(self, name: str, begin: Abscissa, end: Abscissa, columns: int) -> Envelope:
        """What a chart draws of a signal over *columns* equal columns of [begin, end).

        Of many samples, buckets are read instead: a sample is then drawn in its column, or up to an eighth
        of a column from it; of times that samples have left memory for, in every column its bucket touches.

        Raises:
            KeyError: there is no such signal, or it is not one of numbers.
            ValueError: no columns, or a range that ends before it begins.
        """
        row = self._rows[name]
        begin, end = self._place(begin), self._place(end)
        nothing = envelopes.nothing(begin, end, columns)
        parts, before, behind = self._covered(begin, end, columns)
        if not parts:
            return nothing
        entries = self._pyramid.entries(parts, row)
        return envelopes.condensed(entries, before, len(entries.low) - behind, begin, end, columns)

    def states(self, name: str, begin: Abscissa, end: Abscissa, columns: int) -> list[StateRun]:
        """The states of a signal over *columns* equal columns of [begin, end), each with which it ends.

        Raises:
            KeyError: there is no such signal, or it is not one of states.
            ValueError: no columns, or a range that ends before it begins.
        """
        log, newest = self._logs[name], self.last
        return [] if newest is None else log.runs(self._place(begin), self._place(end), columns, newest)

    def statistics(self, name: str, begin: Abscissa, end: Abscissa) -> Statistics:
        """Figures of the finite samples in [begin, end): exact, as far back as there are samples.

        Raises:
            KeyError: there is no such signal, or it is not one of numbers.
        """
        row = self._rows[name]
        parts = self._pyramid.cover(self._place(begin), self._place(end), pyramid.TOP)
        return self._pyramid.figures(parts, row)

    def latest(self, name: str) -> object | None:
        """The value of the newest sample; None where it is null, or there is none yet.

        Raises:
            KeyError: there is no such signal.
        """
        signal = self._signals[name]
        return _value(self._newest[signal.name], 0) if signal.name in self._newest else None

    def nearest(self, x: Abscissa) -> Sample | None:
        """The sample nearest to *x* with its exact values, None where that is no longer in memory.

        Text beyond 200 characters is cut off; signals of kind "text" are left out.
        """
        raw = self._pyramid.levels[0]
        places = raw["x"]
        if not len(places) or (x < places[0] and self.first != places[0]):
            return None
        x = self._place(x)
        row = int(np.searchsorted(places, x))
        if row == len(places) or (row and x - places[row - 1] <= places[row] - x):
            row -= 1
        at = places[row].item()
        values: dict[str, object] = {}
        for name in self.signals:
            if name in self._rows:
                values[name] = self._number(name, row)
            elif name in self._logs:
                values[name] = self._logs[name].at(at)
        return Sample(at, values)

    def _number(self, name: str, row: int) -> object:
        signal, raw = self._signals[name], self._pyramid.levels[0]
        value = float(raw["values"][self._rows[name], row])
        if np.isnan(value):
            return None if signal.nullable or signal.kind in ("int", "long") else value
        if name in self._exact:
            return int(raw["exact"][self._exact[name], row])
        return int(value) if signal.kind == "int" else value

    def _place(self, x: Abscissa) -> Abscissa:
        return int(x) if self.axis == "time" else float(x)

    def _covered(self, begin: Abscissa, end: Abscissa, columns: int) -> tuple[list[Part], int, int]:
        """What the envelopes of all signals over a range are made of."""
        asked = (begin, end, columns, self.count)
        if self._cover[0] != asked:
            level, number = 0, self._pyramid.number_of(begin, end)
            while level < pyramid.TOP and number > _SHARP * columns * pyramid.FACTOR**level:
                level += 1
            parts = self._pyramid.cover(begin, end, level)
            finer = list(self._pyramid.refined(parts, (end - begin) / columns))
            found = self._pyramid.surrounded(finer) if finer else self._pyramid.between(begin)
            self._cover = asked, found
        return self._cover[1]


def _chosen(columns: dict[str, Column], rows: NDArray[np.bool_]) -> dict[str, Column]:
    return {
        name: Column(column.values[rows], None if column.valid is None else column.valid[rows])
        for name, column in columns.items()
    }


def _states(column: Column) -> NDArray[Any]:
    """Its values; None where they are null."""
    if column.valid is None or column.valid.all():
        return column.values
    found = column.values.astype(object)
    found[~column.valid] = None
    return found


def _last_of(column: Column) -> Column:
    """The last value alone, so that it does not keep all others in memory."""
    return Column(column.values[-1:].copy(), None if column.valid is None else column.valid[-1:].copy())


def _value(column: Column, row: int) -> object:
    if column.valid is not None and not column.valid[row]:
        return None
    value = column.values[row]
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value
