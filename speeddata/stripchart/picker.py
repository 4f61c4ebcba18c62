"""Choosing signals of all channels: by some of their letters, onto the page or off it, or to go there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.content import Content

from speeddata.chart import fuzzy
from speeddata.chart.pages import Known, Page, Ref
from speeddata.stripchart.listing import Panel

_MOST = 500  # lines; whoever looks for one more types one more letter


class Picker(Panel):
    """The signals that are *known*; enter goes to the page of the one that is chosen."""

    heading = "Signals"
    subtitle = "space: on or off this page · enter: go there · esc: back"
    prompt = "find"

    def __init__(
        self, known: Known, page: Page, changed: Callable[[], None], go: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._known, self._page, self._changed, self._go = known, page, changed, go
        self._all = [Ref(channel, signal) for channel, signals in known.items() for signal in signals]
        self._all.sort(key=lambda ref: ref.channel != page.name)  # those of the page first
        self._by_name = {str(ref): ref for ref in self._all}
        self._found: list[Ref] = []

    def rows(self) -> Sequence[Content]:
        names = fuzzy.found(self.typed, self._by_name) if self.typed else list(self._by_name)
        self._found = [self._by_name[name] for name in names[:_MOST]]
        shown = {ref for plan in self._page.plans(self._known) for ref in plan.signals}
        return [self._row(ref, ref in shown) for ref in self._found]

    def _row(self, ref: Ref, is_shown: bool) -> Content:
        kind = self._known[ref.channel][ref.signal]
        sign = ("● on ", "$text-success") if is_shown else ("○ off", "$text-muted")
        return Content.assemble(sign, f"  {ref.channel}.", (ref.signal, "bold"), (f"  {kind}", "$text-muted"))

    def action_choose(self) -> None:
        if self._found:
            self._go(self._found[self.chosen].channel)
        self.dismiss()

    def on_key(self, event: events.Key) -> None:
        if event.key == "space":
            event.stop()
            event.prevent_default()  # no letter of a name: Textual asks the base class, too
            if self._found:
                self._page.toggle(self._found[self.chosen], self._known)
                self._changed()
                self.update()
