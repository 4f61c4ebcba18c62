"""Channels looked at where they are: directories with all that is found in them, the ledgers beside."""

from __future__ import annotations

import fcntl
import json
import logging
import os

import pytest

from speeddata import inspection
from speeddata.errors import DataError, HostError, Interrupted, UsageError
from speeddata.inspection import Look
from speeddata.interrupts import Stop

SYNC = b"0123456789abcdef"
TEXT = b'{"type":"record","name":"r","fields":[{"name":"time","type":"long"},{"name":"x","type":"float"}]}'
# count and size, then time (zigzag) and x (little-endian) of each datum, and the marker
BLOCK = b"\x04\x14" + b"\x02\x00\x00\x00\x3f" + b"\x04\x00\x00\x80\x3f" + SYNC  # time 1 2, x 0.5 1
DAY = "20251203T120000.000000000Z"


def container(
    channel: str = "", role: str = "recording", *, text: bytes = TEXT, blocks: bytes = BLOCK
) -> bytes:
    """A container as it is written out in the specification: sizes are zigzag, so twice themselves."""
    entries = {b"avro.schema": text.ljust(128), b"speeddata.role": role.encode()}
    if channel:
        entries[b"speeddata.channel"] = channel.encode()
    mapped = b"".join(sized(key) + sized(value) for key, value in entries.items())
    return b"Obj\x01" + bytes([2 * len(entries)]) + mapped + b"\x00" + SYNC + blocks


