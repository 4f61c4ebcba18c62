"""The first map: it can be read, it says what the schema says, and what is made of it needs no mending."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.avro import schema
from speeddata.avro.schema import Schema
from speeddata.haystack.drafting import draft
from speeddata.haystack.joining import by_key, join
from speeddata.haystack.kinds import Grid
from speeddata.haystack.mapping import parse_toml
from speeddata.haystack.provisioning import plan


def of(*fields: dict[str, object]) -> Schema:
    time = {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}}
    return schema.parse(json.dumps({"type": "record", "name": "r", "fields": [time, *fields]}))


RIG = of(
    {"name": "sine", "type": "double", "unit": "V", "doc": "One period\n in two seconds."},
    {"name": "temp", "type": "float", "unit": "degC"},
    {"name": "odd", "type": "int", "unit": 'a"b\\'},
    {"name": "count", "type": "long", "unit": "1"},
    {"name": "on", "type": "boolean", "unit": "V"},
    {"name": "text", "type": ["null", "string"]},
    {"name": "blob", "type": "bytes", "doc": "raw"},
)


def lines(text: str) -> list[str]:
    """The lines of signals, with single spaces."""
    return [re.sub("  +", "  ", line.strip()) for line in text.partition("point = [\n")[2].splitlines()]


def test_a_draft_has_a_line_for_each_signal_with_what_its_schema_says():
    assert lines(draft([("rig", RIG)])) == [
        "# rig",
        '{ signal = "rig.sine", kind = "Number", unit = "V" },  # One period in two seconds.',
        '{ signal = "rig.temp", kind = "Number", unit = "°C" },  # degC in the schema',
        '{ signal = "rig.odd", kind = "Number", unit = "a\\"b\\\\" },  # no unit of Project Haystack: '
        "provision makes it _a_b",
        '{ signal = "rig.count", kind = "Number" },',
        '{ signal = "rig.on", kind = "Bool" },',
        '{ signal = "rig.text", kind = "Str" },',
        '{ signal = "rig.blob", skip = true },  # values of type bytes are no history; raw',
        "]",
    ]


def test_the_comments_of_a_channel_stand_in_one_column():
    told = [line for line in draft([("rig", RIG)]).splitlines() if "},  " in line or "}, " in line]
    assert len({line.index(" # ") for line in told}) == 1


def test_the_map_that_a_draft_is_has_all_signals():
    found = parse_toml(draft([("rig", RIG)], key_tag="refName"), "draft")
    assert found.key_tag == "refName"
    assert found.unnamed("rig", RIG) == []
    assert found.idle([("rig", RIG)]) == []
    assert [(entry.key, entry.path) for entry in found.entries("rig", RIG)][:2] == [
        ("rig.sine", ("Site", "rig", "sine")),
        ("rig.temp", ("Site", "rig", "temp")),
    ]


@pytest.mark.parametrize(
    ("fine", "precisions"),
    [
        ([], {"a": None, "b": None}),
        (["A"], {"a": 10**6, "b": None}),
        (["a", "b", "gone"], {"a": 10**6, "b": 10**6}),
    ],
)
def test_channels_of_several_samples_a_second_keep_milliseconds(fine, precisions):
    found = parse_toml(draft([("a", RIG), ("b", RIG)], sub_second=fine))
    for name, precision_ns in precisions.items():
        assert {entry.precision_ns for entry in found.entries(name, RIG)} == {precision_ns}


def test_where_all_keep_milliseconds_it_is_said_once():
    assert draft([("a", RIG), ("b", RIG)], sub_second=["a", "b"]).count('precision = "1ms"') == 1


@pytest.mark.parametrize("fine", [[], ["rig"], ["rig", "b"]])
def test_what_is_provisioned_from_a_draft_needs_no_mending(fine):
    found = parse_toml(draft([("rig", RIG), ("b", RIG)], sub_second=fine))
    entries = [*found.entries("rig", RIG), *found.entries("b", RIG)]
    made = plan(entries, Grid(), sub_second=fine)
    joined = join(entries, {}, by_key(made.points, found.key_tag), sub_second=fine)
    assert (made.problems, joined.problems) == ([], [])
    assert len(joined.points) == len(entries) == 12


def test_signals_of_all_schemas_of_a_channel_are_drafted_once():
    text = draft(
        [
            ("rig", of({"name": "a", "type": "int", "unit": "V"}, {"name": "b", "type": "int"})),
            ("RIG", of({"name": "a", "type": "int", "unit": "mV"}, {"name": "b", "type": "string"})),
            ("rig", of({"name": "c", "type": "int"})),
        ]
    )
    assert lines(text) == [
        "# rig",
        '{ signal = "rig.a", kind = "Number" },  # its unit changes between recordings',
        '{ signal = "rig.b" },  # its type changes between recordings',
        '{ signal = "rig.c", kind = "Number" },',
        "]",
    ]
    parse_toml(text)


def test_a_channel_whose_abscissa_is_no_time_is_told():
    fields = [{"name": "angle", "type": "double"}, {"name": "a", "type": "int"}]
    text = draft([("press", schema.parse(json.dumps({"type": "record", "name": "r", "fields": fields})))])
    assert lines(text)[:2] == [
        "# press",
        "# Its abscissa angle does not tell its unit of time: name it with --time-unit, or nothing of this"
        " is written.",
    ]
    parse_toml(text)


def test_a_draft_of_nothing_is_a_map_of_nothing():
    assert parse_toml(draft([])).rules == ()


@given(st.text(max_size=80), st.text(max_size=300))
def test_hostile_units_and_docs_stay_in_their_place(unit, doc):
    hostile = of({"name": "a", "type": "double", "unit": unit, "doc": doc}, {"name": "b", "type": "int"})
    text = draft([("rig", hostile)])
    assert all(line.isprintable() for line in text.splitlines())
    assert [set(point) <= {"signal", "kind", "unit"} for point in tomllib.loads(text)["point"]] == [True] * 2
    found = parse_toml(text)
    made = plan(found.entries("rig", hostile), Grid())
    joined = join(found.entries("rig", hostile), {}, by_key(made.points, found.key_tag))
    assert (made.problems, joined.problems, len(joined.points)) == ([], [], 2)


def test_a_draft_of_a_thousand_signals_is_a_thousand_lines():
    wide = of(*({"name": f"s{number}", "type": "double"} for number in range(1000)))
    assert len(draft([("rig", wide)]).splitlines()) < 1030
