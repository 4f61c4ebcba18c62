"""The file of marks: appended to by several, read whatever stands in it."""

from __future__ import annotations

import os
import resource
import signal
import threading

import pytest

from speeddata.chart.marks import Mark
from speeddata.errors import DataError, HostError, UsageError
from speeddata.recording.markfile import MarkFile

NOON = 1_764_763_200_000_000_000


@pytest.fixture
def file(tmp_path):
    return MarkFile(tmp_path / "rec/marks.jsonl")


def test_what_is_written_is_read_and_a_later_line_of_the_name_replaces(file):
    assert file.read() == []
    file.write(Mark("one", NOON))
    file.write(Mark("two", NOON + 5, NOON + 6, ("rig",)))
    file.write(Mark("ONE", NOON, NOON + 7))
    assert file.read() == [Mark("ONE", NOON, NOON + 7), Mark("two", NOON + 5, NOON + 6, ("rig",))]
    assert file.path.read_text().count("\n") == 3


def test_a_mark_is_renamed_and_taken_away(file):
    file.write(Mark("one", NOON, NOON + 1))
    file.rename(file.read()[0], "spike")
    assert file.read() == [Mark("spike", NOON, NOON + 1)]
    file.rename(file.read()[0], "Spike")
    assert [mark.name for mark in file.read()] == ["Spike"]
    with pytest.raises(UsageError, match="no name of a mark"):
        file.rename(file.read()[0], "a/b")
    file.remove(file.read()[0])
    assert file.read() == []


def test_a_torn_line_and_foreign_ones_are_left_out_and_told_once(file, caplog):
    file.write(Mark("one", NOON))
    whole = file.path.read_bytes()
    file.path.write_bytes(b'{"hello": 1}\n\xff\xfe\n\n' + whole + b"y" * 70_000 + b"\n" + whole[:20])
    file.write(Mark("two", NOON))
    assert [mark.name for mark in file.read()] == ["one", "two"]
    assert [record.getMessage().partition("marks.jsonl: ")[2] for record in caplog.records] == [
        "line 1: no mark: it has no name that is allowed; left out",
        "line 2: no UTF-8; left out",
        "line 5: no mark: too long; left out",
        "line 6: no JSON; left out",
    ]
    file.read()
    assert len(caplog.records) == 4


def test_many_writers_at_once_leave_whole_lines(file):
    def write(who):
        for number in range(20):
            MarkFile(file.path).write(Mark(f"m{who}-{number}", NOON))

    writers = [threading.Thread(target=write, args=(who,)) for who in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(file.read()) == 160


def test_a_full_disk_leaves_the_file_as_it_was(file):
    file.write(Mark("one", NOON))
    before = file.path.read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))  # as if the disk were full
    try:
        with pytest.raises(HostError, match="cannot write"):
            file.write(Mark("two", NOON))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert file.path.read_bytes() == before


def test_what_is_no_file_or_far_too_large_is_refused(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HostError, match="not a regular file"):
        MarkFile(tmp_path / "pipe").read()
    (tmp_path / "in-the-way").write_text("")
    with pytest.raises(HostError, match="cannot write"):
        MarkFile(tmp_path / "in-the-way/marks.jsonl").write(Mark("x", NOON))
    monkeypatch.setattr("speeddata.recording.markfile._FILE_LIMIT", 10)
    (tmp_path / "large").write_bytes(b"\n" * 11)
    with pytest.raises(DataError, match="MiB of marks"):
        MarkFile(tmp_path / "large").read()


def test_the_marks_of_a_channels_directory_are_those_of_the_recording_it_is_in(tmp_path):
    (tmp_path / "rec/rig").mkdir(parents=True)
    assert MarkFile.of(tmp_path / "rec/rig").path == tmp_path / "rec/rig/marks.jsonl"
    MarkFile(tmp_path / "rec/marks.jsonl").write(Mark("x", NOON))
    assert [mark.name for mark in MarkFile.of(tmp_path / "rec/rig").read()] == ["x"]
    assert [mark.name for mark in MarkFile.of(tmp_path / "rec").read()] == ["x"]
