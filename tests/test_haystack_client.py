"""A session's operations, what their answers mean, and its end in every case."""

from __future__ import annotations

import json
import logging
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from haystack_kinds import Num
from haystack_server import HaystackServer, point
from scripted_server import DEADLINE_S, Server, answered, unused_port

from speeddata.errors import Interrupted, PeerError
from speeddata.haystack import authentication, client, patience
from speeddata.haystack.client import BadRequest, Client, Refused, TooLarge, Unsupported
from speeddata.haystack.kinds import MARKER, Column, Grid, Number, Ref
from speeddata.haystack.patience import Outage, UnknownOutcome
from speeddata.haystack.targets import Target
from speeddata.interrupts import Stop

DATA = Path(__file__).resolve().parent / "data"
BODY = b'ver:"3.0" id:@a\nts,val\n2026-11-21T15:00:00Z UTC,1\n'
AT_NS = 1_795_273_200 * 10**9


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    monkeypatch.setattr(patience, "FIRST_S", 0.01)


@pytest.fixture(params=["4.0.6", "3.1.12"])
def server(request):
    with HaystackServer(request.param) as server:
        server.add(point("a", unit="kW"), point("b", kind="Str", tz="New_York"))
        yield server


def session(server: HaystackServer, **options: object) -> Client:
    options = {"stop": Stop(), "retry_s": 0, **options}
    return Client(Target.parse(server.url, user=server.user), lambda: server.password, **options)


def to(port: int, **options: object) -> Client:
    """A client without a login of a server whose answers are scripted."""
    options = {"stop": Stop(), "retry_s": 0, **options}
    return Client(Target.parse(f"http://127.0.0.1:{port}/api/demo", user="su"), lambda: "secret", **options)


@pytest.fixture
def tokens(monkeypatch):
    """Logins give t1, t2 and so on, without a word to the server."""
    given: list[str] = []

    def login(_transport: object, password: str) -> str:
        assert password == "secret"
        given.append(f"t{len(given) + 1}")
        return given[-1]

    monkeypatch.setattr(client, "login", login)
    return given


def write(haystack: Client) -> object:
    return haystack.his_write(BODY)


def failing(server: Server, ask: Callable[[Client], object] = write) -> PeerError:
    """The error that *server*'s answer makes of what is asked."""
    with to(server.port) as haystack, pytest.raises(PeerError) as caught:
        ask(haystack)
    return caught.value


def zinc(text: str) -> bytes:
    return answered("200 OK", "Content-Type: text/zinc", body=text.encode())


EMPTY = zinc('ver:"3.0"\nempty\n\n')


# --- operations


def test_the_session_is_opened_by_the_first_operation_and_closed_at_the_end(server):
    with session(server) as haystack:
        assert server.calls == []
        assert haystack.about()["productVersion"] == server.version
        assert server.open_sessions == 1
        assert haystack.about()["whoami"] == server.user
    assert [call.op for call in server.calls] == ["auth", "auth", "auth", "about", "about", "close"]
    assert server.open_sessions == 0
    assert haystack.calls == 6


def test_a_session_that_was_never_opened_says_no_goodbye(server):
    with session(server):
        pass
    assert server.calls == []


def test_records_come_in_the_order_of_their_ids_and_none_where_there_is_none(server):
    with session(server) as haystack:
        a, nope, b = haystack.read_ids(["a", "nope", "b"])
    assert (a["id"], a["unit"], a["his"]) == (Ref("a"), "kW", MARKER)
    assert nope is None
    assert (b["id"], b["tz"]) == (Ref("b"), "New_York")


def test_of_unknown_ids_alone_there_is_no_record(server):
    with session(server) as haystack:
        assert haystack.read_ids(["x", "y"]) == [None, None]


def test_many_ids_are_asked_for_in_several_calls_and_none_in_none(server, monkeypatch):
    monkeypatch.setattr(client, "_IDS", 2)
    with session(server) as haystack:
        assert haystack.read_ids([]) == []
        recs = haystack.read_ids(["a", "x", "b", "a", "b"])
    assert [rec and rec["id"] for rec in recs] == [Ref("a"), None, Ref("b"), Ref("a"), Ref("b")]
    assert server.count("read") == 3


def test_records_are_found_by_a_filter(server):
    with session(server) as haystack:
        found = haystack.read('point and kind == "Str"')
    assert [row["id"] for row in found.rows] == [Ref("b")]


