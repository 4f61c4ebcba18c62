"""`speeddata send` as a plain socket sees it: literal datums, announcements around them, each at its time."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal as posix_signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import avro.io
import avro.schema
import fastavro
import numpy as np
import pytest
from by_hand import (
    DISCOVERY,
    LOOPBACK,
    NOON,
    RIG_TEXT,
    Member,
    announced,
    encoded,
    metadata,
    recorded,
    records,
)

from speeddata import cli

MAGIC = b"Obj\x01"
# time: zigzag varint; volts: little-endian double; note: length and UTF-8
FIRST, SECOND = b"\x02" + bytes.fromhex("000000000000e03f") + b"\x02a", b"\x04" + bytes(8) + b"\x00"
JSON_LINES = '{"time": 1, "volts": 0.5, "note": "a"}\n{"note": "", "volts": 0, "time": 2}\n'
CSV = 'time,note,volts\r\n1,"a",0.5\r\n2,"",0\r\n'


class Port(Member):
    """A plain socket that a source sends to, and everything that arrived there."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.sock.bind((LOOPBACK, 0))
        self.sock.setblocking(False)
        self.to = f"{LOOPBACK}:{self.sock.getsockname()[1]}"
        self.heard: list[bytes] = []
        self.times: list[float] = []

    def listen(self, enough, deadline_s: float = 20.0) -> Port:
        """Take what comes until *enough()*."""
        end = time.monotonic() + deadline_s
        while not enough():
            assert time.monotonic() < end, f"only {len(self.datums)} datums, {self.said[-3:]}"
            for datagram, _ in self.datagrams(0.02):
                self.heard.append(datagram)
                self.times.append(time.monotonic())
                if enough():
                    break
        return self

    def to_the_goodbyes(self) -> Port:
        return self.listen(lambda: [said["state"] for said in self.said[-3:]] == ["end"] * 3)

    @property
    def said(self) -> list[dict[str, str]]:
        return [announced(datagram) for datagram in self.heard if datagram.startswith(MAGIC)]

    @property
    def datums(self) -> list[bytes]:
        return [datagram for datagram in self.heard if not datagram.startswith(MAGIC)]


@pytest.fixture
def port():
    port = Port()
    yield port
    port.sock.close()


@pytest.fixture(autouse=True)
def schema_file(tmp_path):
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)


def rows(count: int) -> list[dict[str, object]]:
    return [{"time": NOON + n, "volts": n / 8, "note": "x" * (n % 7)} for n in range(count)]


def container(path: Path, rows: list[dict[str, object]], schema_text: str = RIG_TEXT, **how: object) -> Path:
    with path.open("wb") as file:
        fastavro.writer(file, json.loads(schema_text), rows, **how)
    return path


def ended_well(command) -> bool:
    return (command.wait(), command.stdout.rest(), command.stderr.rest()) == (0, b"", b"")


# -- what leaves ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::avro.errors.IgnoredLogicalType")
@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_each_datum_of_a_container_is_one_datagram_that_any_avro_library_decodes(
    port, spawn, tmp_path, codec
):
    container(tmp_path / "volts.avro", rows(300), codec=codec, sync_interval=500)
    sender = spawn("send", "volts.avro", "--to", port.to)
    port.to_the_goodbyes()
    assert ended_well(sender)
    assert port.datums == [encoded(RIG_TEXT, row) for row in rows(300)]
    ours = fastavro.parse_schema(json.loads(RIG_TEXT))
    assert [fastavro.schemaless_reader(io.BytesIO(each), ours, None) for each in port.datums] == rows(300)
    reader = avro.io.DatumReader(avro.schema.parse(RIG_TEXT))
    assert [reader.read(avro.io.BinaryDecoder(io.BytesIO(each))) for each in port.datums] == rows(300)


