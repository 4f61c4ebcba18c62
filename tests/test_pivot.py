"""`speeddata pivot`: from recordings, pipes and live channels to one HDF5 set, read by h5py alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import fastavro
import h5py
import numpy as np
import pytest
from by_hand import NOON, RIG_TEXT, Source, rig

RIG = {
    "type": "record",
    "name": "rig",
    "fields": [
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
        {"name": "sine_wave", "type": "double", "unit": "V", "doc": "what it is"},
        {"name": "note", "type": "string"},
    ],
}


def rows(numbers):
    return [{"time": NOON + n * 10**9, "sine_wave": n / 4, "note": f"n{n}"} for n in numbers]


def recorded(path, records, schema=RIG, codec="null", **metadata):
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {f"speeddata.{key}": value for key, value in metadata.items()}
    with path.open("wb") as file:
        fastavro.writer(file, schema, records, metadata=named, codec=codec, sync_interval=400)


@pytest.fixture
def recording(tmp_path):
    """rec/: channel rig of 60 s in two files, channel engine of 10 s, and strangers."""
    recorded(tmp_path / "rec/rig/rig_20251203T120000.000000000Z.avro", rows(range(30)), channel="rig")
    recorded(tmp_path / "rec/rig/rig_20251203T120030.000000000Z.avro", rows(range(30, 60)), channel="rig")
    recorded(tmp_path / "rec/engine/engine.avro", rows(range(10)), channel="engine", codec="deflate")
    recorded(tmp_path / "rec/rig/rejected.avro", rows([7]), role="rejected", channel="rig")
    (tmp_path / "rec/rig/notes.txt").write_text("no container")
    (tmp_path / "rec/strange.avro").write_text("no container either")
    (tmp_path / "rec/rig/ledger.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "kind": kind,
                    "since": NOON + second * 10**9,
                    "until": NOON + (second + 1) * 10**9,
                    "session": "s",
                    **dict.fromkeys(("received", "recorded"), 100),
                    **{"lost": 5, "lost_kernel": 2, "lost_disk": 3, "rejected": 1},
                    **({"file": "f", "size": 1, "least": 0, "greatest": 1} if kind == "file" else {}),
                }
            )
            + "\n"
            for second, kind in ((-100, "loss"), (10, "loss"), (20, "loss"), (20, "file"))
        )
    )
    return tmp_path / "rec"


def numbers(group):
    return ((group["time"][:] - NOON) / 10**9).tolist()


def test_a_directory_of_many_channels_becomes_one_set(run, recording, tmp_path):
    assert run("pivot", "rec/", "-o", "set.h5", "--tag", "run=42", "--tag", "who=a=b") == (0, "", "")
    with h5py.File(tmp_path / "set.h5") as file:
        assert list(file) == ["engine", "rig"]
        assert (file.attrs["run"], file.attrs["who"]) == ("42", "a=b")
        assert file.attrs["since"] == "2025-12-03T12:00:00.000000000Z"
        assert file.attrs["until"] == "2025-12-03T12:00:59.000000001Z"
        rig, engine = file["rig"], file["engine"]
        assert numbers(rig) == list(range(60))
        assert numbers(engine) == list(range(10))
        assert rig["sine_wave"][:].tolist() == [n / 4 for n in range(60)]
        assert rig["note"].asstr()[:].tolist() == [f"n{n}" for n in range(60)]
        assert dict(rig["sine_wave"].attrs) == {"units": "V", "description": "what it is"}
        told = {name: int(rig.attrs[name]) for name in ("lost", "lost_kernel", "lost_disk", "rejected")}
        assert told == {"lost": 10, "lost_kernel": 4, "lost_disk": 6, "rejected": 2}
        assert (rig.attrs["received"], engine.attrs["received"]) == (60 + 6 + 2, 10)
        assert (rig.attrs["factor"], rig.attrs["method"], rig.attrs["abscissa"]) == (1, "none", "time")
        assert [each["name"] for each in json.loads(rig.attrs["schema"])["fields"]] == list(rows([0])[0])
        assert len(json.loads(rig.attrs["files"])) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rec", "set.h5"]


@pytest.mark.skipif(shutil.which("h5dump") is None, reason="h5dump (hdf5-tools) is not on the path")
@pytest.mark.parametrize("compression", ["gzip", "lzf", "none"])
def test_h5dump_reads_every_value_of_a_set(run, recording, tmp_path, compression):
    assert run("pivot", "rec/", "--compress", compression, "-o", "set.h5")[0] == 0
    header = subprocess.run(
        ["h5dump", "-H", "set.h5"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert header.stdout.count("GROUP ") == 3  # the file's, and two channels
    if compression == "lzf":  # a filter that only h5py brings
        return
    for signal, expected in [
        ("rig/sine_wave", [f"{n / 4:g}" for n in range(60)]),
        ("rig/note", [f'"n{n}"' for n in range(60)]),
        ("engine/time", [str(NOON + n * 10**9) for n in range(10)]),
    ]:
        dump = ["h5dump", "-y", "-w", "1", "-d", f"/{signal}", "set.h5"]
        said = subprocess.run(dump, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        data = said.partition("DATA {")[2].partition("}")[0]
        assert [each.strip() for each in data.split(",")] == expected


def test_a_range_takes_what_is_inside_and_the_losses_within(run, recording, tmp_path):
    span = ("--since", "2025-12-03T12:00:15Z", "--until", "2025-12-03T12:00:40Z")
    assert run("pivot", "rec/", *span, "-o", "sets/%Y%m%dT%H%M%S.h5", env={"TZ": "Asia/Tokyo"})[0] == 0
    with h5py.File(tmp_path / "sets/20251203T120040.h5") as file:
        assert list(file) == ["rig"]
        assert numbers(file["rig"]) == list(range(15, 40))
        assert (file["rig"].attrs["lost"], file["rig"].attrs["received"]) == (5, 25 + 3 + 1)
        assert file.attrs["since"] == "2025-12-03T12:00:15.000000000Z"
        assert file.attrs["until"] == "2025-12-03T12:00:40.000000000Z"


def test_the_last_so_long_counts_back_from_the_end_of_the_data(run, recording, tmp_path):
    assert run("pivot", "rec/", "--last", "10s", "-o", "set.h5") == (0, "", "")
    with h5py.File(tmp_path / "set.h5") as file:
        assert list(file) == ["rig"]
        assert numbers(file["rig"]) == list(range(50, 60))


MARKS = (
    '{"name": "spike", "begin": "2025-12-03T12:00:20Z", "end": "2025-12-03T12:00:25.000000001Z"}\n'
    '{"name": "open", "begin": "2025-12-03T12:00:30Z", "end": null}\n'
    '{"name": "torn", "be'
)


@pytest.mark.parametrize("source", ["rec/", "rec/rig/", "./rec/rig/rig_20251203T120000.000000000Z.avro"])
def test_a_mark_is_cut_exactly(run, recording, tmp_path, source):
    (recording / "marks.jsonl").write_text(MARKS)
    status, out, err = run("pivot", source, "--mark", "SPIKE", "-o", "%H%M%S.h5")
    assert (status, out) == (0, "")
    assert err == "speeddata: " + err.split(": ")[1] + ": line 3: no JSON; left out\n"
    with h5py.File(tmp_path / "120025.h5") as file:
        assert list(file) == ["rig"]
        assert numbers(file["rig"]) == list(range(20, 26))
        assert file.attrs["mark"] == "spike"
        assert file.attrs["since"] == "2025-12-03T12:00:20.000000000Z"
        assert file.attrs["until"] == "2025-12-03T12:00:25.000000001Z"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["rec/", "--mark", "spice"], "there is no mark 'spice' in {}/marks.jsonl; did you mean spike?"),
        (
            ["rec/", "--mark", "open"],
            "mark open has no end yet; end it in `speeddata tui`, or cut with --since "
            "2025-12-03T12:00:30.000000000Z",
        ),
        (
            ["rec/", "--mark", "spike", "--last", "1s"],
            "means its own range; leave out --since, --until and --last",
        ),
        (
            ["rec", "--mark", "spike"],
            "only a recording has marks, and rec is none; for the directory write rec/",
        ),
        (["none/", "--mark", "spike"], "none has no marks.jsonl; `speeddata tui` makes marks"),
    ],
)
def test_a_mark_that_cannot_be_cut_is_refused(run, recording, tmp_path, args, told):
    (recording / "marks.jsonl").write_text(MARKS.rpartition("\n")[0])
    recorded(tmp_path / "none/rig.avro", rows([1]))
    status, out, err = run("pivot", *args, "-o", "set.h5")
    assert (status, out, err) == (2, "", f"speeddata: --mark: {told.format('rec')}\n")
    assert not (tmp_path / "set.h5").exists()


def test_signals_are_picked_by_name_and_glob_and_the_abscissa_stays(run, recording, tmp_path):
    assert run("pivot", "rec/", "-S", "sine*", "-o", "set.h5")[0] == 0
    with h5py.File(tmp_path / "set.h5") as file:
        assert list(file["rig"]) == ["sine_wave", "time"]
    status, out, err = run("pivot", "rec/", "-S", "sinewave", "-o", "other.h5")
    told = "speeddata: --signal: there is no signal 'sinewave'; did you mean sine_wave?\n"
    assert (status, out, err) == (2, "", told)
    assert not (tmp_path / "other.h5").exists()


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("pick", [0, 12, 24, 36, 48]),
        ("mean", [n + 5.5 for n in (0, 12, 24, 36, 48)]),
        ("minmax", [0, 11, 12, 23, 24, 35, 36, 47, 48, 59]),
    ],
)
def test_it_thins_as_decimate_does(run, recording, tmp_path, method, expected):
    assert run("pivot", "rec/rig/", "-n", 12, "-m", method, "-o", "set.h5") == (0, "", "")
    with h5py.File(tmp_path / "set.h5") as file:
        group = file["rig"]
        assert (group["sine_wave"][:] * 4).tolist() == expected
        assert (group.attrs["factor"], group.attrs["method"], group.attrs["received"]) == (12, method, 68)


def test_a_range_without_data_makes_a_set_that_says_so(run, recording, tmp_path):
    status, out, err = run("pivot", "rec/", "--since", "-10m", "-o", "set.h5")
    assert (status, out, err) == (5, "", "speeddata: set.h5: no data in the range, and none in the set\n")
    with h5py.File(tmp_path / "set.h5") as file:
        assert list(file) == []
        assert file.attrs["note"] == "no data in the range"
        assert "since" in file.attrs


def test_files_of_one_channel_make_one_group_in_recording_order(run, recording, tmp_path):
    files = sorted((recording / "rig").glob("rig_*.avro"), reverse=True)
    assert run("pivot", *files, files[0], "-o", "set.h5") == (0, "", "")
    with h5py.File(tmp_path / "set.h5") as file:
        assert numbers(file["rig"]) == list(range(60))


def test_what_is_out_of_order_stays_so_unless_it_is_to_be_sorted(run, tmp_path):
    order = [3, 1, 2, 9, 0, 4]
    recorded(tmp_path / "rig.avro", rows(order))
    for options, expected in (((), order), (("--sort",), sorted(order))):
        assert run("pivot", "rig.avro", *options, "-o", "set.h5") == (0, "", "")
        with h5py.File(tmp_path / "set.h5") as file:
            assert numbers(file["rig"]) == expected
            assert file["rig/note"].asstr()[:].tolist() == [f"n{n}" for n in expected]


def test_the_same_run_twice_makes_the_same_set(run, recording, tmp_path):
    found = []
    for _ in range(2):
        assert run("pivot", "rec/", "-o", "set.h5", "--last", "20s")[0] == 0
        with h5py.File(tmp_path / "set.h5") as file:
            found.append({name: each[:].tolist() for name, each in file["rig"].items()})
    assert found[0] == found[1]


def test_a_pipe_is_a_file(run, recording, spawn, environment, tmp_path):
    path = sorted((recording / "rig").glob("rig_*.avro"))[0]
    with path.open("rb") as file:
        assert run("pivot", "-o", "set.h5", stdin=file.fileno()) == (0, "", "")
    with h5py.File(tmp_path / "set.h5") as file:
        assert numbers(file["rig"]) == list(range(30))


def test_live_channels_are_taken_side_by_side(spawn, wait_for, free_port, tmp_path, channel_name):
    ports = [free_port(), free_port()]
    schema = tmp_path / "rig.avsc"
    schema.write_text(json.dumps(RIG))
    ends = [f"127.0.0.1:{port}" for port in ports]
    pivot = spawn("pivot", *ends, "-s", schema, "-o", "set.h5", "-S", "time", "-S", "note")
    sources = [Source("x", port) for port in ports]
    aside = lambda: list(tmp_path.glob(".set.h5.*"))  # noqa: E731
    wait_for(aside)
    for source in sources:
        source.send(rig(range(50)))
    deadline = time.monotonic() + 10
    # what was sent is in the sockets: asked to end, it takes what is there
    while time.monotonic() < deadline and any(waiting(port) for port in ports):
        time.sleep(0.01)
    assert pivot.interrupt() == 0, pivot.stderr.rest()
    with h5py.File(tmp_path / "set.h5") as file:
        assert sorted(file) == sorted(ends)
        for group in file.values():
            assert (group["time"][:] - NOON).tolist() == list(range(50))


def waiting(port):
    """Bytes in the receive queue of a UDP port."""
    with open("/proc/net/udp") as table:
        lines = [line.split() for line in table]
    return sum(int(line[4].partition(":")[2], 16) for line in lines if line[1].endswith(f":{port:04X}"))


# -- bad input -----------------------------------------------------------------------------------------------


def test_a_torn_end_is_noted_and_a_damaged_middle_makes_it_partly_done(run, recording, tmp_path):
    data = (recording / "rig/rig_20251203T120000.000000000Z.avro").read_bytes()
    (tmp_path / "torn.avro").write_bytes(data[:-7])
    status, _, err = run("pivot", "torn.avro", "-o", "set.h5")
    assert status == 0
    assert "torn: the last" in err
    with h5py.File(tmp_path / "set.h5") as file:
        assert numbers(file["rig"]) == list(range(len(file["rig/time"])))
        assert len(file["rig/time"]) > 10
    recorded(tmp_path / "damaged.avro", rows(range(300)), channel="rig")
    data = (tmp_path / "damaged.avro").read_bytes()
    middle = data.index(data[-16:], len(data) // 2)  # the sync marker ends the file, too
    (tmp_path / "damaged.avro").write_bytes(data[:middle] + b"\xff" * 60 + data[middle + 60 :])
    status, _, err = run("pivot", "damaged.avro", "-o", "damaged.h5")
    assert status == 5
    assert "damaged bytes skipped" in err
    with h5py.File(tmp_path / "damaged.h5") as file:
        found = numbers(file["rig"])
        assert set(found) < set(range(300))
        assert {0, 299} <= set(found)


def test_a_block_that_is_no_datums_is_left_out_and_told(run, tmp_path):
    recorded(tmp_path / "rig.avro", rows(range(40)))
    data = (tmp_path / "rig.avro").read_bytes()
    assert data.count(b"n20") == 1
    (tmp_path / "rig.avro").write_bytes(data.replace(b"n20", b"\xff20"))
    for options in ((), ("--since", "2025-12-03T12:00:00Z"), ("-n", 1, "-m", "mean")):
        status, _, err = run("pivot", "rig.avro", *options, "-o", "set.h5")
        assert (status, err.count("\n")) == (5, 1)
        assert "datums are not what the schema says" in err
        with h5py.File(tmp_path / "set.h5") as file:
            left = numbers(file["rig"])
            missing = set(range(40)) - set(left)
            assert 20 in missing
            assert f"{len(missing)} datums" in err
            assert file["rig"].attrs["received"] == len(left)


def test_schemas_that_change_are_joined_by_name_and_changed_types_refused(run, tmp_path):
    other = {**RIG, "fields": [RIG["fields"][0], {"name": "amps", "type": "float"}]}
    recorded(tmp_path / "rec/rig_20251203T120000.000000000Z.avro", rows(range(3)))
    later = [{"time": NOON + n * 10**9, "amps": n} for n in range(3, 5)]
    recorded(tmp_path / "rec/rig_20251203T120010.000000000Z.avro", later, other)
    assert run("pivot", "rec/", "-o", "set.h5") == (0, "", "")
    with h5py.File(tmp_path / "set.h5") as file:
        group = file["rig"]
        assert numbers(group) == list(range(5))
        assert group["sine_wave.valid"][:].tolist() == [True] * 3 + [False] * 2
        assert group["amps.valid"][:].tolist() == [False] * 3 + [True] * 2
        np.testing.assert_equal(group["amps"][:], np.array([np.nan] * 3 + [3, 4], "f4"))
    changed = {**RIG, "fields": [RIG["fields"][0], {"name": "sine_wave", "type": "string"}]}
    last = [{"time": NOON, "sine_wave": "high"}]
    recorded(tmp_path / "rec/rig_20251203T120020.000000000Z.avro", last, changed)
    status, _, err = run("pivot", "rec/", "-o", "other.h5")
    assert status == 3
    assert err.startswith("speeddata: rig: signal sine_wave changed its type from double to string; ")
    assert [path.name for path in tmp_path.glob("*.h5")] == ["set.h5"]
    assert run("pivot", "rec/", "-o", "other.h5", "-S", "amps")[0] == 0


@pytest.mark.parametrize(
    ("args", "status", "told"),
    [
        (("empty.avro",), 3, "speeddata: empty.avro: ends before an Avro header is whole"),
        (("nothing/",), 3, "speeddata: nothing/: holds no recording"),
        (("./nowhere/",), 1, "speeddata: nowhere: cannot read: No such file or directory"),
        (("rig.avro", "--since", "now", "--until", "-1m"), 2, "nothing is between now and -1m"),
        (("rig.avro", "--tag", "run"), 2, "speeddata: --tag: 'run' is no tag; write KEY=VALUE"),
        (("untimed.avro", "--since", "-10m"), 2, "does not tell its unit of time; name it with --time-unit"),
        (("rig.avro", "-d", "5"), 2, "speeddata: --duration: of files would be left out what is not read by"),
        (("rig.avro", "127.0.0.1:9", "--last", "1m"), 2, "speeddata: --last: only files have an end"),
        (("rig.avro", "-o", "nothing"), 1, "speeddata: nothing: cannot write the set: it is a directory; "),
        (("rig.avro", "-o", "."), 1, "speeddata: .: cannot write the set: it is a directory; name a file"),
        (("rig.avro", "-o", "rig.avro/x.h5"), 1, "speeddata: rig.avro: cannot be made"),
    ],
)
def test_what_cannot_be_is_one_line(run, tmp_path, args, status, told):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "empty.avro").write_bytes(b"")
    recorded(tmp_path / "rig.avro", rows(range(3)))
    bare = {"type": "record", "name": "bare", "fields": [{"name": "time", "type": "long"}]}
    recorded(tmp_path / "untimed.avro", [{"time": 1}], bare)
    before = sorted(tmp_path.rglob("*"))
    found, out, err = run("pivot", "-o", "set.h5", *args)
    assert (found, out, err.count("\n")) == (status, "", 1)
    assert told in err
    assert sorted(tmp_path.rglob("*")) == before


def test_it_works_on_a_recording_that_is_being_written(run, recording, tmp_path):
    import fcntl

    path = sorted((recording / "rig").glob("rig_*.avro"))[1]
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 5)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert run("pivot", "rec/rig/", "-o", "set.h5") == (0, "", "")
    with h5py.File(tmp_path / "set.h5") as file:
        found = numbers(file["rig"])
    assert found == list(range(len(found)))
    assert 30 < len(found) < 60


def test_on_a_terminal_it_tells_what_it_made_in_one_line(recording, environment, tmp_path):
    done = subprocess.run(
        ["script", "-qec", f"{os.sys.executable} -m speeddata pivot rec/ -o set.h5", "/dev/null"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "speeddata: set.h5: 2 channels, 70 samples, 0." in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_long_texts_do_not_fill_the_memory(tmp_path):
    fields = [{"name": "time", "type": "long"}, {"name": "log", "type": "string"}]
    schema = {"type": "record", "name": "logs", "fields": fields}
    texts = [chr(97 + n % 26) * 50_000 for n in range(26)]
    with open(tmp_path / "logs.avro", "wb") as file:
        fastavro.writer(file, schema, ({"time": n, "log": texts[n % 26]} for n in range(6000)))
    command = [sys.executable, "-c", MEASURED, "pivot", str(tmp_path / "logs.avro"), "-o", "logs.h5"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    with h5py.File(tmp_path / "logs.h5") as file:
        written = file["logs/log"].asstr()[:]
    assert [len(written), written[0], written[5999]] == [6000, texts[0], texts[5999 % 26]]
    assert int(done.stdout) < 300 << 10  # KiB; the texts are 300 MB, and were held two to five times


# Not ru_maxrss: that knows the process, too, from which this one was forked.
MEASURED = """
import sys
from speeddata.cli import main
assert main(sys.argv[1:]) == 0
print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
"""


def test_a_recording_is_not_replaced_by_a_set(run, recording, tmp_path):
    path = next((tmp_path / "rec/rig").glob("rig_*.avro"))
    before = path.read_bytes()
    status, _, err = run("pivot", str(path), "-o", str(path))
    assert (status, err) == (
        2,
        f"speeddata: {path}: is no HDF5 set, and would be replaced; choose another name\n",
    )
    assert path.read_bytes() == before


def test_a_set_is_replaced_by_a_later_one(run, recording, tmp_path):
    for _ in range(2):
        assert run("pivot", "rec/", "-o", "set.h5") == (0, "", "")


@pytest.mark.parametrize("key", ["created", "since", "until", "speeddata_version"])
def test_a_tag_does_not_take_the_place_of_what_every_set_says(run, recording, key):
    status, _, err = run("pivot", "rec/", "-o", "set.h5", "--tag", f"{key}=x")
    assert status == 2
    assert err == f"speeddata: --tag: '{key}' is an attribute that every set has; choose another key\n"


@pytest.mark.parametrize("flag", [("--decimated",), ("-s", "rig.avsc")])
def test_what_is_for_live_channels_only_is_refused_for_recordings(run, recording, tmp_path, flag):
    (tmp_path / "rig.avsc").write_text(RIG_TEXT)
    status, _, err = run("pivot", "rec/", "-o", "set.h5", *flag)
    assert (status, err.endswith("is for what is live; leave it out\n")) == (2, True)


def test_a_set_says_how_its_samples_were_thinned_before_they_came(run, recording, tmp_path):
    thin = tmp_path / "thin.avro"
    command = [sys.executable, "-m", "speeddata", "decimate", "rec/rig/", "-n", "5", "-m", "mean"]
    thin.write_bytes(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout)
    for options, factor, method in (((), 5, "mean"), (("-n", "2"), 10, "mean+pick")):
        assert run("pivot", "./thin.avro", "-o", "set.h5", *options)[0] == 0
        with open(thin, "rb") as file:
            piped = subprocess.run(
                [sys.executable, "-m", "speeddata", "pivot", "-", "-o", "piped.h5", *options],
                cwd=tmp_path,
                stdin=file,
                check=True,
            )
        assert piped.returncode == 0
        for name in ("set.h5", "piped.h5"):
            with h5py.File(tmp_path / name) as file:
                assert (file["rig"].attrs["factor"], file["rig"].attrs["method"]) == (factor, method)
