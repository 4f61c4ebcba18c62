"""What goes, what stays, and in which order; what is not ours always stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.recording import ledger, retention
from speeddata.recording.blockfile import BlockFile
from speeddata.recording.blockindex import index_path
from speeddata.recording.catalogue import file_name
from speeddata.recording.retention import Kept, Limits, Retention, scan, surplus

HOUR = 3600 * 10**9
NOON = 1_764_763_200_000_000_000
SCHEMA = '{"type": "record", "name": "rig", "fields": [{"name": "time", "type": "long"}]}'


def kept(channel: str, hour: int, *, size: int = 100, is_open: bool = False) -> Kept:
    begun = NOON + hour * HOUR
    return Kept(begun, channel, Path(f"{channel}{hour}"), size, begun + HOUR, is_open)


def going(
    files: list[Kept],
    *,
    keep_hours: int | None = None,
    keep_size: int | None = None,
    missing: int = 0,
    not_ours: tuple[str, ...] = (),
    hour: int = 0,
) -> list[str]:
    limits = Limits(None if keep_hours is None else keep_hours * HOUR, keep_size)
    gone = surplus(files, limits, NOON + hour * HOUR, missing, lambda path: str(path) not in not_ours)
    return [str(file.path) for file in gone]


THREE = [kept("a", 3), kept("a", 1), kept("a", 2)]


def test_nothing_goes_without_a_limit():
    assert going(THREE) == []


def test_what_is_older_than_keep_time_goes_oldest_first():
    assert going(THREE, keep_hours=2, hour=5) == ["a1"]
    assert going(THREE, keep_hours=1, hour=5) == ["a1", "a2"]


def test_age_is_counted_from_the_end_of_a_file():
    assert going(THREE, keep_hours=2, hour=4) == []


def test_keep_size_takes_the_oldest_and_no_more_than_needed():
    assert going(THREE, keep_size=300) == []
    assert going(THREE, keep_size=299) == ["a1"]
    assert going(THREE, keep_size=150) == ["a1", "a2"]


def test_size_counts_over_all_channels_and_age_decides():
    files = [kept("a", 4), kept("b", 1), kept("a", 2), kept("b", 3)]
    assert going(files, keep_size=200) == ["b1", "a2"]


def test_free_space_takes_the_oldest_and_no_more_than_needed():
    assert going(THREE, missing=101) == ["a1", "a2"]


def test_the_last_file_of_a_channel_stays_while_another_has_two():
    files = [kept("old", 1), kept("busy", 2), kept("busy", 3)]
    assert going(files, keep_size=200) == ["busy2"]


def test_when_every_channel_has_one_file_the_oldest_goes():
    files = [kept("old", 1), kept("busy", 2), kept("busy", 3)]
    assert going(files, keep_size=100) == ["busy2", "old1"]


def test_the_last_file_of_a_channel_stays_when_only_free_space_is_short():
    files = [kept("a", 1), kept("a", 2), kept("b", 3)]
    assert going(files, missing=10**9) == ["a1"]


def test_an_open_file_stays_and_counts_as_one():
    files = [kept("a", 1), kept("a", 2, is_open=True)]
    assert going(files, keep_size=0) == ["a1"]
    assert going([kept("a", 1, is_open=True), kept("a", 2, is_open=True)], keep_size=0) == []


def test_what_is_not_ours_stays_and_is_not_made_up_for_by_others_of_its_channel():
    assert going(THREE, keep_size=200, not_ours=("a1",)) == ["a2"]


names = st.sampled_from("abc")
some = st.lists(st.builds(kept, names, st.integers(0, 50), size=st.integers(1, 9), is_open=st.booleans()))


@given(some, st.integers(0, 60) | st.none(), st.integers(0, 60) | st.none(), st.integers(0, 60))
def test_never_an_open_file_never_a_last_one_before_its_time_never_more_than_needed(
    files, keep_hours, keep_size, missing
):
    limits = Limits(None if keep_hours is None else keep_hours * HOUR, keep_size)
    gone = list(surplus(files, limits, NOON + 50 * HOUR, missing, lambda path: True))
    left = list(files)
    freed = 0
    for file in gone:
        assert not file.is_open
        counts = [sum(each.channel == name for each in left) for name in "abc"]
        assert sum(each.channel == file.channel for each in left) > 1 or max(counts) < 2
        too_old = keep_hours is not None and file.until_ns < NOON + (50 - keep_hours) * HOUR
        too_much = keep_size is not None and sum(each.size for each in left) > keep_size
        assert too_old or too_much or missing > freed
        left.remove(file)
        freed += file.size


# -- on disk ------------------------------------------------------------------------------------------------


def make(directory: Path, channel: str, hour: int, *, role: str = "recording", size: int = 1000) -> Path:
    (directory / channel).mkdir(exist_ok=True)
    path = directory / channel / file_name(channel, NOON + hour * HOUR)
    file = BlockFile.create(
        path, {"avro.schema": SCHEMA, "speeddata.channel": channel, "speeddata.role": role}
    )
    file.append(size, bytes(size))
    file.close()
    index_path(path).write_bytes(b"index")
    os.utime(path, ns=(NOON + (hour + 1) * HOUR,) * 2)
    return path


def test_a_recording_goes_together_with_its_index(tmp_path):
    old, new = make(tmp_path, "rig", 0), make(tmp_path, "rig", 1)
    gone = Retention(tmp_path, Limits(keep_time_ns=HOUR, min_free=0)).enforce([], NOON + 3 * HOUR)
    assert [file.path for file in gone] == [old]
    left = {path.name for path in (tmp_path / "rig").iterdir()}
    assert left == {new.name, index_path(new).name, ledger.LEDGER_NAME}


def test_an_index_counts_towards_the_size(tmp_path):
    paths = [make(tmp_path, "rig", hour) for hour in range(3)]
    whole = sum(path.stat().st_size + index_path(path).stat().st_size for path in paths)
    assert Retention(tmp_path, Limits(keep_size=whole, min_free=0)).enforce([], NOON) == []
    assert len(Retention(tmp_path, Limits(keep_size=whole - 1, min_free=0)).enforce([], NOON)) == 1


def test_the_file_being_written_stays(tmp_path):
    path = make(tmp_path, "rig", 0)
    assert Retention(tmp_path, Limits(keep_size=0, min_free=0)).enforce([path], NOON) == []
    assert path.exists()


def test_only_what_is_ours_by_name_and_header_goes(tmp_path):
    rig = tmp_path / "rig"
    rejects = make(tmp_path, "rig", 0, role="rejected")
    ours = make(tmp_path, "rig", 9)
    elsewhere = make(tmp_path, "oven", 1)
    elsewhere = elsewhere.rename(rig / elsewhere.name)  # another channel's name
    others = [rejects, elsewhere, rig / "holiday.avro", rig / file_name("rig", NOON), rig / "ledger.jsonl"]
    for path in others[2:]:
        path.write_bytes(b"not a container")
    (rig / "link.avro").symlink_to(ours)
    (rig / file_name("rig", NOON - 5)).symlink_to(ours)
    Retention(tmp_path, Limits(keep_size=0, min_free=0)).enforce([], NOON)
    assert not ours.exists()
    assert all(path.exists() for path in others)
    assert (rig / "link.avro").is_symlink()
    assert (rig / file_name("rig", NOON - 5)).is_symlink()


def test_a_directory_that_is_a_link_is_not_followed(tmp_path):
    away, directory = tmp_path / "away", tmp_path / "rec"
    away.mkdir()
    directory.mkdir()
    path = make(away, "rig", 0)
    (directory / "rig").symlink_to(away / "rig")
    Retention(directory, Limits(keep_size=0, min_free=0)).enforce([], NOON)
    assert path.exists()


def test_free_space_is_asked_of_the_file_system(tmp_path):
    old, new = make(tmp_path, "rig", 0), make(tmp_path, "rig", 1)
    assert Retention(tmp_path, Limits(min_free=0.0)).enforce([], NOON) == []
    Retention(tmp_path, Limits(min_free=1.0)).enforce([], NOON)  # nothing is ever that free
    assert not old.exists()
    assert new.exists()


def test_a_ledger_forgets_with_the_recordings(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "TRIM_BYTES", 0)
    make(tmp_path, "rig", 0)
    make(tmp_path, "rig", 5)
    book = ledger.Ledger(tmp_path / "rig" / ledger.LEDGER_NAME)
    for hour in range(6):
        book.add(ledger.Entry(NOON + hour * HOUR, NOON + (hour + 1) * HOUR, "s", ledger.Counts(lost=hour)))
    book.flush()
    Retention(tmp_path, Limits(keep_time_ns=2 * HOUR, min_free=0)).enforce([], NOON + 6 * HOUR)
    assert [entry.counts.lost for entry in ledger.read(book.path) if not entry.file] == [0, 1, 2, 3, 4, 5]
    Retention(tmp_path, Limits(keep_size=0, min_free=0)).enforce([], NOON + 6 * HOUR)
    assert [entry.counts.lost for entry in ledger.read(book.path) if not entry.file] == [5]


def test_a_file_that_goes_has_a_line_in_the_ledger_even_where_no_relay_closed_it(tmp_path):
    told, left_open, empty = (make(tmp_path, "rig", hour) for hour in range(3))
    header = len(empty.read_bytes()) - 1000 - 16 - 4  # a block: two numbers of two bytes, 1000 bytes, marker
    os.truncate(empty, header)
    book = ledger.Ledger(tmp_path / "rig" / ledger.LEDGER_NAME)
    lost = ledger.Counts(lost=7)
    line = ledger.Entry(NOON, NOON + HOUR, "s", lost, ledger.FileRange(told.name, 1000, 1, 2))
    book.add(line)
    book.flush()
    size = left_open.stat().st_size
    gone = Retention(tmp_path, Limits(keep_size=0, min_free=0)).enforce([], NOON)
    assert [file.path for file in gone] == [told, left_open, empty]
    first, second = ledger.read(book.path)
    assert first == line
    assert second.file == ledger.FileRange(left_open.name, size, None, None)
    assert (second.since_ns, second.until_ns) == (NOON + HOUR, NOON + 2 * HOUR)
    assert second.counts == ledger.Counts()


def test_a_ledger_that_cannot_be_written_keeps_nothing_from_going(tmp_path):
    path = make(tmp_path, "rig", 0)
    (tmp_path / "rig" / ledger.LEDGER_NAME).mkdir()
    Retention(tmp_path, Limits(keep_size=0, min_free=0)).enforce([], NOON)
    assert not path.exists()


def test_a_directory_that_is_gone_is_left_alone(tmp_path):
    assert scan(tmp_path / "missing") == []
    assert Retention(tmp_path / "missing", Limits(keep_size=0)).enforce([], NOON) == []


@pytest.mark.parametrize("content", [b"", b"Obj\x01", b"Obj\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"])
def test_a_header_that_is_not_whole_is_not_ours(tmp_path, content):
    path = tmp_path / "x.avro"
    path.write_bytes(content)
    assert not retention.has_our_header(path)
