"""Rows to columns: gathered whatever the blocks, joined by name whatever the schemas."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from avro_data import DEMO, datums, schemas
from by_hand import RIG_TEXT, rig
from hypothesis import given
from hypothesis import strategies as st

from speeddata import columnar
from speeddata.avro import codec, schema
from speeddata.batch import Batch
from speeddata.errors import DataError, UsageError
from speeddata.stages import Tally

RIG = schema.parse(RIG_TEXT)


def record(*fields):
    named = [{"name": name, "type": kind, **dict(more)} for name, kind, *more in fields]
    return schema.parse(json.dumps({"type": "record", "name": "r", "fields": named}))


def blocks(*sizes):
    first = 0
    for size in sizes:
        yield Batch(RIG, b"".join(rig(range(first, first + size))), size)
        first += size


@given(st.data(), st.integers(1, 12) | st.none(), st.sampled_from((1, 40, 1 << 20)))
def test_any_cut_into_blocks_gives_the_same_columns(data, rows, size):
    each = data.draw(schemas())
    coded = data.draw(st.lists(datums(each), min_size=1, max_size=20))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(coded)), max_size=4)) | {0, len(coded)})
    parts = [coded[a:b] for a, b in itertools.pairwise(cuts)]
    source = [Batch(each, b"".join(part), len(part)) for part in parts]
    pieces = list(columnar.pieces(source, rows=rows, size=size))
    _, found = columnar.together(pieces)
    expected = codec.columns(Batch(each, b"".join(coded), len(coded)))
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert repr(found[name].values.tolist()) == repr(column.values.tolist())
        assert (found[name].valid is None) == (column.valid is None)
        assert column.valid is None or (found[name].valid == column.valid).all()


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [((3, 4, 5), [5, 5, 2]), ((5, 5), [5, 5]), ((23,), [5, 5, 5, 5, 3]), ((1, 0, 1), [2])],
)
def test_pieces_have_as_many_rows_as_asked_for(sizes, lengths):
    pieces = columnar.pieces(blocks(*sizes), rows=5, size=1 << 30)
    found = [columns["volts"].values for _, columns in pieces]
    assert [len(values) for values in found] == lengths
    assert (np.concatenate(found) == np.arange(sum(sizes)) / 8).all()


def test_a_damaged_block_is_left_out_and_counted_though_its_neighbour_makes_up_for_it():
    good, short, long, last = blocks(2, 3, 3, 2)
    short.count, long.count = 4, 2  # together they hold as many datums as they say
    tally = Tally()
    pieces = list(columnar.pieces([good, short, long, last], tally=tally))
    assert [v for _, columns in pieces for v in columns["volts"].values * 8] == [0, 1, 8, 9]
    assert tally.undecodable == 6
    with pytest.raises(DataError):
        list(columnar.pieces([good, short, long, last]))


def test_signals_are_joined_by_name_and_missing_ones_are_null():
    one = record(("t", "long"), ("volts", "double"), ("n", "int"))
    two = record(("t", "long"), ("n", ["null", "int"]), ("note", "string"))
    source = [
        codec.encode(one, {"t": [1, 2], "volts": [0.5, 1.5], "n": [1, 2]}),
        codec.encode(two, {"t": [3, 4], "n": [None, 4], "note": ["a", "b"]}),
    ]
    signals, columns = columnar.together(columnar.pieces(source))
    assert list(signals) == ["t", "volts", "n", "note"]
    assert columns["t"].valid is None
    assert columns["volts"].valid.tolist() == [True, True, False, False]
    assert np.isnan(columns["volts"].values[2:]).all()
    assert columns["n"].valid.tolist() == [True, True, False, True]
    assert columns["note"].values.tolist() == [None, None, "a", "b"]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (("x", "double"), ("x", "string"), "x changed its type from double to string"),
        (("x", "int"), ("x", ["null", "long"]), "x changed its type from int to long"),
        (("x", "double", ("unit", "V")), ("x", "double", ("unit", "mV")), "its unit from V to mV"),
        (
            ("x", {"type": "array", "items": "int", "length": 2}),
            ("x", {"type": "array", "items": "int"}),
            "from array of 2 int to array of any number of int",
        ),
    ],
)
def test_a_changed_type_or_unit_is_refused_with_both_named(before, after, why):
    one, two = record(("t", "long"), before), record(("t", "long"), after)
    empty = [Batch(each, b"", 0) for each in (one, two)]
    assert list(columnar.pieces(empty)) == []
    # only the schemas are looked at before the datums
    source = [Batch(each, b"\x02" * 40, 1) for each in (one, two)]
    with pytest.raises(DataError, match=f"rig: signal .*{why}"):
        list(columnar.pieces(source, where="rig", tally=Tally()))
    assert list(columnar.pieces(source, ["t"], where="rig", tally=Tally())) == []


def test_an_enum_may_have_other_symbols():
    def of(*symbols):
        return record(("t", "long"), ("state", {"type": "enum", "name": "S", "symbols": symbols}))

    source = [
        codec.encode(of("ON", "OFF"), {"t": [1], "state": ["OFF"]}),
        codec.encode(of("OFF", "IDLE"), {"t": [2], "state": ["IDLE"]}),
    ]
    _, columns = columnar.together(columnar.pieces(source))
    assert columns["state"].values.tolist() == ["OFF", "IDLE"]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ((), [signal.name for signal in DEMO.signals]),
        (("ramp",), ["time", "ramp"]),
        (("*wave", "noise"), ["time", "sine_wave", "square_wave", "noise"]),
        (("nothing",), []),
        (("Ramp",), []),
    ],
)
def test_names_and_globs_choose_signals_and_the_abscissa_with_them(patterns, names):
    assert columnar.chosen(DEMO, patterns) == names


def test_an_unknown_signal_is_refused_with_the_nearest():
    columnar.refuse_unknown([DEMO, RIG], ["volts", "sine*"])
    with pytest.raises(UsageError, match="no signal 'volt'; did you mean volts"):
        columnar.refuse_unknown([DEMO, RIG], ["ramp", "volt"])
    with pytest.raises(UsageError, match=r"choose from time, sine_wave, .*, \.\.\."):
        columnar.refuse_unknown([DEMO, RIG], ["zzz*"])
