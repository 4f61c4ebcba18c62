"""Schemas as untrusted input: what is read from them, and what is refused."""

from __future__ import annotations

import json
import time

import fastavro.schema
import pytest
from avro_data import DEMO, schemas
from hypothesis import given
from hypothesis import strategies as st

from speeddata.avro import schema
from speeddata.avro.types import MISSING, Array, Enum, Fixed, Map, Primitive, Record, Union
from speeddata.errors import DataError, UsageError

COMPLEX = ["record", "enum", "fixed", "array", "map"]


def record(*fields: object, **attributes: object) -> str:
    """A record of *fields*, each a field or only its type."""
    named = [
        each
        if isinstance(each, dict) and each.get("type") not in COMPLEX
        else {"name": f"f{index}", "type": each}
        for index, each in enumerate(fields)
    ]
    return json.dumps({"type": "record", "name": "r", "fields": named, **attributes})


def signals(*fields: object) -> tuple[schema.Signal, ...]:
    return schema.parse(record(*fields)).signals


def refused(text: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        schema.parse(text, where="rig.avsc")
    assert str(caught.value).startswith("rig.avsc: ")
    return caught.value.what


def test_the_demo_schema_is_read():
    assert (DEMO.name, DEMO.time_unit, DEMO.abscissa.name, DEMO.min_size) == ("demo", "ns", "time", 35)
    assert [signal.name for signal in DEMO.signals] == [
        *("time", "sine_wave", "ramp", "square_wave", "noise", "counter", "message")
    ]
    assert [signal.dtype for signal in DEMO.signals] == ["<i8", "<f8", "<f8", "<f8", "<f8", "<i8", None]
    assert (DEMO.signals[1].unit, DEMO.signals[0].unit) == ("V", None)
    # made with the Apache library: avro.schema.parse(text).fingerprint("CRC-64-AVRO").hex()
    assert DEMO.fingerprint == "d22be9d5ff0f9b40"


def test_the_text_is_kept_as_it_was_given():
    text = '\n { "type" : "record", "name": "r", "doc": "é", "fields": [{"name": "a", "type": "int"}]}\t'
    assert schema.parse(text).text == schema.parse(text.encode()).text == text


def test_a_byte_order_mark_is_no_part_of_the_text():
    assert schema.parse(b"\xef\xbb\xbf" + record("int").encode()).text == record("int")


def test_schemas_of_one_text_are_equal_and_hashable():
    one, two = schema.parse(record("int")), schema.parse(record("int"))
    assert one == two
    assert {one: 1}[two] == 1
    assert one != schema.parse(record("int"), time_unit="s")


def test_every_type_is_read():
    fixed = {"type": "fixed", "name": "a.b.id", "size": 16, "logicalType": "uuid"}
    enum = {"type": "enum", "name": "state", "namespace": "a", "symbols": ["OFF", "ON"]}
    nested = {"type": "record", "name": "imu", "fields": [{"name": "x", "type": "double"}]}
    found = signals(
        "boolean", fixed, enum, {"type": "array", "items": "int", "length": 3}, nested, ["null", "imu"]
    )
    assert [signal.node for signal in found] == [
        Primitive("boolean"),
        Fixed("a.b.id", 16, "uuid"),
        Enum("a.state", ("OFF", "ON")),
        Array(Primitive("int"), 3),
        Record("imu", (schema.Signal("x", Primitive("double")),)),
        Union((Primitive("null"), Record("imu", (schema.Signal("x", Primitive("double")),)))),
    ]
    assert signals({"name": "m", "type": {"type": "map", "values": ["int", "null"]}})[0].node == Map(
        Union((Primitive("int"), Primitive("null")))
    )
    assert [signal.kind for signal in found] == ["boolean", "fixed", "enum", "array", "record", "record"]
    assert [signal.nullable for signal in found] == [False] * 5 + [True]


def test_a_union_of_null_and_one_other_is_nullable():
    found = signals(["null", "float"], ["long", "null"], ["int", "long"], ["null"], ["null", "int", "long"])
    assert [(signal.kind, signal.nullable, signal.dtype) for signal in found] == [
        ("float", True, "<f4"),
        ("long", True, "<i8"),
        ("union", False, None),
        ("union", False, None),
        ("union", False, None),
    ]


def test_attributes_of_fields_are_read_and_odd_ones_ignored():
    found = signals(
        {"name": "a", "type": "double", "unit": "V", "doc": "The voltage.", "default": None},
        {"name": "b", "type": {"type": "long", "logicalType": "timestamp-micros"}, "unit": 5, "doc": []},
        {"name": "c", "type": "long", "logicalType": "timestamp-millis"},
        {"name": "d", "type": ["null", {"type": "long", "logicalType": "timestamp-nanos"}]},
        {"name": "e", "type": {"type": {"type": "long", "logicalType": "time-micros"}}, "logicalType": 3},
    )
    assert [(signal.unit, signal.doc) for signal in found[:2]] == [("V", "The voltage."), (None, None)]
    assert [signal.logical for signal in found] == [
        *(None, "timestamp-micros", "timestamp-millis", "timestamp-nanos", "time-micros")
    ]
    assert found[0].default is None
    assert found[1].default is MISSING


@pytest.mark.parametrize(
    ("fields", "attributes", "index"),
    [
        (["int", {"name": "time", "type": "long"}], {}, 1),
        (["int", "long"], {}, 0),
        ([{"name": "time", "type": "long"}, {"name": "angle", "type": "double"}], {"abscissa": "angle"}, 1),
    ],
)
def test_the_abscissa_is_the_one_named_or_time_or_the_first(fields, attributes, index):
    assert schema.parse(record(*fields, **attributes)).abscissa_index == index


def test_an_abscissa_that_is_no_signal_is_refused():
    assert refused(record("int", abscissa="angle")) == "schema: the abscissa 'angle' is none of its fields"
    assert refused(record("int", abscissa=["f0"])) == "schema: the abscissa a JSON list is none of its fields"


@pytest.mark.parametrize(
    ("field", "argument", "unit"),
    [
        ({"type": {"type": "long", "logicalType": "timestamp-nanos"}}, None, "ns"),
        ({"type": {"type": "long", "logicalType": "timestamp-micros"}}, "s", "us"),
        ({"type": "long", "logicalType": "timestamp-millis", "unit": "ns"}, None, "ms"),
        ({"type": "long", "logicalType": "local-timestamp-nanos"}, None, "ns"),
        ({"type": {"type": "int", "logicalType": "time-millis"}}, None, "ms"),
        ({"type": ["null", {"type": "long", "logicalType": "timestamp-nanos"}]}, None, "ns"),
        ({"type": "double", "logicalType": "timestamp-nanos"}, None, None),
        ({"type": "int", "logicalType": "date"}, None, None),
        ({"type": "double", "unit": "s"}, None, "s"),
        ({"type": "double", "unit": "Seconds"}, None, "s"),
        ({"type": "long", "unit": "µs"}, None, "us"),
        ({"type": "long", "unit": "μs"}, None, "us"),
        ({"type": "long", "unit": "nanoseconds"}, None, "ns"),
        ({"type": "long", "unit": "S"}, None, None),
        ({"type": "long", "unit": "MS"}, None, None),
        ({"type": "long", "unit": "rpm"}, None, None),
        ({"type": "long"}, None, None),
        ({"type": "long"}, "microseconds", "us"),
        ({"type": "string"}, None, None),
        ({"type": "string", "unit": "s"}, None, None),
    ],
)
def test_the_unit_of_time_is_read_and_never_guessed(field, argument, unit):
    found = schema.parse(record({"name": "time", **field}), time_unit=argument)
    assert found.time_unit == unit


def test_a_time_unit_that_is_none_is_a_usage_error():
    with pytest.raises(UsageError, match="'fortnight' is no unit of time; one of ns, us, ms, s"):
        schema.parse(record("int"), time_unit="fortnight")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "the schema is not JSON"),
        ("int", "the schema is not JSON"),
        ('{"type": "record"', "the schema is not JSON"),
        ('{"type": "record", "type": "record"}', "the schema is not JSON: an object has one key twice"),
        ('{"a": NaN}', "the schema is not JSON: NaN is no JSON"),
        ("1" * 5000, "the schema is not JSON"),
        (b"\xff\xfe", "the schema is not valid UTF-8"),
        ('{"type": "record", "name": "r", "doc": "\\ud800"}', "the schema is not valid UTF-8"),
        ("[" * 30_000, "the schema is nested too deeply"),
        ('{"type":' * 7_000, "the schema is nested too deeply"),
        (" " * 61_441, "the schema is longer than 61440 bytes"),
        ("é" * 30_721, "the schema is longer than 61440 bytes"),
        ('"null"', "the schema is of type null, not a record"),
        ('["null"]', "the schema is of type union, not a record"),
        ('{"type": "enum", "name": "e", "symbols": ["A"]}', "the schema is of type enum, not a record"),
        ("5", "schema: 5 is no type"),
        ("{}", "schema: a JSON dict is no type"),
        ('"demo"', "schema: 'demo' is no type"),
        (record(), "record r has no fields"),
        (record("null"), "a datum of record r can be empty"),
        (record({"type": "fixed", "name": "x", "size": 0}), "a datum of record r can be empty"),
        (record("varchar"), "schema: f0: 'varchar' is no type"),
        (
            record({"type": "record", "name": "../../etc/x", "fields": []}),
            "schema: f0: '../../etc/x' is no name",
        ),
        (record({"name": "../x", "type": "int"}), "schema: '../x' is no name of a field"),
        (record({"name": "a\x1b[31m", "type": "int"}), "schema: 'a\\x1b[31m' is no name of a field"),
        (record({"name": "a\n", "type": "int"}), "schema: 'a\\n' is no name of a field"),
        (record({"name": "é", "type": "int"}), "schema: 'é' is no name of a field"),
        (record({"name": "", "type": "int"}), "schema: '' is no name of a field"),
        (record({"name": 5, "type": "int"}), "schema: 5 is no name of a field"),
        (record({"type": "int"}), "schema: a JSON dict is no name of a field"),
        (record({"name": "a"}), "schema: a: None is no type"),
        (
            record({"name": "a", "type": "int"}, {"name": "a", "type": "int"}),
            "schema: field 'a' appears twice",
        ),
        ('{"type": "record", "name": "r", "fields": {}}', "schema: a record needs a list of fields"),
        ('{"type": "record", "name": "r", "fields": [5]}', "schema: 5 is no name of a field"),
        ('{"type": "record", "fields": []}', "schema: None is no name of a type"),
        ('{"type": "record", "name": "int", "fields": []}', "schema: 'int' is the name of a primitive type"),
        (
            '{"type": "record", "name": "r", "namespace": "a b", "fields": []}',
            "schema: 'a b' is no namespace",
        ),
        (record("r"), "schema: f0: type 'r' contains itself, which telemetry cannot"),
        (record({"type": "array", "items": "r"}), "schema: f0[]: type 'r' contains itself"),
        (record({"type": "fixed", "name": "r", "size": 1}), "schema: f0: type 'r' is defined twice"),
        (
            record({"type": "fixed", "name": "x", "size": -1}),
            "schema: f0: -1 is no size of a fixed, 0 to 65507",
        ),
        (record({"type": "fixed", "name": "x", "size": 65508}), "schema: f0: 65508 is no size of a fixed"),
        (record({"type": "fixed", "name": "x", "size": True}), "schema: f0: True is no size of a fixed"),
        (record({"type": "fixed", "name": "x", "size": 1.0}), "schema: f0: 1.0 is no size of a fixed"),
        (record({"type": "enum", "name": "x", "symbols": []}), "schema: f0: an enum needs a list of symbols"),
        (
            record({"type": "enum", "name": "x", "symbols": ["a b"]}),
            "schema: f0: 'a b' is no symbol of an enum",
        ),
        (record({"type": "enum", "name": "x", "symbols": [[]]}), "schema: f0: a JSON list is no symbol"),
        (
            record({"type": "enum", "name": "x", "symbols": ["A", "A"]}),
            "schema: f0: an enum with the same symbol",
        ),
        (record([]), "schema: f0: a union of nothing"),
        (record(["null", ["int"]]), "schema: f0: a union directly in a union"),
        (record(["int", "int"]), "schema: f0: a union with the same type twice"),
        (record({"type": "array"}), "schema: f0[]: None is no type"),
        (record({"type": "array", "items": "int", "length": 0}), "schema: f0: 0 is no length of an array"),
        (
            record({"type": "array", "items": "int", "length": "k"}),
            "schema: f0: 'k' is no length of an array",
        ),
    ],
)
def test_what_is_no_schema_of_telemetry_is_refused(text, what):
    assert refused(text).startswith(what)


