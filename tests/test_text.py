"""Text goes out: the standard library and jq read it, and `rows` makes the same datums of it."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import shutil
import subprocess
from datetime import datetime
from fractions import Fraction

import fastavro
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata import rows, text
from speeddata.avro import schema
from speeddata.batch import Batch
from speeddata.sending import waveforms


def schema_of(*fields: tuple[str, object], **attributes: object) -> schema.Schema:
    listed = [{"name": name, "type": kind} for name, kind in fields]
    return schema.parse(json.dumps({"type": "record", "name": "r", "fields": listed, **attributes}))


def batch_of(of: schema.Schema, values: list[dict[str, object]]) -> Batch:
    """Datums as fastavro writes them."""
    plain = fastavro.parse_schema(of.plain)
    datums = []
    for value in values:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, plain, value)
        datums.append(out.getvalue())
    offsets = np.cumsum([0, *map(len, datums)], dtype=np.int64)
    return Batch(of, b"".join(datums), len(datums), offsets)


TIME = ("time", {"type": "long", "logicalType": "timestamp-nanos"})
RIG = schema_of(
    TIME,
    ("volts", "double"),
    ("note", ["null", "string"]),
    ("raw", "bytes"),
    ("on", "boolean"),
    ("mode", {"type": "enum", "name": "Mode", "symbols": ["IDLE", "RUN"]}),
    ("id", {"type": "fixed", "name": "Id", "size": 2}),
)
NOTES = batch_of(
    RIG,
    [
        {
            "time": 1,
            "volts": 0.1,
            "note": 'é "x", y\n',
            "raw": b"\xff\0",
            "on": True,
            "mode": "RUN",
            "id": b"ab",
        },
        {
            "time": 2**63 - 1,
            "volts": 1e300,
            "note": None,
            "raw": b"",
            "on": False,
            "mode": "IDLE",
            "id": b"cd",
        },
        {
            "time": -(2**63),
            "volts": -0.0,
            "note": "",
            "raw": b"a",
            "on": False,
            "mode": "IDLE",
            "id": b"\0\0",
        },
    ],
)


def test_json_is_exact_to_the_byte():
    assert text.json_lines(NOTES).decode().splitlines() == [
        '{"time": 1, "volts": 0.1, "note": "é \\"x\\", y\\n", "raw": "/wA=", '
        '"on": true, "mode": "RUN", "id": "YWI="}',
        '{"time": 9223372036854775807, "volts": 1e+300, "note": null, "raw": "", '
        '"on": false, "mode": "IDLE", "id": "Y2Q="}',
        '{"time": -9223372036854775808, "volts": -0.0, "note": "", "raw": "YQ==", '
        '"on": false, "mode": "IDLE", "id": "AAA="}',
    ]


def test_csv_is_exact_to_the_byte():
    assert text.csv(NOTES, True).decode() == (
        "time,volts,note,raw,on,mode,id\n"
        '1,0.1,"é ""x"", y\n",/wA=,true,RUN,YWI=\n'
        '9223372036854775807,1e+300,,"",false,IDLE,Y2Q=\n'
        '-9223372036854775808,-0.0,"",YQ==,false,IDLE,AAA=\n'
    )
    assert text.csv(NOTES, False) == text.csv(NOTES, True).partition(b"\n")[2]


def test_the_signals_wanted_come_in_the_order_of_the_schema():
    assert text.json_lines(NOTES, names=["on", "time"]).splitlines()[0] == b'{"time": 1, "on": true}'
    assert text.csv(NOTES, True, names=["on", "time"]).splitlines()[:2] == [b"time,on", b"1,true"]


DOUBLES = st.floats() | st.floats(-1, 1) | st.integers(-(10**17), 10**17).map(lambda n: n / 10**6)


@pytest.mark.parametrize("without", [False, True], ids=["orjson", "without orjson"])
@given(values=st.lists(DOUBLES, min_size=1, max_size=60), exponents=st.lists(st.integers(-320, 308)))
def test_every_double_is_written_as_repr_writes_it(without, values, exponents):
    values = values + [10.0**each for each in exponents] + [math.nextafter(10.0**e, 0) for e in exponents]
    of = schema_of(("x", "double"))
    data = np.array(values, "<f8").tobytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "_FEW", 1)
        if without:
            patch.setattr(text, "orjson", None)
        found = text.csv(Batch(of, data, len(values)), False)
    assert found.decode().splitlines() == list(map(repr, values))


@pytest.mark.parametrize("without", [False, True], ids=["orjson", "without orjson"])
def test_the_same_bytes_are_written_without_orjson(without, monkeypatch):
    of = schema_of(TIME, ("small", "int"), ("single", "float"), ("maybe", ["null", "double"]))
    wanted = [
        {"time": -(2**63) + n, "small": -n, "single": n / 8, "maybe": n / 10 if n % 3 else None}
        for n in range(100)
    ]
    if without:
        monkeypatch.setattr(text, "orjson", None)
    lines = text.json_lines(batch_of(of, wanted)).decode().splitlines()
    assert lines == [json.dumps(each) for each in wanted]


@given(st.lists(st.text(max_size=3) | st.sampled_from(["", "a", "rising"]), min_size=1, max_size=9))
def test_texts_together_are_written_as_each_alone(texts):
    of = schema_of(("x", "string"))
    batch = batch_of(of, [{"x": each} for each in texts])
    alone = [batch_of(of, [{"x": each}]) for each in texts]
    assert text.json_lines(batch) == b"".join(map(text.json_lines, alone))
    assert text.csv(batch, False) == b"".join(text.csv(each, False) for each in alone)


def test_no_datums_are_no_lines():
    empty = batch_of(RIG, [])
    assert text.json_lines(empty) == b""
    assert text.csv(empty, True) == b"time,volts,note,raw,on,mode,id\n"


def test_numbers_that_are_not_finite_are_null_in_json_and_words_in_csv():
    batch = batch_of(schema_of(("x", "double")), [{"x": x} for x in (math.nan, math.inf, -math.inf, 1.0)])
    assert text.json_lines(batch) == b'{"x": null}\n{"x": null}\n{"x": null}\n{"x": 1.0}\n'
    assert text.csv(batch, True) == b"x\nnan\ninf\n-inf\n1.0\n"


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ("\x1b[2J", "\\u001b[2J"),
        ("\x7f", "\\u007f"),
        ("\x9b31m", "\\u009b31m"),
        ("\u202e", "\\u202e"),
        ("\u2028", "\\u2028"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("\t\r\n\0", "\\t\\r\\n\\u0000"),
        ("漢字 é 😀 / %s %", "漢字 é 😀 / %s %"),
        ('\\"', '\\\\\\"'),
    ],
)
def test_what_could_steer_a_terminal_is_escaped_in_json_and_reads_back(value, escaped):
    line = text.json_lines(batch_of(schema_of(("s", "string")), [{"s": value}]))
    assert line.decode() == f'{{"s": "{escaped}"}}\n'
    assert json.loads(line) == {"s": value}


def test_csv_keeps_every_character_except_for_a_terminal():
    batch = batch_of(schema_of(("s", "string")), [{"s": "\x1b[2J\x9b,"}])
    assert text.csv(batch, False).decode() == '"\x1b[2J\x9b,"\n'
    assert text.csv(batch, False, for_terminal=True) == b'"\\x1b[2J\\x9b,"\n'


@pytest.mark.parametrize(
    ("kind", "value", "iso"),
    [
        (
            {"type": "long", "logicalType": "timestamp-nanos"},
            1795323840123456789,
            "2026-11-22T05:04:00.123456789Z",
        ),
        (
            {"type": "long", "logicalType": "timestamp-micros"},
            1795323840123456,
            "2026-11-22T05:04:00.123456000Z",
        ),
        ({"type": "long", "logicalType": "timestamp-millis"}, -1, "1969-12-31T23:59:59.999000000Z"),
    ],
)
def test_iso_times_are_exact(kind, value, iso):
    batch = batch_of(schema_of(("time", kind)), [{"time": value}])
    assert text.json_lines(batch, iso=True).decode() == f'{{"time": "{iso}"}}\n'
    assert text.csv(batch, False, iso=True).decode() == f"{iso}\n"
    for line, reader in (
        (text.json_lines(batch, iso=True), rows.json_lines),
        (text.csv(batch, True, iso=True), rows.csv_rows),
    ):
        assert [again.data for again in reader(batch.schema).feed(line)] == [batch.data]


def test_iso_times_may_come_from_seconds_in_floating_point():
    seconds = schema.parse(
        '{"type":"record","name":"r","fields":[{"name":"time","type":"double","unit":"s"}]}'
    )
    batch = batch_of(seconds, [{"time": x} for x in (1795323840.5, math.nan, 1e300)])
    assert text.json_lines(batch, iso=True).decode().splitlines() == [
        '{"time": "2026-11-22T05:04:00.500000000Z"}',
        '{"time": null}',
        '{"time": 1e+300}',  # a year that RFC 3339 cannot write
    ]


def test_iso_leaves_an_abscissa_alone_whose_unit_nobody_tells():
    assert text.json_lines(batch_of(schema_of(("x", "long")), [{"x": 5}]), iso=True) == b'{"x": 5}\n'


def test_nested_values_are_json_in_lines_and_in_cells():
    nested = schema_of(
        TIME,
        ("a", {"type": "array", "items": "double"}),
        ("k", {"type": "array", "items": "int", "length": 2}),
        ("m", {"type": "map", "values": ["null", "bytes"]}),
        ("u", ["null", "long", "string"]),
        ("o", ["null", {"type": "record", "name": "o", "fields": [{"name": "s", "type": "string"}]}]),
    )
    batch = batch_of(
        nested,
        [
            {
                "time": 1,
                "a": [1.5, math.nan],
                "k": [1, 2],
                "m": {"\x1b": b"\xff", "n": None},
                "u": "x\n",
                "o": {"s": "é"},
            },
            {"time": 2, "a": [], "k": [3, 4], "m": {}, "u": None, "o": None},
        ],
    )
    lines = text.json_lines(batch).decode().splitlines()
    assert lines == [
        '{"time": 1, "a": [1.5, null], "k": [1, 2], "m": {"\\u001b": "/w==", "n": null}, '
        '"u": "x\\n", "o": {"s": "é"}}',
        '{"time": 2, "a": [], "k": [3, 4], "m": {}, "u": null, "o": null}',
    ]
    cells = list(csv.reader(io.StringIO(text.csv(batch, True).decode(), newline="")))
    assert cells == [
        ["time", "a", "k", "m", "u", "o"],
        ["1", "[1.5, null]", "[1, 2]", '{"\\u001b": "/w==", "n": null}', '"x\\n"', '{"s": "é"}'],
        ["2", "[]", "[3, 4]", "{}", "", ""],
    ]


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
def test_jq_reads_what_json_lines_say():
    program = "[.volts, .note, .raw, .on, .mode]"
    done = subprocess.run(
        ["jq", "-c", program], input=text.json_lines(NOTES), capture_output=True, check=True
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        [0.1, 'é "x", y\n', "/wA=", True, "RUN"],
        [1e300, None, "", False, "IDLE"],
        [0, "", "YQ==", False, "IDLE"],
    ]


# --- properties -----------------------------------------------------------------------------------------

ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B", "C"]}
FIXED = {"type": "fixed", "name": "F", "size": 3}
VALUES = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32),
    "double": st.floats(),
    "bytes": st.binary(max_size=9) | st.binary(max_size=2).map(lambda start: start + b"\0"),
    "string": st.text(max_size=9) | st.text("\0\n\r\t ,\"'\\%é\x1b\x9b\u2028", max_size=4),
    "E": st.sampled_from("ABC"),
    "F": st.binary(min_size=3, max_size=3),
}


@st.composite
def batches(draw):
    """Batches of schemas of primitives, nullable or not."""
    kinds = draw(st.lists(st.tuples(st.sampled_from(sorted(VALUES)), st.booleans()), min_size=1, max_size=6))
    fields, values = [("n", "int")], {"n": VALUES["int"]}
    defined = set()
    for place, (kind, nullable) in enumerate(kinds):
        named = {"E": ENUM, "F": FIXED}
        written = named[kind] if kind in named and kind not in defined else kind
        defined.add(kind)
        nullable = nullable and kind != "null"
        fields.append((f"s{place}", ["null", written] if nullable else written))
        values[f"s{place}"] = st.none() | VALUES[kind] if nullable else VALUES[kind]
    listed = draw(st.lists(st.fixed_dictionaries(values), min_size=1, max_size=5))
    return batch_of(schema_of(*fields), listed), listed


def as_json_says(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return None if isinstance(value, float) and not math.isfinite(value) else value


@given(batches())
def test_the_standard_library_reads_the_same_values_from_json(case):
    batch, values = case
    lines = text.json_lines(batch).split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == [
        {name: as_json_says(value) for name, value in row.items()} for row in values
    ]


def as_csv_says(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return "" if value is None else str(value)


@given(batches())
def test_the_standard_library_reads_the_same_cells_from_csv(case):
    batch, values = case
    names, *cells = csv.reader(io.StringIO(text.csv(batch, True).decode(), newline=""), strict=True)
    assert names == [signal.name for signal in batch.schema.signals]
    assert cells == [[as_csv_says(row[name]) for name in names] for row in values]


def datums(found: list[Batch]) -> list[dict[str, object]]:
    """Their values in a form that tells -0.0 from 0.0, and has one NaN for all, as text has."""
    plain = fastavro.parse_schema(found[0].schema.plain)
    values = []
    for batch in found:
        data = io.BytesIO(batch.data)
        values += [fastavro.schemaless_reader(data, plain, None) for _ in range(batch.count)]
    return [
        {
            name: "NaN" if isinstance(value, float) and math.isnan(value) else (value, str(value))
            for name, value in row.items()
        }
        for row in values
    ]


@given(batches())
def test_csv_out_and_in_again_gives_the_same_datums(case):
    batch, _ = case
    assert datums(list(rows.csv_rows(batch.schema).feed(text.csv(batch, True)))) == datums([batch])


@given(batches())
def test_json_out_and_in_again_gives_the_same_datums_but_for_infinities(case):
    batch, values = case
    again = list(rows.json_lines(batch.schema).feed(text.json_lines(batch)))
    lossy = any(isinstance(value, float) and math.isinf(value) for row in values for value in row.values())
    kinds = {signal.name: signal for signal in batch.schema.signals}
    lossy |= any(
        isinstance(value, float) and math.isnan(value) and kinds[name].nullable
        for row in values
        for name, value in row.items()
    )
    assert sum(one.count for one in again) == batch.count
    assert lossy or datums(again) == datums([batch])


@given(first=st.integers(0, 10**9), count=st.integers(1, 300), rate_hz=st.sampled_from([1, 50, 1000, 44100]))
def test_the_demo_signals_go_out_and_in_again_byte_for_byte(first, count, rate_hz):
    of = schema.parse(waveforms.SCHEMA_TEXT)
    columns = waveforms.columns(first, count, start_ns=1795323840_000000000, rate_hz=rate_hz)
    samples = zip(*(column.tolist() for column in columns.values()), strict=True)
    batch = batch_of(of, [dict(zip(columns, sample, strict=True)) for sample in samples])
    for out, reader in ((text.json_lines(batch), rows.json_lines), (text.csv(batch, True), rows.csv_rows)):
        (again,) = reader(of).feed(out)
        assert again == batch
        assert np.array_equal(again.offsets, batch.offsets)


@given(st.floats(-1e9, 4e9))
def test_iso_text_of_a_float_is_the_nearest_nanosecond(seconds):
    of = schema.parse('{"type":"record","name":"r","fields":[{"name":"time","type":"double","unit":"s"}]}')
    line = json.loads(text.json_lines(batch_of(of, [{"time": seconds}]), iso=True))
    whole, fraction = line["time"][:19], Fraction(line["time"][19:-1] or "0")
    told = int(datetime.fromisoformat(whole + "+00:00").timestamp()) + fraction
    assert abs(told - Fraction(seconds)) <= Fraction(1, 2 * 10**9)
