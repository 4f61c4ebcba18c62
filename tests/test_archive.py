"""Scrolling through a recording: envelopes, states and samples from files, whole, torn, growing and gone."""

from __future__ import annotations

import os
import struct

import fastavro
import numpy as np
import pytest
from by_hand import NOON, Bench, rig
from indexing import with_index

from speeddata.chart.envelope import envelope
from speeddata.chart.readings import Statistics
from speeddata.chart.sums import NOTHING
from speeddata.interrupts import Stop
from speeddata.recording import archive
from speeddata.recording.archive import Archive

S = 10**9
SCHEMA = {
    "type": "record",
    "name": "rig",
    "fields": [
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
        {"name": "volts", "type": "double"},
        {"name": "amps", "type": ["null", "int"]},
        {"name": "mode", "type": {"type": "enum", "name": "mode", "symbols": ["off", "on"]}},
        {"name": "ok", "type": ["null", "boolean"]},
        {"name": "blob", "type": "bytes"},
    ],
}


def row(n, **other):
    return {
        "time": NOON + n * S,
        "volts": float(np.sin(n / 50) + (99 if n == 777 else 0)),
        "amps": None if n % 10 == 3 else n,
        "mode": "on" if 400 <= n < 600 else "off",
        "ok": None if n == 5 else n < 500,
        "blob": bytes([n % 256]),
    } | other


