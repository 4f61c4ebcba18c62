"""Maps of signals to points: TOML and CSV, the first rule that fits decides, a mistake has its place."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.avro import schema
from speeddata.errors import UsageError
from speeddata.haystack import mapping
from speeddata.haystack.mapping import DEFAULT, Entry, parse, parse_csv, parse_toml

RIG = schema.parse(
    json.dumps(
        {
            "type": "record",
            "name": "rig",
            "fields": [
                {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
                {"name": "sine_wave", "type": "double", "unit": "V"},
                {"name": "ramp", "type": ["null", "float"], "unit": "degC"},
                {"name": "counter", "type": "long", "unit": "1"},
                {"name": "on", "type": "boolean"},
                {"name": "state", "type": {"type": "enum", "name": "S", "symbols": ["A", "B"]}},
                {"name": "message", "type": "string"},
                {"name": "blob", "type": "bytes"},
                {"name": "nested", "type": {"type": "array", "items": "int"}},
                {"name": "mixed", "type": ["null", "int", "string"]},
            ],
        }
    )
)
SIGNALS = [signal.name for signal in RIG.signals][1:]

TOML = """
key_tag = "refName"
key = "{channel}_{signal}"
path = "Plant/{channel}/{signal}"

[defaults]
tz = "America/New_York"
heartbeat = "15m"
tags = ["sensor"]

[[point]]
signal = "rig.ramp"
id = "@p:demo:r:2a-1"
scale = 2
unit = "°F"
offset = 32.5
precision = "1ms"

[[point]]
signal = "rig.sine_*"
kind = "Number"
on_change = true
deadband = 0.5
dis = "The {signal} of {channel}"
equip = "Pump"
tags = ["temp", "sensor"]

[[point]]
signal = "rig.m*"
skip = true

