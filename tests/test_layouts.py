"""Layouts: pages of charts read from speeddata.toml, and saved there without touching the rest."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.chart.layouts import (
    COLOURS,
    ChartLayout,
    Layout,
    PageLayout,
    parse,
    saved,
    text_of,
    window_text,
)
from speeddata.errors import UsageError
from speeddata.timerange import SECOND_NS, duration_ns

TEXT = """
[[tui.page]]
name = "overview"
window = "30s"

[[tui.page.chart]]
signals = ["rig.sine_wave", "rig.temp*"]
title = "heat"
range = [-1, 1]
colours = ["red", "blue"]

[[tui.page.chart]]
signals = ["pump.*"]
range = [0, "auto"]

[[tui.page]]
name = "pumps"
"""
LAYOUT = Layout(
    (
        PageLayout(
            "overview",
            (
                ChartLayout(("rig.sine_wave", "rig.temp*"), "heat", (-1.0, 1.0), ("red", "blue")),
                ChartLayout(("pump.*",), range=(0.0, None)),
            ),
            30 * SECOND_NS,
        ),
        PageLayout("pumps"),
    )
)


def read(text: str) -> Layout:
    return parse(tomllib.loads(text).get("tui", {}), "speeddata.toml")


def test_pages_hold_charts_with_signals_ranges_colours_and_a_window():
    assert read(TEXT) == LAYOUT


def test_a_file_without_pages_is_an_empty_layout():
    assert read("[tui]\nwindow = '10s'\n") == Layout()


def test_what_is_written_is_what_is_read():
    assert read(text_of(LAYOUT)) == LAYOUT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[tui.page]]\n", "tui.page[1].name: is missing"),
        ("[[tui.page]]\nname = ' '\n", 'tui.page[1].name: a page needs a name; write name = "overview"'),
        ("[[tui.page]]\nname = 'a'\nwidth = 1\n", "tui.page[1].width: no such setting; known are"),
        ("[[tui.page]]\nname = 'a'\nwindw = 1\n", "tui.page[1].windw: no such setting; did you mean window?"),
        (
            "[[tui.page]]\nname = 'a'\n[[tui.page]]\nname = 'a'\n",
            "tui.page[2].name: the page 'a' is there twice",
        ),
        ("[[tui.page]]\nname = 'a'\nwindow = 'long'\n", "tui.page[1].window: 'long' is no duration"),
        ("[[tui.page]]\nname = 'a'\nwindow = 0\n", "tui.page[1].window: a window has to last"),
        ("[[tui.page]]\nname = 'a'\nwindow = [1]\n", "tui.page[1].window: '[1]' is not text"),
        ("[[tui.page]]\nname = 5\n", "tui.page[1].name: '5' is not text"),
        ("[tui]\npage = 5\n", "tui.page: is no list of tables; write [[tui.page]]"),
        ("[tui.page]\nname = 'a'\n", "tui.page: is no list of tables"),
        ("[[tui.page]]\nname = 'a'\nchart = ['x']\n", "tui.page[1].chart: is no list of tables"),
        (
            "[[tui.page]]\nname = 'a'\n[[tui.page.chart]]\n",
            "tui.page[1].chart[1].signals: a chart needs signals",
        ),
        ("CHART signals = [1]", "tui.page[1].chart[1].signals: '[1]' is not a list of text"),
        ("CHART signals = 'a'\ncolors = ['red']", "chart[1].colors: no such setting; did you mean colours?"),
        ("CHART signals = 'a'\ncolours = ['rad']", "chart[1].colours: no colour 'rad'; did you mean red?"),
        ("CHART signals = 'a'\nrange = 'automatic'", "chart[1].range: automatic is no range; write [-1, 1]"),
        ("CHART signals = 'a'\nrange = [1, -1]", "chart[1].range: 1 is not below -1"),
        ("CHART signals = 'a'\nrange = [0, nan]", "chart[1].range: [0, nan] is no range"),
        ("CHART signals = 'a'\nrange = [true, 5]", "chart[1].range: [True, 5] is no range"),
        ("CHART signals = 'a'\nrange = [1, 2, 3]", "chart[1].range: [1, 2, 3] is no range"),
    ],
)
def test_a_wrong_layout_is_refused_by_file_and_key(text, message):
    text = text.replace("CHART", "[[tui.page]]\nname = 'a'\n[[tui.page.chart]]\n")
    with pytest.raises(UsageError) as caught:
        read(text)
    told = str(caught.value)
    assert told.startswith("speeddata.toml: tui.page")
    assert message in told
    assert "\n" not in told


REST = """\
# at the top
interface = "lo"   # 1

