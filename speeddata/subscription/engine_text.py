"""Lines as an engine: messages to standard output, one a line, and from standard input.

Nothing is kept: what left is done with, and what comes in is there once.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Sequence

from speeddata.errors import DataError, HostError
from speeddata.interrupts import Stop
from speeddata.output import STDOUT, Bytes
from speeddata.streams import STDIN
from speeddata.subscription.engine import Closing, Message, Mode, Position, Received, Unsupported

MOST_BYTES = 16 << 20  # of one line

_PIECE_BYTES = 1 << 20


class TextOutlet(Closing):
    """The producing end: a line a message, its body alone. Unbuffered: what was sent has left.

    Args:
        fd: where to.
    """

    def __init__(self, fd: int = STDOUT) -> None:
        self._out = Bytes(fd)
        self._sent = 0

    def send(self, messages: Sequence[Message]) -> list[str]:
        """As `Outlet.send`; a sequence is the number of the line.

        A line end in a body becomes a blank: JSON has them only between its words.

        Raises:
            StdoutClosed: nobody reads any more.
            HostError: the system refused, a full disk for instance.
        """
        lines = [message.body.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n" for message in messages]
        self._out.write(b"".join(lines))
        first = self._sent + 1
        self._sent += len(lines)
        return [str(number) for number in range(first, self._sent + 1)]


class TextInlet(Closing):
    """The consuming end: lines as they come; a sequence is the number of the line, from 1 on.

    Args:
        topic: what the messages are said to be of.
        position: only what is there: `unread` or `beginning`.
        stop: ends waiting.
        fd: where from.

    Attributes:
        ended: whether the input has ended, and all its lines were handed out.

    Raises:
        Unsupported: shared consumers, or another position.
    """

    def __init__(
        self,
        *,
        topic: str,
        mode: Mode = "exclusive",
        position: Position | None = None,
        stop: Stop | None = None,
        fd: int = STDIN,
    ) -> None:
        kind = (position or Position()).kind
        if mode != "exclusive":
            raise Unsupported("lines of standard input have no shared consumers", mend="use NATS or Kafka")
        if kind not in ("unread", "beginning"):
            raise Unsupported(f"lines of standard input have no position '{kind}'", mend="leave it out")
        self._topic, self._stop, self._fd = topic, stop or Stop(), fd
        self._rest = bytearray()  # of the input, that is no whole line yet
        self._searched = 0  # bytes of it that have no line end
        self._closed = False
        self._count = 0
        self._ready: deque[Received] = deque()

    @property
    def ended(self) -> bool:
        return self._closed and not self._ready

    def fetch(self, most: int, wait_s: float) -> list[Received]:
        """As `Inlet.fetch`; empty lines are none.

        Raises:
            HostError: the input cannot be read.
            DataError: a line has no end.
        """
        end = time.monotonic() + wait_s
        while not self._ready and not self._closed:
            left = end - time.monotonic()
            if not self._readable(max(left, 0.0)):
                if left <= 0 or self._stop.asked:
                    break
                continue
            self._read()
        return [self._ready.popleft() for _ in range(min(most, len(self._ready)))]

    def until_now(self) -> None:
        """An input ends where it ends."""

    def acknowledge(self, received: Sequence[Received]) -> None:
        """There is nobody to tell."""

    def give_back(self, received: Sequence[Received]) -> None:
        """As `Inlet.give_back`, for as long as this process lives."""
        self._ready = deque(sorted({*self._ready, *received}, key=lambda one: int(one.sequence)))

    def _readable(self, wait_s: float) -> bool:
        poll = select.poll()
        poll.register(self._stop.fd, select.POLLIN)
        poll.register(self._fd, select.POLLIN)
        ready = any(fd == self._fd for fd, _ in poll.poll(wait_s * 1000))
        return ready and not self._stop.wait(0)

    def _read(self) -> None:
        try:
            piece = os.read(self._fd, _PIECE_BYTES)
        except OSError as exc:
            raise HostError(f"cannot read: {exc.strerror}", where="standard input") from exc
        self._closed = not piece
        self._rest += piece or b"\n"  # the last line may have no end
        while (at := self._rest.find(b"\n", self._searched)) >= 0:
            self._line(bytes(self._rest[:at]).removesuffix(b"\r"))
            del self._rest[: at + 1]
            self._searched = 0
        self._searched = len(self._rest)
        if self._searched > MOST_BYTES:
            where = f"standard input: line {self._count + 1}"
            raise DataError(f"longer than {MOST_BYTES} bytes", where=where)

    def _line(self, body: bytes) -> None:
        self._count += 1
        if body.strip():
            self._ready.append(Received(str(self._count), "", self._topic, "", body, time.time_ns()))
