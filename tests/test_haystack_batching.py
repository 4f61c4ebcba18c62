"""Calls: all samples once and in order, within the limits, in one zone, and as few as there can be."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.haystack.batching import calls, halves
from speeddata.haystack.hisgrid import batch_body, size_of
from speeddata.haystack.points import Cells, Point, Table

T0 = 1_764_763_200 * 10**9
S = 10**9


def point(name, zone="UTC"):
    return Point(id=name, dis=name, channel="rig", signal=name, kind="Number", zone=zone)


def table(names, begin, rows, *, zone="UTC", present=None, step=S):
    times = T0 + (begin + np.arange(rows)) * step
    cells = [
        Cells(point(name, zone), np.arange(rows) + 0.5, None if present is None else present[at])
        for at, name in enumerate(names)
    ]
    return Table(zone, times, tuple(cells))


def samples(tables):
    """Of each point, (time, value) in the order they are sent."""
    found = defaultdict(list)
    for each in tables:
        for cells in each.cells:
            there = np.ones(len(cells.values), bool) if cells.present is None else cells.present
            found[cells.point.id] += zip(
                each.times_ns[there].tolist(), cells.values[there].tolist(), strict=True
            )
    return dict(found)


def flat(some_calls):
    return [each for call in some_calls for each in call]


@st.composite
def tables(draw):
    found, clock = [], 0
    for _ in range(draw(st.integers(0, 6))):
        rows = draw(st.integers(1, 30))
        zone = draw(st.sampled_from(("UTC", "New_York")))
        names = sorted(draw(st.sets(st.sampled_from("abcdef"), min_size=1)))
        masks = [draw(st.lists(st.booleans(), min_size=rows, max_size=rows)) for _ in names]
        present = [np.array(mask) for mask in masks] if draw(st.booleans()) else None
        found.append(table([f"{zone}-{name}" for name in names], clock, rows, zone=zone, present=present))
        clock += draw(st.sampled_from((rows, rows, 0, -5, rows - 1)))
    return found


@given(tables(), st.integers(60, 4000), st.integers(1, 60))
def test_all_samples_go_once_in_order_within_the_limits_in_one_zone(some, max_bytes, max_samples):
    found = list(calls(some, max_bytes=max_bytes, max_samples=max_samples))
    assert samples(flat(found)) == samples(each for each in some if each.samples)
    for call in found:
        assert len({each.zone for each in call}) == 1
        within = size_of(call) <= max_bytes and sum(each.samples for each in call) <= max_samples
        assert within or [len(each.times_ns) for each in call] == [1]
        for its in samples(call).values():
            times = [time for time, _ in its]
            assert len(times) == len(set(times)), "which of the two is kept?"


@given(tables())
def test_halves_are_smaller_and_lose_nothing(some):
    call = tuple(each for each in some if each.zone == "UTC" and each.samples)
    if not call:
        return
    waiting, order = [call], []
    while waiting:
        part = waiting.pop()
        pair = halves(part)
        if pair is None:
            assert sum(each.samples for each in part) <= 1
            order += part
        else:
            assert all(samples(half).keys() for half in pair)
            waiting += reversed(pair)
    whole, found = samples(call), samples(order)
    assert {name: its for name, its in found.items() if its} == {
        name: its for name, its in whole.items() if its
    }


def test_what_fits_is_one_call_whatever_the_points():
    some = [table([f"{channel}.{n}" for n in range(5)], channel, 10, step=7) for channel in range(20)]
    assert [len(call) for call in calls(some)] == [20]


def test_a_call_a_zone():
    some = [table(["a"], 0, 3), table(["b"], 0, 3, zone="New_York"), table(["c"], 0, 3)]
    assert [[each.cells[0].point.id for each in call] for call in calls(some)] == [["a", "c"], ["b"]]


def test_a_long_table_is_cut_into_calls_that_are_nearly_full():
    some = [table([f"p{n}" for n in range(100)], 0, 5_000)]
    found = list(calls(some))
    assert all(len(batch_body(call)) <= 900_000 for call in found)
    assert all(sum(each.samples for each in call) <= 50_000 for call in found)
    assert len(found) <= 12  # 500,000 samples


def test_tables_that_share_no_points_are_not_put_together_where_it_takes_several_calls():
    some = [table([f"p{n}"], 0, 400) for n in range(40)]
    found = list(calls(some, max_bytes=100_000))
    assert samples(flat(found)) == samples(some)
    assert max(len(call) for call in found) == 4
    assert sum(len(batch_body(call)) for call in found) < 1.2 * sum(len(batch_body([each])) for each in some)


def test_a_moment_of_a_point_is_not_twice_in_a_call():
    some = [table(["a", "b"], 0, 5), table(["b", "c"], 4, 5)]
    assert [len(call) for call in calls(some)] == [1, 1]
    assert [len(call) for call in calls([table(["a"], 0, 5), table(["a"], 5, 5)])] == [2]


def test_a_row_beyond_the_limits_goes_alone():
    some = [table([f"p{n}" for n in range(50)], 0, 3)]
    assert [[len(each.times_ns) for each in call] for call in calls(some, max_samples=10)] == [[1], [1], [1]]
    assert len(list(calls(some, max_bytes=10))) == 3


def test_half_of_a_row_is_half_of_its_points():
    pair = halves((table(["a", "b", "c"], 0, 1),))
    assert pair is not None
    assert [[cells.point.id for cells in half[0].cells] for half in pair] == [["a"], ["b", "c"]]


@pytest.mark.parametrize("present", [None, [np.array([False, True, False])]])
def test_one_sample_has_no_halves(present):
    rows = 1 if present is None else 3
    assert halves((table(["a"], 0, rows, present=present),)) is None
