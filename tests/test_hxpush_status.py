"""`hxpush status`: how far each server is behind what is recorded, and what was set aside."""

from __future__ import annotations

import json
import shutil

from hxpush_by_hand import bench

assert bench is not None  # a fixture


def test_before_anything_was_sent_there_is_nothing_to_tell(bench):
    assert bench.hxpush("status") == (0, "", "")
    assert "nothing was sent from here" in bench.hxpush("status", "-v")[2]


def test_it_tells_up_to_where_and_how_far_that_is_behind_without_asking_anybody(bench):
    bench.points()
    bench.record(5)
    bench.hxpush("data/")
    calls = len(bench.server.calls)
    bench.record(3, first=100)
    status, out, err = bench.hxpush("status", env={"SPEEDDATA_HX_PASSWORD": ""})
    assert (status, err) == (0, "")
    heading, line = out.splitlines()
    assert heading.split()[:4] == ["server", "channel", "sent", "up"]
    assert line.split()[:5] == [f"{bench.server.url}/", "rig", "2024-06-01T12:00:04.000Z", "1.633", "min"]
    (told,) = map(json.loads, bench.hxpush("status", "--json")[1].splitlines())
    assert (told["channel"], told["behind_s"], told["behind_bytes"] > 0) == ("rig", 98.0, True)
    assert len(bench.server.calls) == calls
    bench.hxpush("data/")
    (told,) = map(json.loads, bench.hxpush("status", "--json")[1].splitlines())
    assert (told["behind_s"], told["behind_bytes"]) == (0.0, 0)


def test_it_tells_what_was_set_aside_and_why(bench):
    bench.points()
    bench.record(2)
    bench.server.bad["p-note"] = "folio::HisWriteErr: it is broken"
    bench.hxpush("data/")
    out = bench.hxpush("status")[1]
    assert "\nset aside:\n" in out
    assert "it is broken" in out
    *_, told = map(json.loads, bench.hxpush("status", "--json")[1].splitlines())
    assert (told["signal"], told["point"], told["rejects"]) == ("rig.note", "p-note", 2)


def test_recordings_that_are_gone_are_told_without_a_lag(bench):
    bench.points()
    bench.record(1)
    bench.hxpush("data/")
    shutil.rmtree(bench.data)
    status, out, err = bench.hxpush("status")
    assert status == 0
    assert " - " in out.splitlines()[1]
    assert err.startswith("speeddata: rig: ")


def test_state_says_where_to_look(bench):
    bench.points()
    bench.record(1)
    bench.hxpush("data/", "--state", "kept")
    assert bench.hxpush("status")[1] == ""
    assert "rig" in bench.hxpush("status", "--state", "kept")[1]


def test_a_damaged_state_is_told(bench):
    bench.points()
    bench.record(1)
    bench.hxpush("data/")
    (path,) = bench.kept.glob("*.json")
    path.write_text("{")
    status, out, err = bench.hxpush("status")
    assert (status, out) == (3, "")
    assert err.startswith(f"speeddata: {path}: ")
