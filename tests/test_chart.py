"""The chart on a real screen without a terminal: any size, any theme, hands, and thrift."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import UTC, timedelta, timezone
from types import SimpleNamespace

import numpy as np
import pytest
from textual.app import App
from textual.color import Color
from textual.geometry import Region

from speeddata.chart.envelope import Envelope
from speeddata.chart.readings import StateRun
from speeddata.stripchart.chart import Chart, Picture, StateTrace, Trace
from speeddata.stripchart.palette import COLOURS, hue_of

SECOND = 1_000_000_000
BEGIN = 1_790_000_000 * SECOND  # 2026-09-21 14:13:20 UTC
SIZES = [(1, 1), (2, 1), (1, 2), (5, 3), (9, 4), (20, 5), (23, 2), (24, 3), (40, 12), (80, 24), (200, 60)]


class Screen(App):
    """A chart, and what it told."""

    AUTO_FOCUS = None

    def __init__(self, charts=1, **options):
        super().__init__()
        self.count, self.options, self.told = charts, options, []

    def compose(self):
        for _ in range(self.count):
            yield Chart(**self.options)

    def on_chart_picked(self, message):
        self.told.append(message)

    def on_chart_zoomed(self, message):
        self.told.append(message)

    def on_chart_dragged(self, message):
        self.told.append(message)

    @property
    def chart(self):
        return self.query(Chart).first()


def on_screen(do, size=(80, 20), **options):
    """Run `do(app, pilot)` with a chart on a screen of *size*."""

    async def run():
        app = Screen(**options)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            return await do(app, pilot)

    return asyncio.run(run())


def showing(picture, size=(80, 20), theme="textual-dark", **options):
    """The chart's lines as strips, and what the chart then says of itself."""

    async def do(app, pilot):
        app.theme = theme
        await pilot.pause()
        app.chart.show(picture(app.chart) if callable(picture) else picture)
        await pilot.pause()
        return lines(app.chart), facts(app.chart)

    return on_screen(do, size, **options)


def lines(chart):
    return chart.render_lines(Region(0, 0, *chart.size))


def facts(chart):
    return SimpleNamespace(
        size=chart.size,
        cells=chart.cells,
        dots=chart.dots,
        value_range=chart.value_range,
        x_at=[chart.x_at(column) for column in range(chart.size.width)].__getitem__,
    )


def texts(strips):
    return [strip.text for strip in strips]


def style_at(strip, column):
    """The rich style of a cell."""
    for segment in strip:
        if column < segment.cell_length:
            return segment.style
        column -= segment.cell_length
    raise AssertionError("beside the line")


def envelope(values, begin=BEGIN, end=BEGIN + 30 * SECOND, **flags):
    values = np.asarray(values, np.float64)
    none = np.zeros(len(values), np.bool_)
    parts = {"gap": none, "infinite": none, "before": None, "after": None, **flags}
    return Envelope(begin, end, values, values, values, values, **parts)


def wave(count, phase=0.0):
    return np.sin(np.arange(count) / count * 12 + phase)


def trace(values, label="temp", colour="blue", unit="°C", latest="21.5", **flags):
    return Trace(label, colour, unit, envelope(values, **flags), latest)


def picture(*traces, **rest):
    return Picture("rig", BEGIN, BEGIN + 30 * SECOND, traces=traces, **rest)


