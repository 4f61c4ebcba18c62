"""The embedded log: what every engine promises, and what a file of its own brings with it."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from engine_contract import NOON_NS, ROOT, Engine, EngineContract, eventually, take, texts

from speeddata.errors import DataError, UsageError
from speeddata.subscription import database, log_retention
from speeddata.subscription.engine import Message, Position, Unreachable
from speeddata.subscription.engine_log import MOST_BYTES, LogInlet, LogOutlet

# Sends messages 0, 1, 2 ... of argv[2] bytes, argv[3] a call, and writes the last number after each call.
PRODUCER = """
import sys
from pathlib import Path
from speeddata.subscription.engine import Message, Unreachable
from speeddata.subscription.engine_log import LogOutlet
path, size, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
with LogOutlet(path) as outlet:
    number = int(sys.argv[4])
    while True:
        some = [f"{n}".rjust(size) for n in range(number, number + count)]
        try:
            outlet.send([Message(text.strip(), "plant", "rig", text.encode(), 0) for text in some])
        except Unreachable as exc:
            print(exc, flush=True)
            sys.exit(4)
        number += count
        print(number, flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "hub.db"


@pytest.fixture
def engine(path):
    return Engine(f"sqlite:{path}", most_bytes=MOST_BYTES)


class TestLog(EngineContract):
    pass


@pytest.fixture
def producer(path):
    started = []

    def start(size, count=1, first=0, **options):
        args = [sys.executable, "-c", PRODUCER, str(path), str(size), str(count), str(first)]
        started.append(subprocess.Popen(args, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def inlet(path, name="me", **wanted):
    return LogInlet(path, topic="plant", name=name, **wanted)


def some(first, end, size=1):
    return [
        Message(f"id{n}", "plant", "rig", f"{n}".rjust(size).encode(), NOON_NS) for n in range(first, end)
    ]


def read(path, name="reader"):
    """All that is in the log, by their numbers."""
    found = []
    with inlet(path, name, position=Position("beginning")) as reader:
        while received := reader.fetch(1000, 0.0):
            found += [int(one.body) for one in received]
    return found


# -- the file -----------------------------------------------------------------------------------------------


def test_the_file_and_its_directory_are_its_owners_alone(path):
    old = os.umask(0)
    try:
        with LogOutlet(path) as outlet:
            outlet.send(some(0, 1))
            modes = {name.name: stat.S_IMODE(name.stat().st_mode) for name in path.parent.iterdir()}
        with inlet(path):
            modes |= {name.name: stat.S_IMODE(name.stat().st_mode) for name in path.parent.iterdir()}
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}
    assert {"hub.db", "hub.db-wal", "hub.db-consumer-1"} <= set(modes)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"no database, but notes of a day\n" * 200, "no log of messages"), (b"x", "no log of messages")],
)
def test_a_file_of_something_else_is_refused_and_stays_as_it_is(path, content, said):
    path.parent.mkdir()
    path.write_bytes(content)
    for end in (lambda: LogOutlet(path), lambda: inlet(path)):
        with pytest.raises(DataError, match=said) as told:
            end()
        assert str(told.value).count("\n") == 0
        assert str(path) in str(told.value)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_refused_and_stays_as_it_is(path):
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE message (sequence INTEGER)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="no log of messages"):
        LogOutlet(path)
    assert path.read_bytes() == before


def test_the_log_of_a_newer_version_is_refused(path):
    LogOutlet(path).close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 2")
    newer.close()
    with pytest.raises(DataError, match="another version of SpeedData"):
        LogOutlet(path)


def test_a_damaged_log_is_told_and_never_made_anew(path):
    with LogOutlet(path) as outlet:
        outlet.send(some(0, 2000, 100))
    data = bytearray(path.read_bytes())
    size = len(data)
    data[4096:] = b"\xff" * (size - 4096)
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"), LogOutlet(path) as outlet:
        outlet.send(some(2000, 2001))
    with pytest.raises(DataError, match="damaged"):
        read(path)
    assert path.stat().st_size == size


def test_a_fifo_is_refused_and_not_waited_for(path):
    path.parent.mkdir()
    os.mkfifo(path)
    with pytest.raises(UsageError, match="no plain file"):
        LogOutlet(path)


