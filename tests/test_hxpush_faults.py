"""What servers and networks do to `hxpush`: in the end every sample is there, as it was recorded."""

from __future__ import annotations

import json
import ssl
import time

import pytest
import trustme
from hxpush_bench import SIGNALS, Bench, history


@pytest.fixture
def bench(tmp_path, spawn):
    made = Bench(tmp_path, spawn)
    yield made
    made.recording.end()
    made.stop()


def test_what_is_recorded_while_the_server_is_away_arrives_afterwards_once_and_in_order(bench, wait_for):
    bench.block()
    run = bench.push("--follow")
    wait_for(bench.all_there)
    bench.stop()
    bench.block()
    assert "trying again until it answers" in run.stderr.line()
    for _ in range(5):
        bench.block()
    calls = len(bench.server.calls)
    bench.start_again()
    wait_for(bench.all_there)
    assert "answers again" in run.stderr.line()
    assert sum(call.samples for call in bench.server.calls[calls:]) == 6 * 20 * SIGNALS
    assert run.terminate() == 0
    assert bench.server.open_sessions == 0


@pytest.mark.parametrize("cut", ["before", "middle", "after"])
def test_a_server_killed_in_the_middle_of_a_call_gets_it_again(bench, wait_for, cut):
    bench.block()
    run = bench.push("--follow")
    wait_for(bench.all_there)
    writes = bench.writes
    bench.server.fault("hisWrite", times=None, cut=cut)
    bench.block()
    wait_for(lambda: bench.writes > writes)
    bench.start_again()
    wait_for(bench.all_there)
    assert run.terminate() == 0


def test_faults_that_pass_cost_nothing(bench):
    server = bench.server
    for cut in ("before", "middle", "after"):
        server.fault("hisWrite", cut=cut)
    for status, times in ((500, 3), (503, 1), (429, 1)):
        server.fault("hisWrite", times=times, status=status, retry_after=0)
    for status in (401, 413, 403):
        server.fault("hisWrite", status=status)
    server.fault("hisWrite", slow=0.2)
    bench.block(200)
    out, _ = bench.pushed("--once", "--max-body", "4000", "--json")
    assert json.loads(out)["samples"] == 200 * SIGNALS
    assert bench.all_there()
    assert not server.faults


def test_tokens_that_expire_in_the_middle_are_renewed(bench):
    bench.server.modes.expire_after = 3
    bench.block(400)
    out, _ = bench.pushed("--once", "--max-body", "4000", "--json")
    assert bench.all_there()
    assert json.loads(out)["samples"] == 400 * SIGNALS
    assert bench.server.open_sessions <= 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"op": "hisWrite", "status": 303, "to": "http://127.0.0.1:1/"}, "is not followed with credentials"),
        ({"op": "read", "status": 501}, "501"),
    ],
)
def test_a_fault_that_stays_is_a_line_and_moves_nothing(bench, fault, said):
    bench.block()
    bench.server.fault(times=None, **fault)
    _, (note,) = bench.pushed("--once", wants=4)
    assert said in note
    bench.server.clear_faults()
    bench.pushed("--once")
    assert bench.all_there()


def test_a_user_with_too_many_sessions_is_told(bench):
    bench.server.modes.max_sessions = 1
    bench.server.open_session()
    bench.block()
    _, (note,) = bench.pushed("--once", wants=4)
    assert "session" in note


def test_retrying_ends_when_its_time_is_over_and_the_next_run_goes_on(bench):
    bench.block()
    bench.stop()
    _, notes = bench.pushed("--once", "--retry-for", "300ms", wants=4)
    assert 1 <= len(notes) <= 2
    bench.start_again()
    bench.pushed("--once")
    assert bench.all_there()


def test_sigterm_ends_a_run_that_waits_for_a_server_and_nothing_is_lost(bench):
    bench.block()
    bench.server.fault("hisWrite", times=None, status=500)
    run = bench.push("--follow")
    assert "answers 500" in run.stderr.line()
    run.terminate()
    bench.server.clear_faults()
    bench.pushed("--once")
    assert bench.all_there()


def test_a_signal_does_not_wait_for_a_server_that_is_silent(bench, wait_for):
    bench.block()
    bench.server.freeze()
    once, follow = bench.push("--once"), bench.push("--follow", "--state", bench.folder / "other")
    wait_for(lambda: bench.server.waiting == 2)
    began_s = time.monotonic()
    for run in (once, follow):
        run.process.terminate()
    assert [run.wait() for run in (once, follow)] == [143, 0]
    assert time.monotonic() - began_s < 8  # it takes 2, and 10 would be all the grace there is
    bench.server.thaw()
    bench.pushed("--once")
    assert bench.all_there()


def test_bodies_that_a_proxy_refuses_are_halved(bench):
    bench.server.modes.max_body = 3000
    bench.block(1000)
    bench.pushed("--once")
    assert bench.all_there()


@pytest.mark.parametrize("name", ["127.0.0.1", "another.example"])
def test_certificates_are_verified(tmp_path, spawn, name):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    bench = Bench(tmp_path, spawn, tls=context)
    try:
        bench.block()
        _, (note,) = bench.pushed("--once", wants=4)
        assert "certificate" in note
        if name == "127.0.0.1":
            bench.pushed("--once", "--ca-file", tmp_path / "ca.pem")
            assert bench.all_there()
        else:
            _, (note,) = bench.pushed("--once", "--ca-file", tmp_path / "ca.pem", wants=4)
            assert "is not for 127.0.0.1" in note
        assert all(call.op != "hisWrite" or call.status == 200 for call in bench.server.calls)
    finally:
        bench.recording.end()
        bench.stop()


def test_a_refused_point_is_set_aside_and_the_status_says_so(bench):
    bench.server.bad["p3"] = "Rec is wrong"
    bench.block()
    _, notes = bench.pushed("--once", wants=5)
    assert any("rig.s3 (@p3) is refused and set aside" in note for note in notes)
    assert [bench.server.history(f"p{n}") == history(20, n) for n in range(4)] == [True, True, True, False]
    (rejects,) = (bench.folder / "state").glob("*.rejects.jsonl")
    kept = [sample for line in rejects.read_text().splitlines() for sample in json.loads(line)["samples"]]
    assert kept == [list(pair) for pair in history(20, 3)]
