"""Dots to cells: traces become rows of characters, eight dots each, by array arithmetic alone.

Drawn here and not with a library: textual-plot, textual-hires-canvas and plotext were measured to take seven
times as long and more for a frame, dot by dot, and would join samples where an envelope is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speeddata.chart.envelope import Envelope

Charset = Literal["braille", "blocks", "ascii"]

EMPTY = -1  # the colour number of a cell without anything
GRID = -2  # of a cell that has nothing but dots of the grid


@dataclass(frozen=True)
class _Dots:
    """What a cell is made of."""

    across: int
    down: int
    bits: tuple[tuple[int, ...], ...]  # the bit of each dot: by its column, then by its row
    characters: str  # by the bits that are set
    infinity: str
    has_grid: bool  # whether dots of a grid can be told from those of a trace


_DOTS: dict[Charset, _Dots] = {
    # the numbering of braille dots grew from six to eight: The Unicode Standard, block 2800
    "braille": _Dots(
        2, 4, ((1, 2, 4, 64), (8, 16, 32, 128)), " " + "".join(map(chr, range(0x2801, 0x2900))), "∞", True
    ),
    "blocks": _Dots(2, 2, ((1, 4), (2, 8)), " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█", "∞", False),
    "ascii": _Dots(1, 2, ((1, 2),), " '.|", "^", False),
}


def dots_of(charset: Charset) -> tuple[int, int]:
    """How many dots a cell has across and down."""
    return _DOTS[charset].across, _DOTS[charset].down


def line_of(values: NDArray[np.float64] | float, low: float, high: float, lines: int) -> NDArray[np.intp]:
    """The line of dots of each value, 0 at *high* and *lines* - 1 at *low*; what is beyond is pegged.

    NaN gives a line too, of no meaning. With *high* not above *low* all lie in the middle.
    """
    half = high / 2 - low / 2  # halves: the whole may be more than a double holds
    if not half > 0:
        return np.full(np.shape(values), lines // 2, np.intp)
    with np.errstate(over="ignore", invalid="ignore"):
        exact = (high / 2 - np.asarray(values) / 2) / half * (lines - 1)
    exact = np.fmin(np.fmax(exact, 0.0), lines - 1.0)  # of a number and NaN, these take the number
    return np.rint(exact).astype(np.intp)


class Canvas:
    """A picture of *width* by *height* cells, to which traces are added one after the other.

    Args:
        width: in cells; `columns` is in dots.
        height: in cells; `lines` is in dots.
        charset: what the cells are made of: braille has 2x4 dots, blocks 2x2, and ASCII 1x2.

    Raises:
        ValueError: no cell at all.
    """

    def __init__(self, width: int, height: int, charset: Charset = "braille") -> None:
        if width < 1 or height < 1:
            raise ValueError(f"a canvas of {width}x{height} cells")
        self.width, self.height = width, height
        self._dots = _DOTS[charset]
        self.columns, self.lines = width * self._dots.across, height * self._dots.down
        self._strokes, self._characters = _tables(charset)
        self._bits = np.zeros((height, width), np.uint8)
        self._grid: NDArray[np.uint8] | None = None
        self._colours = np.full((height, width), EMPTY, np.int16)
        self._over = np.zeros((height, width), np.uint32)  # characters put over a cell
        self._infinities: list[tuple[int, bool, int]] = []  # in which column of cells, at the top, colour
        self._tops = np.arange(0, self.lines, self._dots.down)[:, None]

    def draw(self, envelope: Envelope, low: float, high: float, colour: int) -> None:
        """Add one trace; see `draw_all`."""
        self.draw_all([envelope], low, high, colour)

    def draw_all(self, envelopes: Sequence[Envelope], low: float, high: float, colour: int = 0) -> None:
        """Add traces: each dot column from its least to its greatest value, joined with its neighbours.

        A value beyond [*low*, *high*] is pegged to the edge, as the pen of a stripchart is. An infinity has
        a mark of its own at the edge. An envelope of another number of columns is stretched.

        Args:
            envelopes: of the whole width, from the lowermost to the uppermost.
            low, high: the values of the lowest and the highest line.
            colour: of the first, a number of the caller's, at least 0; the others count on from there. A
                cell that several share has the colour of the uppermost.
        """
        if not envelopes:
            return
        fitting = [
            each if len(each.low) == self.columns else stretched(each, self.columns) for each in envelopes
        ]
        tops, bottoms = _spans(fitting, low, high, self.lines)
        across, down = self._dots.across, self._dots.down
        upper = np.minimum(np.maximum(tops[:, None, :] - self._tops, 0), down)
        lower = np.minimum(np.maximum(bottoms[:, None, :] - self._tops, -1), down - 1)
        strokes = upper * (down + 1) + (lower + 1)
        bits = self._strokes[0][strokes[:, :, ::across]]
        if across == 2:
            bits |= self._strokes[1][strokes[:, :, 1::2]]
        self._bits |= np.bitwise_or.reduce(bits, axis=0)
        for number, (envelope, own) in enumerate(zip(fitting, bits, strict=True), colour):
            self._colours[own != 0] = number
            if envelope.infinite.any():
                below = np.zeros_like(envelope.infinite) if envelope.below is None else envelope.below
                above = envelope.infinite & ~below if envelope.above is None else envelope.above
                for flags, is_above in ((above, True), (below, False)):
                    cells = np.flatnonzero(flags.reshape(-1, across).any(axis=1))
                    self._infinities += [(cell, is_above, number) for cell in cells.tolist()]

    def grid(self, lines: Sequence[int], columns: Sequence[int]) -> None:
        """Dot *lines* and *columns* lightly; only cells without anything else show them."""
        if not self._dots.has_grid:
            return
        dots = np.zeros((self.lines, self.columns), np.uint8)
        dots[[line for line in lines if 0 <= line < self.lines], ::2] = 1
        dots[::2, [column for column in columns if 0 <= column < self.columns]] = 1
        self._grid = np.zeros_like(self._bits)
        for x, column in enumerate(self._dots.bits):
            for y, bit in enumerate(column):
                self._grid |= dots[y :: self._dots.down, x :: self._dots.across] * np.uint8(bit)

    def upright(self, column: int, character: str, colour: int) -> None:
        """An upright line through the cells of *column* that have no dots."""
        if 0 <= column < self.width:
            free = (self._bits[:, column] == 0) & (self._over[:, column] == 0)
            self._over[free, column] = ord(character)
            self._colours[free, column] = colour

    def write(self, row: int, column: int, text: str, colour: int) -> bool:
        """Write *text*, if all its cells are on the canvas and free; tell whether they were."""
        end = column + len(text)
        if not 0 <= column < end <= self.width or not 0 <= row < self.height:
            return False
        if self._bits[row, column:end].any() or self._over[row, column:end].any():
            return False
        self._over[row, column:end] = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        self._colours[row, column:end] = colour
        return True

    def rows(self) -> tuple[list[str], NDArray[np.int16]]:
        """The text of each row, and the colour number of each cell, shape (height, width)."""
        self._place_infinities()
        characters, colours = self._characters[self._bits], self._colours
        if self._grid is not None:
            free = (self._bits == 0) & (self._over == 0) & (self._grid != 0)
            characters[free] = self._characters[self._grid[free]]
            colours = np.where(free, np.int16(GRID), colours)
        np.copyto(characters, self._over, where=self._over != 0)
        text = characters.tobytes().decode("utf-32-le")
        return [text[at : at + self.width] for at in range(0, len(text), self.width)], colours

    def _place_infinities(self) -> None:
        """Put each mark at its edge, or as near to it as the dots leave room: it hides no spike."""
        for column, is_above, colour in self._infinities:
            rows = range(self.height) if is_above else range(self.height - 1, -1, -1)
            free = (row for row in rows[: (self.height + 1) // 2] if not self._bits[row, column])
            row = next(free, rows[0])
            self._over[row, column], self._colours[row, column] = ord(self._dots.infinity), colour
        self._infinities.clear()


def _spans(
    envelopes: Sequence[Envelope], low: float, high: float, lines: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The highest and the lowest line of each column, shape (traces, columns); past each other if none."""
    columns = len(envelopes[0].low)
    # beside the columns there is one more at either end, for where a line comes in and leaves
    values = np.full((4, len(envelopes), columns + 2), np.nan)
    apart = np.zeros((len(envelopes), columns + 2), np.bool_)
    for number, each in enumerate(envelopes):
        own = values[:, number]
        own[0, 1:-1], own[1, 1:-1], own[2, 1:-1], own[3, 1:-1] = each.high, each.low, each.first, each.last
        apart[number, 1:-1] = each.gap
    drawn = ~np.isnan(values[1])
    apart &= drawn
    for number, each in enumerate(envelopes):
        if each.before is not None or each.after is not None or not drawn[number, 1:-1].all():
            _bridge(each, values[:, number], drawn[number])
    tops, bottoms, first, last = line_of(values, low, high, lines)
    # two neighbours meet half-way: one takes the lines up to the middle, the other those beyond it
    left, right = last[:, :-1], first[:, 1:]
    joined = drawn[:, :-1] & drawn[:, 1:] & ~apart[:, 1:]
    rises, falls = joined & (right < left), joined & (right > left)
    middle = (left + right) >> 1
    np.minimum(tops[:, :-1], middle + 1, out=tops[:, :-1], where=rises)
    np.maximum(bottoms[:, 1:], middle, out=bottoms[:, 1:], where=rises)
    np.maximum(bottoms[:, :-1], middle, out=bottoms[:, :-1], where=falls)
    np.minimum(tops[:, 1:], middle + 1, out=tops[:, 1:], where=falls)
    tops[~drawn], bottoms[~drawn] = lines, -1
    return tops[:, 1:-1], bottoms[:, 1:-1]


