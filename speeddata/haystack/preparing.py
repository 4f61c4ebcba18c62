"""Columns of recorded datums made tables of samples as their points take them, one a moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speeddata.avro.codec import Column
from speeddata.avro.schema import Schema
from speeddata.errors import DataError
from speeddata.haystack.changing import Changes
from speeddata.haystack.moments import Moments, moments
from speeddata.haystack.points import Cells, Point, Table
from speeddata.haystack.resampling import Method, Part, Picked, Resampler, Windows, last, value_of, windows

_VERSION = 1  # of `Preparer.state`
_WHOLE = 10**12  # whole numbers up to that stay exact (`Number.isInt` of Haxall)
_FITS = {"Number": "fi", "Bool": "b", "Str": "O"}  # kinds of dtypes


@dataclass(slots=True)
class Told:
    """What became of samples, in numbers: those *seen* are in tables, held, or in one of the next five.

    Attributes:
        seen: samples of points.
        nulls: were null: there is nothing to write.
        merged: fell on another one's moment, at the precision of their point.
        unchanged: did not differ enough from the one before.
        out_of_range: have no time that a server takes; they are set aside.
        left_out: NaN and infinities, where they are to be skipped.
        not_finite: NaN and infinities, left out or not.
        rounded: numbers, among those that stay, that a server rounds to float32.
        merged_example, rounded_example, not_finite_example: the first channel.signal of them.
    """

    seen: int = 0
    nulls: int = 0
    merged: int = 0
    unchanged: int = 0
    out_of_range: int = 0
    left_out: int = 0
    not_finite: int = 0
    rounded: int = 0
    merged_example: str = ""
    rounded_example: tuple[str, float] | None = None  # and the first number
    not_finite_example: str = ""


class Aside(NamedTuple):
    """Samples of a point that cannot be sent.

    Attributes:
        reason: for a person.
        unit: of the times, as the schema's `time_unit`.
        times: since 1970, shape (n,); objects, None where there is none.
        values: shape (n,).
    """

    point: Point
    reason: str
    unit: str
    times: NDArray[Any]
    values: NDArray[Any]


@dataclass
class _Group:
    """Points of one channel that share times."""

    zone: str
    precision_ns: int
    points: list[Point] = field(default_factory=list)


class Preparer:
    """Makes tables of the pieces of channels, each piece given once and in order.

    Of samples that share a moment, at the precision of their point, the one that came last is sent, or what
    *resample* makes of them. Times may step back. For the last one nothing is held back over pieces: it is
    sent, and overwritten by the one that comes later. Means, least and greatest are held until their moment
    is over, or `flush`; they are part of `state`: whoever keeps that with the position need not read them
    again.

    Args:
        points: where signals go; those of other channels and signals are left out.
        nan: NaN and infinities are sent as NA, left out, or sent as they are.
        resample: for numbers; None = "last". Text and booleans always have the last one.
        now_ns: the clock, since 1970 in nanoseconds.

    Attributes:
        told: what became of samples, up to now.
    """

    def __init__(
        self,
        points: Sequence[Point],
        *,
        nan: Literal["na", "skip", "keep"] = "na",
        resample: Method | None = None,
        now_ns: Callable[[], int],
    ) -> None:
        self.told = Told()
        self._nan, self._method, self._now_ns = nan, resample or "last", now_ns
        self._groups: dict[str, list[_Group]] = {}
        for point in points:
            groups = self._groups.setdefault(point.channel.lower(), [])
            key = (point.zone, point.precision_ns)
            group = next((each for each in groups if (each.zone, each.precision_ns) == key), None)
            if group is None:
                groups.append(group := _Group(*key))
            group.points.append(point)
        self._changes = {
            point.id: Changes(point.deadband if point.kind == "Number" else 0.0, point.heartbeat_ns)
            for point in points
            if point.on_change
        }
        self._resamplers = {point.id: Resampler(self._method, point.precision_ns) for point in points}
        self._aside: list[Aside] = []

    def tables(self, channel: str, schema: Schema, columns: Mapping[str, Column]) -> list[Table]:
        """The samples of a piece of *channel*, a table for each time zone and precision of its points.

        Args:
            schema: of the piece.
            columns: its signals, the abscissa among them.

        Raises:
            UsageError: the abscissa is no time.
            DataError: a signal is none that its point takes.
        """
        groups = self._groups.get(channel.lower())
        abscissa = columns[schema.abscissa.name]
        if not groups or not len(abscissa.values):
            return []
        when = moments(schema, abscissa, self._now_ns())
        found = []
        for group in groups:
            there = [(point, columns[point.signal]) for point in group.points if point.signal in columns]
            for point, column in there:
                check(point, column)
                self.told.seen += len(column.values)
                self._set_aside(point, column, abscissa, schema, when.refused)
            if there and len(when.ns) and (table := self._table(group, there, when)) is not None:
                found.append(table)
        return found

    def flush(self) -> list[Table]:
        """What is held back: means, least and greatest of moments that may not be over yet.

        They stay in `state`: should more of such a moment come, it is sent again, better.
        """
        found = []
        for group in (each for groups in self._groups.values() for each in groups):
            waits = [(point, self._resamplers[point.id]) for point in group.points]
            times = sorted({time for _, resampler in waits for time in resampler.waiting()})
            if times:
                ns = np.array(times, np.int64)
                cells = [
                    Cells(point, *resampler.flushed(ns)) for point, resampler in waits if resampler.waiting()
                ]
                found.append(self._assembled(group, ns, cells))
        return [table for table in found if table is not None]

    def held(self, channel: str) -> bool:
        """Whether samples of *channel* are held back."""
        points = (point for group in self._groups.get(channel.lower(), []) for point in group.points)
        return any(self._resamplers[point.id].waiting() for point in points)

    def take_aside(self) -> list[Aside]:
        """The samples that cannot be sent, since it was asked last."""
        found, self._aside = self._aside, []
        return found

    def _table(self, group: _Group, there: Sequence[tuple[Point, Column]], when: Moments) -> Table | None:
        floored = when.ns - when.ns % group.precision_ns
        within = windows(floored)
        prepared = [(point, *self._values(point, column, when.rows)) for point, column in there]
        if self._method == "last":
            cells = [
                Cells(point, *self._last(point, values, present, within))
                for point, values, present in prepared
            ]
            return self._assembled(group, within.times_ns, cells)
        waiting = {time for point, _ in there for time in self._resamplers[point.id].waiting()}
        times_ns = np.union1d(within.times_ns, np.array(sorted(waiting), np.int64))
        cells = []
        for point, values, present in prepared:
            values, out, begun = self._resamplers[point.id].add(
                values, present, within, times_ns, int(floored[-1])
            )
            self._merged(point, _count(present, within.samples) - begun)
            cells.append(Cells(point, values, out))
        return self._assembled(group, times_ns, cells)

    def _last(
        self, point: Point, values: NDArray[Any], present: NDArray[np.bool_] | None, within: Windows
    ) -> Picked:
        picked = last(values, present, within)
        if not within.single:
            self._merged(point, _count(present, within.samples) - _count(picked[1], len(picked[0])))
        return picked

    def _assembled(self, group: _Group, times_ns: NDArray[np.int64], cells: list[Cells]) -> Table | None:
        """A table without rows and columns that are empty; None where nothing is left."""
        cells = [self._sent(times_ns, each) for each in cells]
        cells = [each for each in cells if each.present is None or each.present.any()]
        if not cells:
            return None
        masks = [each.present for each in cells if each.present is not None]
        if len(masks) == len(cells):
            rows = np.logical_or.reduce(masks)
            if not rows.all():
                times_ns = times_ns[rows]
                cells = [Cells(each.point, each.values[rows], _at(each.present, rows)) for each in cells]
        return Table(group.zone, times_ns, tuple(cells))

    def _sent(self, times_ns: NDArray[np.int64], cells: Cells) -> Cells:
        """*cells* without what did not change."""
        point, values, present = cells.point, cells.values, cells.present
        if (changes := self._changes.get(point.id)) is not None:
            before = cells.samples
            present = changes.kept(times_ns, values, present)
            self.told.unchanged += before - int(np.count_nonzero(present))
        if present is not None and present.all():
            present = None
        if values.dtype == np.float64 or values.dtype.kind in "iu":
            self._count_rounded(point, values, present)
        return Cells(point, values, present)

    def _values(
        self, point: Point, column: Column, rows: NDArray[np.int64] | None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """The values of *rows* as the point takes them, and where there is one."""
        values, present = column.values, column.valid
        if rows is not None:
            values, present = values[rows], _at(present, rows)
        if present is not None:
            missing = len(present) - int(np.count_nonzero(present))
            self.told.nulls += missing
            present = present if missing else None
        if point.kind != "Number":
            return values, present
        if point.scale != 1 or point.offset != 0:
            with np.errstate(over="ignore", invalid="ignore"):
                values = values.astype(np.float64) * point.scale + point.offset
        if values.dtype.kind == "f" and not (finite := np.isfinite(values)).all():
            wrong = ~finite if present is None else ~finite & present
            count = int(np.count_nonzero(wrong))
            if count:
                self.told.not_finite += count
                self.told.not_finite_example = self.told.not_finite_example or _name(point)
            if self._nan == "skip":
                self.told.left_out += count
                present = finite if present is None else finite & present
        return values, present

    def _count_rounded(self, point: Point, values: NDArray[Any], present: NDArray[np.bool_] | None) -> None:
        if values.dtype.kind in "iu" and -_WHOLE <= values.min(initial=0) <= values.max(initial=0) <= _WHOLE:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = values.astype(np.float32).astype(values.dtype) != values  # not as float64, nor is int64
            if not rounded.any():
                return
            rounded &= np.isfinite(values) & ((np.floor(values) != values) | (np.abs(values) > _WHOLE))
        if present is not None:
            rounded &= present
        count = int(np.count_nonzero(rounded))
        if count and self.told.rounded_example is None:
            self.told.rounded_example = _name(point), float(values[np.argmax(rounded)])
        self.told.rounded += count

    def _merged(self, point: Point, count: int) -> None:
        self.told.merged += count
        if count:
            self.told.merged_example = self.told.merged_example or _name(point)

    def _set_aside(
        self,
        point: Point,
        column: Column,
        abscissa: Column,
        schema: Schema,
        refused: Sequence[tuple[str, NDArray[np.int64]]],
    ) -> None:
        for reason, rows in refused:
            if column.valid is not None:
                self.told.nulls += int(np.count_nonzero(~column.valid[rows]))
                rows = rows[column.valid[rows]]
            if not len(rows):
                continue
            times = abscissa.values[rows].astype(object)
            if abscissa.valid is not None:
                times[~abscissa.valid[rows]] = None
            self.told.out_of_range += len(rows)
            self._aside.append(Aside(point, reason, schema.time_unit or "ns", times, column.values[rows]))

    # -- what has to outlive the run ------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What the next run has to know, as JSON takes it; to keep with the position behind that piece."""
        changes = {
            key: [change.last[0], _plain(change.last[1])]
            for key, change in self._changes.items()
            if change.last is not None
        }
        parts = {
            key: [[time, _plain(p.sum), p.count, p.sent] for time, p in resampler.parts.items()]
            for key, resampler in self._resamplers.items()
            if resampler.parts
        }
        return {"version": _VERSION, "method": self._method, "sent": changes, "open": parts}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; points that are no longer there are forgotten.

        Raises:
            DataError: it is nothing of the kind.
        """
        if not state:
            return
        points = {
            point.id: point for groups in self._groups.values() for group in groups for point in group.points
        }
        sent: dict[str, tuple[int, Any]] = {}
        opened: dict[str, dict[int, Part]] = defaultdict(dict)
        try:
            if state["version"] != _VERSION or state["method"] not in ("last", "mean", "min", "max"):
                raise ValueError
            for key, (time, value) in state["sent"].items():
                if key in self._changes:
                    sent[key] = _whole(time), _value(points[key], value)
            for key, parts in state["open"].items():
                for time, value, count, handed in parts if key in points else ():
                    part = Part(_value(points[key], value), _whole(count), bool(handed))
                    if state["method"] != self._method and part.count:  # one number, however many it was
                        part = Part(value_of(state["method"], part), 1, part.sent)
                    opened[key][_whole(time)] = part
        except (KeyError, ValueError, TypeError, AttributeError):
            raise DataError("what it says of samples sent before is damaged") from None
        for key, pair in sent.items():
            self._changes[key].last = pair
        for key, found in opened.items():
            self._resamplers[key].parts = found


def check(point: Point, column: Column) -> None:
    """Raises:
    DataError: the column is none that the point takes.
    """
    if column.values.ndim != 1 or column.values.dtype.kind not in _FITS[point.kind]:
        kind = "text" if column.values.dtype == object else str(column.values.dtype)
        raise DataError(
            f"signal {_name(point)} is {kind} now, and its point @{point.id} takes {point.kind}",
            mend="give it a point of that kind in the map",
        )


def _name(point: Point) -> str:
    return f"{point.channel}.{point.signal}"


def _count(present: NDArray[np.bool_] | None, count: int) -> int:
    return count if present is None else int(np.count_nonzero(present))


def _at(present: NDArray[np.bool_] | None, rows: NDArray[Any]) -> NDArray[np.bool_] | None:
    return None if present is None else present[rows]


def _plain(value: Any) -> Any:
    """JSON has no word for NaN and infinities."""
    return repr(value) if isinstance(value, float) and value - value != 0 else value


def _value(point: Point, value: Any) -> Any:
    """What `_plain` made plain; raises ValueError where the point takes nothing like that."""
    if point.kind == "Number" and isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    types: dict[str, Any] = {"Number": (int, float), "Bool": bool, "Str": str}
    if not isinstance(value, types[point.kind]) or (point.kind == "Number" and isinstance(value, bool)):
        raise ValueError(value)
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise ValueError(value)
    return value
