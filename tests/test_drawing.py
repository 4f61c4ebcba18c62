"""Where memory ends the recording goes on: figures across the seam are those of all samples."""

from __future__ import annotations

import io
import json
import math

import fastavro
import numpy as np
import pytest
from on_screen import Fed

from speeddata.avro.schema import parse
from speeddata.batch import Batch
from speeddata.chart.history import History
from speeddata.inbox import News
from speeddata.recording import archive
from speeddata.recording.archive import Archive
from speeddata.stripchart.backscroll import Backscroll
from speeddata.stripchart.channels import Channels
from speeddata.stripchart.drawing import Drawing
from speeddata.thinning import Thinning

S = 10**9
NOON = 1_764_763_200 * S
COUNT = 6000
SCHEMA = {
    "type": "record",
    "name": "rig",
    "fields": [
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
        {"name": "volts", "type": "double"},
        {"name": "amps", "type": ["null", "int"]},
        {"name": "turns", "type": "long"},
    ],
}


def row(n, time_ns):
    volts = (math.nan, math.inf, -math.inf)[n % 3] if n % 50 < 3 else math.sin(n / 100) * 10 + n / 1000
    return {"time": time_ns, "volts": volts, "amps": None if n % 7 == 3 else n % 100, "turns": 2**40 + n * n}


class Seam:
    """6000 samples, a second apart, in a recording; those from *known* on in memory, too.

    Args:
        known: numbers of samples that memory has.
        limit_bytes: of memory.
        at: the time of a sample by its number.
        recorded: how many samples the recording has.
    """

    def __init__(self, path, known, *, limit_bytes=1 << 20, at=lambda n: n, recorded=COUNT, thinning=None):
        self.rows = [row(n, NOON + at(n) * S) for n in range(COUNT)]
        home = path / "rig"
        home.mkdir()
        for first in range(0, recorded, 2500):
            with (home / f"rig_{first:06d}.avro").open("wb") as file:
                metadata = {"speeddata.channel": "rig"}
                rows = self.rows[first : min(first + 2500, recorded)]
                fastavro.writer(file, SCHEMA, rows, metadata=metadata, sync_interval=3000)
        self.home = home
        fed = Fed()
        channels = Channels(fed, (), lambda: NOON)
        schema, datums = parse(json.dumps(SCHEMA)), io.BytesIO()
        for n in known:
            fastavro.schemaless_writer(datums, fastavro.parse_schema(SCHEMA), self.rows[n])
        fed.news.append(News("rig", schema, []))
        fed.tell("rig", "live", **({} if thinning is None else {"thinning": thinning}))
        channels.take()
        self.channel = channels.by_name["rig"]
        self.channel.history = History(schema, limit_bytes=limit_bytes)
        self.channel.history.extend([Batch(schema, datums.getvalue(), len(known))])
        held = Archive(path)
        self.back = Backscroll(lambda channel: (held, channel), lambda: None)
        self.drawing = Drawing(channels, self.back)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.back.close()

    def told(self, signal, begin, end, wait_for):
        """What is told of a window in seconds, once it is looked up."""

        def look():
            self.back.begin("numbers")
            found = self.drawing.statistics(self.channel, signal, *window)
            wishes = [wish for wished in self.back._wishes.values() for wish in wished.values()]
            self.back.ask()
            answers = [self.back._answers.get(wish.key) for wish in wishes]
            known = all(
                a is not None and (a.begin, a.end) == w.needs for a, w in zip(answers, wishes, strict=True)
            )
            return found if known else None

        window = NOON + round(begin * S), NOON + round(end * S)
        return wait_for(look)

    def numpy(self, signal, begin, end):
        """The finite samples there, by another reader and NumPy."""
        found = []
        for path in sorted(self.home.glob("*.avro")):
            with path.open("rb") as file:
                found += list(fastavro.reader(file))
        here = [r[signal] for r in found if begin * S <= r["time"] - NOON < end * S]
        values = np.array([math.nan if value is None else value for value in here], np.float64)
        return values[np.isfinite(values)]


def alike(found, values):
    assert found.count == len(values)
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)


WINDOWS = [
    (0, 6000),  # all
    (-500, 9000),
    (1234, 5678),  # begins in the middle of a block
    (3990.5, 4010.5),  # little of either
    (3999, 4001),
    (4000, 6000),  # memory alone
    (100, 200),  # the recording alone, from the middle of a block to that of another
    (2499, 2501),  # from file to file
    (777, 778),
]


