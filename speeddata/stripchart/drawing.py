"""From what is remembered to what a chart shows: pictures, made anew for each frame of what is in sight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

from speeddata.chart.envelope import Envelope, merged
from speeddata.chart.history import History
from speeddata.chart.layouts import COLOURS
from speeddata.chart.pages import ChartPlan, Ref
from speeddata.chart.readings import Sample, StateRun, Statistics
from speeddata.chart.shifting import runs_joined
from speeddata.chart.sums import NOTHING, joined
from speeddata.chart.timescale import exact_time
from speeddata.chart.view import X
from speeddata.chart.wording import WORDS, ago_text, value_text
from speeddata.stripchart.backscroll import Backscroll
from speeddata.stripchart.channels import Channel, Channels
from speeddata.stripchart.picture import Picture, StateTrace, Trace
from speeddata.thinning import Thinning
from speeddata.timerange import SECOND_NS

_DIGITS = 5  # of the values in a legend
_LATE = 1 / 50  # of a window that goes on with the data: so far behind it figures may be, or a second
_FAIR = ("none", "pick", "mean")  # methods whose samples stand for those that were left out
_STATE_COLOURS = 3  # strips begin with another colour than lines

Marks = Sequence[tuple[X, X | None, str]]


@dataclass(frozen=True)
class Glance:
    """What all charts of a frame have in common.

    Attributes:
        page: its name: signals of the channel of that name go without it.
        zone: in which times are told.
        cursor: of the axis of time; None without one.
        marks: those to be shown.
        now_ns: the clock.
    """

    page: str
    zone: tzinfo
    marks: Marks
    now_ns: int


class Drawing:
    """Makes pictures of channels, and of what was recorded of them before."""

    def __init__(self, channels: Channels, backscroll: Backscroll) -> None:
        self._channels, self._backscroll = channels, backscroll

    def picture(
        self, plan: ChartPlan, glance: Glance, begin: X, end: X, dots: int, cursor: X | None
    ) -> Picture:
        """The chart *plan* over [begin, end) in *dots* columns."""
        axis = self._axis(plan)
        there = [
            (ref, history)
            for ref in plan.signals
            if (history := self._channels.history(ref.channel)) is not None and history.axis == axis
        ]
        samples = self._samples([ref.channel for ref, _ in there], cursor)
        colours = dict(zip(plan.numbers, plan.colours, strict=True))
        traces, states = [], []
        for number, (ref, history) in enumerate(there):
            label = ref.signal if ref.channel == glance.page else str(ref)
            told = self._told(ref, history, samples, cursor)
            if ref in colours:
                envelope = self.envelope(ref, history, begin, end, dots)
                unit = unit_of(history, ref.signal)
                traces.append(Trace(label, COLOURS[colours[ref]], unit, envelope, told))
            else:
                runs = self._runs(ref, history, begin, end, dots)
                colour = COLOURS[(number + _STATE_COLOURS) % len(COLOURS)]
                states.append(StateTrace(label, colour, runs, told, columns=dots))
        channels = [self._channels.by_name[name] for name in dict.fromkeys(ref.channel for ref, _ in there)]
        return Picture(
            title=plan.title,
            begin=begin,
            end=end,
            axis="time" if axis == "time" else "number",
            zone=glance.zone,
            traces=traces,
            states=states,
            cursor_x=cursor,
            cursor_text=self._cursor_text(cursor, samples, glance.zone),
            marks=glance.marks if axis == "time" else (),
            dim=bool(channels) and not any(is_awake(channel) for channel in channels),
            note=self._note(channels, glance, pinned=plan.pinned),
        )

    def envelope(self, ref: Ref, history: History, begin: X, end: X, dots: int) -> Envelope:
        """Of memory, and of the recording where memory does not reach so far back."""
        recent = history.envelope(ref.signal, begin, end, dots)
        if self._before_memory(ref.channel, history, begin):
            older = self._backscroll.envelope(ref, begin, end, dots)
            if older is not None:
                return merged(older, recent, gap_over=history.gap_over)
        return recent

    def statistics(self, channel: Channel, signal: str, begin: X, end: X) -> Statistics:
        """Of every sample in the window: of memory, and of the recording where memory does not reach back.

        None while that is looked up. The mean is NaN where what is in memory cannot tell it.
        """
        history = channel.history
        assert history is not None
        thinning = channel.state.thinning if channel.state is not None else Thinning()
        seam, sharp = history.known_from, history.sharp_from
        if (seam is not None and begin >= seam) or not self._before_memory(channel.name, history):
            found = history.statistics(signal, begin, end)
            return replace(found, mean=math.nan) if thinning.method == "minmax" else found
        is_sharp = seam is not None and sharp is not None and end > sharp
        until = min(end, seam) if is_sharp and seam is not None else end
        older = self._backscroll.statistics(Ref(channel.name, signal), begin, until)
        late = max((end - begin) * _LATE, SECOND_NS if history.axis == "time" else 0)
        if older is None or abs(older.begin - begin) > late:
            return NOTHING
        if older.end != until and older.behind >= min(older.end, until):  # there is more by now
            return NOTHING
        if older.behind >= end:
            return older.statistics
        newer = history.statistics(signal, older.behind, end)
        together = joined(older.statistics, replace(newer, count=newer.count * max(thinning.factor, 1)))
        is_known = not newer.count or (thinning.method in _FAIR and thinning.factor > 0)
        return together if is_known else replace(together, mean=math.nan)

    def _before_memory(self, channel: str, history: History, begin: X | None = None) -> bool:
        """Whether the recording has what lies before all that is in memory; only asked where that is seen."""
        if begin is not None and history.first is not None and begin >= history.first:
            return False
        covered = self._backscroll.covers(channel)
        return covered is not None and (history.first is None or covered[0] < history.first)

    def _runs(self, ref: Ref, history: History, begin: X, end: X, dots: int) -> Sequence[StateRun]:
        recent = history.states(ref.signal, begin, end, dots)
        if self._before_memory(ref.channel, history, begin):
            older = self._backscroll.states(ref, begin, end, dots)
            if older is not None:
                return runs_joined(older, recent)
        return recent

    def _axis(self, plan: ChartPlan) -> str:
        history = self._channels.history(plan.signals[0].channel) if plan.signals else None
        return history.axis if history is not None else "time"

    def _samples(self, channels: Sequence[str], cursor: X | None) -> dict[str, Sample]:
        if cursor is None:
            return {}
        found = {}
        for name in dict.fromkeys(channels):
            if (sample := self.sample(name, cursor)) is not None:
                found[name] = sample
        return found

    def sample(self, channel: str, x: X) -> Sample | None:
        """The sample of *channel* nearest to *x*, from memory or else from the recording."""
        history = self._channels.history(channel)
        if history is None:
            return None
        near = history.nearest(x)
        if near is not None and (history.first is None or x >= history.first):
            return near
        return self._backscroll.sample(channel, x) or near

    def _told(self, ref: Ref, history: History, samples: dict[str, Sample], cursor: X | None) -> str:
        if cursor is not None:
            sample = samples.get(ref.channel)
            return "" if sample is None else value_text(sample.values.get(ref.signal))
        if not history.count:
            return ""
        return value_text(history.latest(ref.signal), _DIGITS)

    def _cursor_text(self, cursor: X | None, samples: dict[str, Sample], zone: tzinfo) -> str:
        if cursor is None:
            return ""
        x = next((sample.x for sample in samples.values()), cursor)
        return exact_time(x, zone) if isinstance(x, int) else value_text(x)

    def _note(self, channels: Sequence[Channel], glance: Glance, *, pinned: bool) -> str:
        notes = ["pinned"] if pinned else []
        for channel in channels:
            if not is_awake(channel):
                told = since_text(channel, glance.now_ns, glance.zone)
                notes.append(told if len(channels) == 1 else f"{channel.name} {told}")
        if self._backscroll.waiting:
            notes.append("looking up the recording")
        return ", ".join(notes)


def is_awake(channel: Channel) -> bool:
    """Whether there is nothing to worry about: it is live, or was never meant to be."""
    return channel.state is None or channel.state.state not in ("silent", "end")


def since_text(channel: Channel, now_ns: int, zone: tzinfo) -> str:
    """`silent since 14:03:10 (12 s)`; of a channel that was never heard there is nobody to say since when."""
    state = channel.state
    if state is None:
        return ""
    word = WORDS.get(state.state, state.state)
    if not state.since_ns or channel.history is None or not channel.history.count:
        return word
    return f"{word} since {exact_time(state.since_ns, zone)[11:19]} ({ago_text(now_ns - state.since_ns)})"


def unit_of(history: History, signal: str) -> str:
    """What stands behind a value; empty where the schema does not say."""
    return next((each.unit or "" for each in history.schema.signals if each.name == signal), "")
