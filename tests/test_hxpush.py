"""`hxpush SOURCE` as people and cron run it: what it says, what it leaves, and with which status it ends."""

from __future__ import annotations

import json
import subprocess

import pytest
from by_hand import LOOPBACK, Source, is_listening, rig, unused_port
from conftest import ROOT
from haystack_server import point
from hxpush_by_hand import NOON, NOTE, PASSWORD, TIME, VOLTS, S, bench, record

assert bench is not None  # a fixture


def test_a_recording_is_written_in_one_call_and_the_next_run_has_nothing_to_write(bench):
    bench.points()
    bench.record(5)
    status, out, err = bench.hxpush("data/", "--once")
    assert (status, err) == (0, "")
    assert out.startswith(
        f"http://127.0.0.1:{bench.server.port}: 10 samples of 2 points in 1 call (0.2 a step)"
    )
    assert out.count("\n") == 1
    assert bench.volts() == [(n, float(n)) for n in range(5)]
    assert bench.server.history("p-note")[4] == (NOON + 4 * S, "n4")
    status, out, err = bench.hxpush("data/", "--once")
    assert (status, err) == (0, "")
    assert ": 0 samples of 2 points in 0 calls, " in out
    assert bench.server.count("hisWrite") == 1
    assert bench.server.open_sessions == 0


def test_the_next_run_writes_what_came_since(bench):
    bench.points()
    bench.record(5)
    bench.hxpush("data/")
    bench.record(2, first=5)
    status, out, _ = bench.hxpush("data/", "--json")
    told = json.loads(out)
    assert (status, told["samples"], told["calls"], told["steps"]) == (0, 4, 1, 2)
    assert told["newest"] == "2024-06-01T12:00:06.000000000Z"
    assert told["requests"] == 6  # three to log in, one for the points, one to write, one to close
    assert bench.volts() == [(n, float(n)) for n in range(7)]


def test_quiet_says_nothing_where_all_is_well(bench):
    bench.points()
    bench.record(2)
    assert bench.hxpush("data/", "--once", "-q") == (0, "", "")
    assert len(bench.volts()) == 2


def test_a_range_is_sent_again_and_moves_nothing(bench):
    bench.points()
    bench.record(10)
    assert bench.hxpush("data/", "--since", "2024-06-01T12:00:03Z", "--until", "2024-06-01T12:00:05Z")[0] == 0
    assert [second for second, _ in bench.volts()] == [3, 4]
    assert ": 4 samples" in bench.hxpush("data/", "--last", "2s")[1]
    assert ": 20 samples" in bench.hxpush("data/")[1]


def test_a_pipe_is_written_too(bench):
    bench.points()
    path = bench.record(3)
    running = bench.start("--json", stdin=subprocess.PIPE)
    out, err = running.process.communicate(path.read_bytes(), timeout=20)
    assert (running.process.returncode, err) == (0, b"")
    assert json.loads(out.splitlines()[-1])["samples"] == 6
    assert len(bench.volts()) == 3


