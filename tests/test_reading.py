"""Recordings read to their end, followed as they grow, and gone on with from a position."""

from __future__ import annotations

import fcntl
import logging

import pytest

from speeddata.avro.container import SYNC_SIZE, frame, read_header, write_header, zigzag
from speeddata.avro.schema import parse
from speeddata.errors import DataError, HostError
from speeddata.interrupts import Stop
from speeddata.recording import reading
from speeddata.recording.blockindex import Entry, IndexWriter, index_path
from speeddata.recording.catalogue import Position, file_name
from speeddata.recording.reading import Reader, end_of

SYNC = bytes(range(100, 116))
TIMES = '{"type":"record","name":"times","fields":[{"name":"time","type":"long"}]}'


def head(channel="rig", schema=TIMES):
    metadata = {"avro.schema": schema, "speeddata.channel": channel, "speeddata.role": "recording"}
    return write_header(metadata, SYNC)


HEAD = head()


def block(*times):
    data = b"".join(map(zigzag, times))
    return frame(len(times), len(data)) + data + SYNC


def put(directory, time_ns, data, channel="rig"):
    path = directory / channel / file_name(channel, time_ns)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def add(path, data):
    with open(path, "ab") as file:
        file.write(data)


def times(items):
    """The numbers in what was read."""
    found = []
    for item in items:
        data, at = item.batch.data, 0
        for _ in range(item.batch.count):
            end = at + 1
            while data[end - 1] & 0x80:
                end += 1
            value = sum((byte & 0x7F) << 7 * k for k, byte in enumerate(data[at:end]))
            found.append((value >> 1) ^ -(value & 1))
            at = end
        assert at == len(data)
    return found


class Script(Stop):
    """Each wait for more takes the next step of a story; behind the last one it asks for the end."""

    def __init__(self, *steps):
        super().__init__()
        self.steps = list(steps)

    def wait(self, seconds):
        if self.steps:
            self.steps.pop(0)()
        else:
            self.ask()
        return self.asked


def follow(path, *steps, **options):
    """What a follower reads while *steps* happen, each when it has read all there is."""
    return times(Reader(path, stop=Script(*steps), follow=True, **options))


@pytest.fixture(autouse=True)
def notes(caplog):
    caplog.set_level(logging.INFO, "speeddata")
    return lambda: [record.getMessage() for record in caplog.records]


# -- to the end


def test_channels_are_read_one_after_the_other_in_recording_order(tmp_path, notes):
    put(tmp_path, 20, HEAD + block(3))
    put(tmp_path, 10, HEAD + block(1) + block(2))
    put(tmp_path, 5, head("pump") + block(9), channel="pump")
    found = list(Reader(tmp_path, stop=Stop()))
    assert [(item.channel, item.path.name[:3]) for item in found] == [("pump", "pum")] + [("rig", "rig")] * 3
    assert times(found) == [9, 1, 2, 3]
    assert found[1].batch.schema is found[3].batch.schema
    assert notes() == []


def test_only_the_channels_asked_for_are_read(tmp_path):
    put(tmp_path, 10, HEAD + block(1))
    put(tmp_path, 5, head("pump") + block(9), channel="pump")
    assert times(Reader(tmp_path, stop=Stop(), channels=["RIG"])) == [1]


def test_a_small_piece_size_changes_nothing(tmp_path, monkeypatch):
    put(tmp_path, 10, HEAD + b"".join(block(n, 1 << n) for n in range(50)))
    whole = times(Reader(tmp_path, stop=Stop()))
    monkeypatch.setattr(reading, "_PIECE_BYTES", 7)
    assert times(Reader(tmp_path, stop=Stop())) == whole
    assert len(whole) == 100


def test_a_torn_end_is_told_and_nothing_else_lost(tmp_path, notes):
    path = put(tmp_path, 10, HEAD + block(1) + block(2)[:-3])
    put(tmp_path, 20, HEAD + block(3))
    reader = Reader(tmp_path, stop=Stop())
    assert times(reader) == [1, 3]
    assert reader.damaged_bytes == 0
    assert notes() == [f"{path}: torn: the last 16 bytes are no whole block, and are left out"]