def full(chart):
    """A picture of everything there is."""
    values = wave(chart.dots)
    cells = chart.cells
    runs = [StateRun(0, cells // 2, "open"), StateRun(cells // 2 + 1, cells // 2 + 1, None)]
    return picture(
        trace(values, infinite=np.arange(chart.dots) == 3),
        trace(-values, label="druck", colour=1, unit="bar"),
        states=[StateTrace("valve", "cyan", runs, "open")],
        cursor_x=BEGIN + 10 * SECOND,
        cursor_text="14:13:30.000 000 000",
        marks=[(BEGIN + 15 * SECOND, BEGIN + 20 * SECOND, "mark-1"), (BEGIN + 25 * SECOND, None, "mark-2")],
        note="silent since 14:13:20",
        dim=True,
    )


def plot_of(strips, chart):
    """The text of the lines with an axis, without it."""
    left = chart.size.width - chart.cells
    return [text[left:] for text in texts(strips) if text[:left].endswith(("│", "┤"))]


# sizes


@pytest.mark.parametrize("charset", ["braille", "blocks", "ascii"])
@pytest.mark.parametrize("size", SIZES)
def test_a_chart_of_any_size_fills_its_lines(size, charset):
    strips, chart = showing(full, size, charset=charset)
    assert [strip.cell_length for strip in strips] == [size[0]] * size[1]
    assert [sum(segment.cell_length for segment in strip) for strip in strips] == [size[0]] * size[1]
    assert chart.dots >= 1


def test_a_chart_is_drawn_anew_whenever_the_screen_changes_its_size():
    async def do(app, pilot):
        app.chart.show(full(app.chart))  # of the first size, as when the next picture is late
        for size in [*SIZES, *reversed(SIZES)]:
            await pilot.resize_terminal(*size)
            await pilot.pause()
            strips = lines(app.chart)
            assert [strip.cell_length for strip in strips] == [size[0]] * size[1]
            app.chart.show(full(app.chart))
            assert "rig" in texts(lines(app.chart))[0] or size[0] < 24

    on_screen(do)


def test_twenty_by_five_still_shows_name_trace_and_time():
    strips, _ = showing(lambda chart: picture(trace(wave(chart.dots))), (20, 5))
    shown = texts(strips)
    assert "temp" in shown[0]
    assert any(0x2800 < ord(each) < 0x2900 for text in shown[1:4] for each in text)
    assert "14:13" in shown[4]


def test_a_chart_without_a_picture_is_blank():
    async def do(app, pilot):
        return texts(lines(app.chart))

    assert on_screen(do, (10, 3)) == [" " * 10] * 3


@pytest.mark.parametrize("end", [BEGIN, BEGIN - 5])
def test_a_range_without_extent_is_no_harm(end):
    strips, chart = showing(lambda chart: replace(full(chart), end=end), (40, 10))
    assert len(strips) == 10
    assert chart.x_at(20) is None


# what is seen


@pytest.mark.parametrize("at", [0, 1, 57, 142, 143])
def test_a_spike_is_seen_from_top_to_bottom_in_its_column(at):
    def spiky(chart):
        assert chart.dots == 144
        values = np.zeros(144)
        peaks = values.copy()
        peaks[at] = 1.0
        spiked = replace(envelope(values), high=peaks)
        return picture(Trace("temp", "blue", "", spiked, ""))

    strips, chart = showing(spiky)
    low, high = chart.value_range
    assert low <= 0 < 1 <= high
    column = [text[at // 2] for text in plot_of(strips, chart)]
    bits = 0b01000111 if at % 2 == 0 else 0b10111000
    assert (
        sum(ord(each) >= 0x2800 and ord(each) - 0x2800 & bits == bits for each in column) >= len(column) - 3
    )


def test_a_gap_is_seen_as_a_gap():
    def gappy(chart):
        values = np.ones(chart.dots)
        values[40:60] = math.nan
        return picture(trace(values, gap=np.arange(chart.dots) == 60))

    strips, chart = showing(gappy)
    line = next(text for text in plot_of(strips, chart) if "⠒⠒⠒" in text or "⠤⠤⠤" in text or "⠉⠉⠉" in text)
    solid = {"⠒", "⠤", "⠉", "⣀"} & set(line[:20])
    assert not solid & set(line[20:30])
    assert len(solid & set(line[30:])) == 1


def test_infinities_are_marked_at_the_edges():
    def infinite(chart):
        flags = [np.arange(chart.dots) == each for each in (6, 8)]
        values = np.where(flags[0] | flags[1], math.nan, 1.0)
        return picture(
            Trace(
                "t",
                "blue",
                "",
                replace(envelope(values), infinite=flags[0] | flags[1], above=flags[0], below=flags[1]),
                "inf",
            )
        )

    strips, chart = showing(infinite)
    plot = plot_of(strips, chart)
    assert (plot[0][3], plot[-1][4]) == ("∞", "∞")


def test_the_axes_have_round_values_and_round_times_in_the_zone():
    strips, _ = showing(lambda chart: picture(trace(wave(chart.dots))))
    shown = texts(strips)
    ticks = [text[:6].strip() for text in shown if "┤" in text]
    assert "0.5" in ticks
    assert "-0.5" in ticks
    assert "14:13:30" in shown[-1]
    zone = timezone(timedelta(hours=2))
    strips, _ = showing(lambda chart: picture(trace(wave(chart.dots)), zone=zone))
    assert "16:13:30" in texts(strips)[-1]


def test_a_time_stands_under_its_own_place():
    strips, chart = showing(lambda chart: picture(trace(wave(chart.dots))))
    shown = texts(strips)
    at = shown[-1].index("14:13:30") + 4  # its middle
    assert shown[-2][at] == "┬"
    x = chart.x_at(at)
    assert abs(x - (BEGIN + 10 * SECOND)) <= 30 * SECOND / chart.cells


def test_an_abscissa_that_is_a_number_is_told_as_one():
    def number(chart):
        values = trace(wave(chart.dots), begin=0.0, end=100.0)
        return Picture("rig", 0.0, 100.0, axis="number", traces=[values])

    strips, chart = showing(number)
    assert {"20", "40", "60"} <= set(texts(strips)[-1].split())
    assert chart.x_at(79) == pytest.approx(100 - 50 / chart.cells)


def test_long_values_get_a_wider_gutter_at_the_next_picture():
    async def do(app, pilot):
        for _ in range(2):
            app.chart.show(picture(trace(1.2345678e-7 + 1e-13 * wave(app.chart.dots))))
            await pilot.pause()
        return texts(lines(app.chart)), app.chart.cells

    shown, cells = on_screen(do)
    assert cells == 80 - 19
    assert any(text.startswith("     1.23456") and "e-7 ┤" in text for text in shown)


def test_the_legend_names_each_signal_with_its_latest_value_and_unit_at_the_right():
    strips, _ = showing(
        lambda chart: picture(trace(wave(chart.dots)), trace(wave(chart.dots), "druck", "red", "bar", "0.9"))
    )
    assert texts(strips)[0] == " rig" + "● temp 21.5 °C  ● druck 0.9 bar ".rjust(76)
    colours = [style_at(strips[0], texts(strips)[0].index(name)).color for name in ("temp", "druck")]
    assert colours == [hue_of(name, True).rich_color for name in ("blue", "red")]


def test_values_keep_their_places_when_they_get_shorter():
    async def do(app, pilot):
        shown = []
        for latest in ("-21.55", "3"):
            app.chart.show(picture(trace(wave(app.chart.dots), latest=latest)))
            shown.append(texts(lines(app.chart))[0])
        return shown

    long, short = on_screen(do)
    assert long.index("●") == short.index("●")
    assert "     3 °C" in short


@pytest.mark.parametrize("size", [(30, 8), (20, 5), (120, 5)])
def test_a_legend_that_does_not_fit_tells_how_many_are_left_out(size):
    def many(chart):
        return picture(*(trace(wave(chart.dots), f"signal_{number}", number) for number in range(200)))

    strips, _ = showing(many, size)
    legend = " ".join(texts(strips)[:2])
    left_out = int(legend.rpartition("+")[2].split()[0])
    assert legend.count("●") + left_out == 200


def test_text_from_the_network_steers_nothing():
    hostile = "\x1b[2J\u202eevil\n"

    def evil(chart):
        return replace(
            picture(trace(wave(chart.dots), hostile, hostile, hostile, hostile)),
            title=hostile,
            note=hostile,
            cursor_x=BEGIN,
            cursor_text=hostile,
            marks=[(BEGIN, None, hostile)],
            states=[StateTrace(hostile, 3, [StateRun(0, chart.cells - 1, hostile)], hostile)],
        )

    strips, _ = showing(evil, (120, 20))
    assert all(text.isprintable() for text in texts(strips))
    assert "\\x1b[2J" in texts(strips)[0]


def test_wide_characters_keep_the_lines_in_order():
    def wide(chart):
        states = [StateTrace("弁の位置", 3, [StateRun(2, 8, "開いている"), StateRun(9, 40, "閉")], "閉")]
        return replace(picture(trace(wave(chart.dots), "温度"), states=states), title="試験台")

    for width in range(3, 60, 4):
        strips, _ = showing(wide, (width, 9))
        assert [sum(segment.cell_length for segment in strip) for strip in strips] == [width] * 9


# states, cursor, marks, silence


def test_a_state_has_a_strip_with_its_names():
    def stateful(chart):
        runs = [StateRun(0, 19, "open"), StateRun(20, 20, None), StateRun(30, 71, "closed")]
        return picture(trace(wave(chart.dots)), states=[StateTrace("valve", "cyan", runs, "closed")])

    strips, _ = showing(stateful)
    row = next(number for number, text in enumerate(texts(strips)) if number and "valve" in text)
    text = texts(strips)[row]
    assert text == "  valve  open" + " " * 15 + "▒" + " " * 9 + " closed" + " " * 35
    grounds = [style_at(strips[row], 8 + cell).bgcolor for cell in (0, 19, 25, 30)]
    assert grounds[0] == grounds[1] != grounds[2] != grounds[3] != grounds[0]


def test_a_flag_that_is_set_stands_out():
    def flagged(chart):
        runs = [StateRun(0, 29, "false"), StateRun(30, 71, "true")]
        return picture(trace(wave(chart.dots)), states=[StateTrace("alarm", "red", runs, "true")])

    strips, _ = showing(flagged)
    strip = next(each for each in strips[1:] if "alarm" in each.text)
    off, on = (Color.from_rich_color(style_at(strip, 8 + cell).bgcolor) for cell in (0, 71))
    assert on.r > off.r * 2


def test_states_alone_need_no_value_axis():
    runs = [StateRun(0, 143, "on")]
    strips, _ = showing(picture(states=[StateTrace("pump", 0, runs, "on", columns=144)]), (80, 8))
    assert sum("┤" in text for text in texts(strips)) == 0
    assert style_at(strips[1], 79) == style_at(strips[1], 8) == style_at(strips[2], 8)


def test_states_in_three_lines_have_their_times():
    runs = [StateRun(0, 143, "on")]
    strips, _ = showing(picture(states=[StateTrace("pump", 0, runs, "on", columns=144)]), (80, 3))
    assert ":" in texts(strips)[2]


def test_the_cursor_stands_at_its_time_and_tells_it():
    def pointed(chart):
        return picture(
            trace(wave(chart.dots)), cursor_x=BEGIN + 15 * SECOND, cursor_text="14:13:35.000 000 000"
        )

    strips, chart = showing(pointed)
    assert "14:13:35.000 000 000" in texts(strips)[-1]
    column = 8 + chart.cells // 2
    plot = [strip for strip in strips if strip.text[7] in "│┤"]
    assert sum(strip.text[column] == "│" for strip in plot) >= len(plot) - 4
    grounds = {style_at(strip, column).bgcolor for strip in plot}
    assert len(grounds) == 1
    assert grounds != {style_at(plot[0], column - 1).bgcolor}
    assert abs(chart.x_at(column) - (BEGIN + 15 * SECOND)) <= 30 * SECOND / chart.cells


@pytest.mark.parametrize("x", [BEGIN - 1, BEGIN + 30 * SECOND, 0, -5, 2**63])
def test_a_cursor_beside_the_picture_is_not_shown(x):
    strips, _ = showing(lambda chart: picture(trace(wave(chart.dots)), cursor_x=x, cursor_text="CURSOR"))
    assert not any("CURSOR" in text for text in texts(strips))


def test_marks_are_shaded_and_named_without_hiding_a_dot():
    def marked(chart):
        return picture(
            trace(wave(chart.dots)),
            marks=[
                (BEGIN + 5 * SECOND, BEGIN + 15 * SECOND, "mark-1"),
                (BEGIN + 25 * SECOND, None, "hot"),
                (0, BEGIN - 1, "long-ago"),
            ],
        )

    plain, chart = showing(lambda chart: picture(trace(wave(chart.dots))))
    strips, _ = showing(marked)
    assert any("mark-1" in text for text in texts(strips))
    assert not any("long-ago" in text for text in texts(strips))
    row = 4
    ground = [style_at(strips[row], column).bgcolor for column in range(80)]
    shaded = [column for column in range(8, 80) if ground[column] != ground[8]]
    assert shaded == [*range(20, 45), *range(68, 80)]
    for before, after in zip(plot_of(plain, chart), plot_of(strips, chart), strict=True):
        for one, other in zip(before, after, strict=True):
            assert one == other or other in "mark-1hot"


def test_a_silent_channel_is_dim_and_says_since_when():
    bright, _ = showing(lambda chart: picture(trace(wave(chart.dots))))
    strips, _ = showing(
        lambda chart: picture(trace(wave(chart.dots)), dim=True, note="silent since 14:13:20")
    )
    assert " rig  silent since 14:13:20 " in texts(strips)[0]
    brightness = [
        Color.from_rich_color(style_at(each[0], each[0].text.index("temp")).color).brightness
        for each in (bright, strips)
    ]
    assert brightness[1] < brightness[0] * 0.8


# terminals and themes


def test_without_utf_8_everything_is_ascii():
    strips, chart = showing(full, charset="ascii")
    assert all(text.isascii() for text in texts(strips))
    assert chart.dots == chart.cells
    assert any("'" in text and "." in text for text in texts(strips))


@pytest.mark.parametrize(("dark", "background"), [(True, "#121212"), (False, "#e0e0e0"), (True, "#0f131a")])
@pytest.mark.parametrize("name", COLOURS)
def test_each_colour_can_be_told_from_the_background(name, dark, background):
    def luminance(colour):  # WCAG 2.1, relative luminance
        parts = [
            each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in colour.normalized
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    one, other = sorted(luminance(each) for each in (hue_of(name, dark), Color.parse(background)))
    assert (other + 0.05) / (one + 0.05) >= 3


@pytest.mark.parametrize(
    "colour", ["no colour", "", "#12", "rgb(1,2", "red 50%", -7, 10**9, "#ff0000", "ansi_red"]
)
def test_any_colour_is_some_colour(colour):
    strips, _ = showing(lambda chart: picture(trace(wave(chart.dots), colour=colour)))
    assert "temp" in texts(strips)[0]


@pytest.mark.parametrize("theme", ["textual-light", "nord", "ansi-dark", "ansi-light"])
def test_another_theme_has_other_colours_at_once(theme):
    async def do(app, pilot):
        if theme not in app.available_themes:
            return None
        app.chart.show(full(app.chart))
        await pilot.pause()
        before = lines(app.chart)
        app.theme = theme
        await pilot.pause()
        after = lines(app.chart)
        assert texts(after) == texts(before)
        return style_at(before[3], 9).bgcolor, style_at(after[3], 9).bgcolor

    grounds = on_screen(do)
    assert grounds is None or grounds[0] != grounds[1]


# thrift and hands


def test_only_lines_that_changed_are_painted_again():
    async def do(app, pilot):
        chart, painted = app.chart, []
        chart.show(picture(trace(wave(chart.dots))))
        await pilot.pause()
        refresh = chart.refresh
        chart.refresh = lambda *regions, **rest: (painted.append(regions), refresh(*regions, **rest))
        chart.show(picture(trace(wave(chart.dots))))
        assert painted == []
        chart.show(picture(trace(wave(chart.dots), latest="22.5")))
        assert painted == [(Region(0, 0, 80, 1),)]
        await pilot.pause()
        return texts(lines(chart))

    assert "22.5" in on_screen(do)[0]


def test_a_run_of_one_colour_is_one_segment():
    strips, _ = showing(lambda chart: picture(trace(wave(chart.dots))))
    assert all(len(list(strip)) < 60 for strip in strips)
    flat, _ = showing(lambda chart: picture(trace(np.ones(chart.dots))), charset="blocks")
    assert max(len(list(strip)) for strip in flat[2:-2]) <= 4


def test_the_value_axis_follows_the_data_until_it_is_fixed():
    async def do(app, pilot):
        chart = app.chart
        chart.show(picture(trace(10 * wave(chart.dots))))
        free = chart.value_range
        chart.fix(-2, 3)
        fixed = chart.value_range
        chart.show(picture(trace(100 * wave(chart.dots))))
        still = chart.value_range
        chart.fix(low=0)
        half = chart.value_range
        chart.fix()
        return free, fixed, still, half, chart.value_range

    free, fixed, still, half, again = on_screen(do)
    assert free[0] <= -9.9
    assert free[1] >= 9.9
    assert fixed == still == (-2, 3)
    assert half[0] == 0
    assert half[1] >= 99
    assert again[0] <= -99


def test_a_click_picks_the_moment_under_the_mouse():
    async def do(app, pilot):
        app.chart.show(full(app.chart))
        await pilot.click(Chart, offset=(44, 5))
        await pilot.click(Chart, offset=(3, 5))  # beside the picture
        await pilot.pause()
        return app.told, facts(app.chart)

    told, chart = on_screen(do)
    assert [type(each) for each in told] == [Chart.Picked]
    assert told[0].x == chart.x_at(44) == BEGIN + 30 * SECOND * (2 * 36 + 1) // (2 * 72)
    assert told[0].control is told[0].chart


def test_the_wheel_zooms_around_the_moment_under_the_mouse():
    from textual import events

    async def do(app, pilot):
        app.chart.show(full(app.chart))
        for kind in (events.MouseScrollUp, events.MouseScrollDown):
            app.chart.post_message(kind(app.chart, 44, 5, 0, 1, 0, False, False, False))
            await pilot.pause()
        return app.told, facts(app.chart)

    told, chart = on_screen(do)
    assert [(each.factor, each.x) for each in told] == [(0.8, chart.x_at(44)), (1.25, chart.x_at(44))]


def test_pulling_the_picture_moves_the_window_and_picks_nothing():
    async def do(app, pilot):
        app.chart.show(full(app.chart))
        await pilot.mouse_down(Chart, offset=(44, 5))
        await pilot.hover(Chart, offset=(40, 5))
        await pilot.hover(Chart, offset=(42, 5))
        await pilot.mouse_up(Chart, offset=(42, 5))
        await pilot.hover(Chart, offset=(50, 5))
        return app.told

    told = on_screen(do)
    assert all(isinstance(each, Chart.Dragged) for each in told)
    assert sum(each.by for each in told) == 4 * 30 * SECOND // 72 + -2 * 30 * SECOND // 72


def test_the_focus_is_seen():
    async def do(app, pilot):
        first, second = app.query(Chart)
        for chart in (first, second):
            chart.show(picture(trace(wave(chart.dots))))
        seen = []
        for focused in (first, second):
            focused.focus()
            await pilot.pause()
            seen.append([texts(lines(chart))[0][0] for chart in (first, second)])
        return seen

    assert on_screen(do, charts=2) == [["▌", " "], [" ", "▌"]]


def test_charts_of_one_width_have_their_times_at_the_same_places_whatever_they_show():
    async def do(app, pilot):
        first, second = app.query(Chart)
        first.has_times = False
        first.show(picture(trace(wave(first.dots))))
        second.show(full(second))
        await pilot.pause()
        return first.dots, second.dots, texts(lines(first))

    one, other, shown = on_screen(do, charts=2)
    assert one == other
    assert not any("14:13" in text for text in shown)


def test_the_zone_is_utc_unless_told():
    assert Picture("rig", 0, 1).zone is UTC
