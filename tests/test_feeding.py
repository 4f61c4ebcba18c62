"""What is read goes out in windows: all of it, in order, in bounded memory, and never waiting for ever."""

from __future__ import annotations

import itertools
import os
import socket
import threading

import pytest
from by_hand import NOON, RIG_TEXT, rig, unused_port
from haystack_recording import Recording

from speeddata import feeding
from speeddata.avro import codec, schema
from speeddata.avro.container import frame, write_header
from speeddata.errors import DataError, SpeedDataError
from speeddata.feeding import Feed
from speeddata.interrupts import Stop
from speeddata.recording.catalogue import Position
from speeddata.recording.reading import Reader
from speeddata.sources import Wanted

SYNC = b"0123456789abcdef"


@pytest.fixture
def recording(tmp_path):
    made = Recording(tmp_path / "data")
    yield made
    made.end()


@pytest.fixture(autouse=True)
def _no_thread_stays():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "feed"]


def numbers(window, channel=None):
    """The datums of a window, by their numbers."""
    return [
        int(time) - NOON
        for item in window
        if channel in (None, item.channel)
        for time in codec.abscissa(item.batch)
    ]


def no_record(recording):
    """A file that nobody can read, behind the others."""
    recording.begin('"string"')
    recording.add([b"\x02x"])
    recording.end()


def test_a_recording_comes_whole_and_in_order_with_its_places(recording):
    for blocks in (3, 2):
        recording.begin()
        for _ in range(blocks):
            recording.block()
    recording.end()
    with Feed([str(recording.folder)], Wanted(), Stop()) as feed:
        items = [item for window in feed for item in window]
    assert numbers(items) == list(range(15))
    assert len({item.recorded.path for item in items}) == 2
    assert feed.shortfall() is None


def test_windows_are_cut_by_size(recording, monkeypatch):
    monkeypatch.setattr(feeding, "WINDOW_BYTES", 1000)
    recording.begin()
    for _ in range(100):
        recording.block()
    recording.end()
    with Feed([str(recording.folder)], Wanted(), Stop(), flush_s=60) as feed:
        windows = list(feed)
    block = len(windows[0][0].batch.data)
    assert all(1000 <= sum(len(item.batch.data) for item in window) < 1000 + block for window in windows[:-1])
    assert numbers(itertools.chain(*windows)) == list(range(300))


def test_several_sources_are_read_together_and_only_the_channels_that_are_asked_for(tmp_path):
    made = [Recording(tmp_path / name, name) for name in ("one", "two", "three")]
    for each in made:
        each.begin()
        each.block()
        each.end()
    sources = [str(each.folder) for each in made]
    with Feed([*sources, sources[0]], Wanted(), Stop(), only={"one", "two"}) as feed:
        items = [item for window in feed for item in window]
    assert sorted(item.channel for item in items) == ["one", "two"]
    assert numbers(items, "one") == [0, 1, 2]


def test_it_begins_where_it_is_told(recording):
    path = recording.begin()
    recording.block()
    second = recording.files[-1].size
    recording.block()
    recording.end()
    start = {"rig": Position(path.name, second)}
    with Feed([str(recording.folder)], Wanted(), Stop(), start=start) as feed:
        assert numbers(itertools.chain(*feed)) == [3, 4, 5]


def test_who_has_other_things_to_do_gets_an_empty_window_now_and_then(recording):
    recording.begin()
    recording.block()
    stop = Stop()
    with Feed([str(recording.folder)], Wanted(follow=True), stop, flush_s=0.01, idle_s=0.02) as feed:
        windows = iter(feed)
        assert numbers(next(windows)) == [0, 1, 2]
        assert next(windows) == []
        assert next(windows) == []
        recording.block()
        found = next(windows) or next(windows) or next(windows) or next(windows)
        assert numbers(found) == [3, 4, 5]
        stop.ask()
        assert numbers(itertools.chain(*windows)) == []


