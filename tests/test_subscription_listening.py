"""Handing on: acknowledged once it has left, given back where it has not, remembered in a file."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

from speeddata.errors import StdoutClosed
from speeddata.interrupts import Stop
from speeddata.output import Bytes
from speeddata.subscription import listening
from speeddata.subscription.dedup import Dedup
from speeddata.subscription.engine import Denied, Received, Unreachable
from speeddata.subscription.engine_text import TextInlet
from speeddata.subscription.listening import Wish, listen

HOUR_NS = 3_600 * 10**9


def message(number, body=b"", id=""):
    return Received(str(number), id or f"id{number}", "plant", "rig", body or b"%d" % number, 1)


def envelope(*values):
    points = [{"time": f"2018-11-30T10:00:0{v}.000Z", "value": v, "status": 192} for v in values]
    return json.dumps({"data": {"items": [{"id": "a", "datapoints": points}]}, "schema": "s"}).encode()


class Scripted:
    """An inlet of lots that are known, or are errors; then there are no more."""

    def __init__(self, *lots, then=lambda: None):
        self.lots, self.then = list(lots), then
        self.acknowledged, self.given_back, self.asked = [], [], []
        self.ended, self.bound = False, 0

    def fetch(self, most, wait_s):
        self.asked.append(most)
        if not self.lots:
            self.ended = True
            self.then()
            return []
        lot = self.lots.pop(0)
        if isinstance(lot, BaseException):
            raise lot
        return lot

    def until_now(self):
        self.bound += 1

    def acknowledge(self, received):
        self.acknowledged += [each.sequence for each in received]

    def give_back(self, received):
        self.given_back += [each.sequence for each in received]


@pytest.fixture
def out(tmp_path):
    """A file as standard output; `out.lines()`."""
    path = tmp_path / "out"
    fd = os.open(path, os.O_CREAT | os.O_RDWR)

    class Out(Bytes):
        def lines(self):
            return path.read_text().splitlines()

    yield Out(fd)
    os.close(fd)


PAYLOAD = Wish("payload")


def test_what_left_is_acknowledged(out):
    inlet = Scripted([message(1), message(2)], [message(3)])
    assert listen(inlet, PAYLOAD, Stop(), into=out) == 3
    assert out.lines() == ["1", "2", "3"]
    assert (inlet.acknowledged, inlet.given_back) == (["1", "2", "3"], [])


def test_a_count_takes_no_more_than_it_hands_on(out):
    inlet = Scripted([message(1), message(2)], [message(3)])
    assert listen(inlet, Wish("payload", most=2, count=3), Stop(), into=out) == 3
    assert inlet.asked == [2, 1]


def test_without_a_reader_nothing_is_acknowledged():
    read, write = os.pipe()
    os.close(read)
    inlet = Scripted([message(1)])
    with pytest.raises(StdoutClosed):
        listen(inlet, PAYLOAD, Stop(), into=Bytes(write))
    os.close(write)
    assert inlet.acknowledged == []


def test_a_reader_that_leaves_while_nothing_comes_is_noticed():
    read, write = os.pipe()
    inlet = Scripted([message(1)], then=lambda: os.close(read))
    with pytest.raises(StdoutClosed):
        listen(inlet, Wish("payload", follow=True), Stop(), into=Bytes(write))
    os.close(write)
    assert inlet.acknowledged == ["1"]


def test_who_follows_waits_for_a_destination_that_is_away(out, monkeypatch, caplog):
    monkeypatch.setattr(listening, "_FIRST_S", 0.001)
    stop = Stop()
    inlet = Scripted([message(1)], Unreachable("gone"), Unreachable("gone"), [message(2)], then=stop.ask)
    assert listen(inlet, Wish("payload", follow=True), stop, into=out) == 2
    assert [record.message for record in caplog.records] == ["gone; trying again", "connected again"]
    with pytest.raises(Unreachable):
        listen(Scripted(Unreachable("gone")), PAYLOAD, Stop(), into=out)


def test_a_pipe_ends_where_it_ends_and_not_at_a_pause(out):
    read, write = os.pipe()
    inlet = TextInlet(topic="plant", stop=Stop(), fd=read)
    thread = threading.Thread(target=listen, args=(inlet, Wish("payload"), Stop()), kwargs={"into": out})
    thread.start()
    for number in range(3):
        os.write(write, b"%d\n" % number)
        while len(out.lines()) <= number:
            assert thread.is_alive()
    os.close(write)
    thread.join(10)
    assert not thread.is_alive()
    os.close(read)
    assert out.lines() == ["0", "1", "2"]


def test_it_ends_when_the_engine_says_so_and_not_at_a_pause(out):
    inlet = Scripted([message(1)], [], [], [message(2)])
    assert listen(inlet, PAYLOAD, Stop(), into=out) == 2
    assert (inlet.bound, len(inlet.asked)) == (1, 5)
    stop = Stop()
    inlet = Scripted([message(1)], [], [message(2)], then=stop.ask)
    assert listen(inlet, Wish("payload", follow=True), stop, into=out) == 2
    assert inlet.bound == 0  # who follows has no end


def test_a_key_that_was_renewed_lets_in_again_at_once(out, caplog):
    stop, renewed = Stop(), []

    def changed():
        renewed.append(True)
        return len(renewed) > 2  # somebody sets it while it is waited for

    inlet = Scripted([message(1)], Denied("wrong key"), [message(2)], then=stop.ask)
    begin = time.monotonic()
    assert listen(inlet, Wish("payload", follow=True), stop, into=out, changed=changed) == 2
    assert time.monotonic() - begin < listening._DENIED_S / 2
    assert [record.message for record in caplog.records] == ["wrong key; trying again", "connected again"]
    with pytest.raises(Denied):
        listen(Scripted(Denied("wrong key")), PAYLOAD, Stop(), into=out)
    inlet = Scripted(Denied("wrong key"), [message(3)])  # it was renewed since it was read
    assert listen(inlet, PAYLOAD, Stop(), into=out, changed=lambda: len(inlet.lots) == 1) == 1


# -- commands ------------------------------------------------------------------------------------------------


def test_a_command_that_fails_gets_the_same_again(out, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(listening, "_FIRST_S", 0.001)
    inlet = Scripted([message(1), message(2)], [message(3)])
    fails = f"tee -a {tmp_path}/got; test -e {tmp_path}/ok || {{ touch {tmp_path}/ok; false | true; }}"
    assert listen(inlet, Wish("payload", command=fails), Stop(), into=out) == 3
    assert (tmp_path / "got").read_text() == "1\n2\n1\n2\n3\n"
    assert inlet.acknowledged == ["1", "2", "3"]
    assert [record.message.partition("; ")[0] for record in caplog.records] == [
        "--exec: the command ended with status 1"
    ]


def test_a_command_that_reads_nothing_and_ends_well_has_them(out):
    inlet = Scripted([message(1, b"x" * 1_000_000)])
    assert listen(inlet, Wish("payload", command="true"), Stop(), into=out) == 1
    assert inlet.acknowledged == ["1"]


def test_what_a_command_did_not_take_until_the_end_is_given_back(out, tmp_path, wait_for, caplog):
    stop, dedup = Stop(), Dedup(HOUR_NS)
    inlet = Scripted([message(1)], [message(1)])
    thread = threading.Thread(
        target=lambda: (wait_for((tmp_path / "ran").exists), stop.ask()),
    )
    thread.start()
    command = f"touch {tmp_path}/ran; kill -9 $$"
    assert listen(inlet, Wish("payload", command=command), stop, into=out, dedup=dedup) == 0
    thread.join()
    assert (inlet.acknowledged, inlet.given_back) == ([], ["1"])
    assert listen(inlet, PAYLOAD, Stop(), into=out, dedup=dedup) == 1  # and it is new again
    assert all("signal 9" in record.message for record in caplog.records)


# -- duplicates ----------------------------------------------------------------------------------------------


def test_what_was_read_before_is_acknowledged_and_not_handed_on(out):
    lots = [
        [message(1, envelope(1, 2)), message(2, envelope(3))],
        [message(3, envelope(1, 2), id="id1")],  # the same message
        [message(4, envelope(3, 4)), message(5, envelope(1))],  # some, and all of it known
    ]
    inlet = Scripted(*lots)
    assert listen(inlet, Wish("points"), Stop(), into=out, dedup=Dedup(HOUR_NS)) == 3
    assert [json.loads(each)["value"] for each in out.lines()] == [1, 2, 3, 4]
    assert inlet.acknowledged == ["1", "2", "3", "4", "5"]
