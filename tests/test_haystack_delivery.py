"""Whatever a server says to some points: samples of the others arrive, and none is lost without a word."""

from __future__ import annotations

import itertools
from contextlib import contextmanager

import numpy as np
import pytest
from haystack_server import HaystackServer
from haystack_tables import added, client_of, expected, names, point, table, tiers_of
from hypothesis import given
from hypothesis import strategies as st

from speeddata.errors import PeerError
from speeddata.haystack.client import BadRequest, TooLarge
from speeddata.haystack.delivery import Delivery, ids_of, samples_of
from speeddata.haystack.points import Cells, Table
from speeddata.haystack.refusals import Refusal


class Aside:
    def __init__(self):
        self.samples, self.reasons = {}, {}

    def keep(self, part, why):
        for cells in part.cells:
            id = cells.point.id
            present = [True] * len(cells.values) if cells.present is None else cells.present
            kept = [int(t) for t, there in zip(part.times_ns, present, strict=True) if there]
            self.samples.setdefault(id, []).extend(kept)
            self.reasons[id] = why


class Spoken:
    """A server made of *verdict*: what it says to (ids, samples) of a call; it keeps what it takes."""

    def __init__(self, verdict):
        self.verdict, self.calls, self.written = verdict, [], []

    def write(self, call):
        ids = ids_of(call)
        self.calls.append(ids)
        said = self.verdict(ids, samples_of(call))
        if isinstance(said, Exception):
            raise said
        taken = ids if said is None else ids[: ids.index(said.point)] if said.point in ids else []
        for part in call:
            for cells in part.cells:
                if cells.point.id in taken:
                    self.written += [(cells.point.id, time) for time in part.times_ns.tolist()]
        return said


def delivered(verdict, *calls):
    """What a server of *verdict* has, and what is set aside."""
    server, aside = Spoken(verdict), Aside()
    delivery = Delivery(server.write, aside.keep, where="there")
    for call in calls:
        delivery.send(call)
    return server, aside, delivery


@contextmanager
def real(count=3, form="batch", **modes):
    """A delivery to a test server with points p0, p1 and so on."""
    with HaystackServer(**modes) as server, client_of(server) as client:
        added(server, names(count))
        aside = Aside()
        tiers = tiers_of(client, form=form)
        yield server, Delivery(tiers.write, aside.keep, where=client.where), aside


def named(id, kind="folio::HisConfigErr"):
    return Refusal(kind, f"{kind}: no [@{id}]", id)


def nameless():
    return Refusal("sys::Err", "sys::Err: no", None)


def test_one_call_is_enough_where_nothing_is_wrong():
    with real() as (server, delivery, aside):
        delivery.send((table(names(3)),))
        assert server.count("hisWrite") == 1
        assert [server.history(id) for id in names(3)] == [expected(3)] * 3
        assert (delivery.samples, aside.samples) == (9, {})


@pytest.mark.parametrize("most", [10_000, 2_000, 700, 120])
def test_what_is_too_large_is_halved_until_it_fits(most):
    with real(10, max_body=most) as (server, delivery, aside):
        delivery.send((table(names(10), 40), table(names(10), 40, first=40)))
        assert [server.history(id) for id in names(10)] == [expected(80)] * 10
        assert (delivery.samples, aside.samples) == (800, {})
        taken = [call for call in server.calls if call.op == "hisWrite" and call.status == 200]
        assert sum(call.samples for call in taken) == 800, "nothing twice"
        assert all(call.size <= most for call in taken)


def test_a_point_of_which_one_sample_is_too_large_is_set_aside():
    def verdict(ids, samples):
        return TooLarge("no") if "p1" in ids else None

    server, aside, delivery = delivered(verdict, (table(names(3), 2),))
    assert sorted(aside.samples) == ["p1"]
    assert len(aside.samples["p1"]) == 2
    assert "no body as large as one sample" in aside.reasons["p1"]
    assert delivery.samples == len(server.written) == 4


def test_the_one_column_that_makes_a_call_unreadable_is_found_by_halving():
    def verdict(ids, samples):
        return BadRequest("Cannot parse") if "p37" in ids else None

    server, aside, delivery = delivered(verdict, (table(names(100)),))
    assert list(aside.samples) == ["p37"]
    assert delivery.refused == {"p37": "Cannot parse"}
    assert len(server.calls) <= 2 * 7 + 1
    assert len(server.written) == len(set(server.written)) == delivery.samples == 99 * 3


@pytest.mark.parametrize("version", ["4.0.6", "3.1.12"])
@pytest.mark.parametrize("bad", [["p0"], ["p1"], ["p2"], ["p0", "p2"], ["p0", "p1"], ["p0", "p1", "p2"]])
def test_what_stands_left_of_a_refused_point_is_not_sent_again(version, bad):
    with real(version=version) as (server, delivery, aside):
        server.bad |= dict.fromkeys(bad, "Rec is wrong")
        delivery.send((table(names(3)),))
        for id in names(3):
            assert server.history(id) == ([] if id in bad else expected(3))
        assert sorted(aside.samples) == bad
        assert all("Rec is wrong" in why for why in aside.reasons.values())
        assert delivery.samples == 9 - 3 * len(bad)
        calls = [call.ids for call in server.calls if call.op == "hisWrite"]
        for before, after in itertools.pairwise(calls):
            assert after == before[len(before) - len(after) :]
            assert before[len(before) - len(after) - 1] in bad


