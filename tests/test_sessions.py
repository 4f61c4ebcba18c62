"""Names, sessions and losses, by literal announcements and a clock in the test's hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from speeddata.wire.announcement import Announcement, encode
from speeddata.wire.sessions import (
    HOLD_ADDRESS_BYTES,
    HOLD_NS,
    SILENCE_NS,
    Event,
    Roster,
    split,
)

HERE, THERE = ("127.0.0.1", 5000), ("127.0.0.1", 6000)
SECOND = 1_000_000_000


def said(name="rig", session="one", sent=0, state="live"):
    return Announcement("source", name, session, "{}", {"sent": str(sent), "state": state})


def offsets(*sizes):
    return np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)


def test_loss_is_what_was_sent_less_what_came_since_the_first_announcement():
    roster = Roster()
    event, session = roster.announce(said(sent=1000), HERE, 0)  # a relay that starts in mid-stream
    assert event is Event.BEGUN
    session.arrived(90, SECOND)
    roster.announce(said(sent=1100), HERE, SECOND)
    assert session.lost == 10
    session.arrived(10, SECOND)  # they were only late
    roster.announce(said(sent=1100), HERE, SECOND)
    assert session.lost == 0


def test_a_session_ends_once_however_often_it_says_goodbye():
    roster = Roster()
    roster.announce(said(), HERE, 0)
    events = [roster.announce(said(sent=5, state="end"), HERE, 1)[0] for _ in range(3)]
    assert events == [Event.ENDED, Event.STALE, Event.STALE]
    assert roster.speaking(HERE) is None


def test_another_address_is_refused_the_name_until_the_holder_is_silent():
    roster = Roster()
    roster.announce(said(), HERE, 0)
    assert roster.announce(said(session="two"), THERE, SECOND)[0] is Event.REFUSED
    assert roster.announce(said(session="two"), THERE, SILENCE_NS)[0] is Event.REFUSED
    assert roster.announce(said(session="two"), THERE, SILENCE_NS + 1)[0] is Event.BEGUN
    assert roster.announce(said(session="one"), HERE, SILENCE_NS + 2)[0] is Event.STALE


def test_names_are_compared_without_case():
    roster = Roster()
    roster.announce(said("Rig"), HERE, 0)
    assert roster.announce(said("rIG", "two"), THERE, 1)[0] is Event.REFUSED


def test_a_new_session_from_the_same_address_takes_over_at_once():
    roster = Roster()
    _, old = roster.announce(said(session="one"), HERE, 0)
    event, new = roster.announce(said(session="two"), HERE, 1)
    assert event is Event.BEGUN
    assert old.ended
    assert roster.speaking(HERE) is new


def test_a_killed_source_that_restarts_loses_nothing_of_what_it_sends_meanwhile():
    roster = Roster()
    roster.announce(said(session="one"), HERE, 0)
    now = SECOND
    roster.announce(said(session="two"), THERE, now)
    held = 0
    while (event := roster.announce(said(session="two", sent=held), THERE, now)[0]) is Event.REFUSED:
        roster.hold(THERE, b"abc", offsets(3), now)
        roster.expire(now)
        held += 1
        now += SECOND
    assert event is Event.BEGUN
    assert sum(len(each.offsets) - 1 for each in roster.release(THERE)) == held
    assert roster.speaking(THERE).lost == 0


def test_datums_wait_for_the_announcement_of_their_address_then_are_given_up_and_counted():
    roster = Roster()
    roster.hold(HERE, b"ab", offsets(1, 1), 0)
    assert roster.expire(HOLD_NS) == 0
    assert roster.expire(HOLD_NS + 1) == 2
    assert roster.unclaimed == 2
    assert list(roster.release(HERE)) == []


def test_one_address_cannot_fill_the_memory():
    roster = Roster()
    half = b"x" * (HOLD_ADDRESS_BYTES // 2 - 100)
    for _ in range(3):
        roster.hold(HERE, half, offsets(len(half)), 0)
    assert roster.unclaimed == 1
    assert len(list(roster.release(HERE))) == 2


def test_of_an_arrival_that_does_not_fit_the_beginning_is_held_and_the_rest_counted():
    roster = Roster()
    many = HOLD_ADDRESS_BYTES // 1000
    roster.hold(HERE, b"x" * 1000 * many, offsets(*[1000] * many), 0)
    (held,) = roster.release(HERE)
    kept = len(held.offsets) - 1
    assert 0.9 * many < kept < many
    assert kept + roster.unclaimed == many
    assert len(held.data) == held.offsets[-1] == 1000 * kept
    assert len(held.data) + held.offsets.nbytes <= HOLD_ADDRESS_BYTES


def test_a_flood_of_addresses_and_names_is_bounded():
    roster = Roster(channel_limit=4)
    events = [
        roster.announce(said(f"n{number}", f"s{number}"), ("127.0.0.1", 1 + number), number)[0]
        for number in range(5000)
    ]
    assert events.count(Event.BEGUN) == 4
    assert len(roster.sessions()) == 4
    for number in range(5000):
        roster.hold(("127.0.0.1", 1 + number), b"x", offsets(1), 0)
    assert roster.unclaimed > 0


def test_a_channel_that_ended_makes_room_for_another():
    roster = Roster(channel_limit=1)
    roster.announce(said("old", "one"), HERE, 0)
    assert roster.announce(said("new", "two"), THERE, 1)[0] is Event.REFUSED
    roster.announce(said("old", "one", state="end"), HERE, 2)
    assert roster.announce(said("new", "two"), THERE, 3)[0] is Event.BEGUN


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_an_announcement_is_found_wherever_it_stands_in_a_train(place):
    datagrams = [b"one", b"Obj\x01 looks like one", b"three"]
    hello = encode(said())
    datagrams.insert(place, hello)
    pieces = list(split(b"".join(datagrams), offsets(*map(len, datagrams))))
    found = []
    for piece in pieces:
        if isinstance(piece, Announcement):
            found.append(hello)
        else:
            data, bounds = piece
            found += [data[s:e] for s, e in itertools.pairwise(bounds)]
    assert found == datagrams


def test_the_magic_across_two_datums_is_no_announcement():
    data = b"xxObj\x01yy"
    pieces = list(split(data, offsets(4, 5)))
    assert [bytes(piece[0]) for piece in pieces] == [data]


def test_a_datum_full_of_magic_is_not_looked_through():
    class Searched(bytes):
        searches = 0

        def find(self, *args):
            Searched.searches += 1
            return super().find(*args)

    datum, announcement = b"Obj\x01" * 15_000, encode(said())
    data = Searched(datum * 3 + announcement + b"yy" + datum)
    sizes = [len(datum)] * 3 + [len(announcement), 2, len(datum)]
    first, second, third = split(data, offsets(*sizes))
    assert (first[0], second, third[0]) == (datum * 3, said(), b"yy" + datum)
    assert Searched.searches <= len(sizes) + 1


def test_a_count_that_comes_by_another_socket_than_its_datums_still_finds_what_is_lost():
    roster = Roster()
    _, session = roster.announce(said(sent=1000), HERE, 0)
    session.arrived(500, 0)  # held until now; which of them were sent before the announcement is not known
    session.settle()
    session.expect(1020)  # made while 20 were under way: they do not count as lost
    roster.announce(said(sent=1020), HERE, SECOND)
    assert session.lost == 0
    session.arrived(20, SECOND)
    session.settle()
    session.expect(1020)
    session.arrived(473, SECOND)
    session.settle()
    session.arrived(10, SECOND)  # sent after the announcement, and here before it
    session.expect(1500)
    roster.announce(said(sent=1500), HERE, 2 * SECOND)
    roster.announce(said(sent=1510), HERE, 3 * SECOND)
    assert session.lost == 7
