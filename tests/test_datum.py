"""One datum: what is one and where it ends, values to bytes, bytes to values."""

from __future__ import annotations

import json
import struct

import pytest
from avro_data import DEMO, damaged, datums, read, reads_to, record_of, schemas, varint
from hypothesis import given, settings
from hypothesis import strategies as st

from speeddata.avro import datum, schema
from speeddata.avro.datum import decode, encoder, skipper

VALUES = {
    "time": 1_790_000_000_000_000_000,
    "sine_wave": 0.5,
    "ramp": 0.25,
    "square_wave": 1.0,
    "noise": -0.125,
    "counter": 300,
    "message": "rising é",
}
# the time in nine bytes; four doubles; 600 in two bytes; 9 bytes of text
DEMO_DATUM = (
    bytes.fromhex("808098bf84e1add731")
    + bytes.fromhex("000000000000e03f 000000000000d03f 000000000000f03f 000000000000c0bf")
    + bytes.fromhex("d804 12 726973696e6720c3a9")
)


def refuses(each: schema.Schema, data: bytes) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the test looks at the message)
        skipper(each)(data, 0, len(data))
    return str(caught.value)


def test_a_datum_is_encoded_proven_and_decoded():
    assert encoder(DEMO)(VALUES) == DEMO_DATUM
    assert skipper(DEMO)(DEMO_DATUM, 0, len(DEMO_DATUM)) == len(DEMO_DATUM)
    assert decode(DEMO, b"before" + DEMO_DATUM + b"after", 6, 6 + len(DEMO_DATUM)) == VALUES


def test_a_datum_ends_where_it_ends_whatever_follows():
    data = b"\xff" + DEMO_DATUM + DEMO_DATUM
    assert skipper(DEMO)(data, 1, len(data)) == 1 + len(DEMO_DATUM)


def test_a_datum_cut_anywhere_is_none():
    for end in range(len(DEMO_DATUM)):
        with pytest.raises(ValueError, match=r"^(time|sine_wave|ramp|square_wave|noise|counter|message): "):
            skipper(DEMO)(DEMO_DATUM, 0, end)


@settings(max_examples=300)
@given(st.data())
def test_what_the_specification_allows_is_a_datum(data):
    each = data.draw(schemas())
    coded = data.draw(datums(each))
    assert skipper(each)(coded, 0, len(coded)) == len(coded) == reads_to(each, coded)


@settings(max_examples=300)
@given(st.data())
def test_what_is_taken_for_a_datum_fastavro_reads_to_the_same_byte(data):
    each = data.draw(schemas())
    coded = data.draw(damaged(data.draw(datums(each))))
    try:
        end = skipper(each)(coded, 0, len(coded))
    except ValueError:
        return
    assert 0 < end <= len(coded)
    assert reads_to(each, coded) == end


@given(schemas(), st.binary(max_size=40))
def test_random_bytes_are_a_datum_or_a_value_error(each, coded):
    try:
        end = skipper(each)(coded, 0, len(coded))
    except ValueError:
        return
    assert reads_to(each, coded) == end


@settings(max_examples=300)
@given(st.data())
def test_what_was_decoded_is_encoded_to_the_same_values(data):
    each = data.draw(schemas())
    coded = data.draw(datums(each))
    values = decode(each, coded, 0, len(coded))
    assert repr(values) == repr(read(each, coded))
    again = encoder(each)(values)
    assert skipper(each)(again, 0, len(again)) == len(again)
    assert repr(decode(each, again, 0, len(again))) == repr(values)


def test_a_union_takes_the_branch_that_keeps_the_value():
    each = record_of(["null", "bytes", "float", "double", "long", "string"])
    encode = encoder(each)
    values = (None, b"ab", 0.5, 0.1, 5, 2**60 + 1, "abcd", float("inf"), 1e39)
    assert [decode(each, coded := encode({"f0": value}), 0, len(coded))["f0"] for value in values] == list(
        values
    )
    assert encode({"f0": 0.5})[:1] == b"\x04"
    assert encoder(record_of(["null", "long", "float"]))({"f0": 0.1})[:1] == b"\x04"
    assert encoder(record_of(["long", "bytes"]))({"f0": "YQ=="}) == b"\x02\x02a"


TEXT = record_of("string")
NULLS = record_of({"type": "array", "items": "null"})
MAP = record_of({"type": "map", "values": "long"})
WIDE = record_of({"type": "enum", "name": "e", "symbols": [f"S{n}" for n in range(100)]})
BRANCHES = record_of(
    ["null", "boolean", "int", "float", "double", "bytes", "string", {"type": "map", "values": "int"}]
)