def sized(data: bytes) -> bytes:
    size = 2 * len(data)
    return (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + data


@pytest.fixture
def rec(tmp_path):
    """Two channels, each in a directory of its own, with what else lies about there."""
    for channel in ("rig", "tank"):
        (tmp_path / channel).mkdir()
        (tmp_path / channel / f"{channel}_{DAY}.avro").write_bytes(container(channel))
    (tmp_path / "rig/rejected.avro").write_bytes(container("rig", role="rejected"))
    (tmp_path / f"rig/rig_{DAY}.index").write_bytes(b"none")
    (tmp_path / "notes.avro").write_text("not a container")
    return tmp_path


@pytest.fixture
def notes(caplog, monkeypatch):
    """What is noted; also after a command of another test took the notes for itself."""
    monkeypatch.setattr(logging.getLogger("speeddata"), "propagate", True)
    caplog.set_level(logging.WARNING, "speeddata")
    return caplog


def found(path, look=None, stop=None):
    return list(inspection.of_files(path, look or Look(), stop or Stop()))


def test_a_directory_is_looked_at_channel_by_channel_and_strangers_are_left_alone(rec, notes):
    rig, tank = found(rec)
    assert [(each.channel, each.datums, each.damaged) for each in (rig, tank)] == [
        ("rig", 2, False),
        ("tank", 2, False),
    ]
    assert [file.name for file in tank.files] == [str(rec / f"tank/tank_{DAY}.avro")]
    assert notes.messages == []


def test_a_recording_without_its_header_is_damage_in_its_directory_and_an_error_by_itself(rec):
    broken = rec / "rig" / f"rig_{DAY.replace('1203', '1204')}.avro"
    for data, says in (
        (b"\0" * 40, "not an Avro container"),
        (container()[:40], "ends before an Avro header"),
    ):
        broken.write_bytes(data)
        rig, tank = found(rec)
        assert (rig.datums, rig.damaged, tank.damaged) == (2, True, False)
        (why,) = rig.unreadable
        assert why.startswith(f"{broken}: {says}")
        with pytest.raises(DataError, match=f"{broken}: {says}"):
            found(broken)


def test_where_there_is_no_recording_that_is_said(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}: holds no recording"):
        found(tmp_path)
    with pytest.raises(HostError, match="nowhere: cannot read: No such file"):
        found(tmp_path / "nowhere")


def test_a_file_that_goes_while_others_are_looked_at_is_told_and_not_counted(rec, notes):
    later = rec / "tank" / f"tank_{DAY.replace('1203', '1204')}.avro"
    later.write_bytes(container("tank"))
    channels = inspection.of_files(rec, Look(), Stop())
    assert next(channels).channel == "rig"
    later.unlink()
    (tank,) = channels
    assert (tank.datums, len(tank.files), tank.damaged) == (2, 1, False)
    assert notes.messages == [f"{later}: gone before it was read"]


def test_a_torn_end_is_noted_unless_somebody_is_writing_there(rec, notes):
    path = rec / f"rig/rig_{DAY}.avro"
    path.write_bytes(container("rig", blocks=BLOCK + BLOCK[:9]))
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (rig,) = found(path)
        assert (rig.files[0].writing, rig.datums, notes.messages) == (True, 2, [])
    (rig,) = found(path)
    assert (rig.files[0].writing, rig.files[0].torn, rig.damaged) == (False, 9, False)
    assert notes.messages == [f"{path}: torn: the last 9 bytes are no whole block, and are left out"]


def test_the_ledger_tells_what_was_lost_of_a_channel_and_of_a_file_when_it_was_closed(rec):
    counts = {"received": 9, "recorded": 9, "lost": 4, "lost_kernel": 1, "lost_disk": 0, "rejected": 2}
    line = {"since": 1, "until": 2, "session": "s", **counts}
    loss = {"kind": "loss", **line, "lost": 7}
    closed = {"kind": "file", **line, "file": f"rig_{DAY}.avro", "size": 1, "least": 0, "greatest": 1}
    text = "".join(json.dumps(each) + "\n" for each in (loss, loss, closed))
    (rec / "rig/ledger.jsonl").write_text(text)
    rig, tank = found(rec)
    assert rig.counts == {**{name: 2 * count for name, count in counts.items()}, "lost": 14}
    assert tank.counts is None
    (file,) = found(rec / f"rig/rig_{DAY}.avro")
    assert file.counts == counts


@pytest.mark.parametrize(
    ("sequence", "says"),
    [
        ("tiem", r"there is no signal 'tiem'; did you mean time\?"),
        ("\x1b[31m", r"there is no signal '\\x1b\[31m'; choose from time, x"),
        ("x", "x is of type float, and cannot count"),
    ],
)
def test_a_signal_that_cannot_count_is_refused_before_anything_is_read(rec, sequence, says):
    with pytest.raises(UsageError, match=f"--sequence: {says}"):
        found(rec, Look(sequence))


def test_a_signal_need_not_count_in_every_channel(rec):
    smooth = container("tank", text=TEXT.replace(b'"long"', b'"float"'), blocks=b"\x02\x10" + bytes(8) + SYNC)
    (rec / f"tank/tank_{DAY}.avro").write_bytes(smooth)
    rig, tank = found(rec, Look("time"))
    assert (rig.sequence.median, tank.sequence.median) == (1, None)


def test_only_one_channel_can_be_kept(rec):
    kept = []
    look = Look(keep=lambda header, batch: kept.append(batch.data))
    with pytest.raises(UsageError, match="several channels: rig, tank; name the directory of one"):
        found(rec, look)
    assert kept == []
    found(rec / "tank", look)
    assert kept == [BLOCK[2:-16]]


def test_what_was_not_looked_at_to_its_end_is_no_finding(rec):
    stop = Stop()
    stop.ask(130)
    with pytest.raises(Interrupted):
        found(rec, stop=stop)


def test_a_pipe_is_named_by_what_flows_in_it(monkeypatch, notes):
    for channel, name in (("tank", "tank"), ("", "r")):
        near, far = os.pipe()
        os.write(far, container(channel) + BLOCK[:5])
        os.close(far)
        monkeypatch.setattr("speeddata.streams.STDIN", near)
        piped = inspection.of_stream(Look(), Stop())
        os.close(near)
        assert (piped.channel, piped.datums, piped.files[0].name) == (name, 2, "standard input")
    assert notes.messages[0] == "standard input: torn: the last 5 bytes are no whole block, and are left out"
