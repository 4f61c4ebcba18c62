"""The test server answers as real Haxall servers did, and fails as it is told to."""

from __future__ import annotations

import base64
import gzip
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
from datetime import date, datetime
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected
from pathlib import Path
from zoneinfo import ZoneInfo

import phable
import pytest
import trustme
from conftest import Output
from haystack_asking import ZINC, Plain, encoded
from haystack_kinds import NA
from haystack_reading import read
from haystack_server import HaystackServer, point
from phable import DateRange, DateTimeRange, Number, open_haxall_client, ph_from_zinc
from phable.auth.scram import AuthError, ScramScheme, ScramServerSignatureNotEqualError
from scramp import ScramClient

VERSIONS = ("4.0.6", "3.1.12")
DATA = Path(__file__).resolve().parent / "data"
S = 1_000_000_000
NEW_YORK = ZoneInfo("America/New_York")
TEN = 1_795_273_200 * S  # 2026-11-21T10:00:00-05:00
EMPTY = 'ver:"3.0"\nempty\n'
CLEAR = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # phable takes 25 ms to make one for each call


@pytest.fixture(params=VERSIONS)
def server(request):
    with HaystackServer(request.param) as server:
        yield server


@pytest.fixture
def client(server):
    return Plain(server)


def login(server, user=None, password=None):
    """A token, by an independent client's SCRAM."""
    user, password = user or server.user, password or server.password
    return ScramScheme(server.url, user, password, "text/zinc", CLEAR).get_auth_token()


def phable_client(server, context=CLEAR):
    args = (server.url, server.user, server.password)
    return open_haxall_client(*args, content_type="zinc", ssl_context=context)


# --- what was recorded


def replayed(plain, exchange):
    """What is answered to the request of *exchange*."""
    asked = exchange["request"]
    user = "nouser" if exchange["name"] == "hello-unknown" else "su"
    auth = f"HELLO username={encoded(user)}" if asked["auth"] == "HELLO" else None
    if exchange["name"] == "bad-token":
        auth = "BEARER authToken=wrong"
    body = asked["body"] and asked["body"].encode()
    if asked["gzip"]:
        body = gzip.compress(body)
    return plain.call(asked["op"], body, method=asked["method"], headers=asked["headers"], auth=auth)


def without_clocks(text):
    """An answer without what is new in every run, and without its stack trace."""
    text = re.sub(r"20\d\d-[0-9-]+T[0-9:.]+Z", "NA", text)
    return re.sub(r'errTrace:"(?:[^"\\]|\\.)*"', 'errTrace:"..."', text)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_answers_every_recorded_request_word_for_word_as_the_recorded_server_did(version):
    exchanges = json.loads((DATA / f"haxall-{version}.json").read_text("utf-8"))["exchanges"]
    assert len(exchanges) == 25
    with HaystackServer(version, project="sys") as server:
        plain = Plain(server, login(server))
        for exchange in exchanges:
            wanted = exchange["response"]
            answer, text = replayed(plain, exchange)
            reason = answer.reason.encode("latin-1").decode()
            assert (answer.status, reason) == (wanted["status"], wanted["reason"]), exchange["name"]
            assert {name: answer.headers[name] for name in wanted["headers"]} == wanted["headers"]
            assert without_clocks(text) == without_clocks(wanted["body"])
            if wanted["headers"].get("Content-Type") == "text/zinc":
                ours, theirs = (ph_from_zinc(without_clocks(each)) for each in (text, wanted["body"]))
                assert (ours.cols, ours.rows) == (theirs.cols, theirs.rows)


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", None])
def test_other_content_types_are_not_supported(client, kind):
    answer, _ = client.call("read", "x", headers={"Content-Type": kind} if kind else {})
    assert answer.status == 415


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/demo/commit", 405),
        ("GET", "/api/demo/close", 405),
        ("PUT", "/api/demo/read", 405),
        ("POST", "/api/demo/hisWriteMany", 404),
        ("POST", "/api/other/read", 404),
        ("GET", "/", 404),
    ],
)
def test_a_wrong_method_and_an_unknown_place_have_their_status(client, method, path, status):
    assert client.call("", method=method, path=path)[0].status == status


def test_every_answer_ends_the_connection(client):
    assert client.call("about")[0].headers["Connection"] == "close"
    assert client.call("nothing")[0].headers["Connection"] == "close"


# --- an independent client