def test_history_is_written_and_read(server):
    with session(server) as haystack:
        assert haystack.his_write(BODY) is None
        rows = haystack.his_read("a", "2026-11-21").rows
    assert server.history("a") == [(AT_NS, 1.0)]
    assert [(row["ts"].ns, row["val"]) for row in rows] == [(AT_NS, Number(1, "kW"))]


def test_what_the_server_has_against_a_write_is_returned(server):
    with session(server) as haystack:
        refusal = haystack.his_write(BODY.replace(b"@a", b"@b"))
    assert refusal.kind == "folio::HisWriteErr"
    assert refusal.point == "b"


def test_records_are_committed(server):
    grid = Grid({"commit": "add"}, [Column("id"), Column("dis")], [{"id": Ref("new"), "dis": "New"}])
    with session(server) as haystack:
        assert haystack.commit(grid).rows[0]["id"] == Ref("new")
        with pytest.raises(Refused) as caught:
            haystack.commit(grid)
    assert caught.value.refusal.kind == "folio::CommitErr"
    assert "Rec already exists" in str(caught.value)
    assert caught.value.status == 4


def test_expressions_are_evaluated_each_with_an_answer_of_its_own():
    grid = Grid(columns=[Column("expr")], rows=[{"expr": "nonsense("}, {"expr": "more nonsense("}])
    with HaystackServer(eval_all=True) as server, session(server) as haystack:
        assert ["err" in each.meta for each in haystack.eval_all(grid)] == [True, True]


@pytest.mark.usefixtures("tokens")
def test_the_refusal_of_all_expressions_is_an_answer_too():
    script = zinc('ver:"3.0" err dis:"haystack::PermissionErr: no"\nempty\n')
    with Server(script) as server, to(server.port) as haystack:
        (grid,) = haystack.eval_all(Grid(columns=[Column("expr")], rows=[{"expr": "1"}]))
    assert "err" in grid.meta


@pytest.mark.usefixtures("tokens")
def test_a_request_says_who_asks_and_in_what_form():
    with Server(EMPTY) as server, to(server.port) as haystack:
        haystack.read("site")
    head, _, body = server.heard[0].decode().partition("\r\n\r\n")
    assert head.startswith("POST /api/demo/read HTTP/1.1\r\n")
    assert "\r\nAuthorization: BEARER authToken=t1\r\n" in head
    assert "\r\nAccept: text/zinc\r\n" in head
    assert "\r\nContent-Type: text/zinc; charset=utf-8" in head
    assert body == 'ver:"3.0"\nfilter\n"site"\n'
    assert server.heard[1].startswith(b"POST /api/demo/close HTTP/1.1\r\n")


# --- answers


def recorded(name: str) -> list[bytes]:
    """What real servers answered, byte for byte but for the length."""
    answers = []
    for path in sorted(DATA.glob("haxall-*.json")):
        (said,) = [
            e["response"] for e in json.loads(path.read_text("utf-8"))["exchanges"] if e["name"] == name
        ]
        body = said["body"].encode()
        headers = [f"{key}: {text}" for key, text in said["headers"].items() if key != "Content-Length"]
        answers.append(answered(f"{said['status']} {said['reason']}", *headers, body=body))
    assert len(answers) == 2
    return answers


@pytest.mark.parametrize("script", recorded("invalid-unit"))
@pytest.mark.usefixtures("tokens")
def test_a_body_that_haxall_cannot_read_is_a_bad_request(script):
    with Server(script) as server, to(server.port) as haystack, pytest.raises(BadRequest) as caught:
        haystack.his_write(BODY)
    assert "Invalid unit name 'foo'" in caught.value.what


@pytest.mark.parametrize("script", recorded("batch-bad-middle"))
@pytest.mark.usefixtures("tokens")
def test_an_error_grid_of_haxall_is_a_refusal(script):
    with Server(script) as server, to(server.port) as haystack:
        refusal = haystack.his_write(BODY)
    assert refusal.kind == "folio::HisWriteErr"
    assert refusal.point.endswith("-k")


@pytest.mark.parametrize("script", recorded("batch"))
@pytest.mark.usefixtures("tokens")
def test_an_empty_grid_of_haxall_is_success(script):
    with Server(script) as server, to(server.port) as haystack:
        assert haystack.his_write(BODY) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (413, TooLarge),
        (400, BadRequest),
        (404, Unsupported),
        (405, Unsupported),
        (406, Unsupported),
        (415, Unsupported),
        (501, Unsupported),
        (418, PeerError),
        (204, PeerError),
    ],
)
@pytest.mark.usefixtures("tokens")
def test_a_status_has_its_error(status, kind):
    with Server(answered(f"{status} Because")) as server:
        error = failing(server)
    assert type(error) is kind
    assert "Because" in str(error)
    assert str(error).startswith(f"http://127.0.0.1:{server.port}: ")


