"""Series: their ids for ever, what patterns want, and what of a schema is none."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from speeddata.avro.schema import Schema, parse
from speeddata.errors import UsageError
from speeddata.subscription.series import (
    LeftOut,
    Pattern,
    Series,
    all_series,
    expand,
    leaf,
    left_out,
    series_id,
    steps,
)


def record(*fields: tuple[str, object] | tuple[str, object, str]) -> Schema:
    given = [dict(zip(("name", "type", "unit"), each, strict=False)) for each in fields]
    return parse(json.dumps({"type": "record", "name": "r", "fields": given}))


TIME = ("time", "long", "ns")
POINT = {
    "type": "record",
    "name": "point",
    "fields": [
        {"name": "x", "type": "double", "unit": "m"},
        {"name": "axes", "type": ["null", {"type": "array", "items": "float", "length": 2}], "unit": "mm"},
        {"name": "raw", "type": "bytes"},
    ],
}
RIG = record(
    TIME,
    ("sine_wave", "double", "V"),
    ("state", {"type": "enum", "name": "state", "symbols": ["ON", "OFF"]}),
    ("position", ["null", POINT]),
    ("wave", {"type": "array", "items": "int", "length": 3}, "A"),
)


def names(*patterns: str, channels: dict[str, Schema] | None = None) -> list[str]:
    found = expand(
        map(Pattern.parse, patterns), channels or {"Rig": RIG, "pump": record(TIME, ("rpm", "int"))}
    )
    return [f"{each.channel}/{each.signal}" for each in found]


def test_ids_are_these_for_ever():
    # made by hand with RFC 9562, 5.5: SHA-1 of the bytes of the namespace's id and of the name
    assert series_id("rig", "sine_wave") == UUID("d4ffde8a-dbd6-5f24-b047-53b2f6b3069e")
    assert series_id("Rig", "sine_wave") == UUID("d4ffde8a-dbd6-5f24-b047-53b2f6b3069e")
    assert series_id("rig", "position.axes[1]") == UUID("3b84d807-401b-52cf-881e-f2c944826ab6")
    assert series_id("rig", "Sine_wave") == UUID("bcf6052c-d0da-5d22-9255-ee03353d1355")


def test_leaves_of_records_and_items_of_arrays_are_series_and_the_abscissa_is_none():
    assert all_series("Rig", RIG) == [
        Series(series_id("rig", "sine_wave"), "Rig", "sine_wave", "V"),
        Series(series_id("rig", "state"), "Rig", "state", None),
        Series(series_id("rig", "position.x"), "Rig", "position.x", "m"),
        Series(series_id("rig", "position.axes[0]"), "Rig", "position.axes[0]", "mm"),
        Series(series_id("rig", "position.axes[1]"), "Rig", "position.axes[1]", "mm"),
        Series(series_id("rig", "wave[0]"), "Rig", "wave[0]", "A"),
        Series(series_id("rig", "wave[1]"), "Rig", "wave[1]", "A"),
        Series(series_id("rig", "wave[2]"), "Rig", "wave[2]", "A"),
    ]


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["rig/sine_wave"], ["Rig/sine_wave"]),
        (["RIG/sine_wave"], ["Rig/sine_wave"]),
        (["rig/Sine_wave"], []),
        (["*/sine_*", "*/rp?"], ["Rig/sine_wave", "pump/rpm"]),
        (["rig/position"], ["Rig/position.x", "Rig/position.axes[0]", "Rig/position.axes[1]"]),
        (["rig/pos"], []),
        (["*/position.axes"], ["Rig/position.axes[0]", "Rig/position.axes[1]"]),
        (["rig/wave[*]"], ["Rig/wave[0]", "Rig/wave[1]", "Rig/wave[2]"]),
        (["rig/wave[1]"], ["Rig/wave[1]"]),
        (["rig/wave[01]"], []),
        (["rig/time", "rig/t*"], []),
        (["pump/*", "pump/rpm"], ["pump/rpm"]),
        ([str(series_id("rig", "wave[2]")).upper()], ["Rig/wave[2]"]),
        (["f69ec89b-494b-4e07-9da2-7c89489e3346"], []),
    ],
)
def test_patterns_want_what_they_say(patterns, wanted):
    assert names(*patterns) == wanted


def test_a_glob_grows_and_a_name_does_not():
    assert [Pattern.parse(text).glob for text in ("rig/*", "r?g/a", "rig/wave[0]")] == [True, True, False]
    assert not Pattern.parse("f69ec89b-494b-4e07-9da2-7c89489e3346").glob


def test_a_glob_of_many_stars_is_quick():
    pattern = Pattern.parse("rig/" + "*a" * 100)
    assert not pattern.fits(Series(series_id("rig", "x"), "rig", "a" * 99 + "b" * 2000))


@pytest.mark.parametrize(
    "text", ["", "rig", "rig.sine", "rig/", "/sine", "a/b/c", "a" * 300 + "/b", "\x1b[2J"]
)
def test_other_text_is_refused(text):
    with pytest.raises(UsageError, match="write CHANNEL/SIGNAL") as caught:
        Pattern.parse(text)
    assert "\x1b" not in str(caught.value)


def test_an_imported_id_stands_for_the_usual_one():
    own = UUID("f69ec89b-494b-4e07-9da2-7c89489e3346")
    ids = {("rig", "sine_wave"): own}
    assert [each.id for each in expand([Pattern.parse("rig/sine*")], {"Rig": RIG}, ids)] == [own]
    assert [each.signal for each in expand([Pattern.parse(str(own))], {"Rig": RIG}, ids)] == ["sine_wave"]
    usual = Pattern.parse(str(series_id("rig", "sine_wave")))
    assert expand([usual], {"Rig": RIG}, ids) == []


def test_what_is_no_series_is_told_with_the_reason():
    schema = record(
        TIME,
        ("raw", "bytes"),
        ("by_name", {"type": "map", "values": "double"}),
        ("mixed", ["null", "int", "string"]),
        ("open", {"type": "array", "items": "int"}),
        ("texts", {"type": "array", "items": "string", "length": 2}),
        ("long", {"type": "array", "items": "int", "length": 1025}),
        ("nothing", "null"),
    )
    assert left_out(schema) == [
        LeftOut("raw", "is of type bytes"),
        LeftOut("by_name", "is of type map"),
        LeftOut("mixed", "is of several types"),
        LeftOut("open", "is an array of no promised length"),
        LeftOut("texts", "is an array of other things than numbers"),
        LeftOut("long[1024]", "and what follows: an array of 1025 is too long"),
        LeftOut("nothing", "is of type null"),
    ]
    assert len(all_series("rig", schema)) == 1024
    assert left_out(RIG) == [LeftOut("position.raw", "is of type bytes")]


@pytest.mark.parametrize(
    ("time", "why"),
    [
        (("time", "long"), "is the abscissa, but of no known unit of time, so that no sample has a time"),
        (("time", "string"), "is the abscissa, but of type string, so that no sample has a time"),
    ],
)
def test_without_a_time_there_is_no_series(time, why):
    schema = record(time, ("a", "double"))
    assert all_series("rig", schema) == []
    assert left_out(schema) == [LeftOut("time", why)]


def test_the_way_to_a_series_leads_to_its_type_and_nowhere_else():
    assert steps("position.axes[1]") == ("position", "axes", 1)
    for series in all_series("rig", RIG):
        assert leaf(RIG, series.signal) is not None
    for name in ("time", "position", "position.raw", "wave", "wave[3]", "wave.x", "sine_wave[0]", "other"):
        assert leaf(RIG, name) is None