@pytest.mark.parametrize(("name", "text"), [("a.csv", CSV), ("told.by.its.bytes", JSON_LINES)])
def test_lines_of_text_leave_as_the_datums_that_their_schema_makes_of_them(port, spawn, tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    sender = spawn("send", name, "-s", "rig.avsc", "--to", port.to)
    port.to_the_goodbyes()
    assert ended_well(sender)
    assert port.datums == [FIRST, SECOND]


def test_the_source_says_who_it_is_before_its_first_datum_and_three_times_when_it_is_done(
    port, spawn, tmp_path
):
    container(tmp_path / "volts.avro", rows(20), metadata={"speeddata.channel": "cell"})
    spawn("send", "volts.avro", "--to", port.to)
    port.to_the_goodbyes()
    assert [each.startswith(MAGIC) for each in port.heard] == [True] + [False] * 20 + [True] * 3
    assert [said["sent"] for said in port.said] == ["0", "20", "20", "20"]
    assert [said["state"] for said in port.said] == ["live", "end", "end", "end"]
    assert {(said["role"], said["channel"], said["avro.codec"]) for said in port.said} == {
        ("source", "cell", "null")
    }
    assert len({said["session"] for said in port.said}) == 1
    assert json.loads(port.said[0]["avro.schema"])["name"] == "rig"


def test_a_name_that_is_given_goes_before_that_of_the_input(port, spawn, tmp_path):
    container(tmp_path / "volts.avro", rows(2), metadata={"speeddata.channel": "cell"})
    spawn("send", "volts.avro", "--to", port.to, "--name", "Rig.2")
    assert port.to_the_goodbyes().said[0]["channel"] == "Rig.2"


def test_a_bare_sender_says_nothing(port, spawn, tmp_path):
    container(tmp_path / "volts.avro", rows(20))
    assert ended_well(spawn("send", "volts.avro", "--bare", "--to", port.to))
    assert port.waiting() == [encoded(RIG_TEXT, row) for row in rows(20)]


def test_while_its_input_is_silent_a_source_goes_on_saying_that_it_lives(port, spawn):
    sender = spawn("send", "-", "-s", "rig.avsc", "--to", port.to, stdin=subprocess.PIPE)
    port.listen(lambda: len(port.said) == 3)  # before the input has said anything at all
    assert [(said["channel"], said["sent"]) for said in port.said] == [("rig", "0")] * 3
    assert 0.8 < port.times[2] - port.times[1] < 3
    sender.stdin.write(JSON_LINES.encode())
    sender.stdin.flush()
    port.listen(lambda: port.datums == [FIRST, SECOND])
    sender.stdin.close()
    assert port.to_the_goodbyes().said[-1]["sent"] == "2"
    assert ended_well(sender)


def test_who_leaves_a_source_that_said_nothing_yet_leaves_nothing_undone(port, spawn):
    sender = spawn("send", "-", "-s", "rig.avsc", "--to", port.to, stdin=subprocess.PIPE)
    port.listen(lambda: port.said)
    os.kill(sender.pid, posix_signal.SIGTERM)
    assert port.to_the_goodbyes().datums == []
    assert ended_well(sender)


def test_a_pace_begins_with_the_first_datum_however_long_the_input_was_silent(port, spawn):
    sender = spawn("send", "-", "-s", "rig.avsc", "--rate", "20", "--to", port.to, stdin=subprocess.PIPE)
    port.listen(lambda: port.said)
    begun = time.monotonic()
    port.listen(lambda: time.monotonic() > begun + 0.7)  # 14 steps of the pace: it would make up for them
    sender.stdin.write((JSON_LINES.splitlines(keepends=True)[0] * 10).encode())
    sender.stdin.close()
    port.to_the_goodbyes()
    times = [at for at, heard in zip(port.times, port.heard, strict=True) if not heard.startswith(MAGIC)]
    assert times[-1] - times[0] > 0.4  # nine steps of 50 ms
    assert ended_well(sender)


def test_to_a_group_the_announcement_goes_to_the_discovery_group_and_names_the_endpoint(
    spawn, free_port, channel_name, tmp_path
):
    container(tmp_path / "volts.avro", rows(50))
    place, group, discovery = f"239.1.1.1:{free_port()}", None, Member(*DISCOVERY)
    try:
        group = Member("239.1.1.1", int(place.rpartition(":")[2]))
        sender = spawn("send", "volts.avro", "--name", channel_name, "--to", place)
        assert group.take(50) == [encoded(RIG_TEXT, row) for row in rows(50)]
        assert ended_well(sender)
        heard = [announced(datagram) for datagram in discovery.waiting()]
        mine = [said for said in heard if said["channel"] == channel_name]
        assert [(said["role"], said["full"], said["state"]) for said in mine] == [
            ("source", place, state) for state in ("live", "end", "end", "end")
        ]
        assert group.waiting() == []
    finally:
        discovery.sock.close()
        if group is not None:
            group.sock.close()


def test_what_is_saved_is_what_was_sent(port, spawn, tmp_path):
    sender = spawn(
        *("send", "--demo", "--rate", 5000, "-c", 700, "--stamp", "--name", "rig", "--save", "s.avro"),
        *("--to", port.to),
    )
    port.to_the_goodbyes()
    assert ended_well(sender)
    assert recorded(tmp_path / "s.avro") == b"".join(port.datums)
    assert metadata(tmp_path / "s.avro")["speeddata.channel"] == "rig"
    assert [row["counter"] for row in records(tmp_path / "s.avro")] == list(range(700))


def test_a_count_ends_the_source_and_a_loop_goes_on_at_the_end_of_the_file(port, spawn, tmp_path):
    container(tmp_path / "volts.avro", rows(8), sync_interval=50)
    sender = spawn("send", "volts.avro", "--loop", "-c", 21, "--to", port.to)
    port.to_the_goodbyes()
    assert ended_well(sender)
    eight = [encoded(RIG_TEXT, row) for row in rows(8)]
    assert port.datums == eight + eight + eight[:5]


def test_containers_from_a_pipe_are_sent_too(port, spawn, tmp_path):
    container(tmp_path / "volts.avro", rows(40))
    with (tmp_path / "volts.avro").open("rb") as file:
        sender = spawn("send", "--to", port.to, stdin=file.fileno())
        port.to_the_goodbyes()
    assert ended_well(sender)
    assert port.datums == [encoded(RIG_TEXT, row) for row in rows(40)]


# -- when it leaves ---------------------------------------------------------------------------------------


def test_a_rate_is_kept_exactly_singly_and_in_bursts(port, spawn, wait_for, tmp_path):
    other = Port()
    try:
        slow = spawn(
            "send", "--demo", "--rate", 1000, "-d", 3, "--to", port.to, "--stamp", "--save", "1k.avro"
        )
        fast = spawn(
            "send", "--demo", "--rate", 20000, "-d", 3, "--to", other.to, "--stamp", "--save", "20k.avro"
        )
        assert slow.wait() == fast.wait() == 0
    finally:
        other.sock.close()
    for name, rate in (("1k", 1000), ("20k", 20000)):
        sent = np.array([row["time"] for row in records(tmp_path / f"{name}.avro")])
        assert len(sent) == pytest.approx(3 * rate, rel=0.01)
        # A busy machine makes some late. Those that were least late tell whether the pace drifts.
        late = sent - sent[0] - np.arange(len(sent)) * (1e9 / rate)
        first, last = late[: rate // 2].min(), late[-rate // 2 :].min()
        assert abs(last - first) < 0.002 * 3e9


def test_a_replay_keeps_the_distances_of_the_abscissa_at_so_many_times_the_speed(port, spawn, tmp_path):
    text = RIG_TEXT.replace("nanos", "millis")
    times = [1000, 1100, 1400, 2200]
    with (tmp_path / "volts.avro").open("wb") as file:
        fastavro.writer(file, json.loads(text), [{"time": t, "volts": 0, "note": ""} for t in times])
    spawn("send", "volts.avro", "--replay", 2, "--to", port.to)
    port.to_the_goodbyes()
    left = [at for at, each in zip(port.times, port.heard, strict=True) if not each.startswith(MAGIC)]
    for at, time_ms in zip(left, times, strict=True):
        assert (time_ms - 1000) / 2000 - 0.1 < at - left[0] < (time_ms - 1000) / 2000 + 0.5


def test_a_replay_of_an_abscissa_without_a_unit_is_refused_until_the_unit_is_named(
    port, spawn, run, tmp_path
):
    container(tmp_path / "volts.avro", rows(3), RIG_TEXT.replace(', "logicalType": "timestamp-nanos"', ""))
    status, _, err = run("send", "volts.avro", "--replay", 2, "--to", port.to)
    assert (status, err.count("\n")) == (2, 1)
    assert "the abscissa time of rig does not tell its unit of time; name it with --time-unit, or use" in err
    assert port.waiting() == []
    assert run("send", "volts.avro", "--replay", 2, "--time-unit", "ns", "--to", port.to) == (0, "", "")
    port.to_the_goodbyes()
    assert len(port.datums) == 3


def test_a_stamp_sets_the_time_and_no_other_byte(port, spawn, tmp_path):
    container(tmp_path / "volts.avro", rows(3))
    before = time.time_ns()
    sender = spawn("send", "volts.avro", "--stamp", "--to", port.to)
    port.to_the_goodbyes()
    after = time.time_ns()
    assert ended_well(sender)
    ours = fastavro.parse_schema(json.loads(RIG_TEXT))
    sent = [fastavro.schemaless_reader(io.BytesIO(each), ours, None) for each in port.datums]
    assert before <= sent[0]["time"] <= sent[1]["time"] <= sent[2]["time"] <= after
    assert [{**row, "time": 0} for row in sent] == [{**row, "time": 0} for row in rows(3)]


def test_a_stamped_line_of_text_needs_no_time(port, spawn, tmp_path):
    (tmp_path / "a.csv").write_text("volts,note\n0.5,a\n")
    before = time.time_ns()
    spawn("send", "a.csv", "-s", "rig.avsc", "--stamp", "--to", port.to)
    (datum,) = port.to_the_goodbyes().datums
    sent = fastavro.schemaless_reader(io.BytesIO(datum), fastavro.parse_schema(json.loads(RIG_TEXT)), None)
    assert before <= sent["time"] <= time.time_ns()
    assert (sent["volts"], sent["note"]) == (0.5, "a")


@pytest.mark.parametrize("how", ["interrupt", "terminate"])
def test_a_source_that_is_stopped_says_goodbye_and_ends_well(port, spawn, how):
    sender = spawn("send", "--demo", "--rate", 500, "--to", port.to)
    port.listen(lambda: len(port.datums) > 5)
    assert getattr(sender, how)() == 0
    port.to_the_goodbyes()
    assert int(port.said[-1]["sent"]) == len(port.datums)
    assert ended_well(sender)


def test_who_wants_to_know_is_told_how_much_was_sent(port, run, tmp_path):
    container(tmp_path / "volts.avro", rows(1))
    status, out, err = run("send", "volts.avro", "--to", port.to, "-v")
    assert (status, out, err.splitlines()[-1]) == (0, "", f"speeddata: {port.to}: 1 datum sent")


def test_a_rate_that_cannot_be_kept_up_is_told(port, spawn):
    source = spawn("send", "--demo", "--rate", "1e9", "-d", "400ms", "--to", port.to)
    assert source.wait() == 0
    assert re.search(
        r"127.0.0.1:\d+: fell behind: [\d,]+ datums a second, not 1,000,000,000\n",
        source.stderr.rest().decode(),
    )


def test_a_source_stops_at_once_while_it_waits_for_its_pace_or_its_input(port, spawn):
    slow = spawn("send", "--demo", "--rate", 0.01, "--to", port.to)
    silent = spawn(
        "send", "-", "-s", "rig.avsc", "-f", "json", "--bare", "--to", port.to, stdin=subprocess.PIPE
    )
    port.listen(lambda: len(port.datums) == 1)
    assert slow.terminate(5) == 0
    os.kill(silent.pid, posix_signal.SIGTERM)
    assert silent.wait(5) in (0, -posix_signal.SIGTERM)  # the latter where it had not come so far


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "a.jsonl",
            JSON_LINES + '{"time": 3, "volts": "much", "note": ""}\n',
            "line 3: volts: 'much' is no double",
        ),
        ("a.csv", CSV + "x,,0\r\n", "line 4: time: 'x' is no long"),
        ("a.csv", "time,amps,note\n1,2,a\n", "line 1: there is no signal 'amps'"),
    ],
)
def test_a_line_that_the_schema_does_not_fit_is_named(port, capfd, monkeypatch, tmp_path, name, text, says):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(text.encode())
    assert cli.main(["send", name, "-s", "rig.avsc", "--to", port.to]) == 3
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"speeddata: {name}: {says}")
    port.to_the_goodbyes()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="makes a network namespace")
