"""The stripchart: takes the news, and draws what is seen of it; drawing follows the data at its own pace."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.filter import LineFilter
from textual.widgets import Static

from speeddata.chart.marks import Mark
from speeddata.chart.pages import ChartPlan, Ref, pages
from speeddata.chart.timescale import exact_time
from speeddata.chart.view import View, X
from speeddata.chart.wording import WORDS, ago_text, span_text
from speeddata.errors import SpeedDataError
from speeddata.stripchart.bars import Bar, KeyLine, Part
from speeddata.stripchart.channels import Channel
from speeddata.stripchart.chart import Chart
from speeddata.stripchart.drawing import Drawing, Glance, is_awake, since_text, unit_of
from speeddata.stripchart.frames import Frames, is_behind
from speeddata.stripchart.hands import Charts, Hands
from speeddata.stripchart.look import CSS, DARK, LIGHT, Plain, heights
from speeddata.stripchart.messages import Fetched
from speeddata.stripchart.numbers import Figures, Numbers
from speeddata.stripchart.resizing import Resizing
from speeddata.stripchart.setup import Setup

_LEAST_LINES = 5  # of a chart; where they do not fit, the page scrolls
_TIMES_FROM = 9  # lines from which on a chart tells its own times
_WIDE, _MEDIUM = 136, 100  # cells from which on there is room for numbers beside the picture
_NUMBERS_S = 0.25  # between two looks at the numbers: faster than that nobody reads
ARRIVING_S = 2.0  # until all channels that are there have been found
_RECORDING_S = 5.0  # between two looks at what the recording has by now
_NOTHING = """\
No channel is announced yet.

