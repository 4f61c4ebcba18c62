"""Columns made samples: each one is in a table, or counted; one a moment; the same however history is cut."""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.avro import schema
from speeddata.avro.codec import Column
from speeddata.errors import DataError
from speeddata.haystack.points import MILLISECOND_NS, SECOND_NS, Point
from speeddata.haystack.preparing import Preparer

T0 = 1_764_763_200_000  # ms
NOW = (T0 + 10**9) * 10**6
RIG = schema.parse(
    json.dumps(
        {
            "type": "record",
            "name": "rig",
            "fields": [
                {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
                {"name": "x", "type": ["null", "double"]},
                {"name": "n", "type": "long"},
                {"name": "on", "type": "boolean"},
                {"name": "note", "type": "string"},
                {"name": "f", "type": "float"},
            ],
        }
    )
)


def point(signal, kind="Number", **more):
    more = {"zone": "UTC", "precision_ns": MILLISECOND_NS} | more
    return Point(id=f"p-{signal}", dis=signal, channel="rig", signal=signal, kind=kind, **more)


def preparer(*points, **options):
    return Preparer(points, now_ns=lambda: NOW, **options)


def piece(ms, **columns):
    """Columns by name; a list with None in it has a mask."""
    made = {"time": Column(T0 + np.array(ms, np.int64))}
    for name, values in columns.items():
        valid = None
        if any(value is None for value in values):
            valid = np.array([value is not None for value in values])
            values = [math.nan if value is None else value for value in values]
        made[name] = Column(np.array(values, object if isinstance(values[0], str) else None), valid)
    return made


def samples(tables, signal):
    """(ms, value) of all samples of a signal, in the order they are sent."""
    found = []
    for table in tables:
        assert (table.times_ns[1:] > table.times_ns[:-1]).all()
        for cells in table.cells:
            assert len(cells.values) == len(table.times_ns)
            if cells.point.signal == signal:
                there = [True] * len(cells.values) if cells.present is None else cells.present.tolist()
                rows = zip((table.times_ns // 10**6 - T0).tolist(), cells.values.tolist(), there, strict=True)
                found += [(ms, value) for ms, value, is_there in rows if is_there]
    return found


def balanced(told, tables):
    """Every sample seen is somewhere."""
    counted = told.nulls + told.merged + told.unchanged + told.out_of_range + told.left_out
    return told.seen == counted + sum(table.samples for table in tables)


def test_every_kind_comes_as_its_point_takes_it():
    made = preparer(point("x"), point("n"), point("on", "Bool"), point("note", "Str"), point("f"))
    f = np.array([0.1, 0.2], "<f4")
    tables = made.tables(
        "rig", RIG, piece([0, 5], x=[1.5, None], n=[2**60, -1], on=[True, False], note=["a", "é"], f=f)
    )
    (table,) = tables
    assert table.zone == "UTC"
    assert samples(tables, "x") == [(0, 1.5)]
    assert samples(tables, "n") == [(0, 2**60), (5, -1)]
    assert samples(tables, "on") == [(0, True), (5, False)]
    assert samples(tables, "note") == [(0, "a"), (5, "é")]
    assert [cells.values.dtype.str for cells in table.cells] == ["<f8", "<i8", "|b1", "|O", "<f4"]
    assert made.told.nulls == 1
    assert balanced(made.told, tables)


def test_points_of_one_zone_and_precision_share_a_table():
    made = preparer(
        point("x"),
        point("n"),
        point("on", "Bool", zone="New_York"),
        point("note", "Str", precision_ns=SECOND_NS),
    )
    tables = made.tables("RIG", RIG, piece([0, 5], x=[1.0, 2.0], n=[1, 2], on=[True, True], note=["a", "b"]))
    assert [(table.zone, len(table.times_ns), [c.point.signal for c in table.cells]) for table in tables] == [
        ("UTC", 2, ["x", "n"]),
        ("New_York", 2, ["on"]),
        ("UTC", 1, ["note"]),
    ]


def test_other_channels_and_signals_are_left_out():
    made = preparer(point("x"))
    assert made.tables("oven", RIG, piece([0], x=[1.0])) == []
    assert made.tables("rig", RIG, piece([0], n=[1])) == []
    assert made.tables("rig", RIG, {"time": Column(np.zeros(0, np.int64)), "x": Column(np.zeros(0))}) == []
    assert made.told.seen == 0


def test_the_last_sample_of_a_moment_wins_and_null_is_none():
    made = preparer(point("x", precision_ns=SECOND_NS), point("n", precision_ns=SECOND_NS))
    tables = made.tables(
        "rig", RIG, piece([0, 300, 999, 1000, 2500], x=[1.0, 2.0, None, None, 5.0], n=[1, 2, 3, 4, 5])
    )
    assert samples(tables, "x") == [(0, 2.0), (2000, 5.0)]
    assert samples(tables, "n") == [(0, 3), (1000, 4), (2000, 5)]
    assert (made.told.merged, made.told.merged_example) == (3, "rig.x")
    assert balanced(made.told, tables)


def test_where_time_steps_back_the_later_datum_wins():
    made = preparer(point("n", precision_ns=SECOND_NS))
    tables = made.tables("rig", RIG, piece([2900, 3000, 100, 2100, 50], n=[1, 2, 3, 4, 5]))
    assert samples(tables, "n") == [(0, 5), (2000, 4), (3000, 2)]
    assert balanced(made.told, tables)


def test_scale_and_offset_are_taken_in_doubles_and_whole_numbers_stay_exact_without():
    made = preparer(point("n", scale=0.1, offset=-1.0), point("f", scale=2.0), point("x"))
    tables = made.tables("rig", RIG, piece([0], n=[7], f=np.array([0.1], "<f4"), x=[2.0]))
    assert samples(tables, "n") == [(0, 7 * 0.1 - 1.0)]
    assert samples(tables, "f") == [(0, float(np.float32(0.1)) * 2.0)]


@pytest.mark.parametrize(("nan", "expected"), [("na", [0, 1, 2, 3]), ("keep", [0, 1, 2, 3]), ("skip", [0])])
def test_what_is_not_finite_is_left_out_or_not_and_counted(nan, expected):
    made = preparer(point("x"), nan=nan)
    tables = made.tables("rig", RIG, piece(range(5), x=[1.0, math.nan, math.inf, -math.inf, None]))
    assert [ms for ms, _ in samples(tables, "x")] == expected
    assert (made.told.not_finite, made.told.nulls, made.told.not_finite_example) == (3, 1, "rig.x")
    assert balanced(made.told, tables)


def test_numbers_that_a_server_rounds_are_counted_with_an_example():
    made = preparer(point("x"), point("n"), point("f"))
    tables = made.tables(
        "rig",
        RIG,
        piece(
            range(5),
            x=[0.5, 0.1, 16777217.5, 2.0**53 + 2, 1e300],
            n=[2**53 + 1] * 5,
            f=np.array([0.1] * 5, "<f4"),
        ),
    )
    assert (made.told.rounded, made.told.rounded_example) == (4 + 5, ("rig.x", 0.1))
    assert balanced(made.told, tables)


def test_what_has_no_time_that_a_server_takes_is_set_aside():
    made = preparer(point("x"), point("n"))
    ms = [0, -T0 - 631_152_000_001, 2 * 10**9]
    tables = made.tables("rig", RIG, piece(ms, x=[1.0, None, 3.0], n=[1, 2, 3]))
    assert samples(tables, "n") == [(0, 1)]
    asides = made.take_aside()
    assert [(a.point.signal, a.reason, a.unit, a.times.tolist(), a.values.tolist()) for a in asides] == [
        ("x", "more than 5 minutes in the future", "ms", [T0 + 2 * 10**9], [3.0]),
        ("n", "before 1950", "ms", [-631_152_000_001], [2]),
        ("n", "more than 5 minutes in the future", "ms", [T0 + 2 * 10**9], [3]),
    ]
    assert made.told.out_of_range == 3
    assert balanced(made.told, tables)
    assert made.take_aside() == []


def test_a_signal_that_became_another_kind_is_refused():
    with pytest.raises(DataError, match=r"signal rig.x is text now, and its point @p-x takes Number"):
        preparer(point("x")).tables("rig", RIG, piece([0], x=["a"]))


def test_on_change_leaves_rows_and_columns_out():
    made = preparer(point("x", on_change=True), point("n", on_change=True, deadband=1.0))
    first = made.tables("rig", RIG, piece([0, 1, 2, 3], x=[1.0, 1.0, 1.0, 2.0], n=[1, 2, 3, 3]))
    assert first[0].times_ns.tolist() == [(T0 + ms) * 10**6 for ms in (0, 2, 3)]
    assert samples(first, "x") == [(0, 1.0), (3, 2.0)]
    assert samples(first, "n") == [(0, 1), (2, 3)]
    second = made.tables("rig", RIG, piece([4, 5], x=[2.0, 2.0], n=[9, 9]))
    assert [cells.point.signal for table in second for cells in table.cells] == ["n"]
    assert made.tables("rig", RIG, piece([6], x=[2.0], n=[9])) == []
    assert balanced(made.told, first + second)


# -- means, least and greatest ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "x", "n"),
    [("mean", 2.0, 2.0), ("min", 1.0, 1), ("max", 3.0, 3), ("last", 1.0, 1)],
)
def test_a_moment_is_sent_when_it_is_over(method, x, n):
    points = [
        point(name, kind, precision_ns=SECOND_NS)
        for name, kind in (("x", "Number"), ("n", "Number"), ("note", "Str"))
    ]
    made = preparer(*points, resample=method)
    tables = made.tables(
        "rig",
        RIG,
        piece([0, 300, 600, 1100], x=[3.0, math.nan, 1.0, 7.0], n=[3, 2, 1, 7], note=["a", "b", "c", "d"]),
    )
    later = made.tables("rig", RIG, piece([1200, 2000], x=[9.0, 0.0], n=[9, 0], note=["e", "f"]))
    assert dict(samples(tables, "x"))[0] == x
    assert dict(samples(tables, "n"))[0] == n
    assert dict(samples(tables, "note"))[0] == "c"
    held = method != "last"
    assert made.held("rig") is held
    assert (1000 in dict(samples(tables, "x"))) is not held
    assert dict(samples(later, "x"))[1000] == {"mean": 8.0, "min": 7.0, "max": 9.0, "last": 9.0}[method]
    assert dict(samples(later, "note"))[1000] == "e"
    rest = made.flush()
    assert samples(rest, "x") == ([(2000, 0.0)] if held else [])
    assert samples(rest, "note") == ([(2000, "f")] if held else [])
    assert made.flush() == []
    if held:
        assert balanced(made.told, tables + later + rest)


def test_nothing_but_nan_is_nan():
    made = preparer(point("x", precision_ns=SECOND_NS), resample="mean")
    tables = made.tables("rig", RIG, piece([0, 1, 1000, 2000], x=[math.nan, math.nan, None, 1.0]))
    assert repr(samples(tables, "x")) == "[(0, nan)]"


def test_nan_at_the_end_of_a_piece_is_not_forgotten():
    made = preparer(point("x", precision_ns=SECOND_NS), resample="min")
    assert made.tables("rig", RIG, piece([0], x=[math.nan])) == []
    assert repr(samples(made.tables("rig", RIG, piece([10, 1000], x=[None, 1.0])), "x")) == "[(0, nan)]"


def test_a_moment_that_was_flushed_too_early_gets_better_in_the_next_run():
    points = [point("x", precision_ns=SECOND_NS)]
    made = preparer(*points, resample="mean")
    assert made.tables("rig", RIG, piece([0, 100], x=[1.0, 2.0])) == []
    assert samples(made.flush(), "x") == [(0, 1.5)]
    again = preparer(*points, resample="mean")
    again.restore(json.loads(json.dumps(made.state())))
    assert again.flush() == []
    tables = again.tables("rig", RIG, piece([200, 1000], x=[6.0, 0.0]))
    assert samples(tables, "x") == [(0, 3.0)]


def test_a_datum_that_comes_late_makes_its_moment_better():
    made = preparer(point("x", precision_ns=SECOND_NS), resample="max")
    first = made.tables("rig", RIG, piece([900, 1010], x=[5.0, 1.0]))
    second = made.tables("rig", RIG, piece([990, 1020], x=[4.0, 2.0]))
    assert samples(first, "x") == [(0, 5.0)]
    assert samples(second, "x") == [(0, 5.0)]
    assert samples(made.flush(), "x") == [(1000, 2.0)]


def test_a_way_to_resample_that_was_changed_goes_on_with_what_it_finds():
    points = [point("n", precision_ns=SECOND_NS)]
    made = preparer(*points, resample="mean")
    made.tables("rig", RIG, piece([0, 100], n=[1, 2]))
    again = preparer(*points, resample="max")
    again.restore(json.loads(json.dumps(made.state())))
    tables = again.tables("rig", RIG, piece([200, 1000], n=[0, 7]))
    assert samples(tables, "n") == [(0, 1.5)]
    assert samples(again.flush(), "n") == [(1000, 7)]


ROWS = st.lists(
    st.tuples(
        st.integers(0, 900), st.none() | st.sampled_from((0.5, -1.25, 3.0, math.nan)), st.integers(-3, 3)
    ),
    min_size=1,
    max_size=40,
)


@given(ROWS, st.sets(st.integers(1, 39)), st.sampled_from(("last", "mean", "min", "max")), st.booleans())
def test_any_cut_sends_the_same_in_the_end(rows, cuts, method, through_json):
    ms = np.cumsum([step for step, _, _ in rows]).tolist()
    points = [
        point("x", precision_ns=SECOND_NS),
        point("n", precision_ns=SECOND_NS),
    ]
    made = preparer(*points, resample=method)
    arrived = defaultdict(dict)
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    for begin, end in itertools.pairwise(edges):
        part = rows[begin:end]
        tables = made.tables(
            "rig", RIG, piece(ms[begin:end], x=[x for _, x, _ in part], n=[n for _, _, n in part])
        )
        for name in ("x", "n"):
            arrived[name] |= samples(tables, name)
        if through_json:
            told = made.told
            state = json.loads(json.dumps(made.state(), allow_nan=False))
            made = preparer(*points, resample=method)
            made.restore(state)
            made.told = told
    rest = made.flush()
    expected = defaultdict(lambda: defaultdict(list))
    for time, (_, x, n) in zip(ms, rows, strict=True):
        if x is not None:
            expected["x"][time // 1000 * 1000].append(x)
        expected["n"][time // 1000 * 1000].append(n)
    for name in ("x", "n"):
        arrived[name] |= samples(rest, name)
        assert arrived[name].keys() == expected[name].keys()
        for time, values in expected[name].items():
            numbers = [value for value in values if not math.isnan(value)] or [math.nan]
            if method == "last":
                value = values[-1]
            elif method == "mean":
                value = sum(numbers) / len(numbers)
            else:
                value = min(numbers) if method == "min" else max(numbers)
            assert arrived[name][time] == pytest.approx(value, nan_ok=True)


# -- what outlives a run ------------------------------------------------------------------------------------


def test_what_was_sent_last_outlives_the_run():
    points = [
        point("x", on_change=True),
        point("n", on_change=True),
        point("on", "Bool", on_change=True),
        point("note", "Str", on_change=True),
    ]
    columns = {"x": [math.nan], "n": [2**60 + 1], "on": [True], "note": ["nan"]}
    made = preparer(*points)
    assert len(made.tables("rig", RIG, piece([0], **columns))) == 1
    again = preparer(*points)
    again.restore(json.loads(json.dumps(made.state(), allow_nan=False)))
    assert again.tables("rig", RIG, piece([1], **columns)) == []
    fewer = preparer(points[0])
    fewer.restore(made.state())
    assert fewer.state()["sent"].keys() == {"p-x"}


@pytest.mark.parametrize(
    "state",
    [
        {"version": 2},
        {"version": 1, "method": "last", "sent": [], "open": {}},
        {"version": 1, "method": "median", "sent": {}, "open": {}},
        {"version": 1, "method": "last", "sent": {"p-x": [0, "text"]}, "open": {}},
        {"version": 1, "method": "last", "sent": {"p-x": [0.5, 1]}, "open": {}},
        {"version": 1, "method": "last", "sent": {"p-x": 3}, "open": {}},
        {"version": 1, "method": "last", "sent": {}, "open": {"p-x": [[0, 1]]}},
        {"version": 1, "method": "mean", "sent": {}, "open": {"p-x": [[0, [], 1, False]]}},
    ],
)
def test_a_state_that_is_none_is_refused(state):
    made = preparer(point("x", on_change=True), resample="mean")
    before = made.state()
    with pytest.raises(DataError, match="damaged"):
        made.restore(state)
    assert made.state() == before


def test_no_state_is_a_beginning():
    made = preparer(point("x"))
    made.restore({})
    assert made.state() == {"version": 1, "method": "last", "sent": {}, "open": {}}
