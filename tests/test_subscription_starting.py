"""Where reading goes on in a recording, found by content: names, clocks and damage do not mislead."""

from __future__ import annotations

import pytest
from subscription_serving import MS, NOON, Source, read_by_fastavro, schema_text

from speeddata.errors import DataError
from speeddata.interrupts import Stop
from speeddata.recording.reading import Reader
from speeddata.subscription.customers import Place
from speeddata.subscription.departed import Ledgers
from speeddata.subscription.starting import at_time, behind, closed_size, end, schemas, sync_of

NOW = NOON + 10**15


@pytest.fixture
def rig(tmp_path):
    made = Source(tmp_path)
    yield made
    made.end()


def two_files(rig):
    paths = [rig.begin()]
    rig.blocks(3)
    paths.append(rig.begin())
    rig.blocks(3)
    rig.end()
    return paths


def offsets(path):
    """Where the blocks of a file begin, and its end, by their markers alone."""
    data = path.read_bytes()
    marker = data[-16:]
    found, at = [], data.find(marker)
    while at >= 0:
        found.append(at + 16)
        at = data.find(marker, at + 1)
    return found


def place_at(path, block, size=None):
    return Place("rig", path.name, path.read_bytes()[-16:], block, 0, NOON, size)


def read_from(root, position):
    start = None if position is None else {"rig": position}
    found = []
    for recorded in Reader(root, stop=Stop(), start=start):
        assert recorded.sync == recorded.path.read_bytes()[-16:]
        found += [recorded.block.offset]
    return found


# -- behind what was acknowledged ---------------------------------------------------------------------------


def test_it_goes_on_behind_every_block(rig, tmp_path):
    first, second = two_files(rig)
    for path in (first, second):
        for block in offsets(path):
            begin = behind(place_at(path, block), [first, second], Ledgers(tmp_path), NOW)
            assert begin.gap is None
            assert (begin.position.file, begin.position.block) == (path.name, block)
            expected = [at for at in offsets(path)[:-1] if at >= block]
            if path == first:
                expected += offsets(second)[:-1]
            assert read_from(tmp_path, begin.position) == expected


def test_a_file_is_known_by_its_marker_whatever_it_is_called(rig, tmp_path):
    first, second = two_files(rig)
    place = place_at(first, offsets(first)[1])
    renamed = first.rename(first.with_name("0.avro"))
    assert behind(place, [renamed, second], Ledgers(tmp_path), NOW).position.file == "0.avro"
    # and another file of that name is not it
    other = Source(tmp_path / "other")
    impostor = other.begin()
    other.blocks(3)
    other.end()
    impostor.rename(first)
    begin = behind(place, [first, second], Ledgers(tmp_path), NOW)
    assert (begin.position.file, begin.position.block) == (second.name, 0)
    assert begin.gap is not None


@pytest.mark.parametrize(("size", "gaps"), [(None, 1), (2000, 1), (1000, 0)])
def test_a_file_that_is_gone_is_a_gap_unless_it_was_all_sent(rig, tmp_path, size, gaps):
    first, second = two_files(rig)
    place = place_at(first, 1000, size)
    first.unlink()
    begin = behind(place, [second], Ledgers(tmp_path), NOW)
    assert (begin.position.file, begin.position.block) == (second.name, 0)
    assert (begin.gap is not None) == bool(gaps)
    if gaps:
        assert begin.gap == (str(tmp_path), "rig", NOON, NOON + 30 * MS, NOW, begin.gap.what)
        assert begin.gap.what == f"{first.name}: gone, and what was to be sent from byte 1000 on"


def test_with_older_files_only_it_waits_behind_them(rig, tmp_path):
    first, second = two_files(rig)
    place = place_at(second, 0)
    second.unlink()
    begin = behind(place, [first], Ledgers(tmp_path), NOW)
    assert (begin.position.file, begin.position.block) == (first.name, offsets(first)[-1])
    assert read_from(tmp_path, begin.position) == []
    assert begin.gap.to_ns is None
    assert behind(place, [], Ledgers(tmp_path), NOW).position is None


