"""Real directories, real disks that fill, stall and vanish; fastavro is the judge of every file."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal as posix_signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import fastavro
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speeddata.avro import container, schema
from speeddata.avro.container import zigzag
from speeddata.errors import HostError, PartlyDone
from speeddata.recording import ledger
from speeddata.recording.blockindex import read_index
from speeddata.recording.channelfiles import Rotation
from speeddata.recording.recorder import BLOCK_NS, ChannelWriter, Recorder
from speeddata.recording.retention import Limits, Retention

RIG = schema.parse(
    '{"type": "record", "name": "rig", "fields": ['
    '{"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},'
    '{"name": "volts", "type": "double"}, {"name": "note", "type": "string"}]}'
)
NOON = 1_764_763_200_000_000_000
SOURCE = ("10.0.0.7", 5000)


def datum(number: int, note: str = "") -> bytes:
    text = note.encode()
    return zigzag(NOON + number) + struct.pack("<d", number / 8) + zigzag(len(text)) + text


def add(
    writer: ChannelWriter, datums: list[bytes], now_ns: int = 0, address: tuple[str, int] = SOURCE
) -> None:
    offsets = np.concatenate(([0], np.cumsum([len(each) for each in datums]))).astype(np.int64)
    writer.add(b"".join(datums), offsets, address, now_ns)


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for *condition*, not for time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        pause.wait(0.002)


def files(directory: Path, channel: str = "rig") -> list[Path]:
    return sorted((directory / channel).glob(f"{channel}_*Z.avro"))


def size_of_files(directory: Path) -> int:
    """Bytes in the files of a directory, from which some may be deleted at this moment."""
    sizes = []
    for path in files(directory):
        with suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sum(sizes)


def blocks(path: Path) -> list[bytes]:
    with open(path, "rb") as file:
        return [block.bytes_.getvalue() for block in fastavro.block_reader(file)]


def recorded(directory: Path, channel: str = "rig") -> bytes:
    return b"".join(data for path in files(directory, channel) for data in blocks(path))


def records(path: Path) -> list[dict[str, object]]:
    with open(path, "rb") as file:
        return list(fastavro.reader(file))  # type: ignore[arg-type]


def is_locked(path: Path) -> bool:
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def entries(directory: Path, channel: str = "rig") -> list[ledger.Entry]:
    return list(ledger.read(directory / channel / ledger.LEDGER_NAME))


# -- what is recorded ---------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrivals=st.lists(
        st.lists(st.integers(0, 9000), max_size=30).map(lambda sizes: ["x" * size for size in sizes]),
        max_size=8,
    )
)
def test_whatever_arrives_is_recorded_byte_for_byte(tmp_path_factory, arrivals):
    directory = tmp_path_factory.mktemp("rec")
    sent = [[datum(number, note) for number, note in enumerate(notes)] for notes in arrivals]
    with Recorder(directory) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        for number, datums in enumerate(sent):
            add(writer, datums, now_ns=number)
    assert recorded(directory) == b"".join(each for datums in sent for each in datums)
    assert all(len(data) <= 65536 for path in files(directory) for data in blocks(path))
    assert writer.tally.recorded == sum(map(len, sent))


def test_offsets_may_begin_anywhere_in_the_data(tmp_path):
    first, second = datum(1, "one"), datum(2, "two")
    data = b"skipped" + first + second + b"skipped"
    offsets = np.array([7, 7 + len(first), 7 + len(first) + len(second)])
    with Recorder(tmp_path) as recorder:
        recorder.channel("rig", RIG, "s1").add(data, offsets, SOURCE, 0)
    assert recorded(tmp_path) == first + second


def test_a_file_says_what_it_is(tmp_path):
    with Recorder(tmp_path) as recorder:
        add(recorder.channel("rig", RIG, "f00d"), [datum(1)])
    with open(files(tmp_path)[0], "rb") as file:
        metadata = fastavro.reader(file).metadata
    assert metadata["avro.schema"] == RIG.text
    assert metadata["avro.codec"] == "null"
    assert (metadata["speeddata.channel"], metadata["speeddata.session"]) == ("rig", "f00d")
    assert metadata["speeddata.role"] == "recording"


def test_a_block_is_written_when_it_is_100_ms_old_and_not_before(tmp_path):
    with Recorder(tmp_path) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        assert recorder.deadline() is None
        add(writer, [datum(1)], now_ns=1000)
        add(writer, [datum(2)], now_ns=2000)
        assert recorder.deadline() == 1000 + BLOCK_NS
        recorder.tick(999 + BLOCK_NS)
        assert recorder.deadline() is not None
        recorder.tick(1000 + BLOCK_NS)
        assert recorder.deadline() is None
        until(lambda: writer.tally.recorded == 2)
        assert blocks(files(tmp_path)[0]) == [datum(1) + datum(2)]


def test_the_oldest_open_block_sets_the_deadline(tmp_path):
    with Recorder(tmp_path) as recorder:
        one, two = recorder.channel("one", RIG, "s1"), recorder.channel("two", RIG, "s2")
        later_ns = 5 + BLOCK_NS * 3 // 4
        add(two, [datum(1)], now_ns=5)
        add(one, [datum(1)], now_ns=later_ns)
        assert recorder.deadline() == 5 + BLOCK_NS
        recorder.tick(5 + BLOCK_NS)
        assert recorder.deadline() == later_ns + BLOCK_NS


def test_a_block_that_is_due_soon_goes_along_with_one_that_is_due(tmp_path):
    with Recorder(tmp_path) as recorder:
        for number in range(10):
            add(recorder.channel(f"c{number}", RIG, "s1"), [datum(1)], now_ns=number * BLOCK_NS // 25)
        recorder.tick(BLOCK_NS)
        assert recorder.deadline() is None


def test_a_file_is_locked_while_it_is_written_and_only_then(tmp_path):
    with Recorder(tmp_path) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        add(writer, [datum(1)])
        recorder.tick(BLOCK_NS)
        until(lambda: writer.tally.recorded)
        path = files(tmp_path)[0]
        assert writer.tally.file == path
        assert is_locked(path)
        writer.close()
        until(lambda: not is_locked(path))


def test_a_session_without_a_datum_leaves_no_file(tmp_path):
    with Recorder(tmp_path) as recorder:
        recorder.channel("rig", RIG, "s1").close()
    assert files(tmp_path) == []


def test_a_new_session_begins_a_new_file_after_the_old_one_is_whole(tmp_path):
    with Recorder(tmp_path) as recorder:
        for session in ("s1", "s2"):
            writer = recorder.channel("rig", RIG, session)  # ends the one before
            add(writer, [datum(1, session)])
    assert [recorded_note["note"] for path in files(tmp_path) for recorded_note in records(path)] == [
        "s1",
        "s2",
    ]
    assert [entry.session for entry in entries(tmp_path) if entry.file] == ["s1", "s2"]
    tally = recorder.tally("RIG")
    assert tally is not None
    assert tally.recorded == 2  # of both sessions


def test_datums_after_the_end_of_a_session_are_refused(tmp_path):
    with Recorder(tmp_path) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        writer.close()
        with pytest.raises(ValueError, match="closed"):
            add(writer, [datum(1)])


def test_files_rotate_by_size_and_hold_everything_in_order(tmp_path):
    sent = [datum(number, "x" * 1000) for number in range(2000)]
    with Recorder(tmp_path, rotation=Rotation(size=300_000)) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        for at in range(0, len(sent), 50):
            add(writer, sent[at : at + 50])
    assert len(files(tmp_path)) == 8
    assert all(path.stat().st_size <= 300_000 for path in files(tmp_path))
    assert recorded(tmp_path) == b"".join(sent)


def test_a_file_is_rotated_by_time_though_nothing_arrives(tmp_path):
    with Recorder(tmp_path, rotation=Rotation(time_ns=1)) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        add(writer, [datum(1)])
        recorder.tick(BLOCK_NS)
        until(lambda: writer.tally.recorded == 1)
        until(lambda: writer.tally.file is None)
        add(writer, [datum(2)])
        recorder.tick(BLOCK_NS)
        until(lambda: writer.tally.recorded == 2)
        assert len(files(tmp_path)) == 2


def test_names_sort_in_recording_order_though_the_clock_steps_back(tmp_path):
    moments = iter([NOON, NOON - 3600 * 10**9, NOON + 1])
    with Recorder(tmp_path, clock=lambda: next(moments)) as recorder:
        for number in range(3):
            add(recorder.channel("rig", RIG, str(number)), [datum(number)])
    assert [path.name for path in files(tmp_path)] == [
        "rig_20251203T120000.000000000Z.avro",
        "rig_20251203T120000.000000001Z.avro",
        "rig_20251203T120000.000000002Z.avro",
    ]
    assert recorded(tmp_path) == datum(0) + datum(1) + datum(2)


def test_a_name_in_other_letters_goes_to_the_same_directory(tmp_path):
    for name in ("Rig", "rig", "RIG"):
        with Recorder(tmp_path) as recorder:
            add(recorder.channel(name, RIG, name), [datum(1)])
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["Rig"]
    assert len(files(tmp_path, "Rig")) == 3


@pytest.mark.parametrize("name", ["../../etc/x", "", "a/b", "x" * 65, "a\nb", "x.avro"])
def test_a_name_that_is_no_channel_name_is_refused(tmp_path, name):
    with Recorder(tmp_path / "rec") as recorder, pytest.raises(ValueError, match="no channel name"):
        recorder.channel(name, RIG, "s1")


def test_the_platter_is_waited_for_as_often_as_asked(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    with Recorder(tmp_path, sync_ns=1_000_000) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        add(writer, [datum(1)])
        recorder.tick(BLOCK_NS)
        until(lambda: synced)


def test_a_fault_of_ours_in_one_block_costs_that_block_only(tmp_path, monkeypatch, caplog):
    def explode(*_: object) -> None:
        monkeypatch.undo()
        raise ZeroDivisionError

    with Recorder(tmp_path) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        monkeypatch.setattr("speeddata.recording.channelfiles.sift", explode)
        add(writer, [datum(1), datum(2)])
        recorder.tick(BLOCK_NS)
        until(lambda: writer.tally.lost_disk == 2)
        add(writer, [datum(3)])
    assert recorded(tmp_path) == datum(3)
    assert "fault of the program" in caplog.text


# -- rejects ------------------------------------------------------------------------------------------------


def test_what_is_no_datum_is_kept_apart_with_its_address_and_reason(tmp_path):
    good = [datum(number) for number in range(4)]
    with Recorder(tmp_path, clock=lambda: NOON) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        add(writer, [b"", good[0], good[1] + b"\x00"], now_ns=100)
        add(writer, [good[2], b"\xff\xff", good[3]], now_ns=350, address=("10.0.0.8", 6000))
    assert recorded(tmp_path) == b"".join(good[0:1] + good[2:])
    kept = records(tmp_path / "rig" / "rejected.avro")
    assert [(each["source"], each["bytes"]) for each in kept] == [
        ("10.0.0.7:5000", b""),
        ("10.0.0.7:5000", good[1] + b"\x00"),
        ("10.0.0.8:6000", b"\xff\xff"),
    ]
    assert [each["time"] for each in kept] == [NOON, NOON, NOON + 250]
    assert kept[1]["reason"] == "1 byte too many"
    assert all(each["reason"] for each in kept)
    assert (writer.tally.recorded, writer.tally.rejected) == (3, 3)


def test_of_large_arrivals_every_block_but_the_last_is_full_and_each_has_its_own_rejects_and_index_entry(
    tmp_path,
):
    arrivals = [[datum(number, "x" * 990) for number in range(first, first + 500)] for first in (0, 500)]
    for datums, address in zip(arrivals, (SOURCE, ("10.0.0.8", 6000)), strict=True):
        for number in (0, 64, 65, 250, 499):  # at the edges of blocks too
            datums[number] = f"{address[1]} {number}".encode()
    with Recorder(tmp_path) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        add(writer, arrivals[0])
        add(writer, arrivals[1], address=("10.0.0.8", 6000))
    whole = [each for datums in arrivals for each in datums if each[0] >= 0x80]
    assert recorded(tmp_path) == b"".join(whole)
    (path,) = files(tmp_path)
    sizes = [len(data) for data in blocks(path)]
    half = len(sizes) // 2
    assert all(60_000 < size <= 65536 for size in sizes[: half - 1] + sizes[half:-1])
    kept = [(each["source"], each["bytes"]) for each in records(tmp_path / "rig" / "rejected.avro")]
    assert kept == [
        (f"{host}:{port}", f"{port} {number}".encode())
        for host, port in (SOURCE, ("10.0.0.8", 6000))
        for number in (0, 64, 65, 250, 499)
    ]
    head = path.read_bytes()[:4096]
    header = container.read_header(head)
    told = read_index(path, header, path.stat().st_size)
    times = [int(record["time"]) for record in records(path)]
    seen = 0
    for entry in told:
        assert (entry.least, entry.greatest) == (times[seen], times[seen + entry.count - 1])
        seen += entry.count
    assert seen == len(whole)


def test_a_large_arrival_goes_to_the_disk_at_once_and_behind_what_came_before(tmp_path):
    before, large = [datum(0)], [datum(number, "x" * 1000) for number in range(1, 301)]
    with Recorder(tmp_path) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        add(writer, before)
        add(writer, large)
        assert recorder.deadline() is None  # nothing is open
        until(lambda: writer.tally.recorded == 301)
    assert recorded(tmp_path) == b"".join(before + large)


def test_a_channel_that_gets_nothing_but_rejects_has_no_recording(tmp_path):
    with Recorder(tmp_path) as recorder:
        add(recorder.channel("rig", RIG, "s1"), [b"\xff"] * 5)
    assert files(tmp_path) == []
    assert len(records(tmp_path / "rig" / "rejected.avro")) == 5
    assert ledger.losses(entries(tmp_path)).rejected == 5


# -- the ledger ---------------------------------------------------------------------------------------------


def test_the_ledger_tells_of_each_file(tmp_path):
    with Recorder(tmp_path) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        add(writer, [datum(7), datum(3), datum(5)])
        writer.counts(received=3, lost=0, lost_kernel=0)
    (entry,) = entries(tmp_path)
    assert entry.counts == ledger.Counts(received=3, recorded=3)
    (path,) = files(tmp_path)
    assert entry.file == ledger.FileRange(path.name, path.stat().st_size, NOON + 3, NOON + 7)
    assert entry.since_ns <= entry.until_ns


def test_loss_lines_add_up_to_what_the_relay_lost_over_sessions_and_restarts_of_its_counting(tmp_path):
    with Recorder(tmp_path) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        writer.counts(received=10, lost=4, lost_kernel=1)
        writer.counts(received=20, lost=5, lost_kernel=1)
        writer = recorder.channel("rig", RIG, "s2")
        writer.counts(received=30, lost=7, lost_kernel=1)
        writer = recorder.channel("rig", RIG, "s3")
        writer.counts(received=2, lost=3, lost_kernel=0)  # begins again at zero
    total = ledger.losses(entries(tmp_path))
    assert (total.lost, total.lost_kernel) == (10, 1)


def test_losses_are_told_while_they_last(tmp_path):
    with Recorder(tmp_path) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        writer.counts(received=5, lost=2, lost_kernel=0)
        until(lambda: ledger.losses(entries(tmp_path)).lost == 2)
        writer.counts(received=9, lost=5, lost_kernel=0)
        until(lambda: ledger.losses(entries(tmp_path)).lost == 5)


# -- the directory ------------------------------------------------------------------------------------------


def test_a_second_recorder_is_refused_until_the_first_is_closed(tmp_path):
    with Recorder(tmp_path), pytest.raises(HostError, match="another relay records here") as refused:
        Recorder(tmp_path)
    assert refused.value.where == str(tmp_path)
    assert refused.value.mend
    Recorder(tmp_path).close()


def test_a_channel_directory_removed_while_recording_is_made_again(tmp_path, caplog):
    with Recorder(tmp_path) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        add(writer, [datum(1)])
        recorder.tick(BLOCK_NS)
        until(lambda: writer.tally.file)
        for path in (tmp_path / "rig").iterdir():
            path.unlink()
        (tmp_path / "rig").rmdir()
        until(lambda: writer.tally.file is None)
        add(writer, [datum(2)])
    assert recorded(tmp_path) == datum(2)
    assert "deleted while it was written" in caplog.text


def test_a_directory_moved_away_is_an_outage_until_it_is_back(tmp_path, caplog):
    directory, aside = tmp_path / "rec", tmp_path / "aside"
    with Recorder(directory) as recorder:
        directory.rename(aside)
        writer = recorder.channel("rig", RIG, "s1")
        add(writer, [datum(1)])
        recorder.tick(BLOCK_NS)
        until(lambda: writer.tally.lost_disk == 1)
        directory.mkdir()  # another directory: it is locked in its turn
        keep_trying(recorder, writer, lambda: writer.tally.recorded)
        with pytest.raises(HostError, match="another relay"):
            Recorder(directory)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "No such file or directory" in caplog.text


def test_ports_are_remembered_in_the_next_run(tmp_path):
    with Recorder(tmp_path) as recorder:
        assert recorder.remembered() == {}
        recorder.remember("rig", 20001)
    with Recorder(tmp_path) as recorder:
        assert recorder.remembered() == {"rig": 20001}


def test_channels_that_have_ended_are_forgotten_when_they_are_many(tmp_path, monkeypatch):
    monkeypatch.setattr("speeddata.recording.recorder._NAMES_KEPT", 10)
    with Recorder(tmp_path) as recorder:
        live = recorder.channel("live", RIG, "s1")
        add(live, [datum(1)])
        for number in range(100):
            recorder.channel(f"flood{number}", RIG, "s1").close()
            until(lambda: not recorder._spool.bytes and recorder._files[f"flood{number}"].idle)  # noqa: B023
        assert len(recorder._files) <= 11
        assert recorder.tally("live") is live.tally
        assert recorder.tally("flood0") is None
    assert recorded(tmp_path, "live") == datum(1)


# -- disks that give out ------------------------------------------------------------------------------------


@contextmanager
def tmpfs(path: Path, options: str) -> Iterator[None]:
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True)
    if made.returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def keep_trying(
    recorder: Recorder, writer: ChannelWriter, condition: Callable[[], object], seconds: float = 10.0
) -> int:
    """Go on sending until *condition* is met; tells how many were sent."""
    sent = 0

    def send() -> object:
        nonlocal sent
        add(writer, [datum(sent, "y" * 1000)])
        recorder.tick(BLOCK_NS)
        sent += 1
        return condition()

    until(send, seconds)
    return sent


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_full_disk_costs_what_does_not_fit_and_recording_resumes_by_itself(tmp_path, caplog):
    with tmpfs(tmp_path, "size=1m"):
        ballast = tmp_path / "ballast"
        ballast.write_bytes(bytes(600_000))
        recorder = Recorder(tmp_path)
        writer = recorder.channel("rig", RIG, "s1")
        sent = keep_trying(recorder, writer, lambda: writer.tally.lost_disk > 500)
        before = [path.read_bytes() for path in files(tmp_path)]
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "the disk is full" in caplog.text
        assert "free some space" in caplog.text
        assert recorded(tmp_path)

        ballast.unlink()
        full = writer.tally.recorded
        sent += keep_trying(recorder, writer, lambda: writer.tally.recorded > full)
        assert recorder.close() == 0
        assert "recording resumed after" in caplog.text
        assert len(caplog.records) == 2
        after = files(tmp_path)
        assert len(after) == len(before) + 1
        assert [path.read_bytes() for path in after[:-1]] == before  # nothing written is ever altered
        assert sum(len(records(path)) for path in after) == writer.tally.recorded
        assert writer.tally.recorded + writer.tally.lost_disk == sent
        told = entries(tmp_path)
        assert ledger.losses(told).lost_disk == writer.tally.lost_disk
        assert sum(entry.counts.recorded for entry in told if entry.file) == writer.tally.recorded


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_disk_that_is_full_from_the_beginning_is_waited_for(tmp_path):
    with tmpfs(tmp_path, "size=512k"):
        ballast = tmp_path / "ballast"
        with open(ballast, "wb", buffering=0) as file:
            assert file.write(bytes(1 << 20)) < 1 << 20  # a full disk takes a part first
        with Recorder(tmp_path) as recorder:
            writer = recorder.channel("rig", RIG, "s1")
            keep_trying(recorder, writer, lambda: writer.tally.lost_disk)
            assert files(tmp_path) == []
            ballast.unlink()
            keep_trying(recorder, writer, lambda: writer.tally.recorded)
        assert len(files(tmp_path)) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_when_the_disk_is_full_retention_makes_room_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("speeddata.recording.recorder._SECOND_NS", 60 * 10**9)  # it looks for nothing else
    with tmpfs(tmp_path, "size=2m"):
        limits = Limits(min_free=0.5)
        with Recorder(tmp_path, rotation=Rotation(size=200_000), limits=limits) as recorder:
            writer = recorder.channel("rig", RIG, "s1")
            keep_trying(recorder, writer, lambda: writer.tally.lost_disk)
            full = writer.tally.recorded
            keep_trying(recorder, writer, lambda: writer.tally.recorded > full, seconds=3)


def test_what_is_kept_stays_within_its_limit_within_seconds_however_fast_files_fill(tmp_path, monkeypatch):
    looks, look = [], Retention.enforce
    monkeypatch.setattr(Retention, "enforce", lambda *given: (looks.append(1), look(*given))[1])
    limits = Limits(keep_size=100_000, min_free=0)
    with Recorder(tmp_path, rotation=Rotation(size=20_000), limits=limits) as recorder:
        writer = recorder.channel("rig", RIG, "s1")
        until(lambda: looks)
        for number in range(20):
            add(writer, [datum(number, "x" * 15_000)] * 5)
        recorder.tick(BLOCK_NS)
        until(lambda: writer.tally.recorded == 100)
        until(lambda: size_of_files(tmp_path) <= 150_000, seconds=5)


@contextmanager
def freezable(path: Path, image: Path) -> Iterator[Callable[[str], None]]:
    """A small ext4 at *path* that can be frozen ("-f") and thawed ("-u")."""

    def run(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise OSError(done.stderr)
        return done.stdout.strip()

    def freeze(flag: str) -> None:
        run("fsfreeze", flag, str(path))

    def let_go() -> None:
        subprocess.run(["fsfreeze", "-u", str(path)], capture_output=True)

    device = ""
    mounted = False
    watchdog = threading.Timer(30, let_go)  # a thread that a frozen disk holds cannot be stopped otherwise
    watchdog.start()
    try:
        try:
            image.write_bytes(b"")
            os.truncate(image, 32 << 20)
            run("mkfs.ext4", "-q", str(image))
            device = run("losetup", "--find", "--show", str(image))
            run("mount", device, str(path))
            mounted = True
            freeze("-f")
            freeze("-u")
        except OSError as exc:
            pytest.skip(f"cannot freeze a file system here: {exc}")
        yield freeze
    finally:
        watchdog.cancel()
        if mounted:
            let_go()
            subprocess.run(["umount", "-l", str(path)], capture_output=True)
        if device:
            subprocess.run(["losetup", "-d", device], capture_output=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_disk_that_stalls_for_good_does_not_hold_up_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("speeddata.recording.recorder._STALL_S", 0.1)
    mount = tmp_path / "disk"
    mount.mkdir()
    with freezable(mount, tmp_path / "image") as freeze:
        recorder = Recorder(mount)
        freeze("-f")
        add(recorder.channel("rig", RIG, "s1"), [datum(1), datum(2), datum(3)])
        with pytest.raises(PartlyDone, match="3 datums are not recorded"):
            recorder.__exit__(None, None, None)
        freeze("-u")
        assert recorder.close(timeout_s=10) == 0
        assert recorded(mount) == datum(1) + datum(2) + datum(3)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_disk_that_stalls_holds_nobody_up_and_costs_what_the_spool_cannot_hold(tmp_path, caplog):
    mount = tmp_path / "disk"
    mount.mkdir()
    with freezable(mount, tmp_path / "image") as freeze:
        recorder = Recorder(mount, spool_bytes=1 << 20)
        writer = recorder.channel("rig", RIG, "s1")
        keep_trying(recorder, writer, lambda: writer.tally.recorded)
        freeze("-f")
        recorder.remember("rig", 20001)  # this thread never touches the disk
        add(recorder.channel("oven", RIG, "s2"), [datum(1)])
        sent = keep_trying(recorder, writer, lambda: writer.tally.lost_disk > 100)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "does not keep up" in caplog.text
        begun = time.monotonic()
        left = recorder.close(timeout_s=0.2)
        assert time.monotonic() - begun < 5
        assert left > 0
        freeze("-u")
        assert recorder.close(timeout_s=10) == 0  # what was in the spool is written after all
        assert writer.tally.recorded >= left
        assert sum(len(records(path)) for path in files(mount)) == writer.tally.recorded
        assert recorded(mount, "oven") == datum(1)
        assert sent <= writer.tally.recorded + writer.tally.lost_disk
        assert ledger.losses(entries(mount)).lost_disk == writer.tally.lost_disk


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_while_a_disk_stalls_endless_sessions_take_no_more_memory_than_the_spool(tmp_path):
    mount = tmp_path / "disk"
    mount.mkdir()
    with freezable(mount, tmp_path / "image") as freeze:
        recorder = Recorder(mount, spool_bytes=1 << 20)
        writer = recorder.channel("rig", RIG, "s1")
        keep_trying(recorder, writer, lambda: writer.tally.recorded)
        freeze("-f")
        wide = json.loads(RIG.text)
        wide["fields"] += [{"name": f"s{number}", "type": "double"} for number in range(1000)]
        for number in range(100):
            flood = recorder.channel("flood", schema.parse(json.dumps({**wide, "doc": str(number)})), "f")
            add(flood, [b"none"])
        writers = (recorder.channel("flood", RIG, "f") for _ in range(1000))
        assert any(writer._begin is not None for writer in writers)
        assert recorder._spool.bytes < 2 << 20
        late = recorder.channel("late", RIG, "s2")  # it began in the worst moment
        add(late, [datum(1)])
        assert late.tally.lost_disk == 1
        freeze("-u")
        until(lambda: recorder._spool.bytes == 0)
        add(late, [datum(2)])
        assert recorder.close(timeout_s=10) == 0
        assert recorded(mount, "late") == datum(2)
        (told,) = [each for each in entries(mount, "late") if each.file]
        assert (told.counts.recorded, told.counts.lost_disk) == (1, 1)


# -- kill -9 ------------------------------------------------------------------------------------------------

ENDLESS = """
import sys, time
sys.path.insert(0, {tests!r})
from test_recorder import RIG, Recorder, Rotation, add, datum
recorder = Recorder({directory!r}, rotation=Rotation(size=200_000))
writer = recorder.channel("rig", RIG, "s1")
number = 0
while True:
    add(writer, [datum(number + i, "z" * 100) for i in range(50)], time.monotonic_ns())
    number += 50
    recorder.tick(time.monotonic_ns())
    if writer.tally.recorded > 5000:
        print(number, flush=True)
    time.sleep(0.0005)