@pytest.mark.usefixtures("tokens")
def test_a_page_says_why_where_the_status_line_does_not():
    page = b"<html><style>h1 {}</style><h1>Bad Request</h1>\n<p>Invalid &quot;unit&quot;\x1b</p>"
    with Server(answered("400 Bad Request", body=page)) as server:
        assert failing(server).what == 'Bad Request Invalid "unit"\x1b'


@pytest.mark.usefixtures("tokens")
def test_redirects_are_not_followed():
    script = answered("302 Found", "Location: http://127.0.0.1:1/?t=1")
    with Server(script) as server, to(server.port) as haystack, pytest.raises(PeerError) as caught:
        haystack.about()
    assert str(caught.value) == (
        f"http://127.0.0.1:{server.port}: sends about on to another address, which is not followed with "
        "credentials; give the address where the server really is"
    )


@pytest.mark.parametrize(
    ("script", "what"),
    [
        (answered("200 OK", "Content-Type: text/html", body=b"<html>"), "answers text/html that is no grid"),
        (answered("200 OK"), "answers nothing that is no grid"),
        (zinc('ver:"3.0"\nid,'), "answers text/zinc that is no grid"),
        (zinc("{}"), "answers text/zinc that is no grid"),
    ],
)
@pytest.mark.usefixtures("tokens")
def test_success_that_is_no_grid_is_not_believed(script, what):
    for ask in (write, lambda haystack: haystack.eval_all(Grid())):
        with Server(script) as server:
            error = failing(server, ask)
        assert what in str(error)
        assert error.status == 4


@pytest.mark.usefixtures("tokens")
def test_an_answer_about_fewer_records_than_were_asked_for_is_not_believed():
    with Server(zinc('ver:"3.0"\nid\n@a\n')) as server:
        error = failing(server, lambda haystack: haystack.read_ids(["a", "b"]))
    assert error.what == "answers 1 rows for 2 ids"


# --- tokens


def test_a_token_that_has_ended_is_renewed_and_the_password_not_asked_for_again(server):
    asked = []
    with session(server) as haystack:
        haystack._ask_password = lambda: asked.append(1) or server.password
        haystack.about()
        server.restart()
        assert haystack.his_write(BODY) is None
        assert len(asked) == 1
    assert server.history("a") == [(AT_NS, 1.0)]
    assert server.open_sessions == 0


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_is_renewed_once_and_then_the_refusal_believed(status, tokens):
    with Server(EMPTY, answered(f"{status} Not you")) as server, to(server.port, retry_s=None) as haystack:
        haystack.his_write(BODY)
        with pytest.raises(PeerError) as caught:
            haystack.his_write(BODY)
        assert haystack._token is None
    assert tokens == ["t1", "t2"]
    assert str(caught.value).endswith(": refuses hisWrite to user 'su' (Not you)")
    assert len(server.heard) == 3


def test_a_refusal_right_after_the_login_is_believed_at_once(tokens):
    with Server(answered("403 Not you")) as server:
        assert failing(server).what.startswith("refuses hisWrite")
    assert tokens == ["t1"]


def test_a_commit_that_was_refused_for_its_token_is_sent_again(tokens):
    with Server(EMPTY, answered("403 Expired"), EMPTY) as server, to(server.port) as haystack:
        haystack.about()
        assert haystack.commit(Grid({"commit": "add"}, [Column("dis")], [{"dis": "x"}])).rows == []
    assert tokens == ["t1", "t2"]


def test_a_commit_with_an_unknown_outcome_is_not_sent_again(server):
    grid = Grid({"commit": "add"}, [Column("dis")], [{"dis": "x"}])
    with session(server, retry_s=None) as haystack:
        server.fault("commit", cut="after")
        with pytest.raises(UnknownOutcome, match="whether it was done is not known"):
            haystack.commit(grid)
    assert server.count("commit") == 1


def test_history_is_sent_again_when_its_answer_was_lost(server):
    with session(server, retry_s=None) as haystack:
        server.fault("hisWrite", cut="after")
        server.fault("hisWrite", cut="middle")
        server.fault("hisWrite", status=503, retry_after=0)
        assert haystack.his_write(BODY) is None
    assert server.count("hisWrite") == 4
    assert server.history("a") == [(AT_NS, 1.0)]


# --- the end


def fails(haystack: Client, error: BaseException, before: Callable[[], object] = lambda: None) -> None:
    """Use a session, and leave it by *error*."""
    with haystack:
        haystack.about()
        before()
        raise error