@pytest.fixture
def told(server):
    """Records that phable adds; it as the client."""
    with phable_client(server) as client:
        point = {"point": phable.Marker(), "his": phable.Marker(), "tz": "New_York", "kind": "Number"}
        recs = [{"dis": name, **point, "unit": "kW", "hisMaxItems": Number(5000)} for name in "abc"]
        yield client, client.commit_add(recs).rows


def test_phable_logs_in_asks_and_closes_its_session(server):
    with phable_client(server) as client:
        assert client.about()["productVersion"] == server.version
        assert server.open_sessions == 1
    assert server.open_sessions == 0
    assert [call.op for call in server.calls] == ["auth"] * 3 + ["about", "close"]
    assert [call.status for call in server.calls] == [401, 401, 200, 200, 200]


def test_phable_writes_many_points_in_one_call_and_reads_them_back(server, told):
    client, recs = told
    ids = [rec["id"] for rec in recs]
    times = [datetime(2026, 11, 21, 10, minute, tzinfo=NEW_YORK) for minute in range(3)]
    rows = [{"ts": ts, **{f"v{n}": Number(n + i / 2) for n in range(3)}} for i, ts in enumerate(times)]
    client.his_write_by_ids(ids, rows)
    assert server.count("hisWrite") == 1
    assert server.calls[-1].ids == tuple(ref.val for ref in ids)
    assert server.calls[-1].samples == 9
    assert server.history(ids[1].val) == [(TEN + i * 60 * S, 1 + i / 2) for i in range(3)]
    back = client.his_read_by_ids(ids, date(2026, 11, 21))
    assert [row["v2"] for row in back.rows] == [Number(2, "kW"), Number(2.5, "kW"), Number(3, "kW")]
    alone = client.his_read_by_id(ids[0], DateTimeRange(times[1]))
    assert [row["val"].val for row in alone.rows][:2] == [0.5, 1]
    assert len(client.his_read_by_id(ids[0], DateRange(date(2026, 11, 21), date(2026, 11, 22))).rows) == 3


def test_phable_is_told_of_refusals(server, told):
    client, recs = told
    row = {"ts": datetime(2026, 11, 21, 10, tzinfo=NEW_YORK), "val": True}
    with pytest.raises(phable.CallError) as refused:
        client.his_write_by_id(recs[0]["id"], [row])
    assert refused.value.help_msg.meta["errType"] == "folio::HisWriteErr"


def test_phable_reads_by_id_in_order_and_by_filter(server, told):
    client, recs = told
    assert [row["dis"] for row in client.read_by_ids([recs[2]["id"], recs[0]["id"]]).rows] == ["c", "a"]
    assert len(client.read_all('point and (dis=="a" or dis=="b")').rows) == 2


# --- logins and sessions


def test_a_wrong_password_is_refused_and_so_is_who_is_not_known(server):
    for user, password in (("su", "wrong"), ("nobody", "secret")):
        with pytest.raises(AuthError):
            login(server, user, password)
    assert [call.status for call in server.calls] == [401, 401, 403] * 2
    assert server.open_sessions == 0


def test_a_name_stands_in_scram_as_it_is():
    with HaystackServer(user="a,b=c é", password="pässwörd") as server:
        assert Plain(server, login(server)).call("about")[0].status == 200


def steps(server, hash, name="su"):
    """The answers to the three steps of a login by scramp, each parameter by its name in lower case."""
    plain = Plain(server, "")
    scram = ScramClient([f"SCRAM-{hash}"], name, server.password)
    answers = [plain.call("about", auth=f"HELLO username={encoded(name)}")[0]]
    token = params(answers[0].headers["WWW-Authenticate"]).get("handshaketoken")
    start = f"SCRAM handshakeToken={token}, " if token else "scram "
    answers.append(plain.call("about", auth=f"{start}data={encoded(scram.get_client_first())}")[0])
    scram.set_server_first(decoded(params(answers[1].headers["WWW-Authenticate"])["data"]))
    answers.append(plain.call("about", auth=f"{start}data={encoded(scram.get_client_final())}")[0])
    told = params(answers[2].headers["Authentication-Info"])
    scram.set_server_final(decoded(told["data"]))
    return answers, told


def params(header):
    pairs = (part.strip().split("=", 1) for part in header.split(" ", 1)[-1].split(","))
    if not header.lower().startswith("scram "):
        pairs = (part.strip().split("=", 1) for part in header.split(","))
    return {name.lower(): text for name, text in pairs}


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


