"""Decimation against plain statements of it, wherever the stream is cut; fastavro reads what comes out."""

from __future__ import annotations

import io
import itertools
import json
import math
import struct
from datetime import UTC, datetime

import fastavro
import numpy as np
import pytest
from avro_data import DEMO, datums, record_of, schemas
from hypothesis import example, given
from hypothesis import strategies as st

from speeddata import decimation, options, windowed
from speeddata.avro import codec, schema
from speeddata.batch import Batch
from speeddata.decimation import Pick, make, thinned
from speeddata.errors import UsageError

NUMBERS = ("int", "long", "float", "double")
MIXED = schema.parse(
    json.dumps(
        {
            "type": "record",
            "name": "mixed",
            "fields": [
                {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}, "doc": "When."},
                {"name": "small", "type": "int", "unit": "A", "doc": "Amperes.", "default": 3},
                {"name": "large", "type": {"type": "long", "note": "kept"}},
                {"name": "single", "type": "float"},
                {"name": "double", "type": "double", "unit": "V"},
                {"name": "maybe", "type": ["null", "int"], "default": None},
                {"name": "rather", "type": ["double", "null"]},
                {"name": "day", "type": {"type": "int", "logicalType": "date"}},
                {"name": "text", "type": "string"},
                {"name": "flag", "type": "boolean"},
                {"name": "three", "type": {"type": "array", "items": "double", "length": 3}},
                {"name": "either", "type": ["null", "string", "long"]},
            ],
        }
    )
)

offsets_of = st.lists(st.integers(0, 60), max_size=6)
some_int = st.integers(-(2**31), 2**31 - 1)
some_long = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
some_double = st.floats(width=64) | st.sampled_from((0.0, -0.0, math.nan, math.inf, -math.inf))
some_float = st.floats(width=32) | st.sampled_from((0.0, -0.0, math.nan))
moments = st.integers(0, 9)
rows_of_mixed = st.lists(
    st.fixed_dictionaries(
        {
            "time": st.integers(-(2**60), 2**60),
            "small": some_int,
            "large": some_long,
            "single": some_float,
            "double": some_double,
            "maybe": st.none() | some_int,
            "rather": st.none() | some_double,
            "day": some_int,
            "text": st.sampled_from(("", "on", "off", "größer")),
            "flag": st.booleans(),
            "three": st.lists(some_double, min_size=3, max_size=3),
            "either": st.none() | st.just("x") | some_long,
        }
    ),
    max_size=60,
)


def offsets(pieces):
    return np.concatenate(([0], np.cumsum([len(each) for each in pieces]))).astype(np.int64)


def cut(data, bounds):
    return [data[start:end] for start, end in itertools.pairwise(bounds.tolist())]


def given_to(decimator, pieces):
    """What *decimator* makes of datums that come together."""
    return cut(*decimator.take(b"".join(pieces), offsets(pieces)))


def through(decimator, pieces, cuts=()):
    """What *decimator* makes of datums, cut into batches at *cuts*, to the end."""
    edges = [0, *sorted(min(each, len(pieces)) for each in cuts), len(pieces)]
    found = [given_to(decimator, pieces[first:end]) for first, end in itertools.pairwise(edges)]
    return [datum for batch in found for datum in batch] + cut(*decimator.finish())


def encoded(each, rows):
    """Datums by fastavro."""
    form = fastavro.parse_schema(each.plain)
    written = []
    for row in rows:
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, form, row)
        written.append(stream.getvalue())
    return written


def decoded(each, pieces):
    form = fastavro.parse_schema(each.plain)
    return [fastavro.schemaless_reader(io.BytesIO(datum), form, None) for datum in pieces]


def same(found, expected):
    """Whether two values are one to the last bit; any NaN is like any other."""
    if isinstance(found, float) and isinstance(expected, float):
        both_nan = math.isnan(found) and math.isnan(expected)
        return both_nan or struct.pack("<d", found) == struct.pack("<d", expected)
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    return type(found) is type(expected) and found == expected


