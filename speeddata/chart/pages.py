"""What is seen together: a page for each channel and each page of a layout, and the charts on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from speeddata.chart.layouts import COLOURS, ChartLayout, Layout, PageLayout, Range

MAX_CHARTS = 64  # on one page; what is beyond is chosen one by one


class Ref(NamedTuple):
    """One signal of one channel."""

    channel: str
    signal: str

    def __str__(self) -> str:
        return f"{self.channel}.{self.signal}"


# Of each channel: its signals in the schema's order, and their kind: "number", "state" or "text".
Known = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class ChartPlan:
    """One chart to be drawn.

    Attributes:
        key: stays the same as long as it is the same chart.
        title: of a layout; else empty.
        numbers: signals that are lines.
        states: signals that are strips.
        colours: of *numbers*, each an index of `layouts.COLOURS`.
        range: of the value axis; None = by itself.
        pinned: it stays at the top of every page.
    """

    key: str
    title: str = ""
    numbers: tuple[Ref, ...] = ()
    states: tuple[Ref, ...] = ()
    colours: tuple[int, ...] = ()
    range: Range | None = None
    pinned: bool = False

    @property
    def signals(self) -> tuple[Ref, ...]:
        return self.numbers + self.states


@dataclass
class Page:
    """One page, and what hands changed on it.

    Attributes:
        name: of the channel, or as in the layout.
        layout: where the layout has this page.
        together: signals of one unit in one chart.
        hidden: signals that were taken off the page.
        added: signals that were put on it.
        ranges: of charts, by key, that were fixed or let go here.
        unit_of: gives the unit of a signal.
    """

    name: str
    layout: PageLayout | None = None
    together: bool = False
    hidden: set[Ref] = field(default_factory=set)
    added: list[Ref] = field(default_factory=list)
    ranges: dict[str, Range | None] = field(default_factory=dict)
    unit_of: Callable[[Ref], str] = field(default=lambda _: "", repr=False, compare=False)

    def plans(self, known: Known) -> list[ChartPlan]:
        """The charts of this page, in their order, as far as their signals are *known*."""
        plans = self._of_layout(known) if self.layout is not None else self._of_channel(known)
        there = {ref for plan in plans for ref in plan.signals}
        for ref in self.added:
            if ref not in there and ref.signal in known.get(ref.channel, ()):
                plans += _apart([ref], known)
        plans = [self._ranged(plan) for plan in plans]
        return plans[:MAX_CHARTS]

    def shows(self, ref: Ref, known: Known) -> bool:
        """Whether the signal is on this page."""
        return any(ref in plan.signals for plan in self.plans(known))

    def toggle(self, ref: Ref, known: Known) -> None:
        """Take the signal off this page, or put it on it."""
        if self.shows(ref, known):
            self.hidden.add(ref)
            self.added = [each for each in self.added if each != ref]
            return
        self.hidden.discard(ref)
        if not self.shows(ref, known):
            self.added.append(ref)

    def as_layout(self, known: Known, window_ns: int | None) -> PageLayout:
        """This page as it is seen now."""
        charts = [
            ChartLayout(
                tuple(str(ref) for ref in plan.signals),
                plan.title,
                plan.range,
                tuple(COLOURS[colour] for colour in plan.colours),
            )
            for plan in self.plans(known)
        ]
        return PageLayout(self.name, tuple(charts), window_ns)

    def _of_channel(self, known: Known) -> list[ChartPlan]:
        shown = [Ref(self.name, signal) for signal in known.get(self.name, ())]
        shown = [ref for ref in shown if ref not in self.hidden]
        if not self.together:
            return _apart(shown, known)
        return self._of_units(shown, known)

    def _of_units(self, shown: Sequence[Ref], known: Known) -> list[ChartPlan]:
        """A chart for each unit, and all states below the last one."""
        numbers, states = _by_kind(shown, known)
        units: dict[str, list[Ref]] = {}
        for ref in numbers:
            units.setdefault(self.unit_of(ref), []).append(ref)
        plans = []
        for unit, refs in units.items():
            colours = tuple(number % len(COLOURS) for number in range(len(refs)))
            below = states if unit == list(units)[-1] else ()
            plans.append(ChartPlan(f"{self.name} in {unit}", "", tuple(refs), below, colours))
        if states and not plans:
            plans.append(ChartPlan(f"{self.name} states", "", (), states))
        return plans

    def _of_layout(self, known: Known) -> list[ChartPlan]:
        assert self.layout is not None
        plans = []
        everything = [Ref(channel, signal) for channel, signals in known.items() for signal in signals]
        for number, chart in enumerate(self.layout.charts):
            refs = [ref for ref in matching(chart.signals, everything) if ref not in self.hidden]
            numbers, states = _by_kind(refs, known)
            if numbers or states:
                colours = _colours(chart.colours, len(numbers))
                key = f"{self.name} {number}"
                plans.append(ChartPlan(key, chart.title, numbers, states, colours, chart.range))
        return plans

    def _ranged(self, plan: ChartPlan) -> ChartPlan:
        if plan.key not in self.ranges:
            return plan
        return ChartPlan(
            plan.key, plan.title, plan.numbers, plan.states, plan.colours, self.ranges[plan.key], plan.pinned
        )


def pages(layout: Layout, channels: Iterable[str], old: Sequence[Page] = ()) -> list[Page]:
    """Pages of *layout*, then one for each channel that has none of its name; those of *old* are kept."""
    kept = {page.name: page for page in old}
    named = {page.name: page for page in layout.pages}
    found = [kept.get(name) or Page(name, page) for name, page in named.items()]
    return found + [kept.get(name) or Page(name) for name in channels if name not in named]


def matching(patterns: Iterable[str], refs: Sequence[Ref]) -> list[Ref]:
    """Those of *refs* that `CHANNEL.SIGNAL` patterns name, in the order of the patterns, each once."""
    return list(dict.fromkeys(ref for pattern in patterns for ref in refs if fnmatchcase(str(ref), pattern)))


def _apart(refs: Iterable[Ref], known: Known) -> list[ChartPlan]:
    """A chart for each number, and one strip chart for all states of a channel."""
    numbers, states = _by_kind(refs, known)
    plans = [
        ChartPlan(str(ref), "", (ref,), (), (list(known[ref.channel]).index(ref.signal) % len(COLOURS),))
        for ref in numbers
    ]
    for channel in dict.fromkeys(ref.channel for ref in states):
        own = tuple(ref for ref in states if ref.channel == channel)
        plans.append(ChartPlan(f"{channel} states {own[0].signal}", "", (), own))
    return plans


def _by_kind(refs: Iterable[Ref], known: Known) -> tuple[tuple[Ref, ...], tuple[Ref, ...]]:
    """Numbers and states; what can only be told as text has no chart."""
    kinds = [(ref, known[ref.channel][ref.signal]) for ref in refs]
    return (
        tuple(ref for ref, kind in kinds if kind == "number"),
        tuple(ref for ref, kind in kinds if kind == "state"),
    )


def _colours(named: Sequence[str], count: int) -> tuple[int, ...]:
    """Those that were named, then others that were not."""
    taken = [COLOURS.index(name) for name in named[:count]]
    free = [index for index in range(len(COLOURS)) if index not in taken] or list(range(len(COLOURS)))
    return tuple(taken + [free[number % len(free)] for number in range(count - len(taken))])
