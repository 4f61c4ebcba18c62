"""What a passing fault broke is tried again, ever more rarely, until it works or the time for it is over."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from speeddata.errors import PeerError
from speeddata.interrupts import Stop

FIRST_S, LONGEST_S = 1.0, 60.0  # between tries, before jitter: doubled each time
AGAIN_S = 600.0  # after which an outage that lasts is told again

T = TypeVar("T")

log = logging.getLogger("speeddata")


class Outage(PeerError):
    """A fault that may pass: no connection, no answer in time, 429 and most of 5xx.

    Attributes:
        sent: whether the request may have reached the server and been carried out.
        after_s: how long the server asks to be left alone; None where it does not say.
    """

    def __init__(
        self, what: str, *, sent: bool, after_s: float | None = None, where: str = "", mend: str = ""
    ) -> None:
        super().__init__(what, where=where, mend=mend)
        self.sent, self.after_s = sent, after_s


class UnknownOutcome(PeerError):
    """The connection was lost over a request that must not be repeated blindly."""


class Patience:
    """Tells of an outage when it begins and when it ends, and every ten minutes while it lasts.

    Args:
        retry_s: passing faults are met by further tries for so long; None: for ever, 0: not at all.
        stop: ends the waiting between two tries, and with it the trying.
    """

    def __init__(self, retry_s: float | None, stop: Stop) -> None:
        self.retry_s, self.stop = retry_s, stop
        self._down_since: float | None = None
        self._where, self._told = "", 0.0

    def through(self, work: Callable[[], T], *, repeat: bool = True) -> T:
        """What *work* returns, done again after each `Outage`.

        Args:
            repeat: whether it does no harm when a request arrives twice.

        Raises:
            Outage: it lasted longer than `retry_s`, or the stop was asked for meanwhile.
            UnknownOutcome: the request may have been carried out, and *repeat* is False.
        """
        tries, since = 0, 0.0
        while True:
            try:
                result = work()
            except Outage as outage:
                if outage.sent and not repeat:
                    what = f"{outage.what}; whether it was done is not known"
                    raise UnknownOutcome(what, where=outage.where) from outage
                tries += 1
                since = since if tries > 1 else time.monotonic()
                self._wait(outage, tries, since)
            else:
                self._tell_end()
                return result

    def _wait(self, outage: Outage, tries: int, since: float) -> None:
        """Wait before the next try, or give up."""
        spent = time.monotonic() - since
        left = float("inf") if self.retry_s is None else self.retry_s - spent
        # Full jitter: many clients of a server that comes back do not come back together.
        delay = min(left, random.uniform(0, min(LONGEST_S, FIRST_S * 2.0 ** min(tries - 1, 16))))
        if outage.after_s is not None:
            delay = outage.after_s
        if left <= 0 or delay > left or self.stop.asked:
            raise _given_up(outage, tries, spent)
        self._tell_begin(outage, left)
        if self.stop.wait(delay):
            raise _given_up(outage, tries, time.monotonic() - since)

    def _tell_begin(self, outage: Outage, left: float) -> None:
        if self._down_since is None:
            self._down_since = time.monotonic()
            until = "until it answers" if self.retry_s is None else f"for {left:.0f} s"
            log.warning("%s: %s; trying again %s", outage.where, outage.what, until)
            self._where, self._told = outage.where, self._down_since
        elif time.monotonic() - self._told >= AGAIN_S:
            self._told = time.monotonic()
            minutes = (self._told - self._down_since) / 60
            log.warning("%s: %s; still trying, after %.0f min", outage.where, outage.what, minutes)

    def _tell_end(self) -> None:
        if self._down_since is not None:
            seconds = time.monotonic() - self._down_since
            self._down_since = None
            log.warning("%s: answers again, after %.0f s", self._where, seconds)


def _given_up(outage: Outage, tries: int, spent_s: float) -> Outage:
    what = outage.what if tries == 1 else f"{outage.what}, after {tries} tries in {spent_s:.0f} s"
    mend = outage.mend
    if outage.after_s:
        mend = mend or f"it asks to be left alone for {outage.after_s:.0f} s"
    return Outage(what, where=outage.where, mend=mend, sent=outage.sent, after_s=outage.after_s)