def test_a_file_that_came_and_went_while_nobody_took_windows_is_told(recording, monkeypatch, wait_for):
    monkeypatch.setattr(feeding, "_AHEAD_BYTES", 1000)
    monkeypatch.setattr(feeding, "_LOOK_S", 0.0)
    monkeypatch.setattr(feeding, "_ROOM_S", 0.001)
    looks, look = [], Reader.look
    monkeypatch.setattr(Reader, "look", lambda reader: (look(reader), looks.append(1)))
    recording.begin()
    for _ in range(10):
        recording.block()
    stop = Stop()
    with Feed([str(recording.folder)], Wanted(follow=True), stop, flush_s=0.01) as feed:
        wait_for(lambda: looks)  # it reads on no more
        gone = recording.begin()
        recording.block()
        before = len(looks)
        wait_for(lambda: len(looks) > before + 1)
        gone.unlink()
        recording.begin()
        recording.block()
        found, told = [], []
        for window in feed:
            told += feed.gone()
            found += numbers(window)
            if found[-1] == 35:
                stop.ask()
    assert found == [*range(30), *range(33, 36)]
    assert told == [("rig", gone.name)]
    assert window[-1].recorded.sync == recording.files[-1].path.read_bytes()[-16:]


def test_recordings_wait_where_nobody_takes_their_windows(recording, monkeypatch, wait_for):
    monkeypatch.setattr(feeding, "WINDOW_BYTES", 1000)
    monkeypatch.setattr(feeding, "_AHEAD_BYTES", 5000)
    recording.begin()
    for _ in range(200):
        recording.block()
    recording.end()
    with Feed([str(recording.folder)], Wanted(), Stop(), flush_s=60) as feed:
        got = []
        for window in feed:
            wait_for(lambda: feed._spool.bytes > 3500 or feed._spool.closed)
            assert feed._spool.bytes <= 5000
            got += numbers(window)
    assert got == list(range(600))
    assert feed.dropped == 0


def test_growing_recordings_go_out_when_their_time_is_over(recording):
    recording.begin()
    recording.block()
    stop = Stop()
    with Feed([str(recording.folder)], Wanted(follow=True), stop, flush_s=0.01) as feed:
        windows = iter(feed)
        assert numbers(next(windows)) == [0, 1, 2]
        recording.block()
        assert numbers(next(windows)) == [3, 4, 5]
        stop.ask()
        assert list(windows) == []


def test_an_error_of_reading_comes_after_all_that_was_read_before(recording):
    recording.begin()
    recording.block()
    no_record(recording)
    stop, got = Stop(), []
    with Feed([str(recording.folder)], Wanted(), stop) as feed, pytest.raises(DataError):
        got.extend(number for window in feed for number in numbers(window))
    assert got == [0, 1, 2]
    assert not stop.asked, "who ends early on that would not hear of the error"


def test_leaving_early_does_not_hang(recording, monkeypatch):
    monkeypatch.setattr(feeding, "_AHEAD_BYTES", 500)
    monkeypatch.setattr(feeding, "WINDOW_BYTES", 100)
    recording.begin()
    for _ in range(100):
        recording.block()
    for follow in (False, True):
        with Feed([str(recording.folder)], Wanted(follow=follow), Stop()) as feed:
            next(iter(feed))
        with Feed([str(recording.folder)], Wanted(follow=follow), Stop()):
            pass


# -- pipes ---------------------------------------------------------------------------------------------------


class Pipe:
    """Standard input, fed by a test."""

    def __init__(self, monkeypatch):
        read, self.fd = os.pipe()
        self._kept = os.dup(0)
        os.dup2(read, 0)
        os.close(read)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def restore(self):
        self.close()
        os.dup2(self._kept, 0)
        os.close(self._kept)


@pytest.fixture
def pipe(monkeypatch):
    made = Pipe(monkeypatch)
    yield made
    made.restore()


def head():
    return write_header({"avro.schema": RIG_TEXT, "speeddata.channel": "rig", "avro.codec": "null"}, SYNC)


def block(first, count=3):
    data = b"".join(rig(range(first, first + count)))
    return frame(count, len(data)) + data + SYNC