"""


@pytest.mark.parametrize("attempt", range(3))
def test_after_kill_9_every_file_is_readable_and_nothing_old_is_missing(tmp_path, attempt):
    program = ENDLESS.format(tests=str(Path(__file__).parent), directory=str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        for _ in range(1 + attempt):
            handed = int(child.stdout.readline())
    finally:
        child.send_signal(posix_signal.SIGKILL)
        child.wait()
        child.stdout.close()
    times = []
    for path in files(tmp_path):
        times += times_up_to_a_torn_tail(path)
    assert times == list(range(NOON, NOON + len(times)))
    assert len(times) > handed - 1000 - 5000  # an open block of 64 KiB holds some 530
    with Recorder(tmp_path) as recorder:  # the lock went with the process
        add(recorder.channel("rig", RIG, "s2"), [datum(1)])
    assert blocks(files(tmp_path)[-1]) == [datum(1)]


def times_up_to_a_torn_tail(path: Path) -> list[object]:
    times: list[object] = []
    with open(path, "rb") as file:
        reader = fastavro.reader(file)
        try:
            for record in reader:
                times.append(record["time"])  # type: ignore[index]
        except (EOFError, ValueError):
            assert len(times) > 0
    return times


def test_the_ledger_is_plain_json_lines(tmp_path):
    with Recorder(tmp_path) as recorder:
        add(recorder.channel("rig", RIG, "s1"), [datum(1)])
    (line,) = (tmp_path / "rig" / "ledger.jsonl").read_text().splitlines()
    assert json.loads(line)["kind"] == "file"


@pytest.fixture(autouse=True)
def _notes(caplog):
    caplog.set_level(logging.INFO, "speeddata")