def _bridge(envelope: Envelope, values: NDArray[np.float64], drawn: NDArray[np.bool_]) -> None:
    """Lay a straight line through the columns between two samples that are joined, and to the edges.

    *values* (4, columns + 2) and *drawn* are filled in; the outermost columns are those just outside.
    """
    columns = len(envelope.low)
    at = np.flatnonzero(drawn)
    where, first, last = at.astype(np.float64), values[2, at], values[3, at]
    apart = envelope.gap[at - 1]
    if envelope.before is not None:
        position = min(_position(envelope, envelope.before[0]), 0.0)
        where, apart = np.append(position, where), np.append(False, apart)
        first, last = np.append(np.nan, first), np.append(envelope.before[1], last)
    if envelope.after is not None:
        # just past the column outside, so that this is still between two samples
        position = max(_position(envelope, envelope.after[0]), columns + 1 + 1e-6)
        where, apart = np.append(where, position), np.append(apart, False)
        first, last = np.append(first, envelope.after[1]), np.append(last, np.nan)
    wanted = np.flatnonzero(~drawn)
    right = np.searchsorted(where, wanted, "right")
    between = (right > 0) & (right < len(where))
    right, wanted = right[between], wanted[between]
    between = ~apart[right]
    right, wanted = right[between], wanted[between]
    share = (wanted - where[right - 1]) / (where[right] - where[right - 1])
    values[:, wanted] = last[right - 1] * (1 - share) + first[right] * share
    drawn[wanted] = True


