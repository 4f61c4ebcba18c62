"""Numbers beside the picture, or in place of it: of each signal, now and in the window, and each channel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from speeddata import table
from speeddata.chart.pages import Ref
from speeddata.chart.readings import Statistics
from speeddata.chart.wording import WORDS, value_text
from speeddata.stripchart.channels import Channel

_DIGITS = 5
_STATISTIC_DIGITS = 4
_FIGURE = 10  # cells of a number, with the space before it
_ROOMY = 48  # cells from which on it is told that nothing was lost
_NAME, _MOST_NAME = 12, 28


@dataclass(frozen=True)
class Figures:
    """What is told of one signal; *latest* empty where nothing came yet, *statistics* None of no number."""

    latest: object
    unit: str
    statistics: Statistics | None
    dim: bool = False


class Numbers(ScrollView):
    """A line a signal below a line a channel; only the lines that are seen are worked out.

    Args:
        figures: gives those of a signal.
        about: gives what is told of a channel, and since when it is silent.
    """

    DEFAULT_CSS = """
    Numbers {
        width: 1fr; height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0;
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"numbers--{part}" for part in ("head", "name", "value", "unit", "quiet", "good", "bad", "warn")
    }
    can_focus = False

    def __init__(
        self, figures: Callable[[Ref], Figures | None], about: Callable[[str], tuple[Channel, str] | None]
    ) -> None:
        super().__init__(id="numbers")
        self._figures, self._about = figures, about
        self._rows: list[str | Ref] = []
        self._styles_by_part: dict[str, Style] = {}

    def show(self, refs: Sequence[Ref]) -> None:
        """Show these signals, and work out the lines that are seen anew."""
        rows: list[str | Ref] = []
        for ref in refs:
            if not rows or ref.channel != _channel_of(rows[-1]):
                rows.append(ref.channel)
            rows.append(ref)
        self._styles_by_part = {}
        if rows != self._rows:
            self._rows = rows
            self.virtual_size = Size(0, len(rows) + 1)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self._width
        number = y + self.scroll_offset.y - 1
        if number < 0:
            segments = self._heading()
        elif number < len(self._rows):
            row = self._rows[number]
            segments = self._channel(row) if isinstance(row, str) else self._signal(row)
        else:
            segments = []
        return Strip(segments).adjust_cell_length(width, self._style("name"))

    @property
    def _width(self) -> int:
        """In cells, without the scrollbar."""
        return self.scrollable_content_region.width

    @property
    def _name_cells(self) -> int:
        longest = max((len(row.signal) for row in self._rows if isinstance(row, Ref)), default=_NAME)
        return min(max(longest, _NAME), _MOST_NAME, max(4, self._width // 3)) + 1

    @property
    def _unit_cells(self) -> int:
        return 7

    @property
    def _has_statistics(self) -> bool:
        return self._width >= self._name_cells + _FIGURE * 4 + self._unit_cells + 1

    def _heading(self) -> list[Segment]:
        style = self._style("unit")
        text = (
            " signal".ljust(self._name_cells + 1) + "latest".rjust(_FIGURE) + " unit".ljust(self._unit_cells)
        )
        if self._has_statistics:
            text += "".join(word.rjust(_FIGURE) for word in ("min", "mean", "max"))
        return [Segment(text, style)]

    def _channel(self, name: str) -> list[Segment]:
        about = self._about(name)
        if about is None:
            return [Segment(name, self._style("head"))]
        channel, since = about
        segments = [Segment(f"{name} ", self._style("head"))]
        state = channel.state
        if state is not None:
            good = state.state in ("live", "file", "reading")
            sign = "●" if state.state == "live" else "○" if state.state in ("silent", "end") else "■"
            word = WORDS.get(state.state, state.state) if good else since
            segments.append(Segment(f"{sign} {word} ", self._style("good" if good else "warn")))
            segments.append(
                Segment(
                    f"{table.rate(state.rate_hz or (channel.history.rate_hz if channel.history else 0.0))}  ",
                    self._style("value"),
                )
            )
            if state.thinning.factor > 1:
                told = f"{state.thinning.method} of {state.thinning.factor}  "
                segments.append(Segment(told, self._style("quiet")))
            for word, count in (
                ("lost", state.lost),
                ("rejected", state.rejected),
                ("dropped", state.dropped),
            ):
                if count or (word != "dropped" and self._width >= _ROOMY):
                    style = self._style("bad" if count else "quiet")
                    segments.append(Segment(f"{word} {count:,}  ", style))
            if state.problem:
                segments.append(Segment(state.problem, self._style("warn")))
        return segments

    def _signal(self, ref: Ref) -> list[Segment]:
        figures = self._figures(ref)
        name = _fit(ref.signal, self._name_cells - 1)
        segments = [Segment(f" {name.ljust(self._name_cells)}", self._style("name"))]
        if figures is None:
            return segments
        value = value_text(figures.latest, _DIGITS)
        style = self._style("quiet" if figures.dim else "value")
        latest = value.rjust(_FIGURE)
        if isinstance(figures.latest, int | float) and not isinstance(figures.latest, bool):
            latest = _figure(figures.latest, _DIGITS)
        elif figures.statistics is None:  # else a number that is null now, or that only the recording has
            room = max(1, self._width - self._name_cells - 2)
            return [*segments, Segment(" " + _fit(value, room).rjust(_FIGURE - 1), style)]
        segments.append(Segment(latest, style))
        unit = _fit(figures.unit, self._unit_cells - 1)
        segments.append(Segment(f" {unit}".ljust(self._unit_cells), self._style("unit")))
        if self._has_statistics and figures.statistics is not None:
            told = figures.statistics
            for number in (told.minimum, told.mean, told.maximum):
                known = told.count and not math.isnan(number)
                text = _figure(float(number), _STATISTIC_DIGITS) if known else "-".rjust(_FIGURE)
                segments.append(Segment(text, self._style("quiet")))
        return segments

    def _style(self, part: str) -> Style:
        if part not in self._styles_by_part:
            self._styles_by_part[part] = self.get_component_rich_style(f"numbers--{part}")
        return self._styles_by_part[part]


def _figure(number: int | float, digits: int) -> str:
    """*number* in `_FIGURE` cells, with so many digits or as many as there is room for."""
    texts = (
        value_text(number if isinstance(number, int) else float(number), each)
        for each in range(digits, 0, -1)
    )
    text = next((text for text in texts if len(text) < _FIGURE), None)
    return (text or f"{float(number):.2g}").rjust(_FIGURE)


def _channel_of(row: str | Ref) -> str:
    return row if isinstance(row, str) else row.channel


def _fit(text: str, cells: int) -> str:
    if cell_len(text) <= cells:
        return text
    return set_cell_size(text, max(0, cells - 1)) + "…" if cells > 0 else ""
