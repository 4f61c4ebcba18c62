"""Every key of the stripchart, and the mouse."""

from __future__ import annotations

import json
import tomllib
from datetime import timedelta, timezone

import numpy as np
import pytest
from on_screen import NOW, RIG, SECOND, Fed, drawn, on_screen, pictures, schema_of, screen, until
from textual import events

from speeddata.avro.schema import parse
from speeddata.chart.marks import Mark
from speeddata.recording.markfile import MarkFile
from speeddata.stripchart.chart import Chart
from speeddata.stripchart.keys import KEYS
from speeddata.stripchart.look import DARK, LIGHT


def pressed(*keys, fed=None, size=(120, 40), **setup):
    """What the app is like after *keys*: `app, text of the screen, its pictures`."""
    found = []

    async def do(app, pilot):
        for key in keys:
            await pilot.press(key)
            await drawn(pilot)
        await until(pilot, lambda: app.screen is not app.screen_stack[0] or pictures(app) or app.only_numbers)
        found.extend((app, screen(app), pictures(app)))

    on_screen(do, fed or Fed().rig(), size, **setup)
    return found


def window(picture):
    return picture.begin, picture.end


def test_space_holds_the_picture_while_data_goes_on_being_received():
    async def do(app, pilot):
        await pilot.press("space")
        await drawn(pilot)
        held = window(pictures(app)[0])
        app.setup.watch.now_ns += 10 * SECOND
        app.setup.watch.feed("rig", RIG, one(NOW + 10 * SECOND))
        await until(pilot, lambda: app.watched.history("rig").last == NOW + 10 * SECOND)
        await until(pilot, lambda: "paused 10 s back" in screen(app))
        assert window(pictures(app)[0]) == held
        await pilot.press("space")
        await until(pilot, lambda: pictures(app)[0].end > NOW + 9 * SECOND)
        assert "paused" not in screen(app)

    on_screen(do, Fed().rig())


def one(x):
    return {"time": np.array([x]), "wave": np.array([0.5]), "ramp": np.array([1.0]), "word": ["up"]}