BAD = [
    (record_of("boolean"), b"\x02", "f0: no boolean"),
    (record_of("boolean"), b"", "f0: no boolean: the datum ends before it"),
    (record_of("int"), b"\xff\xff\xff\xff\x10", "f0: no int"),
    (record_of("long"), b"\xff" * 9 + b"\x02", "f0: no long"),
    (TEXT, b"\x01", "f0: a length beyond the datum"),
    (TEXT, b"\x08abc", "f0: a length beyond the datum"),
    (TEXT, varint(2**63 - 1), "f0: a length beyond the datum"),
    (TEXT, varint(-(2**63)), "f0: a length beyond the datum"),
    (TEXT, b"\x02\xff", "f0: text that is not UTF-8"),
    (TEXT, b"\x06\xed\xa0\x80", "f0: text that is not UTF-8"),
    (record_of("bytes"), b"\x02", "f0: a length beyond the datum"),
    (record_of({"type": "fixed", "name": "x", "size": 2}), b"a", "f0: fewer than 2 bytes"),
    (WIDE, varint(100), "f0: no index of a symbol"),
    (WIDE, b"\x80\x80\x80\x80\x80\x00", "f0: no index of a symbol"),
    (BRANCHES, varint(8), "f0: no index of a branch"),
    (record_of(["null", "long"]), b"\x04\x00", "f0: no branch of its union"),
    (NULLS, varint(65508) + b"\x00", "f0: a count beyond the datum"),
    (NULLS, (varint(60000) * 2) + b"\x00", "f0: a count beyond the datum"),
    (NULLS, varint(-5) + varint(1) + b"\x00", "f0: a block of another size than it says"),
    (MAP, b"\x02\x02\xff\x00\x00", "f0: text that is not UTF-8"),
    (MAP, b"\x02\x02a\x02", "f0: a count beyond the datum"),
    (MAP, varint(2**62), "f0: a count beyond the datum"),
    (MAP, varint(-1) + varint(4) + b"\x02a\x02\x00", "f0: a block of another size than it says"),
    (MAP, varint(-1) + varint(-3) + b"\x02a\x02\x00", "f0: a block of another size than it says"),
    (
        record_of({"type": "record", "name": "imu", "fields": [{"name": "x", "type": "int"}]}),
        b"\x80",
        "f0.x: no int",
    ),
]


@pytest.mark.parametrize(("each", "data", "reason"), BAD)
def test_a_datum_that_is_none_is_refused_with_the_reason(each, data, reason):
    assert refuses(each, data) == reason


def test_items_of_no_bytes_are_limited_but_allowed():
    data = varint(65507) + b"\x00"
    skip = skipper(NULLS)
    assert [skip(data, 0, len(data)) for _ in range(3)] == [4, 4, 4]


def test_a_reason_is_short_however_long_the_names_are():
    node = "int"
    for letter in "abcdefghij":
        node = {"type": "record", "name": letter, "fields": [{"name": letter * 1000, "type": node}]}
    with pytest.raises(ValueError, match=r"^j{200}") as caught:
        skipper(schema.parse(json.dumps(node)))(b"\x80", 0, 1)
    assert len(str(caught.value)) < 300


def nulls_and_a_boolean(nulls):
    fields = [{"name": f"n{number}", "type": "null"} for number in range(nulls)]
    return {"type": "record", "name": "row", "fields": [*fields, {"name": "on", "type": "boolean"}]}


@pytest.mark.parametrize(
    ("kind", "nulls", "count", "allowed"),
    [
        ("array", 1000, 65, True),
        ("array", 1000, 66, False),  # a datum of 70 bytes would be read to 66,000 values
        ("map", 1000, 65, True),
        ("map", 1000, 66, False),
        ("array", 1, 60_000, True),  # each has a byte to pay for
        ("map", 2, 30_000, True),
    ],
)
def test_values_of_no_bytes_are_limited_in_the_items_of_arrays_and_maps(kind, nulls, count, allowed):
    of = {"array": "items", "map": "values"}[kind]
    skip = skipper(record_of({"type": kind, of: nulls_and_a_boolean(nulls)}))
    data = varint(count) + {"array": b"\x01", "map": b"\x00\x01"}[kind] * count + b"\x00"
    if allowed:
        assert [skip(data, 0, len(data)) for _ in range(2)] == [len(data)] * 2
    else:
        with pytest.raises(ValueError, match="f0: a count beyond the datum"):
            skip(data, 0, len(data))


def test_padded_integers_are_legal():
    assert skipper(WIDE)(b"\xc6\x81\x80\x00", 0, 4) == 4
    assert skipper(TEXT)(b"\x82\x80\x00a", 0, 4) == 4


TYPES = record_of(
    "boolean",
    "int",
    "long",
    "float",
    "double",
    "string",
    "bytes",
    {"type": "fixed", "name": "pair", "size": 2},
    {"type": "enum", "name": "state", "symbols": ["OFF", "ON"]},
    ["null", "double"],
    {"type": "array", "items": "int"},
    {"type": "map", "values": "string"},
    {"type": "record", "name": "imu", "fields": [{"name": "x", "type": "int"}]},
    ["null", "boolean", "long", "string"],
)
GOOD = dict(
    zip(
        (signal.name for signal in TYPES.signals),
        (True, -3, 2**40, 0.5, 1, "é", "AAE=", b"ab", "ON", None, [1, 2], {"a": "b"}, {"x": 1}, "text"),
        strict=True,
    )
)


