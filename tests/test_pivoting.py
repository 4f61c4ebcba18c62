"""What the ledger tells of the files that were read, and of nothing else; work that is done ahead."""

from __future__ import annotations

import threading

import pytest
from by_hand import NOON

from speeddata.cutting import Range
from speeddata.pivoting import ahead, told_losses
from speeddata.recording.catalogue import file_name
from speeddata.recording.ledger import LEDGER_NAME, Counts, Entry, FileRange

SECOND = 10**9


def home(tmp_path):
    """Three files of a minute each, and a datum lost in second 30 of each, twice told."""
    files = [tmp_path / file_name("rig", NOON + minute * 60 * SECOND) for minute in range(3)]
    lines = []
    for minute, path in enumerate(files):
        path.touch()
        at = NOON + (minute * 60 + 30) * SECOND
        counts = Counts(lost=10**minute)
        lines.append(Entry(at, at + SECOND, "s", counts).line())
        lines.append(Entry(at, at + 30 * SECOND, "s", counts, FileRange(path.name, 1)).line())
    (tmp_path / LEDGER_NAME).write_text("".join(lines))
    return files


def test_losses_are_of_the_files_that_were_read(tmp_path):
    files = home(tmp_path)
    assert told_losses(files, Range()).lost == 111
    assert [told_losses([file], Range()).lost for file in files] == [1, 10, 100]
    assert told_losses([], Range()) == Counts()


def test_losses_are_within_the_range(tmp_path):
    files = home(tmp_path)
    assert told_losses(files, Range(NOON + 60 * SECOND, None)).lost == 110
    assert told_losses(files, Range(NOON + 60 * SECOND, NOON + 120 * SECOND)).lost == 10
    assert told_losses(files[:1], Range(NOON + 60 * SECOND, None)).lost == 0


def test_files_of_other_people_have_no_ledger(tmp_path):
    path = tmp_path / "other.avro"
    path.touch()
    assert told_losses([path], Range()) == Counts()


def test_the_next_is_made_while_one_is_used_and_no_more():
    begun, asked = [], []

    def items():
        for number in range(5):
            asked.append(number)
            yield number

    def work(number):
        begun.append((number, threading.current_thread() is threading.main_thread()))
        return number * number

    results = ahead(work, items())
    assert next(results) == 0
    assert asked == [0, 1]
    assert list(results) == [1, 4, 9, 16]
    assert begun == [(number, False) for number in range(5)]


def test_what_fails_in_the_thread_or_before_it_comes_out_in_its_place():
    def items():
        yield 1
        yield 0
        raise KeyError("the source")

    results = ahead(lambda number: 1 // number, items())
    assert next(results) == 1
    with pytest.raises(KeyError):  # the source ends while the second is made
        next(results)
    results = ahead(lambda number: 1 // number, [1, 0, 2])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_nothing_in_gives_nothing_out():
    assert list(ahead(abs, [])) == []
