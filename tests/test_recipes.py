"""man/speeddata-recipes.md, taken out of the page and run: a service, cron, what is kept, a container."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest
from by_hand import recordings, records
from haystack_server import HaystackServer, point
from hosts import host, needs, needs_root
from hxpush_by_hand import NOTE, TIME, VOLTS, record
from recipes import BLOCKS, PAGE, block, replaced

from speeddata.wire.sockets import RECEIVE_BUFFER

assert host is not None  # a fixture

MINUTE = 60 * 10**9


def test_every_block_has_a_name_and_a_test():
    assert PAGE.count("\n```") == 2 * len(BLOCKS)
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_recipes*.py"))
    assert [name for name in BLOCKS if f'block("{name}")' not in tests] == []


# --- a service --------------------------------------------------------------------------------------------


@needs("systemd-analyze", "systemd-sysusers")
def test_systemd_understands_the_unit_and_finds_it_hardened(tmp_path):
    unit = tmp_path / "speeddata-relay.service"
    program = "/opt/speeddata/bin/speeddata"
    unit.write_text(replaced(block("speeddata-relay.service"), (program, "/bin/true")))
    for words in ("verify --man=no", "security --offline=true --threshold=15"):
        done = subprocess.run(
            ["systemd-analyze", *words.split(), unit], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert f"enable --now {unit.stem}" in block("install")
    assert subprocess.run(["bash", "-n", "-c", block("install")]).returncode == 0
    (tmp_path / "etc").mkdir()
    (tmp_path / "users.conf").write_text(block("sysusers.conf"))
    sysusers = ["systemd-sysusers", f"--root={tmp_path}", tmp_path / "users.conf"]
    subprocess.run(sysusers, capture_output=True, check=True)
    name, _, uid, *_ = (tmp_path / "etc" / "passwd").read_text().split(":")
    assert f"User={name}\n" in unit.read_text()
    assert 0 < int(uid) < 1000


def test_the_buffer_of_the_drop_in_is_the_one_that_is_asked_for():
    assert block("sysctl.conf") == f"net.core.rmem_max={RECEIVE_BUFFER}\n"
    if sys.platform == "linux":
        assert Path("/proc/sys/net/core/rmem_max").exists()


# socket(2) in the tables of Linux; the filter below needs to know it
SOCKET_CALL = {"x86_64": 41, "aarch64": 198}.get(os.uname().machine)


def confined(families: list[int]) -> bytes:
    """A filter for seccomp(2), as RestrictAddressFamilies= makes one: no socket of another family."""
    load, equal, result = 0x20, 0x15, 0x06  # linux/bpf_common.h
    allowed, refused = 0x7FFF0000, 0x00050000 | 97  # EAFNOSUPPORT
    steps = [(load, 0, 0, 0), (equal, 0, len(families) + 2, SOCKET_CALL), (load, 0, 0, 16)]
    steps += [(equal, len(families) - n, 0, family) for n, family in enumerate(families)]
    steps += [(result, 0, 0, refused), (result, 0, 0, allowed)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


CONFINE = """
import ctypes, os, sys
steps = bytes.fromhex(sys.argv[1])
class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("steps", ctypes.c_char_p)]
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert not prctl(38, 1, 0, 0, 0) and not prctl(22, 2, ctypes.byref(Program(len(steps) // 8, steps)))
os.execvp(sys.argv[2], sys.argv[2:])
"""


@needs_root
@pytest.mark.skipif(SOCKET_CALL is None, reason="needs to know the number of socket(2)")
def test_the_relay_of_the_unit_needs_no_other_sockets_and_what_it_records_others_may_read(host, tmp_path):
    unit = block("speeddata-relay.service")
    said = dict(re.findall(r"^(\w+)=(.*)$", unit, re.M))
    (tmp_path / "speeddata.toml").write_text(block("speeddata.toml"))
    (tmp_path / "kept").mkdir(mode=int(said["StateDirectoryMode"], 8))
    steps = confined([getattr(socket, name) for name in said["RestrictAddressFamilies"].split()])
    line = replaced(
        said["ExecStart"],
        ("/opt/speeddata/bin/speeddata", "speeddata"),
        ("/etc/speeddata", tmp_path),
        ("/var/lib/speeddata", tmp_path / "kept"),
    )
    one = host()
    inside = ["nsenter", "--net", "--target", str(one.first), sys.executable, "-c", CONFINE, steps.hex()]
    relay = subprocess.Popen(
        [*inside, *line.split()],
        env=one.environment,
        stderr=subprocess.PIPE,
        umask=int(said["UMask"], 8),
    )
    try:
        one.start("speeddata send --demo --name rig --rate 200")
        one.hear("rig", lambda said: int(said["received"]) > 50)
    finally:
        relay.send_signal(signal.SIGTERM)
        _, err = relay.communicate(timeout=20)
    assert (relay.returncode, err) == (0, b"")
    (path,) = recordings(tmp_path / "kept", "rig")
    assert len(records(path)) > 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


# --- cron -------------------------------------------------------------------------------------------------


def crontab() -> dict[str, str]:
    """The commands of the crontab as cron gives them to the shell, by a word that tells them apart."""
    commands = {}
    for line in block("crontab").splitlines():
        if not line.startswith("#") and not re.fullmatch(r"[A-Z]+=.*", line):
            *when, command = line.split(maxsplit=5)
            assert len(when) == 5
            assert all(re.fullmatch(r"\*(/\d+)?|\d+", each) for each in when)
            assert not re.search(r"(?<!\\)%", command), "cron makes a new line of it"
            (word,) = (word for word in ("pivot", "hxpush", "subscribe", "find") if f"{word} " in command)
            commands[word] = command.replace(r"\%", "%")
    return commands


@pytest.fixture
def cron(tmp_path, environment):
    """`cron("pivot", ...)` runs a line of the crontab, and replaces parts of it before: status and output."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "speeddata").write_text(f'#!/bin/sh\nexec {sys.executable} -m speeddata "$@"\n')
    (programs / "speeddata").chmod(0o755)
    (where,) = re.findall("^PATH=(.*)$", block("crontab"), re.M)
    ours = {
        **environment,
        "PATH": replaced(where, ("/opt/speeddata/bin", programs)),
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }

    def shell(command, *pairs):
        done = subprocess.run(
            ["sh", "-c", replaced(command, *pairs)],
            cwd=tmp_path,
            env=ours,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout

    return lambda word, *pairs: shell(crontab().get(word, word), *pairs)


def recorded_each_minute(directory: Path, until_ns: int, count: int) -> None:
    rows = [{"time": until_ns - n * MINUTE, "volts": float(n), "note": "x"} for n in range(count - 1, -1, -1)]
    record(directory, "rig", [TIME, VOLTS, NOTE], rows, rows[0]["time"])


@needs("flock")
@pytest.mark.skipif(sys.platform != "linux", reason="needs the date of GNU")
def test_cron_makes_the_set_of_the_last_whole_hour_and_one_at_a_time(cron, tmp_path):
    now_ns = time.time_ns()
    recorded_each_minute(tmp_path / "rec", now_ns, 200)
    line = "pivot", ("/var/lib/speeddata", tmp_path / "rec")
    with open(tmp_path / ".speeddata-pivot", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert cron(*line) == (0, "")
        assert not (tmp_path / "sets").exists()
    assert cron(*line) == (0, "")
    assert cron(*line) == (0, ""), "made again"
    for path in (tmp_path / "sets").iterdir():  # two, where the hour was full meanwhile
        until = time.strptime(path.name, "%Y%m%dT%H.h5")
        with h5py.File(path) as file:
            times = file["rig/time"][:]
            assert file.attrs["until"] == time.strftime("%Y-%m-%dT%H:00:00.000000000Z", until)
        assert len(times) == 60
        assert {stamp // (60 * MINUTE) for stamp in times.tolist()} <= {
            now_ns // (60 * MINUTE) - 1,
            now_ns // (60 * MINUTE),
        }


def test_cron_uploads_and_is_quiet(cron, tmp_path):
    recorded_each_minute(tmp_path / "rec", time.time_ns(), 5)
    (tmp_path / ".hx").write_text("geheim")
    (tmp_path / ".hx").chmod(0o600)
    (tmp_path / "map.toml").write_text("point = [{ signal = 'rig.volts' }]\n")
    with HaystackServer(password="geheim") as server:
        server.add(point("p-volts", unit="V", speeddataKey="rig.volts"))
        line = "hxpush", ("/var/lib/speeddata", tmp_path / "rec"), ("https://host/api/demo", server.url)
        assert cron(*line) == (0, "")
        assert cron(*line) == (0, "")
        assert [value for _, value in server.history("p-volts")] == [4, 3, 2, 1, 0]
        assert server.count("hisWrite") == 1


@needs("flock")
def test_cron_delivers_to_a_customer_and_is_quiet(cron, tmp_path):
    recorded_each_minute(tmp_path / "rec", time.time_ns(), 5)
    destination = "echo sqlite:log.db | speeddata subscribe set --customer plant"
    assert cron(f"{destination} && speeddata subscribe add --customer plant rig/volts --position -1h")[0] == 0
    line = "subscribe", ("/var/lib/speeddata", tmp_path / "rec")
    assert cron(*line) == (0, "")
    assert cron(*line) == (0, "")
    status, points = cron("speeddata subscribe listen --customer plant --points")
    assert status == 0
    assert [json.loads(line)["value"] for line in points.splitlines()] == [4, 3, 2, 1, 0]


# --- keeping ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["find", "keep-sets"])
def test_sets_older_than_a_day_go(cron, tmp_path, text):
    (tmp_path / "sets").mkdir()
    for name, hours in (("old.h5", 24.1), ("young.h5", 23.9), ("old.txt", 99)):
        (tmp_path / "sets" / name).touch()
        os.utime(tmp_path / "sets" / name, (0, time.time() - 3600 * hours))
    assert cron("find" if text == "find" else block("keep-sets")) == (0, "")
    assert {path.name for path in (tmp_path / "sets").iterdir()} == {"young.h5", "old.txt"}


@needs_root
def test_recordings_older_than_a_day_go(host, tmp_path, wait_for):
    paths = {}
    for hours in (30, 25, 23, 1):
        ended = time.time_ns() - hours * 60 * MINUTE
        recorded_each_minute(tmp_path / "rec", ended, 10)
        paths[hours] = recordings(tmp_path / "rec", "rig")[-1]
        os.utime(paths[hours], ns=(ended, ended))
    host().start(block("keep"))
    wait_for(lambda: not paths[30].exists() and not paths[25].exists())
    assert recordings(tmp_path / "rec", "rig") == [paths[23], paths[1]]


# --- a container ------------------------------------------------------------------------------------------


@needs_root
def test_the_program_of_the_image_ends_well_as_process_1_and_its_health_is_a_live_channel(host, tmp_path):
    said = dict(re.findall(r"^([A-Z]+) (.*)$", block("Containerfile"), re.M))
    check = said["HEALTHCHECK"].partition(" CMD ")[2]
    words = [*json.loads(said["ENTRYPOINT"]), *json.loads(said["CMD"])]
    assert said["VOLUME"] == words[-1]
    words[-1] = str(tmp_path / "volume")
    one = host()
    first = ["nsenter", "--net", "--target", str(one.first), "unshare", "--pid", "--fork", "--kill-child"]
    outer = subprocess.Popen([*first, *words], env=one.environment, stderr=subprocess.PIPE)
    try:
        assert one.start(check).wait(20) == 1
        one.start("speeddata send --demo --name rig --rate 200")
        one.hear("rig")
        assert one.run(check) == ""
        (relay,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        os.kill(int(relay), signal.SIGTERM)
        _, err = outer.communicate(timeout=20)
    finally:
        outer.kill()
        outer.communicate()
    assert (outer.returncode, err) == (0, b"")
    assert recordings(tmp_path / "volume", "rig")
    run = shlex.split(block("container"))
    assert run[run.index("--network") + 1] == "host"
    assert run[run.index("--volume") + 1].endswith(f":{said['VOLUME']}")
