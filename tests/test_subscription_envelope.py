"""The envelope: byte for byte as it was specified, whatever the values, with orjson and without."""

from __future__ import annotations

import json
import math
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.avro import codec
from speeddata.avro.codec import Column
from speeddata.avro.schema import Schema, parse
from speeddata.errors import UsageError
from speeddata.subscription import envelope
from speeddata.subscription.envelope import Encoder
from speeddata.subscription.series import Series, all_series

ONE = UUID("f69ec89b-494b-4e07-9da2-7c89489e3346")
TWO = UUID("4ec07552-7334-47f8-ac9f-666e65304b1a")
START_MS = 1_543_572_000_000  # 2018-11-30T10:00:00Z

# The example of the API's own documentation, its comments and trailing commas left out.
DOCUMENTED = """
{
"data": {
"items": [
{
"id": "f69ec89b-494b-4e07-9da2-7c89489e3346",
"datapoints": [
{
"time": "2018-11-30T10:00:00.000Z",
"value": 124.5,
"status": 192
},
{
"time": "2018-11-30T10:01:00.000Z",
"value": 124.6,
"status": 192
}
]
},
{
"id": "f69ec89b-494b-4e07-9da2-7c89489e3346",
"datapoints": [
{
"time": "2018-11-30T10:00:00.000Z",
"value": 224.5,
"status": 192
},
{
"time": "2018-11-30T10:01:00.000Z",
"value": 224.6,
"status": 192
}
]
}
]
},
"schema":"equinor/plant/schemas/ingest/datapoints_v2"
}
"""


@pytest.fixture(params=["orjson", "json"])
def library(request, monkeypatch):
    """With the quick library and with the standard one: the tests hold for both."""
    if request.param == "json":
        monkeypatch.setattr(envelope, "orjson", None)
    return request.param


def schema_of(**types: object) -> Schema:
    fields = [{"name": "time", "type": ["null", "long"], "unit": "ms"}]
    return parse(
        json.dumps(
            {
                "type": "record",
                "name": "r",
                "fields": fields + [{"name": name, "type": each} for name, each in types.items()],
            }
        )
    )


def body(schema: Schema, rows: list[dict[str, object]], *, quality=None, precision="ms", names=None) -> str:
    """The envelope of *rows*, which have passed through Avro, each a minute after the other."""
    series = [
        Series(ONE, "rig", name) for name in names or [each.signal for each in all_series("rig", schema)]
    ]
    batch = codec.encode(
        schema,
        {
            "time": [row.get("time", START_MS + 60_000 * number) for number, row in enumerate(rows)],
            **{
                signal.name: [row[signal.name] for row in rows]
                for signal in schema.signals
                if signal.name != "time"
            },
        },
    )
    encoder = Encoder(series, quality=quality, precision=precision)
    columns = codec.columns(batch, encoder.names(schema))
    return encoder.items(schema, columns, 0, len(rows)).decode()


def values(schema: Schema, *given: object) -> list[str]:
    """The text of each value and status of the signal `a`."""
    text = body(schema, [{"a": each} for each in given])
    return [point.split('"value":')[1].rstrip("}]") for point in text.split("]}]}")[0].split("},{")]


def test_it_is_the_documented_example_without_blanks(library):
    schema = schema_of(a="double", b="double")
    rows = [{"a": 124.5, "b": 224.5}, {"a": 124.6, "b": 224.6}]
    assert json.loads(body(schema, rows)) == json.loads(DOCUMENTED)
    assert body(schema, rows) == "".join(DOCUMENTED.split())


def test_numbers_are_the_shortest_text_that_reads_back_the_same(library):
    doubles = [0.1, -0.0, 0.0, 1e300, 5e-324, 1e16, 1e-5, 123456789012345680.0, 1 / 3, 1e15, -1e-4, 1e22]
    told = [text.removesuffix(',"status":192') for text in values(schema_of(a="double"), *doubles)]
    assert told == list(map(repr, doubles))
    assert told[1] == "-0.0"
    assert told[3] == "1e+300"
    # the same one by one, where short columns take another way
    assert [values(schema_of(a="double"), each)[0].split(",")[0] for each in doubles] == told


