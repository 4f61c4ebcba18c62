"""What the network, the disk and its user may do to a relay: it goes on, and tells what is missing."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from by_hand import (
    BULK_TEXT,
    DISCOVERY,
    LOOPBACK,
    RIG_TEXT,
    Bench,
    announced,
    announcement,
    bulk,
    ledger,
    metadata,
    recorded,
    recordings,
    records,
    rig,
    unused_port,
)

GIVEN_UP = "came from addresses that have no channel, or were refused one; given up"
CURE = "a bare sender needs a port and a schema of its own: speeddata relay NAME=PORT,FILE.avsc"


@pytest.fixture
def free_port():
    return unused_port


@pytest.fixture
def bench(spawn, free_port, wait_for):
    with Bench(spawn, free_port, wait_for) as bench:
        yield bench


def stopped(relay):
    """Stop *relay*, which succeeds; what it said on stderr, a note a line."""
    assert relay.terminate() == 0
    return relay.stderr.rest().decode().splitlines()


def resident_bytes(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def behaves(bench, name, relay, tmp_path, numbers=range(200)):
    """A well-behaved channel loses nothing in *relay*: served, counted and, later, in the recording."""
    source, said = bench.begun(name, relay.port)
    member = bench.member(said["full"])
    source.send(rig(numbers))
    assert member.take(len(numbers)) == rig(numbers)
    source.end()
    said = bench.discovery.hear(name, lambda said: said["state"] == "end")
    assert (said["received"], said["lost"], said["rejected"]) == (str(len(numbers)), "0", "0")


# -- names and schemas ------------------------------------------------------------------------------------


def test_the_second_of_two_sources_that_claim_one_name_is_refused(bench, channel_name, tmp_path):
    relay = bench.relay()
    first, said = bench.begun(channel_name, relay.port)
    member = bench.member(said["full"])
    second = bench.source(channel_name, relay.port)
    for number in range(100):
        if number % 20 == 0:
            second.announce()
        second.send(rig([1000 + number]))
        first.send(rig([number]))
    assert member.take(100) == rig(range(100))
    notes = stopped(relay)
    who = f"{LOOPBACK}:{second.address[1]}"
    assert notes == [
        f"speeddata: {channel_name} from {who} refused: {LOOPBACK}:{first.address[1]} has this name",
        f"speeddata: 100 datums {GIVEN_UP}; {CURE}",
    ]
    assert recorded(*recordings(tmp_path / "data", channel_name)) == b"".join(rig(range(100)))


def test_a_name_with_a_port_of_its_own_cannot_be_claimed_elsewhere(bench, free_port, channel_name, tmp_path):
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    own = free_port()
    relay = bench.relay(f"{channel_name}={LOOPBACK}:{own},rig.avsc")
    thief = bench.source(channel_name, relay.port)
    thief.announce()
    thief.announce()
    thief.send(rig(range(100, 110)))
    bench.source(channel_name, own).say(*rig(range(10)))
    bench.discovery.received(channel_name, 10)
    note, lost = stopped(relay)
    assert f"refused: the name belongs to the channel on {LOOPBACK}:{own}" in note
    assert lost == f"speeddata: 10 datums {GIVEN_UP}; {CURE}"
    assert recorded(*recordings(tmp_path / "data", channel_name)) == b"".join(rig(range(10)))


def test_nor_is_a_refused_source_mixed_into_a_fixed_channel(bench, spawn, free_port, channel_name, tmp_path):
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    port = free_port()
    relay = spawn("relay", f"{channel_name}={LOOPBACK}:{port},rig.avsc")
    bench.listening(relay, port)
    first, second = bench.source(channel_name, port), bench.source(channel_name, port)
    first.announce()
    first.send(rig(range(10)))
    bench.discovery.received(channel_name, 10)
    second.announce()
    second.send(rig(range(100, 110)))
    assert "refused" in relay.stderr.line()
    first.send(rig(range(10, 20)))
    bench.discovery.received(channel_name, 20)
    assert stopped(relay) == [f"speeddata: 10 datums {GIVEN_UP}; {CURE}"]
    assert recorded(*recordings(tmp_path / "data", channel_name)) == b"".join(rig(range(20)))


HOSTILE_NAMES = [
    "../../etc/x",
    "..",
    "/tmp/x",
    "a/b",
    "\x1b[31mred\x07",
    "nul\0byte",
    "new\nline",
    "x" * 300,
    "",
    ".hidden",
    "x.avro",
    "*",
]


def test_hostile_names_touch_nothing(bench, channel_name, tmp_path):
    (tmp_path / "here").mkdir()
    relay = bench.relay(cwd=tmp_path / "here")
    for name in HOSTILE_NAMES:
        source = bench.source(name, relay.port)
        source.announce()
        source.send(rig(range(3)))
    source = bench.source(channel_name, relay.port, session="bad session\x1b[2J")
    source.announce()
    behaves(bench, channel_name, relay, tmp_path)
    # nobody announced those datums in a way that counts: given up after 3 s, which is said
    assert GIVEN_UP in relay.stderr.line()
    assert all(note.startswith("speeddata: in all, ") for note in stopped(relay))
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_dir()}
    assert made == {Path("here"), Path("here/data"), Path("here/data") / channel_name}


def record(*types):
    """A schema as text: a record of one field of each type."""
    fields = [{"name": f"f{number}", "type": each} for number, each in enumerate(types)]
    return {"type": "record", "name": f"r{len(types)}", "fields": fields}


HOSTILE_SCHEMAS = {
    "not JSON": "{",
    "empty": "",
    "not a record": '"long"',
    "no Avro": json.dumps(record("quaternion")),
    "recursive": json.dumps(record(["null", "r1"])),
    "ten thousand fields": json.dumps(record(record(*["int"] * 100), *["r100"] * 98)),
    "deep": "[" * 30_000,
    "deep arrays": '{"type": "array", "items": ' * 2000 + '"int"' + "}" * 2000,
    "field names": json.dumps(record("int")).replace("f0", "../\\u001b[31m"),
    "huge fixed": json.dumps(record({"type": "fixed", "name": "x", "size": 10**15})),
    "no bytes at all": json.dumps(record("null")),
}


def test_hostile_schemas_are_refused_in_a_line_each_and_harm_nothing(bench, channel_name, tmp_path):
    relay = bench.relay()
    before = resident_bytes(relay.pid)
    for number, schema_text in enumerate(HOSTILE_SCHEMAS.values()):
        source = bench.source(f"{channel_name}_{number}", relay.port, schema_text=schema_text)
        for _ in range(3):  # a session that was refused stays so
            source.announce()
        note = relay.stderr.line()
        assert note.startswith(f"speeddata: announced by {LOOPBACK}:{source.address[1]}: ")
        assert note.isprintable()
    assert resident_bytes(relay.pid) - before < 64 << 20
    behaves(bench, f"{channel_name}_0", relay, tmp_path)  # the name is free
    assert stopped(relay) == []
    assert [path.name for path in (tmp_path / "data").iterdir() if path.is_dir()] == [f"{channel_name}_0"]


@pytest.mark.parametrize("which", ["not JSON", "recursive", "ten thousand fields", "not a record"])
def test_a_hostile_schema_file_ends_the_command_with_status_3(run, free_port, tmp_path, which):
    (tmp_path / "bad.avsc").write_text(HOSTILE_SCHEMAS[which])
    status, out, err = run("relay", f"rig={LOOPBACK}:{free_port()},bad.avsc")
    assert (status, out) == (3, "")
    assert err.startswith("speeddata: bad.avsc: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_a_source_that_comes_back_with_a_hostile_schema_ends_its_channel(bench, channel_name, tmp_path):
    relay = bench.relay()
    source, _ = bench.begun(channel_name, relay.port)
    source.send(rig(range(5)))
    source.session, source.schema_text = "again", "{"
    source.announce()
    source.send(rig(range(5, 10)))
    bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
    assert relay.terminate() == 0
    assert recorded(*recordings(tmp_path / "data", channel_name)) == b"".join(rig(range(5)))


def test_odd_numbers_in_announcements_are_no_loss(bench, channel_name):
    relay = bench.relay()
    source, _ = bench.begun(channel_name, relay.port)
    for sent in ("-7", "9" * 30, "1e9", "\u0663", "", "0x10"):
        said = {"channel": channel_name, "session": source.session, "role": "source", "sent": sent}
        source.say(announcement(RIG_TEXT, **said))
    source.send(rig(range(10)))
    source.end()
    said = bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
    assert (said["received"], said["lost"]) == ("10", "0")
    assert stopped(relay) == []


# -- floods -----------------------------------------------------------------------------------------------


def test_an_announcement_flood_leaves_channels_and_memory_bounded_and_others_without_loss(
    bench, channel_name, tmp_path
):
    relay = bench.relay()
    good, said = bench.begun(channel_name, relay.port)
    member = bench.member(said["full"], buffer_bytes=32 << 20)
    flood = [bench.source("", relay.port) for _ in range(400)]
    behind = iter(range(1 << 30))
    before = resident_bytes(relay.pid)
    for turn in range(8):  # 3,200 names
        for source in flood:
            source.name = f"{channel_name}_{next(behind)}"
            if turn % 2:
                source.session = secrets.token_hex(8)
            source.announce()
            source.say(b"x" * 100)
        good.send(rig(range(turn * 50, turn * 50 + 50)))
        assert member.take(50) == rig(range(turn * 50, turn * 50 + 50))
    good.announce()
    said = bench.discovery.received(channel_name, 400)
    assert (said["lost"], said["rejected"]) == ("0", "0")
    assert channel_name in (served := names_served(bench, channel_name))
    assert 200 < len(served) <= 256
    assert resident_bytes(relay.pid) - before < 48 << 20
    # once the flood is over its names make room
    late = bench.source(f"{channel_name}_late", relay.port)
    end = time.monotonic() + 10
    heard = None
    while heard is None and time.monotonic() < end:
        late.announce()
        good.announce()
        with contextlib.suppress(AssertionError):
            heard = bench.discovery.hear(late.name, deadline_s=0.3)
    assert heard
    notes = stopped(relay)
    assert sum("too many channels" in note for note in notes) == 1
    assert recorded(*recordings(tmp_path / "data", channel_name)) == b"".join(rig(range(400)))


def names_served(bench, prefix):
    """The names of channels that a relay announces within a second, of those that begin with *prefix*."""
    names = set()
    for datagram, _ in bench.discovery.datagrams(1.1):
        if b"relay" in datagram and prefix.encode() in datagram:
            names.add(announced(datagram)["channel"])
    return names


def test_a_flood_of_false_relays_on_the_discovery_group_uses_up_no_ports(bench, channel_name):
    relay = bench.relay()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
        liar = {"channel": channel_name + "_liar", "session": "liar", "role": "relay"}
        template = announcement('"null"', **liar, full="239.1.1.9:PORT!")
        for port in [*range(20_000, 30_000)] * 2:
            sock.sendto(template.replace(b"PORT!", b"%5d" % port), DISCOVERY)
            if port % 250 == 0:  # no faster than it is listened to
                bench.discovery.hear(
                    channel_name + "_liar",
                    lambda said, port=port: said["full"].endswith(str(port)),
                    ask=False,
                )
    assert bench.begun(channel_name, relay.port)[1]["state"] == "live"
    assert stopped(relay) == []


FLOOD = """
import socket, struct, sys
datum, to = bytes.fromhex(sys.argv[1]), ("127.0.0.1", int(sys.argv[2]))
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.sendto(bytes.fromhex(sys.argv[3]), to)
try:
    sock.setsockopt(socket.IPPROTO_UDP, 103, len(datum))  # UDP_SEGMENT
    datum *= 64
