"""`hxpush provision`: shown first, made in one commit, and nothing that is there is touched."""

from __future__ import annotations

import json

from hxpush_by_hand import TIME, VOLTS, bench, record

assert bench is not None  # a fixture

MAP = """
path = "Plant/{channel}/{signal}"
point = [
    { signal = "rig.volts", unit = "V", tz = "New_York", tags = ["sensor"] },
    { signal = "rig.note" },
]
"""


def test_what_is_lacking_is_shown_and_nothing_is_made(bench):
    bench.record(2)
    status, out, err = bench.hxpush("provision", "data/", "--map", bench.map(MAP), "-v")
    assert status == 0
    assert [line.split() for line in out.splitlines()] == [
        ["record", "path", "signal", "what", "it", "holds"],
        ["new", "site", "Plant", "tz", "New_York"],
        ["new", "equip", "Plant", "rig"],
        ["new", "point", "Plant/rig/volts", "rig.volts", "Number", "V", "New_York"],
        ["new", "point", "Plant/rig/note", "rig.note", "Str", "New_York"],
    ]
    assert "lacks 1 site, 1 equip, 2 points; --apply makes them" in err
    assert bench.server.count("commit") == 0
    assert bench.server.open_sessions == 0


def test_apply_makes_all_of_it_in_one_commit_and_the_points_take_what_is_recorded(bench):
    bench.record(2)
    name = bench.map(MAP)
    status, _, err = bench.hxpush("provision", "data/", "--map", name, "--apply", "-v")
    assert (status, bench.server.count("commit")) == (0, 1)
    assert "made 1 site, 1 equip, 2 points" in err
    assert ": 4 samples of 2 points" in bench.hxpush("data/", "--map", name)[1]
    status, out, err = bench.hxpush("provision", "data/", "--map", name, "--apply", "-v")
    assert (status, bench.server.count("commit")) == (0, 1)
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [["is", "there"], ["is", "there"]]
    assert "lacks nothing" in err


def test_the_plan_for_programs_is_json(bench):
    bench.record(1)
    out = bench.hxpush("provision", "data/", "--map", bench.map(MAP), "--json")[1]
    told = [json.loads(line) for line in out.splitlines()]
    assert told[2] == {
        "state": "new",
        "record": "point",
        "path": "Plant/rig/volts",
        "signal": "rig.volts",
        "holds": "Number V New_York",
    }


def test_a_point_that_is_there_stays_as_it_is_and_what_does_not_fit_is_told(bench):
    bench.points()
    bench.record(1)
    before = [bench.server.record(id) for id in ("p-volts", "p-note")]
    name = bench.map(MAP.replace('unit = "V"', 'unit = "mV"'))
    status, _, err = bench.hxpush("provision", "data/", "--map", name, "--apply")
    assert status == 5
    assert 'rig.volts (@p-volts "P-VOLTS"): is in V, and the samples are in mV; ' in err
    assert [bench.server.record(id) for id in ("p-volts", "p-note")] == before
    assert bench.server.count("commit") == 0


def test_without_a_path_it_says_what_to_write(bench):
    bench.record(1)
    status, out, err = bench.hxpush("provision", "data/")
    assert (status, out) == (5, "")
    assert (
        'rig.volts: the map does not say in which site it is; write path = "SITE/{channel}/{signal}"' in err
    )


def test_a_channel_without_time_gets_no_points(bench):
    angle = {"name": "angle", "type": "double"}
    record(bench.data, "press", [angle, VOLTS], [{"angle": 0.5, "volts": 1.0}])
    bench.record(1)
    name = bench.map('path = "Plant/{channel}/{signal}"\npoint = [{ signal = "*.volts" }]')
    status, out, err = bench.hxpush("provision", "data/", "--map", name)
    assert status == 5
    assert "Plant/rig/volts" in out
    assert "press" not in out
    assert "press.volts: the abscissa angle does not tell its unit of time; " in err


def test_a_refused_commit_leaves_nothing(bench):
    bench.record(1)
    bench.server.fault("commit", None, status=500)
    status, _, err = bench.hxpush("provision", "data/", "--map", bench.map(MAP), "--apply")
    assert status == 4
    assert err.startswith("speeddata: http://127.0.0.1:")
    assert bench.server.count("commit") == 1  # whether it was done is not known: not sent again
    bench.server.clear_faults()
    assert bench.server.open_sessions == 0


def test_a_signal_of_the_second_schema_gets_its_point_too(bench):
    bench.record(1)
    record(bench.data, "rig", [TIME, VOLTS, {"name": "amps", "type": "double"}], [], 1_717_300_000 * 10**9)
    name = bench.map('path = "Plant/{channel}/{signal}"\npoint = [{ signal = "rig.*" }]')
    out = bench.hxpush("provision", "data/", "--map", name)[1]
    assert [line.split()[2] for line in out.splitlines()[3:]] == [
        "Plant/rig/volts",
        "Plant/rig/note",
        "Plant/rig/amps",
    ]
