"""What a destination can do, whatever engine is behind it: take messages for good, and hand them out again.

Delivery is at least once. A message sent again has the same id, by which whoever reads can drop it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from speeddata.errors import PeerError, UsageError

Mode = Literal["exclusive", "shared"]


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent.

    Attributes:
        id: the same whenever the same content is sent; ASCII.
        topic: where to.
        key: messages of one key keep their order: the channel's name.
        body: bytes, in UTF-8.
        time_ns: of the newest sample in it, since 1970.
    """

    id: str
    topic: str
    key: str
    body: bytes
    time_ns: int


@dataclass(frozen=True, slots=True)
class Received:
    """What is handed out.

    Attributes:
        sequence: its place in the engine, as text; `sequence:N` of --position takes it.
        id: as it was sent; empty where somebody else sent it without.
        topic, key, body: as they were sent.
        time_ns: when the engine took it, since 1970.
        token: what the engine needs for the acknowledgement; nobody else's business.
    """

    sequence: str
    id: str
    topic: str
    key: str
    body: bytes
    time_ns: int
    token: object = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a consumer without a checkpoint begins, or one that is told to.

    Attributes:
        kind: `unread` goes on behind what was acknowledged, and begins with all there is where nothing was;
            `since` at a time; `sequence` at a place.
        time_ns: of `since`, since 1970.
        sequence: of `sequence`.
    """

    kind: Literal["beginning", "end", "unread", "since", "sequence"] = "unread"
    time_ns: int = 0
    sequence: str = ""


class Unreachable(PeerError):
    """The destination does not answer, or cannot take anything now (full, no leader): try again later."""


class Denied(PeerError):
    """The destination does not let us in: the secret is wrong, or no longer right."""


class TooLarge(PeerError):
    """The destination takes no message of that size.

    Attributes:
        id: of the message.
    """

    def __init__(self, what: str, *, id: str, where: str = "", mend: str = "") -> None:
        super().__init__(what, where=where, mend=mend)
        self.id = id


class Busy(PeerError):
    """Another consumer has that name, and has it for itself."""


class Unsupported(UsageError):
    """The engine does not have that; it is not rebuilt here."""


class Closing:
    """A context manager that closes itself at its end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what is held; it may be used again, and is opened then."""


class Outlet(Protocol):
    """The producing end; a context manager, for one thread."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def send(self, messages: Sequence[Message]) -> list[str]:
        """Send *messages*; when this returns the engine has them all, in their order.

        Returns:
            The sequence of each, as `Received` has it; empty text where the engine does not tell.

        Raises:
            Unreachable, Denied: some may have been taken: send all again.
            TooLarge: one can never be taken; those before it were.
        """
        ...


class Inlet(Protocol):
    """The consuming end; a context manager, for one thread.

    Attributes:
        ended: whether there are no more: the input is at its end, or all that `until_now` meant is out.
    """

    @property
    def ended(self) -> bool: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def fetch(self, most: int, wait_s: float) -> list[Received]:
        """At most *most* messages, in order; waits for the first at most *wait_s* seconds.

        Raises:
            Unreachable, Denied: nothing was taken; what was handed out before may come again.
        """
        ...

    def until_now(self) -> None:
        """From here on hand out what is there now, and nothing that comes later.

        Raises:
            Unreachable, Denied: as `fetch`.
        """
        ...

    def acknowledge(self, received: Sequence[Received]) -> None:
        """These need not be handed out again, not even after a crash."""
        ...

    def give_back(self, received: Sequence[Received]) -> None:
        """These are to be handed out again, to this consumer or to another."""
        ...
