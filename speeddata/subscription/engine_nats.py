"""NATS JetStream as a destination: a stream on disk that drops duplicates, and durable consumers.

One message is in flight at a time: with more, one that is refused (the stream is full, its leader changes)
would come behind its successors when it is sent again.
"""

from __future__ import annotations

from collections.abc import Sequence

from speeddata.interrupts import Stop
from speeddata.subscription.destinations import Nats
from speeddata.subscription.engine import Closing, Message, TooLarge
from speeddata.subscription.nats_inlet import NatsInlet
from speeddata.subscription.nats_line import ANSWER_S, Line, told
from speeddata.subscription.nats_stream import headers, ready, size, subject

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
        self._most_bytes = 0
        self._opened()

    def close(self) -> None:
        """Leave the server."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def send(self, messages: Sequence[Message]) -> list[str]:
        """As `Outlet.send`; the server drops what it got with the same id within its window.

        Raises:
            PeerError: the stream is gone and not to be made again.
        """
        named = [headers(message) for message in messages]
        sequences: list[str] = []
        with told(self._destination, self.close):
            line = self._opened()
            sizes = [size(message, header) for message, header in zip(messages, named, strict=True)]
            fits = next((at for at, bytes_ in enumerate(sizes) if bytes_ > self._most_bytes), len(messages))
            line.run(self._publish(line, messages[:fits], named, sequences), ANSWER_S * (fits + 1))
        if fits < len(messages):
            raise TooLarge(
                f"a message of {len(messages[fits].body)} bytes",
                id=messages[fits].id,
                where=self._destination.redacted,
                mend=f"the server takes {self._most_bytes} bytes at most, headers and all",
            )
        return sequences

    async def _publish(
        self, line: Line, messages: Sequence[Message], named: list[dict[str, str]], sequences: list[str]
    ) -> None:
        for message, header in zip(messages, named, strict=False):
            where = subject(self._destination, message)
            stream = self._destination.stream
            ack = await line.jetstream.publish(where, message.body, ANSWER_S, stream, header)
            sequences.append(str(ack.seq))

    def _opened(self) -> Line:
        if self._line is None or self._line.closed:
            self.close()
            with told(self._destination, self.close):
                self._line = Line(self._destination, self._stop)
                most = self._line.run(ready(self._line.jetstream, self._destination), 3 * ANSWER_S)
                self._most_bytes = min(limit for limit in (self._line.max_payload, most) if limit > 0)
        return self._line
