"""Tables cut and put together to calls: as few of them as the limits of a server allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from speeddata.haystack.hisgrid import size_of
from speeddata.haystack.points import Table

Call = tuple[Table, ...]

MAX_BYTES = 900_000  # a proxy before the server takes 1 MB, as a rule
MAX_SAMPLES = 50_000

_SPARSE = 4  # cells for each sample, beyond which tables go in calls of their own


def calls(
    tables: Sequence[Table], *, max_bytes: int = MAX_BYTES, max_samples: int = MAX_SAMPLES
) -> Iterator[Call]:
    """*tables* in calls, each of one time zone, with all samples once, and those of a point in their order.

    What fits into one call is one call, whatever the points. Where it takes several, tables that share few
    points are not put together: their rows would be empty for the most part. A call has no moment of a point
    twice, since a server may take either.

    Args:
        max_bytes: of a call's body; only a row that has more goes beyond.
        max_samples: of a call; likewise.
    """
    zones: dict[str, list[Table]] = {}
    for table in tables:
        if table.samples:
            zones.setdefault(table.zone, []).append(table)
    for of_zone in zones.values():
        yield from _Packer(max_bytes, max_samples).packed(of_zone)


def halves(call: Call) -> tuple[Call, Call] | None:
    """*call* as two: its tables, or earlier and later rows, or the points of a row; None of one sample."""
    if sum(table.samples for table in call) < 2:
        return None
    if len(call) > 1:
        ends = list(accumulate(table.samples for table in call))
        at = min(range(1, len(call)), key=lambda at: abs(ends[at - 1] - ends[-1] / 2))
        return call[:at], call[at:]
    (table,) = call
    rows, points = len(table.times_ns), len(table.cells)
    if rows > 1:
        return (table.part(0, rows // 2),), (table.part(rows // 2, rows),)
    first = [cells.point.id for cells in table.cells[: points // 2]]
    pair = table.only(first), table.without(first)
    assert pair[0] is not None
    assert pair[1] is not None
    return (pair[0],), (pair[1],)


class _Packer:
    def __init__(self, max_bytes: int, max_samples: int) -> None:
        self._max_bytes, self._max_samples = max_bytes, max_samples

    def packed(self, tables: Sequence[Table]) -> Iterator[Call]:
        """Calls of *tables*, all of one time zone."""
        any_points = self._fits(tables)
        call: list[Table] = []
        for table in tables:
            for part in self._parts(table):
                if call and not (
                    _later(call, part)
                    and (any_points or (not _sparse(call, part) and self._fits([*call, part])))
                ):
                    yield tuple(call)
                    call = []
                call.append(part)
        if call:
            yield tuple(call)

    def _parts(self, table: Table) -> Iterator[Table]:
        """Rows of *table*, as many as fit at a time."""
        if self._fits([table]):
            yield table
            return
        rows = len(table.times_ns)
        share = min(self._max_bytes / size_of([table]), self._max_samples / max(1, table.samples))
        step, first = max(1, int(rows * share)), 0
        while first < rows:
            part = table.part(first, first + step)
            while (count := len(part.times_ns)) > 1 and not self._fits([part]):
                part = table.part(first, first + max(1, count * 15 // 16))
            yield part
            first += count

    def _fits(self, call: Sequence[Table]) -> bool:
        return sum(table.samples for table in call) <= self._max_samples and size_of(call) <= self._max_bytes


def _later(call: Sequence[Table], table: Table) -> bool:
    """Whether each point of *table* has later times than in *call*."""
    newest: dict[str, int] = {}
    for each in call:
        for cells in each.cells:
            newest[cells.point.id] = max(newest.get(cells.point.id, -(2**63)), int(each.times_ns[-1]))
    begin = int(table.times_ns[0])
    return all(begin > newest.get(cells.point.id, -(2**63)) for cells in table.cells)


def _sparse(call: Sequence[Table], table: Table) -> bool:
    """Whether *table* would leave more of *call* empty than it may, and than it is by itself."""
    together = [*call, table]
    columns = {cells.point.id for each in together for cells in each.cells}
    cells = sum(len(each.times_ns) for each in together) * len(columns)
    alone = sum(len(each.times_ns) * len(each.cells) for each in together)
    return cells > max(_SPARSE * sum(each.samples for each in together), alone)
