"""Channels are found by what is announced, and a relay is one relay however many interfaces it has."""

from __future__ import annotations

import contextlib
import socket

import pytest
from by_hand import DISCOVERY, LOOPBACK, RIG_TEXT, announcement

from speeddata.errors import PeerError, UsageError
from speeddata.interrupts import Stop
from speeddata.sources import Wanted
from speeddata.watching import Watch
from speeddata.wire import finding, interfaces
from speeddata.wire.announcement import ROLE_RELAY
from speeddata.wire.discovery import Discovery


@pytest.fixture
def speaker():
    """`speaker(host, port)`: a socket that speaks to the discovery group; its method `says` announces."""
    with contextlib.ExitStack() as stack:

        def made(host=LOOPBACK, port=0):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind((host, port))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
            return sock

        yield made


@pytest.fixture
def discovery():
    with Discovery(interfaces.named([LOOPBACK])) as discovery:
        yield discovery


def says(sock, name, session="s1", full="239.1.1.1:20001", **more):
    said = {"channel": name, "session": session, "role": ROLE_RELAY, "state": "live", "full": full}
    said |= {"decimated": "239.1.1.2:20001", **more}
    sock.sendto(announcement(RIG_TEXT, **said), DISCOVERY)


# Two addresses of one loopback stand for two interfaces of a machine.


def test_a_relay_that_is_heard_by_two_interfaces_is_one(speaker, discovery, channel_name):
    first = speaker("127.0.0.2")
    second = speaker("127.0.0.1", first.getsockname()[1])
    says(first, channel_name)
    says(second, channel_name)
    found = finding.by_name(discovery, channel_name, Stop())
    assert found.address == first.getsockname()
    assert str(found.endpoint) == "239.1.1.1:20001"


@pytest.mark.parametrize("other", [{"session": "s2"}, {"full": "239.1.1.1:20002"}])
def test_two_relays_are_two_even_where_chance_gave_them_the_same_port(
    speaker, discovery, channel_name, other
):
    first = speaker("127.0.0.2")
    second = speaker("127.0.0.1", first.getsockname()[1])
    says(first, channel_name)
    says(second, channel_name, **other)
    with pytest.raises(UsageError, match="two relays serve it"):
        finding.by_name(discovery, channel_name, Stop())


def test_a_watch_does_not_take_the_interfaces_of_a_relay_for_relays(speaker, wait_for, channel_name):
    first = speaker("127.0.0.2")
    second = speaker("127.0.0.1", first.getsockname()[1])
    with Watch([channel_name], Wanted(on=[LOOPBACK]), Stop()) as watch:

        def said(rate):
            says(first, channel_name, rate_hz=rate)
            says(second, channel_name)
            says(first, channel_name, rate_hz=rate)
            return [each for each in watch.channels() if each.rate_hz == rate]

        for rate in range(1, 4):
            (state,) = wait_for(lambda rate=rate: said(rate))
            assert (state.problem, watch.failure) == ("", None)


@pytest.mark.parametrize(
    "full", ["[ff02::1]:20001", "[ff0e::1%lo]:20001", "127.0.0.1:20001", "239.1.1.3:25999"]
)
def test_what_is_announced_at_no_group_to_join_is_no_channel_and_harms_no_other(
    speaker, discovery, wait_for, channel_name, monkeypatch, full
):
    liar, honest = speaker(), speaker()
    with Watch([], Wanted(on=[LOOPBACK]), Stop()) as watch:

        def seen():
            says(liar, f"{channel_name}_false", full=full, decimated=full)
            says(honest, channel_name)
            return {each.name for each in watch.channels() if channel_name in each.name}

        wait_for(seen)
        for _ in range(3):
            assert (seen(), watch.failure) == ({channel_name}, None)
    monkeypatch.setattr(finding, "FIND_S", 0.1)
    says(liar, f"{channel_name}_false", full=full, decimated=full)
    with pytest.raises(PeerError, match="no relay announced it"):
        finding.by_name(discovery, f"{channel_name}_false", Stop())


def test_a_list_has_a_relay_once_by_the_least_of_its_addresses(speaker, channel_name, monkeypatch):
    first = speaker("127.0.0.2")
    second = speaker("127.0.0.1", first.getsockname()[1])
    stranger = speaker("127.0.0.3")
    asked = Discovery.query

    def answered(self, *args):
        asked(self, *args)
        for sock in (first, second, stranger):
            says(sock, channel_name)

    monkeypatch.setattr(Discovery, "query", answered)
    listed = [address for said, address in finding.survey([LOOPBACK]) if said.channel == channel_name]
    assert listed == [second.getsockname(), stranger.getsockname()]


def test_where_nobody_answers_a_list_waits_for_what_is_said_anyway(speaker, channel_name, monkeypatch):
    sock, waits = speaker(), []

    class Quiet(Discovery):
        """A network in which one relay speaks by itself, when nobody has answered."""

        def listen(self, seconds):
            waits.append(seconds)
            if len(waits) == 1:
                return
            says(sock, channel_name)
            for said, address in super().listen(seconds):
                if said.channel == channel_name:
                    yield said, address
                    return

    monkeypatch.setattr(finding, "Discovery", Quiet)
    ((said, address),) = finding.survey([LOOPBACK], 0.1, patience_s=5)
    assert (said.channel, address) == (channel_name, sock.getsockname())
    assert waits == [0.1, 4.9]