def test_a_float_is_the_shortest_text_of_a_float(library):
    floats = [0.1, 124.6, 1e20, 16777217.0, 1e-10, 3.4028235e38]
    told = [
        text.removesuffix(',"status":192') for text in values(schema_of(a="float"), *map(np.float32, floats))
    ]
    assert told == ["0.1", "124.6", "1e+20", "16777216.0", "1e-10", "3.4028235e+38"]


def test_integers_are_exact(library):
    assert values(schema_of(a="long"), 2**53 + 1, -(2**63), 2**63 - 1) == [
        '9007199254740993,"status":192',
        '-9223372036854775808,"status":192',
        '9223372036854775807,"status":192',
    ]
    assert values(schema_of(a="int"), *range(-20, 20))[0] == '-20,"status":192'


def test_what_is_no_number_is_null_and_bad(library):
    schema = schema_of(a=["null", "double"])
    told = values(schema, 1.5, math.nan, math.inf, -math.inf, None, 2.0)
    null = 'null,"status":0'
    assert told == ['1.5,"status":192', null, null, null, null, '2.0,"status":192']
    assert values(schema_of(a=["null", "boolean"]), True, False, None) == [
        'true,"status":192',
        'false,"status":192',
        null,
    ]
    assert values(schema_of(a=["long", "null"]), None, 7) == [null, '7,"status":192']


def test_text_is_escaped_as_json_wants_it(library):
    every = "".join(map(chr, range(32))) + '"\\/\x7f\x80\u2028é√𝄞'
    schema = schema_of(a=["null", "string"])
    told = body(schema, [{"a": every}, {"a": None}, {"a": ""}])
    points = json.loads(told)["data"]["items"][0]["datapoints"]
    assert [point["value"] for point in points] == [every, None, ""]
    assert [point["status"] for point in points] == [192, 0, 192]
    assert not any(ord(c) < 32 for c in told)
    assert '"\\u0000\\u0001' in told
    assert "é√𝄞" in told


def test_enums_are_their_symbols_and_parts_are_series_of_their_own(library):
    schema = schema_of(
        state={"type": "enum", "name": "s", "symbols": ["ON", "OFF"]},
        wave={"type": "array", "items": "float", "length": 2},
        at=[
            "null",
            {
                "type": "record",
                "name": "p",
                "fields": [
                    {"name": "n", "type": "long"},
                    {"name": "w", "type": ["null", {"type": "array", "items": "double", "length": 2}]},
                    {"name": "t", "type": ["null", "string"]},
                ],
            },
        ],
    )
    rows = [
        {"state": "ON", "wave": [0.5, 1.5], "at": {"n": 2**62 + 1, "w": [0.25, math.nan], "t": "x"}},
        {"state": "OFF", "wave": [2.5], "at": {"n": 2, "w": None, "t": None}},
        {"state": "ON", "wave": [], "at": None},
    ]
    items = json.loads(body(schema, rows))["data"]["items"]
    assert [[point["value"] for point in item["datapoints"]] for item in items] == [
        ["ON", "OFF", "ON"],
        [0.5, 2.5, None],
        [1.5, None, None],
        [2**62 + 1, 2, None],
        [0.25, None, None],
        [None, None, None],
        ["x", None, None],
    ]


def test_a_signal_may_say_the_status(library):
    schema = schema_of(a="double", q=["null", "long"], ok="boolean", word="string")
    rows = [
        {"a": 1.0, "q": 24, "ok": True, "word": ""},
        {"a": 2.0, "q": None, "ok": False, "word": ""},
        {"a": math.nan, "q": 192, "ok": True, "word": ""},
        {"a": 4.0, "q": -1, "ok": True, "word": ""},
    ]

    def told(quality: str) -> list[int]:
        text = body(schema, rows, quality=quality, names=["a"])
        return [point["status"] for point in json.loads(text)["data"]["items"][0]["datapoints"]]

    assert told("q") == [24, 64, 0, -1]
    assert told("ok") == [192, 0, 0, 192]
    assert told("elsewhere") == [192, 192, 0, 192]
    for quality in ("word", "a"):
        with pytest.raises(UsageError, match="says no status"):
            told(quality)