@pytest.mark.parametrize("hash", ["SHA-256", "SHA-512"])
@pytest.mark.parametrize("odd", [False, True])
def test_scramp_logs_in_too_whatever_the_challenge_looks_like(hash, odd):
    with HaystackServer(hash=hash, odd_challenge=odd) as server:
        answers, told = steps(server, hash)
        assert [answer.status for answer in answers] == [401, 401, 200]
        assert Plain(server, told["authtoken"]).call("about")[0].status == 200
        assert server.open_sessions == 1


def test_a_server_that_does_not_know_the_password_signs_wrongly():
    with HaystackServer(wrong_signature=True) as server, pytest.raises(ScramServerSignatureNotEqualError):
        login(server)


def test_a_server_of_plaintext_takes_nothing_else():
    with HaystackServer(plaintext=True) as server:
        plain = Plain(server, "")
        hello, _ = plain.call("about", auth=f"HELLO username={encoded('su')}")
        assert (hello.status, hello.headers["WWW-Authenticate"]) == (401, "plaintext")
        scheme = f"PLAINTEXT username={encoded('su')}, password="
        assert plain.call("about", auth=scheme + encoded("wrong"))[0].status == 403
        answer, _ = plain.call("about", auth=scheme + encoded("secret"))
        token = params(answer.headers["Authentication-Info"])["authtoken"]
        assert Plain(server, token).call("about")[0].status == 200
        assert plain.call("about", auth=f"SCRAM data={encoded('n,,n=su,r=x')}")[0].status == 400


def test_who_shows_nothing_is_sent_to_the_login_page(client):
    answer, _ = client.call("about", auth="")
    assert (answer.status, answer.headers["Location"]) == (303, "/user/login")


def test_a_token_ends_after_as_many_calls_as_told_and_when_it_was_idle(client):
    client.server.modes.expire_after = 2
    assert [client.call("about")[0].status for _ in range(3)] == [200, 200, 403]
    client.server.modes.expire_after = None
    again = Plain(client.server)
    assert again.call("about")[0].status == 200
    client.server.modes.lease_s = 0.0
    assert again.call("about")[0].reason == "Invalid or expired authToken"
    assert client.server.open_sessions == 0


def test_a_restart_ends_all_sessions_and_histories_only_when_told(client):
    client.server.add(point("a"))
    client.server.folio.write("a", [(read('ver:"3.0"\nts\n2026-11-21T15:00:00Z\n').rows[0][0], NA)])
    client.server.restart()
    assert client.call("about")[0].status == 403
    assert client.server.history("a") == [(TEN, NA)]
    client.server.restart(forget=True)
    assert client.server.history("a") == []


def test_one_session_too_many_is_an_err_grid_without_a_token(server):
    server.modes.max_sessions = 0
    with pytest.raises(phable.auth.scram.ScramServerResponseParsingError):
        login(server)
    last = server.calls[-1]
    assert (last.op, last.status, last.error) == ("auth", 200, "hx::MaxSessionsErr")
    server.modes.max_sessions = 1
    assert Plain(server, login(server)).call("close", EMPTY)[0].status == 200
    login(server)


# --- what it is told to do wrong

ONE = 'ver:"3.0" id:@a\nts,val\n2026-11-21T15:00:00Z UTC,1\n'
BATCH = 'ver:"3.0"\nts,v id:@a\n2026-11-21T15:00:00Z UTC,1\n'


@pytest.fixture
def one(client):
    client.server.add(point("a"))
    return client


def test_a_server_without_batch_refuses_it_or_forgets_it(one):
    one.server.modes.batch = "error"
    assert one.error("hisWrite", BATCH) == ("haystack::UnknownNameErr", "id")
    one.server.modes.batch = "silent"
    assert one.error("hisWrite", BATCH) is None
    assert one.server.history("a") == []
    assert one.error("hisWrite", ONE) is None
    assert one.server.history("a") == [(TEN, 1.0)]
    one.server.modes.his_write = False
    assert one.call("hisWrite", ONE)[0].status == 404


def test_a_point_can_go_bad_so_that_no_tag_of_it_tells(one):
    one.server.bad["a"] = "Rec marked as 'odd'"
    assert one.error("hisWrite", BATCH) == ("folio::HisConfigErr", "Rec marked as 'odd' [@a \"A\"]")
    one.server.bad.clear()
    assert one.error("hisWrite", BATCH) is None


