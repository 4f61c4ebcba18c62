"""`speeddata doctor`: what would go wrong is told before it does, and its cure makes it go away."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from by_hand import LOOPBACK, Bench
from terminal import Terminal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="changes what Linux has")
DOCTOR = f"{sys.executable} -m speeddata doctor"


def _may_make_namespaces() -> bool:
    if os.geteuid() or not shutil.which("unshare") or not shutil.which("ip"):
        return False
    return not subprocess.run(["unshare", "-nm", "true"], capture_output=True).returncode


own_network = pytest.mark.skipif(not _may_make_namespaces(), reason="makes a network namespace")


@pytest.fixture
def bench(spawn, free_port, wait_for):
    with Bench(spawn, free_port, wait_for) as bench:
        yield bench


@pytest.fixture
def inside(environment, tmp_path):
    """`inside("ip link set lo up", ...)` runs lines of shell in a network of their own: status and output."""
    default = {**environment, "SPEEDDATA_INTERFACE": ""}

    def run(*lines: str) -> tuple[int, str]:
        done = subprocess.run(
            ["unshare", "-nm", "sh", "-c", "\n".join(lines)],
            env=default,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout

    return run


def found(out: str, about: str = "") -> list[dict[str, object]]:
    rows = [json.loads(line) for line in out.splitlines()]
    return [row for row in rows if about in ("", row["about"])]


def states(out: str) -> dict[str, list[str]]:
    told: dict[str, list[str]] = {}
    for row in found(out):
        told.setdefault(row["about"], []).append(row["state"])
    return told


# --- findings and their cures ----------------------------------------------------------------------------

VETH = ("ip link set lo up", "ip link add v0 type veth peer name v1", "ip link set v1 up")
UP = (*VETH, "ip link set v0 up", "ip addr add 10.9.9.1/24 dev v0")


@own_network
def test_a_machine_that_is_well_has_status_0_and_says_so_of_every_examination(inside):
    status, out = inside(*UP[:1], "ip route add 239.0.0.0/8 dev lo", f"{DOCTOR} -o data --expect 1kB --json")
    told = states(out)
    if "warning" in told["disk"]:
        pytest.skip("the disk of the tests is small, or in memory")
    assert (
        list(told)
        == "interface route join loopback channels buffer port disk files kernel clock program".split()
    )
    for about in ("interface", "route", "join", "loopback", "channels", "port", "kernel", "program"):
        assert set(told[about]) == {"ok"}
    assert not {"warning", "fault"} & {state for each in told.values() for state in each}
    assert status == 0


@own_network
@pytest.mark.parametrize(
    ("about", "state", "setup", "options", "by_whom"),
    [
        ("interface", "fault", [], "", "ip link set lo up"),
        ("interface", "fault", [*VETH, "ip addr add 10.9.9.1/24 dev v0"], "-i v0", "ip link set v0 up"),
        (
            "interface",
            "warning",
            [*UP, "ip link set v0 multicast off"],
            "-i v0",
            "ip link set v0 multicast on",
        ),
        ("route", "note", UP[:1], "", "ip route replace 239.0.0.0/8 dev lo"),
        ("route", "note", [*UP, "ip route add default dev v0"], "", "ip route replace 239.0.0.0/8 dev lo"),
        (
            "route",
            "note",
            [*UP, "ip route add default dev v0"],
            "-i v0",
            "ip route replace 239.0.0.0/8 dev v0",
        ),
        (
            "join",
            "fault",
            [*UP, "echo 1 > /proc/sys/net/ipv4/igmp_max_memberships"],
            "",
            "sysctl -w net.ipv4.igmp_max_memberships=2",
        ),
    ],
)
def test_the_cure_of_a_finding_makes_it_go_away(inside, about, state, setup, options, by_whom):
    doctor = f"SPEEDDATA_NO_RECORD=1 {DOCTOR} --json --expect 1 {options}"  # no disk: sooner done
    _, out = inside(*setup, doctor)
    (told,) = [row for row in found(out, about) if row["state"] != "note" or state == "note"]
    assert told["state"] == state
    assert by_whom in told["cure"]
    if by_whom.startswith("sysctl") and not shutil.which("sysctl"):
        pytest.skip("needs sysctl")
    _, out = inside(*setup, f"{by_whom} > /dev/null", doctor)
    assert not [row for row in found(out, about) if row["state"] == state and row["what"] == told["what"]]
    assert {row["state"] for row in found(out, about)} <= {"ok", "note"}


@own_network
def test_an_interface_that_is_not_there_is_told_with_those_that_are(inside):
    status, out = inside(*UP, f"{DOCTOR} --json -i v7")
    (told,) = found(out, "interface")
    assert (status, told["state"]) == (1, "fault")
    assert told["cure"] == "name one of: lo (127.0.0.1), v0 (10.9.9.1)"
    assert not found(out, "loopback")  # what was not chosen is not tried


SNIFFER = """
import socket, subprocess, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as sock:
    sock.bind(("v1", 0))
    done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE)
    sock.setblocking(False)
    seen = []
    try:
        while True:
            packet = sock.recv(4096)
            if packet[9] == 17:  # UDP
                seen.append(socket.inet_ntoa(packet[16:20]))
    except BlockingIOError:
        print(*sorted(set(seen)))
