"""The keys: one table, from which come what they do, the line at the bottom and the help."""

from __future__ import annotations

from dataclasses import dataclass

STEP, HALF = 0.1, 0.5  # of the window


@dataclass(frozen=True)
class Key:
    """One thing that hands can do.

    Attributes:
        keys: names as Textual spells them, parted by commas.
        action: of the app.
        caption: as it stands on keyboards.
        word: in the line at the bottom; empty where it is only in the help.
        help: one line.
        group: heading in the help.
    """

    keys: str
    action: str
    caption: str
    word: str
    help: str
    group: str


_MOVE, _LOOK, _MARK, _KEEP = "Move", "Look", "Mark", "Keep and leave"

KEYS = (
    Key(
        "space",
        "hold",
        "space",
        "pause",
        "pause, or go on with the newest; data goes on being received",
        _MOVE,
    ),
    Key("left", f"move(-1, {STEP})", "←", "", "scroll back; with the cursor on, move it", _MOVE),
    Key("right", f"move(1, {STEP})", "→", "", "scroll on; with the cursor on, move it", _MOVE),
    Key(
        "shift+left",
        f"move(-10, {HALF})",
        "shift ←",
        "",
        "half a window back; with the cursor on, move it by ten columns",
        _MOVE,
    ),
    Key(
        "shift+right",
        f"move(10, {HALF})",
        "shift →",
        "",
        "half a window on; with the cursor on, move it by ten columns",
        _MOVE,
    ),
    Key("home", "oldest", "home", "", "go to the oldest data, in the recording too", _MOVE),
    Key("end", "newest", "end", "", "go to the newest data, and on with it", _MOVE),
    Key("plus,equals_sign", "shorter", "+", "zoom", "zoom in, to a shorter window; so does the wheel", _MOVE),
    Key("minus", "longer", "-", "", "zoom out, to a longer window; so does the wheel", _MOVE),
    Key("down,tab", "chart(1)", "↓ tab", "", "next chart", _MOVE),
    Key("up,shift+tab", "chart(-1)", "↑", "", "previous chart", _MOVE),
    Key("n,right_square_bracket", "page(1)", "n ]", "next", "next channel or page", _MOVE),
    Key("p,left_square_bracket", "page(-1)", "p [", "", "previous channel or page", _MOVE),
    Key(
        "slash",
        "choose",
        "/",
        "signals",
        "choose signals; space puts one on this page or takes it off",
        _LOOK,
    ),
    Key(
        "v,enter",
        "numbers",
        "v",
        "numbers",
        "numbers of all channels in place of the picture, or the picture again",
        _LOOK,
    ),
    Key(
        "c",
        "cursor",
        "c",
        "cursor",
        "a cursor with its exact time and values, or none; a click sets it",
        _LOOK,
    ),
    Key("f", "pin", "f", "", "pin this chart to the top of every page, or let it go", _LOOK),
    Key("a", "fix", "a", "", "fix the value axis of this chart as it is, or let it find its range", _LOOK),
    Key("o", "together", "o", "", "signals of one unit in one chart, or a chart each", _LOOK),
    Key("t", "zone", "t", "", "local time or UTC", _LOOK),
    Key("d", "dark", "d", "", "dark or light", _LOOK),
    Key(
        "m",
        "mark",
        "m",
        "mark",
        "begin a mark here, or at the cursor; again: end it, or one left open",
        _MARK,
    ),
    Key("M,shift+m", "marks", "M", "", "list the marks: go to one, or give it a name", _MARK),
    Key("s", "picture", "s", "", "save the picture as SVG in the current directory", _KEEP),
    Key("S,shift+s", "save", "S", "", "save this page in speeddata.toml", _KEEP),
    Key("question_mark,f1", "help", "?", "help", "this help", _KEEP),
    Key("q,ctrl+c,ctrl+q", "leave", "q", "quit", "quit", _KEEP),
)
