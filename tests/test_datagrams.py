import errno
import itertools
import logging
import select
import socket
import subprocess
import sys
import textwrap
import time
import tracemalloc

import numpy as np
import pytest
from by_hand import has_ipv6
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speeddata.names import Endpoint
from speeddata.wire import interfaces, linux_datagrams
from speeddata.wire.datagrams import MAX_DATUM, Receiver, Sender, group_sockets, listen, unicast_socket

DEADLINE_S = 10
LOOPBACK = "127.0.0.1"

on_linux = pytest.mark.skipif(not linux_datagrams.AVAILABLE, reason="only Linux can do that")

# How a receiver takes, how a sender sends: whatever meets, the same datagrams come out.
TAKING = {
    "takes trains": {"coalesced": True},
    "takes single datagrams": {"coalesced": False},
    "takes the plain way": {"native": False},
}
SENDING = {
    "sends trains": {"segmented": True},
    "sends single datagrams": {"segmented": False},
    "sends the plain way": {"native": False},
}


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))
        return sock.getsockname()[1]


@pytest.fixture
def opened():
    things = []
    yield lambda thing: things.append(thing) or thing
    for thing in things:
        thing.close()


@pytest.fixture
def lo():
    return interfaces.named([LOOPBACK])


@pytest.fixture(params=["unicast", "group"])
def endpoint(request):
    return Endpoint(LOOPBACK if request.param == "unicast" else "239.255.77.1", free_port())


def receiver_at(endpoint, **options):
    return Receiver(listen(endpoint, interfaces=interfaces.named([LOOPBACK])), **options)


def sender_to(endpoint, **options):
    if endpoint.is_group:
        return Sender(group_sockets(interfaces.named([LOOPBACK]), ttl=1), **options)
    return Sender([unicast_socket(endpoint)], **options)


def joined(datums):
    return b"".join(datums), np.cumsum([0, *map(len, datums)])


def cut(arrival):
    bounds = arrival.offsets.tolist()
    return [arrival.data[a:b] for a, b in itertools.pairwise(bounds)]


def collect(receiver, count):
    """The datagrams that arrive, by address, until they are *count*; fails after the deadline."""
    got, total = {}, 0
    poll = select.poll()
    poll.register(receiver, select.POLLIN)
    deadline = time.monotonic() + DEADLINE_S
    while total < count:
        assert poll.poll((deadline - time.monotonic()) * 1000), f"{total} of {count} arrived"
        for arrival in receiver.receive():
            assert arrival.offsets.dtype == np.int64
            assert (arrival.offsets[0], arrival.offsets[-1]) == (0, len(arrival.data))
            datums = cut(arrival)
            got.setdefault(arrival.address, []).extend(datums)
            total += len(datums)
    assert total == count
    return got


