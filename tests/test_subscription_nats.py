"""NATS JetStream: what every engine promises, and what becomes of it when the server fails."""

from __future__ import annotations

import contextlib
import gc
import threading

import pytest
import scripted_server
from brokers import nats_server, unused_tcp_port
from engine_contract import (
    WITHIN_S,
    Engine,
    EngineContract,
    numbers,
    stopped_within,
    take,
    texts,
    until_the_end,
)
from nats_by_hand import asked, published

from speeddata.errors import HostError, PeerError
from speeddata.subscription.engine import Busy, Denied, TooLarge, Unreachable

pytest.importorskip("nats", reason="nats-py is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def engine(server):
    return Engine(f"nats://127.0.0.1:{server.port}/SPEED", shared=True)


class TestNats(EngineContract):
    pass


# -- the server fails ----------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    """A server of the test's own, to be killed; `own(configuration)`."""
    with contextlib.ExitStack() as stack:
        yield lambda configuration="": stack.enter_context(nats_server(tmp_path / "own", configuration))


def at(server, more="", login="", stream="SPEED"):
    return Engine(f"nats://{login}127.0.0.1:{server.port}/{stream}{more}", shared=True)


def test_a_killed_server_loses_nothing_and_takes_nothing_twice(own):
    server = own()
    engine = at(server)
    with engine.outlet() as outlet, engine.inlet() as inlet:
        outlet.send(engine.messages(0, 20))
        inlet.acknowledge(take(inlet, 10))
        server.kill()
        with pytest.raises(Unreachable):
            outlet.send(engine.messages(10, 30))
        with pytest.raises(Unreachable):
            take(inlet, 100)
        server.start()
        outlet.send(engine.messages(10, 30))  # all again: ten of them are there
        received = set()  # what was acknowledged just before may come again: the server writes that late
        while not received >= set(numbers(10, 30)):
            received |= set(texts(inlet.fetch(100, WITHIN_S)))
    assert engine.bodies("other", 30) == numbers(0, 30)
    with engine.inlet("other") as inlet:
        assert len(take(inlet, 31, 1.0)) == 30


def test_a_server_that_is_killed_again_and_again_has_all_in_order(own):
    server = own()
    engine = at(server)
    over = threading.Event()

    def kill():
        for after in range(200, 1800, 400):
            while sent[0] < after and not over.wait(0.002):
                pass
            server.kill()
            server.start()

    sent = [0]
    killer = threading.Thread(target=kill)
    with engine.outlet() as outlet:
        killer.start()
        while sent[0] < 2000:
            with contextlib.suppress(Unreachable):
                outlet.send(engine.messages(sent[0], sent[0] + 50))
                sent[0] += 50
        over.set()
        killer.join()
    with engine.inlet() as inlet:
        received = []
        while len(received) < sent[0]:
            some = inlet.fetch(1000, WITHIN_S)
            received += texts(some)
            inlet.acknowledge(some)
    assert received == numbers(0, sent[0])


def test_a_frozen_server_is_unreachable_until_it_thaws(own, monkeypatch):
    monkeypatch.setattr("speeddata.subscription.engine_nats.ANSWER_S", 0.5)
    server = own()
    engine = at(server)
    with engine.outlet() as outlet:
        outlet.send(engine.messages(0, 5))
        server.freeze()
        try:
            with pytest.raises(Unreachable, match="no answer"):
                outlet.send(engine.messages(5, 10))
        finally:
            server.thaw()
        outlet.send(engine.messages(5, 10))
    assert engine.bodies("me", 10) == numbers(0, 10)


def test_the_wish_to_stop_ends_waiting_for_a_frozen_server_within_a_second_or_so(own):
    server = own()
    engine = at(server)
    with engine.outlet() as outlet, engine.inlet() as inlet:
        outlet.send(engine.messages(0, 5))
        received = take(inlet, 5)
        server.freeze()
        try:
            for wait in (
                lambda: outlet.send(engine.messages(5, 10)),
                lambda: inlet.acknowledge(received),
                engine.outlet,
            ):
                engine.stop.asked = False
                assert stopped_within(engine.stop, wait) < 5.0
        finally:
            server.thaw()


def test_a_server_that_is_not_there_is_told_as_unreachable():
    engine = Engine(f"nats://127.0.0.1:{unused_tcp_port()}/SPEED")
    with pytest.raises(Unreachable, match="refused") as told:
        engine.outlet()
    assert "\n" not in str(told.value)


def test_nothing_of_the_library_reaches_standard_error(own, capfd):
    server = own()
    engine = at(server)
    with engine.outlet() as outlet, engine.inlet() as inlet:
        outlet.send(engine.messages(0, 5))
        server.kill()
        with pytest.raises(Unreachable):
            outlet.send(engine.messages(5, 6))
        with pytest.raises(Unreachable):
            take(inlet, 100)
    gc.collect()
    assert capfd.readouterr() == ("", "")


def test_a_full_stream_is_told_and_goes_on_when_there_is_room(own):
    server = own()
    engine = at(server)
    asked(server, "STREAM.CREATE.SPEED", name="SPEED", subjects=["speeddata.>"], max_msgs=3, discard="new")
    with engine.outlet() as outlet:
        with pytest.raises(Unreachable, match="maximum messages exceeded"):
            outlet.send(engine.messages(0, 5))
        asked(server, "STREAM.PURGE.SPEED")
        outlet.send(engine.messages(2, 5))
    assert engine.bodies("me", 2) == numbers(3, 5)  # 2 is the window's: it had been taken


def test_the_size_that_a_stream_takes_is_kept_to(own):
    server = own()
    asked(server, "STREAM.CREATE.SPEED", name="SPEED", subjects=["speeddata.>"], max_msg_size=2000)
    engine = at(server)
    with engine.outlet() as outlet:
        with pytest.raises(TooLarge) as told:
            outlet.send([engine.message("a"), engine.message("x" * 2000, id="big"), engine.message("b")])
        assert told.value.id == "big"
        outlet.send([engine.message("b")])
    assert engine.bodies("me", 2) == ["a", "b"]


# -- streams -------------------------------------------------------------------------------------------------


def test_a_stream_is_made_on_disk_for_a_week_with_a_window_for_duplicates(own):
    server = own()
    with at(server).outlet():
        found = asked(server, "STREAM.INFO.SPEED")["config"]
    assert (found["subjects"], found["storage"]) == (["speeddata.>"], "file")
    assert (found["max_age"], found["duplicate_window"]) == (7 * 86400 * 10**9, 600 * 10**9)


def test_a_stream_that_is_not_to_be_made_is_waited_for_or_told(server):
    with pytest.raises(Unreachable, match="not there yet"):
        at(server, "?on-missing=wait", stream="NONE").outlet()
    with pytest.raises(PeerError, match="not there; make it") as told:
        at(server, "?on-missing=fail", stream="NONE").outlet()
    assert not isinstance(told.value, Unreachable)


def test_a_stream_whose_subjects_are_anothers_is_refused(own):
    server = own()
    with at(server).outlet():
        pass
    with pytest.raises(PeerError, match=r"another stream has subjects of speeddata\.>; name that"):
        at(server, stream="OTHER").outlet()
    with at(server, "?subject=other.{channel}", stream="OTHER").outlet():
        pass


def test_customers_of_one_stream_may_send_what_has_the_same_id(engine):
    with engine.outlet() as outlet:
        other = engine.topics()
        outlet.send([engine.message("1", id="same"), engine.message("2", id="same", topic=other)])
    assert engine.bodies("me", 1) == ["1"]
    assert engine.bodies("me", 1, topic=other) == ["2"]


def test_dots_in_names_do_not_mix_topics(engine):
    longer = f"{engine.topic}.more"
    with engine.outlet() as outlet:
        outlet.send([engine.message("1", key="a.b"), engine.message("2", topic=longer, key="b")])
        outlet.send([engine.message("3", key="")])
    with engine.inlet() as inlet:
        received = take(inlet, 2)
    assert [(one.key, one.body) for one in received] == [("a.b", b"1"), ("", b"3")]
    assert engine.bodies("me", 1, topic=longer) == ["2"]


def test_what_others_publish_is_handed_out_as_well(engine, server):
    with engine.outlet():
        published(server, f"speeddata.{engine.topic}.x", b"hello")
        with engine.inlet() as inlet:
            (received,) = take(inlet, 1)
    assert (received.id, received.topic, received.body) == ("", engine.topic, b"hello")


def test_a_consumer_keeps_its_mode(engine):
    with engine.inlet("me"), pytest.raises(Busy, match="exclusive"):
        engine.inlet("me", mode="shared")
    with engine.inlet("us", mode="shared"), pytest.raises(Busy, match="shared"):
        engine.inlet("us")


def test_a_consumer_that_somebody_deleted_is_told_and_made_again(engine, server, monkeypatch):
    monkeypatch.setattr("speeddata.subscription.nats_inlet._CHECK_S", 0.2)
    monkeypatch.setattr("speeddata.subscription.engine_nats.ANSWER_S", 2.0)
    engine.send(0, 3)
    for mode in ("exclusive", "shared"):
        with engine.inlet(mode, mode=mode) as inlet:
            inlet.acknowledge(take(inlet, 3))
            asked(server, f"CONSUMER.DELETE.SPEED.{engine.topic}+{mode}")
            with pytest.raises(Unreachable):
                take(inlet, 1)
            assert texts(take(inlet, 3)) == numbers(0, 3)


def test_what_is_there_and_does_not_come_is_told_and_no_end(engine, monkeypatch):
    monkeypatch.setattr("speeddata.subscription.nats_inlet.ANSWER_S", 1.0)
    engine.send(0, 3)
    with engine.inlet() as inlet:
        take(inlet, 1)
        with inlet._came:
            inlet._inbox = "elsewhere"  # so they go astray
            inlet._buffer.clear()
        engine.send(3, 5)
        inlet.until_now()
        with pytest.raises(Unreachable, match="messages of 'me' are there, and do not come"):
            until_the_end(inlet)


def test_messages_in_long_work_are_not_handed_to_another_member(engine, monkeypatch):
    monkeypatch.setattr("speeddata.subscription.nats_inlet._SHARED_WAIT_S", 0.6)
    engine.send(0, 2)
    with engine.inlet("team", mode="shared") as one, engine.inlet("team", mode="shared") as two:
        mine = take(one, 2)
        assert two.fetch(2, 1.5) == []
        one.acknowledge(mine[:1])
        one.give_back(mine[1:])
        assert texts(take(two, 1)) == ["1"]


# -- who may -------------------------------------------------------------------------------------------------


def test_a_password_that_is_renewed_lets_in_again(own, tmp_path):
    configuration = "authorization: {{ user: plant, password: {} }}"
    server = own(configuration.format("first"))
    engine = at(server, login="plant:first@")
    with engine.outlet() as outlet:
        outlet.send(engine.messages(0, 2))
        (tmp_path / "own" / "nats.conf").write_text(configuration.format("second"))
        server.kill()
        server.start()
        with pytest.raises((Unreachable, Denied)):
            outlet.send(engine.messages(2, 4))
        with pytest.raises(Denied) as told:
            outlet.send(engine.messages(2, 4))
    assert "first" not in str(told.value)
    renewed = at(server, login="plant:second@")
    renewed.topic = engine.topic
    renewed.send(2, 4)
    assert renewed.bodies("me", 4) == numbers(0, 4)


def test_a_token_lets_in_and_a_wrong_one_does_not(own):
    server = own("authorization: { token: s3cret }")
    at(server, login="s3cret@").send(0, 1)
    for login in ("other@", "", "s3cret:s3cret@"):
        with pytest.raises(Denied, match="Authorization Violation"):
            at(server, login=login).outlet()


def test_an_nkey_lets_in(own, tmp_path):
    nkeys = pytest.importorskip("nkeys")
    seed = b"SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"  # of the library's own documentation
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    server = own(f"authorization: {{ users: [ {{ nkey: {public} }} ] }}")
    (tmp_path / "seed").write_bytes(seed + b"\n")
    at(server, f"?creds={tmp_path}/seed").send(0, 1)
    with pytest.raises(Denied):
        at(server).outlet()
    with pytest.raises(HostError, match="No such file"):
        at(server, f"?creds={tmp_path}/none").outlet()


def test_a_right_that_is_missing_is_told_as_such(own, monkeypatch):
    monkeypatch.setattr("speeddata.subscription.engine_nats.ANSWER_S", 1.0)
    denied = "{ user: a, password: b, permissions: { publish: { deny: 'speeddata.>' } } }"
    engine = at(own(f"authorization: {{ users: [ {denied} ] }}"), login="a:b@")
    with engine.outlet() as outlet, pytest.raises(Denied, match=r"(?i)permissions violation"):
        outlet.send(engine.messages(0, 1))


def test_tls_is_verified_and_never_left_out(own, tmp_path):
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "own.pem"))
    server = own(f"tls: {{ cert_file: '{tmp_path}/own.pem', key_file: '{tmp_path}/own.pem' }}")
    there = f"localhost:{server.port}/SPEED"
    Engine(f"tls://{there}?ca={tmp_path}/ca.pem").send(0, 1)
    with pytest.raises(Unreachable, match="certificate"):
        Engine(f"tls://{there}").outlet()
    with pytest.raises(Unreachable, match="certificate"):
        Engine(f"tls://127.0.0.1:{server.port}/SPEED?ca={tmp_path}/ca.pem").outlet()


def test_no_password_goes_to_a_server_without_tls(tmp_path):
    authority = pytest.importorskip("trustme").CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    def greet(connection):
        connection.sendall(
            b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"headers":true}\r\n'
        )
        heard.append(connection.recv(65536))

    heard = []
    with scripted_server.Server(greet) as server, pytest.raises(Unreachable, match="offers no TLS"):
        Engine(f"tls://user:s3cret@127.0.0.1:{server.port}/SPEED?ca={tmp_path}/ca.pem").outlet()
    assert heard == [b""]
