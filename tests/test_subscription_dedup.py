"""What was read before is told from what is new, in bounded memory, over restarts and failures."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.errors import DataError
from speeddata.subscription.dedup import Dedup

MINUTE = 60 * 10**9
ID = "f69ec89b-494b-4e07-9da2-7c89489e3346"


def item(*values: object, id: str = ID) -> dict[str, object]:
    """Datapoints one second after the other."""
    points = [
        {"time": f"2018-11-30T10:00:{second:02d}.000Z", "value": value, "status": 192}
        for second, value in enumerate(values)
    ]
    return {"id": id, "datapoints": points}


def read(dedup: Dedup, name: str, items: list[object], now_ns: int = 0) -> list[object]:
    look = dedup.look(name, items, now_ns)
    dedup.done(look)
    return look.items


def test_a_message_of_the_same_id_is_not_new():
    dedup = Dedup(MINUTE)
    assert read(dedup, "a:1:0:1", [item(1.0)]) == [item(1.0)]
    assert dedup.look("a:1:0:1", [item(2.0)], 0).again
    assert read(dedup, "a:1:0:1", [item(2.0)]) == []
    assert dedup.dropped_messages == 1


def test_a_datapoint_of_the_same_id_time_and_value_is_not_new():
    dedup = Dedup(MINUTE)
    assert read(dedup, "a", [item(1.0, 2.0)]) == [item(1.0, 2.0)]
    again = item(1.0, 2.0, 3.0)
    assert read(dedup, "b", [again]) == [{**again, "datapoints": again["datapoints"][2:]}]
    assert read(dedup, "c", [item(1.0, 2.0, 3.0)]) == []
    assert read(dedup, "d", [item(1.0, id=ID.replace("f", "e"))]) == [item(1.0, id=ID.replace("f", "e"))]
    assert read(dedup, "e", [item(1.5)]) == [item(1.5)]
    assert read(dedup, "f", [item(1.0, id=ID.upper())]) == []
    assert dedup.dropped_points == 6


def test_true_and_one_and_null_are_different_values():
    dedup = Dedup(MINUTE)
    values = [True, 1, 1.0, "1", None, "null", 0, False, -0.0, 0.0]
    for number, value in enumerate(values):
        assert read(dedup, str(number), [item(value)]) == [item(value)]


def test_samples_of_one_message_that_share_a_millisecond_are_all_kept():
    assert read(Dedup(MINUTE), "a", [item(1.0), item(1.0), item(2.0)]) == [item(1.0), item(1.0), item(2.0)]


def test_messages_without_an_id_are_told_by_their_datapoints_alone():
    dedup = Dedup(MINUTE)
    assert read(dedup, "", [item(1.0)]) == [item(1.0)]
    assert read(dedup, "", [item(2.0)]) == [item(2.0)]
    assert read(dedup, "", [item(2.0)]) == []


def test_what_was_given_back_is_new_when_it_comes_again():
    dedup = Dedup(MINUTE)
    failed = dedup.look("a", [item(1.0)], 0)
    assert failed.items == [item(1.0)]
    dedup.undone(failed)
    assert read(dedup, "a", [item(1.0)]) == [item(1.0)]
    assert (dedup.dropped_messages, dedup.dropped_points) == (0, 0)


def test_messages_looked_at_together_know_each_other():
    dedup = Dedup(MINUTE)
    first, same, other = (dedup.look(name, [item(1.0)], 0) for name in ("a", "a", "b"))
    assert (first.again, same.again, other.again) == (False, True, False)
    assert other.items == []
    for look in (first, same, other):
        dedup.done(look)
    assert dedup.look("b", [], 0).again


def test_what_is_too_old_is_forgotten():
    dedup = Dedup(MINUTE)
    read(dedup, "a", [item(1.0)], 5)
    assert read(dedup, "a", [item(1.0)], MINUTE + 5) == []
    assert read(dedup, "a", [item(1.0)], MINUTE + 6) == [item(1.0)]


def test_a_clock_that_goes_back_forgets_nothing_early_and_keeps_nothing_for_ever():
    dedup = Dedup(MINUTE)
    read(dedup, "a", [item(1.0)], 10 * MINUTE)
    read(dedup, "b", [item(2.0)], 0)
    assert read(dedup, "c", [item(1.0), item(2.0)], 11 * MINUTE) == []
    assert read(dedup, "d", [item(2.0)], 12 * MINUTE + 1) == [item(2.0)]


def test_memory_is_bounded_and_the_oldest_goes_first():
    dedup = Dedup(MINUTE, messages=3, points=4)
    for number in range(100):
        read(dedup, str(number), [item(number, number + 0.5)])
    state = dedup.state()
    assert [name for name, _ in state["messages"]] == ["97", "98", "99"]
    assert len(state["points"]) == 4
    assert read(dedup, "x", [item(98, 98.5), item(99, 99.5)]) == []
    assert read(dedup, "y", [item(97)]) == [item(97)]


def test_a_restart_forgets_nothing():
    before = Dedup(MINUTE)
    read(before, "a", [item(1.0, "x", None)], 7)
    after = Dedup(MINUTE)
    after.restore(json.loads(json.dumps(before.state())))
    assert after.look("a", [], 8).again
    assert read(after, "b", [item(1.0, "x", None)], 8) == []
    assert read(after, "c", [item(1.0)], MINUTE + 8) == [item(1.0)]
    smaller = Dedup(MINUTE, points=1)
    smaller.restore(before.state())
    assert len(smaller.state()["points"]) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(
    JSON | st.fixed_dictionaries({"version": st.just(1), "now_ns": JSON, "messages": JSON, "points": JSON})
)
def test_any_other_state_is_refused_and_changes_nothing(state):
    dedup = Dedup(MINUTE)
    read(dedup, "a", [item(1.0)])
    before = dedup.state()
    try:
        dedup.restore(state)
    except DataError as exc:
        told = str(exc)
    else:
        assert set(state) >= {"version", "now_ns", "messages", "points"}
        return
    assert "no memory" in told
    assert dedup.state() == before


@given(st.lists(JSON, max_size=5), st.text(max_size=5))
def test_whatever_is_no_item_passes_as_it_is(items, name):
    odd = [each for each in items if not (isinstance(each, dict) and each.get("datapoints"))]
    assert repr(read(Dedup(MINUTE), name, [*odd, item(1.0)])) == repr([*odd, item(1.0)])


def test_items_with_odd_datapoints_pass():
    odd = {"id": 5, "datapoints": [7, None, {"time": 1, "value": {"a": [1]}}, {}]}
    assert read(Dedup(MINUTE), "a", [odd]) == [odd]
    assert read(Dedup(MINUTE), "a", [{"id": ID, "datapoints": []}]) == [{"id": ID, "datapoints": []}]


def test_a_window_below_nothing_is_refused():
    with pytest.raises(ValueError, match="below nothing"):
        Dedup(-1)


def test_an_item_whose_id_is_no_name_passes_however_deep_it_goes():
    deep = []
    for _ in range(5000):
        deep = [deep]
    odd = {"id": deep, "datapoints": [{"time": 1, "value": 2}]}
    look = Dedup(MINUTE).look("m", [odd], 1)
    assert (len(look.items), look.items[0] is odd, look.dropped) == (1, True, 0)
