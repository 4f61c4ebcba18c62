"""What is secret to `hxpush` is in no argument, in nothing that it says and in no file that it writes."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from hxpush_bench import Bench

PASSWORD = "gEh31m-n0t-t0ld"
SHAPES = [
    PASSWORD,
    PASSWORD.encode().hex(),
    base64.b64encode(PASSWORD.encode()).decode().rstrip("="),
    "web-",  # a token of the server begins so
]


@pytest.fixture
def bench(tmp_path, spawn):
    made = Bench(tmp_path, spawn, password=PASSWORD)
    yield made
    made.recording.end()
    made.stop()


def secrets_in(data):
    return [shape for shape in SHAPES if shape.encode() in data]


def test_no_secret_is_in_a_list_of_processes_nor_in_what_is_told_or_kept(bench, wait_for, tmp_path):
    kept = tmp_path / "password"
    kept.write_text(PASSWORD + "\n")
    kept.chmod(0o600)
    bench.block()
    bench.server.fault("hisWrite", status=401)  # a token is refused, and another one is fetched
    bench.server.fault("hisWrite", status=500)
    run = bench.push("--follow", "-v", "--password-file", kept, env={"SPEEDDATA_HX_PASSWORD": ""})
    wait_for(bench.all_there)
    for name in ("cmdline", "environ"):
        assert secrets_in(Path(f"/proc/{run.pid}/{name}").read_bytes()) == []
    bench.stop()  # and a server that is away is told with all that -v has to say
    bench.block()
    said = run.stderr.line()
    while "trying again" not in said:
        said += run.stderr.line()
    assert run.terminate() == 0
    assert secrets_in(said.encode() + run.stderr.rest() + run.stdout.rest()) == []
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path != kept]
    assert any(path.suffix == ".json" or "state" in path.parts for path in written)
    assert [path for path in written if secrets_in(path.read_bytes())] == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_can_read_is_not_used_and_nothing_of_it_is_told(bench, tmp_path, mode):
    kept = tmp_path / "password"
    kept.write_text(PASSWORD)
    kept.chmod(mode)
    assert stat.S_IMODE(kept.stat().st_mode) == mode
    bench.block()
    out, (note,) = bench.pushed(
        "--once", "-v", "--password-file", kept, env={"SPEEDDATA_HX_PASSWORD": ""}, wants=2
    )
    assert "chmod 600" in note
    assert secrets_in((out + note).encode()) == []


def test_a_wrong_password_is_not_repeated_in_the_refusal(bench):
    bench.block()
    wrong = "wr0ng-" + PASSWORD
    out, notes = bench.pushed("--once", "-v", env={"SPEEDDATA_HX_PASSWORD": wrong}, wants=4)
    assert notes
    assert secrets_in((out + "\n".join(notes)).encode()) == []
