import errno
import select
import socket
import struct
import sys

import pytest
from by_hand import has_ipv6

from speeddata.errors import HostError, UsageError
from speeddata.names import Endpoint
from speeddata.wire import interfaces, sockets
from speeddata.wire.interfaces import Interface

DEADLINE_S = 10
LOOPBACK = "127.0.0.1"
GROUP = "239.255.77.4"


@pytest.fixture
def lo():
    return interfaces.named([LOOPBACK])


@pytest.fixture
def opened():
    things = []
    yield lambda thing: things.append(thing) or thing
    for thing in things:
        thing.close()


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))
        return sock.getsockname()[1]


def arrives(sock):
    assert select.select([sock], [], [], DEADLINE_S)[0], "nothing arrived"
    return sock.recv(1 << 16)


def test_a_port_in_use_is_told_with_the_endpoint_and_the_cure(opened):
    endpoint = Endpoint(LOOPBACK, free_port())
    opened(sockets.listen(endpoint, interfaces=[]))
    with pytest.raises(HostError) as caught:
        sockets.listen(endpoint, interfaces=[])
    said = f"{endpoint}: port in use; stop the other relay or choose another port"
    assert (str(caught.value), caught.value.status) == (said, 1)


def test_all_addresses_collide_with_one_of_them(opened):
    endpoint = Endpoint("0.0.0.0", free_port())
    opened(sockets.listen(endpoint, interfaces=[]))
    with pytest.raises(HostError, match="port in use"):
        sockets.listen(Endpoint(LOOPBACK, endpoint.port), interfaces=[])


def test_an_address_of_another_machine_cannot_be_listened_on():
    with pytest.raises(HostError, match="cannot listen"):
        sockets.listen(Endpoint("192.0.2.77", 26000), interfaces=[])


def test_listeners_share_a_group_and_each_hears_everything(opened, lo):
    endpoint = Endpoint(GROUP, free_port())
    listeners = [opened(sockets.listen(endpoint, interfaces=lo)) for _ in range(3)]
    (sender,) = map(opened, sockets.group_sockets(lo, ttl=1))
    sender.sendto(b"volts", endpoint.address)
    assert [arrives(listener) for listener in listeners] == [b"volts"] * 3


def test_a_listener_hears_no_other_group_at_its_port(opened, lo):
    port = free_port()
    mine, other = Endpoint(GROUP, port), Endpoint("239.255.77.5", port)
    listener, neighbour = (opened(sockets.listen(endpoint, interfaces=lo)) for endpoint in (mine, other))
    (sender,) = map(opened, sockets.group_sockets(lo, ttl=1))
    sender.sendto(b"for the neighbour", other.address)
    sender.sendto(b"for me", mine.address)
    assert arrives(neighbour) == b"for the neighbour"
    assert arrives(listener) == b"for me"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hears groups that it has not joined")
