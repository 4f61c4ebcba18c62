"""Azure Event Hubs by their connection string: a door of TLS and SASL before a broker of Kafka's protocol."""

from __future__ import annotations

import logging
import secrets
import ssl
import time

import pytest
from brokers import kafka_broker, unused_tcp_port
from engine_contract import Engine, numbers, take, texts
from saslfront import Front

from speeddata.errors import PeerError
from speeddata.subscription.destinations import Destination
from speeddata.subscription.engine import Denied, Unreachable
from speeddata.subscription.kafka_line import Complaints, library, made, settings

pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")
trustme = pytest.importorskip("trustme")

KEY = "b2xkIGtleSwgNDQgY2hhcmFjdGVycyBsaWtlIEF6dXJlJ3M="
RENEWED = "bmV3IGtleSwgNDQgY2hhcmFjdGVycyBsaWtlIEF6dXJlJ3M="


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    authority = trustme.CA()
    authority.path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(authority.path))
    return authority


@pytest.fixture(scope="module")
def door(authority, tmp_path_factory):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    port = unused_tcp_port()  # clients find the broker at the door only
    with (
        kafka_broker(tmp_path_factory.mktemp("hub"), f"localhost:{port}") as broker,
        Front(context, broker.port, KEY).open(port) as front,
    ):
        yield front


@pytest.fixture(autouse=True)
def swift(monkeypatch):
    """The broker here lets a group be joined after half the time that it gives a silent member."""
    monkeypatch.setattr("speeddata.subscription.kafka_inlet.EVENT_HUBS_SESSION_MS", 6_000)


@pytest.fixture
def front(door):
    door.key = KEY
    door.logins.clear()
    return door


@pytest.fixture
def string(front, authority):
    """`string(hub, key)`: as it is copied from Azure, but for the port and whom to trust."""

    def text(hub, key=KEY, *, ca=True):
        given = f"Endpoint=sb://localhost:{front.port}/;SharedAccessKeyName=writer;SharedAccessKey={key}"
        return f"{given};EntityPath={hub}" + (f";Ca={authority.path}" if ca else "")

    return text


@pytest.fixture
def hub(string):
    """The name of a new hub; made behind the program's back, as by Azure's portal."""
    from confluent_kafka.admin import AdminClient, NewTopic

    destination = Destination.parse(string("any"))
    admin = made(AdminClient, settings(destination), Complaints(destination))
    name = f"hub-{secrets.token_hex(4)}"
    admin.create_topics([NewTopic(name, 4, 1)])[name].result(20)
    return name


def engine_of(text):
    return Engine(text, shared=True, drops=False, refuses=False)


def test_the_string_from_azure_is_all_it_takes(string, hub, front):
    engine = engine_of(string(hub))
    with engine.inlet(position=None) as inlet, engine.outlet() as outlet:
        sequences = outlet.send(engine.messages(0, 50))
        received = take(inlet, 50)
        assert texts(received) == numbers(0, 50)
        assert [one.sequence for one in received] == sequences
    assert set(front.logins) == {
        ("$ConnectionString", string(hub, ca=False)),
        ("$ConnectionString", string("any", ca=False)),
    }


def test_a_wrong_key_is_told_at_once_without_it(string, hub, caplog):
    caplog.set_level(logging.DEBUG)
    wrong = "d3Jvbmcga2V5"
    engine = engine_of(string(hub, wrong))
    for opened in (engine.outlet, engine.inlet):
        begin = time.monotonic()
        with pytest.raises(Denied) as told:
            opened()
        assert time.monotonic() - begin < 8.0
        assert "Invalid SharedAccessKey" in str(told.value)
        assert wrong not in str(told.value)
        assert "\n" not in str(told.value)
    assert wrong not in caplog.text


def test_a_wrong_key_does_not_knock_again_and_again(string, hub, front):
    engine = engine_of(string(hub, "d3Jvbmc="))
    front.logins.clear()
    with pytest.raises(Denied):
        engine.outlet()
    assert len(front.logins) <= 3


def test_a_key_renewed_meanwhile_lets_everything_in(string, hub, front):
    engine = engine_of(string(hub))
    with engine.outlet() as outlet:
        outlet.send(engine.messages(0, 5))
    front.key = RENEWED
    with pytest.raises(Denied):
        engine.outlet()
    renewed = engine_of(string(hub, RENEWED))
    renewed.topic = engine.topic
    with renewed.outlet() as outlet:
        outlet.send(engine.messages(5, 10))
    with renewed.inlet() as inlet:
        got = take(inlet, 10)
    assert sorted(texts(got), key=int) == numbers(0, 10)


def test_a_hub_that_is_not_there_is_not_made(string):
    with pytest.raises(PeerError, match="the topic is not there; make it") as told:
        engine_of(string("nowhere")).outlet()
    assert not isinstance(told.value, Unreachable | Denied)


def test_a_certificate_of_another_authority_is_refused(string, hub, front):
    front.logins.clear()
    with pytest.raises(Unreachable, match="certificate"):
        engine_of(string(hub, ca=False)).outlet()
    # no password for who is not Azure; a client of another test may still be at the door
    assert not [login for login in front.logins if f"EntityPath={hub}" in str(login)]


def test_its_settings_are_those_that_microsoft_asks_for(string):
    found = settings(Destination.parse(string("plant")))
    assert found["security.protocol"] == "sasl_ssl"
    assert found["message.max.bytes"] < 1_046_528
    assert found["socket.keepalive.enable"] is True
    assert found["metadata.max.age.ms"] < 240_000
    made(library().Producer, found, Complaints(Destination.parse(string("plant"))))
