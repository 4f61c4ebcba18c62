"""A live channel inside a process: what is held, what is refused, and an end that always comes."""

from __future__ import annotations

import itertools
import socket
import threading

import pytest
from by_hand import BULK_TEXT, DISCOVERY, LOOPBACK, RIG_TEXT, Source, announcement, bulk, rig

from speeddata.avro import schema
from speeddata.errors import DataError, HostError, UsageError
from speeddata.interrupts import Stop
from speeddata.names import Endpoint
from speeddata.wire.announcement import parse
from speeddata.wire.finding import Found
from speeddata.wire.live import LiveChannel


@pytest.fixture
def source():
    """`source(name, port)`: a source by hand, closed when the test ends."""
    made = []

    def make(name: str, port: int, **how: str) -> Source:
        made.append(Source(name, port, **how))
        return made[-1]

    yield make
    for each in made:
        each.sock.close()


def taken(live: LiveChannel, count: int) -> list[bytes]:
    """The next *count* datums, as they were sent."""
    datums: list[bytes] = []
    for batch in live:
        bounds = batch.offsets.tolist()
        datums += [batch.data[start:end] for start, end in itertools.pairwise(bounds)]
        if len(datums) >= count:
            return datums
    return datums


def test_what_has_arrived_before_the_end_is_still_handed_out(source, free_port):
    port, stop = free_port(), Stop()
    with LiveChannel(Endpoint(LOOPBACK, port), stop, schema=schema.parse(RIG_TEXT)) as live:
        source("", port).say(*rig(range(100)))
        stop.ask()
        assert taken(live, 1000) == rig(range(100))
        assert (live.dropped, live.dropped_kernel) == (0, 0)


def test_datums_wait_until_their_source_says_who_it_is(source, free_port, channel_name):
    port = free_port()
    with LiveChannel(Endpoint(LOOPBACK, port), Stop()) as live:
        sender = source(channel_name, port)
        sender.send(rig(range(5)))
        sender.announce()
        sender.send(rig(range(5, 9)))
        assert taken(live, 9) == rig(range(9))
        assert live.channel == channel_name


@pytest.mark.parametrize(
    ("schema_text", "wrong", "why"),
    [(BULK_TEXT, UsageError, "two channels arrive"), ("[]", DataError, "announced by 127.0.0.1:")],
)
def test_what_cannot_be_one_channel_ends_it_and_is_told(
    source, free_port, channel_name, schema_text, wrong, why
):
    port = free_port()
    with LiveChannel(Endpoint(LOOPBACK, port), Stop()) as live:
        first = source(channel_name, port)
        if wrong is UsageError:
            first.announce()
            first.send(rig(range(3)))
        source(f"{channel_name}2", port, schema_text=schema_text).announce()
        with pytest.raises(wrong, match=why):
            taken(live, 1000)


def test_a_new_session_with_a_new_schema_is_handed_out_under_it(source, free_port, channel_name):
    port = free_port()
    with LiveChannel(Endpoint(LOOPBACK, port), Stop()) as live:
        first = source(channel_name, port)
        first.announce()
        first.send(rig(range(3)))
        first.end()
        second = source(channel_name, port, schema_text=BULK_TEXT)
        second.announce()
        second.send(bulk(range(2), 5))
        batches = []
        for batch in live:
            batches.append(batch)
            if sum(each.count for each in batches) == 5:
                break
        found = {name: b"".join(b.data for b in batches if b.schema.name == name) for name in ("rig", "bulk")}
        assert found == {"rig": b"".join(rig(range(3))), "bulk": b"".join(bulk(range(2), 5))}


def test_datums_around_a_change_of_schema_are_each_handed_out_under_their_own(free_port, channel_name):
    full = ("239.1.1.1", free_port())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as relay:
        relay.bind((LOOPBACK, 0))
        relay.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
        said = {"channel": channel_name, "session": "x", "role": "relay", "full": f"{full[0]}:{full[1]}"}
        texts = (RIG_TEXT, BULK_TEXT)

        found = Found(parse(announcement(RIG_TEXT, **said)), relay.getsockname(), Endpoint(*full))
        stop = Stop()
        with stop.after(20), LiveChannel(found, stop, on=[LOOPBACK]) as live:
            batches = iter(live)
            for number in range(30):
                datums = [rig([number]), bulk([number], 5)]
                before, after = number % 2, (number + 1) % 2
                relay.sendto(datums[before][0], full)  # on its way still when the schema changes
                relay.sendto(announcement(texts[after], **said), DISCOVERY)
                relay.sendto(datums[after][0], full)
                got = [next(batches), next(batches)]
                assert [batch.data for batch in got] == [datums[before][0], datums[after][0]]
                assert [batch.schema.text for batch in got] == [texts[before], texts[after]]


def test_leaving_it_ends_the_reception_also_while_nothing_is_taken(source, free_port):
    port = free_port()
    with LiveChannel(Endpoint(LOOPBACK, port), Stop(), schema=schema.parse(RIG_TEXT)):
        source("", port).say(*rig(range(10)))
    assert not [thread for thread in threading.enumerate() if thread.name == "live"]


def test_a_stop_ends_the_search_for_a_channel_without_a_word(channel_name):
    stop = Stop()
    stop.ask()
    with LiveChannel(channel_name, stop) as live:
        assert list(live) == []


def test_a_port_that_somebody_listens_on_is_refused(free_port):
    place = Endpoint(LOOPBACK, free_port())
    with (
        LiveChannel(place, Stop(), schema=schema.parse(RIG_TEXT)),
        pytest.raises(HostError, match="port in use"),
        LiveChannel(place, Stop(), schema=schema.parse(RIG_TEXT)),
    ):
        pass
