"""Batches at a time: NumPy and the skipper agree, and columns are what fastavro reads."""

from __future__ import annotations

import itertools
import json
import struct

import numpy as np
import pytest
from avro_data import DEMO, damaged, datums, read, record_of, schemas, varint
from hypothesis import given, settings
from hypothesis import strategies as st

from speeddata.avro import boundaries, codec, schema, slabs
from speeddata.avro.codec import Column
from speeddata.avro.datum import encoder, skipper
from speeddata.batch import Batch
from speeddata.errors import DataError

TIME = 1_790_000_000_000_000_000


@pytest.fixture(params=["numpy for any number of datums", "as set"])
def thresholds(request, monkeypatch):
    """Also with thresholds so low that every batch, however small, takes the way of the large ones."""
    if request.param != "as set":
        monkeypatch.setattr(boundaries, "FEW", 1)
        monkeypatch.setattr(codec, "RUN", 2)
        monkeypatch.setattr(codec, "_SOONER_COPIED", 0)
        monkeypatch.setattr(slabs, "LEAST", 1)
        monkeypatch.setattr(boundaries, "RUN_BEGINS", 1)
        monkeypatch.setattr(boundaries, "FIRST_GUESS", 2)
        monkeypatch.setattr(boundaries, "FIRST_ANCHORED", 2)


def demo_datum(number: int, message: str = "rising", counter: int = 100_000) -> bytes:
    floats = struct.pack("<4d", number / 7, number % 10 / 10, 1.0, -0.25)
    text = message.encode()
    return varint(TIME + number * 1_000_000) + floats + varint(counter + number) + varint(len(text)) + text


def bounds(pieces: list[bytes]) -> np.ndarray:
    return np.array([0, *itertools.accumulate(map(len, pieces))], np.int64)


def one_by_one(each: schema.Schema, pieces: list[bytes]) -> list[bool]:
    skip = skipper(each)

    def good(piece: bytes) -> bool:
        try:
            return skip(piece, 0, len(piece)) == len(piece)
        except ValueError:
            return False

    return [good(piece) for piece in pieces]


def judged(each: schema.Schema, pieces: list[bytes]) -> list[bool]:
    verdict = codec.valid(each, b"".join(pieces), bounds(pieces))
    assert verdict is None or not verdict.all()
    for behind in (b"\xff" * 15, b"\xff" * 16, bytes(40)):  # is no part of the last datum
        assert np.array_equal(codec.valid(each, b"".join(pieces) + behind, bounds(pieces)), verdict)
    return [True] * len(pieces) if verdict is None else verdict.tolist()


def batch_of(each: schema.Schema, pieces: list[bytes]) -> Batch:
    return Batch(each, b"".join(pieces), len(pieces))


def rows(found: dict[str, Column]) -> list[dict[str, object]]:
    """Columns as fastavro gives records: None where there is no value."""
    lists = {}
    for name, column in found.items():
        values = column.values.tolist()
        if column.valid is not None:
            there = column.valid.tolist()
            values = [value if valid else None for value, valid in zip(values, there, strict=True)]
        lists[name] = values
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


@st.composite
def batches(draw, *, worst=False):
    """A schema and datums of it: in runs, or all different; with *worst*, damaged ones too."""
    each = draw(schemas())
    seeds = draw(st.lists(datums(each), min_size=1, max_size=4))
    if worst:
        seeds += [draw(damaged(draw(st.sampled_from(seeds)))) for _ in range(draw(st.integers(0, 3)))]
    lengths = st.sampled_from((1, 1, 2, 3, 20))
    pieces = draw(st.lists(st.tuples(st.sampled_from(seeds), lengths), min_size=1, max_size=8))
    return each, [seed for seed, length in pieces for _ in range(length)]


@pytest.mark.parametrize("message", ["rising", "", "é 漢 🚀", "x" * 300])
@pytest.mark.parametrize("count", [1, 99, 1000])
def test_demo_datums_are_valid_found_and_read(count, message):
    pieces = [demo_datum(number, message) for number in range(count)]
    assert codec.valid(DEMO, b"".join(pieces), bounds(pieces)) is None
    batch = batch_of(DEMO, pieces)
    assert codec.offsets(batch).tolist() == bounds(pieces).tolist()
    assert codec.abscissa(batch).tolist() == [TIME + number * 1_000_000 for number in range(count)]
    assert rows(codec.columns(batch)) == [read(DEMO, piece) for piece in pieces]


