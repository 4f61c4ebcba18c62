"""An independent server shows what it was chosen for: SCRAM, single writes, and a batch that it forgets."""

from __future__ import annotations

import base64
import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import fastavro
import pytest
from independent_haystack import haystack_py  # noqa: F401
from scramp import ScramClient

POINT = {"point": None, "his": None, "kind": "Number", "tz": "UTC"}
TIME = {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}}
VOLTS, NOTE = {"name": "volts", "type": "double"}, {"name": "note", "type": "string"}
SCHEMA = fastavro.parse_schema({"type": "record", "name": "rig", "fields": [TIME, VOLTS, NOTE]})
S = 1_000_000_000
THREE = 1_795_273_200 * S  # 2026-11-21T15:00:00Z
ROW = "2026-11-21T15:00:00Z UTC,1.5\n"


def asked(server, op, authorization, body=None):
    """The answer's status, headers and text."""
    headers = {"Authorization": authorization, "Content-Type": "text/zinc", "Accept": "text/zinc"}
    try:
        with urlopen(Request(f"{server.url}/{op}", body and body.encode(), headers), timeout=20) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except HTTPError as exc:
        return exc.code, exc.headers, exc.read().decode()


def encoded(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parameter(header, name):
    parts = header.removeprefix("SCRAM ").split(", ")
    return next(part.removeprefix(f"{name}=") for part in parts if part.startswith(f"{name}="))


def token(server, password=None):
    """What a login by SCRAM gives."""
    scram = ScramClient(["SCRAM-SHA-256"], server.user, password or server.password)
    _, headers, _ = asked(server, "about", f"HELLO username={encoded(server.user)}")
    handshake = parameter(headers["WWW-Authenticate"], "handshakeToken")
    first = encoded(scram.get_client_first())
    _, headers, _ = asked(server, "about", f"SCRAM handshakeToken={handshake}, data={first}")
    data = parameter(headers["WWW-Authenticate"], "data")
    scram.set_server_first(base64.urlsafe_b64decode(data + "==").decode())
    handshake = parameter(headers["WWW-Authenticate"], "handshakeToken")
    final = encoded(scram.get_client_final())
    status, headers, _ = asked(server, "about", f"SCRAM handshakeToken={handshake}, data={final}")
    if status != 200:
        return status
    signed = parameter(headers["Authentication-Info"], "data")
    scram.set_server_final(base64.urlsafe_b64decode(signed + "==").decode())
    return "BEARER authToken=" + parameter(headers["Authentication-Info"], "authToken")


@pytest.fixture(scope="module")
def server(haystack_py):  # noqa: F811
    return haystack_py(*({"id": id, "dis": id.upper(), **POINT} for id in ("p1", "p2")))


def test_it_is_on_this_machine_only_and_knows_its_user_by_scram(server):
    assert server.url.startswith("http://127.0.0.1:")
    status, _, text = asked(server, "about", token(server))
    assert (status, text[:10]) == (200, 'ver:"3.0"\n')
    assert token(server, "wrong") == 403
    assert asked(server, "about", "BEARER authToken=wrong")[0] == 401


def test_it_takes_a_single_write_and_keeps_what_comes_twice(server):
    bearer = token(server)
    for _ in range(2):
        status, _, text = asked(server, "hisWrite", bearer, f'ver:"3.0" id:@p1\nts,val\n{ROW}')
        assert (status, "err" in text) == (200, False)
    assert server.history("p1") == [(THREE, 1.5)] * 2


def test_it_answers_well_to_a_batch_and_forgets_it(server):
    status, _, text = asked(server, "hisWrite", token(server), f'ver:"3.0"\nts,v0 id:@p2\n{ROW}')
    assert (status, "err" in text) == (200, False)
    assert server.history("p2") == []


def test_its_sessions_are_closed_by_get_only(server):
    bearer = token(server)
    assert asked(server, "close", bearer, 'ver:"3.0"\nempty\n')[0] == 405
    assert asked(server, "close", bearer)[0] == 200
    assert asked(server, "about", bearer)[0] == 200  # and not even so


def test_it_reads_points_by_id_and_by_filter(server):
    bearer = token(server)
    for body in ('ver:"3.0"\nid\n@p1\n', 'ver:"3.0"\nfilter\n"point and his"\n'):
        assert "@p1" in asked(server, "read", bearer, body)[2]


def test_hxpush_writes_every_sample_to_it_once_by_single_writes(haystack_py, run, tmp_path):  # noqa: F811
    keys = {"volts": "Number", "note": "Str"}
    points = [
        {"id": name, "dis": name, **POINT, "kind": kind, "speeddataKey": f"rig.{name}"}
        for name, kind in keys.items()
    ]
    server = haystack_py(*points)
    rows = [{"time": THREE + n * S - 10**17, "volts": n / 4, "note": f"é{n}"} for n in range(30)]
    container = tmp_path / "rig.avro"
    with container.open("wb") as file:
        fastavro.writer(file, SCHEMA, rows, metadata={"speeddata.channel": "rig"})
    args = ("hxpush", container, "--url", server.url, "--user", server.user, "--state", tmp_path / "state")
    env = {"SPEEDDATA_HX_PASSWORD": server.password}
    for wanted in (60, 0):
        status, out, err = run(*args, "--json", env=env)
        assert (status, json.loads(out or "{}").get("samples")) == (0, wanted), err
    times = [row["time"] for row in rows]
    for name in keys:
        stored = dict(server.history(name))
        assert sorted(stored) == times
        assert [stored[time] for time in times] == [row[name] for row in rows]
