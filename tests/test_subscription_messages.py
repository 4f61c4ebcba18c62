"""Messages cut of blocks: repeatable whatever was read together, within their limits, and nothing missing."""

from __future__ import annotations

import io
import json

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.avro.schema import Schema, parse
from speeddata.batch import Batch
from speeddata.errors import DataError
from speeddata.subscription import messages
from speeddata.subscription.envelope import Encoder
from speeddata.subscription.messages import BlockRef, Limits, Losses, Part, cut, message_id
from speeddata.subscription.series import all_series, series_id

SYNC = bytes(range(16))
START_US = 1_543_572_000 * 10**6
SMALL = Limits(points=7, size=1500, most=4000)


def schema_of(*fields: tuple[str, object]) -> Schema:
    given = [{"name": "time", "type": "long", "unit": "us"}]
    given += [{"name": name, "type": each} for name, each in fields]
    return parse(json.dumps({"type": "record", "name": "r", "fields": given}))


RIG = schema_of(("a", "double"), ("b", ["null", "string"]), ("c", "int"))


def block(schema: Schema, rows: list[dict[str, object]], offset: int = 0) -> BlockRef:
    """*rows* as fastavro writes them."""
    data = io.BytesIO()
    for row in rows:
        fastavro.schemaless_writer(data, schema.plain, row)
    return BlockRef(SYNC, offset, Batch(schema, data.getvalue(), len(rows)))


def row(number: int, *, a: float = 0.5, b: str | None = "x", c: int = 1) -> dict[str, object]:
    return {"time": START_US + number * 1000, "a": a, "b": b, "c": c}


def made(blocks: list[BlockRef], limits: Limits = SMALL, losses: Losses | None = None) -> list[Part]:
    encoder = Encoder(all_series("rig", blocks[0].batch.schema))
    return list(cut(blocks, encoder, 3, limits=limits, losses=losses))


def samples(parts: list[Part]) -> dict[str, list[tuple[str, object]]]:
    """What arrives, by id."""
    found: dict[str, list[tuple[str, object]]] = {}
    for part in parts:
        for item in json.loads(part.body)["data"]["items"]:
            points = [(point["time"], point["value"]) for point in item["datapoints"]]
            found.setdefault(item["id"], []).extend(points)
    return found


def test_a_message_is_named_by_what_it_is_made_of():
    assert message_id(SYNC, 4711, 2, 9) == "000102030405060708090a0b0c0d0e0f:4711:2:9"
    parts = made([block(RIG, [row(n) for n in range(16)], 4711)])
    assert [part.id for part in parts] == [message_id(SYNC, 4711, number, 3) for number in range(len(parts))]


def test_every_sample_arrives_once_in_order_and_the_newest_time_is_told():
    parts = made(
        [block(RIG, [row(n, c=n) for n in range(16)]), block(RIG, [row(n, c=n) for n in range(16, 20)], 9)]
    )
    found = samples(parts)
    assert list(found) == [str(series_id("rig", name)) for name in "abc"]
    assert [value for _, value in found[str(series_id("rig", "c"))]] == list(range(20))
    assert sum(part.points for part in parts) == 60
    assert [part.block for part in parts] == sorted(part.block for part in parts)
    assert parts[-1].time_ns == START_US * 1000 + 19 * 10**6
    assert parts[0].time_ns == START_US * 1000 + 4 * 10**6
    assert parts[0].body.count(b'"time"') == 15


def test_at_most_so_many_datapoints_of_an_id():
    rows = [row(n, b=None) for n in range(2500)]
    one = schema_of(("a", "double"))
    sizes = [part.points for part in made([block(one, rows)], messages.LIMITS)]
    assert sizes == [1000, 1000, 500]


def test_no_message_is_larger_than_it_may_be_unless_a_single_datapoint_is():
    long = "é" * 1000
    rows = [row(0), row(1, b=long), row(2), row(3, b=long * 3)]
    losses = Losses()
    parts = made([block(RIG, rows)], losses=losses)
    assert losses.too_large == 1
    big = [part for part in parts if len(part.body) > SMALL.size]
    assert [part.points for part in big] == [1]
    assert len(samples(parts)[str(series_id("rig", "b"))]) == 3
    assert len(samples(parts)[str(series_id("rig", "c"))]) == 4
    assert [part.id.split(":")[2] for part in parts] == [str(number) for number in range(len(parts))]
    with pytest.raises(DataError, match="more than any message may have"):
        made([block(RIG, rows, 77)])


def test_a_datum_of_many_series_is_cut_between_them():
    many = schema_of(*((f"s{number}", "double") for number in range(60)))
    rows = [{"time": START_US + n, **{f"s{number}": float(number) for number in range(60)}} for n in range(3)]
    parts = made([block(many, rows)])
    assert max(len(part.body) for part in parts) <= SMALL.size
    found = samples(parts)
    assert len(found) == 60
    assert all(len(points) == 3 for points in found.values())


