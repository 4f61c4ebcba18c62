"""Marks as text: what is written is read again, and whatever else a line holds is refused."""

from __future__ import annotations

import json

import pytest

from speeddata.chart.marks import Mark, Removal, free_name, line, mark_name, named, parse, removal
from speeddata.errors import DataError, UsageError

NOON = 1_764_763_200_000_000_000  # 2025-12-03T12:00:00Z
MARK = Mark("spike", NOON + 1, NOON + 10**9, ("rig", "engine"), NOON + 2 * 10**9)
TEXT = (
    '{"name": "spike", "begin": "2025-12-03T12:00:00.000000001Z", "end": "2025-12-03T12:00:01.000000000Z", '
    '"channels": ["rig", "engine"], "created": "2025-12-03T12:00:02.000000000Z"}'
)


def test_a_mark_is_a_line_of_json_with_exact_readable_times():
    assert line(MARK) == TEXT
    assert parse(TEXT) == MARK


def test_an_open_mark_has_no_end():
    mark = Mark("open", NOON)
    assert json.loads(line(mark))["end"] is None
    assert parse(line(mark)) == mark


def test_a_line_by_hand_needs_a_name_and_a_begin_and_may_say_more():
    text = '{"name": "x", "begin": "2025-12-03T13:00:00+01:00", "why": "it rattled"}'
    assert parse(text) == Mark("x", NOON)


def test_a_mark_is_taken_away_by_a_line_too():
    assert parse(removal("Spike")) == Removal("spike")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"name": "x", "beg', "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no name that is allowed"),
        ('{"name": "../x", "begin": "2025-12-03T12:00:00Z"}', "no name that is allowed"),
        ('{"name": ["x"], "begin": "2025-12-03T12:00:00Z"}', "no name that is allowed"),
        ('{"name": "x"}', "does not begin"),
        ('{"name": "x", "begin": 5}', "its begin is no moment"),
        ('{"name": "x", "begin": "-10m"}', "its begin is no moment"),
        ('{"name": "x", "begin": "now"}', "its begin is no moment"),
        ('{"name": "x", "begin": "2025-12-03"}', "is no moment"),
        ('{"name": "x", "begin": "2025-12-03T12:00:00Z", "end": "2025-12-03T12:00:00Z"}', "ends before"),
        ('{"name": "x", "begin": "2025-12-03T12:00:00Z", "channels": "rig"}', "no list"),
    ],
)
def test_what_is_no_mark_is_refused(text, why):
    with pytest.raises(DataError, match=why):
        parse(text)


@pytest.mark.parametrize(
    ("mark", "why"),
    [
        (Mark("a b", NOON), "'a b' is no name of a mark; use a letter or _"),
        (Mark("\x1b[2J", NOON), r"'\\x1b\[2J' is no name of a mark"),
        (Mark("x", NOON, NOON), "ends before it begins"),
        (Mark("x", -(2**63)), None),
        (Mark("x", 10**30), "years 1 to 9999"),
    ],
)
def test_only_what_can_be_read_again_is_written(mark, why):
    if why is None:
        assert parse(line(mark)) == mark
        return
    with pytest.raises(UsageError, match=why):
        line(mark)


@pytest.mark.parametrize("at_ns", [NOON + 5, NOON - 5])
def test_a_mark_ends_on_either_side_of_where_it_began_and_holds_both_moments(at_ns):
    ended = Mark("x", NOON).ended(at_ns)
    assert (ended.begin_ns, ended.end_ns) == (min(NOON, at_ns), max(NOON, at_ns) + 1)


def test_the_next_free_name_fills_the_first_hole():
    assert free_name([]) == "mark-1"
    assert free_name([Mark("MARK-1", 0), Mark("mark-3", 0), Mark("spike", 0)]) == "mark-2"


def test_a_mark_is_found_by_its_name_without_case_and_a_near_one_is_told():
    assert named([MARK], "SPIKE", where="here") is MARK
    with pytest.raises(UsageError, match=r"--mark: there is no mark 'spice' in here; did you mean spike\?"):
        named([MARK], "spice", where="here")
    with pytest.raises(UsageError, match="choose from spike"):
        named([MARK], "completely-other", where="here")
    with pytest.raises(UsageError, match=r"there is no mark 'x' in here$"):
        named([], "x", where="here")


def test_a_name_that_is_allowed_stays_as_it_is():
    assert mark_name("mark-1") == "mark-1"
