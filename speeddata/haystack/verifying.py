"""What should be on the server, read back and compared: a server may say yes and still forget."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from speeddata.haystack.client import Client
from speeddata.haystack.kinds import NA, DateTime, Number, Value
from speeddata.haystack.points import SECOND_NS, Point, Table
from speeddata.haystack.stamps import stamps

_CHUNK = 50_000  # samples of a point that are asked for together


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


class Verifier:
    """Compares the tables that it is given with what the server has.

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
        self._last: dict[str, tuple[int, Any]] = {}  # may be overwritten by the next table's first

    def check(self, tables: Iterable[Table]) -> None:
        """Compare; the last sample of each point waits, since the next one may take its place."""
        for table in tables:
            for cells in table.cells:
                rows = slice(None) if cells.present is None else cells.present
                times, values = table.times_ns[rows].tolist(), cells.values[rows].tolist()
                point = cells.point
                if point.on_change and not self._whole and point.id not in self._last:
                    self._found.setdefault(point.id, Verified(point))
                    times, values = times[1:], values[1:]
                if point.id in self._last and times and self._last[point.id][0] != times[0]:
                    time, value = self._last[point.id]
                    times, values = [time, *times], [value, *values]
                if times:
                    self._last[point.id] = times.pop(), values.pop()
                self._compare(point, times, values)

    def finish(self) -> list[Verified]:
        """Compare the last samples, too; what was found of each point, in the order they came."""
        for verified in self._found.values():
            if (last := self._last.pop(verified.point.id, None)) is not None:
                self._compare(verified.point, [last[0]], [last[1]])
        return list(self._found.values())

    def _compare(self, point: Point, times: list[int], values: list[Any]) -> None:
        verified = self._found.setdefault(point.id, Verified(point))
        verified.expected += len(times)
        for begin in range(0, len(times), _CHUNK):
            part = times[begin : begin + _CHUNK]
            there = self._history(point, part)
            for time, value in zip(part, values[begin : begin + _CHUNK], strict=True):
                if time not in there:
                    verified.missing += 1
                elif not self._same(value, there[time]):
                    verified.different += 1
                else:
                    continue
                verified.first_ns = time if verified.first_ns is None else min(time, verified.first_ns)

    def _history(self, point: Point, times: list[int]) -> dict[int, Value]:
        """What the server has in the whole seconds around *times*."""
        begin, end = min(times) // SECOND_NS * SECOND_NS, (max(times) // SECOND_NS + 2) * SECOND_NS
        bounds = stamps(np.array([begin - SECOND_NS, end], np.int64), point.zone)
        rows = self._client.his_read(point.id, ",".join(bounds)).rows
        return dict(_samples(rows))

    def _same(self, sent: Any, there: Value) -> bool:
        if isinstance(there, Number):
            number = float(there.value)
            # the server keeps numbers that are not whole as 32-bit floats
            return (
                sent == there.value
                or np.float32(sent) == np.float32(number)
                or (sent != sent and number != number)
            )
        if there is NA:
            return self._not_finite == "na" and isinstance(sent, float) and not math.isfinite(sent)
        return type(sent) is type(there) and bool(sent == there)


def _samples(rows: Iterable[dict[str, Value]]) -> Iterator[tuple[int, Value]]:
    for row in rows:
        if isinstance(at := row.get("ts"), DateTime):
            yield at.ns, row.get("val")