def test_blocks_without_a_wanted_sample_make_no_message():
    nothing = block(schema_of(("z", "bytes")), [{"time": 1, "z": b""}])
    empty = BlockRef(SYNC, 5, Batch(RIG, b"", 0))
    encoder = Encoder(all_series("rig", RIG))
    parts = list(cut([nothing, empty, block(RIG, [row(1)], 9), nothing], encoder, 1))
    assert [(part.block, part.id) for part in parts] == [(2, message_id(SYNC, 9, 0, 1))]
    assert list(cut([], encoder, 1)) == []
    assert list(cut([block(RIG, [row(1)])], Encoder([]), 1)) == []


def test_a_damaged_block_costs_no_other():
    good = [block(RIG, [row(n, c=n)], n) for n in range(4)]
    torn = BlockRef(SYNC, 99, Batch(RIG, good[0].batch.data[:-1], 1))
    swapped = BlockRef(SYNC, 98, Batch(RIG, good[0].batch.data * 2, 1))  # could make up for the one before
    losses = Losses()
    parts = made([good[0], torn, good[1], swapped, good[2], good[3]], losses=losses)
    assert [value for _, value in samples(parts)[str(series_id("rig", "c"))]] == [0, 1, 2, 3]
    assert losses == Losses(damaged=2)
    with pytest.raises(DataError, match="block at byte 99"):
        made([good[0], torn])


def test_a_block_larger_than_what_is_encoded_at_once_is_whole_all_the_same(monkeypatch):
    monkeypatch.setattr(messages, "_POINTS", 30)
    rows = [row(n, c=n) for n in range(47)]
    parts = made([block(RIG, [row(-1)]), block(RIG, rows, 8), block(RIG, [row(99)], 9)])
    assert [value for _, value in samples(parts)[str(series_id("rig", "c"))]][1:-1] == list(range(47))
    assert len({part.id for part in parts}) == len(parts)
    assert parts[1:-1] == [
        Part(1, part.id, part.body, part.time_ns, part.points) for part in made([block(RIG, rows, 8)])
    ]


def test_a_datum_alone_is_cut_as_among_others():
    counts = set()
    for length in range(1000, 1400):
        one = row(1, b="y" * length)
        alone = made([block(RIG, [one])])
        assert [part.body for part in made([block(RIG, [one, one])])] == 2 * [part.body for part in alone]
        counts.add(len(alone))
    assert counts == {1, 2, 3}


ROWS = st.lists(
    st.builds(
        row,
        st.integers(-3, 10**9) | st.just(2**52),
        a=st.floats(allow_nan=True),
        b=st.none() | st.text(st.characters(codec="utf-8"), max_size=400) | st.just("y" * 5000),
        c=st.integers(-(2**31), 2**31 - 1),
    ),
    max_size=30,
)


@given(st.lists(ROWS, min_size=1, max_size=6), st.lists(st.booleans(), min_size=6, max_size=6))
def test_the_same_block_gives_the_same_messages_whatever_is_cut_with_it(recorded, apart):
    blocks = [block(RIG, rows, 100 * number) for number, rows in enumerate(recorded)]
    encoder = Encoder(all_series("rig", RIG))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(messages, "_POINTS", 60)
        patched.setattr(messages, "_TOGETHER", 3000)
        together = list(cut(blocks, encoder, 1, limits=SMALL, losses=Losses()))
        runs: list[list[BlockRef]] = [[]]
        for each, alone in zip(blocks, apart, strict=False):
            if alone:
                runs.append([])
            runs[-1].append(each)
        others = [part for run in runs for part in cut(run, encoder, 1, limits=SMALL, losses=Losses())]
    assert [(part.id, part.body, part.time_ns) for part in others] == [
        (part.id, part.body, part.time_ns) for part in together
    ]
    assert all(len(part.body) <= SMALL.size or part.points == 1 for part in together)
    assert all(0 < len(part.body) <= SMALL.most for part in together)
    assert len({part.id for part in together}) == len(together)
    for part in together:
        items = json.loads(part.body)["data"]["items"]
        assert all(1 <= len(item["datapoints"]) <= SMALL.points for item in items)
        assert part.points == sum(len(item["datapoints"]) for item in items)


def test_no_limit_is_passed_where_a_signal_says_the_status():
    schema = schema_of(("a", "double"), ("q", "long"))
    rows = [{"time": START_US, "a": -1.2345678901234567e-300, "q": -(2**63)} for _ in range(40)]
    encoder = Encoder(all_series("rig", schema), quality="q")
    parts = list(cut([block(schema, rows)], encoder, 1, limits=Limits(points=40, size=1500, most=1500)))
    assert sum(part.points for part in parts) == 80
    assert all(1200 < len(part.body) <= 1500 for part in parts[:-1])
