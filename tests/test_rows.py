"""JSON Lines and CSV come in; an independent library reads the datums that they became."""

from __future__ import annotations

import io
import itertools
import json
import math
import time

import fastavro
import pytest

from speeddata import rows
from speeddata.avro import schema
from speeddata.errors import DataError

RIG = schema.parse(
    json.dumps(
        {
            "type": "record",
            "name": "rig",
            "fields": [
                {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
                {"name": "volts", "type": "double"},
                {"name": "on", "type": "boolean", "default": False},
                {"name": "note", "type": ["null", "string"], "default": None},
                {"name": "raw", "type": "bytes", "default": ""},
                {
                    "name": "mode",
                    "type": {"type": "enum", "name": "Mode", "symbols": ["IDLE", "RUN"]},
                    "default": "IDLE",
                },
            ],
        }
    )
)
REST = {"on": False, "note": None, "raw": b"", "mode": "IDLE"}


def decoded(batch, of=RIG):
    """The values of each datum, as fastavro reads them."""
    plain = fastavro.parse_schema(of.plain)
    edges = batch.offsets.tolist()
    assert (edges[0], edges[-1], len(edges)) == (0, len(batch.data), batch.count + 1)
    pieces = (batch.data[start:end] for start, end in itertools.pairwise(edges))
    return [fastavro.schemaless_reader(io.BytesIO(piece), plain, None) for piece in pieces]


def read(reader, *pieces: bytes):
    batches = [batch for piece in pieces for batch in reader.feed(piece)] + list(reader.finish())
    return [value for batch in batches for value in decoded(batch, reader.schema)]


JSON_TEXT = (
    b'{"time": 1, "volts": 0.5}\n\n'
    b'{"volts": 2, "time": 9223372036854775807, "note": "\xc3\xa9\\n", '
    b'"raw": "/wA=", "mode": "RUN", "on": true}\r\n'
    b'{"time": -1, "volts": -0.0}'
)
CSV_TEXT = (
    b"time,volts,note,mode,raw,on\r\n"
    b"1,0.5,,IDLE,,false\r\n\r\n"
    b'9223372036854775807,2,"\xc3\xa9\n",RUN,/wA=,true\n'
    b"-1,-0.0,,IDLE,,0"
)
VALUES = [
    {"time": 1, "volts": 0.5, **REST},
    {"time": 2**63 - 1, "volts": 2.0, "note": "é\n", "raw": b"\xff\0", "mode": "RUN", "on": True},
    {"time": -1, "volts": -0.0, **REST},
]
KINDS = pytest.mark.parametrize(("kind", "text"), [(rows.json_lines, JSON_TEXT), (rows.csv_rows, CSV_TEXT)])


@KINDS
@pytest.mark.parametrize("step", [1, 2, 7, 65536])
def test_rows_survive_any_cut(kind, text, step):
    pieces = [text[i : i + step] for i in range(0, len(text), step)]
    assert read(kind(RIG), *pieces) == VALUES


@KINDS
def test_all_rows_that_are_whole_make_one_batch(kind, text):
    reader = kind(RIG)
    (batch,) = reader.feed(text)
    assert batch.count == 2
    (last,) = reader.finish()
    assert last.count == 1
    assert list(reader.finish()) == []


@KINDS
def test_a_byte_order_mark_is_passed_over(kind, text):
    assert read(kind(RIG), b"\xef", b"\xbb\xbf" + text) == VALUES


@KINDS
def test_a_stamp_takes_the_place_of_the_abscissa(kind, text):
    times = iter((10, 20, 30))
    reader = kind(RIG, stamp=lambda: next(times))
    assert [value["time"] for value in read(reader, text)] == [10, 20, 30]


def test_a_stamped_row_needs_no_abscissa():
    assert read(rows.json_lines(RIG, stamp=lambda: 7), b'{"volts": 1}\n') == [
        {"time": 7, "volts": 1.0, **REST}
    ]
    assert read(rows.csv_rows(RIG, stamp=lambda: 7), b"volts\n1\n") == [{"time": 7, "volts": 1.0, **REST}]


@KINDS
def test_nothing_in_is_nothing_out(kind, text):
    assert read(kind(RIG), b"") == []
    assert read(kind(RIG), b"\n") == []


def refusal(reader, text: bytes) -> str:
    with pytest.raises(DataError) as caught:
        read(reader, text)
    return str(caught.value)


GOOD = b'{"time": 1, "volts": 1}\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"time": 1, "volts": "abc"}', "volts: 'abc' is no double"),
        (b'{"time": 1.5, "volts": 1}', "time: 1.5 is no long"),
        (b'{"time": 1e3, "volts": 1}', "time: 1000.0 is no long"),
        (
            b'{"time": 9223372036854775808, "volts": 1}',
            "time: 9223372036854775808 is out of the range of long",
        ),
        (b'{"time": true, "volts": 1}', "time: true is no long"),
        (b'{"volts": 1}', "time: missing, and it has no default"),
        (b'{"time": 1, "volts": 1, "x": 1}', "'x' is no signal of rig"),
        (b'{"time": 1, "volts": 1, "mode": "STOP"}', "mode: 'STOP' is no symbol of Mode"),
        (b'{"time": 1, "volts": 1, "raw": "?"}', "raw: '?' is no bytes in base64"),
        (b'{"time": 1, "volts": 1', "not JSON: Expecting ',' delimiter at character 23"),
        (b'{"time": 1} {}', "not JSON: Extra data at character 13"),
        (b"[1, 2]", "not a JSON object"),
        (b"7", "not a JSON object"),
        (b'{"time": 1, "volts": 1, "note": "\xff"}', "not UTF-8; save the text as UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"time": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
        (
            b'{"time": 1, "volts": 1, "note": "' + b"x" * 65_600 + b'"}',
            "a datum of 65616 bytes; a datagram carries 65507",
        ),
        (b'{"time": "2026-11-22", "volts": 1}', "time: '2026-11-22' is no moment"),
        (b'{"time": "yesterday", "volts": 1}', "time: 'yesterday' is no long"),
    ],
)
def test_json_that_does_not_fit_is_refused_by_line(line, message):
    text = GOOD * 2 + b"\n" + GOOD + line
    assert refusal(rows.json_lines(RIG, where="in.jsonl"), text + b"\n" + GOOD).startswith(
        f"in.jsonl: line 5: {message}"
    )
    assert refusal(rows.json_lines(RIG), text).startswith(f"line 5: {message}")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"1,abc,", "volts: 'abc' is no double"),
        (b"1,,", "volts: '' is no double"),
        (b"1_0,1,", "time: '1_0' is no long"),
        (b"1.0,1,", "time: '1.0' is no long"),
        (b"\xd9\xa3,1,", "time: '\u0663' is no long"),
        (b"9223372036854775808,1,", "time: 9223372036854775808 is out of the range of long"),
        (b"1,1", "2 cells where the first line names 3"),
        (b"1,1,,", "4 cells where the first line names 3"),
        (b'1,1,a"b"', "cell 3 has a quote in its middle"),
        (b'1,1,"a"b', "cell 3 has a quote in its middle"),
        (b"1,1,\xff", "not UTF-8"),
    ],
)
def test_csv_that_does_not_fit_is_refused_by_line(row, message):
    text = b"time,volts,note\n" + b'1,1,"two\nlines"\n\n' + row
    assert refusal(rows.csv_rows(RIG), text + b"\n1,1,\n").startswith(f"line 5: {message}")


