"""Kafka's protocol: what every engine promises, and what becomes of it when the broker fails."""

from __future__ import annotations

import gc
import secrets
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from brokers import kafka_broker, unused_tcp_port
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

from speeddata.errors import PeerError, UsageError
from speeddata.subscription.engine import Position, TooLarge, Unreachable
from speeddata.subscription.kafka_inlet import _Partition

confluent_kafka = pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, kafka_broker(tmp_path_factory.mktemp("kafka")) as broker:
        # this one lets a group be joined after half the time that it gives a silent member
        patch.setattr("speeddata.subscription.kafka_inlet.SESSION_MS", 6_000)
        yield broker


def engine_of(broker):
    text = f"kafka://127.0.0.1:{broker.port}/t{secrets.token_hex(4)}"
    return Engine(text, shared=True, drops=False, refuses=False, most_bytes=1_000_000, surplus=10**6)


@pytest.fixture
def engine(broker):
    return engine_of(broker)


class KafkaContract(EngineContract):
    def test_end_begins_with_what_comes(self, engine):
        # this broker counts a batch as one where it tells the end, so each message is a batch here
        with engine.outlet() as outlet:
            for message in engine.messages(0, 5):
                outlet.send([message])
        with engine.inlet(position=Position("end")) as inlet:
            assert inlet.fetch(1, 0.0) == []
            engine.send(5, 8)
            assert texts(take(inlet, 3)) == numbers(5, 8)

    def test_what_others_produce_is_handed_out_as_well(self, engine):
        with engine.outlet():
            pass
        server, _, topic = engine.text.removeprefix("kafka://").partition("/")
        producer = confluent_kafka.Producer({"bootstrap.servers": server})
        producer.produce(topic, b"hello", b"key")
        assert producer.flush(20) == 0
        with engine.inlet() as inlet:
            (received,) = take(inlet, 1)
        assert (received.id, received.topic, received.key) == ("", engine.topic, "key")

    def test_a_consumer_whose_broker_dies_says_so(self, engine):
        with tempfile.TemporaryDirectory() as directory, kafka_broker(Path(directory)) as own:
            engine = engine_of(own)
            engine.send(0, 5)
            with engine.inlet() as inlet:
                assert texts(take(inlet, 5)) == numbers(0, 5)
                own.kill()
                with pytest.raises(Unreachable):
                    take(inlet, 1)


PROMISES = [name for name in dir(KafkaContract) if name.startswith("test_")]


def test_kafka_keeps_what_every_engine_promises(broker):
    # side by side: joining a group is some seconds of waiting each time
    with ThreadPoolExecutor(len(PROMISES)) as pool:
        kept = {name: pool.submit(getattr(KafkaContract(), name), engine_of(broker)) for name in PROMISES}
    broken = []
    for name, promise in kept.items():
        exc = promise.exception()
        if exc is not None and not isinstance(exc, pytest.skip.Exception):
            exc.add_note(name)
            broken.append(exc)
    if broken:
        raise BaseExceptionGroup("promises that are not kept", broken)


def read(engine, enough):
    """What is in the topic, read without a group; until it is *enough*."""
    server, _, topic = engine.text.removeprefix("kafka://").partition("/")
    consumer = confluent_kafka.Consumer({"bootstrap.servers": server, "group.id": "reader"})
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    consumer.assign([confluent_kafka.TopicPartition(topic, number, 0) for number in partitions])
    found = []
    end = time.monotonic() + WITHIN_S
    while not enough(found) and time.monotonic() < end:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            found.append(message.value())
    consumer.close()
    return found


# -- the broker fails ----------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    """A broker of the test's own, to be frozen or killed."""
    with kafka_broker(tmp_path) as broker:
        yield broker


def test_a_frozen_broker_is_unreachable_until_it_thaws(own, monkeypatch):
    monkeypatch.setattr("speeddata.subscription.engine_kafka.SEND_S", 1.0)
    engine = engine_of(own)
    with engine.outlet() as outlet:
        outlet.send(engine.messages(0, 5))
        own.freeze()
        try:
            with pytest.raises(Unreachable):
                outlet.send(engine.messages(5, 10))
        finally:
            own.thaw()
        monkeypatch.setattr("speeddata.subscription.engine_kafka.SEND_S", 30.0)
        outlet.send(engine.messages(5, 10))
    found = read(engine, lambda found: b"9" in found)
    assert list(dict.fromkeys(found)) == [str(number).encode() for number in range(10)]


