"""Positions move only behind what has arrived; what changes on the way takes nothing with it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import fastavro
import numpy as np
import pytest
from by_hand import NOON
from haystack_recording import Recording

from speeddata.cutting import Range
from speeddata.errors import PeerError
from speeddata.feeding import Feed
from speeddata.haystack.points import MILLISECOND_NS, SECOND_NS, Point
from speeddata.haystack.positions import State
from speeddata.haystack.preparing import Preparer
from speeddata.haystack.pushing import Pusher
from speeddata.haystack.setaside import SetAside, entries
from speeddata.interrupts import Stop
from speeddata.recording.catalogue import recording_files
from speeddata.sources import Wanted

S = SECOND_NS
VOLTS = Point("p-volts", "Volts", "rig", "volts", "Number", "UTC", precision_ns=MILLISECOND_NS)


def text(**types):
    fields = [{"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}}]
    fields += [{"name": name, "type": kind} for name, kind in types.items()]
    return json.dumps({"type": "record", "name": "rig", "fields": fields})


def datum(schema_text, at_ns, **values):
    plain = json.loads(schema_text)
    plain["fields"][0]["type"] = "long"
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(plain), {"time": NOON + at_ns, **values})
    return stream.getvalue()


VOLTS_TEXT = text(volts="double")


class Server:
    """Takes calls; the *refuse*-th one, and all behind it, fail."""

    def __init__(self, refuse=None):
        self.refuse, self.calls, self.history = refuse, 0, {}

    def send(self, call):
        self.calls += 1
        if self.refuse is not None and self.calls >= self.refuse:
            raise PeerError("is away")
        for table in call:
            for cells in table.cells:
                present = [True] * len(table.times_ns) if cells.present is None else cells.present.tolist()
                for ns, value, there in zip(
                    table.times_ns.tolist(), cells.values.tolist(), present, strict=True
                ):
                    if there:
                        self.history.setdefault(cells.point.id, []).append((ns - NOON, value))


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "state" / "hxpush" / "server.json"
        self.recording = Recording(folder / "data")
        self.aside = None

    def run(
        self,
        server,
        *points,
        resample="last",
        more=lambda channel, schema: [],
        misfits=lambda channel, schema: {},
        known=(),
        blocks=None,
    ):
        """One run over what is there, a block a window; the pusher."""
        root = self.recording.folder
        with State(self.path) as state:
            self.aside = SetAside(self.path.parent / "rejects.jsonl")
            pusher = Pusher(
                prepare=lambda points: Preparer(points, resample=resample, now_ns=lambda: NOON + 10**15),
                send=server.send,
                aside=self.aside,
                state=state,
                span=Range(),
                more_points=more,
                misfits=misfits,
                points=list(points or [VOLTS]),
                known=set(known),
            )
            start = state.start(recording_files(root))
            with Feed([str(root)], Wanted(), Stop(), start=start) as feed:
                items = [item for window in feed for item in window]
            for item in items[:blocks]:
                pusher.push([item])
            if blocks is None:
                pusher.finish()
            return pusher

    def volts(self, *numbers, step=S):
        """A block of the datums of these numbers."""
        self.recording.add(datum(VOLTS_TEXT, n * step, volts=n / 8) for n in numbers)

    def rejects(self):
        return [(entry.point, entry.samples) for entry in entries(self.aside.path)]


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.recording.end()


def volts(*numbers):
    return [(n * S, n / 8) for n in numbers]


def test_each_sample_is_sent_once_over_any_number_of_runs(bench):
    server = Server()
    bench.recording.begin(VOLTS_TEXT)
    bench.volts(0, 1)
    bench.run(server)
    bench.run(server)
    bench.volts(2, 3)
    bench.run(server)
    bench.recording.begin(VOLTS_TEXT)
    bench.volts(4)
    bench.run(server)
    assert server.history["p-volts"] == volts(0, 1, 2, 3, 4)


def test_a_call_that_fails_moves_nothing_and_is_made_again(bench):
    bench.recording.begin(VOLTS_TEXT)
    for n in range(4):
        bench.volts(n)
    server = Server(refuse=3)
    with pytest.raises(PeerError, match="is away"):
        bench.run(server)
    assert server.history["p-volts"] == volts(0, 1)
    server.refuse = None
    bench.run(server)
    assert server.history["p-volts"] == volts(0, 1, 2, 3)


def test_a_file_that_was_sent_before_does_not_go_back(bench):
    first = bench.recording.begin(VOLTS_TEXT)
    bench.volts(0)
    bench.recording.begin(VOLTS_TEXT)
    for n in (1, 2, 3):
        bench.volts(n)
    bench.recording.end()
    hidden = first.with_suffix(".hidden")
    first.rename(hidden)
    server = Server()
    bench.run(server)
    hidden.rename(first)  # it was away for a while
    bench.run(server, blocks=2)  # killed within the second file
    bench.run(server)
    assert sorted(server.history["p-volts"]) == volts(0, 1, 2, 3)


def test_a_channel_without_points_keeps_no_position(bench):
    bench.recording.begin(VOLTS_TEXT)
    bench.volts(0)
    other = Point("p", "P", "other", "x", "Number", "UTC")
    bench.run(Server(), other)
    server = Server()
    bench.run(server)  # the map has it now
    assert server.history["p-volts"] == volts(0)


def test_points_of_signals_that_come_with_another_schema_are_asked_for_once(bench):
    bench.recording.begin(VOLTS_TEXT)
    bench.volts(0)
    both = text(volts="double", amps="double")
    for n in (1, 2):
        bench.recording.begin(both)
        bench.recording.add([datum(both, n * S, volts=n / 8, amps=n)])
    asked = []
    amps = Point("p-amps", "Amps", "rig", "amps", "Number", "UTC", precision_ns=MILLISECOND_NS)

    def more(channel, schema):
        asked.append((channel, [signal.name for signal in schema.signals]))
        return [amps]

    server = Server()
    pusher = bench.run(server, more=more, known=[("rig", VOLTS_TEXT)])
    assert asked == [("rig", ["time", "volts", "amps"])]
    assert server.history == {"p-volts": volts(0, 1, 2), "p-amps": [(S, 1.0), (2 * S, 2.0)]}
    assert pusher.preparer.told.seen == 5


def test_a_channel_that_comes_later_is_asked_for(bench):
    bench.recording.begin(VOLTS_TEXT)
    bench.volts(0)
    server = Server()
    bench.run(server, Point("p", "P", "other", "x", "Number", "UTC"), more=lambda channel, schema: [VOLTS])
    assert server.history["p-volts"] == volts(0)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(("kind", "value", "kept"), [("string", "high", "high"), ("bytes", b"x", "b'x'")])
def test_a_signal_that_becomes_another_kind_is_set_aside_and_holds_nothing_up(
    bench, together, kind, value, kept
):
    changed = text(volts=kind, amps="double")
    bench.recording.begin(VOLTS_TEXT)
    bench.volts(0)
    bench.recording.begin(changed)
    bench.recording.add([datum(changed, S, volts=value, amps=1.0)])
    bench.recording.begin(VOLTS_TEXT)
    bench.volts(2)
    bench.recording.end()
    amps = Point("p-amps", "Amps", "rig", "amps", "Number", "UTC", precision_ns=MILLISECOND_NS)
    server = Server()
    if together:
        with State(bench.path) as state, Feed([str(bench.recording.folder)], Wanted(), Stop()) as feed:
            bench.aside = SetAside(bench.path.parent / "rejects.jsonl")
            pusher = Pusher(
                prepare=lambda points: Preparer(points, now_ns=lambda: NOON + 10**15),
                send=server.send,
                aside=bench.aside,
                state=state,
                span=Range(),
                more_points=lambda channel, schema: [],
                points=[VOLTS, amps],
            )
            pusher.push([item for window in feed for item in window])
    else:
        bench.run(server, VOLTS, amps)
    assert server.history == {"p-volts": volts(0, 2), "p-amps": [(S, 1.0)]}
    assert bench.rejects() == [("p-volts", [[NOON + S, kept]])]
    assert bench.aside.count == 1


def test_times_that_no_server_takes_are_set_aside(bench):
    bench.recording.begin(VOLTS_TEXT)
    bench.volts(0, 10**9)
    server = Server()
    bench.run(server)
    assert server.history["p-volts"] == volts(0)
    assert bench.rejects() == [("p-volts", [[NOON + 10**9 * S, 10**9 / 8]])]


@pytest.mark.parametrize("cut", range(1, 12))
@pytest.mark.parametrize("runs", [1, 2])
def test_means_are_the_same_however_they_are_cut_into_blocks_and_runs(bench, cut, runs):
    point = Point("p-volts", "Volts", "rig", "volts", "Number", "UTC", precision_ns=S)
    server = Server()
    bench.recording.begin(VOLTS_TEXT)
    step = S // 4
    for numbers in (range(cut), range(cut, 12)):
        bench.volts(*numbers, step=step)
        if runs == 2:
            bench.run(server, point, resample="mean")
    bench.run(server, point, resample="mean")
    got = dict(server.history["p-volts"])  # the last one written stays
    want = {
        second * S: float(np.mean([n / 8 for n in range(4 * second, 4 * second + 4)])) for second in range(3)
    }
    assert got == want


def test_a_run_that_dies_before_its_end_leaves_means_whole(bench):
    point = Point("p-volts", "Volts", "rig", "volts", "Number", "UTC", precision_ns=S)
    server = Server()
    bench.recording.begin(VOLTS_TEXT)
    for n in range(8):
        bench.volts(n, step=S // 4)
    bench.run(server, point, resample="mean", blocks=6)  # no finish: killed
    bench.run(server, point, resample="mean")
    assert dict(server.history["p-volts"]) == {0: 0.1875, S: 0.6875}


def test_on_change_goes_on_where_the_last_run_ended(bench):
    point = replace(VOLTS, on_change=True)
    server = Server()
    bench.recording.begin(VOLTS_TEXT)
    for at in range(3):
        bench.recording.add([datum(VOLTS_TEXT, at * S, volts=1.0)])
        bench.run(server, point)
    bench.recording.add([datum(VOLTS_TEXT, 3 * S, volts=2.0)])
    bench.run(server, point)
    assert server.history["p-volts"] == [(0, 1.0), (3 * S, 2.0)]


def test_counts_are_of_what_was_sent(bench):
    bench.recording.begin(VOLTS_TEXT)
    bench.volts(0, 1, 2)
    pusher = bench.run(Server())
    assert (pusher.steps, pusher.newest_ns, pusher.undecodable) == (3, NOON + 2 * S, 0)


def test_a_damaged_block_is_counted_and_passed(bench):
    bench.recording.begin(VOLTS_TEXT)
    bench.volts(0)
    bench.recording.files[-1].append(2, b"\x80" * 30)
    bench.volts(1)
    server = Server()
    pusher = bench.run(server)
    assert server.history["p-volts"] == volts(0, 1)
    assert pusher.undecodable == 2


def test_what_was_recorded_in_another_unit_is_set_aside_and_never_taken_for_this_one(bench, caplog):
    bench.recording.begin(VOLTS_TEXT)
    bench.volts(0, 1)
    amps = text(volts="double", amps="double")
    bench.recording.begin(amps)
    bench.recording.add(datum(amps, n * S, volts=n / 8, amps=0.0) for n in (2, 3))
    server = Server()
    old = {"volts": "was in mV when it was recorded, and its point takes V"}
    bench.run(server, misfits=lambda channel, schema: {} if "amps" in schema.text else old)
    assert server.history == {"p-volts": [(2 * S, 0.25), (3 * S, 0.375)]}
    assert bench.rejects() == [("p-volts", [[NOON, 0.0], [NOON + S, 0.125]])]
    assert [record.getMessage() for record in caplog.records] == [
        "signal rig.volts was in mV when it was recorded, and its point takes V; set aside; "
        "convert it, and send it by itself"
    ]
