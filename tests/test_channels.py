"""The channels that are watched: what is remembered of each, and for how long."""

from __future__ import annotations

import numpy as np
import pytest
from on_screen import NOW, RIG, SECOND, Fed, schema_of

from speeddata.stripchart.channels import Channels


def taken(fed, channels):
    channels.take()
    return channels


def made(fed, *signals):
    return Channels(fed, signals, lambda: fed.now_ns)


def test_news_goes_into_the_history_of_its_channel():
    fed = Fed().rig("rig").rig("pump", seconds=1)
    channels = taken(fed, made(fed))
    assert [(channel.name, channel.history.count) for channel in channels] == [("pump", 10), ("rig", 600)]
    assert channels.known["rig"] == {"wave": "number", "ramp": "number", "word": "state"}
    assert not channels.take()


def test_channels_that_were_named_stay_in_that_order():
    fed = Fed().rig("rig", source="rig").rig("pump", source="pump")
    assert list(taken(fed, made(fed)).by_name) == ["rig", "pump"]


def test_pages_of_channels_that_were_named_are_in_that_order_whichever_came_first():
    fed = Fed().rig("pump", source="pump").rig("rig", source="rig")
    channels = made(fed)
    fed.states = dict(reversed(fed.states.items()))  # rig was named first, and pump's news came first
    assert list(taken(fed, channels).known) == ["rig", "pump"]


def test_signals_are_picked_by_name_or_by_channel_and_name():
    fed = Fed().rig("rig").rig("pump")
    assert taken(fed, made(fed, "w*", "pump.ramp")).known == {
        "rig": {"wave": "number", "word": "state"},
        "pump": {"wave": "number", "ramp": "number", "word": "state"},
    }


def test_another_schema_is_another_history_and_the_same_one_is_not():
    fed = Fed().rig()
    channels = taken(fed, made(fed))
    first = channels.history("rig")
    assert taken(fed.rig(seconds=0), channels).history("rig") is first
    fed.feed("rig", schema_of(wave="float"), {"time": np.array([NOW]), "wave": np.array([1.0])})
    assert taken(fed, channels).history("rig") is not first
    assert channels.known["rig"] == {"wave": "number"}


def test_a_channel_that_is_called_otherwise_now_is_not_there_twice():
    fed = Fed().rig("127.0.0.1:5")
    channels = taken(fed, made(fed))
    del fed.states["127.0.0.1:5"]
    assert [channel.name for channel in taken(fed.rig("rig"), channels)] == ["rig"]
    assert list(channels.known) == ["rig"]


@pytest.mark.parametrize("lead_s", [-3600, -0.2, 0, 86400])
def test_the_newest_time_may_be_ahead_of_the_clock_or_behind(lead_s):
    fed = Fed()
    x = NOW + int(lead_s * SECOND)
    fed.feed("rig", RIG, {"time": [x], "wave": [0.0], "ramp": [0.0], "word": ["up"]})
    assert taken(fed, made(fed)).by_name["rig"].lead_ns == pytest.approx(lead_s * SECOND)