@pytest.mark.parametrize(
    ("heading", "message"),
    [
        (b"time,vots", "line 1: there is no signal 'vots'; did you mean volts?"),
        (b"1,2", "line 1: there is no signal '1'; the first line names the columns"),
        (b"time,time", "line 1: two columns are named 'time'"),
    ],
)
def test_a_first_line_that_names_no_signals_is_refused(heading, message):
    assert refusal(rows.csv_rows(RIG), heading + b"\n1,1\n") == message


def test_a_quote_that_is_never_closed_is_told_where_it_began():
    text = b'time,volts,note\n1,1,"never\nclosed\n'
    assert refusal(rows.csv_rows(RIG), text) == "line 2: a quote is never closed"


@KINDS
def test_what_came_before_a_bad_row_is_not_lost(kind, text):
    good = text + b"\n"
    reader = kind(RIG)
    batches = reader.feed(good + b"bad\n")
    assert next(batches).count == 3
    with pytest.raises(DataError, match="line"):
        next(batches)


def flood(reader, piece: bytes) -> None:
    for _ in range(100):
        list(reader.feed(piece))


@pytest.mark.parametrize("kind", [rows.json_lines, rows.csv_rows])
def test_a_line_without_end_is_refused_before_it_fills_the_memory(kind):
    reader = kind(RIG)
    with pytest.raises(DataError, match="line 1: the line is longer than 1048576 bytes"):
        flood(reader, b"x" * 65536)


def test_a_quoted_cell_without_end_is_refused_before_it_fills_the_memory():
    reader = rows.csv_rows(RIG)
    list(reader.feed(b'time,volts,note\n1,1,"'))
    with pytest.raises(DataError, match="line 2: the line is longer"):
        flood(reader, b"x\n" * 32768)


def test_null_is_nan_where_the_schema_knows_no_null():
    (value,) = read(rows.json_lines(RIG), b'{"time": 1, "volts": null}\n')
    assert math.isnan(value["volts"])


