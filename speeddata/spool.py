"""A queue between two threads, bounded in bytes: what does not fit is refused, and the caller counts it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Spool(Generic[T]):
    """Items on their way from one producer to one consumer, in order.

    The producer never waits: a full spool says no, at once. `close` is the producer's last word; what was put
    before it can still be taken.

    Args:
        limit_bytes: how much may wait. One item alone always fits, however large: none is refused for ever.
    """

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes < 1:
            raise ValueError(f"a spool of {limit_bytes} bytes holds nothing")
        self.limit_bytes = limit_bytes
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._closed = False
        self._waiting = False  # notifying costs a system call: only when somebody waits, and for so much:
        self._enough = 0
        self._change = threading.Condition(threading.Lock())

    def put(self, item: T, size: int) -> bool:
        """Add *item*, which counts as *size* bytes; False when there is no room or the spool is closed."""
        with self._change:
            if self._closed or (self._items and self._bytes + size > self.limit_bytes):
                return False
            self._items.append((item, size))
            self._bytes += size
            if self._waiting and self._bytes >= self._enough:
                self._change.notify()
            return True

    def get(self, timeout_s: float | None = None) -> T | None:
        """Take the oldest item, waiting for one; None after *timeout_s* seconds, or if nothing more comes."""
        with self._change:
            if not self._items and timeout_s != 0:
                self._wait(timeout_s, 0, lambda: bool(self._items))
            if not self._items:
                return None
            item, size = self._items.popleft()
            self._bytes -= size
            return item

    def gather(self, enough: int, timeout_s: float) -> None:
        """Let items gather until they have *enough* bytes, nothing more comes, or *timeout_s* are over."""
        with self._change:
            self._wait(timeout_s, enough, lambda: self._bytes >= enough)

    def _wait(self, timeout_s: float | None, enough: int, met: Callable[[], bool]) -> None:
        self._waiting, self._enough = True, enough
        try:
            self._change.wait_for(lambda: self._closed or met(), timeout_s)
        finally:
            self._waiting = False

    def close(self) -> None:
        """Say that nothing more will come: the consumer gets what waits, then None."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Take items until the spool is closed and empty."""
        while not self.drained:
            if (item := self.get()) is not None:
                yield item

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:  # an empty spool is still a spool
        return True

    @property
    def bytes(self) -> int:
        """How many bytes wait."""
        return self._bytes

    @property
    def closed(self) -> bool:
        """Whether the producer has said its last word."""
        return self._closed

    @property
    def drained(self) -> bool:
        """Whether nothing waits and nothing more will come."""
        return self._closed and not self._items