def test_where_the_block_before_is_damaged_it_goes_on_with_the_next_one_and_tells(rig, tmp_path):
    first, second = two_files(rig)
    ends = offsets(first)
    data = bytearray(first.read_bytes())
    data[ends[1] - 3] ^= 0xFF  # in the marker
    first.write_bytes(data)
    place = Place("rig", first.name, bytes(data[-16:]), ends[1])
    begin = behind(place, [first, second], Ledgers(tmp_path), NOW)
    assert begin.position.block == ends[2]
    assert "no block begins at byte" in begin.gap.what
    assert read_from(tmp_path, begin.position)[0] == ends[2]


def test_where_the_file_was_cut_off_it_goes_on_at_its_end(rig, tmp_path):
    first, second = two_files(rig)
    place, ends = place_at(first, offsets(first)[-1]), offsets(first)
    first.write_bytes(first.read_bytes()[: ends[1] + 5])
    begin = behind(place, [first, second], Ledgers(tmp_path), NOW)
    assert begin.position.block == ends[1]
    assert begin.gap is not None
    assert read_from(tmp_path, begin.position) == offsets(second)[:-1]


# -- at a time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("since", "block"), [(0, 0), (9, 0), (10, 1), (25, 2), (29, 2)])
def test_it_begins_with_the_block_that_has_the_time(rig, tmp_path, since, block):
    rig.begin(stamp=NOON - 1)
    rig.blocks(3)
    rig.end()
    path = rig.files[0].path
    position = at_time([path], NOON + since * MS)
    assert (position.file, position.block) == (path.name, offsets(path)[block])


def test_later_than_all_it_begins_at_the_end_and_without_a_time_with_all(rig, tmp_path):
    paths = two_files(rig)
    position = at_time(paths, NOON + 60 * MS)
    assert (position.file, position.block) == (paths[1].name, offsets(paths[1])[-1])
    assert at_time(paths, None) is None
    assert at_time([], NOON) is None


def test_a_file_begun_since_then_is_wanted_though_its_source_has_another_clock(rig, tmp_path):
    late = NOON + 10**12
    rig.begin(stamp=NOON)
    rig.blocks(2)
    path = rig.begin(stamp=late + 1)
    rig.blocks(2)  # of the time of NOON
    rig.end()
    position = at_time([rig.files[0].path, path], late)
    assert (position.file, position.block) == (path.name, 0)


def test_an_abscissa_of_no_known_unit_takes_the_one_that_is_given(rig, tmp_path):
    path = rig.begin(time={"name": "time", "type": "long"}, stamp=NOON - 1)
    rig.blocks(3)
    rig.end()
    assert at_time([path], NOON + 15 * MS).block == offsets(path)[-1]  # no time: nothing of it is wanted
    assert at_time([path], NOON + 15 * MS, "ns").block == offsets(path)[1]
    assert schemas([path], "ns")[0].time_unit == "ns"


def test_what_retention_takes_meanwhile_is_not_there(rig, tmp_path):
    first, second = two_files(rig)
    first.unlink()
    assert at_time([first, second], NOON).file == second.name
    assert end([second, first]).file == second.name
    assert [schema.text for schema in schemas([first, second])] == [schema_text("rig", "volts")]
    assert sync_of(first) == b""
    assert closed_size(first) is None


def test_a_file_of_somebody_else_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "x.avro"
    path.write_bytes(b"Obj\x02" + bytes(100))
    with pytest.raises(DataError, match=r"x\.avro"):
        at_time([path], NOON)


def test_a_file_is_closed_when_nobody_writes_it(rig, tmp_path):
    path = rig.begin()
    rig.block()
    assert closed_size(path) is None
    rig.end()
    assert closed_size(path) == path.stat().st_size
    assert read_by_fastavro([path]) == [float(n) for n in range(10)]