def test_datums_of_any_length_are_valid_found_and_read():
    pieces = [demo_datum(number, "é" * (number % 40), counter=-500 + number) for number in range(1000)]
    assert codec.valid(DEMO, b"".join(pieces), bounds(pieces)) is None
    batch = batch_of(DEMO, pieces)
    assert codec.offsets(batch).tolist() == bounds(pieces).tolist()
    assert rows(codec.columns(batch)) == [read(DEMO, piece) for piece in pieces]


def test_of_many_bytes_the_last_datums_are_looked_at_as_closely_as_the_others():
    pieces = [demo_datum(number, "x" * 300) for number in range(1000)]
    for bad in (0, 500, 998, 999):
        for worse in (pieces[bad][:-1], pieces[bad] + b"\0"):
            sent = [*pieces[:bad], worse, *pieces[bad + 1 :]]
            assert np.flatnonzero(~np.array(judged(DEMO, sent))).tolist() == [bad]


@settings(max_examples=300)
@given(batches(worst=True))
@pytest.mark.usefixtures("thresholds")
def test_valid_says_what_the_skipper_says_of_each_datum(found):
    each, pieces = found
    assert judged(each, pieces) == one_by_one(each, pieces)


@settings(max_examples=300)
@given(batches())
@pytest.mark.usefixtures("thresholds")
def test_boundaries_are_found_in_a_block(found):
    each, pieces = found
    assert judged(each, pieces) == [True] * len(pieces)
    batch = batch_of(each, pieces)
    assert codec.offsets(batch).tolist() == bounds(pieces).tolist()
    assert codec.offsets(batch) is batch.offsets


@settings(max_examples=300)
@given(batches(worst=True))
@pytest.mark.usefixtures("thresholds")
def test_boundaries_are_those_that_the_skipper_finds_or_none(found):
    each, pieces = found
    data, skip = b"".join(pieces), skipper(each)
    expected, pos = [0], 0
    try:
        for _ in pieces:
            pos = skip(data, pos, len(data))
            expected.append(pos)
    except ValueError:
        pos = -1
    batch = batch_of(each, pieces)
    if pos == len(data):
        assert codec.offsets(batch).tolist() == expected
    else:
        with pytest.raises(DataError):
            codec.offsets(batch)


@settings(max_examples=300)
@given(batches())
@pytest.mark.usefixtures("thresholds")
def test_columns_are_what_fastavro_reads(found):
    each, pieces = found
    expected = [read(each, piece) for piece in pieces]
    assert repr(rows(codec.columns(batch_of(each, pieces)))) == repr(expected)


def test_usual_types_are_read_without_fastavro_reading_each_datum(monkeypatch):
    each = record_of(
        *("boolean", "int", "long", "float", "double", "string", "bytes"),
        *(["null", "boolean"], ["int", "null"], ["null", "double"], ["null", "string"]),
        {"type": "fixed", "name": "f", "size": 2},
        {"type": "enum", "name": "e", "symbols": ["A", "B"]},
        ["null", "e"],
        {"type": "array", "items": "float", "length": 2},
        ["null", {"type": "array", "items": "double", "length": 1}],
    )

    def values(number: int) -> tuple[object, ...]:
        there = number % 3 > 0
        return (
            *(number % 2 == 0, -number, number**5, 0.5, number / 7, "é" * (number % 5), b"x" * (number % 4)),
            *(there or None, None if there else number, 0.25 if there else None, "text" if there else None),
            *(b"ab", "AB"[number % 2], None if there else "B", [0.5, number], [1.5] if there else None),
        )

    names = [signal.name for signal in each.signals]
    pieces = [encoder(each)(dict(zip(names, values(number), strict=True))) for number in range(300)]
    expected = [read(each, piece) for piece in pieces]
    monkeypatch.setattr(codec, "decode", None)
    assert rows(codec.columns(batch_of(each, pieces))) == expected


