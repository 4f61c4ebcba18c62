"""The map joined with the server's records: points to write, and a table of all that is wrong."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from speeddata.haystack import joining
from speeddata.haystack.joining import Problem, by_key, ids_of, join
from speeddata.haystack.kinds import MARKER, Number, Rec, Ref
from speeddata.haystack.points import MILLISECOND_NS, SECOND_NS, Point
from speeddata.haystack.rules import Entry

ENTRY = Entry("rig", "ramp", "double", "Number", key="rig.ramp", unit="kW")
REC: Rec = {
    "id": Ref("p:demo:r:1", "Ramp of the rig"),
    "point": MARKER,
    "his": MARKER,
    "kind": "Number",
    "unit": "kW",
    "tz": "New_York",
    "speeddataKey": "rig.ramp",
}
NAME = '@p:demo:r:1 "Ramp of the rig"'


def joined(entry: Entry = ENTRY, rec: Rec = REC, **options) -> joining.Joined:
    return join([entry], {}, {"rig.ramp": [rec]}, **options)


def changed(**tags: object) -> Rec:
    return {name: tag for name, tag in (REC | tags).items() if tag is not None}


def the_problem(entry: Entry = ENTRY, rec: Rec = REC, **options) -> Problem:
    """The one problem; the point is there but when it is fatal."""
    found = joined(entry, rec, **options)
    (problem,) = found.problems
    assert len(found.points) == (0 if problem.fatal else 1)
    assert (problem.channel, problem.signal) == ("rig", "ramp")
    return problem


def test_a_point_is_what_the_server_says_and_how_the_map_writes_it():
    entry = replace(
        ENTRY, scale=2.0, offset=1.0, on_change=True, deadband=0.5, heartbeat_ns=10**9, dis="of the map"
    )
    assert joined(entry).problems == []
    assert joined(entry).points == [
        Point(
            id="p:demo:r:1",
            dis="Ramp of the rig",
            channel="rig",
            signal="ramp",
            kind="Number",
            zone="New_York",
            unit="kW",
            precision_ns=SECOND_NS,
            scale=2.0,
            offset=1.0,
            on_change=True,
            deadband=0.5,
            heartbeat_ns=10**9,
        )
    ]


def test_points_are_found_by_id_or_by_key():
    other = replace(ENTRY, signal="sine", key=None, id="a")
    entries = [other, ENTRY, replace(ENTRY, signal="b", key=None, id="a")]
    assert ids_of(entries) == ["a"]
    found = join([other, ENTRY], {"a": changed(id=Ref("a"), dis="A")}, {"rig.ramp": [REC]})
    assert [(point.id, point.dis, point.signal) for point in found.points] == [
        ("a", "A", "sine"),
        ("p:demo:r:1", "Ramp of the rig", "ramp"),
    ]


def test_records_are_found_by_the_text_of_their_key():
    recs = [changed(refName="x"), changed(refName="y"), changed(refName="x"), changed(refName=Number(1)), {}]
    found = by_key(recs, "refName")
    assert {key: len(found[key]) for key in found} == {"x": 2, "y": 1}


@pytest.mark.parametrize("rec", [None, {}, {"id": "no ref"}])
def test_an_id_that_the_server_does_not_know_leaves_the_signal_out(rec):
    found = join([replace(ENTRY, key=None, id="a")], {"a": rec}, {})
    what = "the server has no record of that id"
    assert found.points == []
    assert found.problems == [Problem("rig", "ramp", "@a", what, "correct the id in the map", True)]
    assert join([replace(ENTRY, key=None, id="a")], {}, {}).problems == found.problems


def test_a_key_without_a_point_leaves_the_signal_out():
    found = join([ENTRY], {}, {}, key_tag="refName")
    assert [problem.row() for problem in found.fatal] == [
        (
            "rig.ramp",
            "rig.ramp",
            "no point has that refName",
            "let `speeddata hxpush provision` make it, or write its id in the map",
        )
    ]


def test_two_points_with_one_key_leave_the_signal_out():
    found = join([ENTRY], {}, {"rig.ramp": [REC, changed(id=Ref("b"))]})
    assert [(problem.what, problem.mend) for problem in found.fatal] == [
        (f"2 points have that speeddataKey: {NAME}, @b", "write the id of the right one in the map")
    ]


def test_a_point_that_several_signals_would_write_is_written_by_none():
    twin = replace(ENTRY, channel="b", signal="x", key=None, id="p:demo:r:1")
    found = join([ENTRY, twin], {"p:demo:r:1": REC}, {"rig.ramp": [REC]})
    mend = "write skip = true for all but one of them, or another id or key"
    assert found.points == []
    assert found.problems == [
        Problem("rig", "ramp", NAME, "b.x would write this point too", mend, True),
        Problem("b", "x", NAME, "rig.ramp would write this point too", mend, True),
    ]


def test_problems_come_in_the_order_of_the_signals():
    entries = [replace(ENTRY, signal=name, key=name) for name in ("a", "b", "c", "d")]
    found = join(entries, {}, {"a": [REC], "c": [REC], "d": [changed(id=Ref("d"), tz=None)]})
    assert [problem.signal for problem in found.problems] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("tags", "what", "mend"),
    [
        ({"his": None}, "has no tag his, so the server keeps no history for it", "give it the tag his"),
        ({"point": None}, "has no tag point, so the server keeps no history for it", "give it the tag point"),
        ({"kind": None}, "has no tag kind", 'give it kind "Number"'),
        ({"tz": None}, "has no tag tz", 'give it a time zone, such as tz "UTC"'),
        (
            {"kind": "Bool"},
            "is of kind Bool, and the samples are Number",
            "name another point in the map, or change the point's kind",
        ),
        (
            {"kind": "\x1bCoord"},
            "is of kind \\x1bCoord, and the samples are Number",
            "name another point in the map, or change the point's kind",
        ),
        (
            {"aux": MARKER},
            "has the tag aux, so the server takes no history for it",
            "if it is not meant, write skip = true for the signal in the map",
        ),
        (
            {"tz": "New_Yrok\n"},
            "tz: 'New_Yrok\\x0a' is no time zone",
            "did you mean New_York",
        ),
    ],
)
def test_a_record_that_takes_no_such_history_leaves_the_signal_out(tags, what, mend):
    problem = the_problem(rec=changed(**tags))
    assert problem.fatal
    assert problem.what == what
    assert problem.mend.startswith(mend)


@pytest.mark.parametrize(
    ("mine", "theirs", "what", "mend"),
    [
        ("kW", "W", "is in W, and the samples are in kW", 'write scale = 1000, unit = "W" in the map'),
        ("degF", "°C", "is in °C, and the samples are in degF",
         'write scale = 0.555555555555556, offset = -17.7777777777778, unit = "°C" in the map'),
        ("°C", "K", "is in K, and the samples are in °C", 'write offset = 273.15, unit = "K" in the map'),
        ("%", "%RH", "is in %RH, and the samples are in %", 'write unit = "%RH" in the map'),
        ("V", "kW", "is in kW, and the samples are in V",
         "electric potential is no power: name another point in the map"),
        ("counts", "kW", "is in kW, and the samples are in counts",
         'if that is the same, write unit = "kW" in the map, with scale and offset if need be'),
        ("V", "_\x1b[m", "is in _\\x1b[m, and the samples are in V",
         'if that is the same, write unit = "_\\x1b[m" in the map, with scale and offset if need be'),
    ],
)  # fmt: skip
def test_another_unit_is_never_converted_without_a_word_in_the_map(mine, theirs, what, mend):
    problem = the_problem(replace(ENTRY, unit=mine), changed(unit=theirs))
    assert (problem.what, problem.mend, problem.fatal) == (what, mend, True)


def test_a_factor_goes_on_from_the_one_that_the_map_has():
    problem = the_problem(replace(ENTRY, unit="°C", scale=0.1, offset=-5.0), changed(unit="°F"))
    assert problem.mend == 'write scale = 0.18, offset = 23, unit = "°F" in the map'


@pytest.mark.parametrize(
    ("mine", "theirs"), [("degC", "°C"), ("kph", "km/h"), ("s", "sec"), ("foo", "_foo"), (None, "kW")]
)
def test_a_unit_in_other_letters_is_the_same_unit(mine, theirs):
    found = joined(replace(ENTRY, unit=mine), changed(unit=theirs))
    assert (found.problems, found.points[0].unit) == ([], theirs)


def test_a_point_without_a_unit_is_written_and_told():
    problem = the_problem(replace(ENTRY, unit="kph"), changed(unit=None))
    assert not problem.fatal
    assert (problem.what, problem.mend) == (
        "has no unit; the samples are in kph",
        'give it unit "km/h"',
    )


def test_units_are_of_numbers_only():
    entry = replace(ENTRY, sample_kind="Bool", type="boolean", unit="V")
    assert joined(entry, changed(kind="Bool")).problems == []


@pytest.mark.parametrize(
    ("wanted", "theirs", "sub_second", "precision_ns", "told"),
    [
        (None, None, False, SECOND_NS, ""),
        (None, None, True, SECOND_NS, "keeps whole seconds, the channel has several samples in each"),
        (MILLISECOND_NS, None, False, SECOND_NS, "keeps whole seconds, the map says 1ms"),
        (SECOND_NS, None, True, SECOND_NS, ""),
        (None, Number(1, "ms"), True, MILLISECOND_NS, ""),
        (None, Number(1.0, "ms"), True, MILLISECOND_NS, ""),
        (SECOND_NS, Number(1, "ms"), True, SECOND_NS, ""),
        (None, Number(1, "sec"), False, SECOND_NS, ""),
        (None, "1ms", True, SECOND_NS, "keeps whole seconds, the channel has several samples in each"),
    ],
)
def test_samples_that_a_point_would_merge_are_told_before_they_are_lost(
    wanted, theirs, sub_second, precision_ns, told
):
    entry = replace(ENTRY, precision_ns=wanted)
    found = joined(entry, changed(hisTsPrecision=theirs), sub_second={"rig"} if sub_second else ())
    assert found.points[0].precision_ns == precision_ns
    assert [problem.what for problem in found.problems] == (
        [f"{told}: one sample of a second is kept (the run counts the others)"] if told else []
    )
    assert [problem.mend for problem in found.problems] == (
        ['give the point hisTsPrecision 1ms, choose by --resample, or write precision = "1s" in the map']
        if told
        else []
    )


def test_the_time_zone_is_the_points_and_another_in_the_map_is_told():
    problem = the_problem(replace(ENTRY, zone="UTC"))
    assert not problem.fatal
    assert problem.what == "is in time zone New_York, the map says UTC; the point's is used"
    assert problem.mend == 'write tz = "New_York" in the map'
    assert joined(replace(ENTRY, zone="New_York")).problems == []


def test_a_disabled_point_is_written_and_told():
    problem = the_problem(rec=changed(disabled=MARKER))
    assert (problem.what, problem.fatal) == ("is disabled; it is written all the same", False)


def test_values_that_are_no_history_leave_the_signal_out():
    problem = the_problem(replace(ENTRY, type="bytes", sample_kind=None))
    assert problem.what == "values of type bytes are no history"


def test_a_kind_in_the_map_that_the_samples_are_not_leaves_the_signal_out():
    problem = the_problem(replace(ENTRY, kind="Str"))
    assert problem.what == "the map says Str, and its samples are Number"
    assert problem.mend == 'write kind = "Number" in the map'


def test_all_that_is_wrong_with_a_point_is_told_at_once():
    rec = changed(his=None, tz=None, unit="W", disabled=MARKER)
    assert [problem.fatal for problem in joined(rec=rec).problems] == [True, False, True, True]


def test_names_from_a_server_cannot_steer_a_terminal():
    problem = the_problem(rec=changed(dis='\x1b[2J"', his=None))
    assert problem.point == '@p:demo:r:1 "\\x1b[2J""'


def test_thousands_of_points_are_joined_in_a_moment():
    entries = [replace(ENTRY, signal=f"s{number}", key=f"s{number}", unit="degF") for number in range(5000)]
    recs = {f"s{number}": [changed(id=Ref(f"r{number}"), unit="°C", tz="Nowhere")] for number in range(5000)}
    start = time.perf_counter()
    assert len(join(entries, {}, recs).problems) == 10_000
    assert time.perf_counter() - start < 5