def numbered(sizes):
    """A datum for each size, no two alike that are long enough to differ."""
    return [(index.to_bytes(4, "big") * (size // 4 + 1))[:size] for index, size in enumerate(sizes)]


TRAFFIC = {
    "one": [64],
    "two": [64, 64],
    "equal": [64] * 1000,
    "large and equal": [809] * 300,
    "shorter at the end": [64] * 100 + [9],
    "longer at the end": [64] * 100 + [90],
    "a train and one": [64] * 65,
    "alternating": [27, 28] * 200,
    "falling by one": list(range(200, 0, -1)),
    "runs": [64] * 50 + [65] * 40 + [63] + [64] * 40 + [10, 20, 30] + [70] * 30 + [5],
    "nothing in it": [0],
    "nothing in them": [0] * 40,
    "nothing in some": [8, 8, 0, 8, 8, 8, 8, 8, 8, 0, 0, 8],
    "nothing at the end of a train": [8] * 20 + [0],
    "as large as can be": [MAX_DATUM, MAX_DATUM],
    "too large for trains": [40_000] * 5,
    "two to a train": [32_000] * 9 + [1],
}


@pytest.mark.parametrize("sizes", TRAFFIC.values(), ids=TRAFFIC.keys())
@pytest.mark.parametrize("sending", SENDING.values(), ids=SENDING.keys())
@pytest.mark.parametrize("taking", TAKING.values(), ids=TAKING.keys())
def test_what_is_sent_arrives_datum_for_datum(opened, endpoint, taking, sending, sizes):
    receiver = opened(receiver_at(endpoint, **taking))
    sender = opened(sender_to(endpoint, wait=True, **sending))
    datums = numbered(sizes)
    assert sender.send(*joined(datums), endpoint.address) == len(datums)
    assert list(collect(receiver, len(datums)).values()) == [datums]
    assert (sender.unsent, receiver.drops(), receiver.receive()) == (0, 0, [])


@pytest.mark.parametrize("taking", TAKING.values(), ids=TAKING.keys())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 70)), min_size=1, max_size=8))
def test_any_runs_of_sizes_arrive_datum_for_datum(taking, runs):
    endpoint = Endpoint(LOOPBACK, free_port())
    receiver, sender = receiver_at(endpoint, **taking), sender_to(endpoint, wait=True)
    try:
        datums = numbered([size for size, count in runs for _ in range(count)])
        sender.send(*joined(datums), endpoint.address)
        assert list(collect(receiver, len(datums)).values()) == [datums]
    finally:
        receiver.close()
        sender.close()


@pytest.mark.parametrize("sending", SENDING.values(), ids=SENDING.keys())
def test_offsets_may_begin_anywhere_in_the_data(opened, endpoint, sending):
    receiver, sender = opened(receiver_at(endpoint)), opened(sender_to(endpoint, wait=True, **sending))
    sender.send(b"__volts-amps-", np.array([2, 8, 13]), endpoint.address)
    sender.send(b"__abcdefgh__", np.array([2, 4, 6, 8, 10]), endpoint.address)
    assert list(collect(receiver, 6).values()) == [[b"volts-", b"amps-", b"ab", b"cd", b"ef", b"gh"]]


@pytest.mark.parametrize("sending", SENDING.values(), ids=SENDING.keys())
def test_no_datums_are_sent_as_nothing(opened, endpoint, sending):
    sender = opened(sender_to(endpoint, **sending))
    assert sender.send(b"", np.array([0]), endpoint.address) == 0


@pytest.mark.parametrize("taking", TAKING.values(), ids=TAKING.keys())
@pytest.mark.parametrize("size", [4, 900])
def test_each_address_is_one_arrival_with_its_datums_in_order(opened, endpoint, taking, size):
    receiver = opened(receiver_at(endpoint, **taking))
    senders = [opened(sender_to(endpoint, wait=True)) for _ in range(3)]
    sent = [[], [], []]
    for turn in range(10):
        for mine, sender in zip(sent, senders, strict=True):
            datums = numbered([size + len(mine)] * (1 + turn % 4))
            sender.send(*joined(datums), endpoint.address)
            mine += datums
    arrivals = receiver.receive()
    assert [cut(arrival) for arrival in arrivals] == sent
    ports = [sender.addresses[0][1] for sender in senders]
    assert [arrival.address for arrival in arrivals] == [(LOOPBACK, port) for port in ports]


@pytest.mark.parametrize("taking", TAKING.values(), ids=TAKING.keys())
def test_senders_of_equal_sizes_are_told_apart(opened, endpoint, taking):
    receiver = opened(receiver_at(endpoint, **taking))
    senders = [opened(sender_to(endpoint, wait=True)) for _ in range(3)]
    for turn in range(10):
        for number, sender in enumerate(senders):
            sender.send_one(b"%d after %d" % (turn, number), endpoint.address)
    expected = [[b"%d after %d" % (turn, number) for turn in range(10)] for number in range(3)]
    assert [cut(arrival) for arrival in receiver.receive()] == expected


@pytest.mark.parametrize("taking", TAKING.values(), ids=TAKING.keys())
def test_receiving_never_waits(opened, endpoint, taking):
    receiver = opened(receiver_at(endpoint, **taking))
    assert receiver.receive() == []
    assert not receiver.more


