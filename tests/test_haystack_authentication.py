"""Logging in by SCRAM and PLAINTEXT: as the chapter Auth has it, as Haxall does it, past hostile servers."""

from __future__ import annotations

import base64
import http.server
import logging
import ssl
import sys
import threading
import traceback

import pytest
import scramp
import scramp.core
import trustme
from haystack_calls import reaching
from haystack_server import HaystackServer
from scripted_server import Server, answered

from speeddata.errors import PeerError, UsageError
from speeddata.haystack import patience
from speeddata.haystack.authentication import Challenge, WrongPassword, challenges, login
from speeddata.haystack.targets import Target
from speeddata.haystack.transport import Transport
from speeddata.interrupts import Stop

TOKEN = "web-s3cr3t_-~token"


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    monkeypatch.setattr(patience, "FIRST_S", 0.01)


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decoded(text: str) -> str:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


class Peer:
    """A server whose part of SCRAM is scramp's own; the attributes are what a test makes of it."""

    def __init__(self, user: str = "user", password: str = "pencil", hash_name: str = "SHA-256") -> None:
        self.mechanism = scramp.ScramMechanism(f"SCRAM-{hash_name}")
        self.users = {user: self.mechanism.make_auth_info(password)}
        self.hash_name = hash_name
        self.hello = [f"scram handshakeToken=aGVsbG8, hash={hash_name}"]  # WWW-Authenticate, a line each
        self.step = "handshakeToken=c3RlcA"  # what the second answer has beside the data
        self.first = self.final = lambda data: data  # what becomes of the server's messages
        self.token = TOKEN
        self.cuts: list[int] = []  # requests, by their number, that are not answered
        self.heard: list[str] = []  # values of Authorization
        self.connections: set[object] = set()

    def serve(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        said = handler.headers["Authorization"]
        self.heard.append(said)
        self.connections.add(handler.client_address)
        if len(self.heard) in self.cuts:
            handler.close_connection = True
            return
        scheme, _, rest = said.partition(" ")
        parameters = dict(part.strip().split("=", 1) for part in rest.split(","))
        if scheme == "HELLO":
            self.answer(handler, 401, *(("WWW-Authenticate", line) for line in self.hello))
            return
        data = decoded(parameters["data"])
        try:
            if data.startswith("n"):
                self.scram = self.mechanism.make_server(self.users.get)
                self.scram.set_client_first(data)
                first = encoded(self.first(self.scram.get_server_first()))
                self.answer(handler, 401, ("www-authenticate", f"SCRAM data={first},{self.step}"))
            else:
                self.scram.set_client_final(data)
                final = encoded(self.final(self.scram.get_server_final()))
                info = f"hash={self.hash_name}, data={final} ,AuthToken={self.token}"
                self.answer(handler, 200, ("authentication-info", info))
        except scramp.ScramException:
            self.answer(handler, 403)

    @staticmethod
    def answer(handler: http.server.BaseHTTPRequestHandler, status: int, *headers: tuple[str, str]) -> None:
        handler.send_response(status)
        for name, text in (*headers, ("Content-Length", "0")):
            handler.send_header(name, text)
        handler.end_headers()


class Listening:
    """A peer on a port of this machine; as a context."""

    def __init__(self, peer: Peer, tls: ssl.SSLContext | None = None) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                peer.serve(self)

            def log_message(self, *_args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        if tls:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Listening:
        self.thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def way(port: int, user: str = "user", **options: object) -> Transport:
    target = Target.parse(f"http://127.0.0.1:{port}/api/demo", user=user)
    return Transport(target, **{"retry_s": 0, "stop": Stop(), **options})


def token_of(peer: Peer, password: str = "pencil", **options: object) -> str:
    with Listening(peer) as listening:
        return login(way(listening.port, **options), password)


def problem_of(peer: Peer, password: str = "pencil", **options: object) -> PeerError:
    with pytest.raises(PeerError) as caught:
        token_of(peer, password, **options)
    assert "\n" not in str(caught.value)
    assert caught.value.status == 4
    return caught.value


# --- the handshake


@pytest.mark.parametrize("hash_name", ["SHA-256", "SHA-512"])
def test_three_requests_on_a_connection_of_their_own_make_a_token(hash_name):
    peer = Peer(hash_name=hash_name)
    assert token_of(peer) == TOKEN
    hello, first, final = peer.heard
    assert hello == "HELLO username=dXNlcg"
    assert first.startswith("SCRAM handshakeToken=aGVsbG8, data=")
    assert final.startswith("SCRAM handshakeToken=c3RlcA, data=")
    assert decoded(first.split("data=")[1]).startswith("n,,n=user,r=")
    assert decoded(final.split("data=")[1]).startswith("c=biws,r=")
    assert len(peer.connections) == 1


def test_a_connection_of_another_login_is_not_used_again():
    peer = Peer()
    with Listening(peer) as listening:
        transport = way(listening.port)
        assert login(transport, "pencil") == login(transport, "pencil") == TOKEN
    assert len(peer.connections) == 2


def test_the_example_of_rfc_7677(monkeypatch):
    """Section 3; its messages in base64url, as Haystack's headers have them."""
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    server_first = encoded(f"r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    server_final = encoded("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    monkeypatch.setattr(scramp.core.Nonce, "create", lambda: scramp.core.Nonce("rOprNGfwEbeRWgbNEkqO"))
    with (
        Server(
            answered("401 x", "WWW-Authenticate: scram hash=SHA-256"),
            answered("401 x", f"WWW-Authenticate: scram data={server_first}"),
            answered("200 x", f"Authentication-Info: authToken={TOKEN}, data={server_final}"),
        ) as server,
        reaching(server, user="user") as transport,
    ):
        assert login(transport, "pencil") == TOKEN
    sent = [request.decode().partition("Authorization: ")[2].split("\r\n")[0] for request in server.heard]
    assert sent == [
        "HELLO username=dXNlcg",
        f"SCRAM data={encoded('n,,n=user,r=rOprNGfwEbeRWgbNEkqO')}",
        f"SCRAM data={encoded(f'c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=')}",
    ]


@pytest.mark.parametrize("version", ["4.0.6", "3.1.12"])
@pytest.mark.parametrize("odd", [False, True])
def test_a_server_like_haxall_opens_a_session(version, odd):
    with HaystackServer(version, user="user", password="pencil", odd_challenge=odd) as server:
        transport = way(server.port)
        assert login(transport, "pencil")
        assert server.open_sessions == 1
        assert transport.calls == 3


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("a,b=c", "pencil"),
        ("a=2Cb", "pencil"),
        ("Jürgen Müller", "grün & blau"),
        ("名前", "パスワード"),
        ("user", "5 µm² ½ ª"),  # other letters after SASLprep
        ("user", "two\N{NO-BREAK SPACE}words \N{PILE OF POO}"),  # and what it forbids
    ],
)
def test_names_and_passwords_are_taken_as_typed_where_they_were_set_as_typed(user, password):
    with HaystackServer(user=user, password=password) as server:
        assert login(way(server.port, user), password)


@pytest.mark.parametrize(
    ("user", "password"),
    [("a,b=c", "pencil"), ("user", "5 µm² ½ ª"), ("\N{FULLWIDTH LATIN SMALL LETTER U}ser", "pencil")],
)
def test_and_as_rfc_5802_prepares_them_where_the_server_does(user, password):
    peer = Peer(scramp.core.saslprep(user), password)
    assert token_of(peer, password, user=user) == TOKEN


def test_a_password_that_saslprep_changes_is_tried_in_both_ways_and_others_in_one():
    peer = Peer()
    assert isinstance(problem_of(peer, "wrong µ"), WrongPassword)
    assert sum(said.startswith("HELLO") for said in peer.heard) == 2
    peer = Peer()
    assert isinstance(problem_of(peer, "wrong"), WrongPassword)
    assert sum(said.startswith("HELLO") for said in peer.heard) == 1


@pytest.mark.parametrize("step", ["", "handshakeToken=", "hash=SHA-256, x"])
def test_a_handshake_token_may_be_missing(step):
    peer = Peer()
    peer.hello, peer.step = ["scram hash=SHA-256"], step
    assert token_of(peer) == TOKEN
    assert peer.heard[1].startswith("SCRAM data=")


@pytest.mark.parametrize(
    "hello",
    [
        ['Basic realm="a, b=c", scram hash=SHA-256'],
        ["Negotiate", "PlainText", "SCRAM hash=SHA-256"],
        ["plaintext, sCraM HASH=sha-256 , handshakeToken=a=b=="],
        ["scram hash=MD5", "scram hash=SHA-256"],
    ],
)
def test_scram_is_chosen_among_what_is_offered(hello):
    peer = Peer()
    peer.hello = hello
    assert token_of(peer) == TOKEN
    assert peer.heard[1].startswith("SCRAM ")


def test_of_two_hashes_the_better_one_is_chosen():
    peer = Peer(hash_name="SHA-512")
    peer.hello = ["scram hash=SHA-256", "scram hash=SHA-512"]
    assert token_of(peer) == TOKEN


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_handshake_that_breaks_is_begun_anew(cut):
    peer = Peer()
    peer.cuts = [cut]
    assert token_of(peer, retry_s=None) == TOKEN
    assert len(peer.connections) == 2
    assert len(peer.heard) == cut + 3


# --- headers


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        (" , ,", []),
        ("scram", [("scram", {})]),
        ("SCRAM hash=SHA-256, handshakeToken=c3U", [("scram", {"hash": "SHA-256", "handshaketoken": "c3U"})]),
        ("scram data=a=b==,HASH=x", [("scram", {"data": "a=b==", "hash": "x"})]),
        ("authToken=web-1, hash=x", [("", {"authtoken": "web-1", "hash": "x"})]),
        ("plaintext, scram , hash=x", [("plaintext", {}), ("scram", {"hash": "x"})]),
        ('Basic realm="a, b", scram', [("basic", {"realm": "a"}), ("scram", {})]),
        ("scram\thash=x", [("scram", {"hash": "x"})]),
        ("=x, a=, (x), scram", [("", {"a": ""}), ("scram", {})]),
    ],
)
def test_headers_are_read_in_any_form(header, expected):
    assert challenges(header) == [Challenge(*each) for each in expected]


