"""A set of columns: every value as it was, and no half a file."""

from __future__ import annotations

import base64
import json
import math
import subprocess
import sys

import h5py
import numpy as np
import pytest
from avro_data import datums, read, record_of, schemas
from by_hand import NOON, RIG_TEXT, rig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speeddata import columnar, h5file
from speeddata.avro import codec, schema
from speeddata.avro.types import DTYPES
from speeddata.batch import Batch
from speeddata.errors import DataError, HostError
from speeddata.h5file import SetFile

RIG = schema.parse(RIG_TEXT)


def batches(*sizes: int):
    first = 0
    for size in sizes:
        yield Batch(RIG, b"".join(rig(range(first, first + size))), size)
        first += size


def written(path, *pieces, compression="gzip", sort=False):
    with SetFile(path, created_ns=NOON, compression=compression) as made:
        channel = made.channel("rig")
        for each, columns in pieces:
            channel.add(each, columns)
        return channel.finish({"received": 7}, sort=sort)


def of(each, rows):
    """A piece of *rows*, dicts of all signals."""
    columns = {signal.name: [row[signal.name] for row in rows] for signal in each.signals}
    return each, codec.columns(codec.encode(each, columns))


# -- every value as it was, for h5py that knows nothing of us ------------------------------------------------


def values(group, signal, rows):
    """What lies in *group* of *signal*, as fastavro would give it."""
    node = signal.value_node
    if node.kind == "record":
        parts = [values(group[signal.name], each, rows) for each in node.fields]
        found = [
            dict(zip([f.name for f in node.fields], row, strict=True)) for row in zip(*parts, strict=True)
        ]
    elif node.kind == "null":
        found = [None] * rows
    else:
        found = plain(group[signal.name], node)
    if signal.nullable:
        valid = group[signal.name + ".valid"]
        assert (valid.dtype, valid.shape) == (np.dtype("?"), (rows,))
        found = [value if there else None for value, there in zip(found, valid[:].tolist(), strict=True)]
    return found


def plain(dataset, node):
    encoding = dataset.attrs.get("encoding")
    match node.kind:
        case kind if kind in DTYPES:
            assert dataset.dtype == np.dtype(DTYPES[kind])
            return dataset[:].tolist()
        case "string" | "enum":
            if encoding == "utf-8":
                return [bytes(each).decode() for each in dataset[:]]
            return dataset.asstr()[:].tolist()
        case "fixed" if node.size:
            assert dataset.dtype == np.dtype(f"V{node.size}")
            return [each.tobytes() for each in dataset[:]]
        case "bytes" | "fixed":
            return [each.tobytes() for each in dataset[:]]
        case "array" if encoding is None:
            return [each.tolist() for each in dataset[:]]
    assert encoding == "json"
    return [json.loads(each) for each in dataset.asstr()[:]]


def comparable(value, in_json=False):
    """NaN that equals itself, bytes as JSON has them where they are in JSON."""
    match value:
        case float() if math.isnan(value):
            return "not a number"
        case float() if value == 0:
            return math.copysign(1, value), "zero"
        case bytes():
            return base64.b64encode(value).decode()
        case str():
            return value
        case list():
            return [comparable(each) for each in value]
        case dict():
            return {name: comparable(each) for name, each in value.items()}
    return value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.data(), st.sampled_from(("gzip", "lzf", "none")))
def test_whatever_the_schema_the_columns_hold_what_fastavro_reads(tmp_path, data, compression):
    each = data.draw(schemas())
    coded = data.draw(st.lists(datums(each), min_size=1, max_size=8))
    rows = [read(each, datum) for datum in coded]
    path, cut = tmp_path / "any.h5", data.draw(st.integers(0, len(coded)))
    parts = [part for part in (coded[:cut], coded[cut:]) if part]
    pieces = [(each, codec.columns(Batch(each, b"".join(part), len(part)))) for part in parts]
    assert written(path, *pieces, compression=compression) == len(rows)
    with h5py.File(path) as file:
        for signal in each.signals:
            found = values(file["rig"], signal, len(rows))
            expected = [row[signal.name] for row in rows]
            assert [comparable(each) for each in found] == [comparable(each) for each in expected]


