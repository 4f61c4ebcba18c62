"""What may pass is tried again, ever more rarely and for as long as was said, but nothing twice blindly."""

from __future__ import annotations

import datetime
import email.utils
import gzip
import http.server
import logging
import socket
import threading
import time

import pytest
from haystack_calls import failing, reaching, target
from scripted_server import DEADLINE_S, OK, Server, answered, resets, unused_port

from speeddata.haystack import patience
from speeddata.haystack.patience import Outage, UnknownOutcome
from speeddata.haystack.transport import Transport
from speeddata.interrupts import Stop


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    monkeypatch.setattr(patience, "FIRST_S", 0.01)
    monkeypatch.setattr(patience, "LONGEST_S", 0.02)


@pytest.mark.parametrize(
    ("script", "what"),
    [
        (b"", "the connection was cut before there was a whole answer"),
        (resets, "the connection was cut before there was a whole answer"),
        (OK[:-1], "the connection was cut before there was a whole answer"),
        (OK[:20], "the connection was cut before there was a whole answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhi", "the connection was cut before"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi", "the connection was cut before"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"packed", mtime=0)[:-4],
            "an answer whose packing is not whole",
        ),
        (answered("200 OK", "Content-Encoding: gzip", body=b"no gzip"), "an answer whose packing is damaged"),
        (answered("500 Internal Server Error"), "answers 500 Internal Server Error"),
        (answered("503 Down\x1b for\tnow"), "answers 503 Down\x1b for now"),
        (answered("429 Too Many Requests"), "answers 429 Too Many Requests"),
    ],
)
def test_passing_faults_are_met_with_another_try(script, what):
    with Server(script, script, OK) as server, reaching(server, retry_s=None) as way:
        assert way.request("POST", "hisWrite", b"body").text == "hi"
        assert server.connections == way.calls == 3
    with Server(script) as server:
        assert failing(server).what.startswith(what)
        assert server.connections == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 415, 501, 505])
def test_what_will_not_pass_is_an_answer(status):
    with Server(answered(f"{status} No")) as server, reaching(server, retry_s=None) as way:
        assert way.request("GET", "about").status == status
        assert server.connections == 1


def test_a_refused_connection_is_tried_again_as_long_as_was_said():
    way = Transport(target(unused_port()), retry_s=0.2, stop=Stop())
    begun = time.monotonic()
    with pytest.raises(Outage) as caught:
        way.request("GET", "about")
    assert 0.2 <= time.monotonic() - begun < 5
    assert way.calls > 3
    assert caught.value.what == f"no connection (Connection refused), after {way.calls} tries in 0 s"
    assert not caught.value.sent


def test_a_name_that_nobody_knows_is_an_outage(monkeypatch):
    def unknown(*_args, **_kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    way = Transport(target(1, "https", "nowhere.invalid"), retry_s=0, stop=Stop())
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Outage) as caught:
        way.request("GET", "about")
    assert str(caught.value) == "https://nowhere.invalid:1: no connection (Name or service not known)"


def test_the_pauses_grow_with_full_jitter_to_their_bound(monkeypatch):
    monkeypatch.setattr(patience, "FIRST_S", 1.0)
    monkeypatch.setattr(patience, "LONGEST_S", 60.0)
    ranges, waited = [], []
    monkeypatch.setattr(patience.random, "uniform", lambda low, high: ranges.append((low, high)) or high / 2)
    stop = Stop()
    monkeypatch.setattr(stop, "wait", lambda seconds: waited.append(seconds) or len(waited) == 9)
    with pytest.raises(Outage):
        Transport(target(unused_port()), retry_s=None, stop=stop).request("GET", "about")
    assert ranges == [(0, high) for high in (1, 2, 4, 8, 16, 32, 60, 60, 60)]
    assert waited == [high / 2 for _, high in ranges]


def date(seconds: float) -> str:
    return email.utils.format_datetime(
        datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds), usegmt=True
    )


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("7", 7, 7),
        (" 0 ", 0, 0),
        ("99999999999999999999", 600, 600),
        (90, 60, 90),
        (-90, 0, 0),
        (9000, 600, 600),
        ("Thu, 01 Jan 2099 00:00:00", 600, 600),
    ],
)
def test_a_server_that_asks_for_a_pause_gets_it(said, least, most, monkeypatch):
    waited = []
    stop = Stop()
    monkeypatch.setattr(stop, "wait", lambda seconds: waited.append(seconds))
    busy = answered("503 Busy", f"Retry-After: {said if isinstance(said, str) else date(said)}")
    with Server(busy, OK) as server, reaching(server, retry_s=None, stop=stop) as way:
        assert way.request("GET", "about").text == "hi"
    assert least <= waited[0] <= most