def test_a_refused_point_is_not_asked_for_again_in_the_run(caplog):
    with real() as (server, delivery, aside):
        server.bad["p1"] = "Rec is wrong"
        delivery.send((table(names(3)),))
        calls = server.count("hisWrite")
        delivery.send((table(names(3), first=3),))
        delivery.send((table(["p1"], first=6),))
        assert server.count("hisWrite") == calls + 1
        assert len(aside.samples["p1"]) == 9
        assert server.history("p0") == expected(6)
        (note,) = [record.getMessage() for record in caplog.records]
        assert "rig.p1 (@p1) is refused and set aside" in note


def test_a_point_named_that_was_not_sent_is_searched_for():
    def verdict(ids, samples):
        return named("other") if "p4" in ids else None

    _, aside, delivery = delivered(verdict, (table(names(9)),))
    assert list(aside.samples) == ["p4"]
    assert delivery.samples == 8 * 3


def test_where_all_are_refused_and_none_is_named_it_is_no_point_that_is_wrong():
    for count in (1, 2, 3, 50, 5000):
        server, aside = Spoken(lambda ids, samples: nameless()), Aside()
        delivery = Delivery(server.write, aside.keep, where="there")
        with pytest.raises(PeerError, match="there: refuses to write: sys::Err: no") as caught:
            delivery.send((table(names(count)),))
        assert caught.value.status == 4
        assert (aside.samples, delivery.samples, delivery.refused) == ({}, 0, {})
        assert len(server.calls) <= 150


def test_nor_where_the_only_one_that_was_not_set_aside_before_is_refused():
    bad = {"p0"}

    def verdict(ids, samples):
        return named("p0") if "p0" in ids else nameless() if "p2" not in ids else None

    server, aside = Spoken(verdict), Aside()
    delivery = Delivery(server.write, aside.keep, where="there")
    delivery.send((table(["p0", "p2"]),))
    assert set(delivery.refused) == bad
    with pytest.raises(PeerError, match="refuses to write"):
        delivery.send((table(["p0", "p1"]),))
    assert set(delivery.refused) == bad


def test_a_user_who_may_not_write_is_told_at_once():
    with real(admin=False) as (server, delivery, aside):
        with pytest.raises(PeerError, match="Missing 'admin' permission") as caught:
            delivery.send((table(names(3)),))
        assert caught.value.status == 4
        assert server.count("hisWrite") == 1
        assert aside.samples == {}


def test_fifty_bad_points_of_five_thousand_take_as_many_calls():
    bad = {f"p{number * 97 + 13}" for number in range(50)}

    def by_name(ids, samples):
        wrong = next((id for id in ids if id in bad), None)
        return None if wrong is None else named(wrong)

    server, aside, delivery = delivered(by_name, (table(names(5000), 1),))
    assert set(aside.samples) == bad
    assert len(server.calls) == 51
    assert len(server.written) == len(set(server.written)) == delivery.samples == 4950


def test_and_some_hundreds_where_they_are_not_named():
    bad = {f"p{number * 97 + 13}" for number in range(50)}
    server, aside, delivery = delivered(
        lambda ids, samples: nameless() if bad & set(ids) else None, (table(names(5000), 1),)
    )
    assert set(aside.samples) == bad
    assert len(server.calls) < 50 * 13 * 2
    assert len(server.written) == len(set(server.written)) == delivery.samples == 4950


def test_rows_without_a_sample_are_not_sent_by_themselves():
    whole = table(["p0", "p1"])
    sparse = Table(
        "UTC",
        whole.times_ns,
        (
            Cells(point("p0"), whole.cells[0].values),
            Cells(point("p1"), whole.cells[1].values, np.zeros(3, bool)),
        ),
    )
    server, _, delivery = delivered(
        lambda ids, n: nameless() if "p0" in ids and len(ids) > 1 else None, (sparse,)
    )
    assert server.calls == [["p0", "p1"], ["p0"]]
    assert delivery.samples == 3


@st.composite
def servers(draw):
    """A server's verdicts on up to 12 points, and how much it takes at a time."""
    ids = names(draw(st.integers(1, 12)))
    kinds = {id: draw(st.sampled_from(["well", "well", "named", "nameless", "400", "413"])) for id in ids}
    most = draw(st.integers(1, 40))
    misnames = draw(st.booleans())

    def verdict(asked, samples):
        if samples > most or any(kinds[id] == "413" for id in asked):
            return TooLarge("no")
        if any(kinds[id] == "400" for id in asked):
            return BadRequest("no")
        wrong = next((id for id in asked if kinds[id] != "well"), None)
        if wrong is None:
            return None
        return named(wrong) if kinds[wrong] == "named" else named("other") if misnames else nameless()

    return ids, kinds, verdict


@given(servers(), st.lists(st.tuples(st.integers(1, 5), st.integers(1, 12)), min_size=1, max_size=4))
def test_samples_written_and_samples_set_aside_are_all_there_were(server, shapes):
    ids, kinds, verdict = server
    sent, first = [], 0
    spoken, aside = Spoken(verdict), Aside()
    delivery = Delivery(spoken.write, aside.keep, where="there")
    for rows, count in shapes:
        call = (table(ids[:count], rows, first),)
        first += rows
        begun = len(spoken.written), sum(map(len, aside.samples.values()))
        try:
            delivery.send(call)
        except PeerError:
            assert all(kinds[id] in ("nameless", "400") for id in ids[:count] if id not in delivery.refused)
            assert len(spoken.written) == begun[0]
            return
        sent += [
            (cells.point.id, time) for part in call for cells in part.cells for time in part.times_ns.tolist()
        ]
        kept = [(id, time) for id, times in aside.samples.items() for time in times]
        assert sorted(spoken.written + kept) == sorted(sent), "each once, here or there"
        assert delivery.samples == len(spoken.written)
        assert all(kinds[id] == "well" for id, _ in spoken.written)
        assert all(kinds[id] != "well" for id in aside.samples)
