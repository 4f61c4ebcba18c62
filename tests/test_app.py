"""The stripchart under what a terminal and a network may do to it."""

from __future__ import annotations

import logging
import math
import re

import numpy as np
import pytest
from on_screen import NOW, RIG, SECOND, Fed, drawn, on_screen, pictures, schema_of, screen, until
from textual.events import Resize
from textual.geometry import Size

from speeddata.chart.layouts import ChartLayout, Layout, PageLayout
from speeddata.chart.readings import Sample, Statistics
from speeddata.chart.sums import NOTHING
from speeddata.errors import PeerError
from speeddata.inbox import News
from speeddata.interrupts import Stop
from speeddata.stripchart import app as app_room
from speeddata.stripchart.notes import noting
from speeddata.thinning import Thinning

NUMBER = schema_of(wave="double")


def shown(fed, size=(120, 40), condition=None, **setup):
    """The screen, and its pictures, once *condition(app)* holds."""
    found = []

    async def do(app, pilot):
        await until(pilot, lambda: (condition or pictures)(app))
        await pilot.pause()
        found.extend((screen(app), pictures(app)))

    on_screen(do, fed, size, settle=condition is None, **setup)
    return found


def numbers(values, schema=NUMBER, step=SECOND // 10):
    x = NOW - np.arange(len(values), dtype=np.int64)[::-1] * step
    return {"time": x, "wave": np.array(values, float)}


def test_it_tells_what_is_seen_and_when_and_the_main_keys():
    text, _ = shown(Fed().rig(), utc=True)
    lines = text.splitlines()
    assert lines[0].split() == "SpeedData rig ● live 30 s 14:13:20 UTC".split()
    assert lines[-1].split()[:4] == ["space", "pause", "+", "zoom"]
    assert lines[-1].split()[-4:] == ["?", "help", "q", "quit"]
    assert {len(line) for line in lines} == {120}


@pytest.mark.parametrize("size", [(20, 5), (1, 1), (2, 3), (40, 3), (30, 12), (300, 90)])
def test_any_terminal_will_do(size):
    async def do(app, pilot):
        for key in ("v", "v", "c", "left", "o", "slash", "escape", "question_mark", "escape", "minus"):
            await pilot.press(key)
            await pilot.pause()
        assert [len(line) for line in screen(app).splitlines()] == [size[0]] * size[1]

    on_screen(do, Fed().rig(), size, settle=False)


def test_a_small_terminal_still_shows_the_channel_and_a_chart():
    text, (picture, *_) = shown(Fed().rig(), (20, 5))
    assert "rig" in text.splitlines()[0]
    assert any("⠀" < character <= "⣿" for character in text)
    assert picture.traces[0].label == "wave"


def test_it_can_be_resized_while_it_draws():
    async def do(app, pilot):
        for width, height in [(80, 24), (20, 5), (200, 60), (3, 2), (120, 40)] * 3:
            await pilot.resize_terminal(width, height)
            app.setup.watch.now_ns += SECOND
            app.setup.watch.rig(seconds=1)
            await pilot.pause(0.02)
        await until(pilot, lambda: pictures(app))
        await until(pilot, lambda: len(screen(app).splitlines()) == 40)
        await until(pilot, lambda: {len(line) for line in screen(app).splitlines()} == {120})

    on_screen(do, Fed().rig())


def test_without_utf_8_nothing_but_ascii_is_on_the_screen():
    async def do(app, pilot):
        for keys in (
            (),
            ("c",),
            ("m",),
            ("question_mark",),
            ("escape", "slash"),
            ("escape", "v"),
            ("v", "space"),
        ):
            for key in keys:
                await pilot.press(key)
            await pilot.pause(0.1)
            assert screen(app).isascii()
        assert "paused" in screen(app)

    on_screen(do, Fed().rig("pump", lost=3).rig(state="silent", since_ns=NOW - SECOND), charset="ascii")


def test_numbers_stand_beside_the_picture_where_there_is_room():
    text, _ = shown(Fed().rig(lost=7, rejected=2), (150, 40))
    (head,) = [line for line in text.splitlines() if "1/s" in line or "10/s" in line]
    assert "rig ● live 10/s  lost 7  rejected 2" in head
    (row,) = [line for line in text.splitlines() if " bar " in line and "44.95" in line]
    assert row.split()[-6:] == ["ramp", "59.9", "bar", "30", "44.95", "59.9"]
    text, _ = shown(Fed().rig(), (80, 40))
    assert "signal" not in text.replace("signals", "")


def test_of_a_thinned_channel_is_told_how_and_of_extremes_no_mean():
    text, _ = shown(Fed().rig(thinning=Thinning(5, "minmax")), (150, 40))
    assert "rig ● live 10/s  minmax of 5  " in text
    (row,) = [line for line in text.splitlines() if " bar " in line and "59.9" in line and " - " in line]
    assert row.split()[-6:] == ["ramp", "59.9", "bar", "30", "-", "59.9"]


def test_the_first_of_the_channels_is_seen_at_first_in_whatever_order_they_are_found(monkeypatch):
    monkeypatch.setattr(app_room, "ARRIVING_S", 60)

    async def do(app, pilot):
        app.setup.watch.rig("pump")
        await until(pilot, lambda: "pump 1/2" in screen(app))
        await pilot.press("n")
        app.setup.watch.rig("engine")
        await until(pilot, lambda: "rig 3/3" in screen(app))
        await pilot.press("v")
        await until(pilot, lambda: re.search("engine ●.*pump ●", screen(app), re.DOTALL))

    on_screen(do, Fed().rig())


def test_a_new_channel_appears_and_what_is_seen_stays(monkeypatch):
    monkeypatch.setattr(app_room, "ARRIVING_S", 0)

    async def do(app, pilot):
        app.setup.watch.rig("pump")
        await until(pilot, lambda: "2/2" in screen(app))
        assert app.page.name == "rig"

    on_screen(do, Fed().rig())


def test_a_silent_channel_fades_and_says_since_when():
    fed = Fed().rig(state="silent", since_ns=NOW - 12 * SECOND)
    text, (picture, *_) = shown(fed, utc=True)
    assert picture.dim
    assert "○ silent since 14:13:08 (12 s)" in text.splitlines()[0]
    assert picture.note == "silent since 14:13:08 (12 s)"


def test_the_relay_gone_and_back_is_the_same_picture_going_on():
    async def do(app, pilot):
        fed = app.setup.watch
        fed.tell("rig", "silent", since_ns=NOW)
        await until(pilot, lambda: "silent" in screen(app))
        fed.now_ns += 5 * SECOND
        await until(pilot, lambda: pictures(app)[0].end >= NOW + 5 * SECOND)
        fed.rig(seconds=1)
        await until(pilot, lambda: "live" in screen(app) and not pictures(app)[0].dim)
        assert app.watched.history("rig").first < NOW

    on_screen(do, Fed().rig())


def test_a_channel_whose_schema_changes_begins_anew_with_its_new_signals():
    async def do(app, pilot):
        app.setup.watch.feed("rig", NUMBER, numbers([1.0, 2.0]))
        await until(pilot, lambda: len(pictures(app)) == 1)
        assert [trace.label for trace in pictures(app)[0].traces] == ["wave"]

    on_screen(do, Fed().rig())


@pytest.mark.parametrize(
    "values",
    [
        [math.nan] * 20,
        [math.inf, -math.inf] * 10,
        [1.0, math.nan, 2.0, math.inf] * 5,
        [7.0] * 20,
        [0.0] * 20,
        [1e308, -1e308] * 10,
        [5e-324, 0.0] * 10,
        [1e15, 1e15 + 1] * 10,
    ],
)
def test_any_number_can_be_drawn(values):
    fed = Fed()
    fed.feed("rig", NUMBER, numbers(values))
    text, (picture,) = shown(fed, (150, 30))
    assert picture.traces[0].label == "wave"
    assert "rig ● live" in text


def test_a_clock_that_steps_back_goes_on_from_there():
    async def do(app, pilot):
        x = NOW - 20 * SECOND + np.arange(50, dtype=np.int64) * (SECOND // 10)
        app.setup.watch.feed("rig", NUMBER, {"time": x, "wave": np.arange(50.0)})
        await until(pilot, lambda: app.watched.history("rig").stepped_back == 1)
        await until(pilot, lambda: "rig: its clock stepped back" in screen(app).splitlines()[-1])
        await until(pilot, lambda: pictures(app)[0].end < NOW - 10 * SECOND)

    fed = Fed()
    fed.feed("rig", NUMBER, numbers(range(600)))
    on_screen(do, fed)


def test_two_hundred_channels_are_pages_of_which_one_is_drawn():
    fed = Fed()
    for number in range(200):
        fed.rig(f"channel-{number:03d}", seconds=5)

    async def do(app, pilot):
        await until(pilot, lambda: "1/200" in screen(app))
        assert len(app.charts()) == 3
        await pilot.press("slash", *"150wav", "enter")
        await until(pilot, lambda: "channel-150" in screen(app).splitlines()[0])
        await pilot.press("v")
        await until(pilot, lambda: "channel-000" in screen(app))

    on_screen(do, fed, settle=False)


def test_more_signals_than_fit_scroll_and_only_those_in_sight_are_drawn():
    names = {f"s{number}": "double" for number in range(30)}
    fed = Fed()
    fed.feed(
        "rig", schema_of(**names), {"time": np.array([NOW]), **{name: np.array([1.0]) for name in names}}
    )

    async def do(app, pilot):
        charts = await until(
            pilot, lambda: len(app.charts()) == 30 and app.charts()[0].picture and app.charts()
        )
        assert charts[29].picture is None
        for _ in range(29):
            await pilot.press("down")
        await until(pilot, lambda: charts[29].picture)

    on_screen(do, fed, settle=False)


def test_before_there_is_anything_it_says_what_to_do():
    text, _ = shown(Fed(), condition=lambda app: "speeddata relay" in screen(app))
    assert "No channel is announced yet." in text


def test_a_channel_that_nobody_announces_is_waited_for():
    fed = Fed()
    fed.tell("rig", "silent")
    text, _ = shown(fed, condition=lambda app: "rig: not announced yet" in screen(app))
    assert "speeddata ls" in text


def test_a_page_of_which_all_is_taken_off_says_how_to_go_on():
    shown(Fed().rig(), signals=("none",), condition=lambda app: "/  chooses signals" in screen(app))


def test_signals_may_be_picked_by_globs():
    _, pictures_shown = shown(Fed().rig(), signals=("w*",))
    labels = [each.label for picture in pictures_shown for each in (*picture.traces, *picture.states)]
    assert labels == ["wave", "word"]


def test_arrays_and_records_are_told_in_words():
    schema = schema_of(wave="double", taps={"type": "array", "items": "int"})
    fed = Fed()
    fed.feed("rig", schema, {"time": np.array([NOW]), "wave": np.array([1.0]), "taps": [[1, 2, 3]]})
    text, _ = shown(fed, (150, 30))
    assert "[1, 2, 3]" in text


def test_text_of_others_cannot_steer_the_terminal():
    fed = Fed()
    schema = schema_of(word="string")
    fed.feed("rig", schema, {"time": np.array([NOW]), "word": ["\x1b[2Jboo[red]"]})
    text, _ = shown(fed, (150, 30))
    assert "\x1b" not in text
    assert "boo[red]" in text


def test_pages_of_a_layout_come_first_with_their_window_ranges_and_colours():
    chart = ChartLayout(("rig.wave", "pump.r*"), "mixed", (-2.0, 2.0), ("red",))
    layout = Layout((PageLayout("overview", (chart,), 10 * SECOND),))

    async def do(app, pilot):
        picture = (await until(pilot, lambda: len(app.pages) == 3 and pictures(app)))[0]
        assert [page.name for page in app.pages] == ["overview", "pump", "rig"]
        assert picture.title == "mixed"
        assert [(trace.label, trace.colour) for trace in picture.traces] == [
            ("rig.wave", "red"),
            ("pump.ramp", "blue"),
        ]
        assert picture.end - picture.begin == pytest.approx(10 * SECOND, rel=0.05)
        assert app.charts()[0].value_range == (-2.0, 2.0)

    on_screen(do, Fed().rig("pump").rig(), layout=layout)


class Recorded:
    """An archive that holds an hour before what is in memory."""

    def __init__(self):
        self.asked = []

    def covers(self, channel):
        return NOW - 3600 * SECOND, NOW

    def envelope(self, channel, signal, begin, end, columns, stop):
        from speeddata.chart.envelope import envelope

        self.asked.append((channel, signal, begin, end, columns))
        x = np.arange(NOW - 3600 * SECOND, NOW, SECOND, dtype=np.int64)
        inside = (x >= begin) & (x < end)
        return envelope(x[inside], np.full(inside.sum(), 42.0), begin, end, columns)

    def statistics(self, channel, signal, begin, end, stop):
        count = len(range(max(begin, NOW - 3600 * SECOND), min(end, NOW), SECOND))
        return (Statistics(41.0, 42.0, 43.0, count) if count else NOTHING), min(end, NOW)

    def states(self, *args):
        return []

    def sample(self, channel, x):
        return Sample(x // SECOND * SECOND, {"wave": 42.0, "ramp": 1.0, "word": "then"})


def test_what_left_memory_is_looked_up_in_the_recording():
    async def do(app, pilot):
        await until(pilot, lambda: app.backscroll.covers("rig"))
        await pilot.press("home")
        await until(pilot, lambda: np.nanmax(np.append(pictures(app)[0].traces[0].envelope.high, 0)) == 42.0)
        picture = pictures(app)[0]
        assert picture.begin == pytest.approx(NOW - 3600 * SECOND, abs=SECOND)
        await pilot.press("c")
        await until(pilot, lambda: pictures(app)[0].traces[0].latest_text == "42.0")
        assert pictures(app)[0].states[0].latest_text if pictures(app)[0].states else True

    archive = Recorded()
    on_screen(do, Fed().rig(), archive=archive)
    assert {(channel, signal) for channel, signal, *_ in archive.asked} == {("rig", "wave"), ("rig", "ramp")}


def test_the_figures_of_what_left_memory_are_told_too():
    async def do(app, pilot):
        await until(pilot, lambda: app.backscroll.covers("rig"))
        await pilot.press("home")
        await until(pilot, lambda: re.search(r"wave .* V +41 +42 +43", screen(app)))
        await pilot.press("end", *["minus"] * 3)  # five minutes, of which one is in memory
        await until(pilot, lambda: re.search(r"ramp .* bar +0.1 +33.42 +59.9", screen(app)))
        assert "looking up" not in screen(app)

    on_screen(do, Fed().rig(), size=(160, 40), archive=Recorded())


def test_of_a_channel_that_ended_before_we_came_the_recording_tells_the_figures_and_nobody_since_when():
    async def do(app, pilot):
        await until(pilot, lambda: re.search(r"wave +V +41 +42 +43", screen(app)))
        assert "ended" in screen(app)
        assert "since" not in screen(app)

    fed = Fed()
    fed.news.append(News("rig", RIG, []))
    fed.tell("rig", "end", since_ns=NOW)  # when it was found, for want of anything better
    on_screen(do, fed, size=(160, 40), archive=Recorded())


def test_the_first_page_is_of_a_channel_that_is_heard():
    async def do(app, pilot):
        await until(pilot, lambda: app.page.name == "rig")

    fed = Fed().rig()
    fed.news.append(News("ended", RIG, []))
    fed.tell("ended", "end", since_ns=NOW)
    on_screen(do, fed)


def test_of_a_number_that_is_null_now_the_window_is_told():
    fed = Fed()
    schema = schema_of(wave=["null", "double"])
    fed.feed("rig", schema, {"time": [NOW - 2, NOW - 1, NOW], "wave": [1.0, 2.0, None]})
    assert re.search(r"wave +null V +1 +1.5 +2", shown(fed, (160, 40))[0])


def test_of_several_recordings_each_channel_is_looked_up_in_its_own_under_its_name_there():
    async def do(app, pilot):
        for _ in range(3):
            await pilot.press("home")
            await until(
                pilot, lambda: np.nanmax(np.append(pictures(app)[0].traces[0].envelope.high, 0)) == 42
            )
            await pilot.press("end", "n")
            await drawn(pilot)

    old, new, other = Recorded(), Recorded(), Recorded()
    fed = Fed().rig("rig", source="old/", channel="rig")
    fed.rig("rig (new/)", source="new/", channel="rig").rig("pump", source="pump", channel="pump")
    on_screen(do, fed, archive=other, archives={"old/": old, "new/": new})
    for archive, name in ((old, "rig"), (new, "rig"), (other, "pump")):
        assert {channel for channel, *_ in archive.asked} == {name}


def test_an_archive_that_fails_is_told_and_the_picture_goes_on():
    class Broken(Recorded):
        def envelope(self, *args):
            raise OSError("disk gone")

    async def do(app, pilot):
        await until(pilot, lambda: app.backscroll.covers("rig"))
        await pilot.press("home")
        await until(pilot, lambda: "disk gone" in screen(app))
        assert app.is_running

    with noting() as notes:
        on_screen(do, Fed().rig(), archive=Broken(), notes=notes)


def test_what_the_rooms_below_say_is_told_at_the_bottom_and_not_over_the_picture(capfd):
    async def do(app, pilot):
        logging.getLogger("speeddata.wire").warning("the relay\x1b went away")
        await until(pilot, lambda: "the relay\\x1b went away" in screen(app).splitlines()[-1])

    with noting() as notes:
        on_screen(do, Fed().rig(), notes=notes)
    assert capfd.readouterr().err == ""


def test_the_wish_to_end_ends_it():
    stop = Stop()

    async def do(app, pilot):
        stop.ask()
        await until(pilot, lambda: app._exit)

    assert on_screen(do, Fed().rig(), stop=stop).failure is None


def test_a_source_that_makes_no_sense_ends_it_with_its_error():
    fed = Fed()
    fed.failure = PeerError("no relay announced it", where="rig")

    async def do(app, pilot):
        await until(pilot, lambda: app._exit)

    assert on_screen(do, fed, settle=False).failure is fed.failure


def test_a_source_that_ends_badly_leaves_what_was_seen():
    fed = Fed().rig()

    async def do(app, pilot):
        fed.failure = PeerError("gone")
        fed.tell("rig", "end", since_ns=NOW, problem="gone")
        await until(pilot, lambda: "ended since" in screen(app))
        assert app.is_running

    on_screen(do, fed)


def test_nothing_is_drawn_again_while_nothing_changes():
    async def do(app, pilot):
        await pilot.press("space")
        await drawn(pilot)
        await pilot.pause(0.2)
        before = app.frames.drawn
        await pilot.pause(0.5)
        assert app.frames.drawn == before

    on_screen(do, Fed().rig())


def test_a_terminal_that_is_slow_gets_fewer_pictures_and_none_queue_up(monkeypatch):
    async def do(app, pilot):
        monkeypatch.setattr("speeddata.stripchart.app.is_behind", lambda driver: True)
        await pilot.pause(0.1)
        before = app.frames.drawn
        app.setup.watch.rig(seconds=1)
        await until(pilot, lambda: not app.setup.watch.news)
        await pilot.pause(0.2)
        assert app.frames.drawn == before

    on_screen(do, Fed().rig())


def test_figures_of_the_drawing_are_told_when_asked_for():
    text, _ = shown(Fed().rig(), (150, 30), verbose=True)
    assert "frames/s" in text.splitlines()[-1]


@pytest.mark.parametrize("key", ["c", "question_mark"])
def test_a_size_that_is_no_longer_the_terminals_is_not_taken(key):
    """Two of them, each of which a screen tells itself of once more, followed each other for ever."""

    async def do(app, pilot):
        await pilot.press(key)
        await pilot.pause()
        for height in (30, 38, 30):
            app.screen.post_message(Resize(Size(120, height), Size(120, height)))
        await drawn(pilot)
        await pilot.pause()
        assert {screen_._compositor.size for screen_ in app.screen_stack} == {(120, 40)}
        await pilot.resize_terminal(100, 30)
        await drawn(pilot)
        assert {screen_._compositor.size for screen_ in app.screen_stack} == {(100, 30)}

    on_screen(do, Fed().rig())


def test_a_cursor_that_is_out_of_sight_leaves_the_newest_values_in_the_legend():
    async def do(app, pilot):
        await pilot.press("c")
        await drawn(pilot)
        assert pictures(app)[0].cursor_x is not None
        app.view().cursor -= 3600 * SECOND
        app.touched = True
        await drawn(pilot)
        picture = pictures(app)[0]
        assert (picture.cursor_x, picture.cursor_text) == (None, "")

    on_screen(do, Fed().rig())