@pytest.mark.parametrize(
    "host", ["0.0.0.0", pytest.param("::", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here"))]
)
def test_a_listener_on_all_addresses_hears_no_group_that_others_joined(opened, lo, host):
    port = free_port()
    opened(sockets.listen(Endpoint(GROUP, free_port()), interfaces=lo))  # so the machine takes the group
    relay = opened(sockets.listen(Endpoint(host, port), interfaces=[]))
    (sender,) = map(opened, sockets.group_sockets(lo, ttl=1))
    sender.sendto(b"re-served by the relay itself", (GROUP, port))
    sender.sendto(b"from a source", (LOOPBACK, port))
    assert arrives(relay) == b"from a source"


def test_interfaces_that_refuse_are_left_out_while_one_takes_the_group(opened, lo):
    ghost = Interface("ghost0", 9999, "192.0.2.99", lo[0].network, True, False)
    endpoint = Endpoint(GROUP, free_port())
    listener = opened(sockets.listen(endpoint, interfaces=[ghost, *lo]))
    (sender,) = map(opened, sockets.group_sockets(lo, ttl=1))
    sender.sendto(b"volts", endpoint.address)
    assert arrives(listener) == b"volts"
    with pytest.raises(HostError, match="no interface takes the group \\(ghost0: "):
        sockets.listen(endpoint, interfaces=[ghost])
    with pytest.raises(HostError, match="there is none"):
        sockets.listen(endpoint, interfaces=[])


def test_an_interface_named_by_two_of_its_addresses_is_joined_once(opened, lo):
    again = Interface(lo[0].name, lo[0].index, "127.0.0.2", lo[0].network, False, True)
    endpoint = Endpoint(GROUP, free_port())
    listener = opened(sockets.listen(endpoint, interfaces=[*lo, again]))
    (sender,) = map(opened, sockets.group_sockets(lo, ttl=1))
    sender.sendto(b"volts", endpoint.address)
    assert arrives(listener) == b"volts"
    with pytest.raises(BlockingIOError):
        listener.recv(100)


def test_an_ipv6_group_is_refused():
    with pytest.raises(UsageError, match="IPv6 groups are not supported"):
        sockets.listen(Endpoint("ff02::1", 26000), interfaces=[])


def test_sockets_to_groups_leave_from_one_port_by_their_interfaces_with_the_ttl(opened, lo):
    other = Interface(lo[0].name, lo[0].index, "127.0.0.2", lo[0].network, False, True)
    pair = [opened(sock) for sock in sockets.group_sockets([*lo, other], ttl=7)]
    assert [sock.getsockname()[0] for sock in pair] == ["127.0.0.1", "127.0.0.2"]
    assert len({sock.getsockname()[1] for sock in pair}) == 1
    assert {sock.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) for sock in pair} == {7}
    assert {sock.getblocking() for sock in pair} == {False}


def test_a_source_port_that_is_taken_at_another_address_is_given_up_for_another(opened, lo, monkeypatch):
    other = Interface(lo[0].name, lo[0].index, "127.0.0.2", lo[0].network, False, True)
    taken = opened(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    taken.bind(("127.0.0.2", 0))
    collide = taken.getsockname()[1]
    real, asked = sockets._group_socket, []

    def first_that_port(interface, port, ttl):
        asked.append(port)
        return real(interface, collide if len(asked) == 1 else port, ttl)

    monkeypatch.setattr(sockets, "_group_socket", first_that_port)
    pair = [opened(sock) for sock in sockets.group_sockets([*lo, other], ttl=1)]
    ports = {sock.getsockname()[1] for sock in pair}
    assert len(ports) == 1
    assert ports != {collide}
    assert asked[:3] == [0, collide, 0]


def test_an_interface_that_cannot_be_sent_by_is_named(lo):
    ghost = Interface("ghost0", 9999, "192.0.2.99", lo[0].network, True, False)
    with pytest.raises(HostError, match=r"ghost0 \(192.0.2.99\): cannot send to groups by it"):
        sockets.group_sockets([*lo, ghost], ttl=1)
    with pytest.raises(ValueError, match="no interface"):
        sockets.group_sockets([], ttl=1)


def test_the_receive_buffer_is_told_in_the_bytes_that_were_asked_for(opened):
    sock = opened(sockets.listen(Endpoint(LOOPBACK, free_port()), interfaces=[], buffer_bytes=200_000))
    assert sockets.buffer_bytes(sock) == 200_000


def test_without_the_right_to_force_it_the_kernel_gives_what_it_may(opened, monkeypatch):
    class Unprivileged(socket.socket):
        def setsockopt(self, level, option, *value):
            if option == 33:  # SO_RCVBUFFORCE
                raise PermissionError(errno.EPERM, "Operation not permitted")
            super().setsockopt(level, option, *value)

    sock = opened(Unprivileged(type=socket.SOCK_DGRAM))
    got = sockets.ask_receive_buffer(sock, 1 << 30)
    assert 0 < got < 1 << 30
    assert sockets.ask_receive_buffer(sock, 150_000) == 150_000


def test_a_small_receive_buffer_comes_with_its_cure():
    assert sockets.buffer_note(1 << 20, 1 << 20) is None
    note = sockets.buffer_note(64 << 20, 208 << 10)
    assert note.startswith("receive buffer is 208 KiB of the 65536 KiB asked for; `sysctl -w ")
    assert "=67108864`" in note


def test_a_failed_listen_leaves_no_descriptor_open(lo):
    endpoint = Endpoint(LOOPBACK, free_port())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(endpoint.address)
        before = taken.fileno()
        for _ in range(50):
            with pytest.raises(HostError):
                sockets.listen(endpoint, interfaces=[])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as fresh:
            assert fresh.fileno() <= before + 5


def test_the_membership_is_made_by_the_index_of_the_interface(lo):
    assert sockets._mreqn(GROUP, lo[0]) == (
        socket.inet_aton(GROUP)
        + socket.inet_aton(LOOPBACK)
        + struct.pack("i", socket.if_nametoindex(lo[0].name))
    )
