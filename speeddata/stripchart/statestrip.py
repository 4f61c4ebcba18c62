"""A state strip: a line in which each stretch of a state has a shade and, where it fits, its name."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment

from speeddata.stripchart.palette import Glyphs, Palette
from speeddata.stripchart.picture import StateTrace


def line(
    trace: StateTrace, cells: int, cursor: int | None, palette: Palette, glyphs: Glyphs
) -> list[Segment]:
    """The strip of *trace*, *cells* wide, with the cursor over it."""
    columns = trace.columns or cells
    segments: list[Segment] = []
    at = 0
    for run in trace.runs:
        first = max(at, run.first_column * cells // columns)
        end = min(cells, max(first + 1, (run.last_column + 1) * cells // columns))
        if end <= first:
            continue
        if first > at:
            segments.append(Segment(" " * (first - at), palette.blank))
        width, style = end - first, palette.state(trace.colour, run.text)
        if run.text is None:
            text = glyphs.many * width
        else:
            text = glyphs.fit(run.text, width - 1 if width > 1 else width)
            if width > 2 and cell_len(text) <= width - 2:
                text = f" {text}"
            text += " " * (width - cell_len(text))
        segments.append(Segment(text, style))
        at = end
    if at < cells:
        segments.append(Segment(" " * (cells - at), palette.blank))
    if cursor is None or not 0 <= cursor < cells:
        return segments
    before, under, after = Segment.divide(segments, (cursor, cursor + 1, cells))
    return [*before, *(Segment(s.text, palette.cursor) for s in under), *after]


def label(trace: StateTrace, width: int, palette: Palette, glyphs: Glyphs) -> list[Segment]:
    """The name of *trace* in the gutter."""
    if not width:
        return []
    text = glyphs.fit(trace.label, width - 1)
    return [Segment(" " * (width - 1 - cell_len(text)) + text + " ", palette.trace(trace.colour)[0])]


def unnamed(strip: list[Segment]) -> list[Segment]:
    """A further line of the same strip, without the names."""
    return [Segment(" " * segment.cell_length, segment.style) for segment in strip]