def test_a_header_beyond_any_sense_is_not_read():
    with pytest.raises(ValueError, match="too long"):
        challenges("scram data=" + "x" * 8192)


# --- refusals


def test_a_wrong_password_is_told_from_other_faults():
    error = problem_of(Peer(), "wrong", retry_s=None)
    assert isinstance(error, WrongPassword)
    assert str(error).endswith(": refuses user 'user' with this password; check --user and the password")
    with HaystackServer() as server, pytest.raises(WrongPassword):
        login(way(server.port, "nobody", retry_s=None), "secret")


def test_sessions_used_up_are_told_with_the_cure():
    with HaystackServer(user="user", max_sessions=0) as server, pytest.raises(PeerError) as caught:
        login(way(server.port, retry_s=None), "secret")
    assert str(caught.value) == (
        f"http://127.0.0.1:{server.port}: user 'user' has no more sessions there; close some on the server, "
        "or wait until unused ones end there (hours); programs that do not close theirs use them up"
    )


NO_SERVER = "; give the whole base address, such as https://host/api/demo"


@pytest.mark.parametrize(
    ("script", "what"),
    [
        (
            answered("303 See Other", "Location: /user/login"),
            "no login of a Haystack server at /api/demo/: sends on to another address, which is not followed "
            f"with a password{NO_SERVER}",
        ),
        (
            answered("200 OK", "Content-Type: text/html", body=b"<html>Welcome</html>"),
            f"no login of a Haystack server at /api/demo/: lets in without asking who it is{NO_SERVER}",
        ),
        (
            answered("404 Not Found"),
            f"no login of a Haystack server at /api/demo/: answers 404 Not Found{NO_SERVER}",
        ),
        (answered("403 Forbidden"), "refuses user 'user' with this password; check --user and the password"),
        (
            answered("401 No", 'WWW-Authenticate: Basic realm="x"'),
            "offers no way to log in that is known here, but basic",
        ),
        (
            answered("401 No", "WWW-Authenticate: scram hash=MD5, plaintext"),
            "offers no way to log in that is known here, but scram with MD5, plaintext",
        ),
        (answered("401 No"), "offers no way to log in that is known here, but nothing"),
        (answered("401 No", f"WWW-Authenticate: {'x' * 9000}"), "its header WWW-Authenticate is too long"),
        (
            answered("401 No", "WWW-Authenticate: plaintext"),
            "wants the password in clear text, which leaves only under TLS; use https://",
        ),
    ],
)
def test_what_is_no_login_of_a_haystack_server_is_said_and_learns_nothing(script, what):
    with (
        Server(script) as server,
        reaching(server, user="user", retry_s=None) as transport,
        pytest.raises(PeerError) as caught,
    ):
        login(transport, "pencil")
    assert str(caught.value) == f"http://127.0.0.1:{server.port}: {what}"
    assert len(server.heard) == 1
    assert encoded("pencil").encode() not in server.heard[0]


