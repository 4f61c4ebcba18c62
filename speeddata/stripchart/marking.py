"""Marks by hand: one key begins and ends one, a list shows them all, every change is in the file at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import tzinfo
from typing import Protocol

from textual.content import Content

from speeddata.chart.marks import Mark, free_name
from speeddata.chart.timescale import exact_time
from speeddata.chart.wording import span_text
from speeddata.errors import SpeedDataError, UsageError
from speeddata.legible import printable
from speeddata.stripchart.listing import Panel


class Kept(Protocol):
    """What is asked of `recording.markfile.MarkFile`."""

    def read(self) -> list[Mark]: ...

    def write(self, mark: Mark) -> None: ...

    def rename(self, mark: Mark, name: str) -> None: ...


class Marking:
    """The marks of a recording, those of others too.

    A mark that was open before we came is ended by the key like one of our own: whoever began it may be gone.
    One that somebody begins meanwhile is theirs to end.

    Args:
        file: where they are kept.
        clock: the time in nanoseconds since 1970.
    """

    def __init__(self, file: Kept, clock: Callable[[], int]) -> None:
        self._file, self._clock = file, clock
        self.marks: list[Mark] = []
        self._ours = ""  # key of the one that was begun here, while it is open
        self._found: set[str] | None = None  # keys of those that were open before

    def read(self) -> None:
        """Take in what is in the file.

        Raises:
            SpeedDataError: it cannot be read.
        """
        self.marks = self._file.read()
        if self._found is None:
            self._found = {mark.key for mark in self.marks if mark.end_ns is None}

    def open(self, channels: Collection[str]) -> Mark | None:
        """The mark that the key ends where *channels* are looked at: ours, else the one begun last."""
        still = [mark for mark in self.marks if mark.end_ns is None]
        ours = [mark for mark in still if mark.key == self._ours]
        theirs = [
            mark
            for mark in still
            if mark.key in (self._found or ()) and (not mark.channels or set(channels) & set(mark.channels))
        ]
        return max(ours or theirs, key=lambda mark: mark.begin_ns, default=None)

    def press(self, x_ns: int, channels: Sequence[str]) -> str:
        """Begin a mark at *x_ns*, or end the one that is open; what to tell of it.

        Raises:
            SpeedDataError: it cannot be written.
        """
        self.read()
        mark = self.open(channels)
        if mark is None:
            begun = Mark(free_name(self.marks), x_ns, None, tuple(channels), self._clock())
            self._file.write(begun)
            self._ours = begun.key
            self.marks = [*self.marks, begun]
            return f"{begun.name} begins; m ends it"
        ended = mark.ended(x_ns)
        self._file.write(ended)
        self.marks = [ended if each.key == ended.key else each for each in self.marks]
        assert ended.end_ns is not None
        return (
            f"{ended.name}: {span_text(ended.end_ns - ended.begin_ns)}; cut it with pivot --mark {ended.name}"
        )

    def rename(self, mark: Mark, name: str) -> None:
        """Call *mark* by another name.

        Raises:
            UsageError: the name is taken, or none.
            SpeedDataError: it cannot be written.
        """
        if any(each.key == name.lower() != mark.key for each in self.marks):
            raise UsageError("the name is taken", where=name)
        self._file.rename(mark, name)
        if self._ours == mark.key:
            self._ours = name.lower()
        if self._found and mark.key in self._found:
            self._found.add(name.lower())
        self.read()


class Marks(Panel):
    """All marks, the newest first; enter goes to one, or gives it the name that was typed."""

    heading = "Marks"
    subtitle = "enter: go there · type a name, enter: rename · esc: back"
    prompt = "name"

    def __init__(self, marking: Marking, zone: tzinfo, go: Callable[[Mark], None]) -> None:
        super().__init__()
        self._marking, self._zone, self._go = marking, zone, go
        self._listed: list[Mark] = []
        self._problem = ""

    def rows(self) -> Sequence[Content]:
        self._listed = sorted(self._marking.marks, key=lambda mark: mark.begin_ns, reverse=True)
        if self._problem:
            self.query_one("Vertical").border_subtitle = self._problem
        return [self._row(mark) for mark in self._listed] or [Content.styled("none yet: m begins one", "dim")]

    def _row(self, mark: Mark) -> Content:
        span = "open" if mark.end_ns is None else span_text(mark.end_ns - mark.begin_ns)
        return Content.assemble(
            (f"{printable(mark.name):<20}", "bold"),
            f" {exact_time(mark.begin_ns, self._zone)[:23]}  ",
            (f"{span:>10}", "$text-accent"),
            (f"  {', '.join(mark.channels)}", "$text-muted"),
        )

    def action_choose(self) -> None:
        if not self._listed:
            return self.action_shut()
        mark = self._listed[self.chosen]
        if not self.typed:
            self._go(mark)
            return self.action_shut()
        try:
            self._marking.rename(mark, self.typed)
        except SpeedDataError as exc:
            self._problem = str(exc)
        else:
            self._problem = ""
        return self.retype("")

    def retype(self, typed: str) -> None:
        """A name is typed for the mark that is chosen, which stays it."""
        self.typed = typed
        self.update()