speeddata relay  records and serves what  speeddata send  sends;  ls  lists it."""


class Stripchart(Hands):
    """What is on the screen.

    Attributes:
        failure: what ended it, where it was not a wish.
    """

    CSS = CSS
    TITLE = "SpeedData"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.frames = Frames()
        self.failure: SpeedDataError | None = None
        self._drawing = Drawing(self.watched, self.backscroll)
        self._plain = [Plain()] if setup.charset == "ascii" else []
        self._drawn: dict[str, Any] = {}  # by what was seen last: see `_changed`
        self._known_version = -1
        self._stepped: set[str] = set()  # channels of whose clock it has been told
        self._begun = time.monotonic()
        self._numbers_at = self._recording_at = 0.0

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [*super().get_line_filters(), *self._plain]

    def get_default_screen(self) -> Resizing:
        return Resizing(id="_default")

    def compose(self) -> ComposeResult:
        yield Bar("title")
        with Horizontal(id="body"):
            yield Static(_NOTHING, id="empty", markup=False)
            yield Charts()
            yield Numbers(self._figures, self._about)
        yield KeyLine()

    def on_mount(self) -> None:
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name
        if self.marking is not None:
            with self._telling():
                self.marking.read()
        self.frame()

    def on_unmount(self) -> None:
        self.backscroll.close()

    def on_resize(self) -> None:
        self.touched = True

    def on_fetched(self, _message: Fetched) -> None:
        self.touched = True

    def frame(self) -> None:
        """Take the news, draw, and come back when it is time for the next one."""
        if not self.screen_stack:  # on the way out
            return
        self.frames.begin()
        failure: SpeedDataError | None = getattr(self.setup.watch, "failure", None)
        if failure is not None and not any(channel.history for channel in self.watched):
            self.failure = failure  # what was seen stays, with the problem told beside it
        if self.setup.stop.asked or self.failure is not None:
            self.exit()
            return
        fresh = self.watched.take()
        self._tell_of_clocks()
        drew = False
        if not is_behind(self._driver):
            drew = self._draw(fresh)
        self.set_timer(max(0.001, self.frames.end(drew=drew)), self.frame)

    def _tell_of_clocks(self) -> None:
        """Once a channel: what is forgotten could have been a spike."""
        for channel in self.watched:
            history = channel.history
            if history is not None and history.stepped_back and channel.name not in self._stepped:
                self._stepped.add(channel.name)
                self.tell(
                    f"{channel.name}: its clock stepped back; what it said of that time before is not drawn"
                )

    def _draw(self, fresh: bool) -> bool:
        """Whatever is not as it was drawn last; return whether that was a chart."""
        touched, self.touched = self.touched, False
        if self._known_version != self.watched.version:
            self._known_version = self.watched.version
            self._keep_page()
            touched = True
        plans = self.plans()
        self._arrange(plans, touched)
        drew = self._draw_charts(plans, fresh=fresh, touched=touched)
        if touched or time.monotonic() - self._numbers_at >= _NUMBERS_S:
            self._numbers_at = time.monotonic()
            self._draw_numbers()
            if self._numbers_at - self._recording_at >= _RECORDING_S:
                self._recording_at = self._numbers_at
                self.backscroll.forget()
        self._draw_bars()
        self.backscroll.ask()
        return drew

    def _unit(self, ref: Ref) -> str:
        history = self.watched.history(ref.channel)
        return "" if history is None else unit_of(history, ref.signal)

    def _keep_page(self) -> None:
        """There is a page for each channel; the one that was seen stays in sight."""
        arriving = time.monotonic() < self._begun + ARRIVING_S and not self.has_chosen
        before = self.page.name if self.page else None
        seen = None if arriving else before
        first = not self.pages
        self.pages = pages(self.layout_pages, self.watched.by_name, self.pages)
        for page in self.pages:
            page.unit_of = self._unit
        found = (number for number, page in enumerate(self.pages) if page.name == seen)
        self.page_number = next(found, self._first_page())
        if self.page and (first or (arriving and self.page.name != before)):
            self.go_to(self.page_number)

    def _first_page(self) -> int:
        """The first one, unless it is of a channel that has ended and another is heard."""
        channels = self.watched.by_name
        heard = (
            number
            for number, page in enumerate(self.pages)
            if page.layout is not None or (page.name in channels and is_awake(channels[page.name]))
        )
        return next(heard, 0)

    # charts

    def _arrange(self, plans: Sequence[ChartPlan], touched: bool) -> None:
        """As many charts as *plans*, each as high as there is room for."""
        base = self.screen_stack[0]
        body = base.query_one(Charts)
        beside = self._numbers_width()
        if self._changed("parts", (bool(plans), self.only_numbers, beside)):
            base.query_one("#empty").display = not plans and not self.only_numbers
            body.display = bool(plans) and not self.only_numbers
            numbers = base.query_one(Numbers)
            numbers.display = self.only_numbers or bool(beside and plans)
            numbers.styles.width = "1fr" if self.only_numbers else beside
            self.call_after_refresh(self._focus)  # what is hidden loses it
        if not plans and self._changed("empty", told := self._told_of_nothing()):
            base.query_one("#empty", Static).update(told)
        if self._changed("plans", [(plan.key, plan.signals) for plan in plans]):
            body.remove_children()
            charts = [Chart(charset=self.setup.charset) for _ in plans]
            body.mount_all(charts)
            self._drawn = {key: value for key, value in self._drawn.items() if key in ("parts", "plans")}
            self.call_after_refresh(self._focus)
        charts = self.charts()
        if len(charts) != len(plans):  # those before are still on their way out
            return
        height = base.size.height - 2
        last = len(plans) - 1
        wanted = [
            0 if plan.numbers else len(plan.states) + 1 + (number == last)
            for number, plan in enumerate(plans)
        ]
        lines = heights(wanted, height, _LEAST_LINES)
        if self._changed("lines", lines):
            for number, (chart, high) in enumerate(zip(charts, lines, strict=True)):
                chart.styles.height = high
                chart.has_times = high >= _TIMES_FROM or number == last
        # in a page that scrolls the last one may be out of sight
        if sum(lines) > height and charts and self._changed("focus", self.focus_key):
            for number, (chart, plan) in enumerate(zip(charts, plans, strict=True)):
                chart.has_times = number == last or plan.key == self.focus_key
        for chart, plan in zip(charts, plans, strict=True):
            if self._changed(f"range {plan.key}", plan.range):
                chart.fix(*(plan.range or (None, None)))

    def _told_of_nothing(self) -> str:
        """Why there is no chart."""
        channel = self.watched.by_name.get(self.page.name) if self.page else None
        if channel is None:
            return _NOTHING
        if channel.state is not None and channel.state.problem:
            return channel.state.problem
        if channel.history is None:
            return f"{channel.name}: not announced yet. See  speeddata ls  for what is."
        return f"{channel.name}: nothing to be drawn is on this page.  /  chooses signals,  v  shows numbers."

    def _focus(self) -> None:
        focused = self.plan_in_focus()
        if focused is not None:
            self.focus_key = focused[1].key
            focused[0].focus(scroll_visible=False)

    def _numbers_width(self) -> int:
        width = self.size.width
        return 64 if width >= _WIDE else 36 if width >= _MEDIUM else 0

    def _changed(self, what: str, now: Any) -> bool:
        if what in self._drawn and self._drawn[what] == now:
            return False
        self._drawn[what] = now
        return True

    def _draw_charts(self, plans: Sequence[ChartPlan], *, fresh: bool, touched: bool) -> bool:
        if self.only_numbers or self.page is None or not plans:
            self.backscroll.begin("pictures")
            return False
        body = self.screen_stack[0].query_one(Charts)
        charts = [
            (chart, plan)
            for chart, plan in zip(self.charts(), plans, strict=False)
            if chart.size and chart.region.overlaps(body.region)
        ]
        if len(self.charts()) != len(plans) or not charts:
            self.touched = True  # not yet laid out: the next frame shows them
            return False
        glance = Glance(self.page.name, self.zone, self._marks(), self.setup.clock())
        ranges = {id(view): self._range(view, plans) for _, plan in charts if (view := self._view(plan))}
        second = glance.now_ns // 10**9
        if not (self._changed("seen", (ranges, second, glance.marks, self.zone)) or fresh or touched):
            return False
        self.backscroll.begin("pictures")
        for chart, plan in charts:
            view = self._view(plan)
            begin, end = ranges[id(view)]
            cursor = view.cursor if self.cursor_on else None
            dots = chart.dots
            begin, end = view.range(begin, end, dots)
            if cursor is not None and not begin <= cursor < end:
                cursor = None  # out of sight: a legend with its values would pass for the newest ones
            chart.show(self._drawing.picture(plan, glance, begin, end, dots, cursor))
        widest = max(chart.axis_cells for chart, _ in charts)
        for chart in self.charts():  # so that a moment is in the same column of all
            chart.axis_cells = widest
        return True

    def _view(self, plan: ChartPlan) -> View:
        return self.looking.view(plan.signals[0].channel)

    def _range(self, view: View, plans: Sequence[ChartPlan]) -> tuple[X, X]:
        channels = [ref.channel for plan in plans for ref in plan.signals]
        return self.looking.extent(name for name in channels if self.looking.view(name) is view)

    def _marks(self) -> tuple[tuple[X, X | None, str], ...]:
        if self.marking is None:
            return ()
        seen = set(self.channels_seen())
        marks: list[Mark] = [m for m in self.marking.marks if not m.channels or seen & set(m.channels)]
        return tuple((mark.begin_ns, mark.end_ns, mark.name) for mark in marks)

    # numbers

    def _draw_numbers(self) -> None:
        numbers = self.screen_stack[0].query_one(Numbers)
        if not numbers.display:
            self.backscroll.begin("numbers")
            return
        known = self.watched.known
        if self.only_numbers:
            first = self.page.name if self.page else ""
            names = sorted(known, key=lambda name: name != first)
            refs = [Ref(name, signal) for name in names for signal in known[name]]
        else:
            shown = dict.fromkeys(ref for plan in self.plans() for ref in plan.signals)
            texts = [
                Ref(name, s)
                for name in self.channels_seen()
                for s, k in known.get(name, {}).items()
                if k == "text"
            ]
            refs = [*shown, *texts]
        self.backscroll.begin("numbers")
        numbers.show(refs)

    def _figures(self, ref: Ref) -> Figures | None:
        channel = self.watched.by_name.get(ref.channel)
        if channel is None or channel.history is None:
            return None
        history = channel.history
        statistics = None
        if self.watched.known[ref.channel].get(ref.signal) == "number":
            view = self.looking.view(ref.channel)
            begin, end = view.range(*self.looking.extent([ref.channel]), self.columns())
            statistics = self._drawing.statistics(channel, ref.signal, begin, end)
        latest = history.latest(ref.signal) if history.count else ""
        return Figures(latest, unit_of(history, ref.signal), statistics, not is_awake(channel))

    def _about(self, name: str) -> tuple[Channel, str] | None:
        channel = self.watched.by_name.get(name)
        return None if channel is None else (channel, since_text(channel, self.setup.clock(), self.zone))

    # the lines at the top and at the bottom

    def _draw_bars(self) -> None:
        base = self.screen_stack[0]
        frames = self.frames
        figures = ""
        if self.setup.verbose:
            figures = f"{frames.rate_hz:.0f} frames/s, {frames.spent_s * 1000:.0f} ms"
        base.query_one(KeyLine).tell(self.note(), figures)
        left: list[Part] = [(" SpeedData ", "bold $primary", 6)]
        if self.page is not None:
            left.append((f" {self.page.name} ", "bold", 0))
            if len(self.pages) > 1:
                left.append((f"{self.page_number + 1}/{len(self.pages)} ", "$text-muted", 5))
            left += self._told_of_channel() + self._told_of_view()
        now_ns = self.setup.clock()
        zone = "UTC" if self.zone is UTC else "local"
        right: list[Part] = [
            (f"{exact_time(now_ns, self.zone)[11:19]} ", "", 3),
            (f"{zone} ", "$text-muted", 4),
        ]
        base.query_one("#title", Bar).show(left, right)

    def _told_of_channel(self) -> list[Part]:
        """The state of the channels of the page: the first that needs to be told of."""
        channels = [self.watched.by_name[name] for name in self.channels_seen()]
        asleep = [channel for channel in channels if not is_awake(channel)]
        now_ns = self.setup.clock()
        if asleep:
            name = "" if len(channels) == 1 else f"{asleep[0].name} "
            return [(f" ○ {name}{since_text(asleep[0], now_ns, self.zone)} ", "$text-warning", 2)]
        state = channels[0].state if channels else None
        if state is None:
            return []
        sign = "●" if state.state == "live" else "■"
        return [(f" {sign} {WORDS.get(state.state, state.state)} ", "$text-success", 2)]

    def _told_of_view(self) -> list[Part]:
        view, (first, newest) = self.view(), self.extent()
        width = view.width(first, newest)
        parts: list[Part] = [(f" {span_text(width, is_time=view.is_time)} ", "bold $accent", 1)]
        if view.end is not None:
            back = f" {ago_text(newest - view.end)} back" if view.is_time else ""
            parts.append((f" ❚❚ paused{back} ", "bold $text-warning", 0))
        if self.cursor_on and view.cursor is not None:
            at = exact_time(int(view.cursor), self.zone) if view.is_time else f"{view.cursor:.6g}"
            parts.append((f" │ {at} ", "bold $accent", 3))
        if self.marking is not None and (mark := self.marking.open(self.channels_seen())) is not None:
            since = f" {ago_text(newest - mark.begin_ns)}" if view.is_time else ""
            parts.append((f" ◆ {mark.name}{since} ", "bold $text-warning", 0))
        return parts
