"""What killed processes left beside the files that they wrote: it goes, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from speeddata.aside import aside_of, sweep
from speeddata.h5file import SetFile


@pytest.fixture(scope="module")
def ended() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left(path, *, hours=2.0):
    path.write_bytes(b"half a set")
    os.utime(path, 2 * (time.time() - 3600 * hours,))
    return path


def test_what_a_killed_process_left_goes_an_hour_later_whatever_it_was_to_be_called(tmp_path, ended):
    for name in (f".noon.h5.{ended}", f".yesterday.h5.{ended}"):
        left(tmp_path / name)
    fresh = left(tmp_path / f".noon.h5.{ended}0", hours=0.9)
    sweep(tmp_path / "noon.h5")
    assert list(tmp_path.iterdir()) == [fresh]


def test_nothing_else_goes(tmp_path, ended):
    names = {
        f".noon.h5.{os.getpid()}",  # somebody writes it
        ".noon.h5.1",
        ".noon.h5.0",
        f".noon.avro.{ended}",
        f"noon.h5.{ended}",
        f".noonh5{ended}",
        ".noon.h5.\u0665",
        ".noon.h5.",
        ".noon.h5",
        f".{ended}",
        "noon.h5",
    }
    for name in names:
        left(tmp_path / name)
    (tmp_path / f".dir.h5.{ended}").mkdir()
    os.utime(tmp_path / f".dir.h5.{ended}", (0, 0))
    sweep(tmp_path / "noon.h5")
    sweep(tmp_path / "noon")
    sweep(tmp_path / "no_such_directory" / "noon.h5")
    assert {path.name for path in tmp_path.iterdir()} == {*names, f".dir.h5.{ended}"}


def test_a_number_that_no_process_can_have_is_of_none(tmp_path):
    left(tmp_path / f".noon.h5.{10**30}")
    sweep(tmp_path / "noon.h5")
    assert not list(tmp_path.iterdir())


def test_a_file_aside_is_hidden_and_of_this_process():
    assert aside_of(Path("sets/noon.h5")) == Path(f"sets/.noon.h5.{os.getpid()}")


def test_a_set_that_is_written_takes_them_away(tmp_path, ended):
    gone = left(tmp_path / f".before.h5.{ended}")
    with SetFile(tmp_path / "noon.h5", created_ns=0):
        pass
    assert not gone.exists()
