"""A growing container: whole for fastavro after every step, whatever the disk does."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from pathlib import Path

import fastavro
import pytest

from speeddata.recording.blockfile import BlockFile

LONG = {"avro.schema": '{"type": "record", "name": "r", "fields": [{"name": "time", "type": "long"}]}'}


def times(path: Path) -> list[int]:
    with open(path, "rb") as file:
        return [record["time"] for record in fastavro.reader(file)]  # type: ignore[index]


def test_every_block_can_be_read_as_soon_as_it_is_written(tmp_path):
    file = BlockFile.create(tmp_path / "x.avro", LONG)
    assert file.append(2, b"\x02\x04") == file.size - 2 - 2 - 16
    assert times(file.path) == [1, 2]
    begin = file.size
    assert file.append(1, b"\x06") == begin
    assert times(file.path) == [1, 2, 3]
    assert file.path.stat().st_size == file.size
    file.close()


def test_a_file_is_created_exclusively(tmp_path):
    (tmp_path / "x.avro").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        BlockFile.create(tmp_path / "x.avro", LONG)
    assert (tmp_path / "x.avro").read_bytes() == b"precious"


def test_a_file_without_a_block_is_taken_away(tmp_path):
    BlockFile.create(tmp_path / "x.avro", LONG).close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_locked_until_it_is_closed(tmp_path):
    file = BlockFile.create(tmp_path / "x.avro", LONG)
    file.append(1, b"\x02")
    with open(file.path, "rb") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        file.close()
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)


@pytest.mark.parametrize("room", [0, 1, 5, 18])
def test_a_block_that_does_not_fit_is_taken_back_whole(tmp_path, room):
    file = BlockFile.create(tmp_path / "x.avro", LONG)
    file.append(2, b"\x02\x04")
    before = file.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, hard))  # a short write, then an error
    try:
        with pytest.raises(OSError, match="File too large") as refused:
            file.append(1, b"\x06")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.errno == errno.EFBIG
    assert file.path.read_bytes() == before
    file.append(1, b"\x06")  # nothing stops it once there is room
    file.close()
    assert times(file.path) == [1, 2, 3]


def test_blocks_written_together_are_found_where_they_are_said_to_be(tmp_path):
    file = BlockFile.create(tmp_path / "x.avro", LONG)
    first, second = file.append_many([(2, b"\x02\x04"), (1, b"\x06")])
    assert (first, second) == (file.size - 21 - 20 + 2, file.size - 19)
    content = file.path.read_bytes()
    assert content[first:second] == b"\x04\x04\x02\x04" + file.sync
    assert content[second:] == b"\x02\x02\x06" + file.sync
    assert len(content) == file.size
    assert times(file.path) == [1, 2, 3]
    file.close()


@pytest.mark.parametrize(("room", "kept"), [(0, 0), (18, 0), (19, 1), (37, 1), (38, 2), (56, 2)])
def test_of_blocks_written_together_those_stay_that_fit(tmp_path, room, kept):
    file = BlockFile.create(tmp_path / "x.avro", LONG)
    file.append(1, b"\x00")
    blocks, before = [(1, b"\x02"), (1, b"\x04"), (1, b"\x06")], file.size  # 19 bytes each
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before + room, hard))
    try:
        if kept:
            assert file.append_many(blocks) == [before, before + 19][:kept]
            assert file.path.stat().st_size == before + 19 * kept
        with pytest.raises(OSError, match="File too large"):
            file.append_many(blocks[kept:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.size == file.path.stat().st_size == before + 19 * kept
    file.append_many(blocks[kept:])
    file.close()
    assert times(file.path) == [0, 1, 2, 3]


def test_any_number_of_blocks_can_be_asked_for(tmp_path):
    file = BlockFile.create(tmp_path / "x.avro", LONG)
    blocks = [(1, bytes([2 * number])) for number in range(60)] * 20
    while blocks:
        blocks = blocks[len(file.append_many(blocks)) :]
    file.close()
    assert times(file.path) == list(range(60)) * 20


def test_a_short_write_that_can_go_on_goes_on(tmp_path, monkeypatch):
    file = BlockFile.create(tmp_path / "x.avro", LONG)
    monkeypatch.setattr(os, "writev", lambda fd, pieces: os.write(fd, b"".join(pieces)[:7]))
    file.append(3, b"\x02\x04\x06")
    file.close()
    assert times(file.path) == [1, 2, 3]


def test_a_file_goes_on_behind_its_last_whole_block(tmp_path):
    file = BlockFile.create(tmp_path / "x.avro", LONG)
    file.append(1, b"\x02")
    size, sync = file.size, file.sync
    file.close()
    with open(file.path, "ab") as torn:
        torn.write(b"\x02\x02\x04 torn")
    file = BlockFile.extend(file.path, sync, size)
    file.append(1, b"\x06")
    file.close()
    assert times(file.path) == [1, 3]


def test_a_file_that_somebody_deletes_is_noticed(tmp_path):
    file = BlockFile.create(tmp_path / "x.avro", LONG)
    file.append(1, b"\x02")
    assert not file.removed
    file.path.unlink()
    assert file.removed
    file.close()