def nested(depth: int) -> str:
    tree: object = "int"
    for _ in range(depth):
        tree = {"type": "array", "items": tree}
    return record(tree)


def test_types_are_nested_32_deep_and_no_deeper():
    assert schema.parse(nested(31)).signals[0].kind == "array"
    assert refused(nested(32)).endswith("nested deeper than 32")
    assert refused('{"type":' * 40 + '"int"' + "}" * 40).endswith("nested deeper than 32")


def test_depth_counts_through_names():
    inner = {
        "type": "record",
        "name": "inner",
        "fields": [{"name": "x", "type": json.loads(nested(20))["fields"][0]["type"]}],
    }
    outer: object = "inner"
    for _ in range(20):
        outer = {"type": "array", "items": outer}
    assert refused(record(inner, outer)).endswith("nested deeper than 32")


def test_fields_are_4096_and_no_more():
    assert len(schema.parse(record(*["int"] * 1500)).signals) == 1500
    inner = {"type": "record", "name": "n", "fields": [{"name": f"x{n}", "type": "int"} for n in range(1000)]}
    assert schema.parse(record(inner, "n", "n", "n")).min_size == 4000
    assert refused(record(inner, "n", "n", "n", "n")) == "schema: more than 4096 fields"


def test_a_name_has_1024_characters_and_no_more():
    def named(name, namespace=""):
        field = {"name": "time", "type": {"type": "fixed", "name": name, "namespace": namespace, "size": 1}}
        return json.dumps({"type": "record", "name": "rig", "fields": [field]})

    assert schema.parse(named("n" * 1024)).signals[0].node.name == "n" * 1024
    assert refused(named("n" * 1025)) == "schema: time: a name of more than 1024 characters"
    assert refused(named("n" * 512, "n" * 512)) == "schema: time: a name of more than 1024 characters"
    long = json.dumps({"type": "record", "name": "rig", "fields": [{"name": "t" * 1025, "type": "long"}]})
    assert refused(long) == "schema: a name of more than 1024 characters"


