"""The line at the top, which tells what is seen and when, and the one at the bottom, which tells the keys."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from speeddata.stripchart.keys import KEYS

Part = tuple[str, str, int]  # text, style, and how soon it gives way: 0 never


class Bar(Widget):
    """One line; where it is too narrow, the parts that matter least are left out."""

    DEFAULT_CSS = """
    Bar { height: 1; width: 1fr; }
    """

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.auto_links = False  # keys that can be clicked look like keys
        self._left: tuple[Part, ...] = ()
        self._right: tuple[Part, ...] = ()

    def show(self, left: Sequence[Part], right: Sequence[Part] = ()) -> None:
        """Show these parts; nothing is drawn again where they are the same."""
        told = tuple(left), tuple(right)
        if told != (self._left, self._right):
            self._left, self._right = told
            self.refresh()

    def render(self) -> Content:
        left, right = list(self._left), list(self._right)
        while (left or right) and _width(left) + _width(right) > self.size.width:
            most = max(part[2] for part in [*left, *right])
            if not most:
                break
            for parts in (right, left):
                if found := [part for part in parts if part[2] == most]:
                    parts.remove(found[-1])
                    break
        space = max(0, self.size.width - _width(left) - _width(right))
        pieces = [(text, style) for text, style, _ in left]
        pieces += [(" " * space, ""), *((text, style) for text, style, _ in right)]
        return Content.assemble(*pieces)


def _width(parts: Sequence[Part]) -> int:
    return sum(cell_len(text) for text, _, _ in parts)


class KeyLine(Bar):
    """The main keys; each can be clicked."""

    def __init__(self) -> None:
        super().__init__("keys")
        self._note = ""

    def tell(self, note: str, figures: str = "") -> None:
        """Show *note* in place of the keys, as long as there is one; *figures* at the right."""
        right = [(f" {figures} ", "$text-muted", 1)] if figures else []
        if note:
            self.show([(f" {note} ", "$text-warning", 0)], right)
            return
        parts: list[Part] = []
        for place, key in enumerate((each for each in KEYS if each.word), 2):
            # help and quit are the last to go
            gives_way = 1 if key.word in ("help", "quit", "pause") else place
            click = f"@click=app.{key.action}" if "(" in key.action else f"@click=app.{key.action}()"
            parts.append((f" {key.caption}", f"bold $footer-key-foreground {click}", gives_way))
            parts.append((f" {key.word} ", f"$footer-foreground {click}", gives_way))
        self.show(parts, right)