def test_plaintext_is_spoken_under_tls(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with HaystackServer(user="jürgen", password="grün, =", plaintext=True, tls=context) as server:
        target = Target.parse(server.url, user="jürgen", ca_file=tmp_path / "ca.pem")
        transport = Transport(target, retry_s=0, stop=Stop())
        assert login(transport, "grün, =")
        assert server.open_sessions == 1
        with pytest.raises(WrongPassword):
            login(transport, "wrong")


# --- hostile servers


PROOF = "does not prove that it knows the password; is it the right server?"


@pytest.mark.parametrize(
    ("final", "what"),
    [
        (lambda _data: "v=" + base64.b64encode(bytes(32)).decode(), PROOF),
        (lambda _data: "", PROOF),
        (lambda _data: "e=other-error", PROOF),
        (lambda _data: "x" * 5000, PROOF),
    ],
)
def test_a_server_that_does_not_know_the_password_gets_no_session(final, what):
    peer = Peer()
    peer.final = final
    assert str(problem_of(peer)).endswith(f": {what}")
    haxall = HaystackServer(user="user", password="pencil", wrong_signature=True)
    with haxall, pytest.raises(PeerError, match="does not prove that it knows the password"):
        login(way(haxall.port), "pencil")


def first_of(data: str, **changes: str) -> str:
    """The server's first message with other values in it."""
    fields = {**dict(field.split("=", 1) for field in data.split(",")), **changes}
    return ",".join(f"{name}={value}" for name, value in fields.items())


@pytest.mark.parametrize(
    "changes",
    [
        {"r": "another"},
        {"s": "AAAA"},
        {"s": "!!!!"},
        {"i": "1"},
        {"i": "-5"},
        {"i": "99999999999999999999999999"},
        {"i": "2000001"},
        {"i": "²"},
        {"m": "extension"},
        {"e": "other-error"},
    ],
)
def test_a_first_message_that_is_wrong_is_not_answered(changes):
    peer = Peer()
    peer.first = lambda data: first_of(data, **changes)
    problem_of(peer)
    assert len(peer.heard) == 2


def test_a_nonce_that_is_the_clients_alone_is_refused():
    peer = Peer()
    peer.first = lambda data: first_of(data, r=data.split(",")[0][2 : 2 + 64])
    assert "its part of the login is wrong (" in str(problem_of(peer))


@pytest.mark.parametrize("token", ["", "a b", "x" * 4097, "é", "a\tb"])
def test_a_token_that_cannot_be_one_is_refused(token):
    peer = Peer()
    peer.token = token
    problem_of(peer)


def test_a_handshake_token_that_cannot_be_one_is_not_sent_back():
    peer = Peer()
    peer.hello = ["scram handshakeToken=a b, hash=SHA-256"]
    assert "a handshakeToken that cannot be one" in str(problem_of(peer))
    assert len(peer.heard) == 1


@pytest.mark.parametrize("data", ["%%%", "/w", "A", ""])
def test_data_that_is_no_base64_of_text_is_refused(data):
    script = (
        answered("401 x", "WWW-Authenticate: scram hash=SHA-256"),
        answered("401 x", f"WWW-Authenticate: scram data={data}"),
    )
    wrong = pytest.raises(PeerError, match="its part of the login is wrong")
    with Server(*script) as server, reaching(server) as transport, wrong:
        login(transport, "pencil")


# --- secrets, and what is not installed


def test_nothing_secret_is_in_logs_or_errors(caplog):
    caplog.set_level(logging.DEBUG)
    password = "".join(["geh", "eim"])  # so that no line of this file has it
    broken, lying = Peer(password=password), Peer(password=password)
    broken.cuts = [2]
    lying.final = lambda _data: ""
    token_of(broken, password, retry_s=None)
    errors = [problem_of(Peer(), password), problem_of(lying, password)]
    told = "".join(
        [caplog.text, *map(repr, errors), *(text for e in errors for text in traceback.format_exception(e))]
    )
    assert "the connection was cut" in told
    for secret in (password, encoded(password)[:-1], TOKEN):
        assert secret not in told


def test_without_scramp_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scramp", None)
    with pytest.raises(UsageError) as caught:
        login(way(1), "pencil")
    assert str(caught.value) == "needs scramp, which is not installed; pip install 'speeddata[haystack]'"
