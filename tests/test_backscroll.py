"""Looking up the recording: the newest wish first, and no answer twice."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from speeddata.chart.envelope import envelope
from speeddata.chart.pages import Ref
from speeddata.chart.readings import Statistics
from speeddata.errors import DataError
from speeddata.stripchart.backscroll import Backscroll

WAVE = Ref("rig", "wave")


class Slow:
    """An archive that answers when it is let."""

    def __init__(self, let: bool = True):
        self.let = threading.Event()
        self.begun = threading.Event()
        self.asked, self.stopped = [], []
        if let:
            self.let.set()

    def covers(self, channel):
        return None if channel == "gone" else (0, 1000)

    def envelope(self, channel, signal, begin, end, columns, stop):
        self.asked.append((begin, end, columns))
        self.begun.set()
        while not self.let.wait(0.005):
            if stop.asked:
                self.stopped.append((begin, end))
                break
        if signal == "bad":
            raise DataError("damaged")
        x = np.arange(begin, end, 10)
        return envelope(x, x.astype(float), begin, end, columns)

    def statistics(self, channel, signal, begin, end, stop):
        self.asked.append((begin, end))
        self.begun.set()
        while not self.let.wait(0.005):
            if stop.asked:
                self.stopped.append((begin, end))
                break
        return Statistics(begin, begin, begin, 1), end

    def states(self, *args):
        return []

    def sample(self, channel, x):
        return None


@pytest.fixture
def opened():
    made = []

    def open_(archive):
        made.append(Backscroll(lambda channel: (archive, channel), lambda: None))
        return made[-1]

    yield open_
    for each in made:
        each.close()


def test_an_answer_comes_later_and_reaches_beside_the_window(opened, wait_for):
    back = opened(archive := Slow())
    assert back.envelope(WAVE, 400, 600, 20) is None
    back.ask()
    wait_for(lambda: back.envelope(WAVE, 400, 600, 20))
    found = back.envelope(WAVE, 450, 650, 20)
    assert found.low.tolist() == list(range(450, 650, 10))
    assert archive.asked == [(300, 700, 40)]


def test_a_newer_wish_replaces_one_that_is_under_way(opened, wait_for):
    back = opened(archive := Slow(let=False))
    back.envelope(WAVE, 400, 600, 20)
    back.ask()
    archive.begun.wait(10)
    back.begin("pictures")
    back.envelope(WAVE, 4000, 6000, 20)
    back.ask()
    wait_for(lambda: archive.stopped == [(300, 700)])
    archive.let.set()
    wait_for(lambda: back.envelope(WAVE, 4000, 6000, 20))


def test_the_same_wish_again_is_not_asked_twice(opened, wait_for):
    back = opened(archive := Slow(let=False))
    for _ in range(5):
        back.envelope(WAVE, 400, 600, 20)
        back.ask()
        archive.begun.wait(10)
    assert back.waiting
    archive.let.set()
    wait_for(lambda: back.envelope(WAVE, 400, 600, 20))
    back.ask()  # what was wished while waiting
    back.envelope(WAVE, 400, 600, 20)
    back.ask()
    assert not back.waiting
    assert len(archive.asked) == 1


def test_what_is_drawn_again_replaces_its_own_wishes_only(opened, wait_for):
    back = opened(archive := Slow(let=False))
    back.statistics(WAVE, 0, 10)
    back.ask()
    archive.begun.wait(10)
    for _ in range(3):  # frames in which there is nothing to wish, or something else
        back.begin("pictures")
        back.ask()
        back.envelope(WAVE, 400, 600, 20)
        back.ask()
        back.begin("numbers")  # which are made a little later
        back.ask()
    archive.let.set()
    wait_for(lambda: back.envelope(WAVE, 400, 600, 20))
    assert back.statistics(WAVE, 0, 10).statistics.minimum == 0
    assert archive.stopped == []
    assert len(archive.asked) == 2


def test_figures_of_a_window_that_goes_on_are_waited_for_and_of_another_are_not(opened, wait_for):
    back = opened(archive := Slow(let=False))
    for begin in range(5):  # it goes on while the first is looked up
        back.begin("numbers")
        assert back.statistics(WAVE, begin, 1000) is None
        back.ask()
        archive.begun.wait(10)
    archive.let.set()
    wait_for(lambda: back.statistics(WAVE, 0, 1000))
    assert (archive.asked, archive.stopped) == ([(0, 1000)], [])
    archive.let.clear()
    back.statistics(WAVE, 300, 1000)
    back.ask()
    wait_for(lambda: archive.asked[-1] == (300, 1000))
    back.begin("numbers")
    back.statistics(WAVE, 200, 900)
    back.ask()
    wait_for(lambda: archive.stopped == [(300, 1000)])


def test_what_cannot_be_looked_up_stays_unknown_and_others_go_on(opened, wait_for):
    back = opened(Slow())
    back.envelope(Ref("rig", "bad"), 400, 600, 20)
    back.envelope(WAVE, 400, 600, 20)
    back.ask()
    wait_for(lambda: back.envelope(WAVE, 400, 600, 20))
    assert back.envelope(Ref("rig", "bad"), 400, 600, 20) is None


def test_without_a_recording_nothing_is_known_and_nothing_asked():
    back = Backscroll(lambda channel: None, lambda: None)
    assert back.envelope(WAVE, 0, 10, 5) is back.covers("rig") is back.states(WAVE, 0, 1, 1) is None
    back.ask()
    assert not back.waiting
    back.close()


def test_what_was_not_there_is_looked_for_again(opened, wait_for):
    back = opened(Slow())
    back.covers("gone")
    back.ask()
    wait_for(lambda: ("covers", "gone") in back._answers)
    back.forget()
    assert ("covers", "gone") not in back._answers
