"""The file below HDF5: exact while it can be, and silent when it cannot."""

from __future__ import annotations

import os

import numpy as np

from speeddata.h5disk import Disk


def test_what_is_written_is_there_and_reads_back(tmp_path):
    disk = Disk(tmp_path / "file")
    for at, data in ((0, b"begin"), (100, b"end"), (2, b"G")):
        disk.seek(at)
        assert disk.write(memoryview(data)) == len(data)
    assert disk.seek(0, os.SEEK_END) == 103
    disk.seek(98)
    assert disk.read(8) == b"\0\0end\0\0\0"
    disk.truncate(101)
    disk.close()
    assert disk.why == ""
    assert (tmp_path / "file").read_bytes() == b"beGin" + bytes(95) + b"e"


def test_a_refusal_is_kept_for_whoever_asks_and_reads_go_on(tmp_path, monkeypatch):
    disk = Disk(tmp_path / "file")
    disk.write(memoryview(b"before"))

    def full(_fd, _data, _at):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    disk.seek(4)
    assert disk.write(memoryview(b"after")) == 5
    assert disk.why == "No space left on device"
    monkeypatch.undo()
    disk.write(memoryview(b"!"))
    disk.seek(0)
    assert disk.read(12) == b"befoafter!\0\0"
    disk.close()
    assert (tmp_path / "file").read_bytes() == b"before"


def test_pieces_that_lie_side_by_side_go_together_to_where_they_belong(tmp_path, monkeypatch):
    asked = []

    def short(fd, pieces, at):
        asked.append((at, len(pieces)))
        return os.pwrite(fd, b"".join(pieces)[:5], at)

    monkeypatch.setattr(os, "pwritev", short)
    disk = Disk(tmp_path / "file")
    pieces = [(0, b"abc"), (3, b"defg"), (10, b"hi"), (12, b"jk"), (20, b"l")]
    disk.write_at([(at, np.frombuffer(piece, np.uint8)) for at, piece in pieces])
    disk.close()
    assert (tmp_path / "file").read_bytes() == b"abcdefg\0\0\0hijk" + bytes(6) + b"l"
    assert asked == [(0, 2), (5, 1), (10, 2), (20, 1)]


def test_a_refusal_of_pieces_is_kept_and_nothing_more_is_written(tmp_path, monkeypatch):
    def full(_fd, _pieces, _at):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    disk = Disk(tmp_path / "file")
    disk.write_at([(0, np.frombuffer(b"abc", np.uint8)), (9, np.frombuffer(b"def", np.uint8))])
    monkeypatch.undo()
    disk.write_at([(0, np.frombuffer(b"abc", np.uint8))])
    disk.close()
    assert disk.why == "No space left on device"
    assert (tmp_path / "file").read_bytes() == b""
