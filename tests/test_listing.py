"""What several places hold together: each file once, each schema once, the end of the data."""

from __future__ import annotations

import json

import fastavro
from by_hand import NOON, RIG_TEXT

from speeddata.recording import listing

OTHER = RIG_TEXT.replace('"note"', '"other"')


def recorded(path, times, text=RIG_TEXT):
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = json.loads(text)
    name = schema["fields"][2]["name"]
    with path.open("wb") as file:
        records = [{"time": at, "volts": 0.0, name: ""} for at in times]
        fastavro.writer(file, schema, records, metadata={"speeddata.channel": "rig"})
    return path


def test_each_file_is_there_once_in_recording_order(tmp_path):
    late = recorded(tmp_path / "a/rig_20251203T130000.000000000Z.avro", [NOON + 5, NOON + 9])
    early = recorded(tmp_path / "b/rig_20251203T120000.000000000Z.avro", [NOON], OTHER)
    found = listing.listing([tmp_path / "a", late, tmp_path / "b", tmp_path / "a/../b"])
    assert found == {"rig": [early, late]}
    assert [each.text.count("other") for each in listing.schemas([early, late, early])] == [1, 0]


def test_the_end_is_the_greatest_time_of_the_newest_file_that_has_any(tmp_path):
    old = recorded(tmp_path / "rig_20251203T120000.000000000Z.avro", [NOON + 7, NOON + 9, NOON + 8])
    empty = recorded(tmp_path / "rig_20251203T130000.000000000Z.avro", [])
    assert listing.end_ns([old, empty]) == NOON + 9
    assert listing.end_ns([empty]) is None
