"""A destination sent to until it has everything: opened again after a failure, with its secret read anew."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from speeddata.errors import Interrupted, PeerError, SpeedDataError
from speeddata.interrupts import Stop
from speeddata.subscription.customers import State
from speeddata.subscription.destinations import Destination
from speeddata.subscription.engine import Denied, Message, Outlet, Unreachable

_FIRST_S, _LONGEST_S = 0.5, 60.0  # between two tries
_DENIED_S = 300.0  # the same where we are not let in
_LOOK_S = 0.5  # between two looks for another connection string, which is taken up at once

log = logging.getLogger("speeddata")


class Stopped(Exception):
    """Asked to stop before all was sent."""


class Line:
    """Sends, whatever happens to the destination; a context manager.

    Args:
        destination: reads the connection string.
        open_outlet: opens it.
        stop: ends the trying.
        retry_s: how long to try; None: for ever.
        tell: hears of each change of state, and of the error behind it.
    """

    def __init__(
        self,
        destination: Callable[[], Destination],
        open_outlet: Callable[[Destination], Outlet],
        stop: Stop,
        *,
        retry_s: float | None,
        tell: Callable[[State, str | None], None],
    ) -> None:
        self._destination, self._open, self._stop = destination, open_outlet, stop
        self._retry_s, self._tell = retry_s, tell
        self._outlet: Outlet | None = None
        self._opened: Destination | None = None
        self._looked = 0.0
        self._down_since: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def send(self, messages: Sequence[Message]) -> None:
        """Send *messages*; when this returns, the destination has them all.

        Raises:
            Stopped: before that.
            TooLarge: one can never be taken; those before it were.
            Unreachable, Denied: for longer than it was to be tried.
            UsageError: the connection string is none.
        """
        tries = 0
        while True:
            try:
                self._connect().send(messages)
            except (Unreachable, Denied) as exc:
                self._close()
                tries += 1
                self._wait(exc, tries)
            else:
                self._tell_up()
                return

    def _connect(self) -> Outlet:
        """The destination that is wanted now, open."""
        now = time.monotonic()
        if self._outlet is not None and now - self._looked >= _LOOK_S:
            self._looked = now
            if self._has_changed():
                self._close()
        if self._outlet is None:
            self._opened, self._looked = self._destination(), now
            self._outlet = self._open(self._opened).__enter__()
        return self._outlet

    def _wait(self, error: PeerError, tries: int) -> None:
        """Wait before the next try, or give up."""
        if self._stop.asked:  # what does not answer is not waited for any more: no news of it
            raise Stopped
        denied = isinstance(error, Denied)
        now = time.monotonic()
        if self._down_since is None:
            self._down_since = now
            log.warning("%s; trying again", error)
        self._tell("denied" if denied else "unreachable", str(error))
        left = float("inf") if self._retry_s is None else self._down_since + self._retry_s - now
        if left <= 0:
            raise error
        longest = _DENIED_S if denied else min(_LONGEST_S, _FIRST_S * 2.0 ** min(tries - 1, 16))
        # full jitter: many that lost the same destination do not come back together
        delay = min(left, longest if denied else random.uniform(0, longest))
        until = now + delay
        while (rest := until - time.monotonic()) > 0 and not self._has_changed():
            if self._stop.wait(min(rest, _LOOK_S)):
                raise Stopped

    def _has_changed(self) -> bool:
        """Whether the connection string is another one now."""
        try:
            return self._destination() != self._opened
        except SpeedDataError:  # half written, or gone for the moment
            return False

    def _tell_up(self) -> None:
        if self._down_since is not None:
            log.warning("connected again, after %.0f s", time.monotonic() - self._down_since)
            self._down_since = None
        self._tell("sending", None)

    def _close(self) -> None:
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            try:
                outlet.__exit__(None, None, None)
            except (PeerError, Interrupted) as exc:
                log.debug("closing: %s", exc)