def test_a_killed_broker_is_unreachable_until_it_is_back(own, monkeypatch, capfd):
    monkeypatch.setattr("speeddata.subscription.engine_kafka.SEND_S", 1.0)
    engine = engine_of(own)
    with engine.outlet() as outlet:
        outlet.send(engine.messages(0, 5))
        own.kill()
        for _ in range(2):
            begin = time.monotonic()
            with pytest.raises(Unreachable, match=r"refused|down|Disconnected") as told:
                outlet.send(engine.messages(5, 10))
            assert time.monotonic() - begin < 15.0
            assert "\n" not in str(told.value)
        own.start()  # with nothing in it: this broker has no disk
        outlet.send(engine.messages(5, 10))
    gc.collect()
    assert capfd.readouterr() == ("", "")
    assert read(engine, lambda found: len(found) >= 5) == [b"5", b"6", b"7", b"8", b"9"]


def test_a_broker_that_is_not_there_is_told_as_unreachable():
    engine = Engine(f"kafka://127.0.0.1:{unused_tcp_port()}/topic")
    for opened in (engine.outlet, engine.inlet):
        with pytest.raises(Unreachable, match="refused"):
            opened()


class Late:
    """A producer that has seen all the consequences when it is given up."""

    def __init__(self, producer):
        self.producer = producer

    def __getattr__(self, name):
        return getattr(self.producer, name)

    def flush(self, seconds):
        return self.producer.flush(seconds or WITHIN_S)


def test_giving_up_what_is_under_way_hides_no_error_and_the_next_send_works(own, monkeypatch):
    monkeypatch.setattr("speeddata.subscription.engine_kafka.SEND_S", 1.0)
    engine = engine_of(own)
    with engine.outlet() as outlet:
        outlet.send(engine.messages(0, 5))
        outlet._producer = Late(outlet._producer)
        own.freeze()
        try:
            with pytest.raises(Unreachable, match="no acknowledgement within the time"):
                outlet.send(engine.messages(5, 10))
            assert outlet._producer is None
        finally:
            own.thaw()
        monkeypatch.setattr("speeddata.subscription.engine_kafka.SEND_S", WITHIN_S)
        outlet.send(engine.messages(5, 10))
    found = read(engine, lambda found: b"9" in found)
    assert list(dict.fromkeys(found)) == [str(number).encode() for number in range(10)]


class Dying:
    """A producer that ends for good while messages are on their way; *reports* of their delivery follow."""

    def __init__(self, producer, *reports):
        self.producer, self.reports, self.told = producer, list(reports), None

    def __getattr__(self, name):
        return getattr(self.producer, name)

    def produce(self, *args, on_delivery, **more):
        self.told = on_delivery

    def flush(self, seconds):
        if self.reports:
            report = self.reports.pop(0)
            if isinstance(report, SystemError):
                raise report from fatal()
            if isinstance(report, Exception):
                raise report
            self.told(report, None)
        return 0


def fatal():
    error = confluent_kafka.KafkaError(confluent_kafka.KafkaError._GAPLESS_GUARANTEE, "no gap", fatal=True)
    return confluent_kafka.KafkaException(error)


def test_a_producer_that_ended_for_good_is_told_in_our_words_and_replaced(engine, monkeypatch):
    monkeypatch.setattr("speeddata.subscription.engine_kafka._REPORT_S", 0.1)
    with engine.outlet() as outlet:
        for told in (fatal(), SystemError("result with an exception set")):
            outlet._producer = Dying(outlet._opened(), told)
            with pytest.raises(Unreachable, match="no gap"):
                outlet.send(engine.messages(0, 1))
        outlet.send(engine.messages(0, 1))
    assert read(engine, lambda found: len(found) >= 1) == [b"0"]


