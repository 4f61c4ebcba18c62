"""What should be on the server, read back and compared: a server may say yes and still forget."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speeddata.haystack.client import Client
from speeddata.haystack.kinds import NA, DateTime, Number, Value
from speeddata.haystack.points import SECOND_NS, Point, Table
from speeddata.haystack.stamps import stamps

_CHUNK = 10_000  # samples of a point that are asked for together


@dataclass(slots=True)
class Verified:
    """A point, as it was found.

    Attributes:
        expected: samples that should be there.
        missing: of these, not there.
        different: of these, there with another value.
        first_ns: the first that is missing or different; None where all is well.
    """

    point: Point
    expected: int = 0
    missing: int = 0
    different: int = 0
    first_ns: int | None = None

    @property
    def well(self) -> bool:
        return not (self.missing or self.different)


@dataclass(slots=True)
class _Waiting:
    """Samples of a point that were not compared yet."""

    times: list[NDArray[np.int64]] = field(default_factory=list)
    values: list[NDArray[Any]] = field(default_factory=list)
    count: int = 0


class Verifier:
    """Compares the tables that it is given with what the server has, many samples of a point at a time.

    Args:
        client: of the server.
        not_finite: how NaN and infinities were written.
        whole: the tables begin where the sending began. Else the first sample of a point that is written
            only on change may be one that was not.
    """

    def __init__(
        self, client: Client, *, not_finite: Literal["na", "keep"] = "na", whole: bool = True
    ) -> None:
        self._client, self._not_finite, self._whole = client, not_finite, whole
        self._found: dict[str, Verified] = {}
        self._waiting: dict[str, _Waiting] = {}

    def check(self, tables: Iterable[Table]) -> None:
        """Compare; the last sample of each point waits, since the next one may take its place."""
        for table in tables:
            for cells in table.cells:
                rows = slice(None) if cells.present is None else cells.present
                times, values = table.times_ns[rows], cells.values[rows]
                if not len(times):
                    continue
                point = cells.point
                if point.id not in self._found:
                    self._found[point.id] = Verified(point)
                    if point.on_change and not self._whole:
                        times, values = times[1:], values[1:]
                waiting = self._waiting.setdefault(point.id, _Waiting())
                waiting.times.append(times)
                waiting.values.append(values)
                waiting.count += len(times)
                if waiting.count > _CHUNK:
                    self._compare(point, keep_last=True)

    def finish(self) -> list[Verified]:
        """Compare the rest, too; what was found of each point, in the order they came."""
        for verified in self._found.values():
            self._compare(verified.point, keep_last=False)
        return list(self._found.values())

    def _compare(self, point: Point, *, keep_last: bool) -> None:
        waiting = self._waiting.pop(point.id)
        times = [time for each in waiting.times for time in each.tolist()]
        values = [value for each in waiting.values for value in each.tolist()]
        if keep_last:
            last = waiting.times[-1][-1:], waiting.values[-1][-1:]
            self._waiting[point.id] = _Waiting([last[0]], [last[1]], 1)
        expected = dict(zip(times, values, strict=True))  # the later one of a moment takes its place
        if keep_last:
            del expected[times[-1]]
        verified = self._found[point.id]
        verified.expected += len(expected)
        there = self._history(point, expected) if expected else {}
        for time, value in expected.items():
            if time not in there:
                verified.missing += 1
            elif not self._same(value, there[time]):
                verified.different += 1
            else:
                continue
            verified.first_ns = time if verified.first_ns is None else min(time, verified.first_ns)

    def _history(self, point: Point, times: Iterable[int]) -> dict[int, Value]:
        """What the server has in the whole seconds around *times*."""
        begin, end = min(times) // SECOND_NS * SECOND_NS, (max(times) // SECOND_NS + 2) * SECOND_NS
        bounds = stamps(np.array([begin - SECOND_NS, end], np.int64), point.zone)
        rows = self._client.his_read(point.id, ",".join(bounds)).rows
        return dict(_samples(rows))

    def _same(self, sent: Any, there: Value) -> bool:
        number = isinstance(sent, int | float) and not isinstance(sent, bool)
        if isinstance(there, Number):
            return bool(number and _same_number(sent, there.value))
        if there is NA:
            return self._not_finite == "na" and isinstance(sent, float) and not math.isfinite(sent)
        return type(sent) is type(there) and bool(sent == there)


def _same_number(sent: float, there: float) -> bool:
    """Servers keep numbers that are not whole as 32-bit floats."""
    if sent == there or (sent != sent and there != there):
        return True
    try:
        with np.errstate(over="ignore"):
            return bool(np.float32(sent) == np.float32(there))
    except OverflowError:
        return False


def _samples(rows: Iterable[dict[str, Value]]) -> Iterator[tuple[int, Value]]:
    for row in rows:
        if isinstance(at := row.get("ts"), DateTime):
            yield at.ns, row.get("val")
