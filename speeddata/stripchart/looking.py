"""Where one looks: the view of each axis, and from when to when there is something to see in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from speeddata.chart.view import View, X
from speeddata.stripchart.backscroll import Backscroll
from speeddata.stripchart.channels import Channel, Channels

_STEADY_NS = 1_000_000_000  # a newest moment that is less far back is the clock's unrest


class Looking:
    """One view for all channels by time, and one for each channel by another number.

    Args:
        channels: what there is to see.
        backscroll: what there was.
        clock: the time in nanoseconds since 1970.
        window_ns: how much of the time is seen at first.
    """

    def __init__(
        self, channels: Channels, backscroll: Backscroll, clock: Callable[[], int], window_ns: int
    ) -> None:
        self._channels, self._backscroll, self._clock = channels, backscroll, clock
        self.time = View(window_ns)
        self._by_number: dict[str, View] = {}
        self._newest: dict[str, X] = {}

    def view(self, channel: str) -> View:
        """The view of the axis of *channel*."""
        history = self._channels.history(channel)
        if history is None or history.axis == "time":
            return self.time
        return self._by_number.setdefault(channel, View(None, is_time=False))

    def extent(self, channels: Iterable[str]) -> tuple[X, X]:
        """The first and the newest of those of *channels* that share the axis of the first of them."""
        names = self._of_one_axis(channels)
        firsts, lasts = [], []
        for name in names:
            history, covered = self._channels.history(name), self._backscroll.covers(name)
            firsts += [] if history is None or history.first is None else [history.first]
            firsts += [] if covered is None else [covered[0]]
            last = self._last(self._channels.by_name[name], covered)
            lasts += [] if last is None else [last]
        newest = max(lasts) if lasts else self._clock()
        key = names[0] if names and self.view(names[0]) is not self.time else ""
        before = self._newest.get(key)
        if isinstance(newest, int) and before is not None and before - _STEADY_NS < newest < before:
            newest = before
        self._newest[key] = newest
        return (min(firsts) if firsts else newest), newest

    def _of_one_axis(self, channels: Iterable[str]) -> list[str]:
        names = [name for name in dict.fromkeys(channels) if name in self._channels.by_name]
        return [name for name in names if self.view(name) is self.view(names[0])]

    def _last(self, channel: Channel, covered: tuple[X, X] | None) -> X | None:
        history = channel.history
        last = None if history is None else history.last
        goes_on = channel.state is not None and channel.state.state in ("live", "silent")
        if history is not None and history.axis == "time" and goes_on:
            return self._clock() + round(channel.lead_ns)
        known = [x for x in (last, covered[1] if covered else None) if x is not None]
        if not known:
            return None
        newest = max(known)
        return newest + 1 if isinstance(newest, int) else newest
