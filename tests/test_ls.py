"""`speeddata ls`: what is live, what a recording holds, and how it goes."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys

import fastavro
import pytest
from by_hand import DISCOVERY, LOOPBACK, NOON, RIG_TEXT, Bench, announcement, rig
from hosts import host, needs_root

from speeddata.wire import finding

assert host is not None  # a fixture


@pytest.fixture
def bench(spawn, free_port, wait_for):
    with Bench(spawn, free_port, wait_for) as bench:
        yield bench


@pytest.fixture
def listed(run):
    """`listed(name)`: what `ls --json` tells of a channel, or None."""

    def ask(name: str, *args: object):
        status, out, err = run("ls", "--json", *args)
        assert (status, err) == (0, "")
        told = {row["channel"]: row for row in map(json.loads, out.splitlines())}
        return told.get(name)

    return ask


def test_a_live_channel_is_listed_with_its_state_rate_endpoints_and_losses(
    bench, spawn, run, listed, channel_name, wait_for
):
    relay = bench.relay("-n", 8)
    silent = f"{channel_name}.silent"
    bench.begun(silent, relay.port)
    assert listed(silent)["state"] == "live"
    quiet, said = bench.begun(channel_name, relay.port)
    quiet.send(rig(range(10)))
    quiet.sent += 7  # that nobody will ever receive
    quiet.announce()
    bench.discovery.hear(channel_name, lambda said: said["lost"] == "7")
    busy = f"{channel_name}.busy"
    spawn("send", "--demo", "--rate", 200, "--name", busy, "--to", f"{LOOPBACK}:{relay.port}")
    bench.discovery.hear(busy, lambda said: 190 < float(said["rate_hz"]) < 210)

    quiet.announce()  # or it would be silent by now
    told = listed(channel_name)
    assert told.pop("rate") >= 0
    assert told == {
        **{"channel": channel_name, "state": "live", "session": quiet.session, "relay": said["from"]},
        **{"full": said["full"], "decimated": said["decimated"], "factor": 8, "method": "pick"},
        **{"received": 10, "lost": 7, "lost_kernel": 0, "lost_disk": 0, "rejected": 0},
        "signals": ["time", "volts", "note"],
    }
    assert listed(busy)["rate"] == pytest.approx(200, rel=0.3)

    quiet.announce()
    status, out, err = run("ls")
    assert (status, err) == (0, "")
    heading, *lines = out.splitlines()
    assert heading.split() == "channel state rate full decimated lost rejected signals".split()
    words = {line.split()[0]: line.split() for line in lines}
    assert words[channel_name][1] == "live"
    assert words[channel_name][3:] == [said["full"], said["decimated"], "7", "0", "time", "volts", "note"]
    assert words[busy][2].endswith("/s")

    assert wait_for(lambda: listed(silent)["state"] == "silent")  # after three seconds
    quiet.end()
    assert wait_for(lambda: (now := listed(channel_name))["state"] == "end" and now)["lost"] == 7
    relay.terminate()
    assert listed(busy) is None


def test_none_is_missed_that_answered_another_a_moment_ago(bench, channel_name):
    names = {f"{channel_name}.{number}" for number in range(3)}
    for number, name in enumerate(names):
        bench.begun(name, bench.relay("-o", f"rec{number}").port)
    for _ in range(6):
        bench.discovery.ask()
        found = {said.channel for said, _ in finding.survey([LOOPBACK])}
        assert names <= found


def test_a_recording_is_listed_from_its_files_with_and_without_their_indexes(
    bench, run, listed, channel_name, tmp_path
):
    relay = bench.relay("-o", "rec")
    source, _ = bench.begun(channel_name, relay.port)
    source.send([*rig(range(1000)), b"junk"])
    source.sent += 3
    source.end()
    bench.discovery.hear(channel_name, lambda said: said["state"] == "end" and said["lost"] == "3")
    assert relay.terminate() == 0
    told = listed(channel_name, "rec")
    (path,) = (tmp_path / "rec" / channel_name).glob(f"{channel_name}_*.avro")
    assert told == {
        **{"channel": channel_name, "files": 1, "size": path.stat().st_size, "datums": 1000},
        **{"rate": pytest.approx(1e9), "lost": 3, "rejected": 1, "signals": ["time", "volts", "note"]},
        **{"since": "2025-12-03T12:00:00.000000000Z", "until": "2025-12-03T12:00:00.000000999Z"},
    }
    status, out, err = run("ls", "rec")
    assert (status, err) == (0, "")
    assert out.splitlines()[1].split()[:8] == [
        *(channel_name, "1", *f"{path.stat().st_size / 1024:.1f} KiB".split(), "1000", "1G/s"),
        *("2025-12-03T12:00:00.000Z", "2025-12-03T12:00:00.000Z"),
    ]
    for index in (tmp_path / "rec").rglob("*.index"):
        index.unlink()
    assert listed(channel_name, "rec") == told


def test_files_that_others_wrote_are_listed_too(listed, tmp_path):
    with (tmp_path / "a.avro").open("wb") as file:
        rows = [{"time": NOON + n, "volts": 0.0, "note": ""} for n in range(5)]
        fastavro.writer(file, json.loads(RIG_TEXT), rows, codec="deflate")
    assert (listed("rig", ".")["datums"], listed("rig", ".")["files"]) == (5, 1)


def test_nothing_at_all_is_no_failure_and_no_words(run, tmp_path):
    (tmp_path / "empty").mkdir()
    assert run("ls", "empty") == (0, "", "")
    status, _, err = run("ls", "nowhere")
    assert (status, err) == (1, "speeddata: nowhere: cannot read: No such file or directory\n")


def test_what_strangers_announce_cannot_steer_the_terminal_or_break_the_list(
    run, channel_name, spawn, wait_for
):
    hostile = announcement(
        RIG_TEXT, channel=channel_name, session="x", role="relay", full="\x1b[31mred", rate_hz="\u00b2",
        state="\a", lost="-1", rejected="9" * 4000,
    )  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, struct.pack("B", 1))
        asked = spawn("ls")
        while asked.running:
            sock.sendto(hostile, DISCOVERY)
        out = asked.stdout.rest().decode()
    assert (asked.wait(), asked.stderr.rest()) == (0, b"")
    assert channel_name in out
    assert out.replace("\n", "").isprintable()


def test_listing_what_is_live_loads_no_numpy(spawn, environment, tmp_path):
    script = "import sys; from speeddata import cli; cli.main(['ls']); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True)
    assert (done.stdout.decode().splitlines()[-1], done.stderr) == ("False", b"")


@needs_root
def test_a_relay_without_a_channel_is_told_from_none_at_all(host, wait_for):
    here = host()

    def said() -> str:
        out, err = here.start("speeddata ls -v").communicate(timeout=20)
        assert out == ""
        return err

    assert said().startswith("speeddata: no relay answered; start one with `speeddata relay`")
    relay = here.start("exec speeddata relay --no-record")
    wait_for(lambda: "a relay runs here (process " in said())
    assert relay.poll() is None
