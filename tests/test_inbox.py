"""What waits to be taken: joined, in order, under the schema that it came with, and bounded."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from by_hand import BULK_TEXT, RIG_TEXT, bulk, rig

from speeddata import inbox
from speeddata.avro import schema as schemas
from speeddata.batch import Batch
from speeddata.inbox import Inbox
from speeddata.interrupts import Stop

RIG, BULK = schemas.parse(RIG_TEXT), schemas.parse(BULK_TEXT)


def batch(datums, schema=RIG):
    return Batch(schema, b"".join(datums), len(datums), np.cumsum([0, *map(len, datums)]))


def test_small_batches_come_out_joined_with_their_boundaries():
    box = Inbox()
    watched = box.open("rig")
    for n in range(3):
        box.put(watched, batch(rig(range(2 * n, 2 * n + 2))))
    (news,) = box.take()
    assert (news.channel, news.schema, [each.count for each in news.batches]) == ("rig", RIG, [6])
    assert news.batches[0].data == b"".join(rig(range(6)))
    assert news.batches[0].offsets.tolist() == np.cumsum([0, *map(len, rig(range(6)))]).tolist()
    assert box.take() == []


def test_a_schema_is_news_before_its_first_datum_and_the_same_object_until_it_changes():
    box = Inbox()
    watched = box.open("rig")
    box.begin(watched, RIG)
    (first,) = box.take()
    assert (first.schema, first.batches) == (RIG, [])
    again = schemas.parse(RIG_TEXT)
    box.begin(watched, again)
    box.put(watched, batch(rig([1]), again))
    (same,) = box.take()
    assert same.schema is first.schema is same.batches[0].schema
    box.put(watched, batch(rig([2]), again))
    box.put(watched, batch(bulk([1], 5), BULK))
    box.begin(watched, replace(RIG))
    assert [(each.schema.name, len(each.batches)) for each in box.take()] == [
        ("rig", 1),
        ("bulk", 1),
        ("rig", 0),
    ]


def test_the_oldest_go_where_there_is_no_room_and_are_counted(monkeypatch):
    monkeypatch.setattr(inbox, "_CHANNEL_BYTES", 2500)
    box = Inbox()
    late, other = box.open("late"), box.open("other")
    box.put(other, batch(rig([7])))
    for n in range(10):
        box.put(late, batch(bulk([n], 500), BULK))
    assert [(each.name, each.dropped) for each in box.states()] == [("late", 8), ("other", 0)]
    assert [each.batches[0].data for each in box.take()] == [b"".join(bulk([8, 9], 500)), rig([7])[0]]
    box.put(late, batch(bulk([1], 50_000), BULK))  # one alone always fits
    assert box.take()[0].batches[0].count == 1


def test_all_channels_together_are_bounded(monkeypatch):
    monkeypatch.setattr(inbox, "_ALL_BYTES", 40_000)
    box = Inbox()
    for watched in [box.open(f"c{n}") for n in range(20)]:
        for n in range(20):
            box.put(watched, batch(bulk([n], 500), BULK))
    assert sum(len(each.batches[0].data) for each in box.take()) < 40_000


def test_a_reader_of_a_file_waits_for_room_instead(monkeypatch):
    monkeypatch.setattr(inbox, "_CHANNEL_BYTES", 1000)
    box, stop, done = Inbox(), Stop(), threading.Event()
    watched = box.open("file")

    def read():
        for n in range(5):
            box.put_waiting(watched, batch(bulk([n], 900), BULK), stop)
        done.set()

    threading.Thread(target=read, daemon=True).start()
    got = b""
    while len(got) < len(b"".join(bulk(range(5), 900))):
        assert box.wait(20)
        got += b"".join(part.data for news in box.take() for part in news.batches)
    assert got == b"".join(bulk(range(5), 900))
    assert done.wait(20)
    assert box.states()[0].dropped == 0


@pytest.mark.parametrize(
    ("opened", "names"),
    [
        ([("rig", "a/"), ("RIG", "b/")], ["rig", "RIG (b/)"]),
        ([("rig", ""), ("rig", "")], ["rig", "rig 2"]),
        ([("x", "x"), ("x", "x"), ("x", "x")], ["x", "x 2", "x 3"]),
    ],
)
def test_a_name_that_is_taken_becomes_another(opened, names):
    box = Inbox()
    for name, source in opened:
        box.open(name, source)
    assert [each.name for each in box.states()] == names


def test_a_channel_is_renamed_when_it_says_its_name_and_may_be_forgotten():
    box = Inbox()
    watched = box.open("127.0.0.1:5000", "127.0.0.1:5000")
    box.put(watched, batch(rig([1])))
    box.rename(watched, "rig")
    assert [news.channel for news in box.take()] == ["rig"]
    box.forget(watched)
    assert box.states() == []
