"""What was sent is compared with what is there, sample by sample, as the server keeps them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from haystack_folio import History
from haystack_kinds import NA, Num
from haystack_server import HaystackServer
from haystack_server import point as record
from haystack_tables import T0, added, client_of, names, point, table, tiers_of

from speeddata.haystack import verifying
from speeddata.haystack.points import SECOND_NS, Cells, Table
from speeddata.haystack.verifying import Verified, Verifier

S = SECOND_NS


@contextmanager
def sent(*tables, **options):
    """A server that *tables* were written to, and a verifier."""
    with HaystackServer() as server, client_of(server) as client:
        ids = {cells.point.id: cells.point for each in tables for cells in each.cells}
        for each in ids.values():
            added(server, [each.id], kind=each.kind, tz=each.zone)
        tiers = tiers_of(client, not_finite=options.get("not_finite", "na"))
        for each in tables:
            assert tiers.write((each,)) is None
        yield server, Verifier(client, **options)


def of(values, kind="Number", zone="UTC", times=None, **more):
    array = np.array(values, object if kind == "Str" else None)
    times = T0 + np.arange(len(array), dtype=np.int64) * S if times is None else times
    return Table(zone, times, (Cells(point("p", kind=kind, zone=zone, **more), array),))


def checked(verifier, *tables):
    verifier.check(tables)
    return verifier.finish()


@pytest.mark.parametrize(
    "tables",
    [
        of([0.1, 1 / 3, -1e-30, 16777217.0, 1e9 + 0.5, 1e300, 0.0]),
        of([2**40, -(2**53), 0, 1]),
        of([1.5, np.nan, np.inf, -np.inf]),
        of([True, False, True], "Bool"),
        of(["", "a $b", "é 日本"], "Str"),
        of([1.0, 2.0, 3.0], zone="New_York"),
        # the hour that comes twice
        of([0.5, 1.5, 2.5, 3.5], zone="New_York", times=1_793_509_200 * S + np.arange(4) * 1800 * S),
        of([1.0, 2.0, 3.0], times=T0 + np.arange(3) * 1_000_000),
    ],
)
def test_what_is_there_as_it_was_sent_is_well(tables):
    with sent(tables) as (_, verifier):
        (found,) = checked(verifier, tables)
        assert found == Verified(tables.cells[0].point, expected=len(tables.times_ns))
        assert found.well


def test_what_was_kept_as_it_is_is_compared_so():
    whole = of([1.5, np.nan, np.inf, -np.inf])
    with sent(whole, not_finite="keep") as (_, verifier):
        assert checked(verifier, whole)[0].well
    with sent(whole) as (server, _), client_of(server) as client:  # NA there, asked for NaN
        assert checked(Verifier(client, not_finite="keep"), whole)[0].different == 3


def test_what_is_missing_and_what_is_different_is_counted_and_the_first_told():
    whole = table(names(2), 10)
    with sent(whole) as (server, verifier):
        history = server.folio.histories["p1"]
        broken = [
            (ns, 99.0 if ns == T0 + 7 * S else value) for ns, value in history.items() if ns != T0 + 5 * S
        ]
        server.folio.histories["p1"] = History()
        server.folio.histories["p1"].merge(broken, 10**6)
        well, wrong = checked(verifier, whole)
        assert well.well
        assert (wrong.expected, wrong.missing, wrong.different) == (10, 1, 1)
        assert wrong.first_ns == T0 + 5 * S
        assert not wrong.well


@pytest.mark.parametrize("rows", [1, 7, 100])
@pytest.mark.parametrize("chunk", [1, 10, 10_000])
def test_it_does_not_matter_how_it_is_cut(monkeypatch, rows, chunk):
    monkeypatch.setattr(verifying, "_CHUNK", chunk)
    whole = table(names(3), 100)
    with sent(whole) as (server, verifier):
        for first in range(0, 100, rows):
            verifier.check([whole.part(first, first + rows)])
        found = verifier.finish()
        assert [(each.point.id, each.expected, each.well) for each in found] == [
            (id, 100, True) for id in names(3)
        ]
        if chunk == 10_000:
            assert server.count("hisRead") == 3


def test_a_sample_that_a_later_one_has_taken_the_place_of_is_not_asked_for(monkeypatch):
    for chunk in (1, 10_000):
        monkeypatch.setattr(verifying, "_CHUNK", chunk)
        before, after = of([1.0, 2.0]), of([3.0, 4.0], times=T0 + np.array([1, 2]) * S)
        with sent(before, after) as (_, verifier):
            (found,) = checked(verifier, before, after)
            assert (found.expected, found.well) == (3, True)


def test_a_server_that_keeps_so_many_lacks_the_others():
    with HaystackServer(max_items=4) as server, client_of(server) as client:
        server.add(record("p0", hisTsPrecision=Num(1, "ms")))
        assert tiers_of(client).write((table(["p0"], 10),)) is None
        (found,) = checked(Verifier(client), table(["p0"], 10))
        assert (found.expected, found.missing, found.first_ns) == (10, 6, T0)


def test_of_a_part_the_first_of_what_is_written_on_change_may_not_be_there():
    whole = of([1.0, 2.0], times=T0 + np.array([0, 5]) * S)
    changing = Table("UTC", whole.times_ns, (replace_point(whole.cells[0], on_change=True),))
    with sent(of([2.0], times=T0 + np.array([5]) * S)) as (server, _), client_of(server) as client:
        for is_whole, missing in ((True, 1), (False, 0)):
            (found,) = checked(Verifier(client, whole=is_whole), changing)
            assert (found.expected, found.missing) == (1 + is_whole, missing)


def replace_point(cells, **more):
    return Cells(replace(cells.point, **more), cells.values, cells.present)


@pytest.mark.parametrize(
    ("kind", "values", "there"),
    [
        ("Number", [1.0], True),
        ("Number", [1e300], 2.0),
        ("Number", [10**30], 2.0),
        ("Number", [1.0], "1"),
        ("Number", [1.0], NA),
        ("Bool", [True], 1.0),
        ("Str", ["1"], 1.0),
        ("Str", ["x"], NA),
    ],
)
def test_values_of_other_kinds_are_different_and_no_error(kind, values, there):
    with HaystackServer() as server, client_of(server) as client:
        server.add(record("p", kind=kind))
        server.folio.histories["p"] = History()
        server.folio.histories["p"].merge([(T0, there)], 100)
        (found,) = checked(Verifier(client), of(values, kind))
        assert (found.expected, found.different) == (1, 1)


def test_nothing_there_is_nothing_wrong():
    with HaystackServer() as server, client_of(server) as client:
        assert Verifier(client).finish() == []
