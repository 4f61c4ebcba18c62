"""A run put together: what it has done, what it could not do, and that a rehearsal leaves no trace."""

from __future__ import annotations

import contextlib
import json

import pytest
from by_hand import LOOPBACK
from haystack_server import point
from hxpush_by_hand import NOON, PASSWORD, TIME, VOLTS, S, bench, record

from speeddata.avro import schema as schemas
from speeddata.cutting import Range
from speeddata.errors import UsageError
from speeddata.haystack import running
from speeddata.haystack.client import Client
from speeddata.haystack.mapping import DEFAULT, parse_toml
from speeddata.haystack.positions import State
from speeddata.haystack.running import Run, Wish
from speeddata.haystack.setaside import SetAside
from speeddata.haystack.targets import Target
from speeddata.interrupts import Stop
from speeddata.sources import Wanted

assert bench is not None  # a fixture


@pytest.fixture
def start(bench):
    """`start()` makes a run of the recording of *bench*, with all that is below it."""
    with contextlib.ExitStack() as stack:

        def make(*names, stop=None, span=None, mapping=DEFAULT, **wanted):
            stop = stop or Stop()
            target = Target.parse(bench.server.url, user="su")
            client = stack.enter_context(Client(target, lambda: PASSWORD, retry_s=0, stop=stop))
            state = stack.enter_context(State(bench.kept / "state.json", target=target.url))
            aside = SetAside(bench.kept / "state.rejects.jsonl")
            named = names or [f"{bench.data}/"]
            wish = Wanted(on=[LOOPBACK], **wanted)
            kept = {"client": client, "state": state, "aside": aside, "mapping": mapping}
            return Run(named, wish, span or Range(), stop, **kept, wish=Wish())

        yield make


def push(run, **more):
    seen = []
    summary = run.push(flush_s=0.05, seen=lambda told, size: seen.append(size), max_bytes=900_000, **more)
    return summary, seen


def test_the_summary_counts_samples_calls_steps_and_points(bench, start):
    bench.points()
    path = bench.record(7)
    run = start()
    assert run.total_bytes == path.stat().st_size
    summary, seen = push(run)
    assert (summary.samples, summary.calls, summary.steps, summary.points) == (14, 1, 7, 2)
    assert summary.newest_ns == NOON + 6 * S
    assert (summary.refused, summary.set_aside, run.shortfalls, run.interrupted) == ({}, 0, [], 0)
    assert seen[-1] == 0
    assert sum(seen) > 0  # bytes of each window, and a last look


def test_what_is_to_be_read_is_only_what_is_behind_the_position(bench, start):
    bench.points()
    bench.record(7)
    record(bench.data, "pump", [TIME, VOLTS], [{"time": NOON, "volts": 1.0}])  # nobody wants it
    run = start()
    push(run)
    assert run.total_bytes == 0


def test_how_much_of_a_range_there_is_to_be_read_is_not_known_beforehand(bench, start):
    bench.points()
    bench.record(7)
    assert start(span=Range(last_ns=S)).total_bytes == 0


def test_a_rehearsal_makes_the_first_call_and_remembers_nothing(bench, start):
    bench.points()
    bench.record(3)
    summary, _ = push(start(), rehearse=True)
    assert (summary.samples, summary.calls) == (6, 1)
    assert summary.first.startswith(b'ver:"3.0"\nts,v0 id:@p-volts,v1 id:@p-note\n2024-06-01T12:00:00Z UTC,')
    assert bench.server.count("hisWrite") == 0
    assert not (bench.kept / "state.json").exists()


def test_a_stop_that_was_asked_by_a_signal_interrupts_a_recording(bench, start):
    bench.points()
    bench.record(3)
    stop = Stop()
    run = start(stop=stop)
    stop.ask(143)
    push(run)
    assert run.interrupted == 143


def test_a_stop_without_a_signal_does_not(bench, start):
    bench.points()
    bench.record(3)
    stop = Stop()
    run = start(stop=stop, duration_ns=10**9)
    stop.ask()
    push(run)
    assert run.interrupted == 0


def test_the_range_ends_with_the_newest_of_all_channels(bench, start):
    bench.points()
    bench.record(10)
    record(bench.data, "pump", [TIME, VOLTS], [{"time": NOON + 20 * S, "volts": 1.0}])
    bench.server.add(point("p-pump", unit="V", speeddataKey="pump.volts"))
    summary, _ = push(start(span=Range(last_ns=13 * S)))
    assert [second for second, _ in bench.volts()] == [8, 9]
    assert summary.samples == 5


@pytest.mark.parametrize(("span", "option"), [(Range(last_ns=S), "--last"), (Range(), "--verify")])
def test_what_is_live_has_no_last_part_and_cannot_be_compared(start, span, option):
    schema = schemas.parse(json.dumps({"type": "record", "name": "rig", "fields": [TIME, VOLTS]}))
    with pytest.raises(UsageError, match=option):
        start("127.0.0.1:9", span=span, schema=schema).verify()


PUMPS = parse_toml('point = [{ signal = "pump.*" }]', "map")


def test_a_map_that_stands_for_nothing_there_is_refused(bench, start):
    bench.record(1)
    with pytest.raises(UsageError, match=r"stands for no signal here, such as rig\.volts"):
        start(mapping=PUMPS)


def test_where_more_is_awaited_what_the_map_stands_for_may_still_come(bench, start):
    bench.record(1)
    assert start(mapping=PUMPS, follow=True).points == []


@pytest.mark.parametrize(
    ("said", "form"),
    [
        ({}, None),
        ({"form": "batch"}, "batch"),
        ({"form": "single"}, None),
        ({"form": "single", "found": "1000"}, "single"),
        ({"form": "single", "found": "-1"}, None),
        ({"form": "single", "found": "5000"}, None),
        ({"form": "batch", "found": "0"}, "batch"),
        ({"form": "both", "found": "1000"}, None),
    ],
)
def test_that_a_server_takes_single_points_is_remembered_for_an_hour(said, form):
    assert running._remembered(said, 1000 + 3599.0) == form
    assert form != "single" or running._remembered(said, 1000 + 3600.0) is None