def test_a_place_that_no_network_leads_to_is_told_with_its_cure(environment, tmp_path):
    sent = ["unshare", "-n", sys.executable, "-m", "speeddata", "send", "--demo", "-c", "1"]
    done = subprocess.run(sent, env=environment, cwd=tmp_path, capture_output=True, timeout=30, text=True)
    if "Operation not permitted" in done.stderr:
        pytest.skip("no network namespace may be made here")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "speeddata: 127.0.0.1:26000: cannot announce: Network is unreachable; "
        "bring up a network that leads there, or send elsewhere (--to)\n"
    )


def test_text_without_a_schema_is_refused(port, run, tmp_path):
    (tmp_path / "a.jsonl").write_text(JSON_LINES)
    status, _, err = run("send", "a.jsonl", "--to", port.to)
    assert (status, err.count("\n")) == (2, 1)
    assert "give one with --schema" in err
    assert port.waiting() == []


def test_what_is_nothing_to_send_is_told_as_what_it_is(port, run, tmp_path):
    (tmp_path / "rec/rig").mkdir(parents=True)
    container(tmp_path / "volts.avro", rows(3))
    (tmp_path / "other.avsc").write_text(RIG_TEXT.replace("volts", "amps"))
    terminal, screen = os.openpty()
    try:
        for args, how, status, says in (
            ((), {"stdin": screen}, 2, "nothing to send; name a FILE, pipe into it, or take --demo"),
            (("-",), {}, 3, "standard input: is empty"),
            (
                ("rec/rig",),
                {},
                2,
                "rec/rig: is a directory; send a file of it, or: speeddata tap rec/rig | speeddata send -",
            ),
            (
                ("volts.avro", "-s", "other.avsc"),
                {},
                2,
                "volts.avro: a container has its own schema, here another one; leave out --schema",
            ),
        ):
            got = run("send", *args, "--to", port.to, **how)
            assert got == (status, "", f"speeddata: {says}\n")
    finally:
        os.close(terminal)
        os.close(screen)
    assert port.waiting() == []


