"""Which form of hisWrite a server takes is found out by what can be read back, never by what it says."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import haystack_ops
import numpy as np
import pytest
from haystack_kinds import NA, Num
from haystack_server import HaystackServer
from haystack_server import point as record
from haystack_tables import T0, added, client_of, expected, names, point, table, tiers_of
from independent_haystack import haystack_py  # noqa: F401

from speeddata.errors import PeerError
from speeddata.haystack import tiers as tiers_room
from speeddata.haystack.client import TooLarge
from speeddata.haystack.delivery import Delivery
from speeddata.haystack.points import SECOND_NS, Cells, Table


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    monkeypatch.setattr(tiers_room, "_LOOKS_S", (0.0, 0.01))


@contextmanager
def trying(count=3, form=None, **modes):
    """A server with points p0, p1 and so on, what is found of it, and tiers that know *form*."""
    found = []
    more = {"eval_all": modes.get("eval_all", False)}
    with HaystackServer(**modes) as server, client_of(server) as client:
        added(server, names(count))
        yield server, found, tiers_of(client, found, form, **more)


@pytest.fixture
def _unknown(monkeypatch):
    """The test server is one of another make."""
    about = haystack_ops.Ops.about

    def of_another_make(self, request):
        grid = about(self, request)
        at = [name for name, _ in grid.columns].index("productName")
        grid.rows[0][at] = "Other"
        return grid

    monkeypatch.setattr(haystack_ops.Ops, "about", of_another_make)


def written(server, count=3, rows=3, first=0):
    return all(server.history(id) == expected(rows, first) for id in names(count))


def test_many_points_in_a_call_are_proven_once_by_reading_one_sample():
    with trying() as (server, found, tiers):
        assert tiers.write((table(names(3)),)) is None
        assert (found, server.count("hisRead"), server.count("hisWrite")) == (["batch"], 2, 1)
        assert tiers.write((table(names(3), first=3),)) is None
        assert (found, server.count("hisRead"), server.count("hisWrite")) == (["batch"], 2, 2)
        assert written(server, rows=6)
        assert tiers.calls == 2


@pytest.mark.parametrize("mode", ["error", "silent"])
def test_a_server_without_it_gets_a_call_for_each_point(mode):
    with trying(batch=mode) as (server, found, tiers):
        assert tiers.write((table(names(3)),)) is None
        assert found == ["single"]
        assert written(server)
        calls = server.count("hisWrite")
        assert tiers.write((table(names(3), first=3),)) is None
        assert server.count("hisWrite") == calls + 3
        assert written(server, rows=6)


@pytest.mark.parametrize("mode", ["error", "silent"])
@pytest.mark.parametrize("bad", ["p0", "p1", "p2"])
def test_nothing_is_lost_there_beside_a_refused_point(mode, bad):
    with trying(batch=mode) as (server, _, tiers):
        server.bad[bad] = "Rec is wrong"
        aside = []
        Delivery(tiers.write, lambda part, why: aside.append(part), where="").send((table(names(3)),))
        for id in names(3):
            assert server.history(id) == ([] if id == bad else expected(3))
        assert [cells.point.id for part in aside for cells in part.cells] == [bad]


def test_a_server_that_turned_away_from_it_is_found_out():
    with trying(batch="error", form="batch") as (server, found, tiers):
        assert tiers.write((table(names(3)),)) is None
        assert (found, written(server)) == (["single"], True)


def test_what_is_remembered_is_not_proven_again():
    for form in ("batch", "single"):
        with trying(form=form) as (server, found, tiers):
            assert tiers.write((table(names(3)),)) is None
            assert (found, server.count("hisRead")) == ([], 0)
            assert server.count("hisWrite") == {"batch": 1, "single": 3}[form]


def test_one_point_whose_text_cannot_be_read_does_not_condemn_the_form(monkeypatch):
    whole = haystack_ops.Ops.his_write

    def his_write(self, request):
        if any("p1" in str(meta) for _, meta in request.columns) or "p1" in str(request.meta):
            raise haystack_ops.Refused("sys::Err", "something is wrong somewhere")
        return whole(self, request)

    monkeypatch.setattr(haystack_ops.Ops, "his_write", his_write)
    with trying(9) as (server, found, tiers):
        aside = []
        Delivery(tiers.write, lambda part, why: aside.append(part), where="").send((table(names(9)),))
        assert found == ["batch"]
        assert [cells.point.id for part in aside for cells in part.cells] == ["p1"]
        assert all(server.history(id) == expected(3) for id in names(9) if id != "p1")


def test_a_point_that_cannot_be_read_is_no_witness():
    with trying() as (server, found, tiers):
        server.folio.records.pop("p0")
        refusal = tiers.write((table(names(3)),))
        assert refusal.point == "p0"
        assert tiers.write((table(["p1", "p2"]),)) is None
        assert found == ["batch"]


def test_a_history_that_is_too_short_to_look_at_takes_no_time_for_ever():
    # the server keeps the newest only, and has newer ones
    with HaystackServer(max_items=5) as server, client_of(server) as client:
        server.add(*(record(id) for id in names(3)))
        found = []
        newer = table(names(3), 10, first=1000)
        assert tiers_of(client).write((newer,)) is None
        writer = tiers_of(client, found, None)
        assert writer.write((table(names(3), 3),)) is None
        reads = server.count("hisRead")
        assert writer.write((table(names(3), 3, first=3),)) is None
        assert (found, server.count("hisRead")) == ([], reads)


@pytest.mark.usefixtures("_unknown")
@pytest.mark.parametrize("mode", ["yes", "silent"])
def test_one_of_another_make_gets_single_calls_where_nothing_can_be_proven(mode):
    with HaystackServer(max_items=5, batch=mode) as server, client_of(server) as client:
        server.add(*(record(id) for id in names(3)))
        assert tiers_of(client, form="single").write((table(names(3), 10, first=1000),)) is None
        found = []
        writer = tiers_of(client, found, None)
        for first in (0, 3):
            server.calls.clear()
            assert writer.write((table(names(3), 3, first=first),)) is None
            singles = [call.ids for call in server.calls if call.op == "hisWrite"][-3:]
            assert singles == [("p0",), ("p1",), ("p2",)]
        assert (found, server.count("hisRead")) == ([], 0)


@pytest.mark.parametrize("newer", [False, True])
def test_a_backlog_goes_in_one_call_a_batch_where_only_the_newest_1000_samples_are_kept(newer):
    """Of 10 points 10,000 samples each, in calls of 50,000; the server may have newer ones, which stay."""
    with HaystackServer(max_items=1000) as server, client_of(server) as client:
        server.add(*(record(id) for id in names(10)))
        if newer:
            assert tiers_of(client).write((table(names(10), 1000, first=20_000),)) is None
        before = server.count("hisWrite")
        writer = tiers_of(client, [], None)
        for first in (0, 5000):
            assert writer.write((table(names(10), 5000, first=first),)) is None
        assert server.count("hisWrite") - before == writer.calls == 2
        kept = expected(1000, first=20_000 if newer else 9000)
        assert all(server.history(id) == kept for id in names(10))


@pytest.mark.parametrize("make", ["_unknown", "_hurried"])
def test_a_server_that_restarts_and_forgets_within_the_proof_is_not_degraded(make, request, monkeypatch):
    request.getfixturevalue(make)
    whole = haystack_ops.Ops.his_write
    with trying(max_items=1000) as (server, found, tiers):

        def forgetting(self, grid):
            answer = whole(self, grid)
            monkeypatch.setattr(haystack_ops.Ops, "his_write", whole)
            server.restart(forget=True)
            return answer

        monkeypatch.setattr(haystack_ops.Ops, "his_write", forgetting)
        assert tiers.write((table(names(3), 5),)) is None
        calls = server.count("hisWrite")
        assert tiers.write((table(names(3), 5, first=5),)) is None
        assert (found, server.count("hisWrite")) == (["batch"] * (make == "_unknown"), calls + 1)


@pytest.mark.usefixtures("_unknown")
def test_the_single_form_is_doubted_after_an_hour(monkeypatch):
    now_s = [1000.0]
    monkeypatch.setattr(tiers_room, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    with trying(batch="silent") as (server, found, tiers):
        assert tiers.write((table(names(3)),)) is None
        server.modes.batch = "yes"  # it was renewed meanwhile
        now_s[0] += 3599
        assert tiers.write((table(names(3), first=3),)) is None
        assert found == ["single"]
        now_s[0] += 1
        calls = server.count("hisWrite")
        assert tiers.write((table(names(3), first=6),)) is None
        assert (found, server.count("hisWrite")) == (["single", "batch"], calls + 1)
        assert written(server, rows=9)


@pytest.mark.usefixtures("_unknown")
def test_what_was_sent_before_proves_nothing():
    with trying(batch="silent") as (server, found, tiers):
        for id in names(3):  # all there but for p1's first
            rows = table([id])
            assert (
                tiers_of(tiers._client, form="single").write((rows if id != "p1" else rows.part(1, 3),))
                is None
            )
        assert tiers.write((table(names(3)),)) is None
        assert (found, written(server)) == ([], True)
        assert tiers.write((table(names(3), first=3),)) is None
        assert (found, written(server, rows=6)) == (["single"], True)


def test_a_server_that_cuts_times_to_seconds_is_proven_too():
    times = T0 + np.arange(4, dtype=np.int64) * SECOND_NS // 4 + 1_000_000
    fine = Table("UTC", times, (Cells(point("p0"), np.arange(4.0)),))
    with trying(1, whole_seconds=True) as (_, found, tiers):
        assert tiers.write((fine,)) is None
        assert found == ["batch"]


@pytest.mark.usefixtures("_unknown")
def test_of_one_that_may_go_row_by_row_what_is_left_of_a_refused_point_is_written_for_sure(monkeypatch):
    whole = haystack_ops.Ops.his_write

    def all_or_nothing(self, request):
        refs = [meta["id"].id for _, meta in request.columns[1:]]
        for bad in ("p3", "p1"):
            if bad in refs:
                raise haystack_ops.Refused("x::Err", f"no such point [@{bad}]")
        return whole(self, request)

    monkeypatch.setattr(haystack_ops.Ops, "his_write", all_or_nothing)
    with trying(5, form="batch") as (server, _, tiers):
        aside = []
        Delivery(tiers.write, lambda part, why: aside.append(part), where="").send((table(names(5)),))
        assert sorted(cells.point.id for part in aside for cells in part.cells) == ["p1", "p3"]
        assert all(server.history(id) == expected(3) for id in ("p0", "p2", "p4"))


def test_no_his_write_at_all_is_an_error_of_one_line():
    with (
        trying(his_write=False) as (_, found, tiers),
        pytest.raises(PeerError, match="takes no history"),
    ):
        tiers.write((table(names(3)),))
    assert found == []


def test_too_large_is_for_who_cut_the_call():
    for form in ("batch", "single", None):
        with trying(max_body=200, form=form) as (_, _, tiers), pytest.raises(TooLarge):
            tiers.write((table(names(3), 200),))


# -- evalAll -------------------------------------------------------------------------------------------------


def test_eval_all_writes_everything_in_one_call():
    values = np.array([1.5, -2.0, np.nan, np.inf, 1e10, 5e-324])
    times = T0 + np.arange(6, dtype=np.int64) * SECOND_NS // 8
    texts = np.array(
        ['a "quoted" $dollar \\$', "two\nlines", "é 日本 \N{GRINNING FACE}", "", "${x}", "\\"], object
    )
    bools = np.array([True, False] * 3)
    present = np.array([True, False, True, True, False, True])
    cells = (
        Cells(point("p0"), values),
        Cells(point("p1"), np.arange(6), present),
        Cells(point("text", kind="Str"), texts),
        Cells(point("on", kind="Bool"), bools),
        Cells(point("p2"), values, np.zeros(6, bool)),
    )
    with trying(eval_all=True) as (server, _, tiers):
        server.add(record("text", kind="Str", hisTsPrecision=Num(1, "ms")))
        server.add(record("on", kind="Bool", hisTsPrecision=Num(1, "ms")))
        assert tiers.write((Table("UTC", times, cells),)) is None
        assert (server.count("evalAll"), server.count("hisWrite")) == (1, 0)
        got = server.history("p0")
        assert [ns for ns, _ in got] == (times // 10**6 * 10**6).tolist()
        assert [value for _, value in got] == [1.5, -2.0, NA, NA, 1e10, 0.0]
        assert [value for _, value in server.history("p1")] == [0.0, 2.0, 3.0, 5.0]
        assert [value for _, value in server.history("text")] == texts.tolist()
        assert [value for _, value in server.history("on")] == bools.tolist()
        assert server.history("p2") == []


def test_eval_all_keeps_the_hour_that_comes_twice_apart():
    autumn = 1_793_509_200 * SECOND_NS  # 2026-11-01T01:00-04:00
    times = autumn + np.arange(4, dtype=np.int64) * 1800 * SECOND_NS
    cells = Cells(point("ny", zone="New_York"), np.arange(4.0))
    with trying(0, eval_all=True) as (server, _, tiers):
        server.add(record("ny", tz="New_York"))
        assert tiers.write((Table("New_York", times, (cells,)),)) is None
        assert server.history("ny") == list(zip(times.tolist(), [0.0, 1.0, 2.0, 3.0], strict=True))


@pytest.mark.parametrize("bad", [["p0"], ["p2"], ["p1", "p3"]])
def test_eval_all_sets_the_refused_points_aside_and_writes_the_others(bad):
    absent = Cells(point("p0"), np.arange(3.0), np.zeros(3, bool))  # has no expression
    whole = table(names(5))
    parts = (Table("UTC", whole.times_ns, (absent, *whole.cells[1:])), table(["p0"], first=3))
    with trying(5, eval_all=True) as (server, _, tiers):
        server.bad |= dict.fromkeys(bad, "Rec is wrong")
        aside = []
        Delivery(tiers.write, lambda part, why: aside.append(part), where="").send(parts)
        assert sorted({cells.point.id for part in aside for cells in part.cells if cells.samples}) == bad
        for id in names(5):
            assert server.history(id) == ([] if id in bad else expected(3, first=3 * (id == "p0")))


# -- a server that others wrote ------------------------------------------------------------------------------


def test_haystack_py_which_forgets_batches_loses_nothing(haystack_py):  # noqa: F811
    tags = {"point": None, "his": None, "kind": "Number", "tz": "UTC"}
    server = haystack_py(*({"id": id, **tags} for id in names(3)))
    with client_of(server) as client:
        found = []
        writer = tiers_of(client, found, None)
        for first in (0, 3):
            assert writer.write((table(names(3), first=first),)) is None
        for id in names(3):
            assert dict(server.history(id)) == dict(expected(6))
        assert found == ["single"]