def test_what_the_broker_finds_too_large_is_told_as_such_although_the_producer_ends_of_it(engine):
    refusal = confluent_kafka.KafkaError(confluent_kafka.KafkaError.MSG_SIZE_TOO_LARGE)
    with engine.outlet() as outlet:
        dying = [fatal(), SystemError("result with an exception set"), refusal]
        outlet._producer = Dying(outlet._producer, *dying)
        outlet._opened = lambda: outlet._producer or Dying(None, *dying)
        with pytest.raises(TooLarge) as told:
            outlet.send(engine.messages(0, 1))
        assert told.value.id == "id-0"
        del outlet._opened
        outlet._producer = None
        outlet.send(engine.messages(1, 2))


def test_the_wish_to_stop_ends_waiting_for_a_frozen_broker_within_a_second_or_so(own, monkeypatch):
    monkeypatch.setattr("speeddata.subscription.kafka_inlet.SESSION_MS", 6_000)
    engine = engine_of(own)
    with engine.outlet() as outlet, engine.inlet() as inlet:
        outlet.send(engine.messages(0, 5))
        received = take(inlet, 5)
        own.freeze()
        try:
            asked_s = stopped_within(engine.stop, lambda: outlet.send(engine.messages(5, 10)))
            begin = time.monotonic()
            inlet.acknowledge(received)
            inlet.close()
            assert (asked_s < 5.0, time.monotonic() - begin < 5.0) == (True, True)
        finally:
            own.thaw()


def test_a_group_that_lets_nobody_in_is_told_and_no_end(engine, monkeypatch):
    monkeypatch.setattr("speeddata.subscription.kafka_inlet._JOIN_S", 0.1)
    with engine.inlet(mode="shared") as inlet:
        inlet.until_now()
        with pytest.raises(Unreachable, match="the group does not let us in"):
            until_the_end(inlet)


# -- topics and settings -------------------------------------------------------------------------------------


def test_a_topic_that_is_not_to_be_made_is_waited_for_or_told(broker):
    text = engine_of(broker).text
    with pytest.raises(Unreachable, match="not there yet"):
        Engine(f"{text}?on-missing=wait").outlet()
    with pytest.raises(PeerError, match="not there; make it") as told:
        Engine(f"{text}?on-missing=fail").outlet()
    assert not isinstance(told.value, Unreachable)


def test_settings_that_there_are_not_are_told(broker):
    with pytest.raises(UsageError, match=r"no\.such\.thing"):
        Engine(f"{engine_of(broker).text}?x.no.such.thing=1").outlet()


@pytest.mark.parametrize("text", ["5", "a:1", "1:-1", "1:2:3", ""])
def test_a_sequence_is_a_partition_and_an_offset(engine, text):
    with pytest.raises(UsageError, match="write PARTITION:OFFSET"):
        engine.inlet(position=Position("sequence", sequence=text))


def test_a_partition_counts_as_done_up_to_what_is_not():
    partition = _Partition()
    assert [partition.takes(offset) for offset in (5, 6, 7)] == [True] * 3
    assert partition.done == 5
    partition.out.discard(6)
    assert partition.done == 5
    partition.out.discard(5)
    assert partition.done == 7
    partition.back.add(7)
    assert [partition.takes(offset) for offset in (6, 7, 8)] == [False, True, True]
    partition.out -= {7, 8}
    assert partition.done == 9


# -- the library's own cluster, which keeps little and is old ------------------------------------------------


def test_the_mock_cluster_takes_and_gives_as_well():
    cluster = confluent_kafka.Producer(
        {"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0}
    )
    (server,) = [f"{one.host}:{one.port}" for one in cluster.list_topics(timeout=20).brokers.values()]
    cluster.list_topics("topic", timeout=20)  # which makes it: the cluster has no other way
    engine = Engine(f"kafka://{server}/topic", shared=True, drops=False, refuses=False)
    with engine.inlet(mode="shared") as inlet:
        engine.send(0, 20)
        received = take(inlet, 20)
        assert texts(received) == numbers(0, 20)
        inlet.acknowledge(received)