@pytest.mark.parametrize("signal", ["volts", "amps", "turns"])
def test_figures_across_the_seam_are_those_of_all_samples(tmp_path, wait_for, signal):
    with Seam(tmp_path, range(4000, COUNT)) as seam:
        for begin, end in WINDOWS * 2:  # again, with what the archive has kept of whole blocks
            alike(seam.told(signal, begin, end, wait_for), seam.numpy(signal, begin, end))


@pytest.mark.parametrize("signal", ["volts", "amps", "turns"])
def test_they_are_where_memory_has_but_buckets_of_its_oldest(tmp_path, wait_for, signal):
    with Seam(tmp_path, range(1000, COUNT), limit_bytes=40_000) as seam:
        history = seam.channel.history
        assert history.first < history.sharp_from - 1000 * S
        sharp = (history.sharp_from - NOON) // S
        for begin, end in [(0, 6000), (500, sharp + 100), (990, sharp), (333, 1500), (5, sharp - 1)]:
            alike(seam.told(signal, begin, end, wait_for), seam.numpy(signal, begin, end))


def test_samples_of_one_time_on_both_sides_of_the_seam_are_counted_once_each(tmp_path, wait_for):
    with Seam(tmp_path, range(4003, COUNT), at=lambda n: n // 10) as seam:
        for begin, end in [(0, 600), (399, 402), (400, 401), (0, 400.5)]:
            alike(seam.told("turns", begin, end, wait_for), seam.numpy("turns", begin, end))


def test_a_clock_that_steps_back_in_the_recording_loses_none(tmp_path, wait_for):
    with Seam(tmp_path, range(4000, COUNT), at=lambda n: n if not 1000 <= n < 1500 else n - 700) as seam:
        for begin, end in [(0, 6000), (310, 5000), (250, 820)] * 2:
            alike(seam.told("turns", begin, end, wait_for), seam.numpy("turns", begin, end))


def test_what_the_recording_has_not_got_yet_comes_from_memory_and_later_from_there(
    tmp_path, wait_for, monkeypatch
):
    monkeypatch.setattr(archive, "_LOOK_AGAIN_S", 0)
    with Seam(tmp_path, range(4000, COUNT), recorded=3990) as seam:
        assert seam.told("turns", 3000, 5000, wait_for).count == 990 + 1000
        with (seam.home / "rig_009999.avro").open("wb") as file:
            metadata = {"speeddata.channel": "rig"}
            fastavro.writer(file, SCHEMA, seam.rows[3990:], metadata=metadata)
        wait_for(lambda: seam.told("turns", 3000, 5000, wait_for).count == 2000)
        alike(seam.told("turns", 3000, 5000, wait_for), seam.numpy("turns", 3000, 5000))


def test_samples_that_were_thinned_stand_for_those_left_out_and_extremes_for_none(tmp_path, wait_for):
    (tmp_path / "a").mkdir()
    with Seam(tmp_path / "a", range(4000, COUNT, 5), thinning=Thinning(5, "pick")) as seam:
        found = seam.told("turns", 2000, 6000, wait_for)
        assert found.mean == pytest.approx(seam.numpy("turns", 2000, 6000).mean(), rel=1e-5)
    (tmp_path / "b").mkdir()
    with Seam(tmp_path / "b", range(4000, COUNT, 5), thinning=Thinning(5, "minmax")) as seam:
        found = seam.told("turns", 2000, 6000, wait_for)
        assert (found.minimum, math.isnan(found.mean)) == (2**40 + 2000**2, True)
        assert not math.isnan(seam.told("turns", 2000, 3000, wait_for).mean)  # the recording has them all


def test_a_window_that_goes_on_has_the_figures_of_a_moment_ago_and_never_those_of_another(tmp_path, wait_for):
    with Seam(tmp_path, range(4000, COUNT)) as seam:
        before = seam.told("turns", 2000, 5000, wait_for)
        moved = [NOON + round(each * S) for each in (2000.5, 5000.5)]
        assert seam.drawing.statistics(seam.channel, "turns", *moved).count == before.count + 1
        far = [NOON + each * S for each in (2100, 5100)]
        assert seam.drawing.statistics(seam.channel, "turns", *far).count == 0