def test_faults_come_in_the_order_told_and_as_often_and_are_not_done(one):
    one.server.fault("hisWrite", status=503, retry_after=7)
    one.server.fault("hisWrite", status=500, times=2)
    one.server.fault("read", status=429)
    answers = [one.call("hisWrite", ONE)[0] for _ in range(3)]
    assert [answer.status for answer in answers] == [503, 500, 500]
    assert answers[0].headers["Retry-After"] == "7"
    assert one.server.history("a") == []
    assert one.call("hisWrite", ONE)[0].status == 200
    assert one.call("read", EMPTY)[0].status == 429
    one.server.fault("*", status=502, times=None)
    assert [one.call(op, EMPTY)[0].status for op in ("read", "hisWrite", "close")] == [502] * 3
    one.server.clear_faults()
    assert one.call("close", EMPTY)[0].status == 200


@pytest.mark.parametrize("status", [302, 303, 307])
def test_it_redirects_where_it_is_told_to(one, status):
    one.server.fault("hisWrite", status=status, to="http://127.0.0.1:9/")
    answer, _ = one.call("hisWrite", ONE)
    assert (answer.status, answer.headers["Location"]) == (status, "http://127.0.0.1:9/")


def test_a_login_can_fail_too(server):
    server.fault("auth", status=503)
    with pytest.raises(phable.auth.scram.ScramServerResponseParsingError):
        login(server)


def test_a_body_that_is_too_long_is_413(one):
    one.server.modes.max_body = len(BATCH.encode()) - 1
    assert one.call("hisWrite", BATCH)[0].status == 413
    one.server.modes.max_body += 1
    assert one.call("hisWrite", BATCH)[0].status == 200


@pytest.mark.parametrize(("cut", "done"), [("before", False), ("middle", True), ("after", True)])
def test_a_connection_is_cut_where_it_is_told(one, cut, done):
    one.server.fault("hisWrite", cut=cut)
    with pytest.raises((RemoteDisconnected, IncompleteRead, BadStatusLine)):
        one.call("hisWrite", BATCH)
    assert bool(one.server.history("a")) == done
    assert one.call("hisWrite", BATCH)[0].status == 200


def test_a_slow_answer_and_a_dripping_one_come_whole(one):
    one.server.fault("hisWrite", slow=0.05)
    one.server.fault("hisWrite", drip=0.001)
    assert one.error("hisWrite", ONE) is None
    assert one.server.calls[-1].duration_s >= 0.05
    assert one.error("hisWrite", ONE) is None


def test_a_frozen_server_answers_nothing_until_it_thaws(one, wait_for):
    one.server.freeze()
    answered = []
    thread = threading.Thread(target=lambda: answered.append(one.error("hisWrite", ONE)))
    thread.start()
    with socket.create_connection(("127.0.0.1", one.server.port), timeout=5) as accepted:
        accepted.sendall(b"GET /api/demo/about HTTP/1.1\r\n\r\n")
        accepted.settimeout(0.1)
        with pytest.raises(TimeoutError):
            accepted.recv(1)
    assert answered == []
    one.server.thaw()
    thread.join(10)
    assert answered == [None]


def test_it_ends_at_once_though_it_is_frozen_and_slow():
    with HaystackServer() as server:
        server.fault("about", slow=600)
        server.freeze()
        with socket.create_connection(("127.0.0.1", server.port)) as waiting:
            waiting.sendall(b"GET /api/demo/about HTTP/1.1\r\n\r\n")
    assert server.ended.is_set()


def test_gzip_is_understood_both_ways_unless_told(one):
    body = gzip.compress(BATCH.encode())
    headers = {**ZINC, "Content-Encoding": "gzip"}
    assert one.call("hisWrite", body, headers=headers)[0].status == 200
    assert one.server.history("a") == [(TEN, 1.0)]
    one.server.modes.gzip = False
    _, text = one.call("hisWrite", body, headers=headers)
    assert read(text).meta["errType"] == "sys::IOErr"


def test_every_call_is_in_the_log(one):
    one.error("hisWrite", BATCH)
    one.error("hisWrite", 'ver:"3.0"\nts,v id:@gone\n2026-11-21T15:00:00Z UTC,1\n')
    first, second = one.server.calls
    assert (first.op, first.method, first.size, first.status) == ("hisWrite", "POST", len(BATCH), 200)
    assert (first.ids, first.samples, first.error) == (("a",), 1, None)
    assert (second.ids, second.error) == (("gone",), "haystack::UnknownRecErr")


