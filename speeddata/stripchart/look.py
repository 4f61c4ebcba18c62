"""How it looks: a dark theme and a light one, calm ones, and the places of the parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter
from textual.theme import Theme

DARK = Theme(
    "speeddata-dark",
    primary="#4f8cc9",
    secondary="#7aa2c8",
    accent="#ffb454",
    warning="#e6b450",
    error="#f07178",
    success="#7fd88f",
    foreground="#d5dae3",
    background="#0f131a",
    surface="#141a23",
    panel="#1a212c",
    dark=True,
    variables={"footer-key-foreground": "#8fb8de", "footer-foreground": "#8b95a5"},
)
LIGHT = Theme(
    "speeddata-light",
    primary="#2b6cb0",
    secondary="#4a6a8a",
    accent="#b35900",
    warning="#9a6700",
    error="#c02020",
    success="#1c7a31",
    foreground="#1f2733",
    background="#fbfbf8",
    surface="#f1f2ee",
    panel="#e6e8e3",
    dark=False,
    variables={"footer-key-foreground": "#1d5a99", "footer-foreground": "#5b6673"},
)

CSS = """
#title { background: $panel; color: $foreground; }
#keys { background: $panel; }
#body { height: 1fr; }
Charts { width: 1fr; height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }
#empty { width: 1fr; height: 1fr; content-align: center middle; text-align: center; color: $text-muted; }
Numbers { background: $surface; }
.numbers--head { text-style: bold; color: $foreground; }
.numbers--name { color: $foreground; }
.numbers--value { color: $foreground; text-style: bold; }
.numbers--unit { color: $text-muted; }
.numbers--quiet { color: $text-muted; }
.numbers--good { color: $success; }
.numbers--warn { color: $warning; }
.numbers--bad { color: $error; text-style: bold; }
"""

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("─━═╌▔▁", "-"),
        **dict.fromkeys("│┃║▌▐▏▕┤├", "|"),
        **dict.fromkeys("┌┐└┘╭╮╰╯┬┴┼╔╗╚╝", "+"),
        **dict.fromkeys("●◆■▪", "*"),
        **dict.fromkeys("█▂▃▄▅▆▇▀▉▊▋▍▎▒", "#"),
        **dict.fromkeys("○◇□", "o"),
        **dict.fromkeys("·•", "."),
        "←": "<",
        "→": ">",
        "↑": "^",
        "↓": "v",
        "…": "~",
        "∞": "^",
        "µ": "u",
        "°": "o",
    }
)


class Plain(LineFilter):
    """Only ASCII, for a terminal that shows nothing else; each cell keeps its place."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment
            if segment.text.isascii()
            else Segment(plain(segment.text), segment.style, segment.control)
            for segment in segments
        ]


def plain(text: str) -> str:
    """*text* in ASCII, as many cells wide."""
    from rich.cells import cell_len

    text = text.translate(_PLAIN)
    if text.isascii():
        return text
    return "".join(each if each.isascii() else "?" * cell_len(each) for each in text)


def heights(wanted: Sequence[int], height: int, least: int) -> list[int]:
    """How many lines each chart gets: 0 in *wanted* is a share, another number is as many.

    All of *height* is given away where each chart gets *least*; else they go on below the screen.
    """
    fixed = [min(each, max(1, height // 2)) for each in wanted]
    shares = sum(1 for each in wanted if not each)
    rest = height - sum(fixed)
    if not shares:
        return fixed
    if rest < least * shares:
        return [each or min(least, max(1, height)) for each in fixed]
    sizes: list[int] = []
    given = 0
    for each in fixed:
        if each:
            sizes.append(each)
        else:
            given += 1
            sizes.append(rest * given // shares - rest * (given - 1) // shares)
    return sizes


def speaks_utf8(environ: Iterable[tuple[str, str]]) -> bool:
    """Whether the locale of *environ* can show more than ASCII; one that is silent can."""
    found = dict(environ)
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if value := found.get(name, ""):
            return "UTF8" in value.upper().replace("-", "")
    return True
