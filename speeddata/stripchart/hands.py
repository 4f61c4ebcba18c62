"""What the keys and the mouse do: they change where one looks and what is on the pages, and draw nothing."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, tzinfo
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from speeddata.chart.marks import Mark
from speeddata.chart.pages import ChartPlan, Page, pages
from speeddata.chart.view import View, X
from speeddata.chart.wording import value_text
from speeddata.errors import SpeedDataError
from speeddata.stripchart import saving
from speeddata.stripchart.backscroll import Archived, Backscroll
from speeddata.stripchart.channels import Channels
from speeddata.stripchart.chart import Chart
from speeddata.stripchart.keys import KEYS
from speeddata.stripchart.look import DARK, LIGHT
from speeddata.stripchart.looking import Looking
from speeddata.stripchart.marking import Marking
from speeddata.stripchart.messages import Fetched
from speeddata.stripchart.setup import Setup

_TOLD_S = 5.0  # how long a note stands in place of the keys


class Charts(VerticalScroll, can_focus=False, inherit_bindings=False):
    """All charts of a page; keys are not for scrolling it: going to a chart brings it into sight."""


class Hands(App[None]):
    """The state of a stripchart, and the actions of `keys.KEYS` on it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # first come, first served: else keys that come at once, / and what is to be found, lose their order
        Binding(name, key.action, key.help, show=False, priority=True)
        for key in KEYS
        for name in key.keys.split(",")
    ]
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.setup = setup
        self.watched = Channels(setup.watch, setup.signals, setup.clock)
        self.backscroll = Backscroll(self._recorded, lambda: self.post_message(Fetched()))
        self.looking = Looking(self.watched, self.backscroll, setup.clock, setup.window_ns)
        self.marking = None if setup.marks is None else Marking(setup.marks, setup.clock)
        self.layout_pages = setup.layout
        self.pages: list[Page] = pages(setup.layout, ())
        self.page_number = 0
        self.pinned: list[ChartPlan] = []
        self.zone: tzinfo = UTC if setup.utc else setup.local
        self.only_numbers = False
        self.cursor_on = False
        self.focus_key = ""  # of the chart that keys go to
        self.has_chosen = False  # a page: else the first one is shown while channels are still being found
        self.touched = True  # something is to be drawn anew
        if self.pages:
            self.go_to(0)
        self._note, self._note_until = "", 0.0

    # what is there

    def _recorded(self, name: str) -> tuple[Archived, str] | None:
        """Where the channel *name* is recorded, and what it is called there."""
        channel = self.watched.by_name.get(name)
        state = channel.state if channel is not None else None
        archive = (
            self.setup.archive if state is None else self.setup.archives.get(state.source, self.setup.archive)
        )
        return None if archive is None else (archive, state.channel or name if state is not None else name)

    @property
    def page(self) -> Page | None:
        """The page that is seen."""
        return self.pages[self.page_number] if self.page_number < len(self.pages) else None

    def plans(self) -> list[ChartPlan]:
        """The charts that are seen: those that are pinned, then those of the page."""
        own = self.page.plans(self.watched.known) if self.page else []
        pinned = {plan.key: plan for plan in self.pinned}
        kept = {plan.key: dataclasses.replace(plan, pinned=True) for plan in own if plan.key in pinned}
        return [kept.get(key, plan) for key, plan in pinned.items()] + [
            plan for plan in own if plan.key not in pinned
        ]

    def channels_seen(self) -> list[str]:
        """The channels on the page."""
        found = dict.fromkeys(ref.channel for plan in self.plans() for ref in plan.signals)
        if not found and self.page and self.page.name in self.watched.by_name:
            return [self.page.name]
        return list(found)

    def charts(self) -> list[Chart]:
        """The charts, from top to bottom."""
        return list(self.screen_stack[0].query_one(Charts).query(Chart))

    def plan_in_focus(self) -> tuple[Chart, ChartPlan] | None:
        """The chart that keys go to, else the first one."""
        pairs = list(zip(self.charts(), self.plans(), strict=False))
        return next((pair for pair in pairs if pair[1].key == self.focus_key), pairs[0] if pairs else None)

    def view(self) -> View:
        """The view of the chart that keys go to."""
        focused = self.plan_in_focus()
        if focused is not None and focused[1].signals:
            return self.looking.view(focused[1].signals[0].channel)
        seen = self.channels_seen()
        return self.looking.view(seen[0]) if seen else self.looking.time

    def extent(self) -> tuple[X, X]:
        """The oldest and the newest of what shares that view."""
        view = self.view()
        return self.looking.extent(name for name in self.channels_seen() if self.looking.view(name) is view)

    def columns(self) -> int:
        """Dot columns of the charts."""
        return max((chart.dots for chart in self.charts() if chart.size.width), default=100)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a list is open, keys are for it."""
        ours = any(key.action.partition("(")[0] == action for key in KEYS)
        return not ours or len(self.screen_stack) < 2

    # what is told

    def tell(self, note: str) -> None:
        """Show *note* at the bottom for a while."""
        self._note, self._note_until = note, time.monotonic() + _TOLD_S
        self.touched = True

    def note(self) -> str:
        """What is to be shown at the bottom now."""
        if time.monotonic() > self._note_until:
            self._note = self.setup.notes.take() or ""
            if self._note:
                self._note_until = time.monotonic() + _TOLD_S
        return self._note

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What goes wrong at the press of a key is told, and changes nothing else."""
        try:
            yield
        except SpeedDataError as exc:
            self.tell(str(exc))
        self.touched = True

    # moving

    def action_hold(self) -> None:
        view = self.view()
        if view.live:
            view.hold(self.extent()[1])
        else:
            view.go_live()
        self.touched = True

    def action_move(self, dots: int, part: float) -> None:
        view, (first, last) = self.view(), self.extent()
        if self.cursor_on:
            view.move_cursor(dots, first, last, self.columns())
        else:
            view.scroll(part if dots > 0 else -part, first, last)
        self.touched = True

    def action_oldest(self) -> None:
        self.view().to_oldest(*self.extent())
        self.touched = True

    def action_newest(self) -> None:
        self.view().go_live()
        self.touched = True

    def action_shorter(self) -> None:
        self._zoom(-1)

    def action_longer(self) -> None:
        self._zoom(1)

    def _zoom(self, steps: int) -> None:
        view = self.view()
        view.zoom(steps, *self.extent(), at=view.cursor if self.cursor_on else None)
        self.touched = True

    def action_chart(self, by: int) -> None:
        charts = self.charts()
        if self.only_numbers:
            self.screen_stack[0].query_one("#numbers").scroll_relative(y=by, animate=False)
        elif charts and (focused := self.plan_in_focus()) is not None:
            number = (charts.index(focused[0]) + by) % len(charts)
            self.focus_key = self.plans()[number].key
            charts[number].focus()
        self.touched = True

    def action_page(self, by: int) -> None:
        self.has_chosen = True
        if self.pages:
            self.go_to((self.page_number + by) % len(self.pages))

    def go_to(self, number: int) -> None:
        """Show the page of that number, with the window that it has in the layout."""
        self.page_number = number
        page = self.page
        if page is not None and page.layout is not None and page.layout.window_ns is not None:
            self.looking.time.span = page.layout.window_ns
        self.touched = True

    def go_to_channel(self, name: str) -> None:
        """Show the page of the channel *name*."""
        self.has_chosen = True
        for number, page in enumerate(self.pages):
            if page.name == name:
                self.go_to(number)

    # looking

    def action_choose(self) -> None:
        from speeddata.stripchart.picker import Picker

        if self.page is not None:
            self.push_screen(Picker(self.watched.known, self.page, self._touch, self.go_to_channel))

    def _touch(self) -> None:
        self.touched = True

    def action_numbers(self) -> None:
        self.only_numbers = not self.only_numbers
        self.touched = True

    def action_cursor(self) -> None:
        self.cursor_on = not self.cursor_on
        if self.cursor_on:
            self.view().cursor = None
            self.view().move_cursor(0, *self.extent(), self.columns())
        self.touched = True

    def action_pin(self) -> None:
        focused = self.plan_in_focus()
        if focused is None:
            return
        plan = focused[1]
        if plan.pinned:
            self.pinned = [each for each in self.pinned if each.key != plan.key]
        else:
            self.pinned.append(dataclasses.replace(plan, pinned=True))
        self.tell("let go" if plan.pinned else "pinned to the top of every page")

    def action_fix(self) -> None:
        focused = self.plan_in_focus()
        if focused is None or self.page is None:
            return
        chart, plan = focused
        if plan.range is None:
            low, high = chart.value_range
            self.page.ranges[plan.key] = (low, high)
            self.tell(f"fixed from {value_text(low, 4)} to {value_text(high, 4)}")
        else:
            self.page.ranges[plan.key] = None
            self.tell("finds its range by itself")
        fixed = self.page.ranges[plan.key]
        self.pinned = [
            dataclasses.replace(each, range=fixed) if each.key == plan.key else each for each in self.pinned
        ]

    def action_together(self) -> None:
        if self.page is not None and self.page.layout is None:
            self.page.together = not self.page.together
        else:
            self.tell("this page is as its layout says")
        self.touched = True

    def action_zone(self) -> None:
        self.zone = self.setup.local if self.zone is UTC else UTC
        self.touched = True

    def action_dark(self) -> None:
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name
        self.touched = True

    # marks

    def action_mark(self) -> None:
        if self.marking is None:
            self.tell("no recording to mark: name one with --recording DIR")
            return
        view = self.view()
        if not view.is_time:
            self.tell("marks are for channels by time")
            return
        at = view.cursor if self.cursor_on and view.cursor is not None else view.end
        with self._telling():
            x = self.extent()[1] if at is None else at
            self.tell(self.marking.press(int(x), self.channels_seen()))

    def action_marks(self) -> None:
        from speeddata.stripchart.marking import Marks

        if self.marking is None:
            self.tell("no recording to mark: name one with --recording DIR")
            return
        with self._telling():
            self.marking.read()
            self.push_screen(Marks(self.marking, self.zone, self._go_to_mark))

    def _go_to_mark(self, mark: Mark) -> None:
        view = self.looking.time
        first, last = self.extent()
        if mark.end_ns is not None:
            view.span = max(mark.end_ns - mark.begin_ns, 1000) * 5 // 4
        for name in mark.channels:
            if name in self.watched.by_name and name not in self.channels_seen():
                self.go_to_channel(name)
                break
        middle = mark.begin_ns if mark.end_ns is None else (mark.begin_ns + mark.end_ns) // 2
        view.centre(middle, first, last)
        view.hold(last)
        self.touched = True

    # keeping

    def action_picture(self) -> None:
        with self._telling():
            page = self.page.name if self.page else "page"
            svg = self.export_screenshot(title=f"SpeedData {page}")
            path = saving.save_picture(svg, page, self.setup.clock(), self.setup.pictures)
            self.tell(f"saved {path}")

    def action_save(self) -> None:
        page = self.page
        if page is None:
            return
        with self._telling():
            window = self.looking.time.span
            kept = page.as_layout(self.watched.known, int(window) if window is not None else None)
            path = self.setup.settings
            self.layout_pages = saving.save_page(kept, path, str(path))
            self.tell(f"saved as page {page.name} in {path}")

    def action_help(self) -> None:
        from speeddata.stripchart.help import Help

        self.push_screen(Help())

    def action_leave(self) -> None:
        self.exit()

    # the mouse

    def on_chart_picked(self, message: Chart.Picked) -> None:
        self._with(message.chart, lambda view, first, last: setattr(view, "cursor", message.x))
        self.cursor_on = True

    def on_chart_zoomed(self, message: Chart.Zoomed) -> None:
        self._with(message.chart, lambda view, *extent: view.stretch(message.factor, *extent, message.x))

    def on_chart_dragged(self, message: Chart.Dragged) -> None:
        self._with(message.chart, lambda view, *extent: view.shift(message.by, *extent))

    def _with(self, chart: Chart, change: Callable[[View, X, X], object]) -> None:
        self.focus_key = next(
            (plan.key for each, plan in zip(self.charts(), self.plans(), strict=False) if each is chart), ""
        )
        chart.focus(scroll_visible=False)
        change(self.view(), *self.extent())
        self.touched = True