def test_a_sample_without_a_time_is_left_out_and_counted(library):
    schema = schema_of(a="double", b="string")
    encoder = Encoder([Series(ONE, "rig", "a"), Series(TWO, "rig", "b")])
    columns = {
        "time": Column(np.array([START_MS, 0, 2**62, START_MS + 1]), np.array([True, False, True, True])),
        "a": Column(np.array([1.0, 2.0, 3.0, 4.0])),
        "b": Column(np.array(["w", "x", "y", "z"], object)),
    }
    told = json.loads(encoder.items(schema, columns, 0, 4))
    assert [[point["value"] for point in item["datapoints"]] for item in told["data"]["items"]] == [
        [1.0, 4.0],
        ["w", "z"],
    ]
    assert encoder.timeless == 4
    assert json.loads(encoder.items(schema, columns, 2, 4))["data"]["items"][1]["datapoints"] == [
        {"time": "2018-11-30T10:00:00.001Z", "value": "z", "status": 192}
    ]


def test_an_empty_envelope_is_never_made(library):
    schema = schema_of(a="double")
    columns = {"time": Column(np.array([2**62, START_MS])), "a": Column(np.array([1.0, 2.0]))}
    encoder = Encoder([Series(ONE, "rig", "a")])
    assert encoder.items(schema, columns, 0, 1) == b""
    assert encoder.items(schema, columns, 1, 1) == b""
    other = Encoder([Series(ONE, "rig", "b"), Series(TWO, "rig", "time")])
    assert other.names(schema) == []
    assert other.items(schema, columns, 0, 2) == b""


def test_samples_that_share_a_written_time_are_sent_and_counted(library):
    schema = parse(
        '{"type":"record","name":"r","fields":[{"name":"time","type":"long","unit":"us"},'
        '{"name":"a","type":"double"},{"name":"b","type":"double"}]}'
    )
    start = START_MS * 1000
    columns = {"time": Column(np.array([start, start + 999, start + 1000, start + 1001]))}
    columns |= {name: Column(np.arange(4.0)) for name in "ab"}
    for precision, crowded in (("ms", 4), ("us", 0)):
        encoder = Encoder([Series(ONE, "rig", "a"), Series(TWO, "rig", "b")], precision=precision)
        assert encoder.items(schema, columns, 0, 4).count(b'"time"') == 8
        assert encoder.crowded == crowded
    apart = Encoder([Series(ONE, "rig", "a")])
    for row in range(4):
        apart.items(schema, columns, row, row + 1)
    assert apart.crowded == 2


def test_an_id_may_have_several_items_and_series_of_several_channels_are_refused():
    schema = schema_of(a="double", b="double")
    told = body(schema, [{"a": 1.0, "b": 2.0}])
    assert told.count(str(ONE)) == 2
    with pytest.raises(ValueError, match="several channels"):
        Encoder([Series(ONE, "rig", "a"), Series(TWO, "pump", "a")])


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=40),
    st.lists(st.floats(width=32) | st.floats(0, 2.0**57, width=32), min_size=1, max_size=40),
    st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=40),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=40),
)
def test_both_ways_write_the_same_bytes_and_they_are_valid(doubles, singles, words, integers):
    count = max(map(len, (doubles, singles, words, integers)))
    schema = schema_of(a="double", f="float", w="string", n="long")
    floats = np.resize(np.array(singles, "<f4"), count)
    columns = {
        "time": Column(START_MS + np.arange(count)),
        "a": Column(np.resize(np.array(doubles), count)),
        "f": Column(floats),
        "w": Column(np.array([words[number % len(words)] for number in range(count)], object)),
        "n": Column(np.array([integers[number % len(integers)] for number in range(count)])),
    }
    encoder = Encoder(all_series("rig", schema))
    quick = encoder.items(schema, columns, 0, count)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(envelope, "orjson", None)
        assert encoder.items(schema, columns, 0, count) == quick
    items = json.loads(quick, parse_constant=lambda text: pytest.fail(text))["data"]["items"]
    plain = [[point["value"] for point in item["datapoints"]] for item in items]
    assert plain[0] == [value if math.isfinite(value) else None for value in columns["a"].values.tolist()]
    assert [None if v is None else np.float32(v) for v in plain[1]] == [
        value if np.isfinite(value) else None for value in floats
    ]
    assert plain[2] == columns["w"].values.tolist()
    assert plain[3] == columns["n"].values.tolist()


