"""Pages: the charts of a channel or of a layout, and what hands change on them."""

from __future__ import annotations

from speeddata.chart.layouts import ChartLayout, Layout, PageLayout
from speeddata.chart.pages import MAX_CHARTS, Page, Ref, matching, pages

KNOWN = {
    "rig": {"wave": "number", "temp1": "number", "temp2": "number", "word": "state", "taps": "text"},
    "pump": {"on": "state", "speed": "number"},
}


def signals(page, known=KNOWN):
    return [[str(ref) for ref in plan.signals] for plan in page.plans(known)]


def test_a_channel_has_a_chart_for_each_number_and_one_for_its_states():
    assert signals(Page("rig")) == [["rig.wave"], ["rig.temp1"], ["rig.temp2"], ["rig.word"]]


def test_together_those_of_one_unit_are_in_one_chart():
    units = {"temp1": "K", "temp2": "K"}
    page = Page("rig", together=True, unit_of=lambda ref: units.get(ref.signal, ""))
    assert signals(page) == [["rig.wave"], ["rig.temp1", "rig.temp2", "rig.word"]]
    assert signals(Page("pump", together=True), {"pump": {"on": "state"}}) == [["pump.on"]]


def test_together_they_have_colours_of_their_own():
    (plan,) = Page("rig", together=True).plans(KNOWN)
    assert plan.numbers == (Ref("rig", "wave"), Ref("rig", "temp1"), Ref("rig", "temp2"))
    assert plan.states == (Ref("rig", "word"),)
    assert plan.colours == (0, 1, 2)


def test_a_channel_that_is_not_known_yet_has_no_charts():
    assert Page("gone").plans(KNOWN) == []
    assert Page("gone", together=True).plans(KNOWN) == []


def test_a_signal_is_taken_off_and_put_on_again_and_others_are_put_on():
    page = Page("rig")
    page.toggle(Ref("rig", "temp1"), KNOWN)
    assert not page.shows(Ref("rig", "temp1"), KNOWN)
    page.toggle(Ref("rig", "temp1"), KNOWN)
    assert page.shows(Ref("rig", "temp1"), KNOWN)
    page.toggle(Ref("pump", "on"), KNOWN)
    assert signals(page)[-1] == ["pump.on"]
    page.toggle(Ref("pump", "on"), KNOWN)
    assert signals(page) == signals(Page("rig"))


def test_what_is_only_text_has_no_chart():
    page = Page("rig")
    page.toggle(Ref("rig", "taps"), KNOWN)
    assert signals(page) == signals(Page("rig"))


def test_a_colour_goes_with_the_signal_whatever_else_is_shown():
    page = Page("rig")
    before = {plan.key: plan.colours for plan in page.plans(KNOWN)}
    page.toggle(Ref("rig", "wave"), KNOWN)
    assert all(plan.colours == before[plan.key] for plan in page.plans(KNOWN))


LAYOUT = Layout(
    (
        PageLayout("rig", (ChartLayout(("rig.t*", "rig.word"), "heat", (0.0, 9.0), ("red",)),)),
        PageLayout("all", (ChartLayout(("*.speed", "gone.*")), ChartLayout(("gone.x",)))),
    )
)


def test_pages_of_a_layout_come_first_and_take_the_place_of_the_channels_own():
    found = pages(LAYOUT, ["pump", "rig"])
    assert [page.name for page in found] == ["rig", "all", "pump"]
    (plan,) = found[0].plans(KNOWN)
    assert (plan.title, plan.range, plan.colours) == ("heat", (0.0, 9.0), (3, 0))
    assert signals(found[1]) == [["pump.speed"]]


def test_pages_that_were_there_keep_what_was_changed_on_them():
    first = pages(Layout(), ["rig"])
    first[0].together = True
    assert pages(Layout(), ["pump", "rig"], first)[1] is first[0]


def test_a_page_as_it_is_seen_is_a_layout_that_shows_the_same():
    page = Page("rig", ranges={"rig.wave": (-1.0, 1.0)})
    page.toggle(Ref("pump", "speed"), KNOWN)
    kept = Page("rig", page.as_layout(KNOWN, 5))
    assert [(plan.signals, plan.colours, plan.range) for plan in kept.plans(KNOWN)] == [
        (plan.signals, plan.colours, plan.range) for plan in page.plans(KNOWN)
    ]
    assert kept.layout is not None
    assert kept.layout.window_ns == 5


def test_a_channel_of_thousands_of_signals_shows_the_first_ones():
    known = {"rig": {f"s{number}": "number" for number in range(4096)}}
    assert len(Page("rig").plans(known)) == MAX_CHARTS


def test_globs_are_of_channel_and_signal_and_each_signal_comes_once():
    refs = [Ref(channel, signal) for channel, those in KNOWN.items() for signal in those]
    assert matching(["rig.temp2", "rig.t*"], refs) == [
        Ref("rig", "temp2"),
        Ref("rig", "temp1"),
        Ref("rig", "taps"),
    ]
    assert matching(["RIG.wave"], refs) == []