@pytest.mark.parametrize("taking", TAKING.values(), ids=TAKING.keys())
def test_a_receive_is_bounded_and_says_that_there_is_more(opened, monkeypatch, taking):
    assert linux_datagrams.boxes.inbox  # made with all its slots before the bound is lowered
    monkeypatch.setattr(linux_datagrams, "SLOTS", 8)
    monkeypatch.setattr("speeddata.wire.datagrams._PLAIN_DATAGRAMS", 8)
    endpoint = Endpoint(LOOPBACK, free_port())
    receiver = opened(receiver_at(endpoint, **taking))
    sender = opened(sender_to(endpoint, wait=True, segmented=False))
    sender.send(*joined(numbered([64] * 20)), endpoint.address)
    assert taken(receiver) == [(8, True), (8, True), (4, False)]


@on_linux
def test_of_what_is_large_less_is_taken_at_once(opened, monkeypatch):
    assert linux_datagrams.boxes.inbox
    monkeypatch.setattr("speeddata.wire.datagrams._FIRST_SLOTS", 2)
    monkeypatch.setattr("speeddata.wire.datagrams._LEAST_SLOTS", 2)
    monkeypatch.setattr("speeddata.wire.datagrams._BYTES", 6400)
    endpoint = Endpoint(LOOPBACK, free_port())
    receiver, sender = opened(receiver_at(endpoint)), opened(sender_to(endpoint, wait=True))
    for _ in range(16):
        sender.send(*joined(numbered([64] * 10)), endpoint.address)  # a train of 640 bytes: ten at once
    for datum in numbered([64] * 6):
        sender.send_one(datum, endpoint.address)
    assert taken(receiver) == [(20, True), (100, True), (46, True)]


def taken(receiver):
    calls = []
    while arrivals := receiver.receive():
        calls.append((sum(len(arrival.offsets) - 1 for arrival in arrivals), receiver.more))
    return calls


@pytest.mark.parametrize("taking", TAKING.values(), ids=TAKING.keys())
def test_a_closed_receiver_says_so(endpoint, taking):
    receiver = receiver_at(endpoint, **taking)
    receiver.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        receiver.receive()


@pytest.mark.parametrize("taking", TAKING.values(), ids=TAKING.keys())
def test_a_connected_receiver_hears_one_relay_only(opened, taking):
    endpoint = Endpoint("239.255.77.2", free_port())
    receiver = opened(receiver_at(endpoint, **taking))
    relay, stranger = opened(sender_to(endpoint)), opened(sender_to(endpoint))
    receiver.connect(relay.addresses[0])
    for sender in (stranger, relay, stranger, relay):
        sender.send_one(b"%d" % sender.addresses[0][1], endpoint.address)
    port = relay.addresses[0][1]
    assert collect(receiver, 2) == {(LOOPBACK, port): [b"%d" % port] * 2}
    assert receiver.receive() == []


@pytest.mark.parametrize("taking", TAKING.values(), ids=TAKING.keys())
def test_a_peer_that_refuses_does_not_end_the_reception(opened, taking):
    endpoint, nobody = Endpoint(LOOPBACK, free_port()), opened(socket.socket(type=socket.SOCK_DGRAM))
    nobody.bind((LOOPBACK, 0))
    peer = nobody.getsockname()
    sock = listen(endpoint, interfaces=[])
    receiver = opened(Receiver(sock, **taking))
    receiver.connect(peer)
    nobody.close()
    sock.send(b"is anybody there?")  # ICMP says no, which stays with the socket as ECONNREFUSED
    assert receiver.receive() == []
    with socket.socket(type=socket.SOCK_DGRAM) as somebody:
        somebody.bind(peer)
        sock.send(b"is anybody there?")
        somebody.sendto(b"here I am", endpoint.address)
    with socket.socket(type=socket.SOCK_DGRAM) as again:
        again.bind(peer)
    sock.send(b"gone again?")
    assert collect(receiver, 1) == {peer: [b"here I am"]}


