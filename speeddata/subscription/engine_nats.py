"""NATS JetStream as a destination: a stream on disk that drops duplicates, and durable consumers."""

from __future__ import annotations

from collections.abc import Sequence

from speeddata.interrupts import Stop
from speeddata.subscription.destinations import Nats
from speeddata.subscription.engine import Closing, Message, TooLarge
from speeddata.subscription.nats_inlet import NatsInlet
from speeddata.subscription.nats_line import ANSWER_S, Line, told
from speeddata.subscription.nats_rows import Rows
from speeddata.subscription.nats_stream import headers, ready, size

__all__ = ["NatsInlet", "NatsOutlet"]


class NatsOutlet(Closing):
    """The producing end: each message under the destination's subject for its topic and key.

    Args:
        destination: its stream is made where it is missing, unless it says otherwise.
        stop: ends waiting for a server that does not answer.

    Raises:
        UsageError: the library is not installed.
        Unreachable, Denied: as `send`.
        PeerError: the stream is missing and not to be made, or takes no such subjects.
    """

    def __init__(self, destination: Nats, *, customer: str = "", stop: Stop | None = None) -> None:
        self._destination, self._stop = destination, stop or Stop()
        self._line: Line | None = None
        self._rows: Rows | None = None
        self._most_bytes = 0
        self._opened()

    def close(self) -> None:
        """Leave the server."""
        if self._line is not None:
            self._line.close()
            self._line = self._rows = None

    def send(self, messages: Sequence[Message]) -> list[str]:
        """As `Outlet.send`; the server drops what it got with the same id within its window.

        Raises:
            PeerError: the stream is gone and not to be made again.
        """
        sequences: list[str] = []
        with told(self._destination, self.close):
            line, rows = self._opened()
            sizes = (size(message, headers(message, self._destination)) for message in messages)
            fits = next((at for at, bytes_ in enumerate(sizes) if bytes_ > self._most_bytes), len(messages))
            line.run(rows.publish(messages[:fits], sequences, ANSWER_S), ANSWER_S * (fits + 1))
        if fits < len(messages):
            raise TooLarge(
                f"a message of {len(messages[fits].body)} bytes",
                id=messages[fits].id,
                where=self._destination.redacted,
                mend=f"the server takes {self._most_bytes} bytes at most, headers and all",
            )
        return sequences

    def _opened(self) -> tuple[Line, Rows]:
        if self._line is None or self._rows is None or self._line.closed:
            self.close()
            with told(self._destination, self.close):
                self._line = line = Line(self._destination, self._stop)
                most = line.run(ready(line.jetstream, self._destination), 3 * ANSWER_S)
                self._most_bytes = min(limit for limit in (line.max_payload, most) if limit > 0)
                self._rows = Rows(line, self._destination, self._most_bytes)
        return self._line, self._rows