def test_a_pipe_goes_out_by_time_and_at_its_end(pipe):
    os.write(pipe.fd, head() + block(0))
    with Feed(["-"], Wanted(), Stop(), flush_s=0.01) as feed:
        windows = iter(feed)
        assert numbers(next(windows)) == [0, 1, 2]
        os.write(pipe.fd, block(3))
        assert numbers(next(windows)) == [3, 4, 5]
        os.write(pipe.fd, block(6))
        pipe.close()
        assert numbers(itertools.chain(*windows)) == [6, 7, 8]
    assert feed.shortfall() is None


def test_a_pipe_waits_where_nobody_takes_its_windows(pipe, monkeypatch):
    monkeypatch.setattr(feeding, "_LIVE_BYTES", 20_000)
    monkeypatch.setattr(feeding, "WINDOW_BYTES", 2000)
    monkeypatch.setattr(feeding, "_ROOM_S", 0.001)
    data = head() + b"".join(block(3 * number) for number in range(2000))
    os.set_blocking(pipe.fd, True)
    writer = threading.Thread(target=lambda: (os.write(pipe.fd, data), pipe.close()), daemon=True)
    writer.start()
    got, most = [], 0
    with Feed(["-"], Wanted(), Stop(), flush_s=60) as feed:
        for window in feed:
            most = max(most, feed._spool.bytes)
            got += numbers(window)
    writer.join()
    assert got == list(range(6000))
    assert most <= 20_000
    assert feed.dropped == 0


def test_leaving_a_silent_pipe_does_not_hang(pipe):
    os.write(pipe.fd, head() + block(0))
    with Feed(["-"], Wanted(), Stop(), flush_s=0.01) as feed:
        assert numbers(next(iter(feed))) == [0, 1, 2]


# -- live ----------------------------------------------------------------------------------------------------


@pytest.fixture
def live():
    """`live(datums...)` sends to an endpoint; its name, as SOURCE, is `live.name`."""
    port = unused_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:

        def send(*datums):
            for datum in datums:
                sock.sendto(datum, ("127.0.0.1", port))

        send.name = f"127.0.0.1:{port}"
        yield send


LIVE = Wanted(schema=schema.parse(RIG_TEXT), on=["127.0.0.1"])


def test_live_datums_go_out_by_time_and_what_came_before_the_stop_too(live):
    stop = Stop()
    with Feed([live.name], LIVE, stop, flush_s=0.01) as feed:
        live(*rig(range(3)))
        windows, got = iter(feed), []
        while len(got) < 3:
            got += numbers(next(windows))
        live(*rig(range(3, 6)))
        while len(got) < 6:
            got += numbers(next(windows))
        stop.ask()
        got += numbers(itertools.chain(*windows), "rig")  # named as its schema is
    assert got == list(range(6))


def test_live_datums_that_find_no_room_are_counted_and_told(live, monkeypatch, wait_for):
    monkeypatch.setattr(feeding, "_LIVE_BYTES", 3000)
    stop = Stop()
    with Feed([live.name], LIVE, stop, flush_s=60) as feed:
        sent = 0
        while not feed.dropped:  # the server is away: nobody takes a window
            live(*rig([sent]))
            sent += 1
            wait_for(lambda: len(feed._spool) + feed.dropped)
            assert feed._spool.bytes <= 3000
        stop.ask()
        got = numbers(itertools.chain(*feed))
    assert got == sorted(set(got))
    assert got
    assert len(got) + feed.dropped <= sent
    assert f"the server was too slow: {feed.dropped:,} datums dropped" in feed.shortfall().what


def test_an_error_of_one_source_ends_the_others(live, recording):
    recording.begin()
    recording.block()
    no_record(recording)
    sources, got = [live.name, str(recording.folder)], []
    with Feed(sources, LIVE, Stop(), flush_s=0.01) as feed, pytest.raises(DataError):
        got.extend(number for window in feed for number in numbers(window))
    assert got == [0, 1, 2]


def test_a_source_that_is_none_is_told_before_anything_is_read(tmp_path):
    for name in ("no/such/directory/", "no such channel!"):
        with pytest.raises(SpeedDataError), Feed([name], Wanted(), Stop()) as feed:
            list(feed)
