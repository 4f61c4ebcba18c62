"""What is set aside is on the disk as JSON Lines, for its owner alone, and never more than its limit."""

from __future__ import annotations

import json
import math
import os
import stat

import numpy as np
import pytest

from speeddata.errors import HostError
from speeddata.haystack.points import Cells, Point, Table
from speeddata.haystack.preparing import Aside
from speeddata.haystack.setaside import SetAside, entries

T0 = 1_764_763_200 * 10**9


def point(name, kind="Number"):
    return Point(id=f"p-{name}", dis=name, channel="rig", signal=name, kind=kind, zone="UTC")


def table(name, values, present=None):
    values = np.array(values, object if isinstance(values[0], str) else None)
    cells = Cells(point(name), values, None if present is None else np.array(present))
    return Table("UTC", T0 + np.arange(len(values)), (cells,))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rejects.jsonl"


def test_every_line_is_json_that_says_what_went_where_and_why_not(path):
    aside = SetAside(path)
    aside.keep(
        table("x", [1.5, math.nan, math.inf, -math.inf], [True, True, True, False]), "no \x1b[31m such"
    )
    aside.keep(table("note", ["a\nb", "é"]), "kind")
    aside.keep_all(
        [Aside(point("n"), "has no time", "ms", np.array([None, 7], object), np.array([2**60, 1]))]
    )
    lines = [json.loads(line) for line in path.read_text("ascii").splitlines()]
    assert [line.pop("time")[-1] for line in lines] == ["Z"] * 3
    assert lines[0] == {
        "channel": "rig",
        "signal": "x",
        "point": "p-x",
        "reason": "no \x1b[31m such",
        "unit": "ns",
        "samples": [[T0, 1.5], [T0 + 1, "NaN"], [T0 + 2, "INF"]],
    }
    assert lines[1]["samples"] == [[T0, "a\nb"], [T0 + 1, "é"]]
    assert (lines[2]["unit"], lines[2]["samples"]) == ("ms", [[None, 2**60], [7, 1]])
    assert "\x1b" not in path.read_text()
    assert (aside.count, aside.unkept) == (7, 0)
    assert [(entry.signal, entry.reason, len(entry.samples)) for entry in entries(path)] == [
        ("x", "no \x1b[31m such", 3),
        ("note", "kind", 2),
        ("n", "has no time", 2),
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_to_keep_makes_no_file(path):
    aside = SetAside(path)
    aside.keep_all([])
    aside.keep(table("x", [1.0], [False]), "none")
    assert not path.exists()
    assert list(entries(path)) == []


def test_long_ones_are_told_in_many_lines(path):
    SetAside(path).keep(table("x", np.arange(2500) / 8), "long")
    SetAside(path).keep(table("note", ["y" * 50_000] * 3), "long")
    found = list(entries(path))
    assert [len(entry.samples) for entry in found] == [1000, 1000, 500, 2, 1]
    assert [pair for entry in found[:3] for pair in entry.samples] == [[T0 + n, n / 8] for n in range(2500)]


def test_beyond_its_limit_it_counts(path, caplog):
    aside = SetAside(path, limit_bytes=2000)
    for _ in range(50):
        aside.keep(table("x", [1.0, 2.0]), "full")
    assert path.stat().st_size <= 2000
    kept = sum(len(entry.samples) for entry in entries(path))
    assert kept > 10
    assert (aside.count, aside.unkept) == (100, 100 - kept)
    assert len(caplog.records) == 1
    again = SetAside(path, limit_bytes=2000)
    again.keep(table("x", [1.0, 2.0]), "full")
    assert path.stat().st_size <= 2000


def test_a_torn_line_and_lines_of_others_are_left_out(path):
    SetAside(path).keep(table("x", [1.0]), "first")
    with path.open("ab") as file:
        file.write(b'[1]\n{"time": 3}\n\xff\n' + b"[" * 100_000 + b"\n" + b'{"time": "torn')
    SetAside(path).keep(table("x", [2.0]), "second")
    assert [entry.reason for entry in entries(path)] == ["first", "second"]
    with path.open("ab") as file:
        file.write(b'{"time": "torn')
    assert [entry.reason for entry in entries(path)] == ["first", "second"]


def test_what_cannot_be_kept_is_an_error(path):
    path.mkdir()
    with pytest.raises(HostError, match="Is a directory"):
        SetAside(path).keep(table("x", [1.0]), "why")
    with pytest.raises(HostError):
        list(entries(path))


def test_it_is_not_written_through_a_link(path, tmp_path):
    os.symlink(tmp_path / "elsewhere", path)
    with pytest.raises(HostError):
        SetAside(path).keep(table("x", [1.0]), "why")
    assert not (tmp_path / "elsewhere").exists()