# --- SkySpark


@pytest.mark.parametrize(
    "expr",
    [
        'hisWrite([{ts: dateTime(2026-11-21, 10:00:00, "New_York"), val: 1.5}], @k)',
        'hisWrite({ts: dateTime(2026-11-21, 10:00, "New_York"), val: 1.5kW}, readById(@k))',
        '[{ts: dateTime(2026-11-21, 10:00:00.25, "New_York"), val: 1.5},].hisWrite(@k)',
        '[{ts: dateTime(2026-11-21,15:00:00.000,"UTC").toTimeZone("New_York"),val:1.5}].hisWrite(@k)',
        'hisWrite({ts: parseDateTime("2026-11-21T15:00:00+00:00", "YYYY-MM-DDThh:mm:ssz")'
        ".toTimeZone(readById(@k)->tz), val: 1.5}, @k)",
    ],
)
def test_eval_all_writes_what_axon_says(client, expr):
    client.server.modes.eval_all = True
    client.server.add(point("k", tz="New_York", unit="kW"))
    quoted = expr.replace('"', '\\"')
    _, text = client.call(
        "evalAll", f'ver:"3.0"\nexpr\n"{quoted}"\n"hisWrite([], @gone)"\n"readAll(point)"\n'
    )
    grids = [read(part + "\n\n") for part in text.split("\n\n") if part]
    assert [grid.meta.get("errType") for grid in grids] == [
        None,
        "haystack::UnknownRecErr",
        "axon::SyntaxErr",
    ]
    assert client.server.history("k") == [(TEN, 1.5)]


@pytest.mark.parametrize(
    "expr",
    [
        'readById(@k).hisWrite([{ts: dateTime(2026-11-21, 10:00, "New_York"), val: 1}])',  # the data is first
        'hisWrite([{ts: dateTime(2026-11-21, 10:00, "New_York")}], @k)',
        "hisWrite([{ts: 2026-11-21T10:00:00-05:00 New_York, val: 1}], @k)",
        'hisWrite([{ts: dateTime(2026-11-21, 10:00, "Nowhere"), val: 1}], @k)',
        "hisWrite([], @k) hisWrite([], @k)",
    ],
)
def test_eval_all_refuses_what_is_no_such_axon(client, expr):
    client.server.modes.eval_all = True
    client.server.add(point("k", tz="New_York"))
    quoted = expr.replace('"', '\\"')
    assert client.error("evalAll", f'ver:"3.0"\nexpr\n"{quoted}"\n')[0] == "axon::SyntaxErr"
    assert client.server.history("k") == []


@pytest.mark.parametrize(
    ("kind", "val", "value"),
    [
        ("Str", '"a\\"b"', 'a"b'),
        ("Bool", "true", True),
        ("Number", "na()", NA),
        ("Number", "posInf()", float("inf")),
        ("Number", "-5", -5.0),
    ],
)
def test_eval_all_knows_every_kind_of_value(client, kind, val, value):
    client.server.modes.eval_all = True
    client.server.add(point("k", kind=kind))
    expr = f'hisWrite([{{ts: dateTime(2026-11-21, 15:00:00, "UTC"), val: {val}}}], @k)'
    quoted = expr.replace("\\", "\\\\").replace('"', '\\"')
    assert client.error("evalAll", f'ver:"3.0"\nexpr\n"{quoted}"\n') is None
    assert client.server.history("k") == [(TEN, value)]


# --- TLS, and by hand


def test_it_serves_tls_with_the_certificate_it_was_given():
    ca = trustme.CA()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    ca.issue_cert("127.0.0.1").configure_cert(serving)
    with HaystackServer(tls=serving) as server:
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            phable_client(server, trusting).__enter__()
        ca.configure_trust(trusting)
        with phable_client(server, trusting) as client:
            assert client.about()["whoami"] == "su"
        assert server.open_sessions == 0


def test_a_person_can_start_it_by_hand():
    args = [sys.executable, str(DATA.parent / "haystack_server.py"), "--port", "0", "--password", "x"]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        try:
            out = Output(process.stdout, "haystack_server.py")
            url = out.line().split(" ")[0]
            with open_haxall_client(url, "su", "x", content_type="zinc", ssl_context=CLEAR) as client:
                assert client.about()["projName"] == "demo"
            assert out.lines(5)[3].startswith("GET about ")
        finally:
            process.terminate()