def test_processes_that_make_it_at_once_make_one(path, producer):
    processes = [producer(10, first=1000 * n) for n in range(4)]
    for process in processes:
        assert process.stdout.readline().strip().isdigit()
        process.kill()
    assert {number // 1000 for number in read(path)} == {0, 1, 2, 3}


def test_one_that_is_removed_while_in_use_is_told_and_then_made_anew(path):
    with LogOutlet(path) as outlet, inlet(path) as reader:
        outlet.send(some(0, 2))
        for name in list(path.parent.iterdir()):
            name.unlink()
        for use in (lambda: outlet.send(some(2, 3)), lambda: reader.fetch(1, 0)):
            with pytest.raises(Unreachable, match="removed"):
                use()
        outlet.send(some(2, 4))
        assert texts(take(reader, 2)) == ["2", "3"]


# -- faults -------------------------------------------------------------------------------------------------


def test_a_producer_killed_at_any_moment_leaves_all_it_was_told_are_there(path, producer):
    acknowledged = 0
    for delay_ms in (0, 3, 7, 12, 20):
        process = producer(2000, count=7, first=acknowledged)
        acknowledged = int(process.stdout.readline())
        threading.Event().wait(delay_ms / 1000)  # somewhere else in its work, each time
        process.kill()
        process.wait()
        acknowledged = int(([acknowledged, *process.stdout.read().split()])[-1])
        found = read(path)
        assert found == list(range(len(found)))
        assert len(found) >= acknowledged


def test_a_full_disk_is_told_with_nothing_half_and_goes_on_when_there_is_room(path, producer):
    with LogOutlet(path) as outlet:
        outlet.send(some(0, 3, 1000))

    def small_disk():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))

    process = producer(100_000, count=5, first=3, preexec_fn=small_disk)
    *before, said = process.stdout.read().splitlines()
    assert process.wait() == 4
    assert str(path) in said
    acknowledged = int(before[-1])
    assert acknowledged > 3
    assert read(path) == list(range(acknowledged))
    with LogOutlet(path) as outlet:
        outlet.send([Message("more", "plant", "rig", str(acknowledged).encode(), 0)])
    assert read(path) == list(range(acknowledged + 1))


def test_the_cause_is_told_where_sqlite_says_that_the_disk_is_full(path):
    with LogOutlet(path) as outlet:
        pages = outlet._opened().number("PRAGMA page_count")
        outlet._opened().number(f"PRAGMA max_page_count = {pages + 20}")
        with pytest.raises(Unreachable, match="the disk is full; make room"):
            outlet.send(some(0, 500, 1000))
        outlet._opened().number("PRAGMA max_page_count = 1000000")
        outlet.send(some(0, 2))
    assert read(path) == [0, 1]


def test_a_frozen_process_that_keeps_the_file_makes_it_unreachable_for_now(path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_S", 0.2)
    with LogOutlet(path) as outlet, inlet(path) as reader:
        outlet.send(some(0, 1))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unreachable, match="another process has kept it"):
            outlet.send(some(1, 2))
        received = reader.fetch(1, 0)  # to read it needs nobody's leave
        assert texts(received) == ["0"]
        with pytest.raises(Unreachable, match="another process has kept it"):
            reader.acknowledge(received)
        other.execute("ROLLBACK")
        other.close()
        outlet.send(some(1, 2))
        reader.acknowledge(received)
    assert texts(_all(path, "me")) == ["1"]


def test_a_stopped_consumer_keeps_its_name_and_a_dead_one_does_not(engine, path):
    engine.send(0, 1)
    with engine.consumer("me") as consumer:
        consumer.process.send_signal(signal.SIGSTOP)
        with pytest.raises(Exception, match="another consumer is 'me'"):
            engine.inlet()
        consumer.process.send_signal(signal.SIGKILL)
        consumer.process.wait()
        engine.inlet().close()


# -- reading ------------------------------------------------------------------------------------------------


def test_what_was_acknowledged_out_of_order_stays_so(path):
    with LogOutlet(path) as outlet:
        outlet.send(some(0, 8))
    with inlet(path) as reader:
        got = take(reader, 6)
        reader.acknowledge([got[1], got[4], got[0]])
    with inlet(path) as reader:
        assert texts(take(reader, 5)) == ["2", "3", "5", "6", "7"]
    with inlet(path) as reader:
        one = reader.fetch(1, 0)
        assert texts(one) == ["2"]
        reader.acknowledge(one)
        assert [text for _ in range(5) for text in texts(reader.fetch(1, 0))] == ["3", "5", "6", "7"]