@pytest.mark.parametrize("said", ["-1", "soon", "", "²", "1e9", "Thu, 99 Foo 2099 99:99:99 GMT"])
def test_a_pause_that_makes_no_sense_is_not_taken(said):
    busy = answered("503 Busy", f"Retry-After: {said}".encode().decode("latin-1"))
    with Server(busy, OK) as server, reaching(server, retry_s=None) as way:
        assert way.request("GET", "about").text == "hi"


def test_a_pause_beyond_the_time_for_tries_is_given_up_at_once():
    with Server(answered("429 Slow down", "Retry-After: 120")) as server:
        assert str(failing(server, retry_s=60)).endswith(
            ": answers 429 Slow down; it asks to be left alone for 120 s"
        )
        assert server.connections == 1


def test_the_stop_ends_a_pause_at_once():
    stop = Stop()
    stop_soon = threading.Timer(0.1, stop.ask)
    with Server(answered("503 Busy", "Retry-After: 600")) as server:
        stop_soon.start()
        begun = time.monotonic()
        failing(server, retry_s=None, stop=stop)
        assert time.monotonic() - begun < 5
        assert server.connections == 1


def test_after_the_stop_there_is_one_try(caplog):
    stop = Stop()
    stop.ask()
    with Server(OK) as server, reaching(server, retry_s=None, stop=stop) as way:
        assert way.request("GET", "about").text == "hi"
    with Server(b"") as server:
        failing(server, retry_s=None, stop=stop)
        assert server.connections == 1
    assert caplog.records == []


def test_an_outage_is_told_at_its_beginning_and_at_its_end_and_not_at_each_try(caplog):
    caplog.set_level(logging.INFO, "speeddata")
    with Server(b"", b"", answered("500 Oops"), OK) as server, reaching(server, retry_s=None) as way:
        way.request("GET", "about")
        way.request("GET", "about")
    origin = f"http://127.0.0.1:{server.port}"
    assert [record.getMessage() for record in caplog.records] == [
        f"{origin}: the connection was cut before there was a whole answer; trying again until it answers",
        f"{origin}: answers again, after 0 s",
    ]


def test_an_outage_that_lasts_is_told_again_now_and_then(caplog, monkeypatch):
    monkeypatch.setattr(patience, "AGAIN_S", 0.0)
    with Server(b"", answered("500 Oops"), OK) as server, reaching(server, retry_s=None) as way:
        way.request("POST", "hisWrite", b"body")
    assert [record.getMessage() for record in caplog.records][1:] == [
        f"http://127.0.0.1:{server.port}: answers 500 Oops; still trying, after 0 min",
        f"http://127.0.0.1:{server.port}: answers again, after 0 s",
    ]


def test_an_outage_that_outlasts_a_call_is_told_once(caplog):
    with Server(b"", b"", b"", b"", OK) as server, reaching(server, retry_s=60) as way:
        way.patience.retry_s = 1e-9
        for _ in range(2):
            with pytest.raises(Outage):
                way.request("GET", "about")
        way.patience.retry_s = 60
        while way.request("GET", "about").text != "hi":
            pass
    assert len(caplog.records) == 2


# --- what must not be repeated


@pytest.mark.parametrize("script", [b"", resets, OK[:-1], answered("500 Oops"), answered("502 Gateway")])
def test_what_must_not_be_repeated_is_not_after_it_may_have_arrived(script):
    with Server(script, OK) as server, reaching(server, retry_s=None) as way:
        with pytest.raises(UnknownOutcome, match="whether it was done is not known"):
            way.request("POST", "commit", b"grid", repeat=False)
        assert server.connections == 1


def test_it_is_tried_again_when_it_cannot_have_arrived():
    port = unused_port()
    way = Transport(target(port), retry_s=DEADLINE_S, stop=Stop())
    answers: list[str] = []
    asking = threading.Thread(
        target=lambda: answers.append(way.request("POST", "commit", b"grid", repeat=False).text)
    )
    asking.start()
    while way.calls < 2:
        pass

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.wfile.write(OK)

        def log_message(self, *_args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", port), Handler) as server:
        server.handle_request()
    asking.join(DEADLINE_S)
    assert answers == ["hi"]
