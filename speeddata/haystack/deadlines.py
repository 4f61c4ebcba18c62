"""When a call takes too long: its server drips or keeps silent, or the end was asked for meanwhile."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from typing import TYPE_CHECKING

from speeddata.interrupts import Stop

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection

STOP_S = 2.0  # for a call under way when the end is asked for
LAST_S = 7.0  # for one that is begun after that: what is live has no other chance

_LOOK_S = 0.1  # between two looks at whether it takes too long


class Watch:
    """Tells when a call takes too long, and breaks its connection; a context manager around it.

    Timeouts of sockets begin anew with every byte that drips, and a signal does not end the waiting in them.

    Attributes:
        why: it takes too long; empty as long as it does not.
    """

    def __init__(self, stop: Stop, stop_s: float) -> None:
        self.why = ""
        self._stop, self._stop_s, self._done = stop, stop_s, threading.Event()
        self._late = stop.asked  # then it is the last word
        self._connection: HTTPConnection | None = None
        self._end_s, self._limit_s = math.inf, math.inf
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def over(self, connection: HTTPConnection, limit_s: float = math.inf) -> None:
        """From now on *connection* has *limit_s*."""
        self._connection, self._limit_s = connection, limit_s
        self._end_s = time.monotonic() + limit_s

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _look(self) -> None:
        asked_s = math.inf
        while not self._done.wait(_LOOK_S):
            now_s = time.monotonic()
            if self._stop.asked:
                asked_s = min(asked_s, now_s)
            if now_s >= self._end_s:
                self._cut(f"no whole answer within {self._limit_s:g} s")
            elif now_s >= asked_s + (LAST_S if self._late else self._stop_s):
                self._cut("no answer in time, once the end was asked for")

    def _cut(self, why: str) -> None:
        self.why = self.why or why
        if self._connection is not None and (sock := self._connection.sock) is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, which is not for two threads


def connect(connection: HTTPConnection, watch: Watch) -> None:
    """Connect, in a thread: neither the look-up of a name nor the greetings of TLS can be broken off."""
    failure: list[BaseException] = []

    def work() -> None:
        try:
            connection.connect()
        except BaseException as exc:
            failure.append(exc)
        if watch.why:  # nobody waits for it any more
            connection.close()

    thread = threading.Thread(target=work, name="connect", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_LOOK_S)
        if watch.why:
            raise TimeoutError
    if failure:
        raise failure[0]
