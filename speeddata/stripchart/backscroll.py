"""What left memory, looked up in the recording by a thread of its own: a newer wish replaces older ones."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

from speeddata.chart.envelope import Envelope
from speeddata.chart.pages import Ref
from speeddata.chart.readings import Sample, StateRun, Statistics
from speeddata.chart.shifting import runs_within, shifted
from speeddata.errors import SpeedDataError
from speeddata.interrupts import Stop

_KEPT = 512  # answers; those that were not asked for the longest are forgotten first
_BESIDE = 0.5  # of a window on either side is looked up with it, for scrolling on

X = int | float
Purpose = Literal["extents", "pictures", "numbers"]

log = logging.getLogger("speeddata")


class Archived(Protocol):
    """What is asked of `recording.archive.Archive`."""

    def covers(self, channel: str) -> tuple[X, X] | None: ...

    def envelope(self, channel: str, signal: str, begin: X, end: X, columns: int, stop: Stop) -> Envelope: ...

    def statistics(self, channel: str, signal: str, begin: X, end: X, stop: Stop) -> tuple[Statistics, X]: ...

    def states(
        self, channel: str, signal: str, begin: X, end: X, columns: int, stop: Stop
    ) -> list[StateRun]: ...

    def sample(self, channel: str, x: X) -> Sample | None: ...


Find = Callable[[str], tuple[Archived, str] | None]


class Older(NamedTuple):
    """Figures of a signal, from the recording.

    Attributes:
        begin, end: the range that was asked about.
        behind: where what the recording has of it ends: *end*, or less.
        statistics: of [begin, behind).
    """

    begin: X
    end: X
    behind: X
    statistics: Statistics


class _Wish(NamedTuple):
    purpose: Purpose
    key: tuple[Any, ...]
    look_up: Callable[[Stop], Any]
    needs: tuple[X, X] = (0, 0)
    gives: tuple[X, X] = (0, 0)

    def is_met_by(self, other: _Wish) -> bool:
        """Whether the answer to *other* will do, or is worth waiting for."""
        return self.key == other.key and other.gives[0] <= self.needs[0] <= self.needs[1] <= other.gives[1]


class Backscroll:
    """Answers at once with what is known, and remembers what is not for `ask`.

    Args:
        find: the recording in which a channel is looked up, and what it is called there; None: in none.
        told: called, from another thread, when there is something to draw.
    """

    def __init__(self, find: Find, told: Callable[[], object]) -> None:
        self._find, self._told = find, told
        self._answers: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._wishes: dict[Purpose, dict[tuple[Any, ...], _Wish]] = {
            "extents": {},
            "pictures": {},
            "numbers": {},
        }
        self._is_anew = False  # numbers are being made anew, and have wished nothing yet
        self._asked: list[_Wish] = []
        self._busy: _Wish | None = None
        self._stop = Stop()
        self._turn = threading.Condition()
        self._ended = False
        self._thread: threading.Thread | None = None
        self.waiting = False  # for an answer that pictures wait for

    def begin(self, purpose: Purpose) -> None:
        """What was wished for *purpose* is wished no longer: it is made anew.

        Numbers are made a little later, a line at a time: what they wished stands until they wish something.
        """
        with self._turn:
            if purpose == "numbers":
                self._is_anew = True
            else:
                self._wishes[purpose] = {}

    def covers(self, channel: str) -> tuple[X, X] | None:
        """First and last of *channel* in the recording; None while not known, or not there."""
        found: tuple[X, X] | None = self._known(
            "extents", ("covers", channel), lambda archive, name: archive.covers(name)
        )
        return found

    def envelope(self, ref: Ref, begin: X, end: X, columns: int) -> Envelope | None:
        """As `Archive.envelope`, of what is known so far."""
        where = self._find(ref.channel)
        if where is None or columns < 1:
            return None
        archive, channel = where
        dot = (end - begin) // columns if isinstance(begin, int) else (end - begin) / columns
        key = ("envelope", ref, dot)
        known: Envelope | None = self._answers.get(key)
        if known is None or not known.begin <= begin < end <= known.end:
            beside = int(columns * _BESIDE)
            far_begin, far_end = begin - dot * beside, end + dot * beside
            count = columns + 2 * beside

            def look_up(stop: Stop) -> Envelope:
                return archive.envelope(channel, ref.signal, far_begin, far_end, count, stop)

            self._wish(_Wish("pictures", key, look_up, (begin, end), (far_begin, far_end)))
        else:
            self._answers.move_to_end(key)
        return None if known is None else shifted(known, begin, end, columns)

    def statistics(self, ref: Ref, begin: X, end: X) -> Older | None:
        """As `Archive.statistics`; while that is looked up what was found for the range before, or None."""
        where = self._find(ref.channel)
        if where is None:
            return None
        archive, channel = where
        key = ("statistics", ref)
        known: Older | None = self._answers.get(key)
        if known is None or (known.begin, known.behind) != (begin, end):

            def look_up(stop: Stop) -> Older:
                found, behind = archive.statistics(channel, ref.signal, begin, end, stop)
                return Older(begin, end, behind, found)

            # a window that goes on with the data has to wait for what is under way: else nothing ever is done
            self._wish(_Wish("numbers", key, look_up, (begin, end), (begin, end)))
        return known

    def states(self, ref: Ref, begin: X, end: X, columns: int) -> list[StateRun] | None:
        """As `Archive.states`; None while not known."""
        where = self._find(ref.channel)
        if where is None:
            return None
        archive, channel = where
        dot = (end - begin) // columns if isinstance(begin, int) else (end - begin) / columns
        key = ("states", ref, dot)
        known: tuple[X, X, list[StateRun]] | None = self._answers.get(key)
        if known is None or not known[0] <= begin < end <= known[1]:
            beside = int(columns * _BESIDE)
            far_begin, far_end = begin - dot * beside, end + dot * beside
            count = columns + 2 * beside

            def look_up(stop: Stop) -> tuple[X, X, list[StateRun]]:
                runs = archive.states(channel, ref.signal, far_begin, far_end, count, stop)
                return far_begin, far_end, runs

            self._wish(_Wish("pictures", key, look_up, (begin, end), (far_begin, far_end)))
        if known is None:
            return None
        return runs_within(known[2], round((begin - known[0]) / dot), columns)

    def sample(self, channel: str, x: X) -> Sample | None:
        """As `Archive.sample`; None while not known."""
        found: Sample | None = self._known(
            "pictures", ("sample", channel, x), lambda archive, name: archive.sample(name, x)
        )
        return found

    def forget(self) -> None:
        """The recording has grown, perhaps: what is not there may be by now."""
        with self._turn:
            for key in [key for key, answer in self._answers.items() if answer is None]:
                del self._answers[key]

    def ask(self) -> None:
        """Have looked up what is wished, in place of what was asked for before and is wished no longer."""
        with self._turn:
            wishes = [wish for wished in self._wishes.values() for wish in wished.values()]
            self.waiting = bool(self._wishes["pictures"])
            busy = self._busy
            self._asked = [wish for wish in wishes if busy is None or not wish.is_met_by(busy)]
            if busy is not None and len(self._asked) == len(wishes):
                self._stop.ask()
            if wishes and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="backscroll", daemon=True)
                self._thread.start()
            self._turn.notify()

    def close(self) -> None:
        """End the thread."""
        with self._turn:
            self._ended = True
            self._stop.ask()
            self._turn.notify()
        if self._thread is not None:
            self._thread.join()

    def _known(
        self, purpose: Purpose, key: tuple[str, str, *tuple[X, ...]], look_up: Callable[[Archived, str], Any]
    ) -> Any:
        """What is known by *key*: its second part is the channel."""
        if key not in self._answers:
            where = self._find(key[1])
            if where is not None:
                self._wish(_Wish(purpose, key, lambda _: look_up(*where)))
            return None
        self._answers.move_to_end(key)
        return self._answers[key]

    def _wish(self, wish: _Wish) -> None:
        with self._turn:
            if self._is_anew and wish.purpose == "numbers":
                self._wishes["numbers"], self._is_anew = {}, False
            self._wishes[wish.purpose][wish.key] = wish

    def _run(self) -> None:
        while True:
            with self._turn:
                self._busy = None
                self._turn.wait_for(lambda: self._ended or self._asked)
                if self._ended:
                    return
                wish = self._busy = self._asked.pop(0)
                stop = self._stop = Stop()
            try:
                answer = wish.look_up(stop)
            except Exception as exc:  # one answer that cannot be had may not end all others
                if not isinstance(exc, SpeedDataError):
                    log.debug("looking up ended", exc_info=True)
                log.warning("the recording cannot be looked up: %s", exc)
                answer = None
            if not stop.asked:
                with self._turn:
                    self._keep(wish, answer)
                if wish.purpose != "numbers":  # those are looked at again before long
                    self._told()

    def _keep(self, answered: _Wish, answer: Any) -> None:
        self._answers[answered.key] = answer
        while len(self._answers) > _KEPT:
            self._answers.popitem(last=False)
        wished = self._wishes[answered.purpose]
        if answered.key in wished and wished[answered.key].is_met_by(answered):
            del wished[answered.key]
        self.waiting = bool(self._wishes["pictures"])