def test_that_a_pipe_is_too_fast_for_its_points_is_told_before_anything_is_written(bench, wait_for):
    bench.points()
    rows = [{"time": NOON + n * S // 4, "volts": float(n), "note": "x"} for n in range(8)]
    path = record(bench.data, "rig", [TIME, VOLTS, NOTE], rows)
    bench.server.fault("hisWrite", slow=60)
    running = bench.start("--flush", "10ms", stdin=subprocess.PIPE)
    running.process.stdin.write(path.read_bytes())
    running.process.stdin.flush()
    assert running.stderr.line() == (
        "speeddata: rig.volts: samples share a moment of their point, "
        "and what --resample makes of them is sent"
    )
    assert bench.volts() == []


def test_following_writes_what_comes_until_it_is_stopped_which_is_no_failure(bench, wait_for):
    bench.points()
    bench.record(3)
    running = bench.start("data/", "--follow", "--flush", "50ms", "--json")
    wait_for(lambda: len(bench.volts()) == 3)
    bench.record(2, first=3)
    wait_for(lambda: len(bench.volts()) == 5)
    assert running.terminate() == 0
    told = [json.loads(line) for line in running.stdout.rest().decode().splitlines()]
    assert len(told) >= 3  # a line a window, and the last one
    assert [line["samples"] for line in (told[0], told[-1])] == [6, 10]
    assert ": 0 samples" in bench.hxpush("data/")[1]


def test_a_recording_may_be_given_only_so_long(bench):
    bench.points()
    bench.record(3)
    status, out, _ = bench.hxpush("data/", "--follow", "--duration", "1s", "--flush", "50ms")
    assert (status, ": 6 samples" in out) == (0, True)


def test_a_second_run_waits_for_nobody_and_cron_hears_nothing_of_it(bench, wait_for):
    bench.points()
    bench.record(1)
    running = bench.start("data/", "--follow", "--flush", "50ms")
    wait_for(bench.volts)
    assert bench.hxpush("data/", "--once") == (0, "", "")
    status, out, err = bench.hxpush("data/")
    assert (status, out) == (1, "")
    assert err.endswith(".json: another run sends to this server; wait for its end, or stop it\n")
    # who only looks is in nobody's way
    assert bench.hxpush("data/", "--dry-run")[0] == 0
    assert bench.hxpush("data/", "--verify")[0] == 0
    assert running.interrupt() == 0


@pytest.mark.parametrize("flag", ["--decimated", "--schema=x.avsc"])
def test_what_is_for_live_channels_is_refused_of_a_recording(bench, flag):
    bench.record(1)
    status, out, err = bench.hxpush("data/", flag)
    assert (status, out) == (2, "")
    assert "is for what is live; leave it out" in err


def test_a_rehearsal_writes_nothing_anywhere(bench):
    bench.points()
    bench.record(3)
    status, out, err = bench.hxpush("data/", "--dry-run")
    assert (status, err) == (0, "")
    assert "rig.volts  @p-volts  P-VOLTS  Number  V     UTC\n" in out
    assert '6 samples in 1 call; nothing is written\n\nthe first call:\nver:"3.0"\n' in out
    assert '2024-06-01T12:00:02Z UTC,2.0,"n2"\n' in out
    assert bench.server.count("hisWrite") == 0
    assert not bench.kept.exists()


def test_a_rehearsal_for_programs_is_json(bench):
    bench.points()
    bench.record(1)
    *points, last = map(json.loads, bench.hxpush("data/", "--dry-run", "--json")[1].splitlines())
    assert [each["point"] for each in points] == ["p-volts", "p-note"]
    assert (last["samples"], last["calls"]) == (2, 1)
    assert last["first"].startswith('ver:"3.0"\nts,v0 id:@p-volts,v1 id:@p-note\n')


def test_what_was_sent_is_compared_with_what_is_there(bench):
    bench.points()
    bench.record(4)
    status, out, err = bench.hxpush("data/", "--verify")
    assert status == 0
    assert "nothing of this was sent yet" in err
    bench.hxpush("data/")
    status, out, err = bench.hxpush("data/", "--verify")
    assert (status, err) == (0, "")
    assert out.splitlines()[1].split() == ["rig.volts", "@p-volts", "4", "0", "0"]
    bench.server.restart(forget=True)
    status, out, err = bench.hxpush("data/", "--verify", "--json")
    told = json.loads(out.splitlines()[0])
    assert status == 5
    assert (told["samples"], told["missing"], told["first"]) == (4, 4, "2024-06-01T12:00:00.000000000Z")
    assert err == (
        "speeddata: --verify: 8 samples missing and 0 different, of 2 points; send them again with --since\n"
    )


def test_a_signal_without_a_point_is_told_and_the_others_are_written(bench):
    bench.server.add(point("p-volts", unit="V", speeddataKey="rig.volts"))
    bench.record(3)
    status, out, err = bench.hxpush("data/")
    assert status == 5
    assert ": 3 samples of 1 point " in out
    first, last = err.splitlines()
    assert first.startswith("speeddata: rig.note: no point has that speeddataKey; ")
    assert last.endswith(
        ": 1 signal without a point that fits "
        "(samples stay in the recording; once there is one, send them with --since)"
    )
    bench.server.add(point("p-note", kind="Str", speeddataKey="rig.note"))
    assert bench.hxpush("data/", "--since", "2024-01-01T00:00:00Z")[0] == 0
    assert len(bench.server.history("p-note")) == 3


def test_many_problems_are_not_all_told(bench):
    record(bench.data, "rig", [TIME, *({**VOLTS, "name": f"v{n}"} for n in range(14))], [])
    status, _, err = bench.hxpush("data/")
    assert status == 5
    assert len(err.splitlines()) == 12
    assert "speeddata: and 4 more; `speeddata hxpush map --check` shows them all" in err


def test_a_point_that_the_server_refuses_is_set_aside_and_the_others_are_written(bench):
    bench.points()
    bench.record(3)
    bench.server.bad["p-note"] = "folio::HisWriteErr: it is broken"
    status, out, err = bench.hxpush("data/", "--json")
    told = json.loads(out)
    assert status == 5
    assert (told["samples"], told["set_aside"], list(told["refused"])) == (3, 3, ["p-note"])
    assert "1 point refused, 3 samples set aside in " in err
    (rejects,) = bench.kept.glob("*.rejects.jsonl")
    assert rejects.stat().st_mode & 0o777 == 0o600
    assert [value for _, value in json.loads(rejects.read_text())["samples"]] == ["n0", "n1", "n2"]


def test_a_channel_whose_abscissa_tells_no_time_does_not_hold_up_the_others(bench):
    bench.points()
    bench.record(2)
    bench.server.add(point("p-force", speeddataKey="press.force"))
    angle, force = {"name": "angle", "type": "double"}, {"name": "force", "type": "double"}
    record(bench.data, "press", [angle, force], [{"angle": 0.5, "force": 1.0}])
    status, out, err = bench.hxpush("data/")
    assert status == 5
    assert ": 4 samples of 2 points " in out
    assert "press.force: the abscissa angle does not tell its unit of time; name it with --time-unit; " in err
    status, out, err = bench.hxpush("data/press/", "--time-unit", "s", "--verify")
    assert (status, "no time" in err) == (0, False)


def test_a_map_that_stands_for_nothing_there_is_refused(bench):
    bench.record(2)
    name = bench.map('point = [{ signal = "pump.*" }]')
    for args in (("data/",), ("provision", "data/"), ("map", "--check", "data/")):
        status, out, err = bench.hxpush(*args, "--map", name)
        assert (status, out) == (2, "")
        assert err == (
            "speeddata: --map: stands for no signal here, such as rig.volts; "
            "`speeddata hxpush map --init SOURCE` drafts one\n"
        )
    running = bench.start("-", "--map", name, stdin=subprocess.PIPE)
    out, err = running.process.communicate(bench.record(1, first=9).read_bytes(), timeout=20)
    assert (running.process.returncode, out) == (2, b"")
    assert b"--map: stands for no signal here" in err


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--url", ""), "no server; name it with --url, as in --url https://host/api/demo"),
        (("--user", ""), "no user; name it with --user"),
        (
            ("--url", "http://example.invalid/api/demo"),
            "--url: http to example.invalid would send everything",
        ),
        (("--url", "https://su:pw@host/api"), "--url: a user or password in the address; give the user with"),
        (("--map", "nope.toml"), "nope.toml: No such file or directory"),
        (("--password-file", "nope"), "nope: No such file or directory"),
        (("--follow", "--last", "1m"), "--follow: a range has an end; leave out --since, --until and --last"),
        (("--follow", "--dry-run"), "--follow: --dry-run wants an end; leave it out"),
        (("--verify", "--dry-run"), "--verify: writes nothing either way; leave out --dry-run"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anybody_is_asked(bench, args, told):
    bench.record(1)
    status, out, err = bench.hxpush("data/", *args)
    assert (status, out) == (2, "")
    assert err.startswith(f"speeddata: {told}")
    assert err.count("\n") == 1
    assert bench.server.calls == []


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--verify",), "--verify: only what is recorded can be compared; name the recording"),
        (("--follow",), "--follow: is for recordings; leave it out: what is live goes on anyway"),
    ],
)
def test_what_only_a_recording_has_is_refused_of_a_live_channel(bench, args, told):
    assert bench.hxpush("rig", *args) == (2, "", f"speeddata: {told}\n")


def test_a_password_that_others_can_read_is_not_used(bench):
    bench.points()
    bench.record(1)
    file = bench.tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o644)
    nothing = {"SPEEDDATA_HX_PASSWORD": ""}
    status, _, err = bench.hxpush("data/", "--password-file", "password", env=nothing)
    assert (status, err) == (
        2,
        "speeddata: password: others can read the password file; chmod 600 password\n",
    )
    file.chmod(0o600)
    assert bench.hxpush("data/", "--password-file", "password", env=nothing)[0] == 0
    status, _, err = bench.hxpush("data/", env=nothing)
    assert status == 2
    assert "SPEEDDATA_HX_PASSWORD" in err


