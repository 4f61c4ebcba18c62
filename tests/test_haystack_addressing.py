"""From a map and the schemas of channels to points: the newest schema counts, and two calls are enough."""

from __future__ import annotations

import json

import pytest
from haystack_server import HaystackServer, point

from speeddata.avro import schema as schemas
from speeddata.errors import UsageError
from speeddata.haystack import addressing
from speeddata.haystack.client import Client
from speeddata.haystack.mapping import DEFAULT, parse_toml
from speeddata.haystack.targets import Target
from speeddata.interrupts import Stop

TIME = {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}}


def schema(*fields):
    named = [each if isinstance(each, dict) else {"name": each, "type": "double"} for each in fields]
    return schemas.parse(json.dumps({"type": "record", "name": "r", "fields": named}))


RIG = schema(TIME, "x", "y")


@pytest.fixture
def asked():
    """`asked(mapping, schemas, *records)`: what joins, and the calls that it took besides the session's."""

    def ask(mapping, used, *records):
        with HaystackServer() as server:
            server.add(*records)
            target = Target.parse(server.url, user="su")
            with Client(target, lambda: "secret", retry_s=0, stop=Stop()) as client:
                found = addressing.entries(mapping, used)
                joined = addressing.addressed(client, mapping, found, used)
            return joined, [call.op for call in server.calls if call.op not in ("auth", "close")]

    return ask


def test_a_signal_is_as_the_newest_schema_has_it():
    old = schema(TIME, {"name": "x", "type": "double", "unit": "V"}, "gone")
    new = schema(TIME, {"name": "x", "type": "double", "unit": "mV"})
    found = addressing.entries(DEFAULT, {"rig": [old, new]})
    assert [(entry.signal, entry.unit) for entry in found] == [("x", "mV"), ("gone", None)]


def test_any_number_of_points_takes_one_call_for_ids_and_one_for_keys(asked):
    names = [f"s{number}" for number in range(50)]
    mapping = parse_toml(
        "point = ["
        + ",".join(f'{{ signal = "rig.{name}", id = "{name}" }}' for name in names[:25])
        + ',{ signal = "rig.*" }]',
        "map",
    )
    records = [point(name) for name in names[:25]]
    records += [point(name, speeddataKey=f"rig.{name}") for name in names[25:]]
    joined, ops = asked(mapping, {"rig": [schema(TIME, *names)]}, *records)
    assert [each.id for each in joined.points] == names
    assert ops == ["read", "read"]


def test_what_is_not_needed_is_not_asked_for(asked):
    by_id = parse_toml('point = [{ signal = "rig.x", id = "a" }]', "map")
    assert asked(by_id, {"rig": [RIG]}, point("a"))[1] == ["read"]
    assert asked(DEFAULT, {}, point("a"))[1] == []


def test_a_channel_without_time_has_no_points_and_nobody_is_asked_for_them(asked):
    timeless = schema("angle", "x")
    joined, ops = asked(DEFAULT, {"press": [timeless]}, point("a", speeddataKey="press.x"))
    (problem,) = joined.problems
    assert (joined.points, ops, problem.fatal) == ([], [], True)
    assert (problem.channel, problem.signal, problem.point) == ("press", "x", "press.x")
    assert problem.what == "the abscissa angle does not tell its unit of time"


def test_a_signal_whose_type_or_unit_changes_between_recordings_is_told(asked):
    def of(kind, unit):
        return schema(TIME, {"name": "x", "type": kind, "unit": unit}, {"name": "y", "type": kind})

    old, new = of("string", "mV"), of("double", "V")
    joined, _ = asked(DEFAULT, {"rig": [of("double", "volt"), old, new]}, point("a", speeddataKey="rig.x"))
    assert [each.id for each in joined.points] == ["a"]
    said = [(each.signal, each.what, each.fatal) for each in joined.problems if "changes" in each.what]
    assert said == [
        ("x", "its type changes between recordings: Str, now Number", False),
        ("x", "its unit changes between recordings: mV, now V", False),
        ("y", "its type changes between recordings: Str, now Number", False),
    ]
    fixed = parse_toml('point = [{ signal = "rig.x", unit = "kV" }]', "map")
    joined, _ = asked(fixed, {"rig": [of("int", "mV"), new]}, point("a", speeddataKey="rig.x", unit="kV"))
    assert joined.problems == []


def test_a_map_has_to_stand_for_something_where_there_is_something():
    nothing = parse_toml('point = [{ signal = "pump.*" }]', "map")
    skips = parse_toml('point = [{ signal = "rig.*", skip = true }]', "map")
    with pytest.raises(UsageError, match=r"--map: stands for no signal here, such as rig\.x;"):
        addressing.refuse_none([], {"rig": [RIG]}, nothing)
    with pytest.raises(UsageError, match=r"such as rig\.x, or skips it;"):
        addressing.refuse_none([], {"rig": [RIG]}, skips)
    with pytest.raises(UsageError, match="rig: no signal beside the abscissa"):
        addressing.refuse_none([], {"rig": [schema(TIME)]}, DEFAULT)
    addressing.refuse_none([], {}, nothing)  # of a directory that is empty yet
    addressing.refuse_none(addressing.entries(DEFAULT, {"rig": [RIG]}), {"rig": [RIG]}, DEFAULT)
