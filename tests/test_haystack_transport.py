"""Calls over HTTP end in time and within bounds, under TLS that is verified, and each fault has its line."""

from __future__ import annotations

import datetime
import gzip
import logging
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
import zlib
from pathlib import Path

import pytest
import trustme
from haystack_calls import failing, reaching, target
from scripted_server import DEADLINE_S, OK, Server, answered, hears

from speeddata.errors import PeerError, UsageError
from speeddata.haystack import deadlines, transport
from speeddata.haystack.patience import Outage
from speeddata.haystack.transport import Transport
from speeddata.interrupts import Stop


def test_a_request_is_what_was_asked_for_and_little_else():
    with Server(OK) as server, reaching(server) as way:
        answer = way.request("POST", "read", b"x" * 200_000, {"Authorization": "BEARER authToken=t"})
    assert (answer.status, answer.reason, answer.text) == (200, "OK", "hi")
    head, _, body = server.heard[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first == "POST /api/demo/read HTTP/1.1"
    assert body == b"x" * 200_000
    assert sorted(line.split(":")[0] for line in lines) == [
        "Accept-Encoding",
        "Authorization",
        "Content-Length",
        "Host",
        "User-Agent",
    ]
    assert f"Host: 127.0.0.1:{server.port}" in lines
    assert way.calls == 1


def test_a_connection_is_kept_where_the_server_keeps_it():
    def twice(connection: socket.socket) -> None:
        while server.hear(connection):
            connection.sendall(OK)

    with Server(twice) as server, reaching(server) as way:
        assert [way.request("GET", "about").text for _ in range(3)] == ["hi"] * 3
        assert server.connections == 1
        with way.fresh():
            way.request("GET", "about")
            way.request("GET", "about")
        way.request("GET", "about")
        way.close()
    assert server.connections == 3
    assert way.calls == 6


def test_a_connection_that_the_server_closed_is_not_used_again(wait_for):
    with Server(OK) as server, reaching(server) as way:
        for _ in range(3):
            assert way.request("GET", "about").text == "hi"
            wait_for(lambda: not way._connection.is_connected)  # its closing has arrived here
    assert server.connections == 3


def test_a_connection_that_was_idle_for_long_is_not_trusted(monkeypatch):
    def twice(connection: socket.socket) -> None:
        while server.hear(connection):
            connection.sendall(OK)

    monkeypatch.setattr(transport, "IDLE_S", 0.0)
    with Server(twice) as server, reaching(server) as way:
        way.request("GET", "about")
        way.request("GET", "about")
        way.close()
    assert server.connections == 2


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
def test_redirects_are_answers_and_not_followed(status):
    with Server(answered(status, "Location: /elsewhere")) as server, reaching(server) as way:
        answer = way.request("GET", "about", None, {"Authorization": "BEARER authToken=t"})
    assert answer.status == int(status[:3])
    assert len(server.heard) == 1


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with Server(OK) as server, reaching(server) as way:
        assert way.request("GET", "about").text == "hi"


def test_headers_that_repeat_are_joined_and_found_in_any_case():
    script = answered("401 No", "WWW-authenticate: scram hash=SHA-256", "www-AUTHENTICATE: plaintext")
    with Server(script) as server, reaching(server) as way:
        answer = way.request("GET", "about")
    assert answer.headers["www-authenticate"] == "scram hash=SHA-256, plaintext"


def test_an_answer_does_not_show_what_is_in_it():
    script = answered("200 OK", "Authentication-Info: authToken=geheim", body=b"geheim too")
    with Server(script) as server, reaching(server) as way:
        answer = way.request("GET", "about")
    assert answer.headers["authentication-info"] == "authToken=geheim"
    assert repr(answer) == "Answer(status=200, reason='OK')"


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (answered("200 OK", body="°C".encode()), "°C"),
        (answered("200 OK", "Content-Type: text/zinc; charset=UTF-8", body="°C".encode()), "°C"),
        (answered("200 OK", "Content-Type: text/zinc; charset=iso-8859-1", body=b"\xb0C"), "°C"),
        (answered("200 OK", body=b"\xb0C"), "\N{REPLACEMENT CHARACTER}C"),
        (answered("200 OK", "Content-Encoding: gzip", body=gzip.compress(b"packed", mtime=0)), "packed"),
        (answered("204 Nothing", "Content-Encoding: gzip"), ""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n", "hi!"),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", "to the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, "hi"),
    ],
)
def test_a_body_comes_in_many_forms(script, text):
    with Server(script) as server, reaching(server) as way:
        assert way.request("GET", "about").text == text