def test_a_refusal_between_datagrams_loses_none_of_them(opened):
    class Refusing(socket.socket):
        answers = iter(
            [b"volts", ConnectionRefusedError(errno.ECONNREFUSED, "refused"), b"amps", BlockingIOError()]
        )

        def recvfrom(self, _size):
            answer = next(self.answers)
            if isinstance(answer, OSError):
                raise answer
            return answer, (LOOPBACK, 5000)

    receiver = opened(Receiver(Refusing(type=socket.SOCK_DGRAM), native=False))
    assert [cut(arrival) for arrival in receiver.receive()] == [[b"volts", b"amps"]]


@pytest.mark.parametrize("sending", SENDING.values(), ids=SENDING.keys())
@pytest.mark.parametrize("wait", [True, False])
def test_a_port_that_nobody_listens_on_is_no_error(opened, sending, wait):
    endpoint = Endpoint(LOOPBACK, free_port())
    sock = unicast_socket(endpoint)
    sock.connect(endpoint.address)  # so that the refusals come back to us
    sender = opened(Sender([sock], wait=wait, **sending))
    for _ in range(20):
        assert sender.send(*joined(numbered([64] * 3)), endpoint.address) == 3
        assert sender.send_one(b"announcement", endpoint.address) == 1
    assert sender.unsent == 0


@on_linux
@pytest.mark.parametrize("taking", TAKING.values(), ids=TAKING.keys())
@pytest.mark.parametrize("sending", SENDING.values(), ids=SENDING.keys())
def test_what_the_kernel_drops_is_counted_exactly_though_a_train_counts_once(opened, taking, sending):
    endpoint = Endpoint(LOOPBACK, free_port())
    receiver = opened(Receiver(listen(endpoint, interfaces=[], buffer_bytes=50_000), **taking))
    sender = opened(sender_to(endpoint, wait=True, **sending))
    sender.send(*joined(numbered([64] * 3000)), endpoint.address)
    got = 0
    while arrivals := receiver.receive():
        got += sum(len(arrival.offsets) - 1 for arrival in arrivals)
    assert 0 < got < 3000
    if taking.get("coalesced") and sending.get("segmented"):
        assert receiver.drops() == -(-3000 // 64) - -(-got // 64)  # a train counts once
    else:
        assert got + receiver.drops() == 3000


@on_linux
def test_drops_are_counted_beyond_32_bits(opened, monkeypatch):
    counts = iter([100, 4_294_967_290, 5, 6])
    monkeypatch.setattr(linux_datagrams, "drops", lambda _sock: next(counts))
    receiver = opened(receiver_at(Endpoint(LOOPBACK, free_port())))
    assert [receiver.drops() for _ in range(3)] == [4_294_967_190, 4_294_967_201, 4_294_967_202]


@pytest.mark.parametrize("sending", SENDING.values(), ids=SENDING.keys())
def test_a_datum_that_no_datagram_holds_is_counted_and_the_others_leave(opened, sending, caplog):
    endpoint = Endpoint(LOOPBACK, free_port())
    receiver, sender = opened(receiver_at(endpoint)), opened(sender_to(endpoint, **sending))
    datums = numbered([8, MAX_DATUM + 1, 8, MAX_DATUM + 1, 9])
    with caplog.at_level(logging.WARNING):
        assert sender.send(*joined(datums), endpoint.address) == 3
    assert list(collect(receiver, 3).values()) == [datums[::2]]
    assert sender.unsent == 2
    assert len(caplog.records) == 1
    assert "Message too long" in caplog.text


@pytest.mark.parametrize("sending", SENDING.values(), ids=SENDING.keys())
def test_a_waiting_sender_raises_what_the_system_says(opened, sending):
    endpoint = Endpoint(LOOPBACK, free_port())
    sender = opened(sender_to(endpoint, wait=True, **sending))
    with pytest.raises(OSError, match="Message too long"):
        sender.send(*joined(numbered([MAX_DATUM + 1])), endpoint.address)


class Busy(socket.socket):
    """A socket whose interface has no room at first."""

    error = errno.EAGAIN
    times = 3

    def sendto(self, *args):
        self._busy()
        return super().sendto(*args)

    def sendmsg(self, *args):
        self._busy()
        return super().sendmsg(*args)

    def _busy(self):
        if self.times:
            self.times -= 1
            raise OSError(self.error, "busy")


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.ENOBUFS])
@pytest.mark.parametrize("count", [1, 10])
def test_a_waiting_sender_waits_until_there_is_room(opened, error, count):
    endpoint = Endpoint(LOOPBACK, free_port())
    receiver, sock = opened(receiver_at(endpoint)), Busy(type=socket.SOCK_DGRAM)
    sock.error = error
    sender = opened(Sender([sock], wait=True))
    assert sender.send(*joined(numbered([64] * count)), endpoint.address) == count
    assert list(collect(receiver, count).values()) == [numbered([64] * count)]


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.ENOBUFS])
def test_a_sender_that_does_not_wait_counts_what_has_no_room_and_tells_it_once(opened, error, caplog):
    endpoint = Endpoint(LOOPBACK, free_port())
    receiver, sock = opened(receiver_at(endpoint)), Busy(type=socket.SOCK_DGRAM)
    sock.error = error
    sender = opened(Sender([sock]))
    with caplog.at_level(logging.WARNING):
        assert [sender.send(*joined([b"volts"] * 100), endpoint.address) for _ in range(3)] == [0, 0, 0]
    assert sender.unsent == 300
    assert len(caplog.records) == 1
    assert sender.send(*joined([b"amps"] * 3), endpoint.address) == 3
    assert list(collect(receiver, 3).values()) == [[b"amps"] * 3]