def test_a_namespace_that_every_use_of_a_name_repeats_is_refused_at_once():
    fields = [{"name": "a", "type": {"type": "fixed", "name": "F", "size": 1}}]
    fields += [{"name": f"a{number}", "type": "F"} for number in range(1600)]
    told = {"type": "record", "name": "rig", "namespace": "n" * 300, "fields": fields}
    assert len(schema.parse(json.dumps(told)).signals) == 1601
    start = time.monotonic()
    assert refused(json.dumps({**told, "namespace": "n" * 1000})) == (
        "schema: its names have more than 524288 characters"
    )
    assert time.monotonic() - start < 1


def test_a_refusal_is_short_however_long_the_names_are():
    node = {"type": "nothing"}
    for letter in "abcdefghij":
        node = {"type": "record", "name": letter, "fields": [{"name": letter * 1000, "type": node}]}
    assert len(refused(json.dumps(node))) < 300


def test_types_that_double_with_each_name_are_refused_at_once():
    doubling = [
        {
            "type": "record",
            "name": f"d{n}",
            "fields": [{"name": f"x{k}", "type": f"d{n - 1}" if n else "int"} for k in range(10)],
        }
        for n in range(20)
    ]
    start = time.monotonic()
    assert refused(record(*doubling)) == "schema: more than 4096 fields"
    branches = [{"type": "fixed", "name": f"x{n}", "size": 1} for n in range(400)]
    wide = {
        "type": "record",
        "name": "wide",
        "fields": [{"name": "u", "type": ["null", *(b["name"] for b in branches)]}],
    }
    assert refused(record(*branches, wide, *["wide"] * 400)) == "schema: more than 65536 types"
    assert time.monotonic() - start < 5