"""


@own_network
def test_of_the_self_test_nothing_leaves_the_machine(inside, tmp_path):
    (tmp_path / "sniffer.py").write_text(SNIFFER)
    _, out = inside(*UP, f"{sys.executable} sniffer.py {DOCTOR} -i v0")
    assert out.split() == ["239.1.1.3"]  # relays are asked what is live, there too where that was chosen
    _, out = inside(*UP, f"{sys.executable} sniffer.py {DOCTOR}")
    assert out.split() == []


@own_network
def test_without_proc_and_sys_nothing_fails_and_what_cannot_be_told_is_said(inside):
    status, out = inside(
        UP[0], "mount -t tmpfs none /proc", "mount -t tmpfs none /sys", f"{DOCTOR} --json --expect 1 -o data"
    )
    assert status == 0
    unknown = {row["about"] for row in found(out) if row["what"].startswith("cannot tell")}
    assert {"join", "buffer"} <= unknown
    assert not {"warning", "fault"} & {row["state"] for row in found(out)}


@own_network
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
def test_without_the_right_to_force_it_a_small_receive_buffer_is_told_with_its_cure(inside):
    with open("/proc/sys/net/core/rmem_max") as file:
        if int(file.read()) >= 64 << 20:
            pytest.skip("receive buffers are large here")
    _, out = inside(UP[0], f"setpriv --bounding-set=-net_admin {DOCTOR} --json")
    told = found(out, "buffer")[0]
    assert told["state"] in ("note", "warning")
    assert told["measured"]["got"] < told["measured"]["asked"] == 64 << 20
    assert "sysctl -w net.core.rmem_max=67108864" in told["cure"]
    assert "/etc/sysctl.d/" in told["cure"]


# --- the disk --------------------------------------------------------------------------------------------

SMALL = (UP[0], "mkdir small", "mount -t tmpfs -o size=8m none small")


@own_network
def test_a_full_disk_is_a_fault_until_there_is_room(inside):
    doctor = f"{DOCTOR} --json --expect 1kB -o small/rec"
    status, out = inside(*SMALL, "head -c 9000000 /dev/zero > small/filled 2> /dev/null", doctor)
    (told,) = found(out, "disk")
    assert (status, told["what"]) == (1, "small/rec: no room is left: nothing would be recorded")
    _, out = inside(*SMALL, doctor)
    assert "fault" not in states(out)["disk"]
    what = " ".join(row["what"] for row in found(out, "disk"))
    assert "in memory (tmpfs)" in what
    assert "less than two files of 50.0 MiB" in what


@own_network
def test_a_disk_that_cannot_be_written_is_a_fault_until_it_can(inside):
    doctor = f"{DOCTOR} --json -o small"
    status, out = inside(*SMALL, "mount -o remount,ro small", doctor)
    (told,) = found(out, "disk")
    assert (status, told["what"]) == (1, "small cannot be written: Read-only file system")
    _, out = inside(*SMALL, "mount -o remount,ro small", "mount -o remount,rw small", doctor)
    assert "fault" not in states(out)["disk"]


@own_network
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
def test_a_directory_of_somebody_else_is_a_fault_unless_a_relay_records_there(inside):
    doctor = f"setpriv --bounding-set=-dac_override,-dac_read_search {DOCTOR} --json -o"
    lines = (UP[0], "mkdir -p theirs/rec", "chown -R 4321 theirs", "chmod 755 theirs theirs/rec")
    status, out = inside(*lines, f"{doctor} theirs/rec")
    (told,) = found(out, "disk")
    assert (status, told["what"]) == (1, "theirs/rec cannot be written: Permission denied")
    _, out = inside(f"flock theirs/rec {doctor} theirs/rec")
    assert "a relay records there already" in found(out, "disk")[0]["what"]
    assert "fault" not in states(out)["disk"]
    _, out = inside("chmod 700 theirs", f"{doctor} theirs/rec")
    (told,) = found(out, "disk")
    assert told["what"] == "theirs/rec cannot be written: Permission denied"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_is_written_is_gone_however_it_ends(spawn, tmp_path, wait_for, number):
    home = tmp_path / "rec"
    home.mkdir()
    doctor = spawn("doctor", "-o", "rec", "--json")

    def writes():
        with contextlib.suppress(FileNotFoundError):
            files = [os.readlink(entry) for entry in Path(f"/proc/{doctor.pid}/fd").iterdir()]
            return any(name.startswith(str(home)) for name in files) or not doctor.running
        return not doctor.running

    wait_for(writes)
    if doctor.running:
        os.kill(doctor.pid, number)
    doctor.wait()
    assert list(home.iterdir()) == []


def test_ctrl_c_ends_it_with_status_130(spawn):
    doctor = spawn("doctor", "--json")
    doctor.process.stdout.read1(1)  # it has begun
    assert doctor.interrupt() == 130


# --- ports, drops, and what is live ----------------------------------------------------------------------


def test_a_port_of_somebody_else_is_a_fault_and_what_was_dropped_there_is_told(run, free_port):
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        taken.bind((LOOPBACK, port))
        for _ in range(100):
            taken.sendto(bytes(500), (LOOPBACK, port))
        status, out, err = run("doctor", "--json", "--listen", port)
    (told,) = found(out, "port")
    assert (status, told["state"]) == (1, "fault")
    assert f"(process {os.getpid()})" in told["what"]
    (dropped,) = [row for row in found(out, "buffer") if f"port {port}" in row["what"]]
    assert (dropped["state"], dropped["measured"]["dropped"] > 50) == ("warning", True)
    assert err.startswith("speeddata: doctor: 1 fault, ")
    status, out, _ = run("doctor", "--json", "--listen", port)
    assert [row["state"] for row in found(out, "port")] == ["ok"]


def test_a_relay_that_runs_is_good_and_its_channels_are_what_the_disk_is_judged_by(
    bench, spawn, run, channel_name
):
    relay = bench.relay("-o", "rec")
    spawn("send", "--demo", "--rate", 500, "--name", channel_name, "--to", f"{LOOPBACK}:{relay.port}")
    bench.discovery.hear(channel_name, lambda said: 450 < float(said["rate_hz"]) < 550)
    _, out, _ = run("doctor", "--json", "--listen", f"{LOOPBACK}:{relay.port}", "-o", "rec")
    (port,) = found(out, "port")
    assert (port["state"], port["what"].endswith(f"listens there already (process {relay.pid})")) == (
        "ok",
        True,
    )
    assert any(f"records there already (process {relay.pid})" in row["what"] for row in found(out, "disk"))
    (live,) = (row for row in found(out, "channels") if "live" in row["what"])
    assert live["measured"]["bytes_s"] > 10_000
    what = " ".join(row["what"] for row in found(out, "disk"))
    assert "/s of " in what


def test_a_channel_whose_clock_is_wrong_is_a_warning(bench, run, spawn, channel_name, tmp_path):
    relay = bench.relay("--no-record")
    (tmp_path / "old.json").write_text(
        "".join(f'{{"time": {10**18 + n}, "volts": 1.0}}\n' for n in range(50))
    )
    (tmp_path / "old.avsc").write_text(
        '{"type": "record", "name": "rig", "fields": [{"name": "time", "type": {"type": "long", '
        '"logicalType": "timestamp-nanos"}}, {"name": "volts", "type": "double"}]}'
    )
    where = f"{LOOPBACK}:{relay.port}"
    spawn(
        "send", "old.json", "-s", "old.avsc", "--loop", "--rate", 100, "--name", channel_name, "--to", where
    )
    bench.discovery.hear(channel_name, lambda said: float(said["rate_hz"]) > 50)
    status, out, _ = run("doctor", "--json")
    (told,) = [row for row in found(out, "clock") if channel_name in row["what"]]
    assert (status, told["state"]) == (1, "warning")
    assert "behind this clock" in told["what"]
    assert "--stamp" in told["cure"]


# --- the command -----------------------------------------------------------------------------------------


def test_it_looks_at_what_a_relay_would_use_by_its_settings(run, tmp_path, free_port):
    port = free_port()
    (tmp_path / "speeddata.toml").write_text(
        f'[relay]\noutput = "elsewhere"\nmin-free = "100%"\n'
        f'[channels.pump]\nlisten = {port}\nschema = "no.avsc"\n'
        f'[channels.far]\nlisten = "239.1.1.9:{port}"\n'  # a group: many may listen there
    )
    status, out, _ = run("doctor", "--json")
    assert [row["what"] for row in found(out, "port")] == [
        f"0.0.0.0:{port}, where datums of pump are to arrive, is free for a relay"
    ]
    assert any(
        "elsewhere" in row["what"] and "100% of --min-free" in row["what"] for row in found(out, "disk")
    )
    assert [row["state"] for row in found(out, "channels") if "schema" in row["what"]] == ["fault"]
    assert status == 1
    _, out, _ = run("doctor", "--json", "-o", "here")
    assert all(row["what"].startswith(("here", "cannot tell how fast here")) for row in found(out, "disk"))


def test_it_is_done_within_a_few_seconds_and_changes_nothing(run, tmp_path):
    began = time.monotonic()
    status, out, err = run("doctor")
    assert time.monotonic() - began < 10  # two, where nobody else works on the machine
    assert list(tmp_path.iterdir()) == []
    assert (status, err) in ((0, ""), (1, err))
    assert "\x1b" not in out
    heads = [line.split()[0] for line in out.splitlines()]
    assert set(heads) <= {"ok", "note", "warning", "fault", "cure:"}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--expect", "much"], "'much' is no size"),
        (["--listen", "here"], "'here' is no endpoint"),
        (["data"], "unexpected extra argument"),
    ],
)
def test_what_makes_no_sense_has_status_2(run, args, said):
    status, out, err = run("doctor", *args)
    assert (status, out, said in err) == (2, "", True)


def test_on_a_terminal_states_have_colours_unless_nobody_wants_any(environment, tmp_path):
    for added, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        with Terminal("doctor", cwd=tmp_path, env={**environment, **added}) as terminal:
            terminal.until("program")
            assert (b"\x1b[32m" in terminal.drawn) == coloured


def test_a_reader_that_leaves_is_the_end_and_no_failure(environment, tmp_path):
    line = f"{DOCTOR} | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], env=environment, cwd=tmp_path, capture_output=True
    )
    assert (done.returncode, done.stderr, done.stdout.count(b"\n")) == (0, b"", 1)
