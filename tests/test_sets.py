"""`speeddata.read`: what was recorded as NumPy arrays."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time

import fastavro
import numpy as np
import pytest
from by_hand import NOON, RIG_TEXT

import speeddata
from speeddata.errors import DataError, HostError, UsageError

MIXED_TEXT = json.dumps(
    {
        "type": "record",
        "name": "mixed",
        "fields": [
            {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
            {"name": "sine_wave", "type": "double", "unit": "V"},
            {"name": "level", "type": ["null", "double"], "unit": "m"},
            {"name": "count", "type": ["null", "int"]},
            {"name": "on", "type": "boolean"},
            {"name": "word", "type": "string"},
            {"name": "state", "type": {"type": "enum", "name": "state", "symbols": ["up", "down"]}},
            {"name": "xyz", "type": {"type": "array", "items": "float", "length": 3}},
        ],
    }
)


def mixed(numbers):
    return [
        {
            **{"time": NOON + n * 10**9, "sine_wave": n / 7, "on": n % 2 == 0, "word": "é" * (n % 4)},
            **{"level": None if n % 3 else n / 2, "count": n if n % 2 else None},
            **{"state": ("up", "down")[n % 2], "xyz": [n, n + 0.5, n + 1]},
        }
        for n in numbers
    ]


def written(path, schema_text, rows, channel="", **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    if channel:
        how["metadata"] = {"speeddata.channel": channel}
    with path.open("wb") as file:
        fastavro.writer(file, json.loads(schema_text), rows, **how)
    return path


@pytest.fixture
def recorded(tmp_path):
    """Two channels, one of them in two files."""
    rows = mixed(range(100))
    written(tmp_path / "rec/rig/a.avro", MIXED_TEXT, rows[:60], "rig", sync_interval=300)
    written(tmp_path / "rec/rig/b.avro", MIXED_TEXT, rows[60:], "rig", sync_interval=300)
    written(tmp_path / "rec/tank/a.avro", RIG_TEXT, [{"time": NOON, "volts": 1.5, "note": "x"}], "Tank")
    return rows


def column(rows, name):
    return [row[name] for row in rows]


def test_a_directory_is_a_set_of_channels_of_arrays(tmp_path, recorded):
    found = speeddata.read(tmp_path / "rec")
    assert list(found) == ["rig", "Tank"]
    rig = found["rig"]
    assert list(rig) == ["time", "sine_wave", "level", "count", "on", "word", "state", "xyz"]
    assert (rig.count, rig.name, found.shortfalls) == (100, "rig", ())
    for name, dtype in (("time", "<i8"), ("sine_wave", "<f8"), ("on", "?"), ("word", "O"), ("state", "O")):
        assert rig[name].dtype == dtype
        assert rig[name].tolist() == column(recorded, name)
    assert rig.time is rig["time"]
    assert rig["xyz"].shape == (100, 3)
    assert rig["xyz"].tolist() == column(recorded, "xyz")
    assert rig["count"][rig.valid("count")].tolist() == list(range(1, 100, 2))
    assert rig.units["level"] == "m"
    assert found["tank"] is found["Tank"]


def test_a_container_and_several_sources_are_read_by_the_same_function(tmp_path, recorded, monkeypatch):
    monkeypatch.chdir(tmp_path / "rec/rig")
    assert speeddata.read("a.avro")["rig"].count == 60
    assert speeddata.read(["a.avro", "b.avro"])["rig"].time.tolist() == column(recorded, "time")
    monkeypatch.chdir(tmp_path)
    assert list(speeddata.read("rec")) == ["rig", "Tank"]  # no slash is needed here


def test_a_range_is_cut_exactly_and_signals_are_picked_by_name_and_glob(tmp_path, recorded):
    rec = tmp_path / "rec"
    found = speeddata.read(rec, since="2025-12-03T12:00:10Z", until="2025-12-03T12:00:20Z", signals="s*")
    assert list(found) == ["rig"]  # no channel is invented
    assert list(found["rig"]) == ["time", "sine_wave", "state"]
    assert ((found["rig"].time - NOON) // 10**9).tolist() == list(range(10, 20))
    assert list(speeddata.read(rec, signals=["level", "xyz"])["rig"]) == ["time", "level", "xyz"]
    assert len(speeddata.read(rec, since="now")) == 0
    written(tmp_path / "now.avro", RIG_TEXT, [{"time": time.time_ns(), "volts": 1, "note": ""}])
    assert speeddata.read(tmp_path / "now.avro", since="-10m")["rig"].count == 1


def test_signals_are_joined_by_name_over_a_change_of_schema(tmp_path):
    new = RIG_TEXT.replace('"volts"', '"amps"')
    written(tmp_path / "rig/a.avro", RIG_TEXT, [{"time": NOON, "volts": 2.0, "note": "x"}])
    written(tmp_path / "rig/b.avro", new, [{"time": NOON + 1, "amps": 3.0, "note": "y"}])
    rig = speeddata.read(tmp_path / "rig")["rig"]
    assert rig["note"].tolist() == ["x", "y"]
    assert (rig.valid("volts").tolist(), rig.valid("amps").tolist()) == ([True, False], [False, True])
    assert rig["volts"][0] == 2
    assert np.isnan(rig["volts"][1])
    written(
        tmp_path / "rig/c.avro", RIG_TEXT.replace('"string"', '"long"'), [{"time": 1, "volts": 2, "note": 3}]
    )
    with pytest.raises(DataError, match="note changed its type from string to long"):
        speeddata.read(tmp_path / "rig")


def test_what_could_not_be_read_is_told_and_the_rest_is_there(tmp_path, recorded, caplog):
    path = tmp_path / "rec/rig/a.avro"
    data = bytearray(path.read_bytes())
    with path.open("rb") as file:
        block = list(fastavro.block_reader(file))[1]
    data[block.offset : block.offset + 3] = b"\xff\xff\xff"
    path.write_bytes(data[:-5])
    with caplog.at_level(logging.WARNING, "speeddata"):
        found = speeddata.read(tmp_path / "rec")
    assert found["rig"].count < 100
    assert f"{block.size:,} damaged bytes skipped" in "".join(found.shortfalls)
    assert "torn" in caplog.text


def test_what_is_not_there_is_told_and_the_nearest_is_named(tmp_path, recorded):
    found = speeddata.read(tmp_path / "rec")
    with pytest.raises(UsageError, match=r"no channel 'rigg'; did you mean rig\?"):
        found["rigg"]
    with pytest.raises(KeyError, match=r"rig: there is no signal 'sin_wave'; did you mean sine_wave\?"):
        found["rig"]["sin_wave"]
    assert "rigg" not in found
    assert found["rig"].get("nothing") is None
    with pytest.raises(UsageError, match="signals: there is no signal 'sin_wave'"):
        speeddata.read(tmp_path / "rec", signals=["sin_wave"])
    with pytest.raises(UsageError, match=r"take speeddata\.tap"):
        speeddata.read("no_such_channel")
    with pytest.raises(HostError):
        speeddata.read(tmp_path / "nowhere")
    (tmp_path / "text.avro").write_text("hello")
    with pytest.raises(DataError, match="not an Avro container"):
        speeddata.read(tmp_path / "text.avro")
    with pytest.raises(UsageError, match="no moment"):
        speeddata.read(tmp_path / "rec", since="yesterday")


def test_importing_it_loads_nothing_and_nothing_of_it_loads_click(tmp_path, recorded, environment):
    program = (
        "import sys, speeddata; heavy = {'numpy', 'h5py', 'fastavro', 'click'};"
        "print(sorted(heavy & set(sys.modules)), 'read' in dir(speeddata));"
        "speeddata.tap('x'); print(speeddata.read('rec')['rig'].count, speeddata.errors.DataError.status);"
        "print({'click', 'h5py', 'pandas'} & set(sys.modules)); speeddata.nothing"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.stdout.splitlines() == ["[] True", "100 3", "set()"]
    assert done.stderr.splitlines()[-1] == "AttributeError: module 'speeddata' has no attribute 'nothing'"