@pytest.mark.parametrize("compression", ["gzip", "lzf", "none"])
@pytest.mark.parametrize("sizes", [(3, 5000, 1), (h5file._CHUNK_ROWS[1],), (40_000, 70_000)])
def test_batches_become_columns_of_one_length_with_their_units(tmp_path, sizes, compression):
    path, count = tmp_path / "set.h5", sum(sizes)
    with SetFile(path, created_ns=NOON, compression=compression, attributes={"run": "42"}) as made:
        channel = made.channel("rig")
        for each, columns in columnar.pieces(batches(*sizes), size=1):
            channel.add(each, columns)
        assert channel.finish({"received": count}) == count
        assert not path.exists()
    with h5py.File(path) as file:
        group = file["rig"]
        assert list(group) == ["note", "time", "volts"]
        assert (group["time"][:] == np.arange(NOON, NOON + count)).all()
        assert (group["volts"][:] == np.arange(count) / 8).all()
        assert group["note"].asstr()[:].tolist() == ["x" * (n % 7) for n in range(count)]
        assert (group["time"].dtype, group["volts"].dtype) == (np.dtype("<i8"), np.dtype("<f8"))
        assert (group["time"].attrs["units"], group["volts"].attrs["units"]) == ("ns", "V")
        assert (group.attrs["abscissa"], group.attrs["schema"]) == ("time", RIG_TEXT)
        assert group.attrs["received"] == count
        assert (file.attrs["created"], file.attrs["run"]) == ("2025-12-03T12:00:00.000000000Z", "42")
        told = (group["volts"].compression, group["volts"].compression_opts, group["volts"].shuffle)
        assert (
            told
            == {"gzip": ("gzip", 1, True), "lzf": ("lzf", None, True), "none": (None, None, False)}[
                compression
            ]
        )
    assert list(tmp_path.iterdir()) == [path]


# -- what changes on the way ---------------------------------------------------------------------------------


def test_text_with_a_nul_late_makes_bytes_of_all(tmp_path):
    each = record_of("long", "string")
    many = [{"f0": n, "f1": f"text {n}"} for n in range(40_000)]
    ends = [{"f0": 0, "f1": "a\0b\0"}, {"f0": 1, "f1": "späte Einsicht"}]
    written(tmp_path / "set.h5", of(each, many), of(each, ends), of(each, many[:3]))
    with h5py.File(tmp_path / "set.h5") as file:
        assert list(file["rig"]) == ["f0", "f1"]
        dataset = file["rig/f1"]
        assert (dataset.attrs["encoding"], dataset.shape) == ("utf-8", (40_005,))
        found = [bytes(each).decode() for each in dataset[:]]
    assert found == [row["f1"] for row in [*many, *ends, *many[:3]]]


def test_text_that_stays_for_long_and_text_that_changes_are_both_what_they_were(tmp_path):
    each = record_of("long", ["null", "string"])
    texts = ["läuft"] * 40_000 + ["", "läuft", "steht", "steht", None, None, ""] + ["steht"] * 3
    texts += [f"step {n}" for n in range(5_000)] + [None]
    written(tmp_path / "set.h5", of(each, [{"f0": n, "f1": text} for n, text in enumerate(texts)]))
    with h5py.File(tmp_path / "set.h5") as file:
        assert h5py.check_string_dtype(file["rig/f1"].dtype) == ("utf-8", None)
        assert file["rig/f1"].asstr()[:].tolist() == [text or "" for text in texts]
        assert file["rig/f1.valid"][:].tolist() == [text is not None for text in texts]


def test_an_array_shorter_than_promised_makes_all_of_variable_length(tmp_path):
    each = record_of("long", {"type": "array", "items": "float", "length": 3})
    rows = [{"f0": n, "f1": [n, 0.5, -n]} for n in range(30_000)]
    written(tmp_path / "even.h5", of(each, rows))
    odd = [{"f0": 0, "f1": [1.5]}, {"f0": 0, "f1": []}]
    written(tmp_path / "odd.h5", of(each, rows), of(each, odd), of(each, rows[:2]))
    with h5py.File(tmp_path / "even.h5") as file:
        assert file["rig/f1"].shape == (30_000, 3)
        assert file["rig/f1"][7].tolist() == [7, 0.5, -7]
    with h5py.File(tmp_path / "odd.h5") as file:
        found = [each.tolist() for each in file["rig/f1"][:]]
        assert h5py.check_vlen_dtype(file["rig/f1"].dtype) == np.dtype("<f4")
    assert found == [row["f1"] for row in [*rows, *odd, *rows[:2]]]