def test_a_sender_stuck_for_too_long_gives_up(opened, monkeypatch):
    monkeypatch.setattr("speeddata.wire.datagrams._STUCK_S", 0.02)
    endpoint, sock = Endpoint(LOOPBACK, free_port()), Busy(type=socket.SOCK_DGRAM)
    sock.error, sock.times = errno.ENOBUFS, 1_000_000
    with pytest.raises(OSError, match="busy"):
        opened(Sender([sock], wait=True)).send_one(b"volts", endpoint.address)


@on_linux
def test_trains_are_sent_in_few_calls(opened, monkeypatch):
    calls = []

    class Counting(socket.socket):
        def sendmsg(self, buffers, control, *args):
            calls.append(len(buffers[0]))
            return super().sendmsg(buffers, control, *args)

    endpoint = Endpoint(LOOPBACK, free_port())
    receiver, sender = opened(receiver_at(endpoint)), opened(Sender([Counting(type=socket.SOCK_DGRAM)]))
    sender.send(*joined(numbered([809] * 160 + [5])), endpoint.address)
    assert calls == [809 * 64, 809 * 64, 809 * 32 + 5]
    collect(receiver, 161)


@on_linux
def test_every_interface_is_sent_by(opened):
    # Two addresses of one loopback stand for two interfaces: every datum goes out once by each.
    endpoint = Endpoint("239.255.77.3", free_port())
    (lo,) = interfaces.named([LOOPBACK])
    other = interfaces.Interface(lo.name, lo.index, "127.0.0.2", lo.network, lo.multicast, lo.loopback)
    sender = opened(Sender(group_sockets([lo, other], ttl=1)))
    receiver = opened(receiver_at(endpoint))
    assert sender.send(*joined([b"volts", b"watts"]), endpoint.address) == 4
    assert collect(receiver, 4) == {address: [b"volts", b"watts"] for address in sender.addresses}
    assert [host for host, _ in sender.addresses] == ["127.0.0.1", "127.0.0.2"]
    assert len({port for _, port in sender.addresses}) == 1


@pytest.mark.parametrize("taking", TAKING.values(), ids=TAKING.keys())
@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_ipv6_unicast_works_as_well(opened, taking, count):
    sock = listen(Endpoint("::1", free_port()), interfaces=[])
    endpoint = Endpoint("::1", sock.getsockname()[1])
    receiver, sender = opened(Receiver(sock, **taking)), opened(sender_to(endpoint, wait=True))
    datums = numbered([27, 28] * count)
    sender.send(*joined(datums), endpoint.address)
    got = collect(receiver, len(datums))
    assert list(got.values()) == [datums]
    assert [host for host, _ in got] == ["::1"]


