"""A list over the picture, narrowed by typing: what the picker, the marks and the help have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from speeddata.legible import printable
from speeddata.stripchart.resizing import Resizing

_MOST_TYPED = 64
_WIDTH = 92  # of the box, its frame included: see the style
_STEPS = {"up": -1, "down": 1, "pageup": -10, "pagedown": 10, "home": -100_000, "end": 100_000}


class Rows(Widget):
    """Lines of which one is chosen; as many as there is room for, around that one."""

    DEFAULT_CSS = "Rows { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._rows: Sequence[Content] = ()
        self._chosen = 0

    def show(self, rows: Sequence[Content], chosen: int) -> None:
        """Show *rows*; number *chosen* is told apart."""
        self._rows, self._chosen = rows, chosen
        self.refresh()

    def render(self) -> Content:
        height, width = max(1, self.size.height), self.size.width
        first = min(max(0, self._chosen - height // 2), max(0, len(self._rows) - height))
        lines = []
        for number, row in enumerate(self._rows[first : first + height], first):
            line = row.truncate(width, ellipsis=True)
            line += " " * (width - cell_len(line.plain))
            lines.append(line.stylize("reverse") if number == self._chosen else line)
        return Content("\n").join(lines)


class Panel(Resizing, ModalScreen[None]):
    """A box in the middle of the screen, closed by escape.

    What is typed collects in *typed*; `rows` says what there is to choose from.
    """

    DEFAULT_CSS = """
    Panel { align: center middle; background: $background 60%; }
    Panel > Vertical {
        width: 92; max-width: 100%; height: 80%; min-height: 5; max-height: 100%;
        border: round $primary; background: $surface; padding: 0 1;
        border-title-color: $text; border-title-style: bold; border-subtitle-color: $text-muted;
    }
    Panel Static { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "shut", ""),
        ("ctrl+c", "app.quit", ""),
        ("ctrl+q", "app.quit", ""),
        ("enter", "choose", ""),
    ]
    heading = ""
    subtitle = ""
    prompt = ""

    def __init__(self) -> None:
        super().__init__()
        self.typed = ""
        self.chosen = 0

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title, box.border_subtitle = self.heading, self.subtitle
            if self.prompt:
                yield Static(id="typed")
            yield Rows()

    def on_mount(self) -> None:
        self.update()

    def on_resize(self) -> None:
        self.update()

    @property
    def room(self) -> int:
        """Cells of a line in the box."""
        return max(1, min(self.app.size.width, _WIDTH) - 4)

    def update(self) -> None:
        """Show what there is now."""
        rows = self.rows()
        self.chosen = max(0, min(self.chosen, len(rows) - 1))
        self.query_one(Rows).show(rows, self.chosen)
        if self.prompt:
            line = Content.assemble(
                (f"{self.prompt} ", "$text-muted"), (self.typed, "bold"), ("▏", "$accent")
            )
            self.query_one("#typed", Static).update(line)

    def rows(self) -> Sequence[Content]:
        """What there is to choose from."""
        raise NotImplementedError

    def action_shut(self) -> None:
        self.dismiss()

    def action_choose(self) -> None:
        self.dismiss()

    def on_key(self, event: events.Key) -> None:
        if event.key in _STEPS:  # not by a binding: of keys that come at once, those would come last
            self.chosen += _STEPS[event.key]
            self.update()
        elif self.prompt and event.key == "backspace":
            self.retype(self.typed[:-1])
        elif self.prompt and event.character and event.is_printable:
            self.retype((self.typed + printable(event.character))[:_MOST_TYPED])
        else:
            return
        event.stop()

    def retype(self, typed: str) -> None:
        """*typed* stands there now."""
        self.typed, self.chosen = typed, 0
        self.update()