def test_the_unfinished_block_of_an_open_file_is_no_news(tmp_path, notes):
    path = put(tmp_path, 10, HEAD + block(1) + block(2)[:-3])
    with open(path, "ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert times(Reader(tmp_path, stop=Stop())) == [1]
    assert notes() == []


def test_what_a_writer_adds_while_it_lets_go_is_read(tmp_path, monkeypatch, notes):
    path = put(tmp_path, 10, HEAD + block(1) + block(2)[:-3])

    def lets_go(_fd):
        add(path, block(2)[-3:])
        return False

    monkeypatch.setattr(reading, "is_open", lets_go)
    assert times(Reader(tmp_path, stop=Stop())) == [1, 2]
    assert notes() == []


def test_damage_is_counted_and_told(tmp_path, notes):
    broken = b"\x04" + block(2)[1:]
    path = put(tmp_path, 10, HEAD + block(1) + broken + block(3))
    reader = Reader(tmp_path, stop=Stop())
    assert times(reader) == [1, 3]
    assert reader.damaged_bytes == len(broken)
    assert notes() == [f"{path}: {len(broken)} bytes damaged at byte {len(HEAD + block(1))}, passed over"]


def test_a_thousand_damaged_places_are_not_told_one_by_one(tmp_path, notes):
    put(tmp_path, 10, HEAD + (b"\x04" + block(2)[1:]) * 1000)
    reader = Reader(tmp_path, stop=Stop())
    assert times(reader) == []
    assert reader.damaged_bytes == 1000 * len(block(2))
    assert len(notes()) == 11
    assert "1000 damaged places" in notes()[-1]


def test_each_file_has_its_own_schema(tmp_path):
    put(tmp_path, 10, HEAD + block(1))
    put(tmp_path, 20, head(schema=TIMES.replace("time", "t")) + block(2))
    assert [item.batch.schema.abscissa.name for item in Reader(tmp_path, stop=Stop())] == ["time", "t"]


def test_a_file_that_vanishes_is_a_gap_with_its_name(tmp_path, notes):
    put(tmp_path, 10, HEAD + block(1))
    gone = put(tmp_path, 20, HEAD + block(2))
    put(tmp_path, 30, HEAD + block(3))
    reader = Reader(tmp_path, stop=Stop())
    found = []
    for item in reader:
        gone.unlink(missing_ok=True)
        found.append(item)
    assert times(found) == [1, 3]
    assert reader.gaps == 1
    assert notes() == [f"{gone.name}: gone before it was read; its datums of channel rig are missing"]


def test_a_file_is_read_to_its_end_though_it_was_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_PIECE_BYTES", len(HEAD + block(1)))
    path = put(tmp_path, 10, HEAD + block(1) * 20)
    items = iter(Reader(tmp_path, stop=Stop()))
    first = next(items)
    path.unlink()
    assert times([first, *items]) == [1] * 20


def test_reading_ends_when_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_PIECE_BYTES", len(HEAD))
    put(tmp_path, 10, HEAD + block(1) * 1000)
    stop, count = Stop(), 0
    for _ in Reader(tmp_path, stop=stop):
        count += 1
        stop.ask()
    assert count < 100


def test_an_absent_directory_is_an_error(tmp_path):
    with pytest.raises(HostError, match="No such file"):
        list(Reader(tmp_path / "absent", stop=Stop()))


# -- following


def test_a_follower_reads_across_files_and_channels_as_they_come(tmp_path, notes):
    first = put(tmp_path, 10, HEAD + block(1))
    assert follow(
        tmp_path,
        lambda: add(first, block(2)[:5]),
        lambda: add(first, block(2)[5:]),
        lambda: put(tmp_path, 15, head("pump") + block(90), channel="pump"),
        lambda: (add(first, block(3)), put(tmp_path, 20, HEAD + block(4))),
        lambda: put(tmp_path, 30, b""),
        lambda: put(tmp_path, 30, HEAD + block(5)),
        lambda: add(tmp_path / "pump" / file_name("pump", 15), block(91)),
    ) == [1, 2, 90, 3, 4, 5, 91]
    assert notes() == []


def test_a_follower_may_come_first(tmp_path):
    assert follow(tmp_path, lambda: None, lambda: put(tmp_path, 1, HEAD + block(1))) == [1]


def test_a_follower_of_one_file_waits_for_its_header(tmp_path):
    path = put(tmp_path, 10, b"")
    with open(path, "ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert follow(path, lambda: add(path, HEAD + block(1)), lambda: add(path, block(2))) == [1, 2]


def test_what_the_old_file_still_got_comes_before_the_new_one(tmp_path):
    old = put(tmp_path, 10, HEAD + block(1))
    reader = Reader(tmp_path, stop=Script(), follow=True)
    found = []
    for item in reader:
        if not found:  # read, but not yet looked at again
            add(old, block(2))
            put(tmp_path, 20, HEAD + block(3))
        found.append(item)
    assert times(found) == [1, 2, 3]


def test_a_torn_file_of_a_killed_writer_is_told_when_its_successor_comes(tmp_path, notes):
    torn = put(tmp_path, 10, HEAD + block(1) + block(2)[:-1])
    assert follow(tmp_path, lambda: None) == [1]
    assert notes() == []
    assert follow(tmp_path, lambda: put(tmp_path, 20, HEAD + block(3))) == [1, 3]
    assert notes() == [f"{torn}: torn: the last 18 bytes are no whole block, and are left out"]


def test_a_block_that_a_full_disk_took_back_is_forgotten(tmp_path, notes):
    path = put(tmp_path, 10, HEAD + block(1))
    whole = path.stat().st_size
    reader = Reader(
        tmp_path,
        stop=Script(
            lambda: add(path, block(7)[:9]),
            lambda: path.open("r+b").truncate(whole),
            lambda: None,
            lambda: add(path, block(2)),
            lambda: add(path, block(7)[:9]),
            lambda: (path.open("r+b").truncate(whole + len(block(2))), put(tmp_path, 20, HEAD + block(3))),
        ),
        follow=True,
    )
    assert times(reader) == [1, 2, 3]
    assert notes() == []
    assert reader.damaged_bytes == 0


def test_the_channels_take_turns(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_PIECE_BYTES", 100)
    put(tmp_path, 10, HEAD + block(1) * 100)
    put(tmp_path, 10, head("pump") + block(2) * 100, channel="pump")
    order = [item.channel for item in Reader(tmp_path, stop=Script(), follow=True)]
    assert len(order) == 200
    assert len(set(order[:20])) == 2


# -- positions


def test_reading_goes_on_behind_any_datum(tmp_path):
    put(tmp_path, 10, HEAD + block(1, 200, 3) + block(4))
    put(tmp_path, 20, HEAD + block(5, -60000))
    everything = [1, 200, 3, 4, 5, -60000]
    read = list(Reader(tmp_path, stop=Stop()))
    places = [item.position(n) for item in read for n in range(item.batch.count)]
    for number, place in enumerate(places):
        again = list(Reader(tmp_path, stop=Stop(), start={"RIG": Position.parse(str(place))}))
        assert times(again) == everything[number:]
        assert again[0].position(0) == place
        assert again[-1].position(again[-1].batch.count) == read[-1].position(2)
    behind = [item.position(item.batch.count) for item in read]
    assert [times(Reader(tmp_path, stop=Stop(), start={"rig": at})) for at in behind] == [
        [4, 5, -60000],
        [5, -60000],
        [],
    ]


def test_a_position_at_the_end_waits_for_what_comes(tmp_path):
    path = put(tmp_path, 10, HEAD + block(1) + block(2))
    assert end_of(path) == Position(path.name, len(HEAD + block(1) + block(2)))
    assert follow(tmp_path, lambda: add(path, block(3)), start={"rig": end_of(path)}) == [3]


def test_the_end_is_behind_the_last_whole_block(tmp_path):
    path = put(tmp_path, 10, HEAD + block(1) + block(2)[:-1])
    assert end_of(path) == Position(path.name, len(HEAD + block(1)))


def test_a_position_in_a_file_that_is_gone_goes_on_with_the_next_and_tells(tmp_path, notes):
    put(tmp_path, 10, HEAD + block(1))
    put(tmp_path, 30, HEAD + block(3))
    start = {"rig": Position(file_name("rig", 20), 77)}
    reader = Reader(tmp_path, stop=Stop(), start=start)
    assert times(reader) == [3]
    assert reader.gaps == 1
    assert file_name("rig", 20) in notes()[0]


@pytest.mark.parametrize("offset", [5000, len(HEAD) + 3])
def test_a_position_where_no_block_begins_is_refused(tmp_path, offset):
    path = put(tmp_path, 10, HEAD + block(1) + block(2))
    with pytest.raises(DataError, match=f"no block begins at byte {offset}"):
        list(Reader(tmp_path, stop=Stop(), start={"rig": Position(path.name, offset)}))


def test_a_position_in_a_block_that_is_damaged_cuts_no_other(tmp_path):
    path = put(tmp_path, 10, HEAD + b"\x08" + block(2)[1:] + block(3, 4, 5))
    start = {"rig": Position(path.name, len(HEAD), 2)}
    assert times(Reader(tmp_path, stop=Stop(), start=start)) == [3, 4, 5]


# -- by the index


def index(path, blocks, sync=SYNC):
    writer, at = IndexWriter(parse(TIMES), sync), len(HEAD)
    rows = b""
    for values in blocks:
        size = len(block(*values))
        rows += writer.add(Entry(at, size, len(values), min(values), max(values)))
        at += size
    index_path(path).write_bytes(rows)


BLOCKS = [(1, 2), (3, 4), (500, 600), (7, 8), (9, 10)]


@pytest.mark.parametrize(("low", "high"), [(0, 1000), (3, 4), (5, 8), (9, 9), (1000, 2000), (2, 3)])
def test_blocks_that_are_not_wanted_are_not_read(tmp_path, low, high):
    path = put(tmp_path, 10, HEAD + b"".join(block(*values) for values in BLOCKS))
    index(path, BLOCKS[:4])  # of the last block it knows nothing yet

    def wanted(_schema, entry):
        return entry.least <= high and low <= entry.greatest

    expected = [v for values in BLOCKS[:4] if values[0] <= high and low <= values[1] for v in values]
    assert times(Reader(tmp_path, stop=Stop(), choice=wanted)) == [*expected, 9, 10]


def test_a_lying_index_loses_nothing_that_is_wanted(tmp_path, notes):
    path = put(tmp_path, 10, HEAD + b"".join(block(*values) for values in BLOCKS))
    index(path, [(1, 2), (3, 4, 99), (7, 8)])  # its second block is longer than the real one

    def wanted(_schema, entry):
        return entry.least != 3

    reader = Reader(tmp_path, stop=Stop(), choice=wanted)
    assert times(reader) == [v for values in BLOCKS for v in values]
    assert reader.damaged_bytes == 0
    assert notes() == []


def test_a_position_and_a_choice_go_together(tmp_path):
    path = put(tmp_path, 10, HEAD + b"".join(block(*values) for values in BLOCKS))
    index(path, BLOCKS)
    start = {"rig": Position(path.name, len(HEAD + block(1, 2)), 1)}
    assert times(Reader(tmp_path, stop=Stop(), start=start, choice=lambda _s, _e: True)) == [
        4,
        500,
        600,
        7,
        8,
        9,
        10,
    ]
    assert times(Reader(tmp_path, stop=Stop(), start=start, choice=lambda _s, e: e.least > 4)) == [
        500,
        600,
        7,
        8,
        9,
        10,
    ]


def test_the_end_is_found_by_the_index_where_it_is_right(tmp_path):
    path = put(tmp_path, 10, HEAD + b"".join(block(*values) for values in BLOCKS))
    end = Position(path.name, path.stat().st_size)
    for blocks in (BLOCKS, BLOCKS[:2], [(1,)], []):
        index(path, blocks)
        assert end_of(path) == end
    assert read_header(HEAD).sync == SYNC
    assert len(SYNC) == SYNC_SIZE