@pytest.mark.parametrize("error", [ValueError("first"), KeyboardInterrupt("first"), Interrupted(143)])
def test_a_session_is_closed_after_any_error(server, error):
    with pytest.raises(type(error)) as caught:
        fails(session(server), error)
    assert caught.value is error
    assert server.open_sessions == 0


def test_a_session_is_closed_after_the_stop_too(server):
    stop = Stop()
    with session(server, stop=stop) as haystack:
        haystack.about()
        stop.ask(143)
    assert server.open_sessions == 0


@pytest.mark.parametrize("fault", [{"cut": "before"}, {"status": 500}, {"status": 403}, {"cut": "middle"}])
def test_a_goodbye_that_fails_is_no_error_and_not_repeated(server, fault, caplog):
    with session(server, retry_s=None) as haystack:
        haystack.about()
        server.fault("close", **fault)
    assert server.count("close") == 1
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_a_goodbye_takes_no_longer_than_its_limit_and_masks_nothing(server, monkeypatch):
    monkeypatch.setattr(client, "CLOSE_S", 0.2)
    begun = time.monotonic()
    with pytest.raises(ValueError, match="first"):
        fails(session(server), ValueError("first"), server.freeze)
    assert time.monotonic() - begun < DEADLINE_S / 4
    server.thaw()


def test_a_goodbye_that_finds_no_way_out_takes_no_longer_either(server, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(client, "CLOSE_S", 0.1)
    with session(server) as haystack:
        haystack.about()
        monkeypatch.setattr(haystack._transport, "once", lambda *_args, **_limit: over.wait(DEADLINE_S))
        begun = time.monotonic()
    assert time.monotonic() - begun < DEADLINE_S / 4
    over.set()


def test_an_interruption_of_the_goodbye_does_not_mask_the_first_error(server, monkeypatch):
    def interrupt(_thread: threading.Thread, _timeout: float | None = None) -> None:
        raise Interrupted(130)

    with pytest.raises(ValueError, match="first"):
        fails(
            session(server),
            ValueError("first"),
            lambda: monkeypatch.setattr(threading.Thread, "join", interrupt),
        )
    monkeypatch.undo()
    haystack = session(server)
    haystack.about()
    monkeypatch.setattr(threading.Thread, "join", interrupt)
    with pytest.raises(Interrupted):
        haystack.__exit__(None, None, None)
    monkeypatch.undo()


def test_a_login_that_fails_leaves_nothing_to_close(server):
    server.password = "another"
    with session(server) as haystack, pytest.raises(authentication.WrongPassword):
        haystack.about()
    assert server.count("close") == 0


def test_a_server_that_is_away_is_an_outage():
    with to(unused_port()) as haystack, pytest.raises(Outage):
        haystack.about()


# --- secrets


def test_nothing_secret_is_in_logs_errors_or_representations(server, caplog):
    caplog.set_level(logging.DEBUG)
    server.sessions.users["su"] = server.password = "".join(["geh", "eim"])
    told = []
    with session(server, retry_s=None) as haystack:
        haystack.about()
        token = haystack._token
        server.fault("read", cut="middle")
        haystack.read("site")
        told += [repr(haystack), str(haystack), repr(haystack._transport), repr(haystack.target)]
        server.fault("hisWrite", status=413)
        with pytest.raises(TooLarge) as caught:
            haystack.his_write(BODY)
        told += [*traceback.format_exception(caught.value), repr(caught.value)]
    told.append(caplog.text)
    assert "the connection was cut" in caplog.text
    for secret in (token, "".join(["geh", "eim"])):
        assert secret not in "".join(told)


@pytest.mark.usefixtures("tokens")
def test_a_server_that_repeats_the_token_is_not_quoted(monkeypatch):
    monkeypatch.setattr(client, "login", lambda *_args: "web-1234")
    scripts = (
        answered("400 Cannot parse BEARER authToken=web-1234"),
        answered("400 Bad Request", body=b"<p>BEARER authToken=web-1234</p>"),
        answered("403 Bad authToken web-1234"),
    )
    for script in scripts:
        with Server(script) as server, to(server.port) as haystack, pytest.raises(PeerError) as caught:
            haystack.his_write(BODY)
        assert "web-1234" not in str(caught.value)
        assert "…" in str(caught.value)


def test_a_number_of_a_record_has_its_unit(server):
    server.add(point("c", hisTsPrecision=Num(1, "ms")))
    with session(server) as haystack:
        (rec,) = haystack.read_ids(["c"])
    assert rec["hisTsPrecision"] == Number(1, "ms")
