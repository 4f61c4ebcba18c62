"""Histories against a plain statement: all samples ever, in lists, looked at one by one."""

from __future__ import annotations

import itertools
import json
import math
import sys

import numpy as np
import pytest
from avro_data import DEMO, record_of
from hypothesis import given, settings
from hypothesis import strategies as st

from speeddata.avro import codec, schema
from speeddata.avro.columns import Column
from speeddata.batch import Batch
from speeddata.chart.envelope import envelope
from speeddata.chart.history import History, Sample, StateRun, Statistics
from speeddata.errors import DataError
from speeddata.sending import feeds

NAN, INF = math.nan, math.inf
LONG_AGO = 1_795_338_000_000_000_000
SMALL = 100_000  # bytes: samples fade into buckets after a few hundred

PLAIN = schema.parse(
    json.dumps(
        {
            "type": "record",
            "name": "plain",
            "fields": [
                {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
                {"name": "v", "type": "double"},
                {"name": "n", "type": "long"},
            ],
        }
    )
)
RIG = schema.parse(
    json.dumps(
        {
            "type": "record",
            "name": "rig",
            "fields": [
                {"name": "on", "type": "boolean"},
                {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
                {"name": "mode", "type": {"type": "enum", "name": "mode", "symbols": ["IDLE", "RUN"]}},
                {"name": "maybe", "type": ["null", "int"]},
                {"name": "text", "type": ["null", "string"]},
                {"name": "big", "type": "long"},
                {"name": "half", "type": "float"},
                {"name": "list", "type": {"type": "array", "items": "double"}},
            ],
        }
    )
)


def plain(x, values) -> Batch:
    values = np.asarray(values, np.float64)
    return codec.encode(PLAIN, {"time": np.asarray(x, np.int64), "v": values, "n": np.arange(len(values))})


def fed(history: History, x, values, sizes=(37,)) -> History:
    """*history* with all samples added, in batches of *sizes* in turn."""
    first = turn = 0
    while first < len(x):
        end = first + sizes[turn % len(sizes)]
        history.add(plain(x[first:end], values[first:end]))
        first, turn = end, turn + 1
    return history


def rig(time_ms, **columns) -> Batch:
    count = len(time_ms)
    rest = {"on": [True] * count, "mode": ["IDLE"] * count, "maybe": [1] * count, "text": ["a"] * count}
    rest |= {"big": [1] * count, "half": [0.5] * count, "list": [[]] * count} | columns
    return codec.encode(RIG, {"time": time_ms, **rest})


def waves(seed: int, count: int, *, broken: bool) -> np.ndarray:
    """Noise with rare spikes; *broken*: with NaN and infinities, alone and in runs."""
    random = np.random.default_rng(seed)
    values = random.normal(size=count)
    values[random.integers(0, count, 3)] *= 1e6
    if broken:
        values[random.integers(0, count, 3)] = [NAN, INF, -INF]
        first = random.integers(0, count)
        values[first : first + random.integers(0, 600)] = NAN
    return values


@st.composite
def windows(draw: st.DrawFn, x: np.ndarray) -> tuple[int, int, int]:
    """Ranges from a few samples to more than all of them."""
    begin, end = sorted(draw(st.integers(int(x[0]) - 50, int(x[-1]) + 50)) for _ in range(2))
    return begin, end + 1, draw(st.integers(1, 300))


MANY = settings(deadline=None, max_examples=60)


# -- no spike is hidden -------------------------------------------------------------------------------------


@MANY
@given(st.data(), st.integers(0, 9999), st.booleans(), st.sampled_from([(1,), (37,), (500,), (3, 700, 16)]))
def test_no_sample_is_outside_what_is_drawn_where_it_lies_at_any_window_and_zoom(data, seed, broken, sizes):
    count = data.draw(st.integers(1, 6000 if sizes != (1,) else 1000))
    x = LONG_AGO + np.cumsum(np.random.default_rng(seed).integers(8, 12, count))
    values = waves(seed, count, broken=broken)
    history = fed(History(PLAIN, limit_bytes=SMALL), x, values, sizes)
    for _ in range(5):
        begin, end, columns = data.draw(windows(x))
        found = history.envelope("v", begin, end, columns)
        inside = (x >= begin) & (x < end)
        at = (x[inside] - begin) * columns // (end - begin)
        # a bucket is drawn where it begins
        low = np.fmin(found.low, np.append(NAN, found.low[:-1]))[at]
        high = np.fmax(found.high, np.append(NAN, found.high[:-1]))[at]
        here = values[inside]
        finite = np.isfinite(here)
        assert ((low <= here) & (here <= high))[finite].all()
        for flags, infinity in ((found.above, INF), (found.below, -INF)):
            assert (flags | np.append(False, flags[:-1]))[at][here == infinity].all()


@MANY
@given(st.data(), st.integers(0, 9999), st.booleans())
def test_nothing_is_drawn_that_was_not_a_sample(data, seed, broken):
    count = data.draw(st.integers(1, 6000))
    x = LONG_AGO + np.cumsum(np.random.default_rng(seed).integers(8, 12, count))
    values = waves(seed, count, broken=broken)
    history = fed(History(PLAIN, limit_bytes=SMALL), x, values)
    begin, end, columns = data.draw(windows(x))
    found = history.envelope("v", begin, end, columns)
    drawn = np.concatenate([found.low, found.high, found.first, found.last])
    assert np.isin(drawn[~np.isnan(drawn)], values).all()
    there = ~np.isnan(found.low)
    for ends in (found.first, found.last):
        assert (np.isnan(ends) == ~there).all()
        assert ((found.low <= ends) & (ends <= found.high))[there].all()


@MANY
@given(st.data(), st.integers(0, 9999), st.booleans())
def test_while_samples_are_in_memory_a_history_draws_their_envelope_exactly(data, seed, broken):
    count = data.draw(st.integers(1, 3000))
    x = LONG_AGO + np.cumsum(np.random.default_rng(seed).integers(8, 12, count))
    values = waves(seed, count, broken=broken)
    history = fed(History(PLAIN), x, values)
    begin, end, columns = data.draw(windows(x))
    columns = max(columns, count // 128 + 1)
    found, exact = history.envelope("v", begin, end, columns), envelope(x, values, begin, end, columns)
    for name in ("low", "high", "first", "last", "gap", "above", "below"):
        np.testing.assert_array_equal(getattr(found, name), getattr(exact, name), err_msg=name)
    assert (found.before, found.after) == (exact.before, exact.after)


@MANY
@given(st.data(), st.integers(0, 9999), st.booleans())
def test_figures_are_those_of_the_finite_samples_in_the_range(data, seed, broken):
    count = data.draw(st.integers(1, 3000))
    x = LONG_AGO + np.cumsum(np.random.default_rng(seed).integers(8, 12, count))
    values = waves(seed, count, broken=broken)
    history = fed(History(PLAIN), x, values)
    begin, end, _ = data.draw(windows(x))
    found = history.statistics("v", begin, end)
    here = values[(x >= begin) & (x < end) & np.isfinite(values)]
    assert found.count == len(here)
    if len(here):
        assert (found.minimum, found.maximum) == (here.min(), here.max())
        assert found.mean == pytest.approx(here.mean(), rel=1e-9, abs=1e-9 * np.abs(here).max())
    else:
        assert np.isnan([found.minimum, found.mean, found.maximum]).all()


def test_a_spike_is_seen_when_all_that_is_left_of_it_is_a_bucket_of_buckets():
    count = 400_000
    x = LONG_AGO + np.arange(count) * 100_000
    values = np.zeros(count)
    values[1000] = 7e300
    history = fed(History(PLAIN, limit_bytes=SMALL), x, values, (4000,))
    assert history.first == x[0]
    found = history.envelope("v", int(x[0]), int(x[-1]) + 1, 240)
    assert found.high[:2].max() == 7e300
    assert history.statistics("v", int(x[0]), int(x[-1]) + 1).maximum == 7e300


def test_huge_values_have_a_mean_that_is_none_too_large():
    x = LONG_AGO + np.arange(5000)
    history = fed(History(PLAIN), x, np.full(5000, 1.7e308))
    assert history.statistics("v", int(x[0]), int(x[-1]) + 1).mean == pytest.approx(1.7e308)


# -- gaps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [SMALL, 16 << 20])
@pytest.mark.parametrize("paused_at", [500, 19_000])
def test_a_pause_is_an_empty_place_that_no_line_crosses_at_any_zoom(limit, paused_at):
    count, pause = 20_000, 10_000_000
    x = LONG_AGO + np.arange(count) * 1000
    x[paused_at:] += pause
    history = fed(History(PLAIN, limit_bytes=limit), x, np.arange(count), (50,))
    silent, again = int(x[paused_at - 1]), int(x[paused_at])
    for margin in (100_000, 1_000_000, 30_000_000):
        begin, end = silent - margin, again + margin
        found = history.envelope("v", begin, end, 300)
        middle = np.isnan(found.low)
        place = slice(
            (margin + pause // 4) * 300 // (end - begin), (margin + pause * 3 // 4) * 300 // (end - begin)
        )
        assert middle[place].all()
        behind = np.flatnonzero(~np.isnan(found.low[place.stop :]))
        if len(behind):
            assert found.gap[place.stop + behind[0]]
    found = history.envelope("v", silent + 1000, again - 1000, 10)
    if history.nearest(silent) is not None:
        assert (found.before, found.after) == (None, None)


def test_a_nan_just_before_a_bucket_is_a_gap_when_only_buckets_are_left():
    x, values = LONG_AGO + np.arange(20_000) * 1000, np.ones(20_000)
    values[4095] = NAN
    history = fed(History(PLAIN, limit_bytes=SMALL), x, values, (64,))
    found = history.envelope("v", int(x[3840]), int(x[4352]), 2)
    assert found.gap.tolist() == [False, True]


def test_one_sample_missing_of_a_steady_signal_is_a_gap_and_one_that_is_a_bit_late_is_none():
    x = LONG_AGO + np.arange(200) * 1000
    x[150:] += 400
    x = np.delete(x, 180)
    history = fed(History(PLAIN), x, np.ones(199), (10,))
    found = history.envelope("v", int(x[0]), int(x[-1]) + 1, len(x) * 20)
    gaps = np.flatnonzero(found.gap)
    assert [round((x[180] - x[0]) * len(x) * 20 / (x[-1] + 1 - x[0]))] == pytest.approx(gaps.tolist(), abs=1)


def test_samples_that_come_in_bursts_are_no_gaps():
    x = LONG_AGO + np.repeat(np.arange(100) * 10_000_000, 20) + np.tile(np.arange(20) * 1000, 100)
    history = fed(History(PLAIN), x, np.ones(len(x)), (100,))
    assert not history.envelope("v", int(x[0]), int(x[-1]) + 1, 5000).gap.any()


# -- a clock that steps back --------------------------------------------------------------------------------


def stepping(x: list[int]) -> list[int]:
    """Numbers of the samples that stay."""
    kept: list[int] = []
    newest = None
    for number, at in enumerate(x):
        if newest is not None and at < newest:
            kept = [each for each in kept if x[each] < at]
        kept.append(number)
        newest = at
    return kept


@MANY
@given(st.lists(st.integers(0, 60), min_size=1, max_size=300), st.sampled_from([1, 7, 64]))
def test_what_lies_behind_the_place_that_a_clock_steps_back_to_is_forgotten(x, size):
    history = fed(History(PLAIN), np.array(x), np.arange(len(x)), (size,))
    kept = stepping(x)
    at, values = np.array([x[each] for each in kept]), np.array(kept, np.float64)
    assert history.stepped_back == sum(b < a for a, b in itertools.pairwise(x))
    assert (history.first, history.last, history.count) == (at[0], at[-1], len(x))
    found, exact = history.envelope("v", -5, 70, 75), envelope(at, values, -5, 70, 75)
    np.testing.assert_array_equal(found.low, exact.low)
    np.testing.assert_array_equal(found.high, exact.high)


@MANY
@given(st.integers(0, 9999), st.lists(st.integers(0, 5000), min_size=1, max_size=6), st.data())
def test_a_history_stays_true_when_a_clock_steps_back_beyond_what_has_faded(seed, runs, data):
    history, x, values = History(PLAIN, limit_bytes=SMALL), np.empty(0, np.int64), np.empty(0)
    begin = since = 0
    for run in runs:
        new = begin + np.arange(run) * 10
        new_values = np.random.default_rng(seed + run).normal(size=run)
        fed(history, new, new_values, (100,))
        if run:
            if len(x) and begin < x[-1]:  # the same moment again is no step back
                x, values = x[x < begin], values[x < begin]
            x, values = np.concatenate([x, new]), np.concatenate([values, new_values])
            since, begin = begin, data.draw(st.integers(0, int(x[-1]) + 10))
    if not len(x):
        return
    assert history.last == x[-1]
    found = history.envelope("v", 0, int(x[-1]) + 1, 100)
    drawn = np.concatenate([found.low, found.high])
    assert np.isin(drawn[~np.isnan(drawn)], values).all()
    newest = max(since, int(x[-40:][0])), int(x[-1]) + 1, 100
    np.testing.assert_array_equal(history.envelope("v", *newest).low, envelope(x, values, *newest).low)
    ends = [level["end" if number else "x"] for number, level in enumerate(history._pyramid.levels)]
    assert all((np.diff(end) >= 0).all() for end in ends)


def test_one_time_far_ahead_is_forgotten_with_the_next_sample():
    history = fed(History(PLAIN), LONG_AGO + np.array([0, 10, 2**61, 20, 30]), np.arange(5))
    assert (history.first, history.last) == (LONG_AGO, LONG_AGO + 30)
    assert history.stepped_back == 1


# -- memory -------------------------------------------------------------------------------------------------


def weight(history: History) -> int:
    """Bytes of all arrays, and of the texts of states."""
    arrays = [array for level in history._pyramid.levels for array in level._arrays.values()]
    logs = history._logs.values()
    arrays += [array for log in logs for array in log._log._arrays.values()]
    return sum(array.nbytes for array in arrays) + sum(
        sys.getsizeof(text) for log in logs for text in log._texts
    )


@pytest.mark.parametrize("limit", [1 << 20, 16 << 20])
def test_a_history_weighs_no_more_than_it_may_however_much_it_has_seen(limit):
    feed = feeds.demo(10_000, LONG_AGO)
    history = History(feed.schema, limit_bytes=limit)
    assert weight(history) <= limit
    for _, batch in zip(range(300), feed.batches, strict=False):
        history.add(batch)
    assert history.count == 300_000
    assert limit / 2 < weight(history) <= limit


def test_ever_new_texts_take_no_more_memory_than_a_share():
    one = record_of("string")
    history = History(one, limit_bytes=1 << 20)
    for batch in range(100):
        history.add(codec.encode(one, {"f0": [f"{batch} {row} " + "x" * 500 for row in range(200)]}))
    assert weight(history) < 1 << 20
    assert history.latest("f0").startswith("99 199 x")


def test_a_history_of_thousands_of_signals_takes_a_few_rows_of_each():
    wide = record_of("long", *["double"] * 1500)
    history = History(wide, limit_bytes=1 << 20)
    columns = {f"f{number}": np.full(20, float(number)) for number in range(1, 1501)}
    for batch in range(20):
        history.add(codec.encode(wide, {"f0": np.arange(20) + batch * 20, **columns}))
    assert history.envelope("f1500", 0, 400, 10).high.tolist() == [1500.0] * 10
    assert weight(history) < 100 << 20


# -- states -------------------------------------------------------------------------------------------------


def stated(x, states, begin, end, columns) -> list[str | None]:
    """What each column shows: the state with which it ends, None for many, "" for nothing."""
    shown = []
    for column in range(columns):
        until = begin + -(-(end - begin) * (column + 1) // columns)
        since = begin + -(-(end - begin) * column // columns)
        before = [number for number, at in enumerate(x) if at < until]
        here = [number for number in before if x[number] >= since and number]
        changes = sum(states[number] != states[number - 1] for number in here)
        empty = not before or since > x[-1]
        shown.append("" if empty else None if changes > 1 else states[before[-1]])
    return shown


def columns_of(runs: list[StateRun], columns: int) -> list[str | None]:
    shown: list[str | None] = [""] * columns
    for run in runs:
        shown[run.first_column : run.last_column + 1] = [run.text] * (run.last_column + 1 - run.first_column)
    return shown


@MANY
@given(
    st.lists(st.sampled_from(["IDLE", "RUN"]), min_size=1, max_size=60),
    st.data(),
    st.sampled_from([1, 7, 60]),
)
def test_states_are_shown_as_the_samples_have_them(states, data, size):
    x = [1000 + number * 10 for number in range(len(states))]
    history = History(RIG)
    for first in range(0, len(x), size):
        part = slice(first, first + size)
        on = [state == "RUN" for state in states[part]]
        history.add(rig(x[part], mode=states[part], text=states[part], on=on))
    begin = data.draw(st.integers(900, 1700))
    end = data.draw(st.integers(begin + 1, 1800))
    columns = data.draw(st.integers(1, 40))
    expected = stated(x, states, begin, end, columns)
    ms = 1_000_000
    for name in ("mode", "text"):
        assert columns_of(history.states(name, begin * ms, end * ms, columns), columns) == expected
    words = {"RUN": "true", "IDLE": "false"}
    found = columns_of(history.states("on", begin * ms, end * ms, columns), columns)
    assert found == [words.get(state, state) if state is not None else None for state in expected]


def test_no_state_is_shown_where_it_is_null_or_samples_are_missing():
    history = History(RIG)
    x = [*range(0, 100, 10), *range(500, 600, 10)]
    for first in range(0, 20, 4):
        text = [None if 4 <= number < 6 else "a" for number in range(first, first + 4)]
        history.add(rig(x[first : first + 4], text=text))
    ms = 1_000_000
    shown = columns_of(history.states("text", 0, 600 * ms, 60), 60)
    assert shown == ["a"] * 4 + [""] * 2 + ["a"] * 4 + [""] * 40 + ["a"] * 10
    assert history.states("mode", 0, 600 * ms, 60) == [StateRun(0, 9, "IDLE"), StateRun(50, 59, "IDLE")]


def test_states_behind_the_place_that_a_clock_steps_back_to_are_forgotten():
    history = History(RIG)
    history.add(rig([0, 10, 20, 30], mode=["IDLE", "RUN", "IDLE", "RUN"]))
    history.add(rig([15, 25], mode=["RUN", "RUN"]))
    assert history.states("mode", 0, 40_000_000, 4) == [StateRun(0, 0, "IDLE"), StateRun(1, 2, "RUN")]
    history.add(rig([0, 10], mode=["RUN", "RUN"]))
    assert history.states("mode", 0, 40_000_000, 4) == [StateRun(0, 1, "RUN")]


# -- one sample ---------------------------------------------------------------------------------------------


def test_the_sample_nearest_to_a_place_comes_with_its_exact_values():
    history = History(RIG)
    huge = 2**63 - 1  # which no double holds
    history.add(
        rig([0, 10, 20], big=[1, huge, 3], maybe=[None, 7, 8], text=["a", None, "c"], half=[0.5, NAN, INF])
    )
    found = history.nearest(12_000_000)
    assert isinstance(found, Sample)
    assert found.x == 10_000_000
    assert {name: found.values[name] for name in ("on", "mode", "maybe", "text", "big")} == {
        "on": "true",
        "mode": "IDLE",
        "maybe": 7,
        "text": None,
        "big": huge,
    }
    assert math.isnan(found.values["half"])
    assert "list" not in found.values
    assert history.nearest(-(10**12)).values["maybe"] is None
    assert history.nearest(10**18).x == 20_000_000
    assert History(RIG).nearest(0) is None


def test_a_place_whose_samples_have_faded_has_no_nearest_sample():
    x = LONG_AGO + np.arange(20_000) * 1000
    history = fed(History(PLAIN, limit_bytes=SMALL), x, np.ones(20_000), (500,))
    assert history.first < x[5000]
    assert history.nearest(int(x[5000])) is None
    assert history.nearest(int(x[-1])).x == x[-1]


def test_the_latest_value_is_that_of_the_newest_sample_whatever_its_type():
    history = History(RIG)
    assert history.latest("on") is None
    history.add(rig([0, 10], maybe=[1, None], list=[[1.0], [2.0, 3.0]], on=[False, True]))
    told = {name: history.latest(name) for name in ("on", "mode", "maybe", "list", "half", "text", "big")}
    assert told == {
        "on": True,
        "mode": "IDLE",
        "maybe": None,
        "list": [2.0, 3.0],
        "half": 0.5,
        "text": "a",
        "big": 1,
    }


def test_signals_are_numbers_states_or_text_and_the_abscissa_is_none_of_them():
    history = History(RIG)
    assert {name: history.kind(name) for name in history.signals} == {
        "on": "state",
        "mode": "state",
        "maybe": "number",
        "text": "state",
        "big": "number",
        "half": "number",
        "list": "text",
    }
    with pytest.raises(KeyError):
        history.envelope("list", 0, 1, 1)
    with pytest.raises(KeyError):
        history.states("big", 0, 1, 1)


# -- the abscissa -------------------------------------------------------------------------------------------


def one_signal(kind: object, **attributes: object) -> schema.Schema:
    fields = [{"name": "x", "type": kind, **attributes}, {"name": "v", "type": "double"}]
    return schema.parse(json.dumps({"type": "record", "name": "r", "fields": fields}))


@pytest.mark.parametrize(
    ("kind", "attributes", "values", "axis", "ends"),
    [
        ("double", {"unit": "s"}, [1.5, 2.25], "time", (1_500_000_000, 2_250_000_000)),
        ("long", {"unit": "us"}, [-3, 5], "time", (-3000, 5000)),
        ("int", {}, [3, 5], "number", (3.0, 5.0)),
        ("double", {"unit": "m"}, [0.25, 1.0], "number", (0.25, 1.0)),
        ("string", {}, ["b", "a"], "number", (0.0, 1.0)),
        (["null", "double"], {"unit": "s"}, [None, 1.0], "time", (1_000_000_000, 1_000_000_000)),
        ("double", {"unit": "s"}, [NAN, 1.0], "time", (1_000_000_000, 1_000_000_000)),
        ("double", {"unit": "s"}, [1e300, 1.0], "time", (1_000_000_000, 1_000_000_000)),
        ("long", {"unit": "s"}, [2**60, 1], "time", (1_000_000_000, 1_000_000_000)),
        ("double", {}, [NAN, INF], "number", (None, None)),
    ],
)
def test_samples_lie_at_a_time_a_number_or_their_count(kind, attributes, values, axis, ends):
    schema_ = one_signal(kind, **attributes)
    history = History(schema_)
    assert history.add(codec.encode(schema_, {"x": values, "v": [1.0, 2.0]})) == 2
    assert (history.axis, history.first, history.last) == (axis, *ends)
    assert history.count == 2
    assert history.latest("v") == 2.0
    assert ("x" in history.signals) == (kind == "string")


def test_the_rate_is_that_of_the_last_seconds():
    x = LONG_AGO + np.concatenate([np.arange(100) * 100_000_000, 10**10 + np.arange(5000) * 1_000_000])
    assert fed(History(PLAIN), x, np.ones(5100), (100,)).rate_hz == pytest.approx(1000)
    assert History(PLAIN).rate_hz == 0.0
    assert fed(History(PLAIN), [5], [1.0]).rate_hz == 0.0
    assert fed(History(PLAIN), [5, 5], [1.0, 1.0]).rate_hz == 0.0


def test_before_the_first_sample_there_is_nothing():
    history = History(PLAIN)
    assert (history.first, history.last, history.count) == (None, None, 0)
    assert np.isnan(history.envelope("v", 0, 10, 5).low).all()
    assert history.statistics("v", 0, 10).count == 0
    assert History(RIG).states("mode", 0, 10, 5) == []


# -- batches ------------------------------------------------------------------------------------------------


def test_many_small_batches_together_are_as_one_by_one():
    feed = feeds.demo(1000, LONG_AGO)
    whole = next(feed.batches)
    parts = [whole.part(first, first + 5) for first in range(0, 100, 5)]
    one, other = History(feed.schema), History(feed.schema)
    assert one.extend(parts) == sum(other.add(part) for part in parts) == 100
    for name in ("sine_wave", "noise", "counter"):
        found, same = (each.envelope(name, LONG_AGO, LONG_AGO + 10**8, 50) for each in (one, other))
        np.testing.assert_array_equal(found.low, same.low)


def test_datums_that_are_none_are_left_out_and_counted():
    batch = plain([10, 20, 30], [1.0, 2.0, 3.0])
    cut = Batch(PLAIN, batch.data + b"\x00", 4, np.append(batch.offsets, len(batch.data) + 1))
    history = History(PLAIN)
    assert history.add(cut) == 3
    assert history.undecodable == 1
    damaged = Batch(PLAIN, batch.data[:-1], 3)
    with pytest.raises(DataError, match="3 datums"):
        history.add(damaged)
    assert history.extend([damaged, plain([40], [4.0])]) == 1
    assert history.undecodable == 4
    assert history.last == 40


def test_a_batch_of_another_schema_is_refused():
    with pytest.raises(ValueError, match="another schema"):
        History(PLAIN).add(rig([1]))
    assert History(DEMO).schema is DEMO


def test_null_numbers_are_gaps():
    column = Column(np.array([1, 0, 3], "<i4"), np.array([True, False, True]))
    history = History(RIG)
    history.add(rig([0, 10, 20], maybe=column))
    found = history.envelope("maybe", 0, 30_000_000, 3)
    np.testing.assert_array_equal(found.low, [1, NAN, 3])
    assert found.gap.tolist() == [False, False, True]
    assert history.statistics("maybe", 0, 30_000_000) == Statistics(1.0, 2.0, 3.0, 2)