def test_a_refusal_of_a_large_body_is_read_though_the_rest_finds_nobody():
    def refuse(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(answered("413 Content Too Large", "Connection: close"))

    with Server(refuse) as server, reaching(server) as way:
        assert way.request("POST", "hisWrite", b"x" * 20_000_000).status == 413


# --- bounds


@pytest.fixture
def _small(monkeypatch):
    monkeypatch.setattr(transport, "MAX_BYTES", 1 << 20)


@pytest.mark.parametrize(
    "script",
    [
        answered("200 OK", body=bytes(2 << 20)),
        b"HTTP/1.1 200 OK\r\n\r\n" + bytes(2 << 20),
        answered("200 OK", "Content-Encoding: gzip", body=gzip.compress(bytes(1 << 30), 1, mtime=0)),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n%s\r\n" % bytes(65536) * 32,
    ],
    ids=["long", "endless", "bomb", "chunks"],
)
@pytest.mark.usefixtures("_small")
def test_an_answer_beyond_the_bound_is_refused_and_not_asked_for_again(script):
    with Server(script) as server:
        assert failing(server, retry_s=None).what == "an answer of more than 1 MiB"
        assert server.connections == 1


@pytest.mark.usefixtures("_small")
def test_an_answer_of_just_the_bound_is_taken():
    body = gzip.compress(b"x" * (1 << 20))
    with Server(answered("200 OK", "Content-Encoding: gzip", body=body)) as server, reaching(server) as way:
        assert len(way.request("GET", "about").text) == 1 << 20


@pytest.mark.parametrize(
    "script",
    [
        answered("200 OK", "Content-Encoding: br", body=b"x"),
        answered("200 OK", "Content-Encoding: gzip, gzip", body=b"packed twice"),
    ],
)
def test_what_was_not_asked_for_is_not_unpacked(script):
    with Server(script) as server:
        assert "which was not asked for" in failing(server).what


@pytest.mark.parametrize(
    "script",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 " + b"x" * 70_000,
    ],
)
def test_what_speaks_no_http_is_told_once(script):
    with Server(script) as server:
        assert failing(server, retry_s=None).what == "what answers there does not speak HTTP"
        assert server.connections == 1


def drips(connection: socket.socket) -> None:
    hears(connection)
    for byte in b"HTTP/1.1 401 No\r\nX: " + b"x" * 100_000:
        connection.sendall(bytes([byte]))
        time.sleep(0.005)  # the slowness is what is tested


def drips_a_body(connection: socket.socket) -> None:
    hears(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(100_000):
        connection.sendall(b"x")
        time.sleep(0.005)


@pytest.mark.parametrize("script", [drips, drips_a_body])
def test_a_server_that_drips_does_not_hold_a_call_for_ever(script):
    with Server(script) as server, reaching(server) as way:
        begun = time.monotonic()
        with pytest.raises(Outage, match=r"no whole answer within 0\.3 s"):
            way.once("GET", "about", limit_s=0.3)
        assert time.monotonic() - begun < 5


def test_a_server_that_drips_under_tls_does_not_either(authority):
    with Server(drips, tls=authority.context()) as server:
        way = Transport(target(server.port, "https", ca_file=authority.file), retry_s=0, stop=Stop())
        with pytest.raises(Outage, match=r"no whole answer within 0\.3 s"):
            way.once("GET", "about", limit_s=0.3)


def test_silence_ends_a_call():
    over = threading.Event()

    def silent(connection: socket.socket) -> None:
        hears(connection)
        over.wait(DEADLINE_S)

    with Server(silent) as server:
        outage = failing(server, read_s=0.05)
        assert outage.what == "silent for 0.05 s"
        assert outage.sent
        over.set()


def test_a_server_that_takes_no_body_does_not_hold_a_call_either():
    over = threading.Event()
    with Server(lambda _connection: over.wait(DEADLINE_S)) as server:
        with reaching(server, read_s=0.05) as way, pytest.raises(Outage, match=r"silent for 0\.05 s"):
            way.request("POST", "hisWrite", bytes(50_000_000))
        over.set()


# --- TLS


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, path: Path) -> None:
        self.ca = trustme.CA()
        self.file = path
        self.ca.cert_pem.write_to_path(str(path))

    def context(self, host: str = "127.0.0.1", days: float = 1) -> ssl.SSLContext:
        now = datetime.datetime.now(datetime.UTC)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(
            host, not_before=now - datetime.timedelta(days=2), not_after=now + datetime.timedelta(days=days)
        ).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "ca.pem")


def under_tls(server: Server, ca_file: Path | None) -> Transport:
    return Transport(target(server.port, "https", ca_file=ca_file), retry_s=None, stop=Stop())


def test_a_certificate_of_the_authority_that_was_named_is_trusted(authority):
    with Server(OK, tls=authority.context()) as server:
        assert under_tls(server, authority.file).request("POST", "read", b"x" * 100_000).text == "hi"