def _position(envelope: Envelope, x: float) -> float:
    """The dot column of *x*, counted from the middle of the one before the first."""
    # times are taken apart as integers: a double has no nanoseconds
    span = float(envelope.end - envelope.begin) or 1.0
    return float(x - envelope.begin) / span * len(envelope.low) + 0.5


def stretched(envelope: Envelope, columns: int) -> Envelope:
    """*envelope* over another number of columns: what a chart shows until there is one of its new size."""
    old = len(envelope.low)
    to = np.arange(old) * columns // max(1, old)
    low, high, first, last = (np.full(columns, np.nan) for _ in range(4))
    np.fmin.at(low, to, envelope.low)
    np.fmax.at(high, to, envelope.high)
    sampled = np.flatnonzero(~np.isnan(envelope.low))
    first[to[sampled[::-1]]] = envelope.first[sampled[::-1]]
    last[to[sampled]] = envelope.last[sampled]
    flags: dict[str, Any] = {}
    for name in ("gap", "infinite", "above", "below"):
        if (old_flags := getattr(envelope, name)) is not None:
            flags[name] = np.zeros(columns, np.bool_)
            np.logical_or.at(flags[name], to, old_flags)
    return replace(envelope, low=low, high=high, first=first, last=last, **flags)


_MADE: dict[str, tuple[tuple[NDArray[np.uint8], ...], NDArray[Any]]] = {}


def _tables(charset: Charset) -> tuple[tuple[NDArray[np.uint8], ...], NDArray[Any]]:
    """The bits of a stroke in each column of a cell, by upper * (down + 1) + lower + 1; the characters."""
    if charset not in _MADE:
        dots = _DOTS[charset]
        strokes = tuple(
            np.array(
                [
                    sum(column[upper : lower + 1])
                    for upper in range(dots.down + 1)
                    for lower in range(-1, dots.down)
                ],
                np.uint8,
            )
            for column in dots.bits
        )
        _MADE[charset] = strokes, np.frombuffer(dots.characters.encode("utf-32-le"), np.uint32)
    return _MADE[charset]
