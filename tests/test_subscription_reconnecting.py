"""A destination that goes and comes: everything sent, and no longer waited than makes sense."""

from __future__ import annotations

import time

import pytest

from speeddata.errors import PeerError, UsageError
from speeddata.interrupts import Stop
from speeddata.subscription import reconnecting
from speeddata.subscription.destinations import Destination
from speeddata.subscription.engine import Denied, Message, TooLarge, Unreachable
from speeddata.subscription.reconnecting import Line, Stopped

LOT = [Message("a", "plant", "rig", b"{}", 1)]
ONE, TWO = Destination.parse("sqlite:/one"), Destination.parse("sqlite:/two")


class Far:
    """A destination that answers as the test says: an exception for each try, then it takes everything."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.taken, self.opened, self.closed = [], [], 0
        self.wanted = ONE
        self.renewed = None  # is wanted as soon as we were denied
        self.told = []

    def destination(self):
        if isinstance(self.wanted, Exception):
            raise self.wanted
        return self.renewed if self.renewed and "denied" in self.told else self.wanted

    def open(self, destination):
        self.opened.append(destination)
        self._answer("open")
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.closed += 1

    def send(self, messages):
        self._answer("send")
        self.taken.append(list(messages))
        return [""]

    def _answer(self, where):
        if self.answers and self.answers[0][0] == where:
            raise self.answers.pop(0)[1]

    def line(self, stop=None, retry_s=None):
        def tell(state, error=None):
            if not self.told or self.told[-1] != state:
                self.told.append(state)

        return Line(self.destination, self.open, stop or Stop(), retry_s=retry_s, tell=tell)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(reconnecting, "_FIRST_S", 0.001)
    monkeypatch.setattr(reconnecting, "_LONGEST_S", 0.01)
    monkeypatch.setattr(reconnecting, "_LOOK_S", 0.01)


def away(what="nobody"):
    return Unreachable(what, where="far")


def test_it_opens_once_and_stays(monkeypatch):
    far = Far()
    with far.line() as line:
        for _ in range(3):
            line.send(LOT)
    assert (far.opened, far.taken, far.closed) == ([ONE], [LOT] * 3, 1)
    assert far.told == ["sending"]


def test_after_any_failure_it_opens_anew_and_sends_all_again():
    far = Far(("open", away()), ("send", away()), ("open", away()), ("send", Denied("no", where="far")))
    far.renewed = TWO
    with far.line() as line:
        line.send(LOT)
    assert far.taken == [LOT]
    assert far.told == ["unreachable", "denied", "sending"]
    assert far.opened[-1] == TWO


def test_it_waits_longer_each_time_up_to_a_bound_and_never_as_others_do(monkeypatch):
    spans = []
    monkeypatch.setattr(reconnecting.random, "uniform", lambda low, high: (spans.append((low, high)), 0)[1])
    monkeypatch.setattr(reconnecting, "_FIRST_S", 0.5)
    monkeypatch.setattr(reconnecting, "_LONGEST_S", 60.0)
    far = Far(*[("open", away())] * 10)
    with far.line() as line:
        line.send(LOT)
    assert spans == [(0, longest) for longest in (0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60)]


def test_it_gives_up_after_the_time_with_what_was_told_last():
    far = Far(*[("open", away(f"no {n}")) for n in range(1000)])
    begun = time.monotonic()
    with far.line(retry_s=0.1) as line, pytest.raises(Unreachable, match="far: no"):
        line.send(LOT)
    assert 0.1 <= time.monotonic() - begun < 5.0
    assert len(far.opened) > 2
    assert far.taken == []


def test_to_be_tried_for_no_time_is_one_try():
    far = Far(("open", away()))
    with far.line(retry_s=0.0) as line, pytest.raises(Unreachable):
        line.send(LOT)
    assert len(far.opened) == 1


def test_the_time_begins_anew_with_each_outage(monkeypatch):
    far = Far(("open", away()))
    with far.line(retry_s=30.0) as line:
        line.send(LOT)
        assert line._down_since is None


@pytest.mark.parametrize("error", [away(), Denied("no", where="far")])
def test_asked_to_stop_it_waits_no_more(monkeypatch, error):
    monkeypatch.setattr(reconnecting.random, "uniform", lambda low, high: 60.0)
    stop = Stop()
    far = Far(("open", error))
    begun = time.monotonic()
    with stop.after(0.05), far.line(stop) as line, pytest.raises(Stopped):
        line.send(LOT)
    assert time.monotonic() - begun < 5.0


def test_asked_to_stop_while_nobody_answers_it_says_nothing_of_trying(caplog):
    stop = Stop()
    far = Far(("send", away("no answer within the time")))
    answer, far._answer = far._answer, lambda where: (stop.ask(), answer(where))
    with far.line(stop) as line, pytest.raises(Stopped):
        line.send(LOT)
    assert (caplog.messages, far.told, far.closed) == ([], [], 1)


@pytest.mark.parametrize("error", [away(), Denied("no", where="far")])
def test_another_connection_string_is_tried_at_once(monkeypatch, error):
    monkeypatch.setattr(reconnecting.random, "uniform", lambda low, high: 60.0)
    far = Far(("open", error))
    looks = []
    line = far.line()

    def destination():
        looks.append(1)
        return ONE if len(looks) < 4 else TWO

    line._destination = destination
    begun = time.monotonic()
    with line:
        line.send(LOT)
    assert time.monotonic() - begun < 5.0
    assert far.opened == [ONE, TWO]


def test_another_connection_string_is_taken_up_while_all_is_well(monkeypatch):
    monkeypatch.setattr(reconnecting, "_LOOK_S", 0.0)
    far = Far()
    with far.line() as line:
        line.send(LOT)
        far.wanted = TWO
        line.send(LOT)
        line.send(LOT)
    assert far.opened == [ONE, TWO]
    assert far.taken == [LOT] * 3


def test_one_that_cannot_be_read_for_the_moment_changes_nothing(monkeypatch):
    monkeypatch.setattr(reconnecting, "_LOOK_S", 0.0)
    far = Far()
    with far.line() as line:
        line.send(LOT)
        far.wanted = UsageError("is no connection string", where="plant")
        line.send(LOT)
    assert far.opened == [ONE]


@pytest.mark.parametrize(
    "error", [TooLarge("too large", id="a"), UsageError("no"), PeerError("never", where="far")]
)
def test_what_trying_does_not_mend_is_told_at_once(error):
    far = Far(("send", error))
    with far.line() as line, pytest.raises(type(error)):
        line.send(LOT)


def test_what_goes_wrong_in_closing_is_no_news():
    far = Far()

    def close(*exc):
        raise away("while closing")

    with far.line() as line:
        line.send(LOT)
        line._outlet = type("Outlet", (), {"__exit__": close})()