def test_waiting_sees_a_message_within_a_fifth_of_a_second(path):
    sent = []

    def produce():
        with LogOutlet(path) as outlet:
            for number in range(5):
                threading.Event().wait(0.08)
                sent.append(time.monotonic())
                outlet.send(some(number, number + 1))

    thread = threading.Thread(target=produce)
    with inlet(path) as reader:
        thread.start()
        delays = []
        for number in range(5):
            (one,) = reader.fetch(1, 20)
            delays.append(time.monotonic() - sent[number])
            assert one.body == str(number).encode()
        thread.join()
    assert sorted(delays)[2] < 0.2


def test_a_fetch_ends_early_where_messages_are_large(path):
    with LogOutlet(path) as outlet:
        outlet.send(some(0, 60, 900_000))
    with inlet(path) as reader:
        assert 20 <= len(reader.fetch(60, 0)) < 60
        assert len(read(path)) == 60


@pytest.mark.parametrize("sequence", ["", "x", "-1", "1.0", "9" * 40, "\N{SUPERSCRIPT TWO}"])
def test_a_sequence_that_is_none_is_refused(path, sequence):
    with pytest.raises(UsageError, match="is no sequence of the log"):
        inlet(path, position=Position("sequence", sequence=sequence))


def test_reading_leaves_no_write_ahead_log_growing(path):
    with LogOutlet(path) as outlet, inlet(path) as reader:
        for number in range(0, 200, 2):
            outlet.send(some(number, number + 2, 200_000))
            reader.fetch(1, 0)
    wal = Path(f"{path}-wal")
    assert not wal.exists() or wal.stat().st_size < 64 << 20


# -- retention ----------------------------------------------------------------------------------------------


def test_retention_keeps_the_file_small_and_the_newest_messages(path):
    with LogOutlet(path, keep_bytes=2_000_000) as outlet:
        for number in range(0, 600, 10):
            outlet.send(some(number, number + 10, 20_000))
        found = read(path)
        assert found == list(range(found[0], 600))
        assert 60 <= len(found) <= 110
        assert path.stat().st_size < 3_000_000


def test_old_messages_go_and_a_consumer_that_had_not_read_them_is_told(path, monkeypatch, caplog):
    monkeypatch.setattr(log_retention, "_EVERY_S", 0.0)
    with LogOutlet(path) as outlet, inlet(path) as slow, inlet(path, "quick") as quick:
        outlet.send(some(0, 5))
        slow.acknowledge(take(slow, 2))
        quick.acknowledge(take(quick, 5))
        last = time.time_ns()
    eventually(lambda: time.time_ns() > last + 2 * 10**8)
    with LogOutlet(path, keep_s=0.2) as outlet:
        outlet.send(some(5, 7))
    assert texts(_all(path, "quick")) == ["5", "6"]
    assert caplog.text == ""
    assert texts(_all(path, "me")) == ["5", "6"]
    assert "retention took messages up to 5 before 'me', which had read up to 2, came to them" in caplog.text
    caplog.clear()
    assert texts(_all(path, "new")) == ["5", "6"]
    assert caplog.text == ""


def test_a_number_is_never_given_twice(path, monkeypatch):
    monkeypatch.setattr(log_retention, "_EVERY_S", 0.0)
    with LogOutlet(path, keep_s=0.0) as outlet:
        assert outlet.send(some(0, 3)) == ["1", "2", "3"]
        assert outlet.send(some(3, 4)) == ["4"]
        with inlet(path, position=Position("end")) as reader:
            assert reader.fetch(1, 0) == []
            outlet._retention._keep_s = 3600.0
            assert outlet.send(some(4, 5)) == ["5"]
            assert texts(take(reader, 1)) == ["4"]


def test_much_goes_in_parts_between_which_others_write(path):
    with LogOutlet(path) as outlet:
        outlet.send(some(0, 4000, 100))
    with LogOutlet(path, keep_bytes=0) as outlet, LogOutlet(path) as other:
        outlet.send(some(4000, 4001))
        other.send(some(4001, 4002))
        for number in range(4002, 4100):
            outlet.send(some(number, number + 1))
    assert len(read(path)) <= 500


def _all(path, name):
    with inlet(path, name) as reader:
        return reader.fetch(1000, 0)


def test_numbers_and_ids_of_what_is_sent_again_are_the_first_ones(path):
    with LogOutlet(path) as outlet:
        assert outlet.send(some(0, 3)) == ["1", "2", "3"]
        first, second, *new = map(int, outlet.send(some(1, 5)))
        assert (first, second) == (2, 3)
        assert 3 < new[0] < new[1]
        assert outlet.send([]) == []
    assert read(path) == [0, 1, 2, 3, 4]
