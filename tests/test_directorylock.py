"""One recorder a directory; a directory that cannot be recorded in is said at once, with its cure."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from speeddata.errors import HostError
from speeddata.recording.directorylock import DirectoryLock

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")


@contextmanager
def tmpfs(path: Path, options: str) -> Iterator[None]:
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True)
    if made.returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_directory_is_made_with_its_parents(tmp_path):
    DirectoryLock(tmp_path / "a" / "b").release()
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_one_at_a_time(tmp_path):
    lock = DirectoryLock(tmp_path)
    with pytest.raises(HostError, match="another relay records here") as refused:
        DirectoryLock(tmp_path)
    assert refused.value.where == str(tmp_path)
    assert "-o" in refused.value.mend
    lock.release()
    DirectoryLock(tmp_path).release()


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_directory_that_cannot_be_made_is_said(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="cannot record here") as refused:
        DirectoryLock(tmp_path / name)
    assert refused.value.where == str(tmp_path / name)


@needs_root
def test_a_directory_that_cannot_be_written_is_said_and_let_go(tmp_path):
    with tmpfs(tmp_path, "size=1m,ro"):
        for _ in range(2):
            with pytest.raises(HostError, match="Read-only file system"):
                DirectoryLock(tmp_path)


@needs_root
def test_a_disk_that_is_only_full_is_no_reason_to_refuse(tmp_path):
    with tmpfs(tmp_path, "size=1m,nr_inodes=1"):
        DirectoryLock(tmp_path).release()


def test_a_directory_in_place_of_the_locked_one_is_locked_in_its_turn(tmp_path):
    directory = tmp_path / "rec"
    lock = DirectoryLock(directory)
    directory.rename(tmp_path / "aside")
    with pytest.raises(FileNotFoundError):
        lock.hold()
    directory.mkdir()
    lock.hold()
    with pytest.raises(HostError, match="another relay"):
        DirectoryLock(directory)
    DirectoryLock(tmp_path / "aside").release()
    lock.release()


def test_a_directory_that_another_relay_has_taken_meanwhile_is_not_ours(tmp_path):
    directory = tmp_path / "rec"
    lock = DirectoryLock(directory)
    directory.rename(tmp_path / "aside")
    other = DirectoryLock(directory)
    with pytest.raises(BlockingIOError, match="another relay records here"):
        lock.hold()
    other.release()
    lock.release()