def test_arrows_scroll_by_a_tenth_of_the_window_and_by_half_with_shift():
    _, _, (back, *_) = pressed("left")
    assert back.end - NOW == pytest.approx(-3 * SECOND, abs=SECOND // 2)
    _, _, (far, *_) = pressed("shift+left")
    assert far.end - NOW == pytest.approx(-15 * SECOND, abs=SECOND // 2)
    _, _, (near, *_) = pressed("shift+left", "right")
    assert near.end - NOW == pytest.approx(-12 * SECOND, abs=SECOND // 2)


def test_scrolling_on_to_the_newest_goes_live_again():
    app, text, _ = pressed("left", "shift+right")
    assert app.looking.time.live
    assert "paused" not in text


def test_home_goes_to_the_oldest_and_end_to_the_newest():
    _, _, (oldest, *_) = pressed("home")
    assert oldest.begin == pytest.approx(NOW - 60 * SECOND, abs=SECOND)
    app, _, (newest, *_) = pressed("home", "end")
    assert app.looking.time.live
    assert newest.end == pytest.approx(NOW, abs=SECOND)


@pytest.mark.parametrize(("key", "span"), [("plus", 10), ("equals_sign", 10), ("minus", 60)])
def test_plus_and_minus_zoom_the_window(key, span):
    _, text, (picture, *_) = pressed(key)
    assert picture.end - picture.begin == pytest.approx(span * SECOND, rel=0.05)
    assert ("1 min" if span == 60 else f"{span} s") in text.splitlines()[0]


@pytest.mark.parametrize(
    ("keys", "number"), [(["down"], 1), (["tab", "tab"], 2), (["up"], 2), (["shift+tab"], 2)]
)
def test_up_and_down_and_tab_go_from_chart_to_chart(keys, number):
    async def do(app, pilot):
        await until(pilot, lambda: app.charts()[0].has_focus)
        await pilot.press(*keys)
        await until(pilot, lambda: app.charts()[number].has_focus)

    on_screen(do, Fed().rig())


def two():
    return Fed().rig("pump").rig("rig")


@pytest.mark.parametrize(
    ("keys", "page"),
    [("n", "rig"), ("]", "rig"), ("p", "rig"), ("[", "rig"), ("nn", "pump"), ("np", "pump")],
)
def test_n_and_p_step_through_the_channels(keys, page):
    names = {"]": "right_square_bracket", "[": "left_square_bracket"}
    app, text, _ = pressed(*(names.get(key, key) for key in keys), fed=two())
    assert app.page.name == page
    assert f" {page} " in text.splitlines()[0]


def test_slash_finds_signals_by_some_letters_and_space_takes_one_off_the_page():
    _, text, _ = pressed("slash", "w", "a", "v")
    assert "● on   rig.wave" in text
    assert "rig.ramp" not in text
    _, _, shown = pressed("slash", "w", "a", "v", "space", "escape")
    assert [trace.label for picture in shown for trace in picture.traces] == ["ramp"]


def test_what_is_typed_at_once_behind_a_slash_is_looked_for():
    async def do(app, pilot):
        for key in "/qram":
            app.post_message(events.Key("slash" if key == "/" else key, key))
        await until(pilot, lambda: "find qram" in screen(app))
        assert all(page.ranges == {} for page in app.pages)  # which a would have fixed

    on_screen(do, Fed().rig())


def test_keys_that_come_at_once_are_taken_in_their_order():
    async def do(app, pilot):
        await pilot.press("slash")
        await until(pilot, lambda: app.screen is not app.screen_stack[0])
        for key in ("down", "space", "down", "space", "up", "up", "space", "space"):
            app.post_message(events.Key(key, " " if key == "space" else None))
        await until(pilot, lambda: screen(app).count("○ off") == 2)
        await pilot.press("escape")
        await until(pilot, lambda: len(pictures(app)) == 1)
        assert pictures(app)[0].traces[0].label == "wave"

    on_screen(do, Fed().rig())


def test_space_puts_a_signal_of_another_channel_on_the_page_and_enter_goes_there():
    _, _, shown = pressed("slash", *"rigwave", "space", "escape", fed=two())
    assert [trace.label for picture in shown for trace in picture.traces] == ["wave", "ramp", "rig.wave"]
    app, _, _ = pressed("slash", *"rigwave", "enter", fed=two())
    assert app.page.name == "rig"


@pytest.mark.parametrize("key", ["v", "enter"])
def test_v_shows_numbers_only_and_pictures_again(key):
    _, text, shown = pressed(key)
    row = next(line for line in text.splitlines() if line.startswith("  ramp"))
    assert row.split() == ["ramp", "59.9", "bar", "30", "44.95", "59.9"]
    assert shown == []
    _, _, shown = pressed(key, key)
    assert len(shown) == 3


def test_the_cursor_tells_the_exact_time_and_values_and_arrows_move_it():
    async def do(app, pilot):
        await pilot.press("c")
        await drawn(pilot)
        first = pictures(app)[0]
        await pilot.press("left", "shift+left")
        await drawn(pilot)
        there = pictures(app)[0]
        dot = (there.end - there.begin) / app.charts()[0].dots
        assert first.cursor_x - there.cursor_x == pytest.approx(11 * dot, rel=0.01)
        sample = app.watched.history("rig").nearest(there.cursor_x)
        assert there.traces[0].latest_text == repr(sample.values["wave"])
        assert there.cursor_text.startswith("2026-09-21 14:13:0")
        await pilot.press("c")
        await drawn(pilot)
        assert pictures(app)[0].cursor_x is None

    on_screen(do, Fed().rig(), utc=True)


def test_f_pins_a_chart_to_the_top_of_every_page_and_lets_it_go():
    _, text, shown = pressed("down", "f", "n", fed=two())
    assert [trace.label for picture in shown for trace in picture.traces] == ["pump.ramp", "wave", "ramp"]
    assert "pinned" in text
    _, _, shown = pressed("down", "f", "f", "n", fed=two())
    assert len(shown) == 3


def test_a_fixes_the_range_of_a_chart_as_it_is_and_lets_it_go():
    async def do(app, pilot):
        await pilot.press("a")
        await drawn(pilot)
        fixed = app.charts()[0].value_range
        app.setup.watch.feed("rig", RIG, {**one(NOW), "wave": np.array([1e6])})
        await until(pilot, lambda: app.watched.history("rig").latest("wave") == 1e6)
        await drawn(pilot)
        assert app.charts()[0].value_range == fixed
        await pilot.press("a")
        await until(pilot, lambda: app.charts()[0].value_range[1] >= 1e6)

    on_screen(do, Fed().rig())


def test_o_puts_signals_of_one_unit_together_and_apart():
    fed = Fed()
    fed.feed(
        "rig",
        schema_of(wave="double", a="int", b="int", word="string"),
        {"time": [NOW], "wave": [1.0], "a": [1], "b": [2], "word": ["up"]},
    )
    _, _, shown = pressed("o", fed=fed)
    assert [[trace.label for trace in picture.traces] for picture in shown] == [["wave"], ["a", "b"]]
    assert [state.label for state in shown[1].states] == ["word"]
    assert [trace.colour for trace in shown[1].traces] == ["blue", "orange"]
    _, _, shown = pressed("o", "o")
    assert len(shown) == 3


def test_t_tells_the_time_in_utc_and_in_the_local_zone():
    zone = timezone(timedelta(hours=2))
    _, text, _ = pressed(local=zone)
    assert "16:13:20 local" in text.splitlines()[0]
    _, text, shown = pressed("t", local=zone)
    assert "14:13:20 UTC" in text.splitlines()[0]
    assert shown[0].zone.utcoffset(None) == timedelta(0)


def test_d_is_dark_or_light():
    assert pressed()[0].theme == DARK.name
    assert pressed("d")[0].theme == LIGHT.name
    assert pressed("d", "d")[0].theme == DARK.name


def test_m_begins_and_ends_a_mark_that_is_in_the_file_at_once(tmp_path):
    file = tmp_path / "data/marks.jsonl"

    async def do(app, pilot):
        await pilot.press("m")
        await drawn(pilot)
        assert json.loads(file.read_text())["name"] == "mark-1"
        await until(pilot, lambda: "◆ mark-1" in screen(app))
        app.setup.watch.now_ns += 3 * SECOND
        await pilot.press("m")
        await drawn(pilot)
        await until(pilot, lambda: "pivot --mark mark-1" in screen(app))
        assert (NOW, NOW + 3 * SECOND + 1, "mark-1") in pictures(app)[0].marks

    on_screen(do, Fed().rig(), marks=MarkFile(file))
    (mark,) = MarkFile(file).read()
    assert (mark.begin_ns, mark.end_ns, mark.channels) == (NOW, NOW + 3 * SECOND + 1, ("rig",))


def test_m_marks_from_cursor_to_cursor_in_a_picture_that_is_held(tmp_path):
    file = MarkFile(tmp_path / "marks.jsonl")
    pressed("space", "c", "m", "left", "left", "m", marks=file)
    (mark,) = file.read()
    assert mark.begin_ns < mark.end_ns < NOW


def test_a_mark_that_was_left_open_is_seen_as_open_and_ended_by_the_key(tmp_path):
    file = MarkFile(tmp_path / "marks.jsonl")
    file.write(Mark("left", NOW - 20 * SECOND, None, ("rig",), NOW))
    file.write(Mark("elsewhere", NOW - 10 * SECOND, None, ("pump",), NOW))

    async def do(app, pilot):
        await until(pilot, lambda: (NOW - 20 * SECOND, None, "left") in pictures(app)[0].marks)
        await until(pilot, lambda: "◆ left 20 s" in screen(app))
        file.write(Mark("theirs", NOW - 5 * SECOND, None, ("rig",), NOW))  # begun while we look
        await pilot.press("M", *"old", "enter", "escape", "c", "home", "m")
        await until(pilot, lambda: "pivot --mark" in screen(app))
        assert "◆" not in screen(app).splitlines()[0]
        await pilot.press("m")
        await until(pilot, lambda: "◆ mark-1" in screen(app))

    on_screen(do, Fed().rig(), marks=file)
    marks = {mark.name: mark for mark in file.read()}
    (ended,) = [mark for mark in marks.values() if mark.end_ns is not None]
    assert ended.name == "left"
    assert sorted(marks) == ["elsewhere", "left", "mark-1", "old"]


def test_without_a_recording_there_is_nothing_to_mark():
    assert "--recording DIR" in pressed("m")[1]
    assert "--recording DIR" in pressed("M")[1]


def test_the_list_of_marks_goes_to_one_and_renames_it(tmp_path):
    file = MarkFile(tmp_path / "marks.jsonl")
    file.write(Mark("start", NOW - 50 * SECOND, NOW - 46 * SECOND, ("rig",), NOW))
    file.write(Mark("stop", NOW - 9 * SECOND, NOW - 8 * SECOND, ("rig",), NOW))
    _, text, _ = pressed("M", marks=file, utc=True)
    assert text.index("stop ") < text.index("start ")
    assert "2026-09-21 14:12:30" in text
    _, _, (picture, *_) = pressed("M", "down", "enter", marks=file)
    assert picture.begin < NOW - 50 * SECOND < NOW - 46 * SECOND < picture.end < NOW - 40 * SECOND
    pressed("M", "down", *"cold", "enter", "escape", marks=file)
    assert {mark.name for mark in file.read()} == {"cold", "stop"}
    _, text, _ = pressed("M", "down", *"stop", "enter", marks=file)
    assert "the name is taken" in text


def test_s_saves_the_picture_as_svg_that_asks_nobody_for_fonts(tmp_path):
    _, text, _ = pressed("s", pictures=tmp_path)
    (path,) = tmp_path.glob("*.svg")
    assert path.name == "speeddata-rig-20260921T141320Z.svg"
    svg = path.read_text()
    assert svg.startswith("<svg")
    assert "wave" in svg
    assert "url(http" not in svg
    assert "saved" in text.splitlines()[-1]


def test_capital_s_saves_the_page_in_speeddata_toml_and_leaves_the_rest(tmp_path):
    path = tmp_path / "speeddata.toml"
    path.write_text("# mine\nfactor = 7\n")
    pressed("o", "minus", "a", "S", settings=path)
    assert path.read_text().startswith("# mine\nfactor = 7\n\n[[tui.page]]\n")
    (page,) = tomllib.loads(path.read_text())["tui"]["page"]
    assert (page["name"], page["window"]) == ("rig", "1m")
    assert [chart["signals"] for chart in page["chart"]] == [["rig.wave"], ["rig.ramp", "rig.word"]]
    assert len(page["chart"][0]["range"]) == 2


@pytest.mark.parametrize("key", ["question_mark", "f1"])
def test_the_help_tells_every_key(key):
    _, text, _ = pressed(key, size=(120, 40))
    for each in KEYS:
        assert f"{each.caption:<9} {each.help}"[:70] in text
    app, _, _ = pressed(key, "escape")
    assert len(app.screen_stack) <= 1


@pytest.mark.parametrize("width", [20, 40])
def test_the_help_is_told_in_as_many_lines_as_a_narrow_terminal_needs(width):
    _, text, _ = pressed("question_mark", size=(width, 150))
    inside = [line.strip("│ ") for line in text.splitlines() if line.startswith("│")]
    assert KEYS[0].help in " ".join(inside)
    assert "…" not in "".join(inside)


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
def test_q_and_ctrl_c_quit(key):
    async def do(app, pilot):
        await pilot.press(key)
        await until(pilot, lambda: not app.is_running or app._exit)

    assert on_screen(do, Fed().rig()).return_code == 0


def test_ctrl_c_quits_from_a_list_too():
    async def do(app, pilot):
        await pilot.press("slash", "ctrl+c")
        await until(pilot, lambda: not app.is_running or app._exit)

    on_screen(do, Fed().rig())


def test_keys_are_for_the_list_that_is_open_and_not_for_what_is_behind_it():
    async def do(app, pilot):
        await until(pilot, lambda: app.focus_key == "rig.wave")
        await pilot.press("slash", "tab", "shift+tab", "tab")
        await pilot.press("escape")
        await drawn(pilot)
        assert app.focus_key == "rig.wave"

    on_screen(do, Fed().rig())


def test_every_key_of_the_table_is_bound_and_does_something_that_is_known():
    async def do(app, pilot):
        for key in KEYS:
            for name in key.keys.split(","):
                assert app._bindings.get_bindings_for_key(name)[0].action == key.action
            assert hasattr(app, f"action_{key.action.partition('(')[0]}")

    on_screen(do, Fed().rig())


def test_every_key_can_be_pressed_before_there_is_anything():
    async def do(app, pilot):
        for key in KEYS:
            if key.action not in ("leave", "picture", "save"):
                await pilot.press(key.keys.partition(",")[0])
                await pilot.press("escape")
        assert app.is_running

    on_screen(do, Fed(), settle=False)


def test_a_click_sets_the_cursor_the_wheel_zooms_and_pulling_scrolls():
    async def do(app, pilot):
        chart = app.charts()[0]
        await pilot.click(Chart, offset=(40, 4))
        await drawn(pilot)
        picture = pictures(app)[0]
        assert chart.x_at(40) == pytest.approx(picture.cursor_x, abs=SECOND)
        await pilot.press("space")
        before = pictures(app)[0]
        await pilot.mouse_down(Chart, offset=(40, 4))
        await pilot.hover(Chart, offset=(60, 4))
        await pilot.mouse_up(Chart, offset=(60, 4))
        await until(pilot, lambda: pictures(app)[0].end < before.end)
        before = pictures(app)[0]
        chart._zoom(_At(40), 0.5)
        await until(pilot, lambda: pictures(app)[0].end - pictures(app)[0].begin < 20 * SECOND)

    on_screen(do, Fed().rig())


class _At:
    def __init__(self, x):
        self.x = x

    def stop(self):
        pass


def test_the_keys_at_the_bottom_can_be_clicked():
    async def do(app, pilot):
        at = screen(app).splitlines()[-1].index("pause")
        await pilot.click(offset=(at, 39))
        await until(pilot, lambda: not app.looking.time.live)

    on_screen(do, Fed().rig())


def test_a_channel_by_number_has_a_view_of_its_own_and_no_marks(tmp_path):
    depth = [{"name": "depth", "type": "double"}, {"name": "wave", "type": "double"}]
    schema = parse(json.dumps({"type": "record", "name": "well", "fields": depth}))
    fed = Fed()
    fed.feed("well", schema, {"depth": np.arange(100) / 2, "wave": np.arange(100.0)})
    _, text, (picture, *_) = pressed("m", fed=fed, marks=MarkFile(tmp_path / "marks.jsonl"))
    assert picture.axis == "number"
    assert (picture.begin, picture.end) == pytest.approx((0, 50), abs=1.5)
    assert "marks are for channels by time" in text
    _, _, (picture, *_) = pressed("plus", fed=_again(fed, schema))
    assert picture.end - picture.begin == pytest.approx(20)


def _again(fed, schema):
    fed.feed("well", schema, {"depth": np.arange(100) / 2, "wave": np.arange(100.0)})
    return fed
