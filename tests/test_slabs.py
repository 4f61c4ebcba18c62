"""Runs of one shape to columns: what fastavro reads, or nothing where a run is not what it seems."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
from avro_data import DEMO, read, record_of, varint

from speeddata.avro import codec, slabs
from speeddata.batch import Batch

MIXED = record_of("int", "long", "float", "float", "double", "boolean", "string", "long")


def mixed(row: int) -> bytes:
    """Lengths change every 100 rows, and text in every row."""
    step = row // 100
    text = f"{'text' * (step % 3)}{row % 10}".encode()
    return (
        varint((-7) ** (step % 11))
        + varint((-1) ** row * (1 << 63 - step * 5 % 63) + (row % 2 == 0) * -1)
        + struct.pack("<ffd?", row, -row, row / 3, row % 3 == 0)
        + varint(len(text))
        + text
        + varint(row)
    )


def bounds(pieces: list[bytes]) -> np.ndarray:
    return np.array([0, *itertools.accumulate(map(len, pieces))], np.int64)


def read_slabs(each, pieces: list[bytes], *names: str):
    chosen = [signal for signal in each.signals if not names or signal.name in names]
    return slabs.columns(each, b"".join(pieces), bounds(pieces), chosen)


@pytest.mark.parametrize("names", [(), ("f0",), ("f1", "f3"), ("f2", "f4", "f6"), ("f5", "f7")])
def test_values_are_those_that_fastavro_reads(names):
    pieces = [mixed(row) for row in range(6000)]
    found = read_slabs(MIXED, pieces, *names)
    expected = [read(MIXED, piece) for piece in pieces]
    assert list(found) == list(names or (signal.name for signal in MIXED.signals))
    for name, values in found.items():
        assert values.tolist() == [row[name] for row in expected]
    dtypes = {
        "f0": "<i4",
        "f1": "<i8",
        "f2": "<f4",
        "f3": "<f4",
        "f4": "<f8",
        "f5": "?",
        "f6": "O",
        "f7": "<i8",
    }
    assert {name: values.dtype for name, values in found.items()} == {name: dtypes[name] for name in found}


def test_floating_point_signals_side_by_side_are_rows_of_one_table_bit_by_bit():
    each = record_of("long", *["double"] * 100)
    table = np.random.default_rng(1).integers(0, 256, (1000, 800), np.uint8)
    pieces = [varint(row) + table[row].tobytes() for row in range(64, 1000)]
    found = read_slabs(each, pieces)
    assert found["f7"].base is found["f8"].base
    assert np.array([found[f"f{n + 1}"] for n in range(100)]).T.tobytes() == table[64:].tobytes()


def test_a_column_of_every_signal_whether_slabs_read_it_or_not():
    each = record_of("long", "double", ["null", "double"], "string")
    pieces = [
        varint(row) + struct.pack("<d", row) + (b"\0" if row // 200 % 2 else b"\2" + struct.pack("<d", -row))
        + b"\2x" for row in range(1000)
    ]  # fmt: skip
    found = codec.columns(Batch(each, b"".join(pieces), len(pieces)))
    assert list(found) == ["f0", "f1", "f2", "f3"]
    assert found["f1"].values.tolist() == list(range(1000))
    assert found["f3"].values.tolist() == ["x"] * 1000
    there = [row // 200 % 2 == 0 for row in range(1000)]
    assert found["f2"].valid.tolist() == there
    assert found["f2"].values[there].tolist() == [-row for row in range(1000) if row // 200 % 2 == 0]


@pytest.mark.parametrize("count", [63, 640])
def test_short_runs_and_few_datums_are_left_to_others(count):
    pieces = [mixed(row) for row in range(count)]
    short = [varint(row) + varint(row % 7) + b"x" * (row % 7) + bytes(8) for row in range(count)]
    each = record_of("long", "string", "double")
    assert read_slabs(each, short) is None
    assert (read_slabs(MIXED, pieces) is None) == (count < 64)


def test_datums_of_equal_size_and_another_layout_are_no_run():
    even, odd = varint(1) + b"\4ab" + bytes(8), varint(64) + b"\2a" + bytes(8)
    pieces = [odd if row % 2 else even for row in range(200)]
    each = record_of("long", "string", "double")
    assert len(even) == len(odd)
    assert read_slabs(each, pieces) is None
    found = codec.columns(Batch(each, b"".join(pieces), 200))
    assert found["f0"].values.tolist() == [1, 64] * 100
    assert found["f1"].values.tolist() == ["ab", "a"] * 100


def test_offsets_that_cut_datums_elsewhere_are_not_believed():
    pieces = [mixed(7)] * 100
    offsets = bounds(pieces)
    offsets[1:-1] += 1
    assert slabs.columns(MIXED, b"".join(pieces), offsets, MIXED.signals) is None


def test_text_that_repeats_itself_is_one_object():
    pieces = [
        varint(10**18) + struct.pack("<4d", 1, 2, 3, 4) + varint(row // 300) + varint(4) + b"same"
        for row in range(600)
    ]
    values = read_slabs(DEMO, pieces, "message")["message"]
    assert {id(each) for each in values} == {id(values[0])}
