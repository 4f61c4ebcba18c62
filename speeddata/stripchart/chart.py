"""The chart widget: shows pictures, line by line, and repaints only the lines that changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rich.segment import Segment
from textual import events
from textual.color import Color
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from speeddata.chart.canvas import Charset, dots_of, line_of
from speeddata.chart.scale import Autoscale
from speeddata.stripchart import axes, plotting, statestrip
from speeddata.stripchart.legend import Legend
from speeddata.stripchart.palette import ASCII, UNICODE, Palette
from speeddata.stripchart.picture import Abscissa, Picture, StateTrace, Trace

__all__ = ["Chart", "Picture", "StateTrace", "Trace"]

ZOOM_STEP = 1.25  # of one notch of the wheel

_Look = tuple[Size, str, Color, bool]  # size, theme, background, focus


@dataclass(frozen=True)
class _Places:
    """How many lines each part of a chart has, from top to bottom, and how wide the gutter is."""

    left: int
    cells: int
    legend: int
    plot: int
    strip: int  # lines of each state
    strips: int
    rule: bool
    times: bool


class Chart(Widget):
    """Traces over an abscissa with a value axis at the left, state strips, marks and a cursor.

    Args:
        charset: of the dots; None takes braille, or ASCII where the terminal has no UTF-8.
        has_times: whether the abscissa is told below the picture.
    """

    DEFAULT_CSS = "Chart { width: 1fr; height: 1fr; min-height: 1; }"
    can_focus = True
    ALLOW_SELECT = False

    class Picked(Message):
        """Someone clicked at *x*."""

        def __init__(self, chart: Chart, x: Abscissa) -> None:
            super().__init__()
            self.chart, self.x = chart, x

        @property
        def control(self) -> Chart:
            return self.chart

    class Zoomed(Message):
        """Someone turned the wheel: the window is to become *factor* times as long, around *x*."""

        def __init__(self, chart: Chart, factor: float, x: Abscissa) -> None:
            super().__init__()
            self.chart, self.factor, self.x = chart, factor, x

        @property
        def control(self) -> Chart:
            return self.chart

    class Dragged(Message):
        """Someone pulled the picture: the window is to move on by *by*, of the abscissa."""

        def __init__(self, chart: Chart, by: Abscissa) -> None:
            super().__init__()
            self.chart, self.by = chart, by

        @property
        def control(self) -> Chart:
            return self.chart

    def __init__(
        self,
        *,
        charset: Charset | None = None,
        has_times: bool = True,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.auto_links = False  # texts of others are no links
        self._charset, self._has_times = charset, has_times
        self._picture: Picture | None = None
        self._scale = Autoscale()
        self._legend = Legend()
        self._gutter = axes.GUTTERS[0]
        self._gutter_lines: tuple[object, list[list[Segment]]] = (None, [])
        self._palettes: dict[tuple[object, ...], Palette] = {}
        self._strips: list[Strip] = []
        self._drawn_for: _Look | None = None  # what `_strips` were made for
        self._held: int | None = None  # the column where the mouse went down
        self._pulled = False

    @property
    def cells(self) -> int:
        """The width of the picture in cells, at least 1."""
        return max(1, self.size.width - self._left)

    @property
    def dots(self) -> int:
        """The width of the picture in dot columns: what to ask envelopes for."""
        return self.cells * dots_of(self.charset)[0]

    @property
    def charset(self) -> Charset:
        """What the dots are made of."""
        if self._charset is None:
            self._charset = "braille" if "utf" in self.app.console.encoding.lower() else "ascii"
        return self._charset

    @property
    def picture(self) -> Picture | None:
        """What is shown."""
        return self._picture

    @property
    def value_range(self) -> tuple[float, float]:
        """The values at the lower and the upper edge."""
        return self._scale.range

    @property
    def has_times(self) -> bool:
        """Whether the abscissa is told below the picture."""
        return self._has_times

    @has_times.setter
    def has_times(self, value: bool) -> None:
        if value != self._has_times:
            self._has_times = value
            self._redraw()

    @property
    def axis_cells(self) -> int:
        """How many cells the value axis takes at the left."""
        return self._gutter

    @axis_cells.setter
    def axis_cells(self, cells: int) -> None:
        if cells != self._gutter:
            self._gutter = cells
            self._redraw()

    def show(self, picture: Picture) -> None:
        """Show *picture* instead of the one before."""
        self._picture = picture
        self._follow(picture)
        self._redraw()

    def fix(self, low: float | None = None, high: float | None = None) -> None:
        """Fix one or both ends of the value axis; what is None follows the data."""
        self._scale = Autoscale(low, high)
        if self._picture is not None:
            self._follow(self._picture)
        self._redraw()

    def x_at(self, column: int) -> Abscissa | None:
        """The abscissa at a column of this widget; None beside the picture."""
        cell = column - self._left
        if self._picture is None or not 0 <= cell < self.cells or not self._picture.end > self._picture.begin:
            return None
        return self._picture.x_of(cell, self.cells)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Those lines, drawn anew if the size or the theme is another one."""
        look = self._look()
        if look != self._drawn_for:
            self._strips = self._draw(look)
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)

    def on_focus(self) -> None:
        self._redraw()

    def on_blur(self) -> None:
        self._redraw()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if event.button == 1 and self.x_at(event.x) is not None:
            self._held, self._pulled = event.x, False
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._held is None or self._picture is None or event.x == self._held:
            return
        cells = self._held - event.x
        span = self._picture.end - self._picture.begin
        by = span * cells // self.cells if isinstance(span, int) else span * cells / self.cells
        self._held, self._pulled = event.x, True
        self.post_message(self.Dragged(self, by))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._held is None:
            return
        self._held = None
        self.release_mouse()
        x = self.x_at(event.x)
        if not self._pulled and x is not None:
            self.post_message(self.Picked(self, x))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._zoom(event, 1 / ZOOM_STEP)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._zoom(event, ZOOM_STEP)

    def _zoom(self, event: events.MouseEvent, factor: float) -> None:
        x = self.x_at(event.x)
        if x is not None:
            event.stop()
            self.post_message(self.Zoomed(self, factor, x))

    @property
    def _left(self) -> int:
        width = self.size.width
        return min(self._gutter, max(axes.GUTTERS[0], width // 3)) if width >= axes.NARROW else 0

    def _follow(self, picture: Picture) -> None:
        """Let the value axis follow the traces."""
        lows = [trace.envelope.low for trace in picture.traces]
        highs = [trace.envelope.high for trace in picture.traces]
        if lows:
            low, high = np.fmin.reduce(np.concatenate(lows)), np.fmax.reduce(np.concatenate(highs))
            self._scale.update(float(low), float(high))

    def _look(self) -> _Look:
        """Whatever the lines depend on beside the picture."""
        return self.size, self.app.theme, self.background_colors[1], self.has_focus

    def _redraw(self) -> None:
        """Draw, and have those lines repainted that changed."""
        if not self.is_attached or not self.size:
            self._drawn_for = None
            return
        look, drawn_for, before = self._look(), self._drawn_for, self._strips
        self._strips = self._draw(look)
        if look != drawn_for or len(before) != len(self._strips):
            self.refresh()
            return
        pairs = enumerate(zip(before, self._strips, strict=True))
        changed = [Region(0, y, self.size.width, 1) for y, (old, new) in pairs if old != new]
        if changed:
            self.refresh(*changed)

    def _palette(self, look: _Look) -> Palette:
        dim = self._picture is not None and self._picture.dim
        key = (*look[1:3], dim)
        if key not in self._palettes:
            if len(self._palettes) > 16:
                self._palettes.clear()
            dark = self.app.current_theme.dark
            self._palettes[key] = Palette.of_theme(look[2], self.app.theme_variables, dark=dark, dim=dim)
        return self._palettes[key]

    def _places(self, legend: int, traces: int, states: int) -> _Places:
        """Share out the lines: the smaller the chart, the less there is beside the picture."""
        rest = self.size.height - legend
        times = self._has_times and rest >= (3 if traces else 2)
        rest -= times
        rule = times and rest >= 9
        rest -= rule
        strip = 1 if traces or not states else max(1, min(3, rest // states))
        strips = max(0, min(states, (rest - 2 if traces else rest) // strip))
        return _Places(self._left, self.cells, legend, rest - strips * strip, strip, strips, rule, times)

    def _draw(self, look: _Look) -> list[Strip]:
        """All lines of the widget."""
        self._drawn_for = look
        width, height = self.size
        palette = self._palette(look)
        picture = self._picture
        if picture is None or width < 1 or height < 1:
            return [Strip.blank(width, palette.blank)] * height
        glyphs = ASCII if self.charset == "ascii" else UNICODE
        most = 1 if height < 8 else 2 if height < 14 else 3
        lines = self._legend.lines(picture, width, most, palette, glyphs, focused=self.has_focus)
        places = self._places(len(lines), len(picture.traces), len(picture.states))
        ticks = axes.abscissa_ticks(picture, places.cells)
        cursor = None if picture.cursor_x is None else picture.cell_of(picture.cursor_x, places.cells)
        if cursor is not None and not 0 <= cursor < places.cells:
            cursor = None
        plot = self._plot(picture, places, ticks, palette) if places.plot else []
        strips = []
        for trace in picture.states[: places.strips]:
            label = statestrip.label(trace, places.left, palette, glyphs)
            strip = statestrip.line(trace, places.cells, cursor, palette, glyphs)
            blank = [Segment(" " * places.left, palette.blank)] if places.left else []
            strips += [[*label, *strip], *([[*blank, *statestrip.unnamed(strip)]] * (places.strip - 1))]
        lines += [*plot, *strips] if picture.traces else [*strips, *plot]
        cells = [cell for cell, _, _ in ticks]
        if places.rule:
            lines.append(axes.rule(places.cells, places.left, cells, palette, glyphs))
        if places.times:
            told = None if cursor is None else (cursor, picture.cursor_text)
            texts = [(cell, text) for cell, _, text in ticks]
            lines.append(axes.times(places.cells, places.left, texts, told, palette, glyphs))
        return [Strip(line).adjust_cell_length(width, palette.blank) for line in lines[:height]]

    def _plot(
        self, picture: Picture, places: _Places, ticks: list[tuple[int, float, str]], palette: Palette
    ) -> list[list[Segment]]:
        """The lines with the traces and the value axis."""
        glyphs = ASCII if self.charset == "ascii" else UNICODE
        low, high = self._scale.range
        across, down = dots_of(self.charset)
        labels, values = [], []
        if picture.traces:
            for value, text in axes.value_labels(low, high, places.plot):
                values.append(int(line_of(value, low, high, places.plot * down)))
                labels.append((values[-1] // down, text))
        columns = [int((cell + share) * across) for cell, share, _ in ticks]
        plot = plotting.lines(
            picture, places.cells, places.plot, (low, high), (values, columns), self.charset, palette, glyphs
        )
        if not places.left:
            return plot
        self._widen(max((len(text) for _, text in labels), default=0))
        key = (low, high, places, tuple(labels), id(palette))
        if self._gutter_lines[0] != key:
            self._gutter_lines = key, axes.gutter(places.plot, labels, places.left, palette, glyphs)
        return [[*left, *right] for left, right in zip(self._gutter_lines[1], plot, strict=True)]

    def _widen(self, longest: int) -> None:
        """Have a wider gutter from the next picture on, if the labels want it: it never shrinks again."""
        wide = next((each for each in axes.GUTTERS if each >= longest + 2), axes.GUTTERS[-1])
        self._gutter = max(self._gutter, wide)