@on_linux
@pytest.mark.parametrize("first_call", ["send", "receive"])
def test_equal_sizes_cost_no_python_object_a_datum(opened, first_call):
    endpoint = Endpoint(LOOPBACK, free_port())
    receiver, sender = opened(receiver_at(endpoint)), opened(sender_to(endpoint, wait=True))
    data, offsets = joined(numbered([64] * 2000))
    sender.send(data, offsets, endpoint.address)
    collect(receiver, 2000)
    sender.send(data, offsets, endpoint.address) if first_call == "receive" else None
    tracemalloc.start()
    try:
        if first_call == "send":
            sender.send(data, offsets, endpoint.address)
        else:
            receiver.receive()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2000 * (64 + 8) + 60_000


IN_NAMESPACE = """
import socket, sys
import numpy as np
sys.path[:0] = ["tests", "."]
from test_datagrams import *

lo = interfaces.interfaces()
assert [interface.name for interface in lo] == ["lo"], lo
"""


def in_namespace(script, *, mtu=65536):
    """Run *script* in a network namespace that has nothing but a loopback."""
    setup = f'ip link set lo up mtu {mtu} && exec {sys.executable} -c "$SCRIPT"'
    environment = {"SCRIPT": IN_NAMESPACE + textwrap.dedent(script), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    try:
        probe = subprocess.run(["unshare", "-n", "ip", "link"], capture_output=True, timeout=DEADLINE_S)
    except FileNotFoundError:
        pytest.skip("needs unshare and ip")
    if probe.returncode:
        pytest.skip("needs to be root")
    run = subprocess.run(
        ["unshare", "-n", "sh", "-c", setup], env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr


def test_a_machine_with_nothing_but_loopback_is_enough():
    in_namespace("""
        endpoint = Endpoint("239.1.1.1", 20001)
        receiver = Receiver(listen(endpoint, interfaces=interfaces.receiving([])))
        sender = Sender(group_sockets(interfaces.sending([]), ttl=1), wait=True)
        sender.send(*joined(numbered([64] * 500)), endpoint.address)
        assert list(collect(receiver, 500).values()) == [numbered([64] * 500)]
    """)


@on_linux
@pytest.mark.parametrize("host", ["127.0.0.1", "239.1.1.1"])
def test_datums_that_no_train_may_carry_leave_singly_and_none_is_lost(host):
    # Of MTU 1500: 1472 bytes fit, more are sent in fragments, which trains cannot be.
    in_namespace(
        f"""
        endpoint = Endpoint({host!r}, 20001)
        receiver, sender = receiver_at(endpoint), sender_to(endpoint, wait=True)
        for size in (1472, 1473, 4000, 1472, 100):
            datums = numbered([size] * 100)
            assert sender.send(*joined(datums), endpoint.address) == 100
            assert list(collect(receiver, 100).values()) == [datums], size
        outlet = sender._outlets[0]
        assert outlet._train_limit == {{endpoint.address: 1473}}, outlet._train_limit
        assert sender.unsent == 0
        """,
        mtu=1500,
    )


def test_where_no_route_leads_a_waiting_sender_raises_and_the_other_counts():
    in_namespace("""
        endpoint = Endpoint("192.0.2.9", 20001)
        for sending in SENDING.values():
            patient, hasty = sender_to(endpoint, wait=True, **sending), sender_to(endpoint, **sending)
            for sizes in ([64], [64] * 100, [27, 28] * 50):
                with pytest.raises(OSError, match="Network is unreachable"):
                    patient.send(*joined(numbered(sizes)), endpoint.address)
                before = hasty.unsent
                assert hasty.send(*joined(numbered(sizes)), endpoint.address) == 0
                assert hasty.unsent - before == len(sizes)
    """)