@given(schemas())
def test_fingerprint_and_canonical_form_are_those_of_fastavro(each):
    form = fastavro.schema.to_parsing_canonical_form(json.loads(each.text))
    assert json.dumps(each.plain, separators=(",", ":")) == form
    assert fastavro.schema.fingerprint(form, "CRC-64-AVRO") == each.fingerprint


def test_names_are_full_names_in_the_canonical_form():
    text = record(
        {
            "type": "record",
            "name": "inner",
            "fields": [{"name": "x", "type": {"type": "fixed", "name": "f", "size": 2}}],
        },
        {"type": "fixed", "name": "other.g", "size": 1, "aliases": ["h"]},
        ["null", "a.b.inner", "f", "other.g"],
        namespace="a.b",
        doc="gone",
    )
    form = fastavro.schema.to_parsing_canonical_form(json.loads(text))
    assert json.dumps(schema.parse(text).plain, separators=(",", ":")) == form
    assert schema.parse(text).name == "a.b.r"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ("type", "name", "fields", "items", "values", "symbols", "size", "length", "abscissa", "unit")
            ),
            inner | st.sampled_from(("record", "array", "map", "enum", "fixed", "int", "null", "a")),
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON_VALUES | JSON_VALUES.map(lambda field: {"type": "record", "name": "r", "fields": [field]}))
def test_any_json_is_a_schema_or_a_data_error(tree):
    try:
        found = schema.parse(json.dumps(tree))
    except DataError:
        return
    assert found.signals


@given(st.binary(max_size=100))
def test_any_bytes_are_a_schema_or_a_data_error(data):
    with pytest.raises(DataError):
        schema.parse(data)