[relay]  # [[tui.page]]
output = '''
[[tui.page]]
name = "no heading"
'''
listen = [ # an array
  [1],
]

# how it looks
[tui]
window = "1m"
"""
AFTER = "\n# what follows\n[ channels . 'a.b' ]\nlisten = 5\n\n# the end"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("pages", ["", TEXT])
def test_saving_leaves_all_that_is_no_page_as_it_was_byte_for_byte(pages, line_end):
    old = (REST + pages + AFTER).replace("\n", line_end)
    other = Layout((PageLayout("new", (ChartLayout(("a.b",)),)),))
    new = saved(old, other)
    assert read(new) == other
    before, after = REST.replace("\n", line_end), AFTER.replace("\n", line_end)
    assert new.startswith(before)
    rest = new.removeprefix(before).replace(text_of(other).replace("\n", line_end), "")
    assert rest.strip() == after.strip()
    if pages:
        assert new.endswith(after)


def test_saving_again_changes_nothing():
    once = saved(REST + TEXT + AFTER, LAYOUT)
    assert saved(once, LAYOUT) == once


def test_pages_are_put_at_the_end_of_a_file_that_has_none_and_into_an_empty_one():
    assert saved("", LAYOUT) == text_of(LAYOUT)
    assert saved("factor = 5", LAYOUT) == "factor = 5\n\n" + text_of(LAYOUT)


def test_comments_before_the_first_page_stay():
    old = "factor = 5\n\n# pages:\n[[tui.page]]\nname = 'a'\n"
    assert saved(old, Layout((PageLayout("b"),))) == 'factor = 5\n\n# pages:\n\n[[tui.page]]\nname = "b"\n'


@pytest.mark.parametrize(
    "old",
    ["tui = {page = [{name = 'a'}]}\n", "[tui]\npage = [{name = 'a'}]\n", "tui.page = [{name = 'a'}]\n"],
)
def test_pages_that_are_written_inline_are_not_replaced_but_told(old):
    with pytest.raises(
        UsageError, match=r"tui.page: its pages cannot be replaced; write them as \[\[tui.page\]\]"
    ):
        saved(old, LAYOUT)


def test_a_page_takes_the_place_of_the_one_of_its_name():
    page = PageLayout("overview", (), 5)
    assert LAYOUT.with_page(page).pages == (page, PageLayout("pumps"))
    assert [each.name for each in LAYOUT.with_page(PageLayout("third")).pages] == [
        "overview",
        "pumps",
        "third",
    ]


@given(st.integers(1, 10**18))
def test_windows_are_written_exactly(window_ns):
    assert duration_ns(window_text(window_ns)) == window_ns


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
charts = st.builds(
    ChartLayout,
    st.lists(texts, min_size=1, max_size=3).map(tuple),
    texts,
    st.none() | st.tuples(st.floats(-1e9, 0), st.none() | st.floats(1, 1e300)),
    st.lists(st.sampled_from(COLOURS), max_size=3).map(tuple),
)
printable = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=12)
layouts = st.lists(
    st.builds(
        PageLayout, printable, st.lists(charts, max_size=3).map(tuple), st.none() | st.integers(1, 10**17)
    ),
    max_size=3,
    unique_by=lambda page: page.name,
).map(lambda pages: Layout(tuple(pages)))


@given(layouts, layouts)
def test_any_layout_can_be_saved_over_any_other(old, new):
    text = saved(REST + text_of(old) + AFTER, new)
    assert read(text) == new
    assert text.startswith(REST)
