"""A stripchart on a screen without a terminal, fed by hand, with a clock that is set by hand."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress

import numpy as np

from speeddata.avro import codec
from speeddata.avro.schema import Schema, parse
from speeddata.inbox import ChannelState, News
from speeddata.stripchart.app import Stripchart
from speeddata.stripchart.chart import Chart
from speeddata.stripchart.setup import Setup

SECOND = 1_000_000_000
NOW = 1_790_000_000 * SECOND  # 2026-09-21 14:13:20 UTC
DEADLINE_S = 20.0


def schema_of(**signals: str | dict) -> Schema:
    """A schema with a time in nanoseconds, and *signals*: names with their Avro types."""
    time_field = {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}}
    units = {"wave": {"unit": "V"}, "ramp": {"unit": "bar"}}
    fields = [{"name": name, "type": kind, **units.get(name, {})} for name, kind in signals.items()]
    return parse(json.dumps({"type": "record", "name": "rig", "fields": [time_field, *fields]}))


RIG = schema_of(wave="double", ramp="double", word="string")


class Fed:
    """News by hand, in place of `watching.Watch`."""

    def __init__(self) -> None:
        self.now_ns = NOW
        self.failure = None
        self.news: list[News] = []
        self.states: dict[str, ChannelState] = {}

    def feed(self, name: str, schema: Schema, columns: dict, state: str = "live", **told) -> None:
        """A batch of *columns* for the channel *name*."""
        self.news.append(News(name, schema, [codec.encode(schema, columns)]))
        self.tell(name, state, **told)

    def tell(self, name: str, state: str, **told) -> None:
        values = {
            "since_ns": None,
            "rate_hz": 10.0,
            **dict.fromkeys(("received", "lost", "rejected", "dropped", "undecodable"), 0),
            **dict.fromkeys(("endpoint", "source", "problem"), ""),
            **told,
        }
        self.states[name] = ChannelState(name=name, state=state, **values)

    def rig(self, name: str = "rig", seconds: int = 60, **told) -> Fed:
        """*seconds* of three signals at ten a second, up to now."""
        count = seconds * 10
        x = self.now_ns - (np.arange(count, dtype=np.int64)[::-1]) * (SECOND // 10)
        wave = np.sin(np.arange(count) / 10)
        words = ["up" if value > 0 else "down" for value in wave]
        self.feed(name, RIG, {"time": x, "wave": wave, "ramp": np.arange(count) / 10, "word": words}, **told)
        return self

    def take(self) -> list[News]:
        news, self.news = self.news, []
        return news

    def channels(self) -> list[ChannelState]:
        return list(self.states.values())


def on_screen(do, fed: Fed, size: tuple[int, int] = (120, 40), *, settle: bool = True, **setup) -> Stripchart:
    """Run `do(app, pilot)` with a stripchart of *fed* that has been drawn once."""

    async def run() -> Stripchart:
        app = Stripchart(Setup(watch=fed, clock=lambda: fed.now_ns, **setup))
        async with app.run_test(size=size) as pilot:
            if settle:
                await until(pilot, lambda: pictures(app))
            await do(app, pilot)
        return app

    return asyncio.run(run())


async def until(pilot, condition) -> object:
    """Let the app work until *condition()* holds; fails the test in the end.

    What it looks for may not be there yet: a chart, a line of the screen.
    """
    end = time.monotonic() + DEADLINE_S
    while True:
        with suppress(LookupError, AttributeError, ValueError):
            if found := condition():
                return found
        assert time.monotonic() < end, screen(pilot.app)
        await pilot.pause(0.01)


async def drawn(pilot) -> None:
    """Let the app draw what was touched."""
    await until(pilot, lambda: not pilot.app.touched)
    await pilot.pause()


def pictures(app: Stripchart) -> list:
    """What the charts in sight show, from top to bottom."""
    charts = list(app.screen_stack[0].query(Chart))
    return [chart.picture for chart in charts if chart.size and chart.picture is not None]


def screen(app: Stripchart) -> str:
    """What is on the screen, as text."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())
