"""HDF5 sets read back, as section 6 of the formats lays them out; h5py writes them here by hand."""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path

import avro_data
import h5py
import numpy as np
import pytest
from by_hand import NOON
from hypothesis import given
from hypothesis import strategies as st

import speeddata
from speeddata.avro import codec
from speeddata.batch import Batch
from speeddata.errors import DataError, HostError, UsageError
from speeddata.h5file import SetFile

SCHEMA = {
    "type": "record",
    "name": "rig",
    "fields": [
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
        {"name": "volts", "type": ["null", "double"], "unit": "V"},
        {"name": "note", "type": ["null", "string"]},
        {"name": "raw", "type": "bytes"},
        {"name": "tag", "type": {"type": "fixed", "name": "tag", "size": 2}},
        {"name": "on", "type": "boolean"},
        {"name": "many", "type": {"type": "array", "items": "int"}},
        {"name": "extra", "type": {"type": "map", "values": "int"}},
        {
            "name": "place",
            "type": {"type": "record", "name": "place", "fields": [{"name": "x", "type": ["null", "int"]}]},
        },
    ],
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "set.h5"
    with h5py.File(path, "w") as file:
        file.attrs["speeddata_version"] = "0"
        group = file.create_group("rig")
        group.attrs["schema"], group.attrs["abscissa"] = json.dumps(SCHEMA), "time"
        group["time"] = np.arange(4, dtype="<i8") * 10**9 + NOON
        group["time"].attrs["units"] = "ns"
        group["volts"] = np.array([1.5, np.nan, np.nan, 4])
        group["volts"].attrs["units"] = "V"
        group["volts.valid"] = np.array([True, False, True, True])
        group.create_dataset("note", data=["a", "", "ü", ""], dtype=h5py.string_dtype())
        group["note.valid"] = np.array([True, True, True, False])
        raw = group.create_dataset("raw", 4, h5py.vlen_dtype(np.uint8))
        raw[1] = np.frombuffer(b"\0ab", np.uint8)
        group["tag"] = np.array([b"ab", b"c\0", b"\0\0", b"zz"]).astype("V2")
        group["on"] = np.array([True, False, True, True])
        many = group.create_dataset("many", 4, h5py.vlen_dtype("<i4"))
        many[0], many[3] = [1, 2], [3]
        group.create_dataset("extra", data=['{"a": 1}'] * 4, dtype=h5py.string_dtype())
        group["extra"].attrs["encoding"] = "json"
        group["place/x"] = np.arange(4, dtype="<i4")
        group["place/x.valid"] = np.array([True, True, False, True])
        group["old"] = np.arange(4, dtype="<f4")  # of an older schema of the channel
        group["old.valid"] = np.array([True, True, False, False])
        file.create_group("strangers")
    return path


def test_every_type_comes_back_as_from_a_container(path):
    found = speeddata.read(path)
    assert list(found) == ["rig"]
    rig = found["rig"]
    assert list(rig) == ["time", "volts", "note", "raw", "tag", "on", "many", "extra", "place", "old"]
    assert rig.time.tolist() == [NOON + n * 10**9 for n in range(4)]
    assert (rig.time.dtype, rig["on"].dtype, rig["old"].dtype) == ("<i8", "?", "<f4")
    assert rig.valid("volts").tolist() == [True, False, True, True]
    assert np.array_equal(rig["volts"], [1.5, np.nan, np.nan, 4], equal_nan=True)
    assert rig["note"].tolist() == ["a", "", "ü", None]
    assert rig["raw"].tolist() == [b"", b"\0ab", b"", b""]
    assert rig["tag"].tolist() == [b"ab", b"c\0", b"\0\0", b"zz"]
    assert rig["many"].tolist() == [[1, 2], [], [], [3]]
    assert rig["extra"].tolist() == [{"a": 1}] * 4
    assert rig["place"].tolist() == [{"x": 0}, {"x": 1}, {"x": None}, {"x": 3}]
    assert (rig.units["volts"], rig.units["time"]) == ("V", "ns")
    assert rig.valid("old").tolist() == [True, True, False, False]


def test_a_range_and_signals_are_picked_of_a_set_too(path):
    found = speeddata.read(path, since="2025-12-03T12:00:01Z", until="2025-12-03T12:00:03Z", signals="v*")
    assert list(found["rig"]) == ["time", "volts"]
    assert ((found["rig"].time - NOON) // 10**9).tolist() == [1, 2]
    assert found["rig"].valid("volts").tolist() == [False, True]
    assert len(speeddata.read(path, since="now")) == 0
    with pytest.raises(UsageError, match=r"did you mean volts\?"):
        speeddata.read(path, signals="volt")


def test_hdf5_that_is_no_set_of_ours_is_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1, 2]
    with pytest.raises(DataError, match="no set of channels"):
        speeddata.read(tmp_path / "other.h5")
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file.create_group("rig").attrs["schema"] = "{}"
    with pytest.raises(DataError, match=r"odd\.h5"):
        speeddata.read(tmp_path / "odd.h5")
    whole = (tmp_path / "other.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HostError, match=r"cut\.h5"):
        speeddata.read(tmp_path / "cut.h5")


def test_one_channel_in_two_sets_is_refused(path, tmp_path):
    (tmp_path / "again.h5").write_bytes(path.read_bytes())
    with pytest.raises(UsageError, match="several sources have a channel rig"):
        speeddata.read([path, tmp_path / "again.h5"])


def told(value):
    """*value* so that it can be compared: NaN is itself, and bytes in JSON are base64."""
    if isinstance(value, dict):
        return {key: told(each) for key, each in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [told(each) for each in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


@given(st.data())
def test_a_set_of_any_schema_reads_as_the_columns_that_were_written(data):
    schema = data.draw(avro_data.schemas())
    datums = data.draw(st.lists(avro_data.datums(schema), min_size=1, max_size=8))
    columns = codec.columns(Batch(schema, b"".join(datums), len(datums)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "set.h5")
        with SetFile(path, created_ns=0) as file:
            writer = file.channel("any")
            writer.add(schema, columns)
            writer.finish()
        read = speeddata.read(path)["any"]
        assert list(read) == list(columns)
        for name, column in columns.items():
            assert read.valid(name).tolist() == (
                [True] * len(datums) if column.valid is None else column.valid.tolist()
            )
            assert told(read[name].tolist()) == told(column.values.tolist())
            assert column.values.dtype in (read[name].dtype, object)


@pytest.mark.parametrize("coding", ["ns", "hex", "json", "punycode", "n\ns"])
def test_a_text_in_a_coding_that_nobody_knows_is_no_set_of_ours(path, coding):
    with h5py.File(path, "a") as file:
        file["rig/raw"].attrs["encoding"] = coding
    with pytest.raises(DataError) as raised:
        speeddata.read(path)
    shown = coding.replace("\n", r"\x0a")
    assert str(raised.value) == (
        f"{path}: is no set of ours: octets of the encoding {shown}, where only utf-8 is known"
    )


def test_a_cell_nested_beyond_measure_is_no_set_of_ours(path):
    with h5py.File(path, "a") as file:
        file["rig/extra"][0] = "[" * 100_000
        file["rig/extra"].attrs["encoding"] = "json"
    with pytest.raises(DataError, match="is no set of ours"):
        speeddata.read(path)
