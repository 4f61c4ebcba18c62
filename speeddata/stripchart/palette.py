"""Colours and glyphs: names become rich styles that suit the theme, made once a theme, not once a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from textual.color import Color, ColorParseError

from speeddata.legible import printable
from speeddata.stripchart.look import plain

# Ten hues that differ in lightness too, each for a dark and for a light background.
COLOURS = {
    "blue": ("#5ab0ff", "#0b62b8"),
    "orange": ("#ffab40", "#b35900"),
    "green": ("#6ddc7f", "#1c7a31"),
    "red": ("#ff6b6b", "#c02020"),
    "purple": ("#c792ff", "#7430b8"),
    "brown": ("#d7a27a", "#7d4a26"),
    "pink": ("#ff8fcf", "#b8207e"),
    "grey": ("#b8bfc8", "#5c6670"),
    "olive": ("#d6d65c", "#6b6b00"),
    "cyan": ("#4ddbe0", "#007a85"),
}
_NAMES = tuple(COLOURS)
# How much of its hue a state has: a flag that is set stands out; None is what changes too often to be told
_SHADES = {"false": 0.14, "true": 0.55, None: 0.12}
_OTHER_SHADES = (0.22, 0.40, 0.31, 0.50, 0.26, 0.45)


@dataclass(frozen=True)
class Glyphs:
    """The characters that are no dots."""

    upright: str = "│"
    tick: str = "┤"
    corner: str = "└"
    level: str = "─"
    below: str = "┬"
    cursor: str = "│"
    swatch: str = "●"
    state: str = "■"
    many: str = "▒"
    focus: str = "▌"
    cut: str = "…"
    unicode: bool = True

    def fit(self, text: str, cells: int) -> str:
        """*text* fit for a terminal, in at most *cells* cells; where it is cut, this shows."""
        if len(text) <= cells and text.isascii() and text.isprintable():
            return text
        text = printable(text)
        if not self.unicode:
            text = plain(text)
        if cell_len(text) <= cells:
            return text
        return set_cell_size(text, cells - 1) + self.cut if cells > 0 else ""


UNICODE = Glyphs()
ASCII = Glyphs("|", "+", "+", "-", "+", "|", "*", "#", "%", ">", "~", unicode=False)


class Palette:
    """The styles of a chart.

    Args:
        background, foreground, accent, warning: of the theme.
        dark: whether the background is.
        dim: whether everything is faint.
    """

    def __init__(
        self,
        background: Color,
        foreground: Color,
        accent: Color,
        warning: Color,
        *,
        dark: bool,
        dim: bool = False,
    ) -> None:
        def ink(share: float, colour: Color = foreground, ground: Color = background) -> Color:
            return ground.blend(colour, share * (0.6 if dim else 1), 1)

        def style(colour: Color, ground: Color = background, *, bold: bool = False) -> Style:
            return Style(color=colour.rich_color, bgcolor=ground.rich_color, bold=bold)

        if not dark:  # these hues are made for dark backgrounds more often than not
            accent, warning = (each.darken(max(0.0, each.brightness - 0.45)) for each in (accent, warning))
        self.dark, self.dim = dark, dim
        self._foreground, self._ink, self._style = foreground, ink, style
        # behind the picture: plain, a mark, the cursor
        self._grounds = (background, background.blend(warning, 0.16, 1), background.blend(accent, 0.38, 1))
        self.blank = style(background)
        self.title = style(ink(1), bold=True)
        self.focus = style(ink(1, accent), bold=True)
        self.note = style(background.blend(warning, 0.9, 1))
        self.value = style(ink(0.95), bold=True)
        self.unit = style(ink(0.6))
        self.label = style(ink(0.62))
        self.line = style(ink(0.32))
        self.cursor = style(background, background.blend(accent, 0.85, 1), bold=True)
        self._grid = [style(ink(0.26, ground=ground), ground) for ground in self._grounds]
        self._pointer = [style(ink(0.9, accent, ground), ground) for ground in self._grounds]
        self._marks = [style(ink(0.9, warning, ground), ground) for ground in self._grounds]
        self._traces: dict[str | int, list[Style]] = {}
        self._states: dict[tuple[str | int, str | None], Style] = {}

    @classmethod
    def of_theme(
        cls, background: Color, variables: Mapping[str, str], *, dark: bool, dim: bool = False
    ) -> Palette:
        """The styles under a theme; where it leaves a colour to the terminal, one that fits is taken."""

        def solid(name: str, instead: str) -> Color:
            try:
                colour = Color.parse(variables.get(name, instead))
            except ColorParseError:
                colour = Color.parse(instead)
            return colour if colour.ansi is None and colour.a == 1 else Color.parse(instead)

        return cls(
            background if background.ansi is None else Color.parse("black" if dark else "white"),
            solid("foreground", "#e0e0e0" if dark else "#202020"),
            solid("accent", "#ffa62b"),
            solid("warning", "#d08000"),
            dark=dark,
            dim=dim,
        )

    def trace(self, colour: str | int) -> list[Style]:
        """The style of a trace's dots on each ground: plain, mark, cursor."""
        if colour not in self._traces:
            hue = hue_of(colour, self.dark)
            self._traces[colour] = [
                self._style(self._ink(1, hue, ground), ground) for ground in self._grounds
            ]
        return self._traces[colour]

    def on_grounds(self, what: str) -> list[Style]:
        """The styles of `grid`, `cursor` or `mark` on each ground."""
        return {"grid": self._grid, "cursor": self._pointer, "mark": self._marks}[what]

    def state(self, colour: str | int, text: str | None) -> Style:
        """The style of a state's run: the hue is the signal's, the shade the state's own."""
        if (colour, text) not in self._states:
            if len(self._states) > 1000:  # states are text from anywhere
                self._states.clear()
            shade = _SHADES.get(text)
            if shade is None:  # by its bytes: the same in each run of the program, unlike `hash`
                shade = _OTHER_SHADES[sum(str(text).encode("utf-8", "replace")) % len(_OTHER_SHADES)]
            ground = self._ink(shade, hue_of(colour, self.dark))
            self._states[colour, text] = self._style(self._ink(0.95, ground=ground), ground)
        return self._states[colour, text]


@lru_cache(maxsize=256)
def hue_of(colour: str | int, dark: bool) -> Color:
    """The colour of that name or place in the palette; of an unknown name, one of the palette."""
    if isinstance(colour, str) and colour not in COLOURS:
        try:
            return Color.parse(colour)
        except ColorParseError:
            colour = sum(colour.encode("utf-8", "replace"))
    name = colour if isinstance(colour, str) else _NAMES[colour % len(_NAMES)]
    return Color.parse(COLOURS[name][0 if dark else 1])
