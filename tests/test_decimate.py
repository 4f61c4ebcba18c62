"""`speeddata decimate`, and the decimated group of a relay: real processes, fastavro as judge."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import select
import statistics
import subprocess
from pathlib import Path

import fastavro
import pytest
from by_hand import LOOPBACK, NOON, RIG_TEXT, Bench, rig

COUNTS_TEXT = (
    '{"type": "record", "name": "counts", "fields": ['
    '{"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},'
    '{"name": "count", "type": "int", "unit": "1", "doc": "Counts."}, {"name": "note", "type": "string"}]}'
)
SECOND = 1_000_000_000


@pytest.fixture
def bench(spawn, free_port, wait_for):
    with Bench(spawn, free_port, wait_for) as bench:
        yield bench


def written(path: Path, schema_text: str, rows: list[dict[str, object]], **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        fastavro.writer(file, json.loads(schema_text), rows, **how)
    return path


def counts(count: int) -> list[dict[str, object]]:
    return [{"time": NOON + n * SECOND // 10, "count": n * n, "note": f"n{n}"} for n in range(count)]


def container(spawn, *args: object, stdin: bytes = b""):
    """Metadata and records that `decimate` writes."""
    done = spawn("decimate", *args, stdin=subprocess.PIPE)
    out, err = done.process.communicate(stdin, timeout=60)
    assert (done.process.returncode, err) == (0, b"")
    reader = fastavro.reader(io.BytesIO(out))
    return dict(reader.metadata), list(reader)


def sent_by(port: int, text: str, bench, name: str, datums: list[bytes]):
    source, said = bench.begun(name, port, schema_text=text)
    thin = bench.member(said["decimated"])
    source.send(datums)
    return source, said, thin


def counts_of(numbers) -> list[bytes]:
    form = json.loads(COUNTS_TEXT.replace(', "logicalType": "timestamp-nanos"', ""))
    found = []
    for n in numbers:
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, form, {"time": NOON + n, "count": n, "note": "x" * (n % 5)})
        found.append(stream.getvalue())
    return found


def plain(schema_text: str, datums: list[bytes]) -> list[dict[str, object]]:
    form = json.loads(re.sub(r', ?"logicalType": ?"timestamp-nanos"', "", schema_text))
    return [fastavro.schemaless_reader(io.BytesIO(datum), form, None) for datum in datums]


# -- to standard output -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sync_interval", [100, 16_000])
@pytest.mark.parametrize("way", ["file", "pipe"])
def test_a_file_and_a_pipe_give_the_same_whatever_their_blocks(spawn, tmp_path, way, sync_interval):
    rows = counts(1234)
    path = written(tmp_path / "c.avro", COUNTS_TEXT, rows, sync_interval=sync_interval)
    for method, factor in itertools.product(("pick", "minmax", "mean", "rms"), (1, 50)):
        args = ("-n", factor, "-m", method)
        if way == "file":
            said, found = container(spawn, "./c.avro", *args)
        else:
            said, found = container(spawn, "-", *args, stdin=path.read_bytes())
        windows = [rows[first : first + factor] for first in range(0, 1234, factor)]
        numbers = [[row["count"] for row in window] for window in windows]
        expected = {
            "pick": [values[0] for values in numbers],
            "minmax": [value for values in numbers for value in (min(values), max(values))],
            "mean": [statistics.fmean(values) for values in numbers],
            "rms": [statistics.fmean(value * value for value in values) ** 0.5 for values in numbers],
        }[method]
        assert [row["count"] for row in found] == pytest.approx(expected, rel=1e-13)
        if method != "pick":
            ends = [window[-1]["note"] for window in windows for _ in range(2 if method == "minmax" else 1)]
            assert [row["note"] for row in found] == ends
        field = json.loads(said["avro.schema"])["fields"][1]
        kind = "double" if method in ("mean", "rms") else "int"
        assert field == {"name": "count", "type": kind, "unit": "1", "doc": "Counts."}
        assert (said["speeddata.method"], said["speeddata.factor"]) == (method, str(factor))


def test_windows_of_time_and_text_for_people(run, tmp_path):
    written(tmp_path / "rec/rig/rig_20261122T050400.000000000Z.avro", COUNTS_TEXT, counts(25))
    status, out, err = run("decimate", "rec/rig/", "--every", "1s", "-m", "minmax", "-f", "json")
    assert (status, err) == (0, "")
    found = [json.loads(line) for line in out.splitlines()]
    assert [row["count"] for row in found] == [0, 81, 100, 361, 400, 576]
    assert [(row["time"] - NOON) * 10 // SECOND for row in found] == [0, 9, 10, 19, 20, 24]
    args = ("--every", "1s", "-m", "mean", "--whole", "-f", "csv", "--time", "iso", "-c", 1)
    status, out, err = run("decimate", "rec/rig/", *args)
    assert (status, err) == (0, "")
    assert out == "time,count,note\n2025-12-03T12:00:00.000000000Z,28.5,n9\n"


def test_a_pipe_of_commands_is_what_its_steps_are(spawn, tmp_path):
    written(tmp_path / "c.avro", COUNTS_TEXT, counts(1000))
    first = spawn("decimate", "./c.avro", "-n", 10, "-m", "mean")
    out, err = first.process.communicate(timeout=60)
    assert (first.process.returncode, err) == (0, b"")
    said, found = container(spawn, "-n", 10, "-m", "mean", stdin=out)
    whole = [statistics.fmean(n * n for n in range(first, first + 100)) for first in range(0, 1000, 100)]
    assert [row["count"] for row in found] == pytest.approx(whole)
    assert said["speeddata.channel"] == "counts"


def test_a_torn_file_and_a_damaged_one_give_what_is_whole(run, tmp_path):
    path = written(tmp_path / "c.avro", COUNTS_TEXT, counts(1000), sync_interval=1000)
    data = path.read_bytes()
    path.write_bytes(data[:-5])
    status, out, err = run("decimate", "./c.avro", "-m", "mean", "-f", "csv")
    assert status == 0
    assert "torn" in err
    whole = len(out.splitlines())
    path.write_bytes(data[:3000] + b"\xff" * 8 + data[3008:])
    status, out, err = run("decimate", "./c.avro", "-m", "mean", "-f", "csv")
    assert status == 5
    assert 100 < len(out.splitlines()) < whole
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("-", "--every", "1s", "-n", 3), "two kinds of windows"),
        (("-", "--to", "127.0.0.1:9", "-f", "json"), "--format is for standard output"),
        (("-", "--to", "127.0.0.1:9", "--time", "iso"), "--time is for standard output"),
        (("-", "--name", "x"), "--name is for what is sent"),
        (("-", "--ttl", 3), "--ttl is for what is sent"),
        (("./c.avro", "--decimated"), "--decimated is for what is live"),
        (("./c.avro", "--time", "iso"), "--time is for JSON and CSV"),
        (("./c.avro", "--every", "0s"), "a window has some length"),
        (("./c.avro", "--every", "1500ps"), "no duration"),
        (("./c.avro", "-n", 0), "factor"),
        (("./c.avro", "-m", "median"), "method"),
        (("./t.avro", "--every", "1s"), "does not tell its unit of time; name it with --time-unit"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(run, tmp_path, args, why):
    written(tmp_path / "c.avro", COUNTS_TEXT, counts(3))
    timeless = {"type": "record", "name": "t", "fields": [{"name": "x", "type": "int"}]}
    written(tmp_path / "t.avro", json.dumps(timeless), [])
    status, out, err = run("decimate", *args)
    assert (status, out) == (2, "")
    assert why in err
    assert err.count("\n") == 1


def test_a_changed_schema_ends_a_container(run, tmp_path):
    written(tmp_path / "rec/rig/rig_20261122T050400.000000000Z.avro", COUNTS_TEXT, counts(10))
    wider = COUNTS_TEXT.replace("int", "long").replace("Counts", "More")
    written(tmp_path / "rec/rig/rig_20261122T050500.000000000Z.avro", wider, counts(10))
    status, out, err = run("decimate", "rec/rig/", "-f", "json", "-n", 4, "-m", "mean")
    assert (status, err, len(out.splitlines())) == (0, "", 6)
    assert run("decimate", "rec/rig/", "-f", "csv", "-m", "minmax")[0] == 3
    assert (
        run("decimate", "rec/rig/", "-f", "csv", "-m", "mean")[0] == 0
    )  # means are doubles before and after


# -- live -------------------------------------------------------------------------------------------------


def test_a_live_channel_is_thinned_and_sent_to_a_group_that_is_tapped(bench, spawn, free_port, channel_name):
    relay = bench.relay("-n", 3)
    source, _ = bench.begun(channel_name, relay.port, schema_text=COUNTS_TEXT)
    group = f"239.1.1.9:{free_port()}"
    thinner = spawn("decimate", channel_name, "-n", 10, "-m", "mean", "--to", group)
    tap = spawn("tap", group, "-c", 3, "-f", "csv")
    sent = itertools.count()
    while tap.running:  # nobody says when both receive
        source.send(counts_of(itertools.islice(sent, 10)))
        source.announce()
        select.select([], [], [], 0.02)
    assert tap.wait() == 0
    heading, *lines = tap.stdout.rest().decode().splitlines()
    assert heading == "time,count,note"
    values = [float(line.split(",")[1]) for line in lines]
    # whole windows of ten in a row, wherever they began
    assert [after - before for before, after in itertools.pairwise(values)] == [10.0, 10.0]
    assert thinner.terminate() == 0
    assert thinner.stderr.rest() == b""


def test_what_is_sent_to_a_relay_is_a_channel_of_its_own(bench, run, channel_name, tmp_path):
    relay = bench.relay("-o", "rec")
    rows = counts(500)
    written(tmp_path / f"{channel_name}.avro", COUNTS_TEXT, rows)
    to = f"{LOOPBACK}:{relay.port}"
    name = f"{channel_name}-rms"
    args = ("-n", 10, "-m", "rms", "--to", to, "--name", name)
    assert run("decimate", f"./{channel_name}.avro", *args) == (0, "", "")
    said = bench.discovery.hear(name, lambda said: said["state"] == "end")
    assert (said["received"], said["lost"], said["rejected"]) == ("50", "0", "0")
    assert json.loads(said["avro.schema"])["fields"][1]["type"] == "double"
    assert relay.terminate() == 0


def test_ctrl_c_ends_it_with_the_window_that_was_open(bench, spawn, channel_name):
    relay = bench.relay()
    source, said = bench.begun(channel_name, relay.port, schema_text=COUNTS_TEXT)
    thinner = spawn("decimate", said["full"], "-n", 4, "-m", "minmax")
    header = os.read(thinner.process.stdout.fileno(), 1 << 16)
    source.send(counts_of(range(6)))
    first = os.read(thinner.process.stdout.fileno(), 1 << 16)
    assert thinner.interrupt() == 0
    found = list(fastavro.reader(io.BytesIO(header + first + thinner.stdout.rest())))
    assert [row["count"] for row in found] == [0, 3, 4, 5]
    assert thinner.stderr.rest() == b""


# -- the decimated group of a relay -----------------------------------------------------------------------


def test_a_relay_serves_means_announces_their_schema_and_tap_reads_them(bench, spawn, channel_name):
    relay = bench.relay("-n", 4, "-m", "mean")
    source, said = bench.begun(channel_name, relay.port, schema_text=COUNTS_TEXT)
    assert said["method"] == "mean"
    assert said["avro.schema"] == COUNTS_TEXT
    changed = json.loads(said["decimated_schema"])
    assert changed["fields"][1] == {"name": "count", "type": "double", "unit": "1", "doc": "Counts."}
    full, thin = bench.member(said["full"]), bench.member(said["decimated"])
    taps = [spawn("tap", *args, "-c", 6) for args in ((channel_name, "--decimated"), (said["decimated"],))]
    headers = [os.read(tap.process.stdout.fileno(), 1 << 16) for tap in taps]
    datums = counts_of(range(22))
    hostile = [b"", b"\xff" * 30, datums[0] + b"\x00", b"Obj\x01junk"]
    source.send([datum for pair in zip(datums, itertools.cycle(hostile)) for datum in pair])
    source.end()
    assert len(full.take(44)) == 44
    means = plain(said["decimated_schema"], thin.take(6))
    assert [row["count"] for row in means] == [1.5, 5.5, 9.5, 13.5, 17.5, 20.5]
    assert [row["time"] - NOON for row in means] == [0, 4, 8, 12, 16, 20]
    for tap, header in zip(taps, headers, strict=True):
        assert tap.wait() == 0
        rows = list(fastavro.reader(io.BytesIO(header + tap.stdout.rest())))
        assert [row["count"] for row in rows] == [1.5, 5.5, 9.5, 13.5, 17.5, 20.5]
    said = bench.discovery.hear(channel_name, lambda said: said["rejected"] == "22")
    assert (said["received"], said["state"]) == ("44", "end")
    assert relay.terminate() == 0
    assert relay.stderr.rest() == b""


def test_a_channel_may_have_a_method_of_its_own(bench, channel_name, tmp_path, free_port):
    own, port = f"{channel_name}_own", free_port()
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    (tmp_path / "speeddata.toml").write_text(
        f'[channels.{own}]\nlisten = "{LOOPBACK}:{port}"\nschema = "rig.avsc"\n'
        'method = "minmax"\nfactor = 2\n'
    )
    relay = bench.relay("-m", "rms", "-n", 3)
    _, said, thin = sent_by(relay.port, RIG_TEXT, bench, channel_name, rig(range(3)))
    assert (said["method"], said["factor"]) == ("rms", "3")
    assert plain(RIG_TEXT, thin.take(1))[0]["volts"] == pytest.approx((5 / 3 / 64) ** 0.5)
    mine = bench.discovery.hear(own)
    assert (mine["method"], mine["factor"]) == ("minmax", "2")
    thin = bench.member(mine["decimated"])
    bench.source("", port).say(*rig([9, 4]))
    assert [row["volts"] * 8 for row in plain(RIG_TEXT, thin.take(2))] == [4, 9]
    assert relay.terminate() == 0


def test_a_new_schema_of_a_mean_reaches_a_tap_that_listens(bench, spawn, channel_name):
    relay = bench.relay("-n", 2, "-m", "mean")
    source, _ = bench.begun(channel_name, relay.port, schema_text=COUNTS_TEXT)
    tap = spawn("tap", channel_name, "--decimated", "-f", "json")
    while not tap_has_begun(tap):
        source.send(counts_of([1, 2]))
    source.send(counts_of([5]))  # half a window
    source.end()
    bench.discovery.hear(channel_name, lambda said: said["state"] == "end")
    source, said = bench.begun(channel_name, relay.port)
    assert "decimated_schema" not in said
    source.send(rig([8, 16]))
    while "volts" not in (row := json.loads(tap.stdout.line())):
        last = row
    assert last["count"] in (1.5, 5.0)
    assert row["volts"] == 1.5
    assert tap.interrupt() == 0
    assert tap.stderr.rest() == b""


def tap_has_begun(tap) -> bool:
    return bool(select.select([tap.process.stdout], [], [], 0.05)[0])