[[point]]
signal = "*.*"
"""


def one(text: str, channel: str = "rig") -> Entry:
    (entry,) = parse_toml(text).entries(channel, RIG)
    return entry


def refused(text: str, read=parse_toml, where: str = "map.toml") -> str:
    with pytest.raises(UsageError) as caught:
        read(text, where)
    assert caught.value.status == 2
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_without_a_map_every_signal_has_its_key_and_the_abscissa_none():
    entries = DEFAULT.entries("rig", RIG)
    assert [entry.key for entry in entries] == [f"rig.{name}" for name in SIGNALS]
    assert DEFAULT.key_tag == "speeddataKey"
    assert {(entry.id, entry.zone, entry.precision_ns, entry.path) for entry in entries} == {(None,) * 4}


def test_samples_make_the_history_that_their_type_has():
    assert {entry.signal: entry.sample_kind for entry in DEFAULT.entries("rig", RIG)} == {
        "sine_wave": "Number",
        "ramp": "Number",
        "counter": "Number",
        "on": "Bool",
        "state": "Str",
        "message": "Str",
        "blob": None,
        "nested": None,
        "mixed": None,
    }


def test_units_are_of_the_schema_unless_there_are_none():
    units = {entry.signal: entry.unit for entry in DEFAULT.entries("rig", RIG)}
    assert (units["sine_wave"], units["ramp"], units["counter"], units["on"]) == ("V", "degC", None, None)


def test_the_first_rule_that_fits_decides():
    found = parse_toml(TOML)
    entries = {entry.signal: entry for entry in found.entries("rig", RIG)}
    assert found.key_tag == "refName"
    assert list(entries) == ["sine_wave", "ramp", "counter", "on", "state", "blob", "nested"]
    assert entries["ramp"] == Entry(
        channel="rig",
        signal="ramp",
        type="float",
        sample_kind="Number",
        id="p:demo:r:2a-1",
        unit="°F",
        scale=2.0,
        offset=32.5,
        zone="New_York",
        precision_ns=10**6,
        heartbeat_ns=900 * 10**9,
        path=("Plant", "rig", "ramp"),
        tags=("sensor",),
    )
    assert entries["sine_wave"] == Entry(
        channel="rig",
        signal="sine_wave",
        type="double",
        sample_kind="Number",
        key="rig_sine_wave",
        kind="Number",
        unit="V",
        zone="New_York",
        on_change=True,
        deadband=0.5,
        heartbeat_ns=900 * 10**9,
        dis="The sine_wave of rig",
        path=("Plant", "Pump", "sine_wave"),
        tags=("sensor", "temp"),
    )
    assert entries["on"].key == "rig_on"


def test_a_signal_by_name_does_not_pass_a_glob_above_it():
    text = '[[point]]\nsignal = "*.r*"\nkey = "glob {signal}"\n[[point]]\nsignal = "rig.ramp"\nkey = "name"\n'
    assert one(text).key == "glob ramp"


def test_signals_of_no_rule_are_not_written_and_can_be_told():
    found = parse_toml('[[point]]\nsignal = "rig.ramp"\n[[point]]\nsignal = "rig.on"\nskip = true\n')
    assert [entry.signal for entry in found.entries("rig", RIG)] == ["ramp"]
    assert found.unnamed("rig", RIG) == [name for name in SIGNALS if name not in ("ramp", "on")]
    assert DEFAULT.unnamed("rig", RIG) == []


def test_rules_that_decide_about_nothing_can_be_told():
    found = parse_toml(
        '[[point]]\nsignal = "rig.ram"\n[[point]]\nsignal = "rig.*"\n[[point]]\nsignal = "*.on"\n'
    )
    assert [rule.place for rule in found.idle([("rig", RIG)])] == ["point 1 (rig.ram)", "point 3 (*.on)"]
    assert [rule.place for rule in found.idle([("rig", RIG), ("b", RIG)])] == ["point 1 (rig.ram)"]


def test_channels_are_compared_without_case_and_signals_with_it():
    assert one('[[point]]\nsignal = "RIG.ramp"', "Rig").channel == "Rig"
    assert parse_toml('[[point]]\nsignal = "rig.Ramp"').entries("rig", RIG) == []


def test_a_channel_may_have_dots_the_last_one_divides():
    assert one('[[point]]\nsignal = "a.b.ramp"', "a.b").key == "a.b.ramp"


def test_a_file_without_rules_maps_every_signal_as_its_top_says():
    found = parse_toml('key = "{signal}"\n[defaults]\nsite = "Plant"\n')
    assert [entry.key for entry in found.entries("rig", RIG)] == SIGNALS
    assert found.entries("rig", RIG)[0].path == ("Plant", "rig", "sine_wave")
    assert parse_toml("") == DEFAULT


def test_no_rules_at_all_map_nothing():
    assert parse_toml("point = []").entries("rig", RIG) == []


@pytest.mark.parametrize(
    ("top", "rule", "path"),
    [
        ("", "", None),
        ("", 'site = "S"', ("S", "rig", "ramp")),
        ("", 'equip = "E"', None),
        ('path = "{site}/{equip}/{point}"', 'site = "S"\nequip = "E {channel}"', ("S", "E rig", "ramp")),
        ('path = "Plant/{channel}/{signal}"', "", ("Plant", "rig", "ramp")),
        ('path = "Plant/{channel}/{signal}"', 'site = "S"', ("S", "rig", "ramp")),
        ('path = "Plant/{channel}/{signal}"', 'point = "P {signal}"', ("Plant", "rig", "P ramp")),
        ('path = "{site} / {equip} / The {point}"', 'site = "S"', ("S", "rig", "The ramp")),
        ('path = "{site}/{equip}/The {point}"', 'site = "S"\npoint = "slope"', ("S", "rig", "The slope")),
    ],
)
def test_a_rule_may_name_site_equip_and_point_in_place_of_the_path(top, rule, path):
    assert one(f'{top}\n[[point]]\nsignal = "rig.ramp"\n{rule}\n').path == path


def test_a_unit_is_of_the_value_so_that_a_scale_makes_the_schemas_unit_unknown():
    assert one('[[point]]\nsignal = "rig.ramp"\nscale = 2').unit is None
    assert one('[[point]]\nsignal = "rig.ramp"\nscale = 2\nunit = "K"').unit == "K"
    assert one('[[point]]\nsignal = "rig.ramp"\nunit = ""').unit is None


@pytest.mark.parametrize(
    ("defaults", "rule", "on_change"),
    [
        ("", "", False),
        ("", "deadband = 1", True),
        ("", 'heartbeat = "1m"', True),
        ("", "deadband = 1\non_change = false", False),
        ("deadband = 1", "", False),
        ("on_change = true", "", True),
        ("on_change = true", "on_change = false", False),
    ],
)
def test_a_deadband_or_heartbeat_of_its_own_sends_a_point_on_change(defaults, rule, on_change):
    entry = one(f'[defaults]\n{defaults}\n[[point]]\nsignal = "rig.ramp"\n{rule}\n')
    assert entry.on_change is on_change


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key_tga = 1", "key_tga: no such key; did you mean key_tag?"),
        ("zzz = 1", "zzz: no such key"),
        ("[defaults]\nkey = 'a'", "defaults: key: no such key; write it at the top of the file"),
        ("[defaults]\nprecison = 'a'", "defaults: precison: no such key; did you mean precision?"),
        (
            "[[point]]\nid='a'",
            'point 1: has no signal; write which: signal = "CHANNEL.SIGNAL", or "rig.*" for all',
        ),
        (
            "[[point]]\nsignal='ramp'",
            'point 1 (ramp): signal: \'ramp\' is no CHANNEL.SIGNAL; write it like "rig.sine_wave" or "rig.*"',
        ),
        (
            "[[point]]\nsignal='a.b'\n[[point]]\nsignal='a.c'\nscale='ten'",
            "point 2 (a.c): scale: 'ten' is not a number",
        ),
        (
            "[[point]]\nsignal='a.*'\nid='a'",
            "point 1 (a.*): id: one point cannot take every signal that fits a glob; use key",
        ),
        ("key = '{site}'", "key: '{site}' stands for nothing; the names are {channel}, {signal}"),
        (
            "path = 'Plant/{signal}'",
            "path: 'Plant/{signal}' is not of three parts; write SITE/EQUIP/POINT, such as "
            "Plant/{channel}/{signal}",
        ),
        (
            "path = '//'",
            "path: '//' is not of three parts; write SITE/EQUIP/POINT, such as Plant/{channel}/{signal}",
        ),
        (
            "key_tag = 'RefName'",
            "key_tag: 'RefName' is no tag for keys; use a name such as speeddataKey or refName: a "
            "small letter, then letters, digits and _",
        ),
        (
            "key_tag = 'kind'",
            "key_tag: 'kind' is no tag for keys; use a name such as speeddataKey or refName: a small "
            "letter, then letters, digits and _",
        ),
        ("point = 5", "point: 5 is not a list of tables; write [[point]]"),
        ("defaults = 5", "defaults: 5 is not a table; write [defaults]"),
    ],
)
def test_a_mistake_in_toml_is_told_with_its_key(text, message):
    assert refused(text) == f"map.toml: {message}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("deadbnad=1", "deadbnad: no such key; did you mean deadband?"),
        ("scale=true", "scale: True is not a number"),
        ("scale=nan", "scale: nan is not a number"),
        ("scale=0", "scale: a scale of 0 makes every sample the same"),
        ("deadband=-1", "deadband: -1 is below 0"),
        ("on_change=1", "on_change: 1 is not true or false"),
        ("tags='x'", "tags: 'x' is not a list of text"),
        (
            "tags=['Upper']",
            "tags: 'Upper' cannot be a marker; use a name such as sensor: a small letter, then "
            "letters, digits and _",
        ),
        (
            "tags=['his']",
            "tags: 'his' cannot be a marker; use a name such as sensor: a small letter, then "
            "letters, digits and _",
        ),
        ("kind='number'", "kind: 'number' is no kind of history; one of Number, Bool, Str"),
        ("precision='1us'", "precision: '1us' is no precision of a point; one of 1s, 1ms"),
        ("heartbeat='soon'", "heartbeat: 'soon' is no duration; write it like 90s, 10m, 1.5h or 100ms"),
        ("heartbeat='0s'", "heartbeat: a heartbeat takes longer than nothing"),
        ("id='a b'", "id: 'a b' is no id; use letters, digits and _ : . - ~"),
        ("id='a'\nkey='b'", "key: a point is found by its id or by its key; leave one of them out"),
        ("key='{chanel}'", "key: '{chanel}' stands for nothing; did you mean {channel}?"),
        ("dis='{0}'", "dis: '{0}' stands for nothing; the names are {channel}, {signal}"),
    ],
)
def test_a_mistake_in_a_rule_is_told_with_the_rule(line, message):
    assert refused(f"[[point]]\nsignal='a.b'\n{line}\n") == f"map.toml: point 1 (a.b): {message}"


def test_an_unknown_time_zone_is_refused_with_the_nearest():
    told = refused("[defaults]\ntz = 'New_Yrok'")
    assert told.startswith("map.toml: defaults: tz: 'New_Yrok' is no time zone; did you mean New_York")


def test_what_is_no_toml_is_told_with_its_line():
    told = refused("key_tag = \n")
    assert told.startswith("map.toml: not TOML: ")
    assert "line 1" in told


def test_a_table_behind_the_list_of_points_is_told_how_to_be_written():
    told = refused("point = [{signal = 'a.b'}]\n[[point]]\nsignal = 'a.c'\n")
    assert told.endswith("; the points are in the list point = [...]: add a line there")


@pytest.mark.parametrize(
    "text",
    [
        "x" * 1_000_000 + " = 1",
        f"point = [{{signal = 'rig.{'*a' * 100_000}'}}]",
        f"point = [{{signal = 'rig.a', key = '{{{'*a' * 100_000}}}'}}]",
        "a = " + "[" * 100_000,
        "a = " + "9" * 5000,
        "scale = " + "9" * 400,
        "a" * (mapping.MAX_TEXT + 1),
    ],
    ids=str.__len__,
)
def test_a_hostile_map_is_refused_in_a_line(text):
    assert len(refused(text)) < 400


CSV = """\
signal,id,key,kind,unit,scale,offset,tz,precision,heartbeat,on_change,tags,skip,dis
# from the spreadsheet of the plant,,,,,,,,,,,,,
rig.ramp,@p:demo:r:1,,,°F,1.8,32,New_York,1ms,15m,TRUE,sensor temp,,

