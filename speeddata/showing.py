"""A demonstration as something to watch: what its receiver gets, taken a frame at a time."""

from __future__ import annotations

import threading
import time
from typing import Self

from speeddata.demonstration import Demonstration
from speeddata.errors import SpeedDataError
from speeddata.inbox import ChannelState, Inbox, News
from speeddata.interrupts import Stop


class Shown:
    """Reads all that a demonstration receives, as a context manager; leaving it asks for the end.

    Args:
        demonstration: already entered.
        stop: the one that ends it.
    """

    def __init__(self, demonstration: Demonstration, stop: Stop) -> None:
        self._demonstration, self._stop = demonstration, stop
        self._inbox = Inbox()
        self._channel = self._inbox.open(demonstration.channel.name)
        self._channel.state = "live"
        self._channel.endpoint = str(demonstration.channel.full)
        self._thread = threading.Thread(target=self._read, name="shown")
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.ask()
        self._thread.join()
        if self._error is not None:
            raise self._error

    @property
    def failure(self) -> SpeedDataError | None:
        """What ended it."""
        return self._error if isinstance(self._error, SpeedDataError) else None

    def take(self) -> list[News]:
        """What came since the last time; never waits."""
        return self._inbox.take()

    def channels(self) -> list[ChannelState]:
        """The channel, as the relay tells of it."""
        told = self._demonstration.channel.status(time.monotonic_ns())
        channel = self._channel
        channel.rate_hz, channel.received = told.rate_hz, told.received
        channel.lost, channel.rejected = told.lost + told.lost_disk, told.rejected
        return self._inbox.states()

    def _read(self) -> None:
        try:
            for batch in self._demonstration:
                self._inbox.begin(self._channel, batch.schema)
                self._inbox.put(self._channel, batch)
        except Exception as exc:  # handed to the main thread, which raises it again
            self._error = exc
