"""The lines above a picture: its title and a note at the left, names with latest values at the right."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from speeddata.stripchart.palette import Glyphs, Palette
from speeddata.stripchart.picture import Picture, StateTrace, Trace

_LONGEST_VALUE = 24  # a double with all its digits
_LONGEST_NAME = 32
_APART = 2  # cells between two entries

Entry = list[Segment]


class Legend:
    """Lays out the lines of a chart; values keep the width they once had, so that nothing jumps about."""

    def __init__(self) -> None:
        self._widths: dict[str, int] = {}

    def lines(
        self,
        picture: Picture,
        width: int,
        most: int,
        palette: Palette,
        glyphs: Glyphs,
        *,
        focused: bool = False,
    ) -> list[list[Segment]]:
        """At most *most* lines of *width* cells; what does not fit is left out, and how much is told."""
        shown: list[Trace | StateTrace] = [*picture.traces, *picture.states]
        self._remember(shown, glyphs)
        bar = [Segment(glyphs.focus, palette.focus)] if focused else [Segment(" ", palette.blank)]
        titled = bar
        alone = len(shown) == 1 and shown[0].label == picture.title
        if picture.title and not alone:
            title = glyphs.fit(picture.title, max(width // 2, width - 40) - 1)
            titled = [*bar, Segment(title + " ", palette.focus if focused else palette.title)]
        head = titled
        if picture.note:
            head = [*titled, Segment(f" {glyphs.fit(picture.note, width // 2)} ", palette.note)]
        for detail in (2, 1, 0):
            entries = [self._entry(each, detail, palette, glyphs) for each in shown]
            lines, placed = _flow(entries, width, _length(head), most)
            if placed == len(entries):
                break
        else:
            told = len(f"+{len(entries)}") + _APART
            for beside in (head, titled, bar):  # rather no note, and no title, than no name
                lines, placed = _flow(entries, width, _length(beside), most, told)
                if placed:
                    rest = Segment(f"+{len(entries) - placed}", palette.unit)
                    head, lines = beside, [*lines[:-1], [*lines[-1], [rest]]]
                    break
            else:
                lines = [[entries[0]]] if _length(entries[0]) <= width else [[]]
        made = []
        for number, placed_here in enumerate(lines):
            line = _joined(placed_here, palette.blank)
            left = head if number == 0 else []
            space = width - _length(left) - _length(line)
            if space < 0:  # not even one entry beside the title
                line = line[:-1]
                left, space = [], max(0, width - _length(line))
            made.append([*left, Segment(" " * space, palette.blank), *line])
        return [[segment for segment in line if segment.text] for line in made]

    def _remember(self, shown: Sequence[Trace | StateTrace], glyphs: Glyphs) -> None:
        labels = {each.label for each in shown}
        if not labels >= self._widths.keys():
            self._widths = {label: width for label, width in self._widths.items() if label in labels}
        for each in shown:
            width = cell_len(glyphs.fit(each.latest_text, _LONGEST_VALUE))
            self._widths[each.label] = max(width, self._widths.get(each.label, 0))

    def _entry(self, shown: Trace | StateTrace, detail: int, palette: Palette, glyphs: Glyphs) -> Entry:
        """*detail* 0 is the name only, 1 the value too, 2 the unit too."""
        colour = palette.trace(shown.colour)[0]
        swatch = glyphs.state if isinstance(shown, StateTrace) else glyphs.swatch
        entry = [Segment(f"{swatch} {glyphs.fit(shown.label, _LONGEST_NAME)}", colour)]
        if detail and self._widths[shown.label]:
            text = glyphs.fit(shown.latest_text, _LONGEST_VALUE)
            pad = " " * (self._widths[shown.label] - cell_len(text) + 1)
            entry.append(Segment(pad + text, palette.value))
        unit = shown.unit if isinstance(shown, Trace) else ""
        if detail > 1 and unit:
            entry.append(Segment(" " + glyphs.fit(unit, 12), palette.unit))
        return entry


def _length(segments: Sequence[Segment]) -> int:
    return sum(segment.cell_length for segment in segments)


def _joined(entries: Sequence[Entry], blank: Style) -> list[Segment]:
    """*entries* in one line, with a blank behind the last."""
    line: list[Segment] = []
    for entry in entries:
        line += [Segment(" " * _APART, blank), *entry] if line else entry
    return [*line, Segment(" ", blank)] if len(entries) > 0 else line


def _flow(
    entries: Sequence[Entry], width: int, head: int, most: int, reserved: int = 0
) -> tuple[list[list[Entry]], int]:
    """*entries* in at most *most* lines, the first beside a head, and how many of them found a place.

    *reserved* cells of the last line stay free.
    """
    lines: list[list[Entry]] = [[]]
    used = head + 1
    for number, entry in enumerate(entries):
        length = _length(entry)
        while True:
            end = width - 1 - (reserved if len(lines) == most else 0)
            if used + length + (_APART if lines[-1] else 0) <= end:
                break
            if len(lines) == most:
                return lines, number
            lines.append([])
            used = 0
        used += length + (_APART if lines[-1] else 0)
        lines[-1].append(entry)
    return lines, len(entries)
