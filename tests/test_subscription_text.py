"""Lines as an engine: a message a line to standard output, and from standard input."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from engine_contract import ROOT, texts

from speeddata.errors import DataError, StdoutClosed
from speeddata.interrupts import Stop
from speeddata.subscription import engine_text
from speeddata.subscription.destinations import Destination
from speeddata.subscription.engine import Message, Position, Unsupported
from speeddata.subscription.engine_text import TextInlet, TextOutlet
from speeddata.subscription.engines import open_inlet, open_outlet


@pytest.fixture
def pipe():
    ends = list(os.pipe())
    yield ends
    for end in ends:
        if end >= 0:
            os.close(end)


def close(pipe, index):
    os.close(pipe[index])
    pipe[index] = -1


def message(body):
    return Message("id", "plant", "rig", body, 0)


def test_each_message_is_a_line_that_has_left_when_sending_returns(pipe):
    with TextOutlet(pipe[1]) as outlet:
        assert outlet.send([message(b'{"a":1}'), message('{"b":"é"}'.encode())]) == ["1", "2"]
        assert os.read(pipe[0], 100) == '{"a":1}\n{"b":"é"}\n'.encode()
        assert outlet.send([message(b'{\n"a":\r\n1}'), message(b"")]) == ["3", "4"]
        assert os.read(pipe[0], 100) == b'{ "a":  1}\n\n'
        assert outlet.send([]) == []


def test_a_reader_that_leaves_is_the_end_and_no_fault(pipe):
    close(pipe, 0)
    with TextOutlet(pipe[1]) as outlet, pytest.raises(StdoutClosed):
        outlet.send([message(b"{}")])


def test_it_is_opened_by_a_dash():
    program = (
        "from speeddata.interrupts import Stop\n"
        "from speeddata.subscription.destinations import Destination\n"
        "from speeddata.subscription.engine import Message\n"
        "from speeddata.subscription.engines import open_inlet, open_outlet\n"
        "dash = Destination.parse('-')\n"
        "with open_outlet(dash, customer='plant', stop=Stop()) as outlet, \\\n"
        "    open_inlet(dash, topic='t', name='me', stop=Stop()) as inlet:\n"
        "    while not inlet.ended:\n"
        "        outlet.send([Message(r.id, r.topic, r.key, r.body, 0) for r in inlet.fetch(1, 1.0)])\n"
    )
    lines = b'{"a":1}\n\n{"b":2}\r\n{"c":3}'
    done = subprocess.run([sys.executable, "-c", program], input=lines, capture_output=True, cwd=ROOT)
    assert done.stderr == b""
    assert done.stdout == b'{"a":1}\n{"b":2}\n{"c":3}\n'


def test_lines_come_with_their_numbers_until_the_input_ends(pipe):
    inlet = TextInlet(topic="raw", fd=pipe[0])
    os.write(pipe[1], b"one\n\ntwo\r\nthr")
    received = inlet.fetch(10, 5.0)
    assert [(one.sequence, one.body, one.topic) for one in received] == [
        ("1", b"one", "raw"),
        ("3", b"two", "raw"),
    ]
    assert abs(received[0].time_ns - time.time_ns()) < 10**10
    assert inlet.fetch(10, 0.0) == []
    assert not inlet.ended
    os.write(pipe[1], b"ee\nx\ny")
    assert texts(inlet.fetch(10, 5.0)) == ["three", "x"]
    close(pipe, 1)
    assert texts(inlet.fetch(10, 5.0)) == ["y"]
    assert inlet.ended
    assert inlet.fetch(10, 5.0) == []


def test_no_more_are_handed_out_than_asked_for_and_the_rest_waits_for_nobody(pipe):
    inlet = TextInlet(topic="raw", fd=pipe[0])
    os.write(pipe[1], b"1\n2\n3\n")
    assert [texts(inlet.fetch(2, 5.0)), texts(inlet.fetch(2, 5.0))] == [["1", "2"], ["3"]]


def test_what_was_given_back_comes_again_in_its_place(pipe):
    inlet = TextInlet(topic="raw", fd=pipe[0])
    os.write(pipe[1], b"1\n2\n3\n")
    received = inlet.fetch(2, 5.0)
    inlet.acknowledge(received[:1])
    inlet.give_back(received[1:])
    assert texts(inlet.fetch(5, 5.0)) == ["2", "3"]


def test_waiting_ends_in_time_and_at_the_wish_to_stop(pipe):
    stop = Stop()
    inlet = TextInlet(topic="raw", fd=pipe[0], stop=stop)
    begin = time.monotonic()
    assert inlet.fetch(1, 0.2) == []
    assert 0.15 < time.monotonic() - begin < 3
    threading.Timer(0.1, stop.ask).start()
    assert inlet.fetch(1, 60) == []
    assert time.monotonic() - begin < 30


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(pipe, monkeypatch):
    monkeypatch.setattr(engine_text, "MOST_BYTES", 1000)
    inlet = TextInlet(topic="raw", fd=pipe[0])
    os.write(pipe[1], b"1\n" + b"x" * 1500)
    with pytest.raises(DataError, match="standard input: line 2: longer than 1000 bytes"):
        inlet.fetch(5, 5.0)


@pytest.mark.parametrize("kind", ["end", "since", "sequence"])
def test_what_lines_do_not_have_is_refused_by_name(kind):
    dash, stop = Destination.parse("-"), Stop()
    with pytest.raises(Unsupported, match=f"no position '{kind}'"):
        open_inlet(dash, topic="raw", name="me", position=Position(kind, sequence="1"), stop=stop)
    with pytest.raises(Unsupported, match="no shared consumers"):
        open_inlet(dash, topic="raw", name="me", mode="shared", stop=stop)
    with open_outlet(dash, customer="plant", stop=stop):
        pass
