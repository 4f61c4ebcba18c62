"""Samples of a channel: arrays by the names of signals, and what goes with them."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from speeddata.avro import schema
from speeddata.avro.codec import Column
from speeddata.errors import UsageError
from speeddata.samples import Samples, refuse_unknown

RIG = schema.parse(
    '{"type":"record","name":"rig","fields":['
    '{"name":"time","type":{"type":"long","logicalType":"timestamp-millis"},"unit":"ignored"},'
    '{"name":"volts","type":"double","unit":"V"},'
    '{"name":"count","type":["null","int"]},'
    '{"name":"on","type":["null","boolean"]},'
    '{"name":"word","type":["null","string"]},'
    '{"name":"xyz","type":{"type":"array","items":"float","length":3}}]}'
)
VALID = np.array([True, False, True])


@pytest.fixture
def rig():
    signals = {signal.name: signal for signal in RIG.signals}
    columns = {
        "time": Column(np.array([1_764_763_200_000, 1_764_763_200_010, 1_764_763_200_020])),
        "volts": Column(np.array([0.5, np.nan, 2.0])),
        "count": Column(np.array([7, 0, 9], "<i4"), VALID),
        "on": Column(np.array([True, False, False]), VALID),
        "word": Column(np.array(["a", None, "c"], object), VALID),
        "xyz": Column(np.arange(9, dtype="<f4").reshape(3, 3)),
    }
    return Samples("rig", RIG, signals, columns)


def test_it_is_a_mapping_of_arrays_with_the_abscissa_by_the_name_of_time(rig):
    assert list(rig) == ["time", "volts", "count", "on", "word", "xyz"]
    assert (rig.count, len(rig), "volts" in rig, "amps" in rig) == (3, 6, True, False)
    assert rig.time is rig["time"]
    assert rig["volts"][2] == 2
    assert rig["xyz"].shape == (3, 3)
    assert repr(rig) == "<rig: 3 samples of time, volts, count, on, word, xyz>"


def test_valid_tells_where_there_is_a_value_also_where_there_always_is(rig):
    assert rig.valid("count").tolist() == [True, False, True]
    assert rig["count"][rig.valid("count")].tolist() == [7, 9]
    assert rig.valid("volts").tolist() == [True] * 3  # NaN is what was sent


def test_units_are_those_of_the_schema_and_the_abscissa_tells_the_unit_it_counts_in(rig):
    assert rig.units == {
        **{"time": "ms", "volts": "V", "count": None},
        **{"on": None, "word": None, "xyz": None},
    }


def test_an_unknown_signal_is_an_error_of_both_kinds_that_names_the_nearest(rig):
    for error in (KeyError, UsageError):
        with pytest.raises(error, match=r"rig: there is no signal 'vlots'; did you mean volts\?"):
            rig["vlots"]
    with pytest.raises(UsageError, match="there is no signal 'zzz'; choose from time, volts, count, on"):
        rig.valid("zzz")
    with pytest.raises(UsageError, match=r"there is no signal '\\x1b\[2J'"):
        rig["\x1b[2J"]
    assert rig.get("vlots") is None


def test_of_nothing_there_is_nothing_to_count():
    empty = Samples("rig", RIG, {}, {})
    assert (empty.count, list(empty), repr(empty)) == (0, [], "<rig: 0 samples of >")


def test_a_name_or_glob_that_fits_no_signal_at_all_is_refused():
    refuse_unknown([RIG], ["volts", "x*"])
    with pytest.raises(UsageError, match=r"signals: there is no signal 'volt\?\?'"):
        refuse_unknown([RIG], ["volt??"])


def test_without_pandas_one_line_says_what_to_do(rig, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^to_pandas\(\) needs pandas: pip install pandas$"):
        rig.to_pandas()


def test_with_pandas_it_is_a_table_indexed_by_moments_with_nulls_as_missing(rig):
    pandas = pytest.importorskip("pandas")
    frame = rig.to_pandas()
    assert frame.index.name == "time"
    assert frame.index.tolist() == [pandas.Timestamp(f"2025-12-03T12:00:00.{at:03}Z") for at in (0, 10, 20)]
    assert list(frame) == ["volts", "count", "on", "word", "xyz"]
    assert frame["count"].isna().tolist() == [False, True, False]
    assert (frame["count"].dtype, frame["count"].sum()) == ("Int32", 16)
    assert (frame["on"].dtype, frame["on"].sum()) == ("boolean", 1)
    assert frame["word"].isna().tolist() == [False, True, False]
    assert frame["xyz"].iloc[1].tolist() == [3, 4, 5]