# -- a datum alone ------------------------------------------------------------------------------------------

MIXED = schema_of(a=["null", "double"], q=["null", "long"], text=["null", "string"], b="float")
WORDS = st.none() | st.text(st.characters(exclude_categories=()), max_size=12)  # half surrogate pairs, too
ROW = st.tuples(
    st.one_of(st.integers(START_MS - 10**9, START_MS + 10**9), st.just(2**62)),
    st.none() | st.floats(),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    WORDS,
    st.floats(width=32),
)


@given(st.lists(ROW, min_size=1, max_size=30), st.sampled_from([None, "q"]), st.integers(1, 4), st.booleans())
def test_a_datum_alone_is_written_as_among_others(rows, quality, signals, fast):
    times, *columns = zip(*rows, strict=True)
    given_columns = {"time": Column(np.array(times))}
    for name, column in zip("a q text b".split(), columns, strict=True):
        valid = np.array([value is not None for value in column])
        fill = [("" if name == "text" else 0) if value is None else value for value in column]
        if name == "text":
            values = np.empty(len(fill), object)
            values[:] = [None if value is None else value for value in column]
        else:
            values = np.array(fill, {"a": "f8", "q": "i8", "b": "f4"}[name])
        given_columns[name] = Column(values, None if valid.all() else valid)
    with pytest.MonkeyPatch.context() as patched:
        if not fast:
            patched.setattr(envelope, "orjson", None)
        encoder = Encoder(all_series("rig", MIXED)[:signals], quality=quality)
        encoded = encoder.encode(MIXED, given_columns)
    for row in range(encoded.kept(len(rows))):
        among_others = encoded.body(row, row + 1, range(encoded.series))
        assert encoded.body(row, row + 1) == among_others
        assert json.loads(among_others)["data"]["items"][0]["datapoints"][0].keys() == {
            *("time", "value", "status")
        }


def test_a_datum_alone_byte_for_byte(library):
    schema = schema_of(a=["null", "double"], b="string", q="long")
    series = [Series(ONE, "rig", "a"), Series(TWO, "rig", "b")]
    columns = {
        "time": Column(np.array([START_MS, START_MS + 1])),
        "a": Column(np.array([0.5, 0.0]), np.array([True, False])),
        "b": Column(np.array(["ü", '"'], object)),
        "q": Column(np.array([24, 192])),
    }
    for quality, good in ((None, 192), ("q", 24)):
        encoded = Encoder(series, quality=quality).encode(schema, columns)
        assert encoded.body(0, 1).decode() == (
            f'{{"data":{{"items":[{{"id":"{ONE}","datapoints":[{{"time":"2018-11-30T10:00:00.000Z",'
            f'"value":0.5,"status":{good}}}]}},{{"id":"{TWO}","datapoints":[{{"time":'
            f'"2018-11-30T10:00:00.000Z","value":"ü","status":{good}}}]}}]}},'
            '"schema":"equinor/plant/schemas/ingest/datapoints_v2"}'
        )
        assert encoded.body(1, 2).decode() == (
            f'{{"data":{{"items":[{{"id":"{ONE}","datapoints":[{{"time":"2018-11-30T10:00:00.001Z",'
            f'"value":null,"status":0}}]}},{{"id":"{TWO}","datapoints":[{{"time":'
            '"2018-11-30T10:00:00.001Z","value":"\\"","status":192}]}]},'
            '"schema":"equinor/plant/schemas/ingest/datapoints_v2"}'
        )
