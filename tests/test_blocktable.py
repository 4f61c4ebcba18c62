"""Where the blocks of a channel lie, from its indexes or from what is in them."""

from __future__ import annotations

import fastavro
import pytest
from indexing import with_index

from speeddata.errors import DataError
from speeddata.interrupts import Stop
from speeddata.recording.blocktable import BlockTable, ChangedError, FileTable

S = 10**9


def written(path, times, *, unit="ms", kind="long", index=False, interval=16):
    schema = {"type": "record", "name": "t", "fields": [{"name": "time", "type": kind, "unit": unit}]}
    with path.open("wb") as file:
        fastavro.writer(file, schema, [{"time": time} for time in times], sync_interval=interval)
    if index:
        with_index(path)
    return path


def table(*paths):
    found = BlockTable()
    found.files += [FileTable(path) for path in paths]
    found.refresh(Stop())
    return found


@pytest.mark.parametrize("index", [True, False])
def test_a_range_needs_the_blocks_that_may_hold_it_and_one_on_either_side(tmp_path, index):
    found = table(written(tmp_path / "a.avro", range(100_000, 100_100), index=index))
    (file,) = found.files
    count = len(file.least)
    assert 10 < count < 50
    assert found.span() == (100 * S, 100 * S + 99 * 10**6)
    assert list(found.near(0, 2**62)) == [(file, 0, count)]
    begin, end = file.least[5], file.greatest[6] + 1
    assert list(found.near(begin, end)) == [(file, 4, 8)]
    assert list(found.near(begin + 1, begin + 2)) == [(file, 4, 7)]
    assert list(found.near(0, 1)) == [(file, 0, 1)]
    assert list(found.near(2**61, 2**62)) == [(file, count - 1, count)]
    datums = b"".join(block.batch.data for block in file.blocks(4, 8, Stop()))
    assert len(datums) // len(datums[:3]) >= 4


def test_runs_do_not_reach_from_one_file_into_the_next(tmp_path):
    found = table(written(tmp_path / "a.avro", range(50)), written(tmp_path / "b.avro", range(50, 100)))
    a, b = found.files
    assert list(found.near(0, 10**9)) == [(a, 0, len(a.least)), (b, 0, len(b.least))]


def test_a_block_of_which_the_index_knows_nothing_may_hold_anything(tmp_path):
    path = written(tmp_path / "a.avro", [float("nan"), float("nan")], kind="double", unit="s", interval=1)
    found = table(path)
    (file,) = found.files
    assert found.span() is None
    assert list(found.near(5, 6)) == [(file, 0, len(file.least))]


def test_it_grows_with_its_file_and_forgets_one_that_is_gone(tmp_path):
    path = written(tmp_path / "a.avro", range(10), index=True)
    found = table(path)
    version = found.version
    found.refresh(Stop())
    assert found.version == version
    with path.open("a+b") as file:
        fastavro.writer(file, None, [{"time": 77}])
    found.refresh(Stop())
    assert found.version > version
    assert found.span() == (0, 77 * 10**6)
    path.unlink()
    with pytest.raises(ChangedError):
        list(found.files[0].blocks(0, 1, Stop()))
    found.renew(Stop())
    assert (found.files, found.span(), list(found.near(0, 1))) == ([], None, [])


def test_a_torn_end_is_not_a_block_until_it_is_whole(tmp_path):
    path = written(tmp_path / "a.avro", range(100))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    found = table(path)
    before = len(found.files[0].least)
    path.write_bytes(whole)
    found.refresh(Stop())
    assert len(found.files[0].least) == before + 1
    assert found.span() == (0, 99 * 10**6)


def test_what_is_no_recording_is_refused(tmp_path):
    (tmp_path / "no.avro").write_text("no container")
    (tmp_path / "torn.avro").write_bytes(b"Obj\x01")
    for name in ("no.avro", "torn.avro"):
        with pytest.raises(DataError, match=name):
            FileTable(tmp_path / name)
    with pytest.raises(OSError, match="No such file"):
        FileTable(tmp_path / "gone.avro")
