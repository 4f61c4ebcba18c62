import ipaddress
import socket
import subprocess
import sys

import pytest

from speeddata.errors import HostError
from speeddata.wire import interfaces
from speeddata.wire.interfaces import Interface, connected_networks, named, receiving, sending

DEADLINE_S = 20


def interface(name, index, address, *, multicast=True, loopback=False, prefix=24):
    network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
    return Interface(name, index, address, network, multicast, loopback)


LO = interface("lo", 1, "127.0.0.1", multicast=False, loopback=True, prefix=8)
ETH0 = interface("eth0", 2, "192.168.1.7")
ETH0_TOO = interface("eth0", 2, "10.0.0.7", prefix=8)
TUN0 = interface("tun0", 3, "172.16.0.2", multicast=False, prefix=32)


@pytest.fixture
def machine(monkeypatch):
    """A machine with an Ethernet of two addresses and a tunnel that cannot multicast."""
    monkeypatch.setattr(interfaces, "interfaces", lambda: [LO, ETH0, TUN0, ETH0_TOO])


def test_the_loopback_of_this_machine_is_found():
    (lo,) = named(["127.0.0.1"])
    assert (lo.address, lo.loopback) == ("127.0.0.1", True)
    assert lo.network == ipaddress.IPv4Network("127.0.0.0/8")
    assert socket.if_indextoname(lo.index) == lo.name
    assert named([lo.name]) == [lo]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /sys and asks ip")
def test_what_is_found_is_what_ip_tells():
    try:
        told = subprocess.run(
            ["ip", "-o", "-4", "addr", "show", "up"], capture_output=True, text=True, check=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("needs ip")
    lines = [line.split() for line in told.stdout.splitlines()]
    expected = [(words[1], int(words[0].rstrip(":")), words[3]) for words in lines if words[2] == "inet"]
    found = [
        (one.name, one.index, f"{one.address}/{one.network.prefixlen}") for one in interfaces.interfaces()
    ]
    assert found == expected


def test_an_interface_is_named_by_its_name_or_one_of_its_addresses(machine):
    assert named(["eth0"]) == [ETH0]
    assert named(["10.0.0.7"]) == [ETH0_TOO]
    assert named(["tun0", "lo"]) == [TUN0, LO]


def test_an_interface_counts_once_however_often_it_is_named(machine):
    assert named(["eth0", "192.168.1.7", "eth0"]) == [ETH0]


def test_an_unknown_interface_is_told_with_those_there_are(machine):
    with pytest.raises(HostError) as caught:
        named(["lo", "eth9"])
    listed = "lo (127.0.0.1), eth0 (192.168.1.7), tun0 (172.16.0.2), eth0 (10.0.0.7)"
    assert str(caught.value) == f"no interface 'eth9'; there is {listed}"


def test_groups_are_joined_on_loopback_and_whatever_can_multicast(machine):
    assert receiving([]) == [LO, ETH0]
    assert receiving(["tun0"]) == [TUN0]


def test_nothing_leaves_the_machine_unasked(machine):
    assert sending([]) == [LO]
    assert sending(["eth0"]) == [ETH0]


def test_connected_networks_are_told_each_once(machine):
    assert connected_networks() == [
        ipaddress.IPv4Network("127.0.0.0/8"),
        ipaddress.IPv4Network("192.168.1.0/24"),
        ipaddress.IPv4Network("172.16.0.2/32"),
        ipaddress.IPv4Network("10.0.0.0/8"),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="makes a network of its own, and asks ip")
def test_connected_networks_of_ipv6_are_those_of_the_addresses_that_ip_tells():
    script = "from speeddata.wire import interfaces; print(*interfaces.connected_ipv6_networks())"
    shell = 'ip link set lo up && ip addr add fd12:3456::7/56 dev lo nodad && exec "$@"'
    command = ["unshare", "-n", "sh", "-c", shell, "sh", sys.executable, "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    if run.returncode and "speeddata" not in run.stderr:
        pytest.skip("needs to be root, ip, and IPv6")
    assert sorted(run.stdout.split()) == ["::1/128", "fd12:3456::/56"], run.stderr


def test_a_machine_whose_loopback_is_down_says_so(monkeypatch):
    monkeypatch.setattr(interfaces, "interfaces", lambda: [ETH0])
    with pytest.raises(HostError, match="loopback is down"):
        sending([])


def test_an_interface_that_is_down_is_not_told():
    if sys.platform != "linux" or subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("needs Linux and to be root")
    script = "from speeddata.wire import interfaces; print(interfaces.interfaces())"
    shell = 'ip addr add 127.0.0.1/8 dev lo && exec "$@"'
    command = ["unshare", "-n", "sh", "-c", shell, "sh", sys.executable, "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert (run.stdout, run.returncode) == ("[]\n", 0)


def test_listing_interfaces_loads_no_numpy():
    script = (
        "import sys; from speeddata.wire import discovery, interfaces, sockets; print('numpy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE_S)
    assert run.stdout == "False\n", run.stderr