def close(found, expected):
    if isinstance(found, float) and isinstance(expected, float):
        return same(found, expected) or math.isclose(found, expected, rel_tol=1e-12, abs_tol=0)
    return same(found, expected)


def windows(rows, factor):
    return [rows[first : first + factor] for first in range(0, len(rows), factor)]


# -- plain statements of what comes out -------------------------------------------------------------------


def numbers_of(values):
    return [value for value in values if value is not None and not math.isnan(value)]


def nothing(values):
    """What a window without a number becomes."""
    return None if all(value is None for value in values) else math.nan


def order(value):
    return (value, math.copysign(1, value))  # -0.0 is less than 0.0


def plain_minmax(window, signals):
    low, high = dict(window[-1]), dict(window[-1])
    for name in signals:
        values = [row[name] for row in window]
        found = numbers_of(values)
        low[name] = min(found, key=order) if found else nothing(values)
        high[name] = max(found, key=order) if found else nothing(values)
    low["time"] = window[0]["time"]
    return [low, high]


def plain_mean(window, signals, *, squared=False):
    kept = dict(window[-1])
    for name in signals:
        values = [row[name] for row in window]
        found = np.array(numbers_of(values), np.float64)
        with np.errstate(all="ignore"):
            mean = float(np.mean(found**2 if squared else found)) if len(found) else nothing(values)
            kept[name] = math.sqrt(mean) if squared and mean is not None else mean
    kept["time"] = window[0]["time"]
    return [kept]


def plain_rms(window, signals):
    return plain_mean(window, signals, squared=True)


PLAIN = {"minmax": plain_minmax, "mean": plain_mean, "rms": plain_rms}
REDUCED = ("small", "large", "single", "double", "maybe", "rather")


def stated(method, rows, factor, whole=False):
    signals = [*REDUCED, "day"] if method == "minmax" else REDUCED
    found = [each for each in windows(rows, factor) if not whole or len(each) == factor]
    return [row for window in found for row in PLAIN[method](window, signals)]


# -- the same, streamed -----------------------------------------------------------------------------------


def test_the_methods_are_those_that_the_options_know():
    assert decimation.METHODS == options.METHODS


@given(st.lists(st.binary(max_size=5), max_size=60), st.integers(1, 9), offsets_of, st.booleans())
def test_every_nth_datum_passes_byte_for_byte_whatever_the_cut(pieces, factor, cuts, whole):
    full = len(pieces) // factor * factor if whole else len(pieces)
    assert through(make("pick", factor, DEMO, whole=whole), pieces, cuts) == pieces[:full:factor]


def test_equal_sizes_take_the_quick_way_to_the_same_end():
    pieces = [bytes([number, 1, 2]) for number in range(100)]
    assert through(Pick(7, DEMO), pieces, [50]) == pieces[::7]


def test_a_pick_decodes_nothing(monkeypatch):
    for name in ("columns", "valid", "offsets", "encode"):
        monkeypatch.setattr(codec, name, None)
    pieces = [b"no", b"datum", b"at", b"all"]
    assert through(make("pick", 2, DEMO, proven=False), pieces) == [b"no", b"at"]


@pytest.mark.parametrize("method", ["minmax", "mean", "rms"])
@given(rows=rows_of_mixed, factor=st.integers(1, 9), cuts=offsets_of, whole=st.booleans())
def test_windows_are_what_plain_numpy_makes_of_them(method, rows, factor, cuts, whole):
    decimator = make(method, factor, MIXED, whole=whole)
    found = decoded(decimator.schema, through(decimator, encoded(MIXED, rows), cuts))
    # values as they were sent: a float has lost some of a double
    expected = stated(method, decoded(MIXED, encoded(MIXED, rows)), factor, whole)
    assert len(found) == len(expected)
    for row, like in zip(found, expected, strict=True):
        for name, value in row.items():
            agrees = close if method != "minmax" and name in REDUCED else same
            assert agrees(value, like[name]), (name, value, like[name])


