"""The way to HDF5: what goes wrong in a thread comes out, and no more work waits than fits."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from speeddata.errors import HostError
from speeddata.h5door import Guard, Jobs


@pytest.fixture
def guard(tmp_path):
    made = Guard(tmp_path / "set.h5", tmp_path / "aside")
    yield made
    made.close()


def test_what_a_job_raises_comes_out_where_one_waits(guard):
    def refuse():
        raise ValueError("no")

    with ThreadPoolExecutor(1) as pool:
        jobs = Jobs(pool, guard)
        jobs.put(1, refuse)
        with pytest.raises(ValueError, match="no"):
            jobs.wait()


def test_who_brings_more_than_fits_waits_for_what_is_there(guard):
    leave, done = threading.Event(), []

    def work(number):
        assert leave.wait(10)
        done.append(number)

    with ThreadPoolExecutor(1) as pool:
        jobs = Jobs(pool, guard)
        jobs.put(24 << 20, work, 1)
        assert not done
        leave.set()
        jobs.put(1, work, 2)
        assert done[0] == 1
        jobs.wait()
        assert done == [1, 2]


def test_the_door_is_shut_once_the_disk_has_refused(guard):
    with guard:
        pass
    guard.disk.why = "No space left on device"
    with pytest.raises(HostError, match="cannot write the set: No space left on device"), guard:
        pytest.fail("inside")
    guard.disk.why = ""
    with guard:
        pass


def test_a_file_that_cannot_be_made_is_told_by_the_name_it_would_have(tmp_path):
    with pytest.raises(HostError, match=r"set\.h5: cannot write the set: No such file or directory"):
        Guard(tmp_path / "none" / "set.h5", tmp_path / "none" / "aside")