except OSError:
    pass
while True:
    sock.sendto(datum, to)
"""


def test_a_relay_that_is_sent_more_than_it_can_take_still_answers_and_stops(bench, channel_name, tmp_path):
    relay = bench.relay("--no-record")
    floods = []
    try:
        for name in (channel_name, channel_name + "_b"):
            hello = announcement(RIG_TEXT, channel=name, session=name, role="source", sent=0)
            args = rig([3], note="n" * 40)[0].hex(), str(relay.port), hello.hex()
            floods.append(subprocess.Popen([sys.executable, "-c", FLOOD, *args]))
        bench.discovery.received(channel_name, 200_000)
        began = time.monotonic()
        bench.discovery.hear(channel_name)
        assert time.monotonic() - began < 1.0
        assert relay.terminate() == 0
        assert time.monotonic() - began < 6.0
    finally:
        for flood in floods:
            flood.kill()
            flood.wait()


def test_datums_that_wait_for_an_announcement_are_bounded_and_the_rest_is_told(bench, channel_name):
    relay = bench.relay("--no-record")
    source = bench.source(channel_name, relay.port, schema_text=BULK_TEXT)
    before = resident_bytes(relay.pid)
    for _ in range(400):
        source.say(*bulk([1], 60_000))  # 24 MB of which 8 MiB may wait
    source.announce()
    said = bench.discovery.received(channel_name, 10)
    assert int(said["received"]) < 8 * 2**20 / 60_000
    assert resident_bytes(relay.pid) - before < 64 << 20
    assert "given up" in relay.stderr.line()
    assert all(note.startswith("speeddata: in all, ") for note in stopped(relay))


def test_datums_that_nobody_announced_are_told_in_the_end_with_all_that_came_later(bench, channel_name):
    relay = bench.relay("--no-record")
    source = bench.source(channel_name, relay.port)
    source.say(*rig(range(3)))
    assert relay.stderr.line() == f"speeddata: 3 datums {GIVEN_UP}; {CURE}"
    source.say(*rig(range(2)))
    assert stopped(relay) == [f"speeddata: in all, 5 datums {GIVEN_UP}"]


# -- datums that are none ---------------------------------------------------------------------------------


def test_what_is_no_datum_lands_in_rejected_and_the_rest_is_recorded(bench, channel_name, tmp_path):
    relay = bench.relay()
    source, said = bench.begun(channel_name, relay.port)
    member = bench.member(said["full"])
    good = rig(range(1, 41), note="note")
    bad = {
        "empty": b"",
        "truncated": good[0][:-1],
        "one byte": b"\x80",
        "too long": good[0] + b"\0\0\0",
        "largest": good[0] + b"\xff" * (65_507 - len(good[0])),
        "random": secrets.token_bytes(200),
        "other schema": bulk([5], 30)[0],
        "huge length": good[0][:-5] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        "magic": b"Obj\x01" + secrets.token_bytes(60),
        "half an announcement": announcement(RIG_TEXT, channel=channel_name, session="s", role="source")[:90],
        "no UTF-8": good[0][:-1] + b"\xff",
    }
    for number, each in enumerate(bad.values()):
        source.send([good[number], each])
    source.send(good[len(bad) :])
    source.end()
    said = bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
    assert (said["received"], said["lost"]) == (str(len(good) + len(bad)), "0")
    assert len(member.take(len(good) + len(bad))) == len(good) + len(bad)  # served before it is looked at
    assert stopped(relay) == []
    home = tmp_path / "data" / channel_name
    assert recorded(*recordings(tmp_path / "data", channel_name)) == b"".join(good)
    rejected = records(home / "rejected.avro")
    assert [each["bytes"] for each in rejected] == list(bad.values())
    assert {each["source"] for each in rejected} == {f"{LOOPBACK}:{source.address[1]}"}
    assert all(each["reason"] for each in rejected)
    assert "3 bytes too many" in rejected[3]["reason"]
    assert metadata(home / "rejected.avro")["speeddata.role"] == "rejected"
    assert ledger(tmp_path / "data", channel_name, "file")["rejected"] == len(bad)


def test_a_source_that_announces_another_schema_than_the_file_is_told_of_once(
    bench, spawn, free_port, channel_name, tmp_path
):
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    port = free_port()
    relay = spawn("relay", f"{channel_name}={LOOPBACK}:{port},rig.avsc")
    bench.listening(relay, port)
    source = bench.source(channel_name, port, schema_text=BULK_TEXT)
    for _ in range(3):
        source.announce()
        source.send(bulk([1], 30))
    bench.discovery.hear(channel_name, lambda said: said["rejected"] == "3")
    (note,) = stopped(relay)
    assert "it announces another schema than the channel's file" in note
    assert recordings(tmp_path / "data", channel_name) == []


# -- the system says no -----------------------------------------------------------------------------------


def refused(run, *args):
    """The one line that `speeddata relay` says when it ends with status 1."""
    status, out, err = run("relay", *args)
    assert (status, out, err.count("\n")) == (1, "", 1), err
    assert err.startswith("speeddata: ")
    return err


def test_a_port_in_use_is_status_1_and_a_line(bench, run):
    relay = bench.relay("-o", "one")
    err = refused(run, "--listen", f"{LOOPBACK}:{relay.port}", "-o", "two")
    assert f"{LOOPBACK}:{relay.port}: port in use" in err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("rig=26001", "RIG=26002"), "RIG is named twice; names are compared without case: "),
        (("one=26001", "two=26001"), "0.0.0.0:26001: one and two both listen there; "),
        (("one=26001", "--listen", "26001"), "0.0.0.0:26001: --listen and one both listen there; "),
        (("--rotate-size", "0"), "--rotate-size: each block would be a file; "),
        (("--rotate-time", "0s"), "--rotate-time: each block would be a file; "),
        (("--keep-size", "0"), "--keep-size: nothing would be kept; leave it out to keep everything"),
        (("--keep-time", "0s"), "--keep-time: nothing would be kept; leave it out to keep everything"),
        (("--no-record", "-o", "rec"), "--output: nothing is recorded with --no-record; "),
        (("--no-record", "--sync", "1s"), "--sync: nothing is recorded with --no-record; "),
    ],
)
def test_what_makes_no_sense_is_status_2_and_a_line(run, tmp_path, args, says):
    status, out, err = run("relay", *args, "-d", "0s")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"speeddata: {says}")
    assert list(tmp_path.iterdir()) == []


def test_a_second_relay_on_one_directory_is_status_1_and_a_line(bench, run, free_port):
    bench.relay("-o", "rec")
    err = refused(run, "--listen", f"{LOOPBACK}:{free_port()}", "-o", "rec")
    assert "rec: another relay records here" in err


def test_a_directory_that_cannot_be_written_is_status_1_and_a_line(run, free_port, tmp_path):
    (tmp_path / "file").write_text("no directory")
    err = refused(run, "--listen", f"{LOOPBACK}:{free_port()}", "-o", "file/rec")
    assert "file/rec: cannot record here" in err


def test_an_interface_that_is_not_there_is_status_1_and_a_line(run, free_port):
    err = refused(run, "--listen", f"{LOOPBACK}:{free_port()}", "--interface", "no_such0")
    assert "no interface 'no_such0'" in err


# -- kill -9 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", range(3))
def test_kill_9_leaves_every_file_readable_and_loses_nothing_older_than_250_ms(
    bench, spawn, channel_name, tmp_path, attempt
):
    relay = bench.relay("--rotate-size", "100KiB")
    to = f"{LOOPBACK}:{relay.port}"
    source = spawn("send", "--demo", "--stamp", "--rate", 4000, "--name", channel_name, "--to", to)
    bench.discovery.received(channel_name, 500 + secrets.randbelow(5000))
    killed_ns = time.time_ns()
    relay.kill()
    source.terminate()
    files = recordings(tmp_path / "data", channel_name)
    datums = records(*files)  # raises where a file is not whole
    assert [datum["counter"] for datum in datums] == list(range(len(datums)))
    assert datums[-1]["time"] > killed_ns - 250_000_000
    # and the next relay goes on in the directory
    relay = bench.relay()
    behaves(bench, channel_name, relay, tmp_path)
    assert stopped(relay) == []
    assert recordings(tmp_path / "data", channel_name)[: len(files)] == files


# -- disks ------------------------------------------------------------------------------------------------


def system(*args):
    done = subprocess.run(args, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{' '.join(map(str, args))}: {done.stderr.strip()}")


@pytest.fixture
def mounted(tmp_path):
    """`mounted(*args)` mounts at a directory, for as long as the test takes."""
    if os.geteuid() or sys.platform != "linux":
        pytest.skip("only root can mount")
    place = tmp_path / "disk"
    place.mkdir()

    def mount(*args):
        system("mount", *args, place)
        return place

    yield mount
    subprocess.run(["umount", "--lazy", place], capture_output=True)


def test_a_disk_that_fills_costs_only_the_recording_which_resumes_when_there_is_room(
    bench, wait_for, mounted, channel_name
):
    disk = mounted("-t", "tmpfs", "-o", "size=3m", "none")
    (disk / "filler").write_bytes(bytes(2 << 20))
    relay = bench.relay("-o", disk / "rec", "--min-free", "0%")
    source, said = bench.begun(channel_name, relay.port, schema_text=BULK_TEXT)
    member = bench.member(said["full"])

    def serve(first, count):
        datums = bulk(range(first, first + count), 8000)
        source.send(datums)
        assert member.take(count) == datums

    for first in range(0, 300, 50):
        serve(first, 50)
    bench.discovery.hear(channel_name, lambda said: int(said["lost_disk"]) > 0)
    before = recordings(disk / "rec", channel_name)
    (disk / "filler").unlink()

    def resumed():
        serve(source.sent, 1)
        return recordings(disk / "rec", channel_name) != before

    wait_for(resumed)
    source.end()
    said = bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
    notes = stopped(relay)
    found = records(*recordings(disk / "rec", channel_name))
    lost = int(said["received"]) - len(found)
    assert [datum["time"] for datum in found][:50] == list(range(50))
    assert found[-1]["time"] == source.sent - 1
    assert said["lost_disk"] == str(lost)
    for kind in ("loss", "file"):
        assert ledger(disk / "rec", channel_name, kind)["lost_disk"] == lost
    assert len(notes) == 2
    assert "the disk is full: recording pauses, re-serving goes on" in notes[0]
    assert f"datums missing: {lost:,}" in notes[1]


def test_a_disk_that_stalls_costs_only_the_recording_once_64_mib_wait(bench, mounted, channel_name, tmp_path):
    image = tmp_path / "image"
    with open(image, "wb") as file:
        file.truncate(200 << 20)
    system("mkfs.ext4", "-q", image)
    disk = mounted("-o", "loop", image)
    relay = bench.relay("-o", disk / "rec", "--min-free", "0%")
    source, said = bench.begun(channel_name, relay.port, schema_text=BULK_TEXT)
    member = bench.member(said["full"])

    def serve(first, count):
        datums = bulk(range(first, first + count), 65_000)
        source.send(datums)
        assert member.take(count) == datums

    serve(0, 10)
    system("fsfreeze", "--freeze", disk)
    try:
        for first in range(10, 1110, 50):
            serve(first, 50)
        source.announce()
        said = bench.discovery.hear(channel_name, lambda said: int(said["lost_disk"]) > 0)
        assert said["lost"] == "0"
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", disk], check=True)
    source.end()
    said = bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
    notes = stopped(relay)
    times = [datum["time"] for datum in records(*recordings(disk / "rec", channel_name))]
    assert len(times) + int(said["lost_disk"]) == int(said["received"]) == 1110
    assert times[:900] == list(range(900))  # what waited was written; what did not fit is missing
    assert times == sorted(set(times))
    assert ledger(disk / "rec", channel_name, "file")["lost_disk"] == int(said["lost_disk"])
    assert "the disk does not keep up: recording loses datums, re-serving goes on" in notes[0]


# -- whoever reads the status -----------------------------------------------------------------------------


def test_a_reader_of_the_status_that_stalls_stops_nothing(bench, channel_name, tmp_path, wait_for):
    relay = bench.relay("--json")
    fcntl.fcntl(relay.process.stdout, fcntl.F_SETPIPE_SZ, 8192)  # full after a few lines
    for number in range(30):
        bench.begun(f"{channel_name}_{number}", relay.port)
    wait_for(lambda: waiting_bytes(relay.process.stdout) > 4000)
    behaves(bench, channel_name, relay, tmp_path)
    assert stopped(relay) == []
    lines = relay.stdout.rest().splitlines()
    assert all(json.loads(line)["channel"].startswith(channel_name) for line in lines)


def waiting_bytes(pipe):
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
