"""Pictures: all that a chart shows at one moment, as values; whoever has the data makes them anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from speeddata.chart.envelope import Envelope

Abscissa = int | float  # nanoseconds since 1970 as int on an axis of time, else the number itself


class Run(Protocol):
    """A stretch over which a state stayed the same; *text* None where it changed too often to be shown."""

    @property
    def first_column(self) -> int: ...
    @property
    def last_column(self) -> int: ...
    @property
    def text(self) -> str | None: ...


@dataclass(frozen=True)
class Trace:
    """A number over the abscissa, drawn as a line.

    Attributes:
        label: the name in the legend.
        colour: a name of the palette, any colour of CSS, or the place in the palette.
        unit: behind the value; may be empty.
        envelope: of `Chart.dots` columns over the picture's range.
        latest_text: the value in the legend, without the unit.
    """

    label: str
    colour: str | int
    unit: str
    envelope: Envelope
    latest_text: str


@dataclass(frozen=True)
class StateTrace:
    """A string, boolean or enum over the abscissa, drawn as a strip of its own.

    Attributes:
        label, colour, latest_text: as those of a trace.
        runs: in ascending order.
        columns: how many columns the runs count over the picture's range; 0 = `Chart.cells`.
    """

    label: str
    colour: str | int
    runs: Sequence[Run]
    latest_text: str
    columns: int = 0


@dataclass(frozen=True)
class Picture:
    """What a chart shows.

    Attributes:
        title: in the upper left.
        begin, end: the range of the abscissa, half-open.
        axis: what the abscissa is.
        zone: in which times are told.
        traces, states: in the order of the legend; later traces are drawn over earlier ones.
        cursor_x: where the cursor stands; None without one.
        cursor_text: what is told under the cursor, such as its exact time.
        marks: (begin, end, name) each; one without an end goes on.
        dim: drawn faintly, for a channel that is silent.
        note: a word beside the title, such as since when it is silent.
    """

    title: str
    begin: Abscissa
    end: Abscissa
    axis: Literal["time", "number"] = "time"
    zone: tzinfo = UTC
    traces: Sequence[Trace] = ()
    states: Sequence[StateTrace] = ()
    cursor_x: Abscissa | None = None
    cursor_text: str = ""
    marks: Sequence[tuple[Abscissa, Abscissa | None, str]] = ()
    dim: bool = False
    note: str = ""

    def cell_of(self, x: Abscissa, cells: int) -> int:
        """The column of cells in which *x* lies, of *cells* over the whole range; may lie outside of it."""
        span = self.end - self.begin
        if not span > 0:
            return 0
        place = float(x - self.begin) / float(span) * cells  # as integers first: a double has no nanoseconds
        return int(max(-1.0, min(place, float(cells))) // 1)

    def x_of(self, cell: int, cells: int) -> Abscissa:
        """The abscissa in the middle of a column of cells."""
        span = self.end - self.begin
        if isinstance(span, int):
            return self.begin + span * (2 * cell + 1) // (2 * cells)
        return self.begin + span * ((cell + 0.5) / cells)