@settings(max_examples=200)
@given(batches(), st.data())
def test_some_columns_are_the_same_as_all(found, data):
    each, pieces = found
    names = data.draw(st.sets(st.sampled_from([signal.name for signal in each.signals])))
    batch = batch_of(each, pieces)
    every, some = codec.columns(batch), codec.columns(batch, names)
    assert some.keys() == names
    assert list(some) == [name for name in every if name in names]
    for name, column in some.items():
        assert repr(column) == repr(every[name])


TIMES = st.lists(
    st.integers(-(2**63), 2**63 - 1) | st.integers(TIME, TIME + 10**9) | st.integers(-70, 70),
    min_size=1,
    max_size=40,
)


@given(st.lists(st.sampled_from(["float", "double"]), max_size=2), TIMES, st.integers(0, 3), st.booleans())
def test_the_abscissa_alone_is_the_abscissa_among_the_columns(before, times, padding, known):
    types = [*before, "long", "string"]
    names = [*"ab"[: len(before)], "time", "text"]
    fields = [{"name": name, "type": kind} for name, kind in zip(names, types, strict=True)]
    each = schema.parse(json.dumps({"type": "record", "name": "r", "fields": fields}))
    datums = []
    for time in times:
        coded = varint(time, padding=min(padding, 10 - len(varint(time))))
        datums.append(
            struct.pack("<" + "".join(kind[0] for kind in before), *[0.5] * len(before)) + coded + b"\x02a"
        )
    batch = batch_of(each, datums)
    if known:
        batch.offsets = bounds(datums)
    assert codec.abscissa(batch).tolist() == times


def test_an_abscissa_beyond_its_datum_is_damage():
    each = record_of("long", "string")
    data = (varint(TIME) + b"\x00") * 3
    for wrong in ([0, 10, 12, 30], [0, 10, 20, 27], [-3, 10, 20, 30], [0, 10, 20, 31]):
        with pytest.raises(DataError):
            codec.abscissa(Batch(each, data, 3, np.array(wrong)))


@settings(max_examples=300)
@given(batches())
def test_encoded_columns_are_the_same_columns(found):
    each, pieces = found
    before = codec.columns(batch_of(each, pieces))
    batch = codec.encode(each, before)
    ends = batch.offsets.tolist()
    assert judged(each, [batch.data[a:b] for a, b in itertools.pairwise(ends)]) == [True] * len(pieces)
    if not any(signal.kind in ("union", "array", "map", "record") for signal in each.signals):
        assert repr(rows(codec.columns(batch))) == repr(rows(before))


def test_encode_writes_what_the_encoder_writes():
    pieces = [demo_datum(number, "x" * (number % 5), counter=number - 10) for number in range(300)]
    batch = codec.encode(DEMO, codec.columns(batch_of(DEMO, pieces)))
    assert (batch.data, batch.count) == (b"".join(pieces), 300)
    assert batch.offsets.tolist() == bounds(pieces).tolist()
    encode = encoder(DEMO)
    assert [encode(read(DEMO, piece)) for piece in pieces] == pieces