@pytest.mark.parametrize(
    ("host", "days", "trusted", "what"),
    [
        (
            "127.0.0.1",
            -1,
            True,
            "its certificate has expired; check the clock here, or renew the certificate there",
        ),
        (
            "other.example.com",
            1,
            True,
            "its certificate is not for 127.0.0.1; name the host as its certificate does",
        ),
        (
            "127.0.0.1",
            1,
            False,
            "its certificate is not trusted here (unable to get local issuer certificate); "
            "name the certificate of its authority with --ca-file",
        ),
    ],
)
def test_each_way_not_to_be_trusted_has_its_line_and_nothing_is_sent(authority, host, days, trusted, what):
    with Server(OK, tls=authority.context(host, days)) as server:
        way = under_tls(server, authority.file if trusted else None)
        with pytest.raises(PeerError) as caught:
            way.request("GET", "about", None, {"Authorization": "BEARER authToken=geheim"})
    assert str(caught.value) == f"https://127.0.0.1:{server.port}: {what}"
    assert not isinstance(caught.value, Outage)
    assert (server.connections, server.heard) == (1, [])


def test_a_server_without_tls_is_told_from_one_with_a_bad_certificate(authority):
    def plain(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with Server(plain) as server, pytest.raises(PeerError) as caught:
        under_tls(server, authority.file).request("GET", "about")
    assert "no TLS connection" in caught.value.what
    assert caught.value.mend == "is it http:// there?"
    assert server.connections == 1


def test_a_connection_cut_within_the_handshake_is_an_outage(authority):
    with Server(lambda connection: connection.recv(10)) as server:
        way = Transport(target(server.port, "https", ca_file=authority.file), retry_s=0, stop=Stop())
        with pytest.raises(Outage) as caught:
            way.request("GET", "about")
    assert not caught.value.sent


def test_a_file_of_authorities_that_is_none_is_a_mistake_of_the_command_line(tmp_path):
    nothing = tmp_path / "nothing.pem"
    with pytest.raises(UsageError, match=r"nothing\.pem: No such file or directory"):
        Transport(target(1, "https", ca_file=nothing), stop=Stop())
    nothing.write_text("no certificate")
    with pytest.raises(UsageError, match=r"nothing\.pem: no PEM file with certificates"):
        Transport(target(1, "https", ca_file=nothing), stop=Stop())


# --- secrets, and what is not installed


def test_nothing_secret_is_in_logs_or_errors(caplog):
    headers, body = {"Authorization": f"BEARER authToken={'geheim'}"}, b"%s" % b"geheim"
    caplog.set_level(logging.DEBUG)
    with Server(b"", OK) as server, reaching(server, retry_s=None) as way:
        way.request("GET", "about", None, headers)
    assert caplog.records
    with Server(b"") as server, reaching(server) as way, pytest.raises(Outage) as caught:
        way.request("POST", "commit", body, headers)
    told = caplog.text + "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(way)
    assert "geheim" not in told


def test_without_urllib3_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "urllib3", None)
    with pytest.raises(UsageError) as caught:
        Transport(target(1), stop=Stop())
    assert str(caught.value) == "needs urllib3, which is not installed; pip install 'speeddata[haystack]'"


def test_the_room_loads_urllib3_only_when_it_is_used():
    program = "import sys, speeddata.haystack.transport; print('urllib3' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


def test_zlib_bounds_what_it_makes_at_a_time():
    """What the bound on unpacked answers rests on."""
    unpack = zlib.decompressobj(31)
    assert len(unpack.decompress(gzip.compress(bytes(1 << 24)), 100)) == 100


# -- the end is asked for ------------------------------------------------------------------------------------


def silent(connection: socket.socket) -> None:
    """Take all, and never answer."""
    while connection.recv(65536):
        pass


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("kind", ["call", "last word"])
def test_the_wish_for_an_end_breaks_a_call_off_and_one_begun_after_it_later(secure, kind, monkeypatch):
    monkeypatch.setattr(deadlines, "LAST_S", 0.4)
    stop = Stop()
    if kind == "last word":
        stop.ask(143)
    with Server(silent) as server:
        place = target(server.port, "https" if secure else "http")
        way = Transport(place, connect_s=2, read_s=5, retry_s=None, stop=stop, stop_s=0.1)
        timer = threading.Timer(0.05, stop.ask, (143,))
        timer.start()
        began_s = time.monotonic()
        with pytest.raises(Outage) as raised:
            way.request("GET", "about")
        took_s = time.monotonic() - began_s
        timer.join()
        way.close()
    assert raised.value.what == "no answer in time, once the end was asked for"
    assert took_s < 3
    assert took_s > (0.1 if kind == "call" else 0.4)