def test_so_it_is_inside_of_arrays_maps_and_records_and_nowhere_else():
    deep = {
        "type": "record",
        "name": "Deep",
        "fields": [{"name": "x", "type": "double"}, {"name": "n", "type": ["null", "double"]}],
    }
    nested = schema.parse(
        json.dumps(
            {
                "type": "record",
                "name": "nested",
                "fields": [
                    {"name": "time", "type": "long"},
                    {"name": "cells", "type": {"type": "array", "items": "float"}},
                    {"name": "by_name", "type": {"type": "map", "values": {"type": "array", "items": deep}}},
                ],
            }
        )
    )
    row = {"time": 1, "cells": [1.5, None], "by_name": {"a": [{"x": None, "n": None}], "b": []}}
    (value,) = read(rows.json_lines(nested), json.dumps(row).encode() + b"\n")
    assert math.isnan(value["cells"].pop())
    assert math.isnan(value["by_name"]["a"][0].pop("x"))
    assert value == {"time": 1, "cells": [1.5], "by_name": {"a": [{"n": None}], "b": []}}
    for wrong in (
        {**row, "by_name": {"a": [None]}},
        {**row, "by_name": None},
        {**row, "cells": 5},
        {**row, "by_name": {"a": 7}},
        {**row, "time": None},
    ):
        with pytest.raises(DataError, match="line 1"):
            read(rows.json_lines(nested), json.dumps(wrong).encode() + b"\n")


@pytest.mark.parametrize(
    ("cell", "value"), [(b"inf", math.inf), (b"-Infinity", -math.inf), (b"+1e3", 1e3), (b".5", 0.5)]
)
def test_csv_may_hold_every_double(cell, value):
    assert read(rows.csv_rows(RIG), b"time,volts\n1," + cell + b"\n")[0]["volts"] == value


def test_an_empty_cell_is_null_and_in_quotes_it_is_the_empty_text():
    values = read(rows.csv_rows(RIG), b'time,volts,note\n1,1,\n1,1,""\n1,1,""""\n1,1,"a,""b""\r\n"\n')
    assert [value["note"] for value in values] == [None, "", '"', 'a,"b"\r\n']


@pytest.mark.parametrize(
    ("unit", "text", "ticks"),
    [
        ("ns", "2026-11-22T05:04:00.123456789Z", 1795323840123456789),
        ("ms", "2026-11-22T06:04:00.123+01:00", 1795323840123),
        ("s", "2026-11-22T05:04:00Z", 1795323840),
    ],
)
def test_the_abscissa_may_be_a_time_by_rfc_3339(unit, text, ticks):
    timed = schema.parse(
        '{"type":"record","name":"a","fields":[{"name":"time","type":"long"}]}', time_unit=unit
    )
    assert read(rows.json_lines(timed), json.dumps({"time": text}).encode()) == [{"time": ticks}]
    assert read(rows.csv_rows(timed), f"time\n{text}\n".encode()) == [{"time": ticks}]


def test_a_time_finer_than_the_unit_of_the_abscissa_is_refused():
    timed = schema.parse(
        '{"type":"record","name":"a","fields":[{"name":"time","type":"long"}]}', time_unit="s"
    )
    assert refusal(rows.json_lines(timed), b'{"time": "2026-11-22T05:04:00.5Z"}') == (
        "line 1: time: '2026-11-22T05:04:00.5Z' is finer than a whole number of s"
    )


def test_nested_values_are_json_in_a_cell():
    nested = schema.parse(
        json.dumps(
            {
                "type": "record",
                "name": "n",
                "fields": [
                    {"name": "a", "type": {"type": "array", "items": "int"}},
                    {"name": "m", "type": {"type": "map", "values": "string"}},
                    {"name": "u", "type": ["null", "long", "string"]},
                ],
            }
        )
    )
    text = b'a,m,u\n"[1, 2]","{""k"": ""v""}",7\n[],{},\n[],{},"""seven"""\n'
    assert read(rows.csv_rows(nested), text) == [
        {"a": [1, 2], "m": {"k": "v"}, "u": 7},
        {"a": [], "m": {}, "u": None},
        {"a": [], "m": {}, "u": "seven"},
    ]
    assert refusal(rows.csv_rows(nested), b"a,m,u\n[1,{},\n") == "line 2: a: '[1' is no array"


@pytest.mark.parametrize("step", [1, 9, 4096])
def test_rows_before_one_that_is_no_utf_8_are_there_however_cut(step):
    text = b'time,volts\n1,2.5\n2,"3"\n3,\xff\n'
    reader, found = rows.csv_rows(RIG), []
    pieces = (text[at : at + step] for at in range(0, len(text), step))
    batches = (batch for piece in pieces for batch in reader.feed(piece))
    with pytest.raises(DataError, match="line 4: not UTF-8"):
        found.extend(batches)
    assert [row["time"] for batch in found for row in decoded(batch)] == [1, 2]


def test_a_line_of_many_thousand_names_is_refused_at_once():
    began = time.process_time()
    with pytest.raises(DataError, match="there is no signal 'a0'"):
        list(rows.csv_rows(RIG).feed(b",".join(b"a%d" % number for number in range(100_000)) + b"\n"))
    assert time.process_time() - began < 2
