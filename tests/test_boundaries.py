"""Boundaries are guessed, and proven: what begins alike, what only seems to, and what is damaged."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
from avro_data import DEMO, record_of, varint
from hypothesis import given, settings
from hypothesis import strategies as st

from speeddata.avro import boundaries
from speeddata.avro.datum import skipper

TIME = 1_790_000_000_000_000_000
TWO_TIMES = record_of("long", "long", "string", "long")


def demo(number: int, text: bytes) -> bytes:
    floats = struct.pack("<4d", number / 7, number % 10 / 10, 1.0, -0.25)
    return varint(TIME + number * 1_000_000) + floats + varint(100_000 + number) + varint(len(text)) + text


def two_times(number: int, text: bytes) -> bytes:
    time = varint(TIME + number * 1_000_000)
    return time + varint(TIME + number * 1_000_000 + 77) + varint(len(text)) + text + varint(number)


def ends(datums: list[bytes]) -> list[int]:
    return [0, *itertools.accumulate(map(len, datums))]


@pytest.fixture
def steps(monkeypatch) -> list[int]:
    """Where the skipper was asked."""
    asked = []

    def counting(of):
        skip = skipper(of)

        def counted(data, pos, end):
            asked.append(pos)
            return skip(data, pos, end)

        return counted

    monkeypatch.setattr(boundaries, "skipper", counting)
    return asked


def long_string(number: int) -> bytes:
    return b"x" * (number * 7919 % 24)


@pytest.mark.parametrize(("of", "datum"), [(DEMO, demo), (TWO_TIMES, two_times)])
def test_datums_that_begin_alike_are_hardly_walked_over(of, datum, steps):
    datums = [datum(number, long_string(number)) for number in range(5000)]
    assert boundaries.find(of, b"".join(datums), len(datums)).tolist() == ends(datums)
    assert len(steps) < 100


def test_bytes_that_only_look_like_a_beginning_are_no_boundary(steps):
    each, beginning = record_of("long", "bytes"), varint(TIME + 1_000_000)
    texts = [beginning * (number * 7919 % 3) for number in range(2000)]
    datums = [varint(TIME + n) + varint(len(text)) + text for n, text in enumerate(texts)]
    assert boundaries.find(each, b"".join(datums), len(datums)).tolist() == ends(datums)
    assert len(steps) < 200


def test_where_beginnings_change_the_walk_goes_on_and_guesses_again(steps):
    datums = [demo((number // 700) * 10**12 + number, long_string(number)) for number in range(3000)]
    assert boundaries.find(DEMO, b"".join(datums), len(datums)).tolist() == ends(datums)
    assert len(steps) < 300


def test_datums_with_nothing_in_common_are_found_by_the_walk():
    each = record_of("string", "bytes")
    rng = np.random.default_rng(1)
    texts = [bytes(rng.integers(32, 127, rng.integers(0, 9), np.uint8)) for _ in range(1000)]
    datums = [varint(len(text)) + text + varint(len(text)) + text for text in texts]
    assert boundaries.find(each, b"".join(datums), len(datums)).tolist() == ends(datums)


@settings(max_examples=150)
@given(st.integers(0, 2000), st.integers(0, 60), st.integers(0, 255), st.integers(-2, 2))
def test_a_changed_byte_is_judged_as_the_walk_judges_it(number, place, byte, more):
    datums = [demo(each, long_string(each)) for each in range(2001)]
    changed = bytearray(b"".join(datums))
    changed[min(ends(datums)[number] + place, len(changed) - 1)] = byte
    data = bytes(changed)
    count = len(datums) + more
    skip, expected = skipper(DEMO), [0]
    try:
        for _ in range(count):
            expected.append(skip(data, expected[-1], len(data)))
    except ValueError:
        expected = []
    if expected and expected[-1] == len(data):
        assert boundaries.find(DEMO, data, count).tolist() == expected
    else:
        with pytest.raises(ValueError, match=r"."):
            boundaries.find(DEMO, data, count)
