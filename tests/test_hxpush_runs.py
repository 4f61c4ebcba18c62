"""Runs of `hxpush` that are killed, stopped, doubled, or find no room: none of them loses a sample."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import subprocess
from pathlib import Path

import pytest
from by_hand import unused_port
from hxpush_bench import SCHEMA, SIGNALS, Bench, datums


@pytest.fixture
def bench(tmp_path, spawn):
    made = Bench(tmp_path, spawn)
    yield made
    made.recording.end()
    made.stop()


def test_a_kill_at_any_moment_loses_nothing(bench, wait_for):
    """25,000 samples of small calls; in windows of 4 MiB, so that positions move some times."""
    for _ in range(50):
        bench.block(50, note="x" * 8000)
    chance = random.Random(1)
    for _ in range(7):
        run = bench.push("--once", "--max-body", "8000")
        writes = bench.writes + chance.randint(0, 12)
        wait_for(lambda writes=writes, run=run: bench.writes > writes or not run.running)
        run.kill()
    out, _ = bench.pushed("--once", "--json")
    assert bench.all_there()
    assert json.loads(out)["set_aside"] == 0


def test_two_runs_at_a_time_are_one_too_many(bench, wait_for):
    bench.block()
    first = bench.push("--follow")
    wait_for(bench.all_there)
    assert bench.pushed("--once", "-q") == ("", [])
    _, (note,) = bench.pushed(wants=1)
    assert "another run sends to this server" in note
    assert first.terminate() == 0
    bench.pushed("--once")


def test_sigterm_writes_what_came_live(bench, wait_for):
    (bench.folder / "rig.avsc").write_text(SCHEMA)
    port = unused_port()
    run = bench.push("--flush", "60s", "--schema", "rig.avsc", source=f"127.0.0.1:{port}")
    wait_for(lambda: bench.server.count("read"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        (first,) = datums(0, 1)
        wait_for(lambda: is_open(port))
        sock.sendto(first, ("127.0.0.1", port))
        for datum in datums(1, 20):
            sock.sendto(datum, ("127.0.0.1", port))
    wait_for(lambda: received(port))
    assert run.terminate() == 0
    bench.written = 20
    assert bench.all_there()
    assert bench.writes == 1


def sockets(port: int) -> list[list[str]]:
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return [line.split() for line in lines if line.split()[1].endswith(f":{port:04X}")]


def is_open(port: int) -> bool:
    return bool(sockets(port))


def received(port: int) -> bool:
    """Whether nothing waits in the socket any more."""
    return all(line[4].endswith(":00000000") for line in sockets(port))


# -- disks ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def tmpfs(path: Path, options: str):
    path.mkdir(exist_ok=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True)
    if made.returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def filled(folder: Path) -> Path:
    """A file that takes all the room there is."""
    path = folder / "filling"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


def test_a_full_disk_is_a_line_and_no_sample_is_lost(bench):
    state = bench.folder / "state"
    with tmpfs(state, "size=64k"):
        bench.block()
        bench.pushed("--once")
        bench.block()
        filling = filled(state)
        _, (note,) = bench.pushed("--once", wants=1)
        assert "No space left on device" in note
        filling.unlink()
        out, _ = bench.pushed("--once", "--json")
        assert json.loads(out)["samples"] == 20 * SIGNALS
        assert bench.all_there()


def test_where_rejects_find_no_room_nothing_is_passed_over(bench):
    state = bench.folder / "state"
    with tmpfs(state, "size=64k"):
        bench.block()
        bench.pushed("--once")
        bench.server.bad["p3"] = "Rec is wrong"
        bench.block()
        filling = filled(state)
        _, notes = bench.pushed("--once", wants=1)
        assert "No space left on device" in notes[-1]
        filling.unlink()
        del bench.server.bad["p3"]
        bench.pushed("--once")
        assert bench.all_there()


def test_a_file_that_nobody_can_read_is_told_before_anything_is_written(bench):
    bench.block()
    path = bench.recording.begin('"string"')
    bench.recording.add([b"\x02x"])
    _, (note,) = bench.pushed("--once", wants=3)
    assert path.name in note
    assert bench.writes == 0
    path.unlink()
    bench.pushed("--once")
    assert bench.all_there()
