"""`speeddata demo`: one command, nothing configured, and every datum accounted for."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import pytest
from by_hand import records
from terminal import Terminal

from speeddata import cli
from speeddata.timerange import iso_utc


def counts(summary: str) -> dict[str, int]:
    """The rows of the table."""
    rows = re.findall(r"│ ([a-z-]+) +│ +([\d,]+) │", summary)
    return {name: int(count.replace(",", "")) for name, count in rows}


def all_arrived(summary: str, at_least: int) -> bool:
    told = counts(summary)
    sent = told["sent"]
    assert told == {
        **dict.fromkeys(("sent", "recorded", "re-served", "tapped"), sent),
        "lost": 0,
        "rejected": 0,
    }
    return sent >= at_least


def test_what_is_sent_is_recorded_served_again_and_kept_as_columns(run, tmp_path):
    for sets in (1, 2):  # a second run adds to the recording; the set is of the last one
        status, out, err = run("demo", "-d", 0.5, "-o", "sd")
        assert (status, err) == (0, "")
        assert all_arrived(out, 400)
        files = sorted((tmp_path / "sd/demo").glob("demo_*.avro"))
        assert len(files) == sets
    rows = records(files[-1])
    assert len(rows) == counts(out)["sent"]
    assert [row["counter"] for row in rows] == list(range(len(rows)))
    assert [path.name for path in (tmp_path / "sd").glob("*.h5")] == ["demo.h5"]
    with h5py.File(tmp_path / "sd/demo.h5") as file:
        (group,) = file.values()
        moments = [rows[0]["time"], rows[-1]["time"] + 1]
        assert [file.attrs["since"], file.attrs["until"]] == [iso_utc(moment) for moment in moments]
        assert set(group) == set(rows[0])
        for name, dataset in group.items():
            values = dataset.asstr()[:] if name == "message" else dataset[:]
            assert values.tolist() == [row[name] for row in rows]
        assert group["time"].dtype == np.int64
        assert (group["time"].attrs["units"], group["sine_wave"].attrs["units"]) == ("ns", "V")
        assert (group.attrs["received"], group.attrs["lost"], group.attrs["rejected"]) == (len(rows), 0, 0)


def test_without_a_directory_nothing_is_left_behind(run, tmp_path):
    (tmp_path / "tmp").mkdir()
    status, out, err = run("demo", "-d", 0.2, env={"TMPDIR": str(tmp_path / "tmp")})
    assert (status, err) == (0, "")
    assert all_arrived(out, 100)
    assert list(tmp_path.rglob("*")) == [tmp_path / "tmp"]


def test_a_directory_that_will_not_do_is_told_with_a_cure_that_the_demo_has(run, tmp_path):
    (tmp_path / "file").write_text("")
    status, out, err = run("demo", "-d", 0.2, "-o", "file")
    assert (status, out) == (1, "")
    assert err == "speeddata: file: cannot be made: File exists; name another directory (-o)\n"
    (tmp_path / "sd").mkdir()
    relay = os.open(tmp_path / "sd", os.O_RDONLY)
    try:
        fcntl.flock(relay, fcntl.LOCK_EX)
        status, out, err = run("demo", "-d", 0.2, "-o", "sd")
    finally:
        os.close(relay)
    assert (status, out) == (1, "")
    assert err == "speeddata: sd: another relay records here; name another directory (-o)\n"


def test_without_a_place_for_what_is_passing_one_is_asked_for(capfd, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
        assert cli.main(["demo", "-d", "0.2"]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.endswith("No such file or directory; name a directory that can be written (-o)\n")


def test_what_became_of_the_datums_is_told_also_where_the_set_cannot_be_written(run, tmp_path):
    (tmp_path / "sd/demo.h5").mkdir(parents=True)
    status, out, err = run("demo", "-d", 0.2, "-o", "sd")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("speeddata: sd/demo.h5: ")
    assert all_arrived(out, 100)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="makes a network namespace")
def test_it_needs_no_network(environment, tmp_path):
    del environment["SPEEDDATA_INTERFACE"]  # nothing leaves this namespace
    demo = f"{sys.executable} -m speeddata demo -d 0.3"
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", f"ip link set lo up && {demo}"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        timeout=30,
    )
    if b"Operation not permitted" in done.stderr:
        pytest.skip("no network namespace may be made here")
    assert (done.returncode, done.stderr) == (0, b"")
    assert all_arrived(done.stdout.decode(), 100)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="makes a network namespace")
def test_without_even_a_loopback_it_says_so(environment, tmp_path):
    demo = ["unshare", "-n", sys.executable, "-m", "speeddata", "demo", "-d", "0.3"]
    done = subprocess.run(demo, env=environment, cwd=tmp_path, capture_output=True, timeout=30)
    if b"Operation not permitted" in done.stderr:
        pytest.skip("no network namespace may be made here")
    assert (done.returncode, done.stderr) == (1, b"speeddata: loopback is down; `ip link set lo up`\n")


def test_on_a_terminal_it_opens_the_stripchart_until_ctrl_c(environment, tmp_path):
    with Terminal("demo", cwd=tmp_path, env=environment) as demo:
        demo.until("demo.*live.*sine_wave.*[\u2840-\u28ff]")
        demo.press("\x03")
        assert demo.wait() == 0
        summary = demo.text()
        assert demo.is_restored
    assert all_arrived(summary[summary.rindex("datums a second") :], 1)
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_it_ends_by_itself_where_a_duration_is_given(environment, tmp_path):
    with Terminal("demo", "-d", "1.5", "-o", "sd", cwd=tmp_path, env=environment) as demo:
        assert demo.wait() == 0
        assert all_arrived(demo.text()[demo.text().rindex("datums a second") :], 500)
    assert (tmp_path / "sd/demo.h5").is_file()