def test_the_password_is_nowhere_to_be_read(bench):
    bench.points()
    bench.record(1)
    told = bench.hxpush("data/", "-v")
    assert told[0] == 0
    written = [path.read_text() for path in bench.kept.rglob("*") if path.is_file()]
    assert written
    assert PASSWORD not in "".join([*told[1:], *written])
    assert PASSWORD not in bench.hxpush("data/", env={"SPEEDDATA_HX_PASSWORD": f"not {PASSWORD}"})[2]


def test_a_wrong_password_is_the_peers_refusal(bench):
    bench.record(1)
    status, out, err = bench.hxpush("data/", env={"SPEEDDATA_HX_PASSWORD": "wrong"})
    assert (status, out) == (4, "")
    assert "refuses user 'su' with this password; check --user and the password" in err


def test_a_server_that_is_away_leaves_all_as_it_was(bench):
    bench.points()
    bench.record(2)
    bench.server.fault("hisWrite", None, status=503)
    status, out, _ = bench.hxpush("data/", "--retry-for", "100ms")
    assert (status, out) == (4, "")
    bench.server.clear_faults()
    assert ": 4 samples" in bench.hxpush("data/")[1]


def test_ctrl_c_before_the_end_of_a_recording_says_what_is_done_and_the_next_run_goes_on(bench, wait_for):
    bench.points()
    bench.record(3)
    bench.server.fault("hisWrite", None, status=503)
    running = bench.start("data/")
    wait_for(lambda: bench.server.count("hisWrite"))
    assert running.interrupt() == 130
    assert b": 0 samples of 2 points" in running.stdout.rest()
    assert running.stderr.rest().endswith(b"speeddata: interrupted with work undone\n")
    bench.server.clear_faults()
    assert ": 6 samples" in bench.hxpush("data/")[1]


