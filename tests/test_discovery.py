import contextlib
import os
import select
import threading
import time

import pytest

from speeddata.errors import HostError
from speeddata.interrupts import Stop
from speeddata.names import DISCOVERY
from speeddata.wire import announcement, interfaces
from speeddata.wire.announcement import ANY_CHANNEL, ROLE_QUERY, ROLE_RELAY, Announcement
from speeddata.wire.discovery import Discovery
from speeddata.wire.sockets import group_sockets

DEADLINE_S = 10
# The group is the same for all programs of this machine: tests listen for names of their own.
MINE = f"test_discovery_{os.getpid()}_"
SCHEMA = '{"type": "record", "name": "volts", "fields": [{"name": "time", "type": "long"}]}'


@pytest.fixture
def lo():
    return interfaces.named(["127.0.0.1"])


@pytest.fixture
def discovery(lo):
    with Discovery(lo) as discovery:
        yield discovery


@pytest.fixture
def relay(lo):
    (sock,) = group_sockets(lo, ttl=1)
    with contextlib.closing(sock):
        yield sock


def relay_says(name, **fields):
    return Announcement(ROLE_RELAY, MINE + name, announcement.new_session(), SCHEMA, fields)


def mine(heard):
    return [(said, address) for said, address in heard if said.channel.startswith(MINE)]


def listened(discovery, count, seconds=DEADLINE_S):
    """The first *count* announcements of this test that `listen` yields."""
    got = []
    for one in discovery.listen(seconds):
        got += mine([one])
        if len(got) == count:
            break
    return got


def test_announcements_are_heard_with_the_address_they_came_from(discovery, relay):
    said = [relay_says("volts", full="239.1.1.1:20001"), relay_says("amps")]
    for one in said:
        relay.sendto(announcement.encode(one), DISCOVERY.address)
    assert listened(discovery, 2) == [(one, relay.getsockname()) for one in said]


def test_what_waits_is_received_without_waiting(discovery, relay):
    assert mine(discovery.receive()) == []
    said = relay_says("volts")
    relay.sendto(announcement.encode(said), DISCOVERY.address)
    got, deadline = [], time.monotonic() + DEADLINE_S
    while not got and time.monotonic() < deadline:
        select.select([discovery], [], [], DEADLINE_S)
        got = mine(discovery.receive())
    assert got == [(said, relay.getsockname())]


def test_what_one_listening_left_over_the_next_one_gets(discovery, relay):
    said = [relay_says(name) for name in ("volts", "amps", "watts")]
    for one in said:
        relay.sendto(announcement.encode(one), DISCOVERY.address)
    assert [one for one, _ in listened(discovery, 1) + listened(discovery, 2)] == said


def test_hostile_datagrams_are_ignored(discovery, relay):
    whole = announcement.encode(relay_says("hostile"))
    hostile = [
        b"",
        b"Obj\x01",
        b"volts" * 13_000,
        whole[:-1],
        whole + b"\0",
        b"Obj\x01" + b"\xff" * 60_000,
        os.urandom(500),
    ]
    for datagram in hostile:
        relay.sendto(datagram, DISCOVERY.address)
    said = relay_says("honest")
    relay.sendto(announcement.encode(said), DISCOVERY.address)
    assert listened(discovery, 1) == [(said, relay.getsockname())]


@pytest.mark.parametrize("channel", [ANY_CHANNEL, MINE + "volts"], ids=["any", "volts"])
def test_a_question_is_heard_by_others_and_not_by_who_asked(lo, discovery, channel):
    with Discovery(lo) as asker:
        asker.query(channel)
        question = next(said for said, _ in discovery.listen(DEADLINE_S) if said.session == asker._session)
        assert (question.role, question.channel, question.schema_text) == (ROLE_QUERY, channel, '"null"')
        assert [said for said, _ in asker.receive() if said.session == asker._session] == []


def test_questions_leave_by_loopback_unless_other_interfaces_are_named(lo):
    elsewhere = interfaces.Interface("eth9", 99, "192.0.2.9", lo[0].network, True, False)
    with Discovery([elsewhere, *lo]) as discovery:
        assert discovery._asking == lo
    with Discovery([elsewhere, *lo], [elsewhere]) as discovery:
        assert discovery._asking == [elsewhere]
        with pytest.raises(HostError, match="eth9"):
            discovery.query()


def test_listening_ends_at_the_timeout(discovery):
    begin = time.monotonic()
    assert mine(discovery.listen(0.05)) == []
    assert 0.05 <= time.monotonic() - begin < DEADLINE_S


def test_listening_ends_when_asked_to_stop(lo):
    stop = Stop()
    with Discovery(lo, stop=stop) as discovery:
        timer = threading.Timer(0.05, stop.ask)
        timer.start()
        begin = time.monotonic()
        assert mine(discovery.listen(60)) == []
        assert time.monotonic() - begin < DEADLINE_S
        timer.join()
        assert list(discovery.listen(60)) == []


def test_a_flood_is_taken_in_parts(discovery, relay):
    for number in range(2000):
        relay.sendto(announcement.encode(relay_says(f"flood{number}")), DISCOVERY.address)
    calls = []
    while heard := discovery.receive():
        calls.append(len(mine(heard)))
    assert sum(calls) == 2000
    assert max(calls) <= 512
