"""`hxpush map`: a draft of a map, and what is wrong between a map and a server, in a table."""

from __future__ import annotations

import json
import subprocess
import tomllib

import pytest
from haystack_server import point
from hxpush_by_hand import NOTE, TIME, VOLTS, S, bench, record, samples

from speeddata.commands import hxpush_options
from speeddata.errors import Interrupted
from speeddata.haystack.patience import Outage
from speeddata.interrupts import Stop

assert bench is not None  # a fixture


def test_a_draft_has_a_line_for_each_signal_and_needs_no_server(bench):
    raw = {"name": "raw", "type": "bytes"}
    record(bench.data, "rig", [TIME, VOLTS, NOTE, raw], [{**samples(1)[0], "raw": b"x"}])
    status, out, err = bench.hxpush("map", "--init", "data/", env={"SPEEDDATA_HX_PASSWORD": ""})
    assert (status, err) == (0, "")
    assert tomllib.loads(out)["point"] == [
        {"signal": "rig.volts", "kind": "Number", "unit": "V"},
        {"signal": "rig.note", "kind": "Str"},
        {"signal": "rig.raw", "skip": True},
    ]
    assert bench.server.calls == []


def test_what_is_fast_is_drafted_to_milliseconds(bench):
    rows = [{**samples(1)[0], "time": n * S // 10} for n in range(20)]
    record(bench.data, "rig", [TIME, VOLTS, NOTE], rows)
    assert tomllib.loads(bench.hxpush("map", "--init", "data/")[1])["defaults"] == {"precision": "1ms"}


def test_a_draft_is_a_map_that_provision_and_check_take_as_it_is(bench):
    bench.record(2)
    name = bench.map(bench.hxpush("map", "--init", "data/")[1])
    assert bench.hxpush("provision", "data/", "--map", name, "--apply")[0] == 0
    status, out, err = bench.hxpush("map", "--check", "data/", "--map", name)
    assert (status, err) == (0, "")
    heading, volts, note = out.splitlines()
    assert heading.split() == ["signal", "point", "dis", "kind", "unit", "tz", "precision"]
    assert volts.split()[-4:] == ["Number", "V", "UTC", "1s"]
    assert note.split()[0] == "rig.note"
    assert bench.server.open_sessions == 0
    assert bench.server.count("hisWrite") == 0


def test_a_check_tells_every_problem_and_how_to_mend_it(bench):
    bench.server.add(point("p-volts", unit="mV", speeddataKey="rig.volts"))
    bench.server.add(point("p-note", speeddataKey="rig.note"))
    bench.record(1)
    status, out, err = bench.hxpush("map", "--check", "data/")
    assert (status, err) == (
        5,
        f"speeddata: http://127.0.0.1:{bench.server.port}: 2 signals would not be written\n",
    )
    heading, volts, note = out.splitlines()
    assert heading.endswith("  how to mend it")
    assert volts.startswith('rig.volts  @p-volts "P-VOLTS"  is in mV, and the samples are in V ')
    assert volts.endswith('write scale = 1000, unit = "mV" in the map')
    assert "is of kind Number, and the samples are Str" in note
    told = [json.loads(line) for line in bench.hxpush("map", "--check", "data/", "--json")[1].splitlines()]
    assert told[0]["mend"] == 'write scale = 1000, unit = "mV" in the map'


def test_what_a_check_says_is_what_mends_it(bench):
    bench.server.add(point("p-volts", unit="mV"))
    bench.record(2)
    name = bench.map("signal,id,scale,unit\nrig.volts,p-volts,1000,mV\n", "map.csv")
    assert bench.hxpush("map", "--check", "data/", "--map", name)[0] == 0
    assert bench.hxpush("data/", "--map", name)[0] == 0
    assert bench.volts() == [(0, 0.0), (1, 1000.0)]


def test_a_rule_that_decides_about_nothing_is_told(bench):
    bench.points()
    bench.record(1)
    name = bench.map("signal,key\nrig.*,{channel}.{signal}\nrig.volts,other\n", "map.csv")
    status, out, err = bench.hxpush("map", "--check", "data/", "--map", name)
    assert (status, len(out.splitlines())) == (0, 3)
    assert err == (
        "speeddata: map.csv: line 3 (rig.volts): decides about no signal here; "
        "it is misspelt, or a rule above takes all\n"
    )


def test_points_of_an_existing_project_are_found_by_its_own_key(bench):
    bench.server.add(point("a", unit="V", refName="Plant/Rig/volts"))
    bench.record(1)
    name = bench.map('key_tag = "refName"\nkey = "Plant/Rig/{signal}"\npoint = [{ signal = "rig.volts" }]\n')
    assert "@a" in bench.hxpush("map", "--check", "data/", "--map", name)[1]


@pytest.mark.parametrize("args", [(), ("--init", "--check")])
def test_it_is_either_a_draft_or_a_check(bench, args):
    told = "speeddata: hxpush map: say --init or --check; the one drafts, the other compares\n"
    assert bench.hxpush("map", *args, "data/") == (2, "", told)


def test_a_draft_reads_no_map_but_passes_over_that_of_the_settings(bench):
    bench.record(1)
    told = "speeddata: --map: is not read for a draft; leave it out\n"
    assert bench.hxpush("map", "--init", "data/", "--map", "x.toml") == (2, "", told)
    (bench.tmp_path / "speeddata.toml").write_text('[hxpush]\nmap = "x.toml"\nfollow = true\n')
    assert bench.hxpush("map", "--init", "data/")[0] == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pint = 3\n", "map.toml: pint: no such key; did you mean point?"),
        ("point = [", "map.toml: "),
        ('point = [{ signal = "rig.volts", scale = "x" }]', "map.toml: point 1 (rig.volts): scale"),
    ],
)
def test_a_map_that_is_none_is_refused_by_its_place(bench, text, told):
    bench.record(1)
    status, out, err = bench.hxpush("map", "--check", "data/", "--map", bench.map(text))
    assert (status, out) == (2, "")
    assert err.startswith(f"speeddata: {told}")


def test_a_pipe_is_drafted_from_its_header(bench):
    path = bench.record(1)
    running = bench.start("map", "--init", stdin=subprocess.PIPE)
    out, err = running.process.communicate(path.read_bytes(), timeout=20)
    assert (running.process.returncode, err) == (0, b"")
    assert [each["signal"] for each in tomllib.loads(out.decode())["point"]] == ["rig.volts", "rig.note"]


def test_a_signal_while_waiting_for_the_server_is_no_fault_of_the_servers():
    stop = Stop()
    with pytest.raises(Outage), hxpush_options.interruptible(stop):
        raise Outage("no answer", sent=True)
    stop.ask(143)
    with pytest.raises(Interrupted) as caught, hxpush_options.interruptible(stop):
        raise Outage("no answer", sent=True)
    assert caught.value.status == 143
