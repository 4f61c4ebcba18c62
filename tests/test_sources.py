"""SOURCE: which word means what, and which are refused."""

from __future__ import annotations

import json

import fastavro
import pytest
from by_hand import BULK_TEXT, NOON, RIG_TEXT

from speeddata import sources
from speeddata.avro import schema
from speeddata.errors import DataError, HostError, Interrupted, UsageError
from speeddata.interrupts import Stop
from speeddata.sources import Wanted


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("rig", False),
        ("239.1.1.1:6000", False),
        ("./rig", True),
        ("rig/", True),
        ("rig.avro", True),
        ("-", False),
    ],
)
def test_a_slash_or_the_suffix_makes_a_file(source, file):
    assert sources.is_file(source) is file


@pytest.mark.parametrize(
    ("source", "wanted", "why"),
    [
        ("no such", Wanted(), "'no such' is no SOURCE"),
        ("\x1b[31m", Wanted(), r"'\\x1b\[31m' is no SOURCE"),
        ("x" * 300, Wanted(), "is no SOURCE"),
        ("rig", Wanted(schema=schema.parse(RIG_TEXT)), "leave out --schema"),
        ("239.1.1.1:6000", Wanted(decimated=True), "give the decimated endpoint"),
        ("127.0.0.1:none", Wanted(), "is no port"),
    ],
)
def test_what_means_nothing_is_refused(source, wanted, why):
    with pytest.raises(UsageError, match=why), sources.channel(source, wanted, Stop()):
        pass


def written(path, schema_text, rows, **metadata):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        named = {f"speeddata.{key}": value for key, value in metadata.items()}
        fastavro.writer(file, json.loads(schema_text), rows, metadata=named)


def test_a_directory_is_read_through_and_only_recordings_are(tmp_path):
    rows = [{"time": NOON + n, "volts": 0.0, "note": ""} for n in range(6)]
    written(tmp_path / "rig/a.avro", RIG_TEXT, rows[:3])
    written(tmp_path / "rig/deep/b.avro", RIG_TEXT, rows[3:], role="recording", channel="rig")
    written(
        tmp_path / "rig/rejected.avro",
        BULK_TEXT,
        [{"time": 1, "filling": b""}],
        role="rejected",
        channel="rig",
    )
    (tmp_path / "rig/ledger.jsonl").write_text("{}\n")
    with sources.channel(f"{tmp_path}/rig", Wanted(), Stop()) as channel:
        assert (channel.name, channel.schema.name) == ("rig", "rig")
        assert sum(batch.count for batch in channel.told_apart()) == 6
    assert channel.shortfall() is None


def test_the_unit_of_time_is_taken_from_the_options_where_the_file_has_none(tmp_path):
    written(tmp_path / "bulk.avro", BULK_TEXT, [{"time": 1, "filling": b""}])
    for unit in (None, "ms"):
        with sources.channel(str(tmp_path / "bulk.avro"), Wanted(time_unit=unit), Stop()) as channel:
            assert channel.schema.time_unit == unit
            assert [batch.schema.time_unit for batch in channel.batches] == [unit]


def test_what_holds_no_recording_is_told(tmp_path):
    with (
        pytest.raises(DataError, match="holds no recording"),
        sources.channel(f"{tmp_path}/", Wanted(), Stop()),
    ):
        pass
    with pytest.raises(HostError, match="No such file"), sources.channel("./nowhere.avro", Wanted(), Stop()):
        pass


@pytest.mark.parametrize("status", [130, 143])
def test_a_recording_that_a_signal_cut_short_is_work_undone(tmp_path, status):
    written(tmp_path / "a.avro", RIG_TEXT, [{"time": NOON, "volts": 0.0, "note": ""}])
    stop = Stop()
    with pytest.raises(Interrupted) as told, sources.channel(f"{tmp_path}/a.avro", Wanted(), stop):
        stop.ask(status)
    assert told.value.status == status


@pytest.mark.parametrize("wanted", [Wanted(follow=True), Wanted(duration_ns=0)])
def test_what_ends_because_it_was_to_end_is_done(tmp_path, wanted):
    written(tmp_path / "a.avro", RIG_TEXT, [{"time": NOON, "volts": 0.0, "note": ""}])
    stop = Stop()
    with sources.channel(f"{tmp_path}/a.avro", wanted, stop) as channel:
        stop.ask(130 if wanted.follow else 0)
    assert channel.shortfall() is None


def test_a_block_that_is_no_datums_is_left_out_and_makes_a_shortfall(tmp_path):
    path = tmp_path / "rig.avro"
    written(path, RIG_TEXT, [{"time": NOON, "volts": 0.0, "note": "a note"}])
    data = path.read_bytes()
    path.write_bytes(data.replace(b"a note", b"\xff note"))
    with sources.channel(str(path), Wanted(), Stop()) as channel:
        assert list(channel.told_apart()) == []
    assert str(channel.shortfall()) == "rig: 1 datum is not what the schema says"
