"""What `send` sends, told apart by its name or its first bytes."""

from __future__ import annotations

import io
import json

import fastavro
import pytest
from by_hand import RIG_TEXT

from speeddata.avro import schema
from speeddata.errors import DataError, HostError, Interrupted, UsageError
from speeddata.interrupts import Stop
from speeddata.sending import feeds

RIG = schema.parse(RIG_TEXT)
# time: zigzag varint; volts: little-endian double; note: length and UTF-8
DATUM = b"\x02" + bytes.fromhex("000000000000e03f") + b"\x02a"
ROW = {"time": 1, "volts": 0.5, "note": "a"}


def container(**metadata: str) -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, json.loads(RIG_TEXT), [ROW], metadata=metadata)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"time,volts,note\n1,0.5,a\n"),
        ("told.by.its.bytes", b"note,volts,time\na,0.5,1\n"),
        ("a.ndjson", json.dumps(ROW).encode()),
        ("told.by.its.bytes", b"\n " + json.dumps(ROW).encode() + b"\n"),
        ("a.avro", container()),
        ("told.by.its.bytes", container()),
    ],
)
def test_a_form_is_told_by_its_suffix_or_its_first_bytes(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    feed = feeds.read(str(tmp_path / name), Stop(), schema=RIG)
    (batch,) = feed.batches
    assert (batch.data, list(batch.offsets)) == (DATUM, [0, len(DATUM)])
    assert feed.schema.fingerprint == RIG.fingerprint


def test_a_container_says_which_channel_it_is_and_text_does_not(tmp_path):
    (tmp_path / "a.avro").write_bytes(container(**{"speeddata.channel": "cell"}))
    (tmp_path / "a.json").write_text(json.dumps(ROW))
    assert feeds.read(str(tmp_path / "a.avro"), Stop()).name == "cell"
    assert feeds.read(str(tmp_path / "a.json"), Stop(), schema=RIG).name == ""


@pytest.mark.parametrize(
    ("data", "options", "error", "says"),
    [
        (b"", {}, DataError, "is empty"),
        (b"x", {}, UsageError, "csv has no schema of its own; give one with --schema FILE.avsc"),
        (b"{}", {}, UsageError, "json has no schema of its own"),
        (b"time\n1\n", {"form": "avro"}, DataError, "not an Avro container"),
        (container(), {"schema": schema.parse(RIG_TEXT.replace("volts", "amps"))}, UsageError, "own schema"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_reason(tmp_path, data, options, error, says):
    (tmp_path / "input").write_bytes(data)
    with pytest.raises(error, match=says) as told:
        list(feeds.read(str(tmp_path / "input"), Stop(), **options).batches)
    assert told.value.where == str(tmp_path / "input")


def test_a_directory_is_sent_by_way_of_tap(tmp_path):
    with pytest.raises(UsageError, match=f"or: speeddata tap {tmp_path} | speeddata send -"):
        feeds.read(str(tmp_path), Stop())
    with pytest.raises(HostError, match="No such file"):
        feeds.read(str(tmp_path / "nowhere"), Stop())


def test_who_stops_before_the_input_said_what_it_is_hears_no_complaint_about_it(tmp_path):
    (tmp_path / "input").write_bytes(container())
    stop = Stop()
    stop.ask(130)
    with pytest.raises(Interrupted) as told:
        feeds.read(str(tmp_path / "input"), stop)
    assert told.value.status == 130
    assert list(feeds.read(str(tmp_path / "input"), stop, form="json", schema=RIG).batches) == []