INT, LONG, TEXT = record_of("int"), record_of("long"), record_of("string")
ENUM = record_of({"type": "enum", "name": "e", "symbols": ["A", "B", "C"]})
UNION = record_of(["null", "double"])
DOUBLES = record_of({"type": "array", "items": "double"})
BAD = {
    "boolean 2": (record_of("boolean"), b"\x00", b"\x02"),
    "an int beyond 32 bits": (INT, b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x1f"),
    "an int of six bytes": (INT, b"\x80\x80\x80\x80\x00", b"\x80\x80\x80\x80\x80\x00"),
    "a long beyond 64 bits": (LONG, b"\xff" * 9 + b"\x01", b"\xff" * 9 + b"\x02"),
    "a long of eleven bytes": (LONG, b"\x80" * 9 + b"\x00", b"\x80" * 10 + b"\x00"),
    "a long without an end": (LONG, b"\x80\x00", b"\x80\x80"),
    "text that is not UTF-8": (TEXT, b"\x04\xc3\xa9", b"\x04\xc3\x28"),
    "text that is cut inside a character": (TEXT, b"\x02a", b"\x02\xc3"),
    "text that begins inside a character": (TEXT, b"\x02a", b"\x02\xa9"),
    "an overlong character": (TEXT, b"\x04\xc3\xa9", b"\x04\xc0\x80"),
    "a surrogate": (TEXT, b"\x06\xe6\xbc\xa2", b"\x06\xed\xa0\x80"),
    "a negative length": (TEXT, b"\x02a", b"\x01a"),
    "a length beyond the datum": (TEXT, b"\x04ab", b"\x06ab"),
    "a length of 2**62": (TEXT, b"\x04ab", varint(2**62) + b"ab"),
    "a length of 2**63 - 1": (TEXT, b"\x04ab", varint(2**63 - 1) + b"ab"),
    "a byte left over": (TEXT, b"\x04ab", b"\x02ab"),
    "an enum of no symbol": (ENUM, b"\x04", b"\x06"),
    "a negative enum": (ENUM, b"\x00", b"\x01"),
    "a union of no branch": (UNION, b"\x00", b"\x04"),
    "a union of a negative branch": (UNION, b"\x00", b"\x01"),
    "a branch that is cut": (UNION, b"\x02" + bytes(8), b"\x02" + bytes(7)),
    "a double that is cut": (record_of("double"), bytes(8), bytes(7)),
    "a fixed that is cut": (record_of({"type": "fixed", "name": "x", "size": 3}), bytes(3), bytes(2)),
    "an array without an end": (DOUBLES, b"\x02" + bytes(9), b"\x02" + bytes(8)),
    "an array of 2**62": (DOUBLES, b"\x02" + bytes(9), varint(2**62) + bytes(9)),
    "an array whose bytes are 2**64": (DOUBLES, b"\x02" + bytes(9), varint(2**61) + b"\x00"),
    "an array of -2**63": (DOUBLES, b"\x02" + bytes(9), varint(-(2**63)) + bytes(9)),
    "a datum of no bytes": (LONG, b"\x00", b""),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("where", ["among good ones", "among good ones of many sizes", "alone", "everywhere"])
def test_a_bad_datum_is_found(name, where):
    each, good, bad = BAD[name]
    pieces = [good] * 300
    if where == "among good ones of many sizes":
        pieces = [each_piece for piece in pieces for each_piece in (piece, GOOD.get(id(each), piece))]
    if where == "alone":
        pieces = []
    pieces.insert(len(pieces) // 2, bad)
    if where == "everywhere":
        pieces = [bad] * 300
    assert judged(each, pieces) == one_by_one(each, pieces) == [piece != bad for piece in pieces]


GOOD = {
    id(INT): b"\x80\x01",
    id(LONG): varint(2**40),
    id(TEXT): b"\x14" + b"0123456789",
    id(ENUM): b"\x80\x00",
    id(UNION): b"\x02" + bytes(8),
    id(DOUBLES): b"\x00",
}


def test_texts_are_judged_one_by_one_though_together_they_are_utf8():
    # é in two halves: end to end they are UTF-8
    pieces = [b"\x02\xc3", b"\x02\xa9"] * 100
    assert judged(TEXT, pieces) == [False] * 200


@pytest.mark.parametrize(
    ("count", "data"), [(2, b"\x00"), (1, b"\x00\x00"), (0, b"\x00"), (-1, b""), (2**40, b"\x00")]
)
def test_a_block_that_its_datums_do_not_fill_is_refused(count, data):
    with pytest.raises(DataError):
        codec.offsets(Batch(LONG, data, count))


def test_an_empty_batch_has_empty_columns():
    batch = Batch(DEMO, b"", 0)
    assert codec.offsets(batch).tolist() == [0]
    assert {name: len(column.values) for name, column in codec.columns(batch).items()} == dict.fromkeys(
        (signal.name for signal in DEMO.signals), 0
    )
    assert codec.abscissa(batch).dtype == np.int64
    assert codec.valid(DEMO, b"", np.zeros(1, np.int64)) is None
    assert codec.encode(DEMO, codec.columns(batch)).data == b""


def test_dtypes_are_those_of_the_schema():
    each = record_of(
        "boolean", "int", "long", "float", "double", ["null", "int"], ["float", "null"], "string"
    )
    datum = b"\x01\x02\x04" + struct.pack("<fd", 0.5, 0.25) + b"\x00\x02\x02a"
    for count in (1, 200):
        found = codec.columns(batch_of(each, [datum] * count))
        assert [column.values.dtype.str for column in found.values()] == [
            *("|b1", "<i4", "<i8", "<f4", "<f8", "<i4", "<f4", "|O")
        ]
        assert np.isnan(found["f6"].values).all()
        assert not found["f5"].valid.any()
        assert found["f0"].valid is None


def test_arrays_of_the_promised_length_are_rows():
    each = record_of(
        {"type": "array", "items": "double", "length": 2}, {"type": "array", "items": "int", "length": 1}
    )
    datum = b"\x04" + struct.pack("<2d", 0.5, 0.25) + b"\x00" + b"\x02\x08\x00"
    found = codec.columns(batch_of(each, [datum] * 200))
    assert found["f0"].values.tolist() == [[0.5, 0.25]] * 200
    assert found["f0"].values.dtype == np.float64
    assert (found["f1"].values.shape, found["f1"].values.dtype) == ((200, 1), np.int32)


def test_an_array_that_breaks_the_promise_is_kept_as_it_is():
    each = record_of({"type": "array", "items": "double", "length": 1}, "long")
    kept, broken = b"\x02" + bytes(9) + b"\x00", b"\x04" + bytes(17) + b"\x00"
    for pieces in ([kept] * 300 + [broken] * 300, [kept, broken] * 100):
        values = codec.columns(batch_of(each, pieces))["f0"].values
        assert values.dtype == object
        assert values.tolist() == [[0.0] if piece == kept else [0.0, 0.0] for piece in pieces]


def test_an_array_in_several_blocks_is_read():
    datum = varint(-1) + varint(8) + struct.pack("<d", 0.5) + b"\x02" + struct.pack("<d", 1.5) + b"\x00"
    pieces = [datum] * 200
    assert judged(DOUBLES, pieces) == [True] * 200
    assert codec.columns(batch_of(DOUBLES, pieces))["f0"].values.tolist() == [[0.5, 1.5]] * 200


def test_items_of_no_bytes_are_counted_over_the_whole_datum():
    each = record_of({"type": "array", "items": {"type": "array", "items": "null"}})
    most = b"\x04" + (varint(32753) + b"\x00") + (varint(32754) + b"\x00") + b"\x00"
    more = b"\x04" + (varint(32754) + b"\x00") * 2 + b"\x00"
    assert judged(each, [most, more] * 100) == [True, False] * 100


def test_records_of_nulls_are_counted_in_long_batches_too():
    fields = [{"name": f"n{number}", "type": "null"} for number in range(1000)]
    row = {"type": "record", "name": "row", "fields": [*fields, {"name": "on", "type": "double"}]}
    each = record_of({"type": "array", "items": row})
    most, more = (varint(count) + b"12345678" * count + b"\x00" for count in (66, 67))
    assert judged(each, [most, more] * 100) == [True, False] * 100


def test_an_abscissa_that_is_null_has_a_value_that_no_time_has():
    each = record_of(["null", "long"])
    assert codec.abscissa(batch_of(each, [b"\x00", b"\x02\x08"])).tolist() == [-(2**63), 4]
    each = record_of(["null", "float"])
    values = codec.abscissa(batch_of(each, [b"\x00", b"\x02" + struct.pack("<f", 0.5)]))
    assert (repr(values.tolist()), values.dtype) == ("[nan, 0.5]", np.float64)


def test_an_abscissa_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="f0 is of type string"):
        codec.abscissa(batch_of(TEXT, [b"\x02a"]))


def test_a_length_of_63_bits_is_refused_where_positions_differ():
    each = record_of("string", "string")
    pieces = [varint(number % 9) + b"x" * (number % 9) + varint(2**63 - 1) for number in range(300)]
    assert judged(each, pieces) == [False] * 300


def test_a_cut_datum_at_the_end_is_refused_though_another_is_bad_before_it():
    each = record_of("double", "double", "double", "boolean", "double", "double", "double", "string")
    good = [
        bytes(24) + b"\x01" + bytes(24) + varint(number % 9) + b"x" * (number % 9) for number in range(300)
    ]
    bad = bytes(24) + b"\x02" + bytes(25)
    cut = bytes(24) + b"\x01"
    assert judged(each, [bad, *good, cut]) == [False, *[True] * 300, False]


@pytest.mark.parametrize("text", ["\0", "a\0", "\0\0a", ""])
@pytest.mark.parametrize("others", [[], ["b"], ["\0"]])
def test_text_keeps_its_nuls(text, others):
    batch = codec.encode(TEXT, {"f0": [text, *others] * 100})
    assert codec.columns(batch)["f0"].values.tolist() == [text, *others] * 100


@pytest.mark.parametrize("name", BAD)
def test_a_run_of_datums_of_no_bytes_is_a_run_of_bad_ones(name):
    each, good, _ = BAD[name]
    assert judged(each, [b""] * 300) == [False] * 300
    assert judged(each, [good] * 300 + [b""] * 300) == [True] * 300 + [False] * 300


def test_arrays_of_integers_are_proven_in_a_run_of_datums_of_no_bytes():
    each = record_of({"type": "array", "items": "long"})
    assert judged(each, [b""] * 300 + [b"\x02\x02\x00"] * 300) == [False] * 300 + [True] * 300


def test_an_unknown_signal_is_a_key_error():
    with pytest.raises(KeyError, match="nothing"):
        codec.columns(batch_of(LONG, [b"\x00"]), ["f0", "nothing"])


@pytest.mark.parametrize("offsets", [[0, 5], [0, 1, 3], [0, 0, 2]])
def test_wrong_offsets_are_told_and_never_read_beyond_the_data(offsets):
    batch = Batch(TEXT, b"\x04ab"[: offsets[-1]], len(offsets) - 1, np.array(offsets, np.int64))
    with pytest.raises(DataError):
        codec.columns(batch)


REFUSED = [
    (LONG, {}, "columns"),
    (LONG, {"f0": [1], "f1": [1]}, "columns"),
    (record_of("long", "long"), {"f0": [1], "f1": [1, 2]}, "different lengths"),
    (LONG, {"f0": [1.0]}, "f0: values of type float64 are no long"),
    (LONG, {"f0": [True]}, "no long"),
    (LONG, {"f0": [None]}, "no long"),
    (LONG, {"f0": [2**63]}, "range"),
    (LONG, {"f0": np.array([2**64 - 1], np.uint64)}, "range"),
    (LONG, {"f0": np.zeros((1, 2), np.int64)}, "shape"),
    (LONG, {"f0": Column(np.array([1]), np.array([False]))}, "not nullable"),
    (INT, {"f0": [2**31]}, "range"),
    (record_of("double"), {"f0": ["1.0"]}, "no double"),
    (record_of("boolean"), {"f0": [1]}, "no boolean"),
    (TEXT, {"f0": [1]}, "f0: 1 is no string"),
    (TEXT, {"f0": ["\ud800"]}, "f0"),
    (ENUM, {"f0": ["D"]}, "f0: 'D' is no symbol"),
]


@pytest.mark.parametrize(("each", "columns", "message"), REFUSED)
def test_columns_that_the_schema_cannot_hold_are_refused(each, columns, message):
    with pytest.raises(ValueError, match=message):
        codec.encode(each, columns)


def test_lists_with_none_make_nullable_signals():
    each = record_of(["null", "long"], ["string", "null"])
    batch = codec.encode(each, {"f0": [1, None, -1], "f1": [None, "a", None]})
    assert batch.data == b"\x02\x02\x02" + b"\x00\x00\x02a" + b"\x02\x01\x02"


def test_a_hundred_signals_are_read_in_their_places():
    fields = [{"name": "time", "type": "long"}] + [{"name": f"s{n}", "type": "double"} for n in range(100)]
    each = schema.parse(json.dumps({"type": "record", "name": "wide", "fields": fields}))
    pieces = [varint(row) + struct.pack("<100d", *range(row, row + 100)) for row in range(500)]
    found = codec.columns(batch_of(each, pieces), ["s0", "s7", "s99"])
    assert {name: column.values.tolist() for name, column in found.items()} == {
        f"s{n}": [float(row + n) for row in range(500)] for n in (0, 7, 99)
    }