@pytest.mark.parametrize("by", ["name", "link", "pipe"])
def test_what_is_sent_is_never_saved_over_itself(port, run, tmp_path, by):
    path = container(tmp_path / "volts.avro", rows(300))
    os.link(path, tmp_path / "link.avro")
    before = path.read_bytes()
    file, save = {"name": ("./volts.avro", "volts.avro"), "link": ("volts.avro", "link.avro")}.get(
        by, ("-", "volts.avro")
    )
    with path.open("rb") as redirected:
        status, out, err = run("send", file, "--save", save, "--to", port.to, stdin=redirected.fileno())
    assert (status, out) == (2, "")
    assert err == f"speeddata: --save {save}: is the input itself; name another file\n"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [
        ("--demo", "--rate", "nan"),
        ("--demo", "--rate", "inf"),
        ("--demo", "--rate", "0"),
        ("--demo", "--rate", "1", "--replay", "1"),
        ("--demo", "volts.avro"),
        ("--demo", "-f", "csv"),
        ("--demo", "--time-unit", "ms"),
        ("--demo", "--save", "-"),
        ("-", "--loop"),
        ("--demo", "--name", "../../etc/x"),
        ("--demo", "--to", "somewhere"),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line(capfd, options):
    assert cli.main(["send", *options]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_a_datum_that_no_datagram_holds_is_named(port, run, tmp_path):
    container(tmp_path / "big.avro", [{"time": 1, "volts": 0.0, "note": "x" * 66_000}])
    status, _, err = run("send", "big.avro", "--to", port.to)
    assert (status, err) == (
        3,
        "speeddata: rig: datum of 66012 bytes after the first 0; a datagram holds 65507\n",
    )


def test_what_is_damaged_in_a_file_is_left_out_and_told(port, run, tmp_path):
    path = container(tmp_path / "volts.avro", rows(60), sync_interval=300)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8] = b"\xff" * 8
    path.write_bytes(data)
    status, _, err = run("send", "volts.avro", "--to", port.to)
    assert status == 5
    assert err.splitlines()[-1].startswith("speeddata: volts.avro: ")
    datums, whole = port.to_the_goodbyes().datums, [encoded(RIG_TEXT, row) for row in rows(60)]
    assert 30 < len(datums) < 60
    assert set(datums) <= set(whole)
    assert (datums[0], datums[-1]) == (whole[0], whole[-1])


def test_a_port_where_nobody_listens_is_told_once_and_sending_goes_on(spawn, free_port):
    place = f"{LOOPBACK}:{free_port()}"
    sender = spawn("send", "--demo", "--rate", 500, "-c", 100, "--to", place)
    assert sender.wait() == 0
    assert sender.stderr.rest().decode() == (
        f"speeddata: {place}: nobody listens there; what is sent is lost until a relay does\n"
    )


def test_a_relay_that_comes_later_is_told_too(spawn, free_port):
    number = free_port()
    place = f"{LOOPBACK}:{number}"
    sender = spawn("send", "--demo", "--rate", 500, "--to", place)
    assert "nobody listens there" in sender.stderr.line()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((LOOPBACK, number))
        assert sender.stderr.line() == f"speeddata: {place}: somebody listens there now"
    assert "nobody listens there" in sender.stderr.line()
    assert sender.interrupt() == 0
