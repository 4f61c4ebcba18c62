"""An inlet that is opened anew, with the connection string as it is then, after it was not let in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from speeddata.errors import SpeedDataError, UsageError
from speeddata.subscription.destinations import Destination
from speeddata.subscription.engine import Closing, Denied, Inlet, Received, Unreachable

log = logging.getLogger("speeddata")


class Renewing(Closing):
    """An inlet as any; a key that was renewed heals it.

    Args:
        destination: reads the connection string.
        open_inlet: opens it; told whether it is the first time, which alone has a position.
        same: whether the first is where the second is: messages of another place are another listener's.

    Raises:
        Whatever these do.
    """

    def __init__(
        self,
        destination: Callable[[], Destination],
        open_inlet: Callable[[Destination, bool], Inlet],
        same: Callable[[Destination, Destination], bool],
    ) -> None:
        self._read, self._open, self._same = destination, open_inlet, same
        self._destination = destination()
        self._until_now = False
        self._inlet: Inlet | None = open_inlet(self._destination, True)

    def close(self) -> None:
        """Leave; what was not acknowledged is handed out again."""
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            inlet.__exit__(None, None, None)

    @property
    def changed(self) -> bool:
        """Whether the connection string is another one now."""
        try:
            return self._read() != self._destination
        except SpeedDataError:  # half written, or gone for the moment
            return False

    @property
    def ended(self) -> bool:
        return self._inlet is not None and self._inlet.ended

    def until_now(self) -> None:
        """As `Inlet.until_now`."""
        self._until_now = True
        self._opened().until_now()

    def fetch(self, most: int, wait_s: float) -> list[Received]:
        """As `Inlet.fetch`.

        Raises:
            UsageError: the customer's messages are elsewhere now.
        """
        try:
            return self._opened().fetch(most, wait_s)
        except (Denied, Unreachable):
            self._leave()
            raise

    def acknowledge(self, received: Sequence[Received]) -> None:
        """As `Inlet.acknowledge`."""
        try:
            self._opened().acknowledge(received)
        except (Denied, Unreachable):
            self._leave()
            raise

    def give_back(self, received: Sequence[Received]) -> None:
        """As `Inlet.give_back`."""
        self._opened().give_back(received)

    def _leave(self) -> None:
        """An inlet comes back by itself, but not with another key."""
        if self.changed:
            try:
                self.close()
            except SpeedDataError as exc:
                log.debug("closing: %s", exc)

    def _opened(self) -> Inlet:
        if self._inlet is None:
            destination = self._read()
            if not self._same(destination, self._destination):
                what, mend = "the messages go elsewhere by now", "start it anew"
                raise UsageError(what, where=self._destination.redacted, mend=mend)
            self._destination = destination
            self._inlet = self._open(destination, False)
            if self._until_now:
                self._inlet.until_now()
        return self._inlet
