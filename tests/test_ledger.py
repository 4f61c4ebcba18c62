"""The ledger: lines that add up, that survive a torn end, and that wait in memory for a disk that is full."""

from __future__ import annotations

import itertools
import json
import resource
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speeddata.recording import ledger
from speeddata.recording.ledger import PENDING_LINES, Counts, Entry, FileRange, Ledger

LOSS = Entry(1000, 2000, "s1", Counts(received=10, recorded=6, lost=3, lost_kernel=1, lost_disk=4))
FILE = Entry(0, 5000, "s1", Counts(50, 46, 3, 1, 4), FileRange("rig_x.avro", 4711, -5, 2.5))


def test_a_line_is_json_with_plain_names():
    assert json.loads(LOSS.line()) == {
        "kind": "loss",
        "since": 1000,
        "until": 2000,
        "session": "s1",
        "received": 10,
        "recorded": 6,
        "lost": 3,
        "lost_kernel": 1,
        "lost_disk": 4,
        "rejected": 0,
    }
    told = json.loads(FILE.line())
    assert (told["kind"], told["file"], told["size"]) == ("file", "rig_x.avro", 4711)
    assert (told["least"], told["greatest"]) == (-5, 2.5)


whole = st.integers(-(2**63), 2**63 - 1)
counts = st.builds(Counts, *[whole] * 6)
bounds = st.none() | whole | st.floats(allow_nan=False, allow_infinity=False)
ranges = st.none() | st.builds(FileRange, st.text(), whole, bounds, bounds)


@given(st.lists(st.builds(Entry, whole, whole, st.text(), counts, ranges)))
def test_what_is_written_is_read_back(tmp_path_factory, entries):
    book = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.jsonl")
    for entry in entries:
        book.add(entry)
    assert book.flush()
    assert list(ledger.read(book.path)) == entries


def test_infinite_bounds_are_null_in_json():
    entry = replace(FILE, file=FileRange("x", 1, float("-inf"), float("nan")))
    told = json.loads(entry.line(), parse_constant=pytest.fail)
    assert (told["least"], told["greatest"]) == (None, None)


def test_a_ledger_that_is_not_there_is_empty(tmp_path):
    assert list(ledger.read(tmp_path / "ledger.jsonl")) == []


def test_a_torn_last_line_is_passed_over_and_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text(LOSS.line() + LOSS.line()[:50])
    assert list(ledger.read(path)) == [LOSS]
    book = Ledger(path)
    book.add(FILE)
    assert book.flush()
    assert list(ledger.read(path)) == [LOSS, FILE]


@pytest.mark.parametrize(
    "line",
    [
        *(b"\xff\xfe", b"null", b"[]", b"{}", b"[" * 100_000, b'{"kind": "loss"}', b'{"since": 1e999}'),
        *(FILE.line().encode().replace(b"-5", each) for each in (b'"x"', b"[1]", b"true", b"1" + b"0" * 99)),
        *(FILE.line().encode().replace(b"4711", each) for each in (b'"4711"', b"47.5", b"null", b"9" * 5000)),
        FILE.line().encode().replace(b'"rig_x.avro"', b"{}"),
    ],
)
def test_what_is_no_entry_is_passed_over(tmp_path, line):
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(line + b"\n" + FILE.line().encode())
    assert list(ledger.read(path)) == [FILE]


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [
        (None, None, True),
        (None, 1000, False),  # half-open
        (None, 1001, True),
        (2000, None, True),
        (2001, None, False),
        (1400, 1500, True),
    ],
)
def test_a_range_finds_the_lines_that_tell_of_it(tmp_path, since, until, found):
    path = tmp_path / "ledger.jsonl"
    path.write_text(LOSS.line())
    assert bool(list(ledger.read(path, since, until))) is found


def test_losses_are_added_up_from_loss_lines_only():
    assert ledger.losses([LOSS, LOSS, FILE]) == LOSS.counts + LOSS.counts


def test_lines_wait_while_the_disk_refuses_and_a_line_is_never_written_in_part(tmp_path):
    book = Ledger(tmp_path / "ledger.jsonl")
    book.add(LOSS)
    assert book.flush()
    before = book.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))  # a short write, then an error
    try:
        book.add(FILE)
        assert not book.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert book.path.read_bytes() == before
    assert book.pending == 1
    assert book.flush()
    assert list(ledger.read(book.path)) == [LOSS, FILE]


def test_a_long_wait_costs_detail_but_no_datum(tmp_path):
    book = Ledger(tmp_path / "missing" / "ledger.jsonl")
    for second in range(10 * PENDING_LINES):
        book.add(replace(LOSS, since_ns=second, until_ns=second + 1))
        if second % 1000 == 999:
            assert not book.flush()
        assert book.pending <= PENDING_LINES
    book.path.parent.mkdir()
    assert book.flush()
    entries = list(ledger.read(book.path))
    assert ledger.losses(entries).lost_disk == 10 * PENDING_LINES * 4
    spans = [(entry.since_ns, entry.until_ns) for entry in entries]
    assert spans[0][0] == 0
    assert spans[-1][1] == 10 * PENDING_LINES
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))


def test_sessions_are_not_merged(tmp_path):
    book = Ledger(tmp_path / "ledger.jsonl")
    for number in range(PENDING_LINES + 1):
        book.add(replace(LOSS, session=f"s{number % 2}"))
    assert book.flush()
    assert {entry.counts.lost for entry in ledger.read(book.path)} == {3}


def test_a_large_ledger_forgets_what_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "TRIM_BYTES", 1000)
    book = Ledger(tmp_path / "ledger.jsonl")
    for second in range(10):
        book.add(replace(LOSS, since_ns=second, until_ns=second + 1))
    book.flush()
    book.forget(before_ns=8)
    assert [entry.until_ns for entry in ledger.read(book.path)] == [8, 9, 10]
    book.forget(before_ns=10)  # small now: nothing is gained
    assert [entry.until_ns for entry in ledger.read(book.path)] == [8, 9, 10]
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.jsonl"]


def test_losses_that_sources_claim_add_up_to_what_fits_a_file():
    claimed = replace(LOSS, counts=Counts(received=1, lost=2**63 - 1, lost_disk=2**62))
    assert ledger.losses([claimed] * 40) == Counts(received=40, lost=2**62, lost_disk=2**62)