@pytest.mark.parametrize("method", ["minmax", "mean", "rms"])
@given(
    values=st.lists(some_double, min_size=1, max_size=40),
    factor=st.integers(1, 40),
    cuts=offsets_of,
    piece=st.sampled_from((1, 3, 8)),
)
def test_the_cut_makes_no_difference_to_the_last_bit_even_of_windows_in_pieces(
    method, values, factor, cuts, piece
):
    each = record_of("long", "double", ["null", "double"])
    pieces = encoded(each, [{"f0": n, "f1": v, "f2": v if n % 3 else None} for n, v in enumerate(values)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windowed, "PIECE", piece)
        at_once = through(make(method, factor, each), pieces)
        assert through(make(method, factor, each), pieces, cuts) == at_once
        one_by_one = through(make(method, factor, each), pieces, range(len(pieces)))
    assert one_by_one == at_once
    if method == "minmax":
        assert at_once == through(make(method, factor, each), pieces)


def test_a_window_larger_than_a_piece_is_not_held():
    each = record_of("long", "double")
    pieces = encoded(each, [{"f0": n, "f1": 0.1 * n} for n in range(10_000)])
    mean = make("mean", 10_000, each)
    held = []
    for first in range(0, 10_000, 250):
        assert given_to(mean, pieces[first : first + 250]) == [] or first == 9750
        held.append(mean._count)
    assert max(held) <= windowed.PIECE + 250


def test_a_long_window_has_the_mean_of_all_its_datums():
    each = record_of("long", "double", "string")
    rows = [{"f0": n, "f1": math.sin(n) + 5, "f2": str(n)} for n in range(9000)]
    mean = make("mean", 4096, each)
    found = decoded(mean.schema, through(mean, encoded(each, rows), [1, 1023, 1024, 1025, 5000, 8192]))
    assert [row["f0"] for row in found] == [0, 4096, 8192]
    assert [row["f2"] for row in found] == ["4095", "8191", "8999"]
    for row, window in zip(found, windows(rows, 4096), strict=True):
        assert row["f1"] == pytest.approx(math.fsum(each["f1"] for each in window) / len(window), rel=1e-14)


@given(st.data())
def test_any_schema_and_any_datum_can_be_reduced(data):
    each = data.draw(schemas())
    pieces = data.draw(st.lists(datums(each), max_size=8))
    method = data.draw(st.sampled_from(("minmax", "mean", "rms")))
    decimator = make(method, data.draw(st.integers(1, 4)), each, proven=False)
    found = through(decimator, pieces, data.draw(offsets_of))
    rows = decoded(decimator.schema, found)
    assert all(codec.valid(decimator.schema, datum, offsets([datum])) is None for datum in found)
    assert len(rows) == len(found)


# -- windows by the abscissa ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", decimation.METHODS)
@given(
    times=st.lists(st.integers(-40, 40), max_size=40),
    ordered=st.booleans(),
    length=st.integers(1, 20),
    cuts=offsets_of,
    whole=st.booleans(),
)
def test_windows_by_time_begin_at_whole_multiples_and_at_every_step_back(
    method, times, ordered, length, cuts, whole
):
    times = sorted(times) if ordered else times
    rows = [{"f0": time, "f1": n} for n, time in enumerate(times)]
    each = schema.parse(record_of("long", "long").text, time_unit="ms")
    expected = [list(run) for _, run in itertools.groupby(rows, lambda row: row["f0"] // length)]
    if whole:
        expected = expected[:-1]
    decimator = make(method, 1, each, every_ns=length * 1_000_000, whole=whole)
    found = decoded(decimator.schema, through(decimator, encoded(each, rows), cuts))
    if method == "minmax":
        assert [row["f0"] for row in found[::2]] == [window[0]["f0"] for window in expected]
        assert [row["f0"] for row in found[1::2]] == [window[-1]["f0"] for window in expected]
        found = found[::2]
    values = [[row["f1"] for row in window] for window in expected]
    assert [row["f0"] for row in found] == [window[0]["f0"] for window in expected]
    wanted = {
        "pick": [window[0] for window in values],
        "minmax": [window[0] for window in values],
        "mean": [np.mean(window) for window in values],
        "rms": [np.sqrt(np.mean(np.square(window, dtype=np.float64))) for window in values],
    }[method]
    assert [row["f1"] for row in found] == pytest.approx(wanted, rel=1e-12)


def test_a_datum_without_a_time_belongs_to_the_window_before_it():
    each = schema.parse(record_of(["null", "double"], "long").text, time_unit="s")
    times = [None, 0.5, math.nan, 0.9, math.inf, 1.0, None, 1.5, 7.25]
    pieces = encoded(each, [{"f0": time, "f1": n} for n, time in enumerate(times)])
    for cuts in ([], range(9)):
        found = through(make("pick", 1, each, every_ns=1_000_000_000), pieces, cuts)
        assert [row["f1"] for row in decoded(each, found)] == [0, 5, 8]


def test_a_whole_number_may_be_missing_too():
    each = schema.parse(record_of(["long", "null"], "long").text, time_unit="s")
    pieces = encoded(each, [{"f0": time, "f1": n} for n, time in enumerate([3, None, 3, 4, None])])
    found = through(make("pick", 1, each, every_ns=1_000_000_000), pieces)
    assert [row["f1"] for row in decoded(each, found)] == [0, 3]


@pytest.mark.parametrize(
    ("types", "time_unit", "every_ns", "why"),
    [
        (("long",), None, 1, "does not tell its unit"),
        (("string", "double"), "s", 1, "is of type string, no time"),
        (("long",), "ms", 1_500_000, "no whole number of ms"),
        (("long",), "ms", 0, "no whole number of ms"),
        (("double",), "s", 0, "no length"),
    ],
)
def test_windows_that_the_abscissa_cannot_have_are_refused(types, time_unit, every_ns, why):
    each = schema.parse(record_of(*types).text, time_unit=time_unit)
    with pytest.raises(UsageError, match=why):
        make("mean", 1, each, every_ns=every_ns)


# -- what comes out besides numbers -----------------------------------------------------------------------


def test_only_numbers_change_their_type_and_nothing_else_of_the_schema():
    changed, was = json.loads(make("mean", 2, MIXED).schema.text), json.loads(MIXED.text)
    types = {field["name"]: field.pop("type") for field in changed["fields"]}
    for field in was["fields"]:
        before = field.pop("type")
        after = {
            "small": "double",
            "large": {"type": "double", "note": "kept"},
            "single": "double",
            "maybe": ["null", "double"],
        }.get(field["name"], before)
        assert types[field["name"]] == after
    assert changed == was


@pytest.mark.parametrize("method", ["pick", "minmax"])
def test_values_that_are_kept_keep_their_schema(method):
    assert make(method, 2, MIXED).schema is MIXED


def test_a_schema_of_doubles_stays_as_it_is():
    each = record_of("long", "double", "string")
    assert make("rms", 2, each).schema is each


def test_a_unit_of_time_that_was_said_from_outside_stays():
    each = schema.parse(record_of("long", "int").text, time_unit="us")
    assert make("mean", 2, each).schema.time_unit == "us"


def test_an_abscissa_of_any_name_is_that_of_the_first_and_the_last():
    text = json.dumps({**json.loads(record_of("int", "int").text), "abscissa": "f1"})
    each = schema.parse(text)
    pieces = encoded(each, [{"f0": 10 * n, "f1": -n} for n in range(4)])
    mean = make("mean", 4, each)
    assert decoded(mean.schema, through(mean, pieces)) == [{"f0": 15.0, "f1": 0}]
    assert [signal.kind for signal in mean.schema.signals] == ["double", "int"]
    assert decoded(each, through(make("minmax", 4, each), pieces)) == [
        {"f0": 0, "f1": 0},
        {"f0": 30, "f1": -3},
    ]


def test_extremes_are_those_of_their_own_type():
    each = record_of("long", "long", "float")
    edge = 2**63 - 1
    pieces = encoded(each, [{"f0": 0, "f1": edge - n, "f2": 0.1} for n in range(3)])
    low, high = decoded(each, through(make("minmax", 3, each), pieces))
    assert (low["f1"], high["f1"]) == (edge - 2, edge)
    assert low["f2"] == high["f2"] == struct.unpack("<f", struct.pack("<f", 0.1))[0]


def test_a_window_of_nan_is_the_usual_nan():
    each = record_of("long", "double", "float")
    odd = struct.unpack("<d", b"\x01\x02\x03\x04\x05\x06\xf7\xff")[0]
    pieces = encoded(each, [{"f0": 0, "f1": odd, "f2": -math.nan}] * 3)
    usual = b"\x00" + struct.pack("<df", math.nan, math.nan)
    assert through(make("minmax", 3, each), pieces) == [usual, usual]


def test_a_datum_alone_is_a_window_of_two():
    each = record_of("long", "double")
    pieces = encoded(each, [{"f0": 7, "f1": 1.5}])
    assert through(make("minmax", 5, each), pieces) == pieces * 2
    assert through(make("minmax", 5, each, whole=True), pieces) == []


def test_a_day_has_no_mean_but_a_least_and_a_greatest():
    each = record_of("long", {"type": "int", "logicalType": "date"})
    day = (datetime(2026, 11, 22, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    pieces = encoded(each, [{"f0": n, "f1": day + n % 2} for n in range(3)])
    assert through(make("mean", 3, each), pieces) == encoded(each, [{"f0": 0, "f1": day}])
    low, high = decoded(each, through(make("minmax", 3, each), pieces))
    assert (low["f1"], high["f1"]) == (day, day + 1)


# -- what must not get in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["minmax", "mean", "rms"])
@given(good=st.lists(st.integers(-5, 5), max_size=20), bad=st.lists(st.binary(max_size=12), max_size=8))
@example(good=[1, 2, 3], bad=[b"", b"\xff" * 12])
def test_what_is_no_datum_has_no_part_in_a_window(method, good, bad):
    each = record_of("long", "double", "string")
    pieces = encoded(each, [{"f0": n, "f1": float(v), "f2": "x" * (n % 3)} for n, v in enumerate(good)])
    bad = [datum for datum in bad if codec.valid(each, datum, offsets([datum])) is not None]
    mixed = list(pieces)
    for place, datum in enumerate(bad):
        mixed.insert(place * 3 % (len(mixed) + 1), datum)
    unproven = make(method, 4, each, proven=False)
    assert through(unproven, mixed, [5, 9]) == through(make(method, 4, each), pieces)


@pytest.mark.parametrize("method", decimation.METHODS)
def test_a_factor_below_one_is_refused(method):
    with pytest.raises(ValueError, match="below 1"):
        make(method, 0, DEMO)


def test_a_method_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="no method"):
        make("median", 2, DEMO)


# -- batches ----------------------------------------------------------------------------------------------


def test_a_window_ends_where_the_schema_changes():
    one, other = record_of("long", "int"), record_of("long", "int", "string")
    batches = [
        codec.encode(one, {"f0": [0, 1, 2], "f1": [1, 2, 6]}),
        codec.encode(other, {"f0": [3, 4], "f1": [5, 6], "f2": ["a", "b"]}),
    ]
    batches[0].offsets = None
    found = list(thinned(batches, lambda each: make("mean", 2, each)))
    assert [batch.count for batch in found] == [1, 1, 1]
    rows = [codec.columns(batch)["f1"].values.tolist() for batch in found]
    assert rows == [[1.5], [6.0], [5.5]]
    assert found[0].schema.signals[1].kind == "double"
    assert found[2].schema.signals[2].name == "f2"


def test_of_nothing_comes_nothing():
    assert list(thinned([], lambda each: make("mean", 2, each))) == []
    assert list(thinned([Batch(DEMO, b"", 0)], lambda each: make("minmax", 2, each))) == []
