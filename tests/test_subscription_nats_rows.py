"""Messages to NATS in a row: together on their way, and each only directly behind the one before it."""

from __future__ import annotations

import json
import threading

import pytest
from brokers import nats_server
from engine_contract import Engine, numbers, take, texts, until_the_end
from nats_by_hand import asked, published

from speeddata.errors import PeerError
from speeddata.subscription import engine_nats, nats_rows
from speeddata.subscription.engine import Message, Unreachable

pytest.importorskip("nats", reason="nats-py is not installed")


@pytest.fixture
def server(tmp_path):
    with nats_server(tmp_path / "own") as server:
        yield server


@pytest.fixture
def engine(server):
    return Engine(f"nats://127.0.0.1:{server.port}/SPEED", shared=True)


@pytest.fixture
def rows(monkeypatch):
    """How many messages each row had, and how many of them were taken."""
    found, real = [], nats_rows.Rows._row

    async def row(self, messages, sequences, answer_s):
        found.append((len(messages), await real(self, messages, sequences, answer_s)))
        return found[-1][1]

    monkeypatch.setattr(nats_rows.Rows, "_row", row)
    return found


def all_of(engine):
    with engine.inlet("all") as inlet:
        inlet.until_now()
        return texts(until_the_end(inlet))


def test_a_lot_is_one_row_and_has_the_sequences_of_the_server(engine, rows):
    assert engine.send(0, 500) == [str(number) for number in range(1, 501)]
    assert rows == [(500, 500)]
    assert all_of(engine) == numbers(0, 500)


def test_what_is_there_of_a_row_is_taken_once_and_has_its_old_sequence(engine, rows):
    engine.send(0, 30)
    assert engine.send(10, 60) == [str(number) for number in range(11, 61)]
    assert rows == [(30, 30), (50, 50)]
    assert all_of(engine) == numbers(0, 60)


def test_behind_a_message_of_somebody_else_the_row_goes_on_with_another(engine, server, rows):
    engine.send(0, 10)
    published(server, "speeddata.other.x", b"between")
    assert engine.send(5, 20) == [*map(str, range(6, 11)), *map(str, range(12, 22))]
    assert rows[1:] == [(15, 5), (2, 2), (4, 4), (4, 4)]
    assert all_of(engine) == numbers(0, 20)


def test_many_that_send_at_once_keep_each_its_order(engine):
    def send(key):
        with engine.outlet() as outlet:
            for first in range(0, 600, 100):
                lot = [engine.message(f"{key} {number}", key=key) for number in range(first, first + 100)]
                outlet.send(lot)

    threads = [threading.Thread(target=send, args=(key,)) for key in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.inlet() as inlet:
        found = texts(take(inlet, 1800))
    for key in "abc":
        assert [each for each in found if each[0] == key] == [f"{key} {number}" for number in range(600)]


def test_where_room_comes_and_goes_none_gets_ahead_of_a_refused_one(engine, server):
    stream = {"name": "SPEED", "subjects": ["speeddata.>"], "discard": "new"}
    asked(server, "STREAM.CREATE.SPEED", max_msgs=1, **stream)
    over = threading.Event()

    def make_room():
        room = 1
        while not over.is_set():
            room += 1
            asked(server, "STREAM.UPDATE.SPEED", max_msgs=room, **stream)

    maker = threading.Thread(target=make_room)
    maker.start()
    try:
        done = False
        with engine.outlet() as outlet:
            while not done:
                try:
                    outlet.send(engine.messages(0, 300))
                    done = True
                except Unreachable:  # full again
                    continue
    finally:
        over.set()
        maker.join()
    assert all_of(engine) == numbers(0, 300)


def test_messages_without_an_id_are_sent_one_at_a_time(engine, rows):
    with engine.outlet() as outlet:
        outlet.send([Message("", engine.topic, "rig", text.encode(), 0) for text in numbers(0, 3)])
    assert [taken for _, taken in rows] == [1, 1, 1]
    assert all_of(engine) == numbers(0, 3)


def test_a_message_that_has_no_room_for_what_it_expects_begins_another_row(engine, server, rows):
    asked(server, "STREAM.CREATE.SPEED", name="SPEED", subjects=["speeddata.>"], max_msg_size=2000)
    with engine.outlet() as outlet:
        longest = 2000
        while True:  # the longest body that is taken
            try:
                outlet.send([engine.message("x" * longest, id="a")])
                break
            except engine_nats.TooLarge:
                longest -= 1
        rows.clear()
        outlet.send([engine.message("1"), engine.message("y" * longest, id="b"), engine.message("2")])
    assert rows[0] == (3, 1)
    assert all_of(engine)[1:] == ["1", "y" * longest, "2"]


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"7", b"{", b'{"seq": "x"}', b'{"error": 5}', b'{"error": {}}', b"[" * 100_000]
)
def test_an_answer_that_is_none_is_told(engine, answer, monkeypatch):
    with engine.outlet() as outlet:
        outlet.send(engine.messages(0, 1))
        monkeypatch.setattr(nats_rows.json, "loads", lambda _, real=json.loads: real(answer))
        with pytest.raises(PeerError):
            outlet.send(engine.messages(1, 2))
        monkeypatch.undo()
        outlet.send(engine.messages(1, 2))
    assert all_of(engine) == numbers(0, 2)


def test_a_row_that_gets_no_answer_is_told_after_the_time_of_one(engine, server, monkeypatch):
    monkeypatch.setattr(engine_nats, "ANSWER_S", 0.5)
    with engine.outlet() as outlet:
        outlet.send(engine.messages(0, 1))
        server.freeze()
        try:
            with pytest.raises(Unreachable, match="no answer within the time"):
                outlet.send(engine.messages(1, 400))
        finally:
            server.thaw()
        outlet.send(engine.messages(1, 400))  # while the server still has the row of the lost connection
    assert all_of(engine) == numbers(0, 400)
