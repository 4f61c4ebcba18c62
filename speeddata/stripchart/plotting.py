"""The picture between the axes: traces, grid, marks and the cursor as segments, one per run of a colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style

from speeddata.chart.canvas import EMPTY, GRID, Canvas, Charset
from speeddata.stripchart.palette import Glyphs, Palette
from speeddata.stripchart.picture import Picture

_CURSOR, _MARK = -3, -4  # colour numbers beside those of the canvas
_PLAIN, _MARKED, _POINTED = range(3)  # grounds


def lines(
    picture: Picture,
    cells: int,
    rows: int,
    value_range: tuple[float, float],
    grid: tuple[Sequence[int], Sequence[int]],
    charset: Charset,
    palette: Palette,
    glyphs: Glyphs,
) -> list[list[Segment]]:
    """The segments of each row of a picture of *cells* by *rows*; *grid* are lines and columns of dots."""
    canvas = Canvas(cells, rows, charset)
    canvas.draw_all([trace.envelope for trace in picture.traces], *value_range)
    canvas.grid(*grid)
    grounds = _grounds(picture, cells, canvas, glyphs)
    texts, colours = canvas.rows()
    styles = [
        *palette.on_grounds("mark"),
        *palette.on_grounds("cursor"),
        *palette.on_grounds("grid"),
        *palette.on_grounds("grid"),
        *(style for trace in picture.traces for style in palette.trace(trace.colour)),
    ]
    return _runs(texts, colours, grounds, styles)


def _grounds(picture: Picture, cells: int, canvas: Canvas, glyphs: Glyphs) -> NDArray[np.int16]:
    """What is behind each column of cells; writes the names of marks and the cursor's line."""
    grounds = np.full(cells, _PLAIN, np.int16)
    cursor = None if picture.cursor_x is None else picture.cell_of(picture.cursor_x, cells)
    for begin, end, name in picture.marks:
        first = picture.cell_of(begin, cells)
        last = cells - 1 if end is None else picture.cell_of(end, cells)
        if last < 0 or first >= cells:
            continue
        grounds[max(0, first) : last + 1] = _MARKED
        text = glyphs.fit(name, max(0, last - max(0, first)))
        if text:
            # where there is room: a name never hides a dot
            any(canvas.write(row, max(0, first), text, _MARK) for row in (0, canvas.height - 1))
    if cursor is not None and 0 <= cursor < cells:
        grounds[cursor] = _POINTED
        canvas.upright(cursor, glyphs.cursor, _CURSOR)
    return grounds


def _runs(
    texts: Sequence[str], colours: NDArray[np.int16], grounds: NDArray[np.int16], styles: Sequence[Style]
) -> list[list[Segment]]:
    """A segment for each run of one style; a blank goes with what is left of it, whatever its colour."""
    height, width = colours.shape
    inked = np.where(colours == EMPTY, 0, np.arange(width))
    keys = np.take_along_axis(colours, np.maximum.accumulate(inked, axis=1), axis=1)
    keys = (np.where(keys == EMPTY, GRID, keys) - _MARK) * 3 + grounds
    cut_rows, cut_columns = np.nonzero(keys[:, 1:] != keys[:, :-1])
    ends = np.searchsorted(cut_rows, np.arange(height + 1)).tolist()
    cuts = (cut_columns + 1).tolist()
    made = []
    for row, text in enumerate(texts):
        starts = [0, *cuts[ends[row] : ends[row + 1]]]
        run_keys = keys[row, starts].tolist()
        made.append(
            [
                Segment(text[start:end], styles[key])
                for start, end, key in zip(starts, [*starts[1:], width], run_keys, strict=True)
            ]
        )
    return made
