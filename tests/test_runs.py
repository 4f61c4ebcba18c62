"""A block as runs of one shape: the boundaries that walking finds, or nothing where a walk is due."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
from avro_data import DEMO, datums, record_of, schemas, varint
from hypothesis import given, settings
from hypothesis import strategies as st

from speeddata.avro import boundaries, codec, runs
from speeddata.batch import Batch
from speeddata.errors import DataError

TIME = 1_790_000_000_000_000_000


def demo(number: int, text: bytes) -> bytes:
    floats = struct.pack("<4d", number / 7, number % 10 / 10, 1.0, -0.25)
    return varint(TIME + number * 1_000_000) + floats + varint(number) + varint(len(text)) + text


def states(count: int, every: int) -> list[bytes]:
    """Text that changes from time to time, and a counter that grows by a byte."""
    return [demo(number + 8000, (b"rising", b"falling")[number // every % 2]) for number in range(count)]


def ends(pieces: list[bytes]) -> list[int]:
    return [0, *itertools.accumulate(map(len, pieces))]


def found(each, pieces: list[bytes]) -> list[int] | None:
    of = runs.runs_of(each, b"".join(pieces), len(pieces))
    return None if of is None else runs.offsets_of(of).tolist()


@pytest.mark.parametrize("every", [80, 500, 1000, 100_000])
def test_runs_have_the_boundaries_of_the_datums(every):
    pieces = states(6000, every)
    assert found(DEMO, pieces) == ends(pieces)
    assert boundaries.find(DEMO, b"".join(pieces), 6000).tolist() == ends(pieces)


def test_a_shape_that_comes_again_is_not_made_again(monkeypatch):
    made = []

    def counting(*args):
        made.append(args)
        return shape_of(*args)

    shape_of = runs.shape_of
    monkeypatch.setattr(runs, "shape_of", counting)
    pieces = states(20_000, 100)
    assert found(DEMO, pieces) == ends(pieces)
    assert len(made) == 2 * 2  # two texts, and the counter with two bytes and with three


@pytest.mark.parametrize("every", [1, 3, 40])
def test_short_runs_are_given_up_early(every, monkeypatch):
    tried = []
    run = runs.Shape.run
    monkeypatch.setattr(runs.Shape, "run", lambda *args: tried.append(args) or run(*args))
    assert found(DEMO, states(20_000, every)) is None
    assert len(tried) < 10


def test_other_ways_are_for_few_datums_and_for_what_has_no_shape():
    assert found(DEMO, states(100, 1000)) is None
    assert found(record_of("long", "double", {"type": "map", "values": "int"}), [bytes(10)] * 1000) is None
    assert found(record_of({"type": "array", "items": "null"}, "double"), [bytes(9)] * 1000) is None


@pytest.mark.parametrize("change", [b"", b"\0", bytes(51)])
def test_a_wrong_count_is_no_run(change):
    data = b"".join(states(2000, 1000))
    assert runs.runs_of(DEMO, data + change, 2000 - (change == b"")) is None
    assert runs.runs_of(DEMO, data[:-1], 2000) is None
    with pytest.raises(DataError):
        codec.offsets(Batch(DEMO, data[:-1], 2000))


@settings(max_examples=300)
@given(st.integers(0, 600 * 52), st.integers(0, 255), st.sampled_from((70, 400, 9999)))
def test_any_changed_byte_is_seen_as_a_walk_sees_it(at, byte, every):
    data = bytearray(b"".join(states(600, every)))
    data[at % len(data)] = byte
    of = runs.runs_of(DEMO, bytes(data), 600)
    try:
        walked = boundaries.find(DEMO, bytes(data), 600)
    except ValueError:
        assert of is None
    else:
        assert of is None or (runs.offsets_of(of) == walked).all()


@settings(max_examples=200)
@given(st.data())
def test_whatever_the_schema_runs_are_what_a_walk_finds(data):
    each = data.draw(schemas())
    few = data.draw(st.lists(datums(each), min_size=1, max_size=3))
    lengths = data.draw(st.lists(st.integers(1, 700), min_size=1, max_size=4))
    pieces = [few[place % len(few)] for place, length in enumerate(lengths) for _ in range(length)]
    bounds = found(each, pieces)
    assert bounds is None or bounds == ends(pieces)


@pytest.mark.parametrize("every", [100, 1000])
def test_columns_of_runs_are_those_of_known_boundaries(every):
    pieces = states(3000, every)
    data = b"".join(pieces)
    by_runs = Batch(DEMO, data, 3000)
    apart = Batch(DEMO, data, 3000, np.array(ends(pieces), np.int64))
    expected = codec.columns(apart)
    for name, column in codec.columns(by_runs).items():
        assert column.values.dtype == expected[name].values.dtype
        assert column.values.tolist() == expected[name].values.tolist()
    assert by_runs.runs is not None
    assert apart.runs is None
    assert by_runs.part(7, 2900).runs is None  # they would be of other rows
