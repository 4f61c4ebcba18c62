"""Which sockets a command opens when nothing is configured: those that the README names, and no other."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"),
    reason="a network of one's own needs Linux, root, unshare and ip",
)

ANY_PORT = 0  # one that the system chooses
OWN_NETWORK = "ip link set lo up && ip route add 224.0.0.0/4 dev lo && exec "
DISCOVERY = ("239.1.1.3", 25999)


@pytest.fixture
def alone(tmp_path, environment):
    """`alone("relay")` starts a command in a network where nobody else is, with no setting at all."""
    running = []
    env = {name: text for name, text in environment.items() if not name.startswith("SPEEDDATA_")}

    def start(*args):
        line = OWN_NETWORK + f"{sys.executable} -m speeddata " + " ".join(args)
        command = ["unshare", "--net", "sh", "-c", line]
        process = subprocess.Popen(
            command, cwd=tmp_path, env={**env, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()


def bound(process, protocol):
    """Where sockets of that network are bound: address and port, ANY_PORT where the system chose it."""
    try:
        if os.readlink(f"/proc/{process.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            return set()  # not yet on its own
        with open(f"/proc/{process.pid}/net/{protocol}") as file:
            rows = [line.split() for line in file][1:]
        with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
            first, last = map(int, file.read().split())
    except OSError:
        return set()
    found = set()
    for row in rows:
        host, _, port = row[1].partition(":")
        number = int(port, 16)
        if protocol == "tcp" and row[3] != "0A":  # TCP_LISTEN
            continue
        address = socket.inet_ntoa(struct.pack("=I", int(host, 16))) if len(host) == 8 else host
        found.add((address, ANY_PORT if first <= number <= last else number))
    return found


@pytest.mark.parametrize(
    ("line", "udp"),
    [
        ("relay", {("0.0.0.0", 26000), DISCOVERY, ("127.0.0.1", ANY_PORT)}),
        ("relay --listen 127.0.0.1:26000", {("127.0.0.1", 26000), DISCOVERY, ("127.0.0.1", ANY_PORT)}),
        ("relay rig=26001", {("0.0.0.0", 26001), DISCOVERY, ("127.0.0.1", ANY_PORT)}),
        ("send --demo", {("127.0.0.1", ANY_PORT)}),
        ("tap rig", {DISCOVERY, ("127.0.0.1", ANY_PORT)}),
    ],
)
def test_by_default_a_command_listens_where_the_readme_says_and_nowhere_else(alone, wait_for, line, udp):
    process = alone(*line.split())
    wait_for(lambda: bound(process, "udp") == udp)
    assert bound(process, "tcp") == bound(process, "tcp6") == bound(process, "udp6") == set()


def test_the_stripchart_in_a_browser_listens_on_this_machine_only(alone, wait_for):
    pytest.importorskip("textual_serve")
    process = alone("tui", "--serve")
    wait_for(lambda: bound(process, "tcp"))
    assert bound(process, "tcp") == {("127.0.0.1", 8000)}
    assert bound(process, "udp") == set()
