"""The facts, asked of the real system: sockets, files, and what others tell of them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from by_hand import DISCOVERY, LOOPBACK, NOON, Bench, announcement, rig, unused_port

from speeddata.errors import HostError
from speeddata.interrupts import Stop
from speeddata.names import Endpoint
from speeddata.recording.directorylock import DirectoryLock
from speeddata.symptoms import channels, installed, kernel, listeners, network, storage, timekeeping
from speeddata.wire import sockets

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
MIB = 1 << 20


@pytest.fixture
def bench(spawn, free_port, wait_for):
    with Bench(spawn, free_port, wait_for) as bench:
        yield bench


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}")


# --- the network -----------------------------------------------------------------------------------------


@linux_only
@needs("ip")
def test_interfaces_are_those_that_ip_tells_be_they_up_or_not():
    told = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    expected = {}
    for line in told.splitlines():
        words = line.split()
        flags = words[2].strip("<>").split(",")
        name = words[1].rstrip(":").partition("@")[0]
        expected[name] = ("UP" in flags, "MULTICAST" in flags, "LOOPBACK" in flags)
    found = network.network(()).devices
    assert {one.name: (one.up, one.multicast, one.loopback) for one in found} == expected


@linux_only
@needs("ip")
def test_the_way_to_a_group_is_the_one_that_ip_tells():
    told = subprocess.run(["ip", "route", "get", "239.1.1.1"], capture_output=True, text=True, check=False)
    route = network.network(()).route
    assert route is not None
    words = told.stdout.split()
    assert route.by == (words[words.index("dev") + 1] if told.returncode == 0 else "")


def test_a_group_on_loopback_is_joined_and_what_is_sent_to_it_comes_back():
    joins = network.joins([LOOPBACK])
    (attempt,) = joins.attempts
    assert (attempt.interface, attempt.refused, attempt.unsent) == ("lo (127.0.0.1)", "", "")
    assert attempt.echo_ms is not None
    assert 0 < attempt.echo_ms < 300
    assert network.joins(["no-such-interface"]).attempts == ()


# --- the kernel ------------------------------------------------------------------------------------------


@linux_only
def test_udp_sockets_are_told_with_their_addresses_and_what_was_dropped_at_them():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.bind((LOOPBACK, 0))
        port = sock.getsockname()[1]

        def row():
            (found,) = [
                one for one in kernel.udp_sockets() or () if one.inode == os.fstat(sock.fileno()).st_ino
            ]
            return found

        before = row()
        assert (before.address, before.port, before.drops, before.uid) == (LOOPBACK, port, 0, os.getuid())
        for _ in range(100):
            sender.sendto(bytes(500), (LOOPBACK, port))
        now = row()
        assert now.drops > 50
        (told,) = kernel.drops([before], [now], [port]) or ()
        assert (told.port, told.count, told.lately, told.listening) == (port, now.drops, now.drops, True)
        assert kernel.drops([], [now], [port]) == []  # opened meanwhile
        assert kernel.drops(None, [now], [port]) is None


@linux_only
def test_addresses_are_read_in_the_byte_order_of_the_machine():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6")
        found = [one.address for one in kernel.udp_sockets() or () if one.port == sock.getsockname()[1]]
    assert "::1" in found


def test_the_receive_buffer_is_what_a_relay_gets():
    buffer = kernel.buffer()
    with sockets.listen(Endpoint(LOOPBACK, unused_port()), interfaces=[]) as sock:
        assert buffer.got == sockets.buffer_bytes(sock)
    assert buffer.asked == sockets.RECEIVE_BUFFER
    assert buffer.unforced <= buffer.got


def test_the_limits_are_those_of_this_process():
    shell = ["sh", "-c", 'ulimit -n 512; exec "$@"', "sh", sys.executable, "-c"]
    program = "from speeddata.symptoms import kernel; print(kernel.limits().files, kernel.limits().many)"
    told = subprocess.run([*shell, program], capture_output=True, text=True, check=True).stdout
    assert told.split()[0] == "512"


# --- ports -----------------------------------------------------------------------------------------------


@linux_only
def test_a_port_that_is_taken_is_told_with_the_process_that_has_it(tmp_path, wait_for):
    port = unused_port()
    assert not listeners.port(Endpoint("0.0.0.0", port), "", kernel.udp_sockets()).taken
    program = f"import socket, sys; s = socket.socket(2, 2); s.bind(('{LOOPBACK}', {port})); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program, "speeddata"], stdin=subprocess.PIPE) as other:
        wait_for(lambda: any(one.port == port for one in kernel.udp_sockets() or ()))
        told = listeners.port(Endpoint("0.0.0.0", port), "", kernel.udp_sockets())
        assert told.taken
        assert told.holder is not None
        assert (told.holder.pid, told.holder.relay) == (other.pid, False)
        assert told.holder.name.startswith("python")
        blind = listeners.port(Endpoint("0.0.0.0", port), "", None)
        assert (blind.taken, blind.holder, blind.served) == (True, None, False)
        assert other.stdin is not None
        other.stdin.close()


def test_a_port_that_cannot_be_had_is_told_with_what_the_system_says():
    told = listeners.port(Endpoint("192.0.2.77", 26000), "pump", None)
    assert (told.taken, told.refused) == (False, os.strerror(errno.EADDRNOTAVAIL))


@linux_only
def test_the_process_of_a_relay_is_known_as_one(bench, channel_name):
    relay = bench.relay("--no-record")
    told = listeners.port(Endpoint(LOOPBACK, relay.port), "", kernel.udp_sockets())
    assert told.holder is not None
    assert (told.holder.pid, told.holder.relay) == (relay.pid, True)
    found = next(one for one in kernel.udp_sockets() or () if one.port == relay.port)
    assert listeners._relay_of(found.uid)
    theirs = [one for one in kernel.udp_sockets() or () if one.inode in discovery_inodes(relay.pid)]
    assert listeners.relay_here(theirs) == relay.pid
    assert listeners.relay_here([found]) == listeners.relay_here(None) == 0


def discovery_inodes(pid):
    """The sockets that *pid* has open, as `ss` would look for them."""
    links = (os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir())
    return {int(link[8:-1]) for link in links if link.startswith("socket:[")}


# --- channels --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def repeating(action):
    """Do it again and again, from another thread, as long as the context lasts."""
    ended = threading.Event()

    def repeat():
        while not ended.wait(0.02):
            action()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def heard(name):
    return next((one for one in channels.seen([LOOPBACK], Stop(), 0.4) if one.channel == name), None)


def test_a_live_channel_is_told_with_its_rate_the_size_of_its_datums_and_its_time(bench, spawn, channel_name):
    relay = bench.relay("--no-record")
    spawn("send", "--demo", "--rate", 200, "--name", channel_name, "--to", f"{LOOPBACK}:{relay.port}")
    bench.discovery.hear(channel_name, lambda said: 190 < float(said["rate_hz"]) < 210)
    told = heard(channel_name)
    assert told.rate_hz == pytest.approx(200, rel=0.1)
    assert 30 < told.datum_bytes < 80
    assert abs(told.ahead_s) < 2
    assert (told.here, told.lost) == (True, 0)


def test_the_time_of_a_channel_is_that_of_its_last_datum(bench, channel_name, wait_for):
    relay = bench.relay("--no-record")
    source, _ = bench.begun(channel_name, relay.port)
    with repeating(lambda: source.send(rig(range(5)))):  # all of one moment, long ago
        told = wait_for(lambda: (told := heard(channel_name)) and told.datum_bytes and told)
    assert told.ahead_s == pytest.approx(NOON / 1e9 - time.time(), abs=5)
    assert told.datum_bytes == pytest.approx(sum(map(len, rig(range(5)))) / 5, rel=0.2)


def test_what_strangers_announce_is_no_reason_to_fail(channel_name):
    claims = [
        {"full": "127.0.0.1:1", "rate_hz": "nan"},
        {"full": "[ff02::1]:20000", "rate_hz": "1e999", "lost": "-1"},
        {"full": "224.0.0.1:0", "rate_hz": "-5"},
        {"rate_hz": "\x1b[31m"},
    ]
    said = [
        announcement('"null"', channel=f"{channel_name}.{n}", session="x", role="relay", **claim)
        for n, claim in enumerate(claims)
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
        with repeating(lambda: [sock.sendto(each, DISCOVERY) for each in said]):
            found = {one.channel: one for one in channels.seen([LOOPBACK], Stop(), 0.1)}
    for number in range(len(claims)):
        told = found[f"{channel_name}.{number}"]
        assert (told.rate_hz, told.datum_bytes, told.ahead_s, told.lost) == (0.0, None, None, 0)


def test_an_interface_that_is_not_there_is_an_error_for_whoever_asks():
    with pytest.raises(HostError, match="no interface"):
        channels.seen(["no-such-interface"], Stop())


# --- the clock -------------------------------------------------------------------------------------------


def test_the_clock_is_told_with_a_step_of_the_time_between(tmp_path):
    began = timekeeping.moment()
    stepped = timekeeping.Moment(began.real_ns - 3 * 10**9, began.steady_ns)
    assert timekeeping.clock(began, tmp_path).step_s == pytest.approx(0, abs=0.04)
    assert timekeeping.clock(stepped, tmp_path).step_s == pytest.approx(3, abs=0.04)


def test_the_newest_recording_is_found_by_its_name(tmp_path):
    assert timekeeping.clock(timekeeping.moment(), tmp_path / "none").recorded_ns is None
    for name in (
        "rig/rig_20251203T120000.000000007Z.avro",
        "rig/other_29990101T000000.000000000Z.avro",
        "file",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    told = timekeeping.clock(timekeeping.moment(), tmp_path)
    assert told.recorded_ns == 1_764_763_200_000_000_007
    assert told.installed_ns < told.now_ns


# --- the disk --------------------------------------------------------------------------------------------


def test_a_trial_tells_room_and_speed_and_leaves_nothing(tmp_path):
    began = time.monotonic()
    told = storage.disk(tmp_path, Stop(), min_free=0.0)
    assert time.monotonic() - began < 3
    system = os.statvfs(tmp_path)
    assert (told.directory, told.made, told.refused, told.full) == (str(tmp_path), True, "", False)
    assert told.total == system.f_blocks * system.f_frsize
    assert told.free == pytest.approx(system.f_bavail * system.f_frsize, abs=500 * MIB)
    assert 0 < told.trial.written <= storage.TRIAL_BYTES
    assert told.trial.longest_s <= told.trial.seconds < 3
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_still_to_be_made_is_looked_at_where_it_would_be(tmp_path):
    told = storage.disk(tmp_path / "a" / "b", Stop(), min_free=0.0)
    assert (told.made, told.refused, told.total > 0) == (False, "", True)
    assert list(tmp_path.iterdir()) == []


def test_a_trial_leaves_free_what_shall_stay_free_and_ends_when_asked(tmp_path):
    assert storage.disk(tmp_path, Stop(), min_free=1.0).trial.written == 0
    stop = Stop()
    stop.ask()
    assert storage.disk(tmp_path, stop, min_free=0.0).trial.written == 0


def test_what_is_no_directory_is_refused(tmp_path):
    (tmp_path / "file").touch()
    told = storage.disk(tmp_path / "file" / "data", Stop(), min_free=0.0)
    assert told.refused == f"{tmp_path / 'file'} is no directory"


@needs("stat")
@linux_only
def test_the_type_of_a_file_system_is_the_one_that_stat_tells(tmp_path):
    for place in (tmp_path, Path("/proc"), Path("/dev/shm")):
        told = subprocess.run(
            ["stat", "-f", "-c", "%T", place], capture_output=True, text=True, check=True
        ).stdout.strip()
        kind, _ = storage._mounted(place)
        assert kind in told.split("/") or told.startswith(str(kind)[:3])


@linux_only
def test_whoever_records_in_a_directory_is_told_without_touching_its_lock(tmp_path):
    assert storage.disk(tmp_path, Stop(), min_free=1.0).lock == 0
    lock = DirectoryLock(tmp_path)
    try:
        assert storage.disk(tmp_path, Stop(), min_free=1.0).lock == os.getpid()
    finally:
        lock.release()


# --- what is installed -----------------------------------------------------------------------------------


def test_versions_are_those_of_the_modules():
    import h5py
    import numpy

    told = installed.parts()
    assert told.versions["numpy"] == numpy.__version__
    assert told.versions["h5py"] == h5py.__version__
    assert told.python == sys.version.split()[0]
