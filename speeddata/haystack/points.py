"""A signal's point on a server, and samples on their way there: rows of many points at common times."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["Number", "Bool", "Str"]

SECOND_NS, MILLISECOND_NS = 10**9, 10**6  # the precisions that a point may have


@dataclass(frozen=True, slots=True)
class Point:
    """Where the samples of one signal go, and how.

    Attributes:
        id: of the server's record, without the `@`.
        dis: how people call it.
        channel, signal: where the samples come from.
        kind: of its history.
        zone: the city of its time zone, as in `New_York`.
        unit: of its history; None where it has none. Values are written without it.
        precision_ns: times are kept to that, `SECOND_NS` or `MILLISECOND_NS`.
        scale, offset: value = sample * scale + offset.
        on_change: only samples that differ from the one before by more than *deadband*...
        heartbeat_ns: ...and one that does not, when so much time has passed since the last.
    """

    id: str
    dis: str
    channel: str
    signal: str
    kind: Kind
    zone: str
    unit: str | None = None
    precision_ns: int = SECOND_NS
    scale: float = 1.0
    offset: float = 0.0
    on_change: bool = False
    deadband: float = 0.0
    heartbeat_ns: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Samples of a point.

    Attributes:
        point: theirs.
        values: shape (n,): float64, float32, an integer dtype or bool, or objects of str.
        present: where there is a sample, bool, shape (n,); None: everywhere.
    """

    point: Point
    values: NDArray[Any]
    present: NDArray[np.bool_] | None = None

    @property
    def samples(self) -> int:
        return len(self.values) if self.present is None else int(self.present.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Samples of points of one time zone at common times.

    Attributes:
        zone: the city.
        times_ns: since 1970 UTC, int64, shape (n,), ascending, none of them twice.
        cells: of each point, n of them; at least one.
    """

    zone: str
    times_ns: NDArray[np.int64]
    cells: tuple[Cells, ...]

    @property
    def samples(self) -> int:
        return sum(cells.samples for cells in self.cells)

    def part(self, first: int, end: int) -> Table:
        """Rows *first* to *end* (exclusive)."""
        cells = tuple(
            Cells(
                each.point, each.values[first:end], None if each.present is None else each.present[first:end]
            )
            for each in self.cells
        )
        return Table(self.zone, self.times_ns[first:end], cells)

    def without(self, ids: Collection[str]) -> Table | None:
        """The same without the points of these ids; None when no point is left."""
        return self._of([cells for cells in self.cells if cells.point.id not in ids])

    def only(self, ids: Collection[str]) -> Table | None:
        """The same with the points of these ids alone; None when it has none of them."""
        return self._of([cells for cells in self.cells if cells.point.id in ids])

    def _of(self, cells: list[Cells]) -> Table | None:
        return Table(self.zone, self.times_ns, tuple(cells)) if cells else None
