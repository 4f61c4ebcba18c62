"""The axes of a chart: a gutter with round values at the left, round times below, the cursor's exact time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment

from speeddata.chart import scale
from speeddata.stripchart.palette import Glyphs, Palette
from speeddata.stripchart.picture import Picture

NARROW = 24  # below so many cells there is no gutter
GUTTERS = (8, 13, 19)  # few widths: charts below one another are to have one scale of time
_CELLS_A_TIME = 15
_CELLS_A_NUMBER = 10


@lru_cache(maxsize=64)
def value_labels(low: float, high: float, rows: int) -> list[tuple[float, str]]:
    """Round values of [*low*, *high*] with their texts, as many as *rows* of cells carry with ease."""
    ticks = scale.value_ticks(low, high, max(2, min(rows // 3 + 1, 9)))
    step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(high - low)
    return [(value, scale.tick_text(value, step)) for value in ticks]


def gutter(
    rows: int, labels: Iterable[tuple[int, str]], width: int, palette: Palette, glyphs: Glyphs
) -> list[list[Segment]]:
    """The left axis, a line of segments for each of *rows*; *labels* are (row, text)."""
    texts: dict[int, str] = {}
    for row, text in labels:
        texts.setdefault(row, text)
    plain = [Segment(" " * (width - 1), palette.blank), Segment(glyphs.upright, palette.line)]
    lines = []
    for row in range(rows):
        if row in texts:
            # rather no value than half of one
            text = texts[row] if len(texts[row]) <= width - 2 else ""
            lines.append(
                [Segment(text.rjust(width - 2) + " ", palette.label), Segment(glyphs.tick, palette.line)]
            )
        else:
            lines.append(plain)
    return lines


def abscissa_ticks(picture: Picture, cells: int) -> list[tuple[int, float, str]]:
    """Round places of the abscissa: the cell, the place within it from 0 to 1, and the text."""
    span = picture.end - picture.begin
    if not span > 0 or cells < 1:
        return []
    ticks: Sequence[tuple[int | float, str]]
    if picture.axis == "time":
        most = max(1, cells // _CELLS_A_TIME)
        ticks = scale.time_ticks(int(picture.begin), int(picture.end), most, picture.zone)
    else:
        values = scale.value_ticks(float(picture.begin), float(picture.end), max(2, cells // _CELLS_A_NUMBER))
        step = values[1] - values[0] if len(values) > 1 else float(span)
        ticks = [(value, scale.tick_text(value, step)) for value in values]
    placed = []
    for x, text in ticks:
        place = float(x - picture.begin) / float(span) * cells
        if 0 <= place < cells:
            placed.append((int(place), place % 1, text))
    return placed


def rule(cells: int, left: int, ticks: Iterable[int], palette: Palette, glyphs: Glyphs) -> list[Segment]:
    """The line under the picture, with a notch at each tick."""
    line = [glyphs.level] * cells
    for cell in ticks:
        line[cell] = glyphs.below
    corner = " " * (left - 1) + glyphs.corner if left else ""
    return [Segment(corner + "".join(line), palette.line)]


def times(
    cells: int,
    left: int,
    ticks: Iterable[tuple[int, str]],
    cursor: tuple[int, str] | None,
    palette: Palette,
    glyphs: Glyphs,
) -> list[Segment]:
    """The texts of the ticks, each centred under its own; the cursor's text goes before them."""
    width = left + cells
    placed: list[tuple[int, str, bool]] = []
    if cursor is not None and cursor[1]:
        text = glyphs.fit(f" {cursor[1]} ", width)
        placed.append((_centred(left + cursor[0], text, width), text, True))
    end = 0
    for cell, text in ticks:
        text = glyphs.fit(text, width)
        at = _centred(left + cell, text, width)
        free = all(
            at > other + cell_len(each) or at + cell_len(text) < other for other, each, _ in placed[:1]
        )
        if at >= end and (free or cursor is None or not cursor[1]):
            placed.append((at, text, False))
            end = at + cell_len(text) + 1
    segments, at = [], 0
    for start, text, is_cursor in sorted(placed):
        segments.append(Segment(" " * (start - at), palette.blank))
        segments.append(Segment(text, palette.cursor if is_cursor else palette.label))
        at = start + cell_len(text)
    segments.append(Segment(" " * (width - at), palette.blank))
    return [segment for segment in segments if segment.text]


def _centred(at: int, text: str, width: int) -> int:
    return max(0, min(at - cell_len(text) // 2, width - cell_len(text)))
