"""`speeddata info`: what a channel is, what is damaged in it, and what is whole of it in a new container."""

from __future__ import annotations

import array
import fcntl
import io
import json
import os
import subprocess
import sys
import termios

import fastavro
import pytest
from by_hand import LOOPBACK, NOON, RIG_TEXT, Bench, metadata, rig

COUNTED_TEXT = (
    '{"type": "record", "name": "counted", "fields": ['
    '{"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},'
    '{"name": "level", "type": ["null", "double"], "unit": "m", "doc": "Above the floor."},'
    '{"name": "counter", "type": "int"}]}'
)
MS = NOON // 10**6


def written(path, schema_text, rows, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        fastavro.writer(file, json.loads(schema_text), rows, **how)
    return path


def counted(numbers):
    return [{"time": MS + 10 * n, "level": n / 4 if n % 3 else None, "counter": n} for n in numbers]


def plain(found):
    """Records with times as the numbers that they are in the file."""
    return [row | {"time": round(row["time"].timestamp() * 1000)} for row in found]


def records(path):
    """What fastavro reads."""
    with path.open("rb") as file:
        return plain(fastavro.reader(file))


def blocks(path):
    """Offset, size and records of each block, as fastavro finds them."""
    with path.open("rb") as file:
        return [(block.offset, block.size, plain(block)) for block in fastavro.block_reader(file)]


@pytest.fixture
def whole(tmp_path):
    """A container of ten blocks of ten datums."""
    meta = {"speeddata.channel": "tank", "speeddata.session": "s1", "speeddata.role": "recording"}
    path = tmp_path / "tank.avro"
    with path.open("wb") as file:
        parts = [io.BytesIO() for _ in range(10)]
        for number, part in enumerate(parts):
            rows = counted(range(10 * number, 10 * number + 10))
            fastavro.writer(
                part, json.loads(COUNTED_TEXT), rows, metadata=meta, sync_marker=b"0123456789abcdef"
            )
        header = parts[0].getvalue()
        size = header.index(b"0123456789abcdef") + 16
        file.write(header[:size] + b"".join(part.getvalue()[size:] for part in parts))
    assert [len(each) for _, _, each in blocks(path)] == [10] * 10
    return path


def told(run, *args, status=0, stdin=None):
    """What `info --json` says, line by line."""
    got, out, err = run("info", *args, "--json", **({} if stdin is None else {"stdin": stdin}))
    assert got == status, err
    return [json.loads(line) for line in out.splitlines()], err


# -- what is whole ------------------------------------------------------------------------------------------


def test_a_container_is_told_to_people(run, whole):
    status, out, err = run("info", "./tank.avro", "--sequence", "counter")
    assert (status, err) == (0, "")
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert lines[0] == ["channel", "tank"]
    assert lines[2:5] == [
        ["signals", "time     long            ms"],
        ["level", "double or null  m   Above the floor."],
        ["counter", "int             -"],
    ]
    assert dict(
        line for line in lines if line[0] in ("files", "datums", "range", "rate", "gaps", "sequence")
    ) == {
        "files": f"1, {whole.stat().st_size / 1024:.1f} KiB, codec null",
        "datums": "100 in 10 blocks",
        "range": "2025-12-03T12:00:00.000000000Z to 2025-12-03T12:00:00.990000000Z (990 ms)",
        "rate": "100/s",
        "gaps": "none (median step 10 ms)",
        "sequence": "counter: none (median step 1)",
    }


def test_programs_are_told_the_same_in_json(run, whole):
    (found,), err = told(run, "./tank.avro")
    assert err == ""
    assert found["signals"][1] == {
        **{"name": "level", "type": "double or null", "unit": "m"},
        "description": "Above the floor.",
    }
    assert (found["channel"], found["damaged"], found["abscissa"]) == ("tank", False, "time")
    assert (found["datums"], found["blocks"], found["rate"]) == (100, 10, 100)
    assert found["since"] == "2025-12-03T12:00:00.000000000Z"
    assert found["gaps"] | {"longest": 0} == {
        **{"median_step": 10, "count": 0, "missing": 0, "longest": 0},
        **{"steps_back": 0, "repeated": 0},
    }
    (file,) = found["files"]
    assert (file["size"], file["codec"], file["torn"]) == (whole.stat().st_size, "null", None)


def test_gaps_are_found_by_time_and_by_the_signal_that_counts_also_between_blocks_and_files(run, tmp_path):
    rows = counted([*range(50), *range(60, 100)])
    for row in rows[70:]:
        row["time"] += 35
    rows[80]["counter"] = -7
    for name, part in (("a", rows[:50]), ("b", rows[50:])):
        written(tmp_path / f"tank/{name}.avro", COUNTED_TEXT, part, sync_interval=60)
    (found,), _ = told(run, "tank/", "--sequence", "counter")
    assert (found["gaps"]["count"], found["gaps"]["missing"]) == (2, 10 + 4)
    assert found["gaps"]["longest"][0] == {
        "after": "2025-12-03T12:00:00.490000000Z",
        "before": "2025-12-03T12:00:00.600000000Z",
        "step": 110,
    }
    assert (found["sequence"]["signal"], found["sequence"]["steps_back"]) == ("counter", 1)
    assert [gap["after"] for gap in found["sequence"]["longest"]] == [49, -7]
    _, out, _ = run("info", "tank/")
    assert "gaps        2 (median step 10 ms), 14 samples missing" in out
    assert "110 ms after 2025-12-03T12:00:00.490000000Z" in out


def test_another_codec_is_told_and_repaired_to_none(run, tmp_path):
    written(tmp_path / "tank.avro", COUNTED_TEXT, counted(range(99)), codec="deflate", sync_interval=100)
    (found,), _ = told(run, "./tank.avro", "--repair", "plain.avro")
    assert (found["datums"], found["files"][0]["codec"]) == (99, "deflate")
    assert records(tmp_path / "plain.avro") == records(tmp_path / "tank.avro")
    assert metadata(tmp_path / "plain.avro")["avro.codec"] == "null"


def test_an_abscissa_that_is_no_time_and_one_that_is_no_number_are_told_as_they_are(run, tmp_path):
    angle = '{"type": "record", "name": "a", "fields": [{"name": "angle", "type": "double", "unit": "deg"}]}'
    written(tmp_path / "set/a.avro", angle, [{"angle": n / 2} for n in range(9)])
    text = '{"type": "record", "name": "t", "fields": [{"name": "time", "type": "string"}]}'
    written(tmp_path / "set/t.avro", text, [{"time": "now"}])
    (number, word), _ = told(run, "set/")
    assert (number["since"], number["until"], number["rate"]) == (0, 4, None)
    assert number["gaps"]["median_step"] == 0.5
    assert (word["since"], word["gaps"], word["datums"]) == (None, None, 1)
    status, out, _ = run("info", "set/")
    assert status == 0
    assert "gaps        none (median step 0.5)" in out


def test_a_directory_is_told_channel_by_channel_and_strangers_in_it_are_left_alone(run, tmp_path):
    written(
        tmp_path / "rec/tank/a.avro", COUNTED_TEXT, counted(range(9)), metadata={"speeddata.channel": "tank"}
    )
    written(tmp_path / "rec/rig/b.avro", RIG_TEXT, [{"time": NOON, "volts": 1, "note": ""}])
    rejected = {"speeddata.channel": "rig", "speeddata.role": "rejected"}
    written(
        tmp_path / "rec/rig/rejected.avro", RIG_TEXT, [{"time": 0, "volts": 1, "note": ""}], metadata=rejected
    )
    (tmp_path / "rec/notes.avro").write_bytes(b"not a container")
    (tmp_path / "rec/readme.txt").write_text("hello")
    found, err = told(run, "rec/")
    assert [(each["channel"], each["datums"]) for each in found] == [("rig", 1), ("tank", 9)]
    assert err == ""


def test_a_changed_schema_is_told_signal_by_signal(run, tmp_path):
    written(tmp_path / "tank/a.avro", COUNTED_TEXT, counted(range(9)))
    changed = COUNTED_TEXT.replace('"int"', '"long"').replace('"level"', '"height"')
    rows = [{"time": MS + 90 + n, "height": None, "counter": n} for n in range(9)]
    written(tmp_path / "tank/b.avro", changed, rows)
    (found,), _ = told(run, "tank/", "--sequence", "counter")
    assert found["changes"] == ["level is gone", "height is new (double or null)", "counter was int, is long"]
    status, _, err = run("info", "tank/", "--repair", "both.avro")
    assert status == 3
    assert "the schema changed" in err
    assert os.listdir(tmp_path) == ["tank"]


# -- what is damaged ----------------------------------------------------------------------------------------


def test_a_torn_end_is_noted_and_no_damage(run, whole, tmp_path):
    offset, size, _ = blocks(whole)[6]
    with whole.open("r+b") as file:
        file.truncate(offset + size // 2)
    (found,), err = told(run, "./tank.avro", "--repair", "new.avro")
    assert (found["damaged"], found["datums"]) == (False, 60)
    assert found["files"][0]["torn"] == {"offset": offset, "size": size // 2}
    assert (
        err
        == f"speeddata: tank.avro: torn: the last {size // 2} bytes are no whole block, and are left out\n"
    )
    assert records(tmp_path / "new.avro") == counted(range(60))
    assert f"tank.avro: the last {size // 2} bytes, at byte {offset}" in run("info", "./tank.avro")[1]


def test_the_end_of_a_file_that_is_being_written_is_not_even_noted(run, whole):
    with whole.open("r+b") as file:
        file.truncate(whole.stat().st_size - 20)
        fcntl.flock(file, fcntl.LOCK_EX)
        (found,), err = told(run, "./tank.avro")
        assert (found["datums"], found["files"][0]["writing"], err) == (90, True, "")
        status, out, _ = run("info", "./tank.avro")
        assert status == 0
        assert "is being written" in out
        assert "torn" not in out


# from where in which block to overwrite how many bytes
DAMAGE = {
    "the frame of a block": (3, 0, 2),
    "the sync marker of a block": (3, -16, 16),
    "all of a block": (3, 0, None),
    "all but the frame of a block": (3, 3, None),
    "the first block": (0, 0, 4),
    "two blocks and what is between them": (4, -20, 40),
}


@pytest.mark.parametrize("where", DAMAGE)
def test_damage_is_placed_and_what_is_whole_around_it_is_repaired(run, whole, tmp_path, where):
    number, at, length = DAMAGE[where]
    offset, size, _ = blocks(whole)[number]
    at = at if at >= 0 else size + at
    length = size - at if length is None else length
    before = blocks(whole)
    data = bytearray(whole.read_bytes())
    data[offset + at : offset + at + length] = b"\xff" * length
    whole.write_bytes(data)

    hit = [
        n
        for n, (begin, size, _) in enumerate(before)
        if begin < offset + at + length and begin + size > offset + at
    ]
    if at + length >= size and at > size - 17:  # without its marker a block does not end before the next one
        hit = sorted({*hit, number, number + 1})
    elif at + length >= size:
        hit = sorted({*hit, number + 1})
    (found,), err = told(run, "./tank.avro", "--repair", "new.avro", status=3)
    places = found["damage"] + found["undecodable"]
    assert [(place["offset"], place["size"]) for place in places] == [
        (before[hit[0]][0], sum(before[n][1] for n in hit))
    ]
    assert found["damaged"]
    assert err == "speeddata: tank: damaged\n"
    kept = [row for n, (_, _, rows) in enumerate(before) if n not in hit for row in rows]
    assert found["datums"] == len(kept)
    assert records(tmp_path / "new.avro") == kept
    assert whole.read_bytes() == data

    _, out, err = run("info", "./tank.avro")
    assert f"tank.avro: {places[0]['size']} bytes at byte {places[0]['offset']}" in out
    assert err == "speeddata: tank: damaged; --repair FILE writes what is whole\n"
    assert told(run, "./new.avro")[0][0]["damaged"] is False


def test_a_whole_block_whose_datums_do_not_decode_is_left_out_and_counted(run, whole, tmp_path):
    offset, size, _ = blocks(whole)[5]
    data = bytearray(whole.read_bytes())
    data[offset + 3 : offset + size - 16] = b"\xff" * (size - 19)  # frame and marker stay
    whole.write_bytes(data)
    (found,), _ = told(run, "./tank.avro", "--repair", "new.avro", status=3)
    assert (found["undecodable_blocks"], found["undecodable_datums"], found["damaged_places"]) == (1, 10, 0)
    assert found["undecodable"] == [{"file": "tank.avro", "offset": offset, "size": size}]
    assert records(tmp_path / "new.avro") == counted([*range(50), *range(60, 100)])


@pytest.mark.parametrize("target", ["tank.avro", "other", "link"])
def test_nothing_is_ever_written_over(run, whole, tmp_path, target):
    (tmp_path / "other").write_text("precious")
    (tmp_path / "link").symlink_to("nowhere")
    before = whole.read_bytes()
    status, out, err = run("info", "./tank.avro", "--repair", target)
    assert (status, out) == (2, "")
    assert err == f"speeddata: {target}: is there already; name a new file, or remove it\n"
    assert whole.read_bytes() == before
    assert (tmp_path / "other").read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["link", "other", "tank.avro"]


def test_a_repair_that_cannot_be_done_leaves_no_file(run, whole, tmp_path):
    offset = blocks(whole)[0][0]
    whole.write_bytes(whole.read_bytes()[: offset + 30])
    status, _, err = run("info", "./tank.avro", "--repair", "new.avro")
    assert status == 3
    assert "new.avro: nothing whole is left; nothing was written" in err
    status, _, err = run("info", "./tank.avro", "--repair", "nowhere/new.avro")
    assert (status, err) == (1, "speeddata: nowhere/new.avro: cannot write: No such file or directory\n")
    written(tmp_path / "rec/a/a.avro", COUNTED_TEXT, counted(range(9)))
    written(tmp_path / "rec/b/b.avro", RIG_TEXT, [{"time": NOON, "volts": 1, "note": ""}])
    status, _, err = run("info", "rec/", "--repair", "new.avro")
    assert status == 2
    assert "several channels: counted, rig" in err
    assert sorted(os.listdir(tmp_path)) == ["rec", "tank.avro"]


def test_a_full_disk_is_told_in_one_line(run, whole, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "speeddata", "info", "./tank.avro"],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
        )
    assert done.returncode == 1
    assert done.stderr == b"speeddata: standard output: cannot write: No space left on device\n"


# -- pipes, and what is live --------------------------------------------------------------------------------


def test_standard_input_is_a_source_too(run, whole, tmp_path):
    data = whole.read_bytes()
    (tmp_path / "cut").write_bytes(data[:-3])
    with (tmp_path / "cut").open("rb") as file:
        (found,), err = told(run, "--repair", "new.avro", stdin=file.fileno())
    assert (found["channel"], found["datums"]) == ("tank", 90)
    assert "standard input: torn" in err
    assert records(tmp_path / "new.avro") == counted(range(90))


def test_a_pipe_is_told_of_as_far_as_it_came_when_interrupted(spawn, wait_for, whole):
    info = spawn("info", "--json", stdin=subprocess.PIPE)
    info.stdin.write(whole.read_bytes()[:-3])
    info.stdin.flush()
    left = array.array("i", [1])

    def taken():
        fcntl.ioctl(info.stdin.fileno(), termios.FIONREAD, left)
        return not left[0]

    wait_for(taken)
    assert info.interrupt() == 0
    assert json.loads(info.stdout.line())["datums"] == 90
    assert info.stderr.rest() == b""


def test_of_a_live_channel_it_is_told_what_is_announced_and_with_a_duration_what_arrives(
    spawn, run, free_port, wait_for, channel_name
):
    with Bench(spawn, free_port, wait_for) as bench:
        relay = bench.relay("-n", 8)
        source, _ = bench.begun(channel_name, relay.port)
        source.send(rig(range(10)))
        source.sent += 7
        source.announce()
        said = bench.discovery.hear(
            channel_name, lambda said: (said["received"], said["lost"]) == ("10", "7")
        )
        (found,), err = told(run, channel_name)
        assert err == ""
        assert (found["channel"], found["damaged"]) == (channel_name, False)
        assert [signal["name"] for signal in found["signals"]] == ["time", "volts", "note"]
        assert found["announced"]["full"] == said["full"]
        assert (found["announced"]["factor"], found["announced"]["relay"]) == ("8", said["from"])
        assert (found["losses"]["received"], found["losses"]["lost"]) == (10, 7)
        assert "datums" not in found

        info = spawn("info", said["full"], "-d", "2s", "--json")
        number = 10
        member = bench.member(said["full"])
        while info.running:
            source.send(rig([number]))
            assert len(member.take(1)) == 1
            number += 1
        (line,) = info.stdout.rest().decode().splitlines()
        assert info.wait() == 0, info.stderr.rest()
        found = json.loads(line)
        assert 0 < found["datums"] <= number - 10
        assert found["gaps"]["median_step"] == 1
        assert found["announced"]["relay"] == said["from"]


def test_what_makes_no_sense_is_refused(run, whole, free_port):
    port = free_port()
    for args, what in (
        (("./tank.avro", "--sequence", "cuonter"), "did you mean counter?"),
        (("./tank.avro", "--sequence", "level"), "level is of type double, and cannot count"),
        (("./tank.avro", "-d", "3s"), "for what is live"),
        (("./tank.avro", "-s", "tank.avsc"), "./tank.avro: --schema is for what is live; leave it out"),
        (("rig", "--repair", "x.avro"), "a live channel cannot be repaired"),
        (
            ("rig", "--sequence", "counter"),
            "rig: --sequence is for what arrives; say how long with --duration",
        ),
        ((f"{LOOPBACK}:{port}",), "-d 5s"),
    ):
        status, out, err = run("info", *args)
        assert (status, out) == (2, ""), err
        assert what in err
        assert err.count("\n") == 1
    with whole.open("rb") as file:
        assert run("info", "--sequence", "cuonter", stdin=file.fileno())[0] == 2


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss in KiB")
def test_memory_does_not_grow_with_the_file(environment, tmp_path):
    block = [{"time": MS + n, "level": n / 7, "counter": n} for n in range(4000)]
    path = written(tmp_path / "small.avro", COUNTED_TEXT, block, sync_marker=b"0123456789abcdef")
    data = path.read_bytes()
    header = data.index(b"0123456789abcdef") + 16
    with (tmp_path / "large.avro").open("wb") as file:
        file.write(data[:header])
        for _ in range(64_000_000 // (len(data) - header)):
            file.write(data[header:])
    program = (
        "import resource, sys; from speeddata.cli import main; assert main(sys.argv[1:]) == 0;"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    peak = {}
    for name in ("small", "large"):
        done = subprocess.run(
            [sys.executable, "-c", program, "info", f"./{name}.avro"],
            capture_output=True, text=True, env=environment, cwd=tmp_path, check=True,
        )  # fmt: skip
        peak[name] = int(done.stderr)
    assert peak["large"] < peak["small"] + 40_000
