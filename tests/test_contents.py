"""What a recording holds, from the indexes or from the blocks."""

from __future__ import annotations

import json

import fastavro
import pytest
from by_hand import NOON, RIG_TEXT

from speeddata.recording.contents import contents

FLOAT_TEXT = '{"type": "record", "name": "f", "fields": [{"name": "time", "type": "double", "unit": "s"}]}'
TEXT_TEXT = '{"type": "record", "name": "t", "fields": [{"name": "time", "type": "string"}]}'


def written(path, schema_text, rows, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        fastavro.writer(file, json.loads(schema_text), rows, **how)


def test_each_channel_is_summed_up_over_its_files_in_any_order(tmp_path):
    rows = [{"time": NOON + n * 10**9, "volts": 0.0, "note": ""} for n in range(11)]
    for name, part in (("b", rows[:5]), ("a", rows[5:])):  # the second file by name is the older one
        written(
            tmp_path / f"rig/{name}.avro",
            RIG_TEXT,
            part,
            metadata={"speeddata.channel": "rig"},
            sync_interval=20,
        )
    written(tmp_path / "float/a.avro", FLOAT_TEXT, [{"time": 0.5}, {"time": 1.0}], codec="deflate")
    written(tmp_path / "text/a.avro", TEXT_TEXT, [{"time": "now"}])
    found = {held.channel: held for held in contents(tmp_path)}
    assert list(found) == ["f", "rig", "t"]
    rig = found["rig"]
    assert (rig.files, rig.datums, rig.least, rig.greatest) == (2, 11, NOON, NOON + 10 * 10**9)
    assert rig.size == sum(path.stat().st_size for path in (tmp_path / "rig").iterdir())
    assert (rig.rate_hz, rig.lost, rig.rejected) == (1, 0, 0)
    assert (found["f"].least, found["f"].greatest, found["f"].rate_hz) == (0.5, 1.0, 2)
    assert (found["t"].datums, found["t"].least, found["t"].rate_hz) == (1, None, None)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_datums_have_no_rate(tmp_path, count):
    written(tmp_path / "rig.avro", RIG_TEXT, [{"time": NOON, "volts": 0.0, "note": ""}] * count)
    (held,) = contents(tmp_path)
    assert (held.datums, held.rate_hz) == (count, None)


def test_a_torn_file_counts_what_is_whole(tmp_path):
    rows = [{"time": NOON + n, "volts": 0.0, "note": ""} for n in range(40)]
    written(tmp_path / "rig.avro", RIG_TEXT, rows, sync_interval=50)
    path = tmp_path / "rig.avro"
    path.write_bytes(path.read_bytes()[:-5])
    (held,) = contents(tmp_path)
    assert 30 < held.datums < 40
