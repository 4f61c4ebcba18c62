"""What left memory, looked up in the recording by a thread of its own: a newer wish replaces older ones."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from speeddata.chart.envelope import Envelope
from speeddata.chart.pages import Ref
from speeddata.chart.readings import Sample, StateRun
from speeddata.chart.shifting import runs_within, shifted
from speeddata.errors import SpeedDataError
from speeddata.interrupts import Stop

_KEPT = 512  # answers; those that were not asked for the longest are forgotten first
_BESIDE = 0.5  # of a window on either side is looked up with it, for scrolling on

X = int | float

log = logging.getLogger("speeddata")


class Archived(Protocol):
    """What is asked of `recording.archive.Archive`."""

    def covers(self, channel: str) -> tuple[X, X] | None: ...

    def envelope(self, channel: str, signal: str, begin: X, end: X, columns: int, stop: Stop) -> Envelope: ...

    def states(
        self, channel: str, signal: str, begin: X, end: X, columns: int, stop: Stop
    ) -> list[StateRun]: ...

    def sample(self, channel: str, x: X) -> Sample | None: ...


class _Wish(NamedTuple):
    key: tuple[Any, ...]
    look_up: Callable[[Stop], Any]
    needs: tuple[X, X] = (0, 0)
    gives: tuple[X, X] = (0, 0)

    def is_met_by(self, other: _Wish) -> bool:
        """Whether the answer to *other* will do."""
        return self.key == other.key and other.gives[0] <= self.needs[0] <= self.needs[1] <= other.gives[1]


class Backscroll:
    """Answers at once with what is known, and remembers what is not for `ask`.

    Args:
        archive: where it is looked up; None: nowhere.
        told: called, from another thread, when there is an answer.
    """

    def __init__(self, archive: Archived | None, told: Callable[[], object]) -> None:
        self._archive, self._told = archive, told
        self._answers: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._wishes: list[_Wish] = []
        self._asked: list[_Wish] = []
        self._busy: _Wish | None = None
        self._stop = Stop()
        self._turn = threading.Condition()
        self._ended = False
        self._thread: threading.Thread | None = None
        self.waiting = False  # for an answer to what was asked for last

    def covers(self, channel: str) -> tuple[X, X] | None:
        """First and last of *channel* in the recording; None while not known, or not there."""
        archive = self._archive
        if archive is None:
            return None
        found: tuple[X, X] | None = self._known("covers", (channel,), lambda _: archive.covers(channel))
        return found

    def envelope(self, ref: Ref, begin: X, end: X, columns: int) -> Envelope | None:
        """As `Archive.envelope`, of what is known so far."""
        archive = self._archive
        if archive is None or columns < 1:
            return None
        dot = (end - begin) // columns if isinstance(begin, int) else (end - begin) / columns
        key = ("envelope", ref, dot)
        known: Envelope | None = self._answers.get(key)
        if known is None or not known.begin <= begin < end <= known.end:
            beside = int(columns * _BESIDE)
            far_begin, far_end = begin - dot * beside, end + dot * beside
            count = columns + 2 * beside

            def look_up(stop: Stop) -> Envelope:
                return archive.envelope(ref.channel, ref.signal, far_begin, far_end, count, stop)

            self._wishes.append(_Wish(key, look_up, (begin, end), (far_begin, far_end)))
        else:
            self._answers.move_to_end(key)
        return None if known is None else shifted(known, begin, end, columns)

    def states(self, ref: Ref, begin: X, end: X, columns: int) -> list[StateRun] | None:
        """As `Archive.states`; None while not known."""
        archive = self._archive
        if archive is None:
            return None
        dot = (end - begin) // columns if isinstance(begin, int) else (end - begin) / columns
        key = ("states", ref, dot)
        known: tuple[X, X, list[StateRun]] | None = self._answers.get(key)
        if known is None or not known[0] <= begin < end <= known[1]:
            beside = int(columns * _BESIDE)
            far_begin, far_end = begin - dot * beside, end + dot * beside
            count = columns + 2 * beside

            def look_up(stop: Stop) -> tuple[X, X, list[StateRun]]:
                runs = archive.states(ref.channel, ref.signal, far_begin, far_end, count, stop)
                return far_begin, far_end, runs

            self._wishes.append(_Wish(key, look_up, (begin, end), (far_begin, far_end)))
        if known is None:
            return None
        return runs_within(known[2], round((begin - known[0]) / dot), columns)

    def sample(self, channel: str, x: X) -> Sample | None:
        """As `Archive.sample`; None while not known."""
        archive = self._archive
        if archive is None:
            return None
        found: Sample | None = self._known("sample", (channel, x), lambda _: archive.sample(channel, x))
        return found

    def forget(self) -> None:
        """The recording has grown, perhaps: what is not there may be by now."""
        with self._turn:
            for key in [key for key, answer in self._answers.items() if answer is None]:
                del self._answers[key]

    def ask(self) -> None:
        """Have looked up what was wished since the last time, in place of what was asked for before."""
        wishes, self._wishes = self._wishes, []
        with self._turn:
            self.waiting = bool(wishes)
            busy = self._busy
            under_way = busy is not None and any(wish.is_met_by(busy) for wish in wishes)
            self._asked = [wish for wish in wishes if not (under_way and busy and wish.is_met_by(busy))]
            if busy is not None and not under_way:
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

    def _known(self, kind: str, key: tuple[Any, ...], look_up: Callable[[Stop], Any]) -> Any:
        full = (kind, *key)
        if full not in self._answers:
            self._wishes.append(_Wish(full, look_up))
            return None
        self._answers.move_to_end(full)
        return self._answers[full]

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
                    self._answers[wish.key] = answer
                    while len(self._answers) > _KEPT:
                        self._answers.popitem(last=False)
                self._told()