rig.sine_wave,,"a ""key"", quoted",Number,,,,,,,,,,The {signal}
rig.on,,,,,,,,,,,,yes,
"""


def test_a_spreadsheet_says_the_same_as_toml():
    by_csv = parse_csv("\ufeff" + CSV.replace("\n", "\r\n"), "map.csv").entries("rig", RIG)
    by_toml = parse_toml(
        """
        [[point]]
        signal = "rig.ramp"
        id = "p:demo:r:1"
        unit = "°F"
        scale = 1.8
        offset = 32
        tz = "New_York"
        precision = "1ms"
        heartbeat = "15m"
        on_change = true
        tags = ["sensor", "temp"]
        [[point]]
        signal = "rig.sine_wave"
        key = 'a "key", quoted'
        kind = "Number"
        dis = "The {signal}"
        """
    ).entries("rig", RIG)
    assert by_csv == by_toml
    assert len(by_csv) == 2


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_what_the_heading_has(separator):
    text = "channel,signal,key,key_tag\nrig,ramp,k,refName\n*,on,,\n".replace(",", separator)
    found = parse_csv(text)
    assert found.key_tag == "refName"
    assert [entry.key for entry in found.entries("rig", RIG)] == ["k", "rig.on"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "map.csv: is empty; begin with a heading such as signal,key,unit"),
        ("signal,untis\n", "map.csv: line 1: no such column: 'untis'; did you mean unit?"),
        ("signal,signal\n", "map.csv: line 1: column signal is there twice"),
        ("signal,scale\na.b,1\na.c,ten\n", "map.csv: line 3 (a.c): scale: 'ten' is not a number"),
        ("signal,scale\na.b,inf\n", "map.csv: line 2 (a.b): scale: inf is not a number"),
        ("signal,skip\na.b,maybe\n", "map.csv: line 2 (a.b): skip: 'maybe' is not true or false"),
        ("signal,unit\na.b,V,7\n", "map.csv: line 2: 3 cells under 2 names"),
        ("unit,signal\nV,\n", 'map.csv: line 2: has no signal; write which: signal = "CHANNEL.SIGNAL", or '
         '"rig.*" for all'),
        ("signal,key_tag\na.b,x\na.c,y\n", "map.csv: line 3: key_tag: is not 'x', as above"),
        ("signal,dis\na.b,\"two\nlines\"\na.c,{x}\n", "map.csv: line 4 (a.c): dis: '{x}' stands for nothing; "
         "the names are {channel}, {signal}"),
    ],
)  # fmt: skip
def test_a_mistake_in_csv_is_told_with_its_line(text, message):
    assert refused(text, parse_csv, "map.csv") == message


def test_what_is_no_csv_is_told_with_its_line():
    told = refused('signal,dis\na.b,"x"y\n', parse_csv, "map.csv")
    assert told.startswith("map.csv: line 2: not CSV: ")


def test_the_name_of_a_file_says_what_it_is():
    assert parse("signal\nrig.ramp\n", "A.CSV").entries("rig", RIG)[0].key == "rig.ramp"
    assert parse("key = '{signal}'", "map").entries("rig", RIG)[0].key == "sine_wave"


@given(st.text(max_size=200), st.sampled_from([parse_csv, parse_toml]))
def test_any_text_is_a_map_or_refused(text, read):
    try:
        found = read(text, "map")
    except UsageError:
        return
    found.entries("rig", RIG)


def test_a_map_of_thousands_of_rules_is_looked_through_in_a_moment():
    fields = [{"name": f"s{number}", "type": "double"} for number in range(1000)]
    wide = schema.parse(json.dumps({"type": "record", "name": "r", "fields": fields}))
    rules = [f"c{channel}.s{number}\n" for channel in range(5) for number in range(1000)]
    found = parse_csv("signal\n" + "".join(rules) + "*.*\n")
    start = time.perf_counter()
    assert sum(len(found.entries(f"c{channel}", wide)) for channel in range(6)) == 6 * 999
    assert time.perf_counter() - start < 5
