"""The file below HDF5: exact while it can be, and silent when it cannot."""

from __future__ import annotations

import os

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