@pytest.mark.parametrize("before", [3, 30_000, 40_000])
def test_signals_that_come_late_or_end_early_are_null_where_they_are_missing(tmp_path, before):
    def record(*fields):
        named = [{"name": name, "type": kind} for name, kind in fields]
        return schema.parse(json.dumps({"type": "record", "name": "rig", "fields": named}))

    one = record(("time", "long"), ("volts", "double"), ("count", "int"))
    nested = {"type": "record", "name": "P", "fields": [{"name": "x", "type": "float"}]}
    two = record(
        ("time", "long"), ("count", ["null", "int"]), ("note", "string"), ("at", nested), ("k", "long")
    )
    first = [{"time": n, "volts": n / 2, "count": n} for n in range(before)]
    second = [
        {"time": before + n, "count": None if n % 2 else n, "note": str(n), "at": {"x": n}, "k": -n}
        for n in range(4)
    ]
    written(tmp_path / "set.h5", of(one, first), of(two, second), of(one, first[:1]))
    with h5py.File(tmp_path / "set.h5") as file:
        group = file["rig"]
        lengths = set()
        group.visititems(lambda _name, each: lengths.add(each.shape) if hasattr(each, "shape") else None)
        assert lengths == {(before + 5,)}
        late = [False] * before + [True] * 4 + [False]
        for name in ("note", "at", "k"):
            assert group[f"{name}.valid"][:].tolist() == late
        assert group["volts.valid"][:].tolist() == [not each for each in late]
        assert group["count.valid"][:].tolist() == [True] * before + [True, False, True, False, True]
        assert np.isnan(group["volts"][before : before + 4]).all()
        assert np.isnan(group["at/x"][:before]).all()
        assert group["at/x"][before:-1].tolist() == [0, 1, 2, 3]
        assert group["note"].asstr()[:].tolist() == [""] * before + ["0", "1", "2", "3", ""]
        assert group["k"][:].tolist() == [0] * before + [0, -1, -2, -3, 0]
        assert group["volts"][:before].tolist() == [row["volts"] for row in first]


def test_a_signal_that_was_nullable_for_a_while_keeps_its_companion_to_the_end(tmp_path):
    plain, nullable = record_of("long", "double"), record_of("long", ["null", "double"])
    pieces = [(plain, 1.5), (plain, 2.5), (nullable, None), (plain, 3.5), (plain, 4.5), (plain, 5.5)]
    written(tmp_path / "set.h5", *(of(each, [{"f0": 1, "f1": value}]) for each, value in pieces))
    with h5py.File(tmp_path / "set.h5") as file:
        assert file["rig/f1.valid"][:].tolist() == [value is not None for _, value in pieces]
        assert [value for value in file["rig/f1"][:].tolist() if value == value] == [1.5, 2.5, 3.5, 4.5, 5.5]


def test_a_null_number_is_nan_and_has_a_companion(tmp_path):
    each = record_of("long", ["null", "double"])
    written(tmp_path / "set.h5", of(each, [{"f0": 1, "f1": None}, {"f0": 2, "f1": 2.5}]))
    with h5py.File(tmp_path / "set.h5") as file:
        assert np.isnan(file["rig/f1"][0])
        assert file["rig/f1.valid"][:].tolist() == [False, True]


def test_sorting_keeps_rows_together_and_equal_times_in_order(tmp_path):
    each = record_of("long", "string", ["null", "float"], {"type": "array", "items": "long"})
    count = 33_000
    order = np.random.default_rng(1).integers(0, 1000, count).tolist()
    rows = [
        {"f0": at, "f1": f"n{n}", "f2": n if n % 3 else None, "f3": [n] * (n % 3)}
        for n, at in enumerate(order)
    ]
    written(tmp_path / "set.h5", of(each, rows), sort=True)
    expected = sorted(rows, key=lambda row: row["f0"])
    with h5py.File(tmp_path / "set.h5") as file:
        group = file["rig"]
        assert group["f0"][:].tolist() == [row["f0"] for row in expected]
        assert group["f1"].asstr()[:].tolist() == [row["f1"] for row in expected]
        assert group["f2.valid"][:].tolist() == [row["f2"] is not None for row in expected]
        assert [each.tolist() for each in group["f3"][:]] == [row["f3"] for row in expected]


# -- no half a file ------------------------------------------------------------------------------------------


def test_a_failed_run_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "set.h5"
    path.write_text("before")
    torn = Batch(RIG, b"".join(rig(range(3)))[:-1], 3)
    with pytest.raises(DataError):
        written(path, *columnar.pieces([*batches(3), torn]))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(HostError, match=r"nowhere/set\.h5: cannot write the set: No such file or directory"):
        SetFile(tmp_path / "nowhere/set.h5", created_ns=NOON)
    with pytest.raises(HostError, match="it is a directory"):
        SetFile(tmp_path, created_ns=NOON)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("room", [10_000, 100_000, 300_000])
def test_a_full_disk_is_one_clear_error(tmp_path, compression, room):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", tmp_path]).returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        # in a process of its own: HDF5 has crashed on a full disk, and may do so when the process ends
        program = f"import sys; sys.path.insert(0, {sys.path[0]!r}); import test_h5file; test_h5file.fill()"
        command = [sys.executable, "-c", program, compression]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        told = "set.h5: cannot write the set: No space left on device\n"
        assert (done.returncode, done.stdout, done.stderr) == (0, told, "")
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def fill():
    try:
        written("set.h5", *columnar.pieces(batches(*[2000] * 60)), compression=sys.argv[1])
    except HostError as exc:
        print(exc)