def written(path, rows, schema=SCHEMA, codec="null", interval=400, index=False, channel="rig"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        metadata = {"speeddata.channel": channel}
        fastavro.writer(file, schema, rows, metadata=metadata, codec=codec, sync_interval=interval)
    if index:
        with_index(path)
    return path


@pytest.fixture
def recording(tmp_path):
    """1000 samples, one a second, in three files: indexed, not indexed, compressed."""
    home = tmp_path / "rec/rig"
    rows = [row(n) for n in range(1000)]
    written(home / "rig_20251203T120000.000000000Z.avro", rows[:400], index=True)
    written(home / "rig_20251203T120640.000000000Z.avro", rows[400:800])
    written(home / "rig_20251203T121320.000000000Z.avro", rows[800:], codec="deflate")
    return tmp_path / "rec"


def wanted(name, begin, end, columns, numbers=range(1000), gap_over=1.75 * S):
    """What the chart's own function says of all samples."""
    x = np.array([NOON + n * S for n in numbers], np.int64)
    values = np.array([np.nan if (v := row(n)[name]) is None else v for n in numbers], np.float64)
    return envelope(x, values, begin, end, columns, gap_over=gap_over)


def alike(found, expected):
    for name in ("low", "high", "first", "last"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    filled = ~np.isnan(expected.low)
    np.testing.assert_array_equal(found.gap[filled], expected.gap[filled])
    assert (found.before, found.after) == (expected.before, expected.after)


def test_it_knows_its_channels_and_what_they_cover(recording):
    held = Archive(recording)
    assert held.channels() == ["rig"]
    assert held.covers("RIG") == (NOON, NOON + 999 * S)
    assert held.covers("engine") is None


@pytest.mark.parametrize("name", ["volts", "amps"])
@pytest.mark.parametrize(
    ("begin", "end", "columns"),
    [
        (0, 1000, 7),
        (0, 1000, 100),
        (395, 405, 40),
        (770, 780, 3),
        (100, 101, 50),
        (-500, 2000, 30),
        (-10, -5, 4),
        (2000, 2010, 4),
    ],
)
def test_a_range_is_drawn_as_if_all_of_it_were_in_memory(recording, monkeypatch, name, begin, end, columns):
    monkeypatch.setattr(archive, "_PARTS", 1e9)  # no block counts as narrow
    begin, end = NOON + begin * S, NOON + end * S
    held = Archive(recording)
    for _ in range(2):
        alike(held.envelope("rig", name, begin, end, columns, Stop()), wanted(name, begin, end, columns))


def test_narrow_blocks_are_read_once_and_their_spikes_are_never_lost(recording, monkeypatch):
    held, read = Archive(recording), []
    blocks = archive.FileTable.blocks

    def counted(self, first, last, stop):
        read.append(last - first)
        return blocks(self, first, last, stop)

    monkeypatch.setattr(archive.FileTable, "blocks", counted)
    for columns in (3, 4, 5):
        found = held.envelope("rig", "volts", NOON, NOON + 1000 * S, columns, Stop())
        expected = wanted("volts", NOON, NOON + 1000 * S, columns)
        assert np.nanmax(found.high) == np.nanmax(expected.high) > 90
        assert np.nanargmax(found.high) == 777 * columns // 1000
        assert not found.gap[1:].any()
        np.testing.assert_allclose(found.low[[0, -1]], expected.low[[0, -1]], atol=0.3)
        if columns == 3:
            first = sum(read)
    assert sum(read) == first > 50
    held.envelope("rig", "volts", NOON, NOON + 2 * S, 10, Stop())
    assert sum(read) - first < 6  # a short range needs few blocks


def figures(name, begin, end):
    """What NumPy says of the finite samples."""
    values = np.array([row(n)[name] for n in range(1000) if begin <= n < end], np.float64)
    values = values[np.isfinite(values)]
    return values.min(), pytest.approx(values.mean(), rel=1e-12), values.max(), len(values)


@pytest.mark.parametrize("name", ["volts", "amps"])
def test_figures_are_of_every_sample_in_the_range_and_whole_blocks_are_read_once(
    recording, monkeypatch, name
):
    held, read = Archive(recording), []
    blocks = archive.FileTable.blocks

    def counted(self, first, last, stop):
        read.append(last - first)
        return blocks(self, first, last, stop)

    monkeypatch.setattr(archive.FileTable, "blocks", counted)
    for begin, end in [(0, 1000), (13, 987), (395, 405), (500, 501), (-100, 250)]:
        found, behind = held.statistics("rig", name, NOON + begin * S, NOON + end * S, Stop())
        assert (found.minimum, found.mean, found.maximum, found.count) == figures(name, begin, end)
        assert behind == min(NOON + end * S, NOON + 999 * S + 1)
        assert sum(read) < 10 or (begin, end) == (0, 1000)
        read.clear()
    found, behind = held.statistics("rig", name, NOON + 990 * S, NOON + 2000 * S, Stop())
    assert (found.count, behind) == (figures(name, 990, 1000)[3], NOON + 999 * S + 1)
    assert held.statistics("rig", "mode", NOON, NOON + S, Stop())[0].count == 0
    assert held.statistics("engine", name, NOON, NOON + S, Stop()) == (NOTHING, NOON)


def test_what_a_picture_has_read_need_not_be_read_again_for_figures(recording, monkeypatch):
    held = Archive(recording)
    held.envelope("rig", "volts", NOON, NOON + 1000 * S, 10, Stop())
    monkeypatch.setattr(archive.FileTable, "blocks", None)
    assert held.statistics("rig", "volts", NOON, NOON + 1000 * S, Stop())[0].count == 1000


def test_a_gap_in_the_recording_is_a_gap_in_the_picture(tmp_path):
    numbers = [*range(50), *range(200, 250)]
    written(tmp_path / "rig.avro", [row(n) for n in numbers])
    found = Archive(tmp_path).envelope("rig", "volts", NOON, NOON + 250 * S, 25, Stop())
    assert np.flatnonzero(found.gap).tolist() == [20]
    assert np.isnan(found.low).nonzero()[0].tolist() == list(range(5, 20))


def test_an_answer_is_kept_until_the_recording_has_grown(recording, monkeypatch):
    monkeypatch.setattr(archive, "_LOOK_AGAIN_S", 0)
    held = Archive(recording)
    asked = ("rig", "volts", NOON + 990 * S, NOON + 1010 * S, 10, Stop())
    found = held.envelope(*asked)
    assert held.envelope(*asked) is found
    last = recording / "rig/rig_20251203T121320.000000000Z.avro"
    with last.open("a+b") as file:
        fastavro.writer(file, SCHEMA, [row(n) for n in range(1000, 1005)])
    assert held.covers("rig") == (NOON, NOON + 1004 * S)
    numbers = range(1005)
    alike(held.envelope(*asked), wanted("volts", *asked[2:5], numbers=numbers))
    written(recording / "rig/rig_20251203T121645.000000000Z.avro", [row(n) for n in range(1005, 1008)])
    alike(held.envelope(*asked), wanted("volts", *asked[2:5], numbers=range(1008)))


def test_what_a_relay_is_writing_can_be_looked_up(
    spawn, free_port, wait_for, channel_name, tmp_path, monkeypatch
):
    monkeypatch.setattr(archive, "_LOOK_AGAIN_S", 0)
    held = Archive(tmp_path / "rec")
    assert held.covers(channel_name) is None  # there is no such directory yet
    with Bench(spawn, free_port, wait_for) as bench:
        relay = bench.relay("-o", tmp_path / "rec")
        source, _ = bench.begun(channel_name, relay.port)
        source.send(rig(range(100)))
        wait_for(lambda: held.covers(channel_name) == (NOON, NOON + 99))
        source.send(rig(range(100, 120)))
        wait_for(lambda: held.covers(channel_name) == (NOON, NOON + 119))
        found = held.envelope(channel_name, "volts", NOON, NOON + 120, 12, Stop())
        assert found.high.tolist() == [(n * 10 + 9) / 8 for n in range(12)]


def test_files_that_retention_takes_away_are_missed_without_a_word(recording, monkeypatch):
    held = Archive(recording)
    begin, end = NOON, NOON + 1000 * S
    held.covers("rig")
    for path in (recording / "rig").glob("rig_20251203T120000*"):
        path.unlink()
    found = held.envelope("rig", "volts", begin, end, 10, Stop())
    assert np.isnan(found.low).tolist() == [True] * 4 + [False] * 6
    assert held.covers("rig") == (NOON + 400 * S, NOON + 999 * S)


def test_a_wrong_index_and_damage_cost_what_they_hide_and_no_more(recording, monkeypatch):
    monkeypatch.setattr(archive, "_LOOK_AGAIN_S", 0)
    first = recording / "rig/rig_20251203T120000.000000000Z.avro"
    whole = first.read_bytes()
    index = bytearray(first.with_suffix(".index").read_bytes())
    for row in range(2, len(index) // 32):  # every block but the first begins 3 bytes later, so it says
        struct.pack_into("<Q", index, 32 * row, struct.unpack_from("<Q", index, 32 * row)[0] + 3)
    for row, more in ((1, 3), (len(index) // 32 - 1, -3)):
        struct.pack_into("<I", index, 32 * row + 8, struct.unpack_from("<I", index, 32 * row + 8)[0] + more)
    first.with_suffix(".index").write_bytes(index)
    held = Archive(recording)
    for begin in range(200, 240):  # one of them begins with a block
        asked = NOON + begin * S, NOON + (begin + 10) * S, 10
        alike(held.envelope("rig", "volts", *asked, Stop()), wanted("volts", *asked))
    middle = len(whole) // 2
    first.write_bytes(whole[:middle] + b"\xff" * 40 + whole[middle + 40 :])
    found = Archive(recording).envelope("rig", "volts", NOON, NOON + 400 * S, 10, Stop())
    expected = wanted("volts", NOON, NOON + 400 * S, 10)
    np.testing.assert_array_equal(found.low[:4], expected.low[:4])
    np.testing.assert_array_equal(found.low[7:], expected.low[7:])


def test_a_clock_that_stepped_back_shows_both_passes(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_PARTS", 1e9)
    numbers = [*range(100), *range(50, 150)]
    written(tmp_path / "rig.avro", [row(n, volts=float(at)) for at, n in enumerate(numbers)])
    found = Archive(tmp_path).envelope("rig", "volts", NOON, NOON + 150 * S, 3, Stop())
    assert (found.low.tolist(), found.high.tolist()) == ([0, 50, 150], [49, 149, 199])
    assert Archive(tmp_path).covers("rig") == (NOON, NOON + 149 * S)


def test_signals_come_and_go_and_change_their_type_from_file_to_file(tmp_path):
    first = {**SCHEMA, "fields": SCHEMA["fields"][:2]}
    other = {**SCHEMA, "fields": [SCHEMA["fields"][0], {"name": "volts", "type": "string"}]}
    written(tmp_path / "1.avro", [row(n) for n in range(10)], schema=first)
    written(tmp_path / "2.avro", [row(n, volts="much") for n in range(10, 20)], schema=other)
    written(tmp_path / "3.avro", [row(n) for n in range(20, 30)])
    held = Archive(tmp_path)
    begin, end = NOON, NOON + 30 * S
    assert np.isnan(held.envelope("rig", "volts", begin, end, 3, Stop()).low).tolist() == [False, True, False]
    assert np.isnan(held.envelope("rig", "amps", begin, end, 3, Stop()).low).tolist() == [True, True, False]
    assert [run.text for run in held.states("rig", "volts", begin, end, 3, Stop())] == ["much"]
    assert np.isnan(held.envelope("rig", "mode", begin, end, 3, Stop()).low).all()
    assert np.isnan(held.envelope("rig", "nothing", begin, end, 3, Stop()).low).all()


def test_states_over_a_range_and_before_it(recording):
    held = Archive(recording)

    def runs(name, begin, end, columns):
        found = held.states("rig", name, NOON + begin * S, NOON + end * S, columns, Stop())
        return [(run.first_column, run.last_column, run.text) for run in found]

    assert runs("mode", 0, 1000, 10) == [(0, 3, "off"), (4, 5, "on"), (6, 9, "off")]
    assert runs("mode", 450, 470, 4) == [(0, 3, "on")]
    assert runs("mode", 399, 601, 1) == [(0, 0, None)]
    assert runs("ok", 0, 10, 10) == [(0, 4, "true"), (6, 9, "true")]
    assert runs("ok", 490, 510, 2) == [(0, 0, "true"), (1, 1, "false")]
    assert runs("volts", 0, 10, 10) == []
    assert runs("mode", 2000, 2100, 10) == []


@pytest.mark.parametrize(
    ("x", "n"), [(500, 500), (500.4, 500), (500.6, 501), (-1000, 0), (5000, 999), (399.6, 400)]
)
def test_the_nearest_sample_is_told_whole_and_exactly(recording, x, n):
    found = Archive(recording).sample("rig", NOON + int(x * S))
    assert found.x == NOON + n * S
    assert dict(found.values) == {k: v for k, v in row(n).items() if k != "time"}


def test_there_is_no_sample_where_there_is_no_channel(tmp_path):
    assert Archive(tmp_path).sample("rig", NOON) is None


def test_times_in_seconds_numbers_and_places_without_one(tmp_path):
    def only(name, kind, **more):
        fields = [{"name": "at", "type": kind, **more}, {"name": "v", "type": "int"}]
        return {"type": "record", "name": name, "fields": fields}

    seconds = [{"at": n / 4, "v": n} for n in range(8)] + [{"at": float("nan"), "v": 99}]
    written(tmp_path / "s.avro", seconds, schema=only("s", "double", unit="s"), channel="s")
    metres = [{"at": n / 4, "v": n} for n in range(8)]
    written(tmp_path / "m.avro", metres, schema=only("m", "float", unit="m"), channel="m")
    texts = [{"at": "here", "v": 1}]
    written(tmp_path / "t.avro", texts, schema=only("t", "string"), channel="t")
    held = Archive(tmp_path)
    assert held.channels() == ["m", "s"]
    assert held.envelope("s", "v", 0, 2 * S, 4, Stop()).high.tolist() == [1, 3, 5, 7]
    assert held.covers("m") == (0.0, 1.75)
    assert held.envelope("m", "v", 0.0, 2.0, 4, Stop()).high.tolist() == [1, 3, 5, 7]
    assert held.sample("m", 0.9).x == 1.0
    assert held.statistics("m", "v", 0.25, 1.0, Stop()) == (Statistics(1, 2, 3, 3), 1.0)
    assert held.statistics("s", "v", S // 4, 9 * S, Stop())[0] == Statistics(1, 4, 7, 7)


def test_one_file_is_a_recording_too_and_a_unit_may_be_given(tmp_path):
    bare = {
        "type": "record",
        "name": "b",
        "fields": [{"name": "t", "type": "long"}, {"name": "v", "type": "int"}],
    }
    path = written(tmp_path / "b.avro", [{"t": n, "v": n} for n in range(9)], schema=bare, channel="b")
    assert Archive(path).covers("b") == (0.0, 8.0)
    assert Archive(path, time_unit="ms").covers("b") == (0, 8_000_000)


def test_a_lookup_that_is_stopped_is_not_kept(recording):
    held, stop = Archive(recording), Stop()
    stop.ask()
    asked = ("rig", "volts", NOON, NOON + 1000 * S, 10)
    held.envelope(*asked, stop)
    alike(held.envelope(*asked, Stop()), held.envelope(*asked, Stop()))
    assert np.nanmax(held.envelope(*asked, Stop()).high) > 90


def test_what_is_strange_beside_a_recording_is_left_out(recording):
    (recording / "rig/no.avro").write_text("no container")
    (recording / "rig/empty.avro").write_bytes(b"")
    os.mkfifo(recording / "rig/pipe.avro")
    assert Archive(recording).covers("rig") == (NOON, NOON + 999 * S)
