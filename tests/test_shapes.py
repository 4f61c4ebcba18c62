"""The few bytes that decide what a datum is: whatever has them is a datum of the same layout."""

from __future__ import annotations

import struct

import pytest
from avro_data import DEMO, datums, record_of, schemas, varint
from hypothesis import given, settings
from hypothesis import strategies as st

from speeddata.avro.shapes import shape_of
from speeddata.avro.skipper import skipper

DOUBLE = struct.pack("<d", 1.5)  # so that a datum is long enough to have a shape


def demo(number: int, text: bytes = b"rising") -> bytes:
    return varint(10**18 + number) + struct.pack("<4d", *[number] * 4) + varint(number) + varint(6) + text


def shape(each, datum: bytes):
    return shape_of(each, datum, 0, len(datum))


def test_a_run_ends_before_the_first_datum_of_another_layout():
    data = b"".join(demo(number) for number in range(64, 5000))
    found = shape_of(DEMO, data, 0, len(demo(64)))
    assert found.size == 50
    assert found.places == (0, 9, 17, 25, 33, 41, 43, 50)
    assert found.run(data, 0, 4936) == 4936
    assert found.run(data, 0, 700) == 700
    for row in (0, 1, 511, 512, 513, 3000):  # a counter longer than the others, and text as much shorter
        other = demo(row)[:41] + varint(8192) + varint(5) + b"shape"
        assert len(other) == 50
        assert found.run(data[: 50 * row] + other + data[50 * (row + 1) :], 0, 4936) == row


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("boolean", [b"\0", b"\1"], [b"\2", b"\x80"]),
        ("int", [b"\x80\x80\x80\x80\x0f", b"\xff\xff\xff\xff\0"], [b"\x80\x80\x80\x80\x10", b"\0\x80\0\0\0"]),
        (
            "long",
            [b"\xff" * 9 + b"\1", b"\x80" * 9 + b"\0"],
            [b"\xff" * 9 + b"\2", b"\0" + b"\x80" * 8 + b"\0"],
        ),
        ("string", [b"\4ab", b"\4\0\x7f"], [b"\4\xc3\xa9", b"\2ab"]),
        ("bytes", [b"\4ab", b"\4\xff\0"], [b"\6ab", b"\2ab"]),
        (
            {"type": "enum", "name": "E", "symbols": ["A", "B", "C"]},
            [b"\0", b"\2"],
            [b"\4", b"\6", b"\1", b"\x80"],
        ),
        ({"type": "enum", "name": "E", "symbols": ["A", "B", "C"]}, [b"\4"], [b"\0", b"\6"]),
        (["null", "int"], [b"\2\7", b"\2\0"], [b"\0\7", b"\4\7"]),
        (
            {"type": "array", "items": "float"},
            [b"\2abcd\0", b"\2\xff\xff\xff\xff\0"],
            [b"\2abcd\2", b"\4abcd\0"],
        ),
        ({"type": "array", "items": "int"}, [b"\4\7\7\0", b"\4\0\1\0"], [b"\4\x80\1\0", b"\4\7\7\2"]),
    ],
)
def test_what_may_differ_in_one_shape_and_what_may_not(kind, good, bad):
    each = record_of("double", kind)
    for first in good:
        found = shape(each, DOUBLE + first)
        assert [found.run(DOUBLE + other, 0, 1) for other in good] == [1] * len(good)
        assert [found.run(DOUBLE + other, 0, 1) for other in bad] == [0] * len(bad)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", varint(65) + b"x" * 65),
        ("string", varint(2) + "é".encode()),
        ("int", b"\x80\x80\x80\x80\x10"),
        ("boolean", b"\2"),
        ("long", b"\xff" * 10),
        ("bytes", varint(-1)),
        ("bytes", varint(9) + b"short"),
        (["null", "int"], varint(-1) + b"\0"),
        ({"type": "enum", "name": "E", "symbols": ["A", "B", "C"]}, b"\6"),
        ({"type": "map", "values": "int"}, b"\0"),
        ({"type": "array", "items": "int"}, b"\2\7\2\7\0"),
        ({"type": "array", "items": "int"}, varint(-1) + varint(1) + b"\7\0"),
        ({"type": "array", "items": "int"}, varint(17) + bytes(18)),
    ],
)
def test_what_a_few_bytes_do_not_decide_or_is_no_datum_has_no_shape(kind, value):
    assert shape(record_of("double", kind), DOUBLE + value) is None


def test_a_datum_of_less_than_eight_bytes_has_no_shape_nor_has_one_cut_short():
    assert shape(record_of("int"), b"\7") is None
    assert shape_of(record_of("double", "int"), DOUBLE + b"\7", 0, 8) is None
    assert shape_of(record_of("double", "double"), DOUBLE * 2, 0, 12) is None


@settings(max_examples=600)
@given(st.data())
def test_whatever_has_the_shape_of_a_datum_is_one_for_the_skipper_too(data):
    each = data.draw(schemas())
    datum = data.draw(datums(each))
    found = shape(each, datum)
    if found is None:
        return
    assert found.run(datum, 0, 1) == 1
    changed = bytearray(datum)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(datum) - 1))
        changed[at] = data.draw(st.sampled_from((0, 1, 2, 0x7F, 0x80, 0xFF)) | st.integers(0, 255))
    other = bytes(changed)
    if found.run(other, 0, 1):
        assert skipper(each)(other, 0, len(other)) == len(other)
        again = shape(each, other)
        assert again is not None
        assert again.places == found.places
