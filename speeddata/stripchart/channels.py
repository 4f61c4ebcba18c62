"""The channels that are watched, and what is remembered of each; takes the news as it comes, never waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Protocol

from speeddata.avro.schema import Schema
from speeddata.chart.history import History
from speeddata.inbox import ChannelState, News

_LIMIT_BYTES = 256 << 20  # of memory for all channels together
_LEAST_BYTES, _MOST_BYTES = 1 << 20, 16 << 20  # for one of them
_SETTLES = 0.1  # how much of a new delay is believed at once
_JUMP_NS = 1_000_000_000  # a delay that changes by more is another one
_EXPECTED = 16  # channels that memory is shared by before more are seen


class Watched(Protocol):
    """What is asked of `watching.Watch`."""

    def take(self) -> list[News]: ...

    def channels(self) -> list[ChannelState]: ...


@dataclass
class Channel:
    """One channel.

    Attributes:
        name: of the channel.
        history: None until its schema is known.
        state: as told last.
        lead_ns: of its newest time before the clock, smoothed; for time abscissas that go with the clock.
        schemas: how many schemas it has had.
    """

    name: str
    history: History | None = None
    state: ChannelState | None = None
    lead_ns: float = 0.0
    schemas: int = 0
    seen: bool = field(default=False, repr=False)

    @property
    def live(self) -> bool:
        return self.state is not None and self.state.state == "live"


class Channels:
    """All of them: as they were named or, where none was, in the order of their names.

    Args:
        watch: where news comes from.
        signals: globs; only such signals are shown. None given: all.
        clock: the time in nanoseconds since 1970.
    """

    def __init__(self, watch: Watched, signals: Sequence[str], clock: Callable[[], int]) -> None:
        self._watch, self._signals, self._clock = watch, signals, clock
        self.by_name: dict[str, Channel] = {}
        self.known: dict[str, dict[str, str]] = {}  # see `pages.Known`
        self.version = 0  # changes with *known*

    def __iter__(self) -> Iterator[Channel]:
        return iter(self.by_name.values())

    def history(self, name: str) -> History | None:
        """What is remembered of the channel *name*."""
        channel = self.by_name.get(name)
        return channel.history if channel else None

    def take(self) -> bool:
        """Take what came meanwhile; return whether there was anything."""
        version = self.version
        news = self._watch.take()
        now_ns = self._clock()
        for each in news:
            self._take(each, now_ns)
        states = self._watch.channels()
        for state in states:
            self._channel(state.name).state = state
        if len(self.by_name) > len(states):  # one was given another name, or gave its place to another
            names = {state.name for state in states}
            for name in [name for name in self.by_name if name not in names]:
                del self.by_name[name]
                self.known.pop(name, None)
                self.version += 1
        if self.version != version:
            self._order(states)
        return bool(news)

    def _order(self, states: Sequence[ChannelState]) -> None:
        """Whatever came first: as they were named, which is the order of the states, or by name."""
        names = [state.name for state in states]
        if not any(state.source for state in states):
            names.sort()
        self.by_name = {name: self.by_name[name] for name in names if name in self.by_name}
        self.known = {name: self.known[name] for name in names if name in self.known}

    def _channel(self, name: str) -> Channel:
        if name not in self.by_name:
            self.by_name[name] = Channel(name)
            self.version += 1
        return self.by_name[name]

    def _take(self, news: News, now_ns: int) -> None:
        channel = self._channel(news.channel)
        if channel.history is None or channel.history.schema != news.schema:
            self._begin(channel, news.schema)
        history = channel.history
        assert history is not None
        history.extend(news.batches)
        if news.batches and history.axis == "time" and history.last is not None:
            lead = float(history.last - now_ns)
            settled = channel.seen and abs(lead - channel.lead_ns) < _JUMP_NS
            channel.lead_ns += (lead - channel.lead_ns) * (_SETTLES if settled else 1.0)
            channel.seen = True

    def _begin(self, channel: Channel, schema: Schema) -> None:
        """Another schema is another history: its signals are others, whatever their names."""
        share = _LIMIT_BYTES // max(len(self.by_name), _EXPECTED)
        channel.history = History(schema, limit_bytes=min(max(share, _LEAST_BYTES), _MOST_BYTES))
        channel.schemas += 1
        channel.seen = False
        self.known[channel.name] = self._chosen(channel.name, channel.history)
        self.version += 1

    def _chosen(self, name: str, history: History) -> dict[str, str]:
        def wanted(signal: str) -> bool:
            return not self._signals or any(
                fnmatchcase(signal, glob) or fnmatchcase(f"{name}.{signal}", glob) for glob in self._signals
            )

        return {signal: history.kind(signal) for signal in history.signals if wanted(signal)}
