"""Names, places and the choice of files: what is ours, what is left out, what comes later."""

from __future__ import annotations

import fcntl
import logging
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.avro.container import read_header, write_header
from speeddata.errors import DataError, HostError, UsageError
from speeddata.recording.catalogue import (
    Catalogue,
    Position,
    file_name,
    header_of,
    is_open,
    is_ours,
    parse_file_name,
    recording_files,
)

SYNC = bytes(range(100, 116))
VOLTS = '{"type":"record","name":"rigs.volts","fields":[{"name":"time","type":"long"}]}'
NOON_NS = 1_795_323_840_123_456_789


def head(channel="rig", role="recording", schema=VOLTS):
    metadata = {"avro.schema": schema}
    if channel:
        metadata["speeddata.channel"] = channel
    if role is not None:
        metadata["speeddata.role"] = role
    return write_header(metadata, SYNC)


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# -- names and positions


def test_a_file_name_tells_channel_and_time_to_the_nanosecond():
    assert file_name("rig", NOON_NS) == "rig_20261122T050400.123456789Z.avro"
    assert parse_file_name("rig_20261122T050400.123456789Z.avro") == ("rig", NOON_NS)


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,20}_", fullmatch=True), st.integers(0, 2**63 - 1))
def test_names_survive_a_round_trip_and_sort_by_time(channel, time_ns):
    assert parse_file_name(file_name(channel, time_ns)) == (channel, time_ns)
    assert file_name(channel, time_ns) < file_name(channel, time_ns + 1)


@pytest.mark.parametrize(
    "name",
    [
        "rig.avro",
        "rejected.avro",
        "rig_20261122T050400.123456789Z.index",
        "rig_20261122T050400.12345678Z.avro",
        "rig_20261322T050400.123456789Z.avro",
        "../rig_20261122T050400.123456789Z.avro",
        "_20261122T050400.123456789Z.avro",
        "rig_20261122T050400.123456789Z.avro\n",
        "rig_2026112\N{FULLWIDTH DIGIT TWO}T050400.123456789Z.avro",
    ],
)
def test_other_names_are_not_ours(name):
    assert parse_file_name(name) is None


def test_a_position_is_text_and_back():
    position = Position("od:d name.avro", 4096, 17)
    assert str(position) == "od:d name.avro:4096:17"
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text", ["", "a.avro", "a.avro:1", "a.avro:1:-2", "../a.avro:1:2", ":1:2", "a:1:" + "9" * 19]
)
def test_what_is_no_position_is_refused(text):
    with pytest.raises(UsageError, match="FILE:BLOCK:DATUM"):
        Position.parse(text)


# -- which files


def test_a_directory_gives_the_recordings_of_each_channel_in_order(tmp_path):
    second = put(tmp_path / "rig" / file_name("rig", 2), head())
    first = put(tmp_path / "rig" / file_name("rig", 1), head())
    third = put(tmp_path / "other disk" / file_name("rig", 3), head("RIG"))
    alone = put(tmp_path / "pump" / "p.avro", head("pump", role=None))
    stranger = put(tmp_path / "strange.avro", head(channel="", role=None))
    hostile = put(tmp_path / "hostile.avro", head(channel="../../etc/x"))
    put(tmp_path / "rig" / "rejected.avro", head(role="rejected"))
    put(tmp_path / "rig" / "text.avro", b"time,volts\n")
    put(tmp_path / "rig" / "array.avro", head(channel="", schema='{"type":"array","items":"int"}'))
    put(tmp_path / "rig" / "begun.avro", head()[:20])
    put(tmp_path / "rig" / "ledger.jsonl", b"{}\n")
    put(tmp_path / "rig" / "directory.avro" / "x", b"")
    (tmp_path / "rig" / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "rig" / "fifo.avro")
    assert recording_files(tmp_path) == {
        "volts": [hostile, stranger],
        "pump": [alone],
        "rig": [first, second, third],
    }


def test_a_file_that_was_named_is_read_whatever_its_role(tmp_path):
    rejects = put(tmp_path / "rejected.avro", head(role="rejected"))
    assert recording_files(rejects) == {"rig": [rejects]}


@pytest.mark.parametrize("data", [b"", head()[:-1], b"time,volts\n"])
def test_a_named_file_that_is_no_container_is_an_error(tmp_path, data):
    with pytest.raises(DataError, match=r"a\.avro: "):
        recording_files(put(tmp_path / "a.avro", data))


def test_what_cannot_be_opened_is_an_error_of_the_host(tmp_path):
    with pytest.raises(HostError, match="No such file"):
        recording_files(tmp_path / "absent")
    os.mkfifo(tmp_path / "fifo.avro")
    with pytest.raises(HostError, match="not a regular file"):
        recording_files(tmp_path / "fifo.avro")


def test_a_recording_whose_header_is_gone_is_told(tmp_path, caplog):
    put(tmp_path / file_name("rig", 1), bytes(100))
    put(tmp_path / "stranger.avro", bytes(100))
    with caplog.at_level(logging.WARNING, "speeddata"):
        assert recording_files(tmp_path) == {}
    assert [r.getMessage().count("rig_1970") for r in caplog.records] == [1]


def test_new_files_are_told_once_and_only_when_their_header_is_whole(tmp_path):
    catalogue = Catalogue(tmp_path)
    assert catalogue.new() == []
    path = put(tmp_path / "rig" / file_name("rig", 1), b"")
    assert catalogue.new() == []
    path.write_bytes(head())
    assert catalogue.new() == [("rig", path)]
    later = put(tmp_path / "rig" / file_name("rig", 2), head())
    other = put(tmp_path / "a" / "b" / "c" / file_name("pump", 0), head("pump"))
    assert catalogue.new() == [("pump", other), ("rig", later)]
    assert catalogue.new() == []


def test_a_directory_that_did_not_change_is_not_listed_again(tmp_path, monkeypatch):
    put(tmp_path / "rig" / file_name("rig", 1), head())
    for folder in (tmp_path, tmp_path / "rig"):
        os.utime(folder, (1, 1))
    catalogue = Catalogue(tmp_path)
    assert len(catalogue.new()) == 1
    monkeypatch.setattr(os, "scandir", None)
    assert catalogue.new() == []
    monkeypatch.undo()
    later = put(tmp_path / "rig" / file_name("rig", 2), head())
    assert catalogue.new() == [("rig", later)]


def test_ours_is_what_a_relay_wrote():
    assert is_ours(read_header(head()))
    assert not is_ours(read_header(head(role=None)))
    assert not is_ours(read_header(head(role="rejected")))
    assert not is_ours(read_header(head(channel="")))


def test_a_file_is_open_while_its_writer_holds_the_lock(tmp_path):
    path = put(tmp_path / "a.avro", head())
    assert not is_open(path)
    with open(path, "ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert is_open(path)
        with open(path, "rb") as reader:
            assert is_open(reader.fileno())
    assert not is_open(path)
    assert not is_open(tmp_path / "absent")


def test_asking_leaves_no_lock_behind(tmp_path):
    path = put(tmp_path / "a.avro", head())
    with open(path, "rb") as reader, open(path, "ab") as writer:
        is_open(reader.fileno())
        fcntl.flock(writer, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_header_is_read_without_the_rest(tmp_path):
    big = put(tmp_path / "a.avro", head(schema=VOLTS + " " * 40_000) + bytes(10))
    assert header_of(big).size == big.stat().st_size - 10
    assert header_of(put(tmp_path / "b.avro", b"")) is None
