"""`speeddata tap`: a channel to standard output, by every kind of SOURCE, whatever its reader does."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import select
import shlex
import signal as posix_signal
import subprocess
import sys
from pathlib import Path

import fastavro
import pytest
from by_hand import BULK_TEXT, LOOPBACK, NOON, RIG_TEXT, Bench, bulk, is_listening, recorded, records, rig


@pytest.fixture
def bench(spawn, free_port, wait_for):
    with Bench(spawn, free_port, wait_for) as bench:
        yield bench


@pytest.fixture
def tapped(spawn):
    """Starts a tap that writes a container, and waits for its header: from then on it receives."""

    def start(*args: object):
        tap = spawn("tap", *args)
        tap.header = os.read(tap.process.stdout.fileno(), 1 << 16)
        assert tap.header.startswith(b"Obj\x01"), tap.stderr.rest()
        return tap

    return start


def ended_well(command, deadline_s: float = 20.0) -> bool:
    return (command.wait(deadline_s), command.stderr.rest()) == (0, b"")


def datums_of(tap) -> list[bytes]:
    """What *tap* wrote until it ended, a datum a piece, as fastavro finds it."""
    schema = json.loads(fastavro.reader(io.BytesIO(tap.header)).metadata["avro.schema"])
    pieces = []
    for record in fastavro.reader(io.BytesIO(tap.header + tap.stdout.rest())):
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, schema, record)
        pieces.append(stream.getvalue())
    return pieces


def lines_until(tap, condition, feed) -> list[dict[str, object]]:
    """JSON that *tap* writes, until a line is as *condition* wants it; *feed()* again while nothing comes."""
    found: list[dict[str, object]] = []
    for _ in range(600):
        feed()
        while select.select([tap.process.stdout], [], [], 0.05)[0]:
            found.append(json.loads(tap.stdout.line()))
            if condition(found[-1]):
                return found
    raise AssertionError(f"never so, but {found[-3:]}; {tap.stderr.rest()!r}")


class Counting:
    """Sends one more datum of the rig at each call."""

    def __init__(self, source) -> None:
        self.source, self.count = source, 0

    def __call__(self) -> None:
        self.source.send(rig([self.count]))
        self.count += 1


def written(path: Path, schema_text: str, rows: list[dict[str, object]], **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        fastavro.writer(file, json.loads(schema_text), rows, **how)
    return path


def rows(count: int) -> list[dict[str, object]]:
    return [{"time": NOON + n, "volts": n / 8, "note": "x" * (n % 7)} for n in range(count)]


# -- a range of time -------------------------------------------------------------------------------------


@pytest.fixture
def minute(tmp_path):
    """A datum a second, from noon on, in blocks of seven."""
    seconds = [{"time": NOON + n * 10**9, "volts": n, "note": "n"} for n in range(60)]
    return written(tmp_path / "rec/rig.avro", RIG_TEXT, seconds, sync_interval=7 * 12)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (("--since", "2025-12-03T12:00:50Z"), range(50, 60)),
        (("--until", "2025-12-03T12:00:02Z"), range(2)),
        (("--since", "2025-12-03T12:00:10Z", "--until", "2025-12-03T13:00:12+01:00"), range(10, 12)),
        (("--last", "3s"), range(57, 60)),
        (("--last", "1h", "-c", 2), range(2)),
        (("--since", "now"), range(0)),
    ],
)
def test_a_range_of_time_is_cut_out_whatever_the_form(run, minute, options, kept):
    assert run("tap", "rec/", *options, "-f", "csv") == (
        0,
        "time,volts,note\n" + "".join(f"{NOON + n * 10**9},{float(n)},n\n" for n in kept),
        "",
    )
    with open(minute, "rb") as file:
        status, out, err = run("tap", "-", *options, "-f", "json", stdin=file)
    if "--last" in options:
        assert (status, err.startswith("speeddata: --last: only files have an end; say how long")) == (
            2,
            True,
        )
    else:
        assert [json.loads(line)["volts"] for line in out.splitlines()] == list(kept)
    assert run("decimate", "rec/", *options, "-n", 1, "-f", "csv")[1].count("\n") == len(kept) + 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--since", "soon"), "speeddata: --since: 'soon' is no moment; write 2026-11-22T05:04:00Z"),
        (("--last", "x"), "speeddata: --last: 'x' is no duration; "),
        (("--until", ""), "speeddata: --until: '' is no moment; "),
        (("--since", "now", "--until", "-1m"), "speeddata: --since, --until: nothing is between now and -1m"),
        (("--since", "-1m", "--last", "1m"), "speeddata: --last: means its own range; "),
    ],
)
def test_a_range_that_is_none_is_refused(run, minute, options, told):
    status, out, err = run("tap", "rec/", *options, "-f", "csv")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(told)


def test_what_follows_a_recording_may_begin_a_while_back(spawn, minute):
    tap = spawn("tap", "rec/", "--follow", "--last", "2s", "-f", "json", "-c", 2)
    assert ended_well(tap)
    assert [json.loads(line)["volts"] for line in tap.stdout.rest().splitlines()] == [58, 59]


# -- where from -------------------------------------------------------------------------------------------


def test_a_channel_is_tapped_by_name_by_its_groups_and_thin(bench, tapped, channel_name):
    relay = bench.relay("-n", 4)
    source, said = bench.begun(channel_name, relay.port)
    full = [tapped(channel_name.upper(), "-c", 400), tapped(said["full"], "-c", 400)]
    thin = [tapped(channel_name, "--decimated", "-c", 100), tapped(said["decimated"], "-c", 100)]
    datums = rig(range(250)) + rig(range(250, 400), note="all of one size")
    source.send(datums)
    for tap in full:
        assert datums_of(tap) == datums
        assert ended_well(tap)
    for tap in thin:
        assert datums_of(tap) == datums[::4]
        assert ended_well(tap)
    metadata = fastavro.reader(io.BytesIO(full[0].header)).metadata
    assert metadata["speeddata.channel"] == channel_name
    assert metadata["avro.schema"] == RIG_TEXT
    assert "speeddata.role" not in metadata


def test_a_unicast_port_is_tapped_with_a_schema_or_with_what_its_source_announces(
    bench, spawn, tapped, free_port, wait_for, channel_name, tmp_path
):
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    bare, named = free_port(), free_port()
    tap = tapped(f"{LOOPBACK}:{bare}", "-s", "rig.avsc", "-c", 50)
    bench.source("", bare).say(*rig(range(50)))
    assert datums_of(tap) == rig(range(50))
    assert ended_well(tap)

    tap = spawn("tap", f"{LOOPBACK}:{named}", "-f", "json", "-c", 3)
    wait_for(lambda: is_listening(named))
    source = bench.source(channel_name, named)
    source.send(rig(range(2)))  # held until it is known what they are
    source.announce()
    source.send(rig(range(2, 3)))
    assert [json.loads(line)["volts"] for line in tap.stdout.lines(3)] == [0, 0.125, 0.25]
    assert ended_well(tap)


@pytest.mark.parametrize("source", ["rec/rig/", "rec", "./rec/rig/2.avro", "-", None])
def test_a_recording_is_tapped_as_a_directory_a_file_and_a_stream(run, tmp_path, source):
    first, second = tmp_path / "rec/rig/1.avro", tmp_path / "rec/rig/2.avro"
    written(first, RIG_TEXT, rows(20)[:10], metadata={"speeddata.channel": "rig"}, sync_interval=80)
    written(second, RIG_TEXT, rows(20)[10:], metadata={"speeddata.channel": "rig"}, codec="deflate")
    wanted = {"rec/rig/": rows(20), "rec": rows(20), "./rec/rig/2.avro": rows(20)[10:]}
    if source == "rec":
        source, wanted["rec/"] = "rec/", rows(20)
    with first.open("rb") as file:
        arguments = [source] if source else []
        status, out, err = run("tap", *arguments, "-f", "json", stdin=file.fileno())
    assert (status, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == wanted.get(str(source), rows(20)[:10])


def test_a_container_passes_byte_for_byte_and_only_as_much_as_is_asked_for(spawn, tmp_path):
    path = written(tmp_path / "a.avro", RIG_TEXT, rows(50), sync_interval=200)
    whole, some = spawn("tap", "a.avro"), spawn("tap", "./a.avro", "-c", 33)
    for tap, count in ((whole, 50), (some, 33)):
        (tmp_path / "b.avro").write_bytes(tap.stdout.rest())
        assert ended_well(tap)
        assert records(tmp_path / "b.avro") == rows(count)
        assert recorded(path).startswith(recorded(tmp_path / "b.avro"))


def test_a_growing_recording_is_followed_across_its_files(bench, spawn, channel_name, tmp_path, wait_for):
    relay = bench.relay("--rotate-size", "64KiB", "-o", "rec")
    source, _ = bench.begun(channel_name, relay.port, schema_text=BULK_TEXT)
    source.send(bulk([0], 40_000))
    wait_for((tmp_path / "rec" / channel_name).is_dir)
    tap = spawn("tap", f"rec/{channel_name}/", "--follow", "-f", "json", "-c", 10)
    for number in range(10):
        if number:
            source.send(bulk([number], 40_000))
        assert json.loads(tap.stdout.line())["time"] == number
    assert ended_well(tap)
    assert len(list((tmp_path / "rec" / channel_name).glob("*.avro"))) > 3


# -- in which form ----------------------------------------------------------------------------------------

ODD = """{"type": "record", "name": "odd", "fields": [
 {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
 {"name": "value", "type": "double"}, {"name": "maybe", "type": ["null", "long"]},
 {"name": "raw", "type": "bytes"}, {"name": "text", "type": "string"},
 {"name": "wide", "type": ["int", "string"]},
 {"name": "kind", "type": {"type": "enum", "name": "k", "symbols": ["A", "B"]}}
]}"""


def test_json_is_plain_json_whatever_the_values_are(run, tmp_path):
    odd = [
        {
            "time": 1,
            "value": value,
            "maybe": maybe,
            "raw": b"\x00\xff",
            "text": text,
            "wide": wide,
            "kind": "B",
        }
        for value, maybe, text, wide in [
            (float("nan"), None, 'say "\u00b5"\n', 5),
            (float("-inf"), 2**63 - 1, "\x1b[31m", "five"),
            (0.1, -(2**63), "", 0),
        ]
    ]
    written(tmp_path / "odd.avro", ODD, odd)
    status, out, err = run("tap", "odd.avro", "-f", "json")
    assert (status, err) == (0, "")
    assert "\x1b" not in out
    raw = base64.b64encode(b"\x00\xff").decode()
    plain = [{**row, "raw": raw, "value": value} for row, value in zip(odd, [None, None, 0.1], strict=True)]

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    assert [json.loads(line, parse_constant=refuse) for line in out.splitlines()] == plain


def test_csv_has_one_heading_and_times_for_people_on_request(run, tmp_path):
    written(tmp_path / "a.avro", RIG_TEXT, rows(9), sync_interval=1)
    status, out, err = run("tap", "a.avro", "-f", "csv", "-c", 3, "--time", "iso")
    assert (status, err) == (0, "")
    assert out == (
        "time,volts,note\n"
        '2025-12-03T12:00:00.000000000Z,0.0,""\n'
        "2025-12-03T12:00:00.000000001Z,0.125,x\n"
        "2025-12-03T12:00:00.000000002Z,0.25,xx\n"
    )


def test_csv_of_no_datum_has_its_heading(run, tmp_path):
    written(tmp_path / "a.avro", RIG_TEXT, [])
    assert run("tap", "./a.avro", "-f", "csv") == (0, "time,volts,note\n", "")


def test_times_for_people_need_a_unit(run, tmp_path):
    written(tmp_path / "a.avro", BULK_TEXT, [{"time": 5, "filling": b""}])
    status, out, err = run("tap", "a.avro", "-f", "json", "--time", "iso")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "--time-unit" in err
    status, out, _ = run("tap", "a.avro", "-f", "json", "--time", "iso", "--time-unit", "s")
    assert (status, json.loads(out)["time"]) == (0, "1970-01-01T00:00:05.000000000Z")


# -- readers ----------------------------------------------------------------------------------------------


def test_a_reader_that_leaves_ends_both_quietly(bench, spawn, channel_name, environment, tmp_path):
    written(tmp_path / "a.avro", RIG_TEXT, rows(20_000))
    relay = bench.relay()
    sender = ("send", "--demo", "--rate", 500, "--name", channel_name, "--to", f"{LOOPBACK}:{relay.port}")
    spawn(*sender)
    bench.discovery.received(channel_name, 1)
    for source in ("a.avro", channel_name):
        tap = shlex.join([sys.executable, "-m", "speeddata", "tap", source, "-f", "json"])
        script = f'{tap} | head -n 2; echo "${{PIPESTATUS[@]}}"'
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, timeout=20
        )
        lines = done.stdout.decode().splitlines()
        assert (len(lines), lines[2], done.stderr) == (3, "0 0", b"")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the queue of a socket in /proc")
def test_a_reader_that_stalls_costs_datums_and_every_one_of_them_is_counted(
    bench, tapped, free_port, wait_for, tmp_path
):
    (tmp_path / "bulk.avsc").write_text(BULK_TEXT)
    port = free_port()
    tap = tapped(f"{LOOPBACK}:{port}", "-s", "bulk.avsc")
    # another whose reader never comes back: it ends all the same, within the grace
    other = free_port()
    abandoned = tapped(f"{LOOPBACK}:{other}", "-s", "bulk.avsc")
    lost = bench.source("", other)
    lost.say(*bulk(range(20), 60_000))

    def taken(port: int) -> bool:
        return queued(port) == 0

    wait_for(lambda: taken(other))
    os.kill(abandoned.pid, posix_signal.SIGTERM)

    source, sent = bench.source("", port), 0
    while sent < 1300:  # 78 MB, and 64 MiB may wait
        source.say(*bulk(range(sent, sent + 2), 60_000))
        sent += 2
        wait_for(lambda: taken(port))
    os.kill(tap.pid, posix_signal.SIGTERM)
    got = fastavro.reader(io.BytesIO(tap.header + tap.stdout.rest()))
    numbers = [row["time"] for row in got]
    assert tap.wait() == 5
    told = tap.stderr.rest().decode()
    dropped = int(re.search(r"the reader was too slow: ([\d,]+) datums? dropped", told)[1].replace(",", ""))
    by_kernel = re.search(r"([\d,]+) datagrams? dropped by the kernel", told)
    assert told.count("\n") == 1
    assert dropped > 0
    assert len(numbers) + dropped + (int(by_kernel[1].replace(",", "")) if by_kernel else 0) == sent
    assert numbers == sorted(set(numbers))

    assert abandoned.wait(15) == 143
    assert abandoned.stderr.rest() == b"speeddata: interrupted with work undone\n"


def queued(port: int) -> int:
    """Bytes that wait at a socket bound to *port* (proc(5), /proc/net/udp)."""
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        words = line.split()
        if int(words[1].rpartition(":")[2], 16) == port:
            return int(words[4].partition(":")[2], 16)
    raise AssertionError(f"nobody listens at {port}")


@pytest.mark.parametrize("how", ["interrupt", "terminate"])
def test_a_tap_that_is_stopped_has_written_what_arrived_and_ends_well(bench, tapped, channel_name, how):
    relay = bench.relay()
    source, _ = bench.begun(channel_name, relay.port)
    tap = tapped(channel_name)
    source.send(rig(range(30)))
    source.announce()
    assert bench.discovery.received(channel_name, 30)
    assert getattr(tap, how)() == 0
    assert datums_of(tap) == rig(range(30))
    assert tap.stderr.rest() == b""


def test_a_duration_ends_a_live_tap_also_while_nothing_arrives(bench, tapped, channel_name):
    relay = bench.relay()
    source, _ = bench.begun(channel_name, relay.port)
    tap = tapped(channel_name, "-d", "0.5s")
    source.send(rig(range(3)))
    assert datums_of(tap) == rig(range(3))
    assert ended_well(tap)


def test_who_taps_a_channel_that_has_ended_is_told_what_it_waits_for(bench, spawn, channel_name):
    relay = bench.relay()
    source, _ = bench.begun(channel_name, relay.port)
    source.end()
    bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
    tap = spawn("tap", channel_name, "-f", "json")
    assert tap.stderr.line() == (
        f"speeddata: {channel_name}: its source has ended; waiting for it to begin again"
    )
    again, _ = bench.begun(channel_name, relay.port)
    assert lines_until(tap, bool, Counting(again))
    assert tap.interrupt() == 0
    assert tap.stderr.rest() == b""


# -- what happens to channels -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_a_tap_goes_on_when_its_relay_is_started_again(bench, spawn, channel_name, how):
    relay = bench.relay()
    source, said = bench.begun(channel_name, relay.port)
    tap = spawn("tap", channel_name, "-f", "json")
    feed = Counting(source)
    lines_until(tap, bool, feed)
    getattr(relay, how)()
    second = spawn("relay", "--listen", f"{LOOPBACK}:{relay.port}")
    bench.listening(second, relay.port)
    source.announce()
    assert (
        bench.discovery.hear(channel_name, source=lambda a: f"{a[0]}:{a[1]}" != said["from"])["full"]
        == said["full"]
    )
    began = feed.count
    lines_until(tap, lambda line: line["time"] >= NOON + began, feed)
    assert tap.terminate() == 0
    assert tap.stderr.rest() == b""


def test_a_schema_that_changes_ends_a_container_and_csv_and_leaves_json_running(
    bench, spawn, tapped, channel_name, wait_for
):
    relay = bench.relay()
    source, _ = bench.begun(channel_name, relay.port)
    container = tapped(channel_name)
    taps = [spawn("tap", channel_name, "-f", form) for form in ("json", "csv")]
    feed = Counting(source)
    lines_until(taps[0], bool, feed)
    wait_for(lambda: feed() or select.select([taps[1].process.stdout], [], [], 0.05)[0])
    source.end()
    second, _ = bench.begun(channel_name, relay.port, schema_text=BULK_TEXT)
    second.send(bulk(range(3), 3))
    while "filling" not in (line := json.loads(taps[0].stdout.line())):
        pass
    assert line == {"time": 0, "filling": "AAAA"}
    assert [json.loads(each)["time"] for each in taps[0].stdout.lines(2)] == [1, 2]
    for tap in (container, taps[1]):
        assert tap.wait() == 3
        told = tap.stderr.rest().decode()
        assert re.fullmatch(rf"speeddata: {channel_name}: the schema changed from \w+ to \w+; .*\n", told)
    assert datums_of(container) == rig(range(feed.count))
    assert taps[0].terminate() == 0
    assert taps[0].stderr.rest() == b""


def test_what_is_no_datum_of_the_channel_is_left_out_and_counted(bench, tapped, free_port, tmp_path):
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    port = free_port()
    tap = tapped(f"{LOOPBACK}:{port}", "-s", "rig.avsc", "-c", 4)
    good = rig(range(4))
    bench.source("", port).say(good[0], b"junk", good[1], good[2] + b"\0", good[2], b"", good[3])
    assert datums_of(tap) == good
    assert tap.wait() == 5
    assert re.search(r": \d datums are not what the schema says\n", tap.stderr.rest().decode())


# -- what is refused --------------------------------------------------------------------------------------


def test_whoever_mistypes_a_live_channel_is_told_which_is_near(bench, run, channel_name):
    bench.begun(channel_name, bench.relay().port)
    status, out, err = run("tap", channel_name[:-1])
    assert (status, out) == (4, "")
    assert err.endswith(f"no relay announced it within 3 s; did you mean {channel_name}?\n")


def test_what_nobody_announces_is_told_in_one_helpful_line(spawn, channel_name, free_port, tmp_path):
    (tmp_path / channel_name).mkdir()
    unknown, group = spawn("tap", f"{channel_name}x"), spawn("tap", f"239.1.1.1:{free_port()}")
    forgot = spawn("tap", channel_name)
    for tap, mend in ((unknown, "speeddata ls"), (group, "speeddata ls"), (forgot, f"write {channel_name}/")):
        assert tap.wait() == 4
        told = tap.stderr.rest().decode()
        assert told.count("\n") == 1
        assert mend in told


def test_two_relays_that_serve_one_name_are_both_named(bench, spawn, channel_name):
    relays = [bench.relay("-o", name) for name in ("a", "b")]
    said = []
    for relay in relays:
        others = [one["from"] for one in said]
        source = bench.source(channel_name, relay.port)
        source.announce()
        said.append(
            bench.discovery.hear(channel_name, source=lambda a, others=others: f"{a[0]}:{a[1]}" not in others)
        )
    tap = spawn("tap", channel_name)
    assert tap.wait() == 2
    told = tap.stderr.rest().decode()
    assert told.count("\n") == 1
    assert said[0]["from"] in told
    assert said[1]["from"] in told


def test_several_channels_are_refused_with_their_list(run, tmp_path):
    for name in ("one", "two"):
        written(tmp_path / f"rec/{name}/{name}.avro", RIG_TEXT, rows(1), metadata={"speeddata.channel": name})
    status, out, err = run("tap", "rec/")
    assert (status, out) == (2, "")
    assert err == "speeddata: rec/: several channels: one, two; name the directory of one\n"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("./a.avro", "--decimated"), "./a.avro: --decimated is for what is live; leave it out"),
        (("./a.avro", "-s", "rig.avsc"), "./a.avro: --schema is for what is live; leave it out"),
        (("-", "--decimated"), "standard input: --decimated is for what is live; leave it out"),
        (("./a.avro", "--time", "iso"), "--time is for JSON and CSV; say which: --format json"),
    ],
)
def test_no_option_is_passed_over_in_silence(run, tmp_path, args, says):
    written(tmp_path / "a.avro", RIG_TEXT, rows(1))
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    assert run("tap", *args) == (2, "", f"speeddata: {says}\n")


def test_settings_say_what_they_say_also_where_it_does_not_matter(run, spawn, tmp_path):
    written(tmp_path / "a.avro", RIG_TEXT, [{"time": NOON, "volts": 0.5, "note": "a"}])
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    (tmp_path / "speeddata.toml").write_text('[tap]\ntime = "iso"\ndecimated = true\nschema = "rig.avsc"\n')
    tap = spawn("tap", "./a.avro")
    assert ended_well(tap)
    assert tap.stdout.rest().startswith(b"Obj\x01")
    status, out, _ = run("tap", "./a.avro", "-f", "csv")
    assert (status, out) == (0, "time,volts,note\n2025-12-03T12:00:00.000000000Z,0.5,a\n")


@pytest.mark.parametrize(
    ("closed", "says"),
    [(">&-", "standard output: cannot write: "), ("<&-", "standard input: cannot read: ")],
)
def test_a_closed_end_is_an_error_in_one_line(environment, tmp_path, closed, says):
    written(tmp_path / "a.avro", RIG_TEXT, rows(1))
    source = "./a.avro" if closed == ">&-" else ""
    done = subprocess.run(
        ["sh", "-c", f"{shlex.quote(sys.executable)} -m speeddata tap {source} {closed}"],
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment,
        text=True,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"speeddata: {says}")


@pytest.mark.parametrize("by", ["file", "stream"])
def test_damage_is_skipped_and_told_and_a_torn_end_is_only_noted(run, tmp_path, by):
    whole = written(tmp_path / "a.avro", RIG_TEXT, rows(60), sync_interval=100).read_bytes()
    damaged = bytearray(whole)
    middle = whole.index(whole[-16:], len(whole) // 2)  # the sync marker behind a block
    damaged[middle : middle + 8] = bytes(8)
    for data, status, says in ((bytes(damaged), 5, "damaged"), (whole[:-20], 0, "torn")):
        (tmp_path / "b.avro").write_bytes(data)
        with (tmp_path / "b.avro").open("rb") as file:
            source = "b.avro" if by == "file" else "-"
            got, out, err = run("tap", source, "-f", "json", stdin=file.fileno())
        assert (got, says in err) == (status, True)
        times = [json.loads(line)["time"] - NOON for line in out.splitlines()]
        assert 30 < len(times) < 60
        assert times[0] == 0
        assert (times[-1] == 59) == (status == 5)
