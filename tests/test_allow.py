"""Who is heard: `--allow` names networks; nobody else is served, recorded or counted, and it is told."""

from __future__ import annotations

import ipaddress

import pytest
from by_hand import LOOPBACK, RIG_TEXT, Bench, recorded, recordings, rig, unused_port

from speeddata.relay.serving import Allowed


@pytest.fixture
def bench(spawn, wait_for):
    with Bench(spawn, unused_port, wait_for) as bench:
        yield bench


def test_several_networks_are_heard_and_all_others_are_told_once_each(bench, channel_name, tmp_path):
    relay = bench.relay("--allow", "127.0.0.2/31", "--allow", "127.0.1.0/24", "--allow", "127.0.7.7")
    heard = ["127.0.0.2", "127.0.0.3", "127.0.1.200", "127.0.7.7"]
    refused = ["127.0.0.1", "127.0.2.1", "127.0.7.8"]
    strangers = [
        bench.source(f"{channel_name}_s{n}", relay.port, host=host) for n, host in enumerate(refused)
    ]
    for _ in range(3):
        for each in strangers:
            each.announce()
            each.send(rig(range(100, 110)))
    for number, host in enumerate(heard):
        source, _ = bench.begun(f"{channel_name}_{number}", relay.port, host=host)
        source.send(rig(range(number, number + 10)))
        source.announce()
        said = bench.discovery.received(f"{channel_name}_{number}", 10)
        assert (said["received"], said["lost"], said["rejected"]) == ("10", "0", "0")
    assert relay.terminate() == 0
    notes = relay.stderr.rest().decode().splitlines()
    assert notes == [f"speeddata: {host}: not heard; name its network with --allow" for host in refused]
    made = {path.name for path in (tmp_path / "data").iterdir() if path.is_dir()}
    assert made == {f"{channel_name}_{number}" for number in range(len(heard))}
    for number in range(len(heard)):
        files = recordings(tmp_path / "data", f"{channel_name}_{number}")
        assert recorded(*files) == b"".join(rig(range(number, number + 10)))


def test_bare_datums_of_strangers_do_not_reach_a_channel_of_the_command_line(
    bench, spawn, channel_name, tmp_path
):
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    port = unused_port()
    relay = spawn("relay", f"{channel_name}={LOOPBACK}:{port},rig.avsc", "--allow", "127.0.0.2/32")
    bench.listening(relay, port)
    bench.source(channel_name, port).say(*rig(range(100, 110)))
    bench.source(channel_name, port, host="127.0.0.2").say(*rig(range(10)))
    said = bench.discovery.received(channel_name, 10)
    assert said["received"] == "10"
    assert relay.terminate() == 0
    assert "127.0.0.1: not heard" in relay.stderr.rest().decode()
    assert recorded(*recordings(tmp_path / "data", channel_name)) == b"".join(rig(range(10)))


@pytest.mark.parametrize(
    ("networks", "host", "heard"),
    [
        ([], "127.0.0.1", True),
        ([], "127.9.9.9", True),
        ([], "8.8.8.8", False),
        (["10.0.0.0/8"], "10.255.0.1", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["10.0.0.0/8"], "127.0.0.1", False),  # what is named stands in place of the default
        (["10.0.0.0/8", "127.0.0.1/32"], "127.0.0.1", True),
        (["fd00::/8"], "fd00::1", True),
        (["fd00::/8"], "10.0.0.1", False),
        (["0.0.0.0/0"], "8.8.8.8", True),
        ([], "::1", True),
        ([], "2001:db8::1", False),
        ([], "::ffff:127.0.0.1", True),  # as IPv4 arrives at a socket of IPv6
        ([], "::ffff:8.8.8.8", False),
        (["10.0.0.0/8"], "::1", False),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
    ],
)
def test_a_host_is_heard_where_its_network_is_named(networks, host, heard):
    allowed = Allowed([ipaddress.ip_network(each) for each in networks])
    assert [allowed.includes(host) for _ in range(2)] == [heard, heard]


def test_a_flood_of_addresses_takes_no_more_memory_than_a_thousand():
    allowed = Allowed([ipaddress.ip_network("10.0.0.0/16")])
    for number in range(5000):
        assert allowed.includes(str(ipaddress.ip_address("10.0.0.0") + number))
        assert not allowed.includes(str(ipaddress.ip_address("11.0.0.0") + number))
    assert len(allowed._known) <= 1024
