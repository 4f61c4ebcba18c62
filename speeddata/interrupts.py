"""SIGINT, SIGTERM and SIGHUP as something to wait on: the first asks for the end, the second insists."""

from __future__ import annotations

import contextlib
import select
import signal as posix_signal
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from types import FrameType

from speeddata.errors import Interrupted

GRACE_S = 10.0  # time for draining and closing after the first signal
_ASKED = b"\0"  # no signal has the number 0, so this mark cannot be taken for one

# The status that a shell gives to a command ended by the signal; a closed terminal counts as SIGTERM.
STATUS: dict[int, int] = {posix_signal.SIGINT: 130, posix_signal.SIGTERM: 143, posix_signal.SIGHUP: 143}

# timeout(1) signals its child and then the group, a closing terminal does the like: one wish, told twice.
ECHO_S = 0.25

Handler = Callable[[int, "FrameType | None"], object] | int | None


class Stop:
    """The wish that the work may end: a flag, and a file descriptor to wait on together with sockets.

    Safe to use from any thread and from a signal handler.

    Attributes:
        fd: readable from the moment of asking on, for ever.
        asked: whether the end was asked for.
        status: 130 or 143 when a signal asked, else 0.
    """

    def __init__(self) -> None:
        self.asked = False
        self.status = 0
        self._far, self._near = socket.socketpair()
        for end in (self._far, self._near):
            end.setblocking(False)
        self.fd = self._near.fileno()
        weakref.finalize(self, _close, self._far, self._near).atexit = False

    def ask(self, status: int = 0) -> None:
        """Ask for the end; asking again changes nothing."""
        # No lock: a signal handler may interrupt this very method. Two bytes in the pipe do no harm.
        if not self.asked:
            self.status = status
            self.asked = True
            self._mark()

    def wait(self, seconds: float | None) -> bool:
        """Wait at most *seconds* (None: as long as it takes) for the wish; return whether it was made.

        A signal whose Python handler belongs to somebody else may end the wait early.
        """
        if self.asked:
            return True
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        if poll.poll(None if seconds is None else max(0, seconds) * 1000):
            self._drain()
        return self.asked

    @contextlib.contextmanager
    def after(self, seconds: float) -> Iterator[None]:
        """Ask when *seconds* have passed, unless the context is left before."""
        timer = threading.Timer(seconds, self.ask)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _drain(self) -> None:
        """Take the signal numbers that CPython wrote to the wake-up descriptor; leave the mark there."""
        with contextlib.suppress(BlockingIOError):
            for number in self._near.recv(4096):
                if number in STATUS:  # its handler runs in the main thread, perhaps only after this
                    self.ask(STATUS[number])
        if self.asked:
            self._mark()

    def _mark(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full of marks is readable too
            self._far.send(_ASKED)

    @property
    def wakeup_fd(self) -> int:
        """The end that `signal.set_wakeup_fd` writes to."""
        return self._far.fileno()


def _close(*ends: socket.socket) -> None:
    for end in ends:
        end.close()


@contextlib.contextmanager
def watch(grace_s: float = GRACE_S) -> Iterator[Stop]:
    """Turn SIGINT, SIGTERM and SIGHUP into a `Stop` for as long as the context lasts.

    The first signal asks. A second one raises `Interrupted` in the main thread at once, and so do *grace_s*
    seconds without an end, again and again until the context is left: an exception can be lost in a
    destructor. SIGHUP stays ignored where it was (nohup). Outside the main thread, which alone may have
    handlers, the Stop knows no signals.

    Raises:
        Interrupted: with status 130 or 143, for work that did not end when asked.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    handlers = _Handlers(stop, grace_s)
    try:
        handlers.install()
        yield stop
    finally:
        handlers.restore()


class _Handlers:
    """What the process does on a signal while a context of `watch` lasts."""

    def __init__(self, stop: Stop, grace_s: float) -> None:
        self.stop, self.grace_s = stop, grace_s
        self.first = 0  # the signal that asked
        self.insisting = 0.0  # from this moment on the same signal counts as a second one
        self.previous: dict[int, Handler] = {}
        self.previous_timer: tuple[float, float] | None = None
        self.previous_wakeup = -1

    def install(self) -> None:
        # Without the descriptor a signal that arrives just before poll() would be noticed only after it.
        self.previous_wakeup = posix_signal.set_wakeup_fd(self.stop.wakeup_fd, warn_on_full_buffer=False)
        for number in STATUS:
            if number == posix_signal.SIGHUP and posix_signal.getsignal(number) is posix_signal.SIG_IGN:
                continue
            self.previous[number] = posix_signal.signal(number, self.on_signal)

    def restore(self) -> None:
        if self.previous_timer is not None:
            posix_signal.setitimer(posix_signal.ITIMER_REAL, *self.previous_timer)
        for number, old in self.previous.items():
            # None: set by a library behind Python's back, and out of reach.
            posix_signal.signal(number, posix_signal.SIG_DFL if old is None else old)
        posix_signal.set_wakeup_fd(self.previous_wakeup)

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        if not self.first:
            self.first, self.insisting = number, time.monotonic() + ECHO_S
            self.stop.ask(STATUS[number])
            self.arm()
        elif number != self.first or time.monotonic() >= self.insisting:
            self.arm()  # the first one's handler may be what is interrupted here
            raise Interrupted(STATUS[number])

    def arm(self) -> None:
        """Insist, after a while, again and again."""
        if posix_signal.SIGALRM not in self.previous:
            self.previous[posix_signal.SIGALRM] = posix_signal.signal(posix_signal.SIGALRM, self.on_overdue)
        if self.previous_timer is None:
            self.previous_timer = posix_signal.setitimer(posix_signal.ITIMER_REAL, self.grace_s, self.grace_s)

    def on_overdue(self, _number: int, _frame: FrameType | None) -> None:
        raise Interrupted(STATUS[self.first])