def test_values_are_encoded_as_the_specification_says():
    assert encoder(TYPES)(GOOD) == b"".join(
        (
            b"\x01",
            b"\x05",
            b"\x80\x80\x80\x80\x80\x40",
            struct.pack("<f", 0.5),
            struct.pack("<d", 1.0),
            b"\x04\xc3\xa9",
            b"\x04\x00\x01",
            b"ab",
            b"\x02",
            b"\x00",
            b"\x04\x02\x04\x00",
            b"\x02\x02a\x02b\x00",
            b"\x02",
            b"\x06\x08text",
        )
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("f0", 1, "f0: 1 is no boolean"),
        ("f1", 2**31, "f1: 2147483648 is out of the range of int"),
        ("f1", 1.0, "f1: 1.0 is no int"),
        ("f1", True, "f1: true is no int"),
        ("f1", "1", "f1: '1' is no int"),
        ("f2", -(2**63) - 1, "f2: -9223372036854775809 is out of the range of long"),
        ("f2", 1 << 5000, "f2: an integer of many digits is out of the range of long"),
        ("f3", 1e39, "f3: 1e+39 is out of the range of float"),
        ("f3", 1 << 2000, "f3: an integer of many digits is out of the range of float"),
        ("f4", "abc", "f4: 'abc' is no double"),
        ("f4", None, "f4: null is no double"),
        ("f4", False, "f4: false is no double"),
        ("f5", 5, "f5: 5 is no string"),
        ("f5", "\ud800", "f5: '\\ud800' is no Unicode text"),
        ("f5", ["a"], "f5: a list is no string"),
        ("f6", "not base64!", "f6: 'not base64!' is no bytes in base64"),
        ("f6", 7, "f6: 7 is no bytes in base64"),
        ("f7", b"abc", "f7: 3 bytes where 2 are due"),
        ("f8", "BROKEN", "f8: 'BROKEN' is no symbol of state"),
        ("f8", ["ON"], "f8: a list is no symbol of state"),
        ("f9", "x" * 100, f"f9: '{'x' * 36}... is no double"),
        ("f10", 1, "f10: 1 is no list"),
        ("f10", [1, "2"], "f10[]: '2' is no int"),
        ("f11", {"a": 1}, "f11{}: 1 is no string"),
        ("f11", [], "f11: a list is no object"),
        ("f12", {}, "f12.x: missing, and it has no default"),
        ("f12", {"x": 1, "y": 2}, "'y' is no signal of f12"),
        ("f13", 0.5, "f13: 0.5 is no one of null, boolean, long, string"),
    ],
)
def test_a_value_that_does_not_fit_is_named(name, value, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the test looks at the message)
        encoder(TYPES)({**GOOD, name: value})
    assert str(caught.value) == message


def test_a_missing_signal_and_one_too_many_are_named():
    with pytest.raises(ValueError, match=r"^counter: missing, and it has no default$"):
        encoder(DEMO)({name: value for name, value in VALUES.items() if name != "counter"})
    with pytest.raises(ValueError, match=r"^'sinewave' is no signal of demo$"):
        encoder(DEMO)({**VALUES, "sinewave": 0.5})
    with pytest.raises(ValueError, match=r"^demo: a list is no object$"):
        encoder(DEMO)([])


def with_default(type_: object, default: object) -> schema.Schema:
    fields = [{"name": "time", "type": "long"}, {"name": "x", "type": type_, "default": default}]
    return schema.parse(json.dumps({"type": "record", "name": "r", "fields": fields}))


@pytest.mark.parametrize(
    ("type_", "default", "coded"),
    [
        ("double", 0.5, struct.pack("<d", 0.5)),
        (["null", "double"], None, b"\x00"),
        (["double", "null"], 0, b"\x00" + bytes(8)),
        ("bytes", "\u00ff\u0000", b"\x04\xff\x00"),
        ({"type": "fixed", "name": "f", "size": 1}, "\u00ff", b"\xff"),
        ({"type": "array", "items": "bytes"}, ["\u00fe"], b"\x02\x02\xfe\x00"),
        ({"type": "map", "values": "int"}, {"a": 1}, b"\x02\x02a\x02\x00"),
        (
            {"type": "record", "name": "p", "fields": [{"name": "y", "type": "bytes"}]},
            {"y": "\u00fd"},
            b"\x02\xfd",
        ),
    ],
)
def test_defaults_stand_in_for_missing_signals(type_, default, coded):
    assert encoder(with_default(type_, default))({"time": 0}) == b"\x00" + coded


def test_a_default_that_does_not_fit_matters_only_when_it_is_needed():
    each = with_default("long", "soon")
    assert encoder(each)({"time": 0, "x": 1}) == b"\x00\x02"
    with pytest.raises(
        ValueError, match=r"^x: missing, and its default does not fit \(x: 'soon' is no long\)$"
    ):
        encoder(each)({"time": 0})


def test_the_same_schema_is_prepared_once():
    again = schema.parse(DEMO.text)
    assert skipper(again) is skipper(DEMO)
    assert encoder(again) is encoder(DEMO)


@pytest.mark.parametrize("value", [0, -1, 1, 63, 64, -64, -65, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)])
def test_longs_take_as_few_bytes_as_they_can(value):
    assert datum.long(value) == varint(value)