@pytest.mark.parametrize(("args", "status"), [((), 143), (("--follow",), 0), (("--verify",), 143)])
def test_sigterm_while_the_server_does_not_answer_is_no_fault_of_the_servers(bench, wait_for, args, status):
    bench.record(1)
    bench.server.fault("*", None, status=503)
    running = bench.start("data/", *args)
    wait_for(lambda: bench.server.calls)
    assert running.terminate() == status


def test_samples_that_fall_on_one_moment_are_told_and_resampled_as_chosen(bench):
    bench.points()
    rows = [{"time": NOON + n * S // 4, "volts": float(n), "note": "x"} for n in range(8)]
    record(bench.data, "rig", [TIME, VOLTS, NOTE], rows)
    status, _, err = bench.hxpush("data/rig/", "--map", bench.map('point = [{ signal = "rig.volts" }]'))
    assert status == 0
    assert err.startswith('speeddata: rig.volts (@p-volts "P-VOLTS"): keeps whole seconds, ')
    assert "6 samples shared a moment with another one of its point, as of rig.volts" in err
    assert bench.volts() == [(0, 3.0), (1, 7.0)]
    bench.hxpush("data/rig/", "--since", "2024-01-01T00:00:00Z", "--resample", "mean")
    assert bench.volts() == [(0, 1.5), (1, 5.5)]


def test_without_the_extra_it_says_what_to_install(bench):
    blocked = bench.tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text("import sys\nsys.modules['urllib3'] = None\n")
    bench.record(1)
    path = f"{blocked}:{ROOT}"
    running = bench.start("data/", env={"PYTHONPATH": path})
    assert running.wait() == 2
    assert running.stderr.rest() == (
        b"speeddata: needs urllib3, which is not installed; pip install 'speeddata[haystack]'\n"
    )
    assert bench.start("map", "--init", "data/", env={"PYTHONPATH": path}).wait() == 0


def test_ids_that_the_server_does_not_have_at_all_are_told_one_by_one(bench):
    bench.record(2)
    given = bench.map('point = [{ signal = "rig.volts", id = "nope" }, { signal = "rig.note", id = "no" }]')
    status, out, err = bench.hxpush("data/", "--map", given)
    assert (status, bench.server.count("hisWrite")) == (5, 0)
    assert (
        "speeddata: rig.volts (@nope): the server has no record of that id; correct the id in the map" in err
    )
    assert ": 0 samples of 0 points" in out


def test_a_comparison_of_what_has_no_point_is_none(bench):
    bench.record(2)
    status, out, err = bench.hxpush("data/", "--verify")
    assert (status, out) == (5, "")
    assert err.endswith("speeddata: --verify: 2 signals without a point that fits\n")


@pytest.mark.parametrize("verb", [(), ("map", "--check"), ("provision",)])
def test_files_that_the_settings_name_lie_beside_them(bench, verb):
    bench.points()
    bench.record(1)
    beside = bench.tmp_path / "etc"
    beside.mkdir()
    (beside / "map.toml").write_text('point = [{ signal = "rig.volts" }]')
    (beside / "secret").write_text(PASSWORD)
    (beside / "secret").chmod(0o600)
    lines = ['map = "map.toml"', 'password-file = "secret"', 'state = "kept"', 'ca-file = "no.pem"']
    (beside / "speeddata.toml").write_text("\n".join(["[hxpush]", *lines[:3], ""]))
    command = (*verb, "data/", "-C", "etc/speeddata.toml")
    status, _, err = bench.hxpush(*command, env={"SPEEDDATA_HX_PASSWORD": ""})
    assert (status, err) == (0, "")
    assert (beside / "kept").is_dir() == (verb == ())
    (beside / "speeddata.toml").write_text("\n".join(["[hxpush]", *lines, ""]))
    url = {"SPEEDDATA_HX_URL": "https://127.0.0.1:9/api"}
    status, _, err = bench.hxpush(*command, env={"SPEEDDATA_HX_PASSWORD": "", **url})
    assert (status, err) == (2, "speeddata: etc/no.pem: No such file or directory\n")


def test_a_body_too_small_for_anything_is_refused(bench):
    bench.record(1)
    told = "speeddata: --max-body: 999 bytes; give at least 1000\n"
    assert bench.hxpush("data/", "--max-body", "999") == (2, "", told)


def test_what_comes_straight_to_an_endpoint_goes_to_the_points_of_the_channel_that_it_says_it_is(
    bench, wait_for
):
    bench.server.add(point("p-pump", unit="V", speeddataKey="pump.volts"))
    port = unused_port()
    running = bench.start(f"127.0.0.1:{port}", "--flush", "100ms", "-i", LOOPBACK)
    source = Source("pump", port)  # its schema is called otherwise
    wait_for(lambda: is_listening(port))
    source.announce()
    source.send(rig([7]))
    wait_for(lambda: bench.server.history("p-pump"))
    assert running.terminate() == 5  # note has no point
    assert [value for _, value in bench.server.history("p-pump")] == [0.875]
