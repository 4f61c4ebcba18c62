"""What several places hold together: each file once, each schema once, the end of the data."""

from __future__ import annotations

import json
import math

import fastavro
import pytest
from by_hand import NOON, RIG_TEXT

from speeddata.errors import UsageError
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


@pytest.mark.parametrize(
    ("kind", "times"),
    [
        (["null", "long"], [7, 9, None]),
        (["null", "double"], [9.0, None, math.nan]),
        ("double", [7.0, 9.0, math.inf]),
        ("double", [9.0, math.nan, 7.0]),
        ("double", [9.0, 1e300]),
    ],
)
def test_what_is_no_time_is_not_the_end(tmp_path, kind, times):
    path, none = (
        tmp_path / "rig_20251203T120000.000000000Z.avro",
        tmp_path / "rig_20251203T130000.000000000Z.avro",
    )
    schema = {"type": "record", "name": "rig", "fields": [{"name": "time", "type": kind, "unit": "s"}]}
    for file, rows in ((path, times), (none, times[-1:] if times[-1] != 7 else [math.nan])):
        with file.open("wb") as stream:
            fastavro.writer(stream, schema, [{"time": at} for at in rows], sync_interval=1)
    assert listing.end_ns([path, none]) == 9 * 10**9
    assert listing.end_ns([none]) is None


def test_text_is_no_time(tmp_path):
    schema = {"type": "record", "name": "rig", "fields": [{"name": "time", "type": "string"}]}
    with (tmp_path / "rig.avro").open("wb") as stream:
        fastavro.writer(stream, schema, [{"time": "noon"}])
    with pytest.raises(UsageError, match="no time"):
        listing.end_ns([tmp_path / "rig.avro"])
