"""An outage is told once, tried again now and then, and told when it is over."""

from __future__ import annotations

import errno
import os

import pytest

from speeddata.recording.outages import RETRY_NS, Outages

FULL = OSError(errno.ENOSPC, "No space left on device")
BROKEN = OSError(errno.EIO, "Input/output error")


@pytest.fixture
def told(caplog):
    caplog.set_level("INFO", "speeddata")
    return lambda: [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


def test_all_is_well_in_silence(tmp_path, told):
    outages = Outages(tmp_path)
    assert outages.may_try("rig", 0)
    outages.over("rig", 0)
    outages.lose("rig", 5)
    assert told() == []


def test_a_trouble_is_told_once_and_when_it_is_over_with_what_is_missing(tmp_path, told):
    outages = Outages(tmp_path)
    assert outages.begin("rig", BROKEN, 0)
    outages.lose("rig", 1000)
    assert not outages.begin("rig", BROKEN, RETRY_NS)
    outages.lose("rig", 500)
    outages.over("rig", 2 * 10**9)
    assert told() == [
        f"ERROR {tmp_path}: cannot record: Input/output error; recording resumes by itself",
        f"WARNING {tmp_path}: recording resumed after 2.0 s; datums missing: 1,500",
    ]
    assert outages.begin("rig", BROKEN, 0)  # the next one is another


def test_a_full_disk_is_told_with_its_cure(tmp_path, told):
    Outages(tmp_path).begin("rig", FULL, 0)
    assert told() == [
        f"ERROR {tmp_path}: the disk is full: recording pauses, re-serving goes on; "
        "free some space; recording resumes by itself"
    ]


def test_channels_share_a_trouble_and_its_tries(tmp_path, told):
    outages = Outages(tmp_path)
    assert outages.begin("rig", BROKEN, 0)
    assert not outages.begin("oven", BROKEN, 0)
    assert not outages.may_try("rig", RETRY_NS - 1)
    assert outages.may_try("rig", RETRY_NS)
    assert not outages.may_try("oven", RETRY_NS)  # one at a time
    outages.over("rig", RETRY_NS)
    assert outages.may_try("oven", RETRY_NS)  # at once: it works again
    assert len(told()) == 1
    outages.over("oven", RETRY_NS)
    assert len(told()) == 2


def test_another_kind_of_trouble_is_told_too(tmp_path, told):
    outages = Outages(tmp_path)
    assert outages.begin("rig", FULL, 0)
    assert outages.begin("rig", BROKEN, 0)
    outages.over("rig", 0)
    assert [line.split()[0] for line in told()] == ["ERROR", "ERROR", "WARNING", "WARNING"]


def test_a_source_that_restarts_does_not_have_it_told_again(tmp_path, told):
    outages = Outages(tmp_path)
    outages.begin("rig", BROKEN, 0)
    outages.lose("rig", 7)
    outages.forget("rig")
    assert outages.may_try("rig", 0)
    assert not outages.begin("rig", BROKEN, 1)
    outages.forget("rig")
    outages.over("oven", 10**9)
    assert len(told()) == 2
    assert "datums missing: 7" in told()[1]


def test_a_disk_with_hardly_any_room_is_not_tried(tmp_path, monkeypatch):
    outages = Outages(tmp_path)
    outages.begin("rig", FULL, 0)
    free = os.statvfs_result((4096, 4096, 1000, 63, 63, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: free)
    assert not outages.may_try("rig", RETRY_NS)
    free = os.statvfs_result((4096, 4096, 1000, 64, 64, 0, 0, 0, 0, 255))
    assert outages.may_try("rig", 2 * RETRY_NS)


def test_the_file_that_is_the_trouble_is_named(tmp_path, told):
    Outages(tmp_path).begin("rig", PermissionError(errno.EACCES, "Permission denied", "/x/rig"), 0)
    assert told() == ["ERROR /x/rig: cannot record: Permission denied; recording resumes by itself"]
