"""Messages handed on: to a pipe or to a command, and acknowledged once they have left."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import select
import shutil
import signal as posix_signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from speeddata.errors import StdoutClosed
from speeddata.interrupts import Stop
from speeddata.legible import printable
from speeddata.output import Bytes
from speeddata.subscription.checkpoints import Checkpoint
from speeddata.subscription.dedup import Dedup, Look
from speeddata.subscription.engine import Denied, Inlet, Received, Unreachable
from speeddata.subscription.presenting import Form, items_of, line, shown, with_items

_LOOK_S = 0.5  # for a first message, before what else was asked is looked at again
_FIRST_S, _LONGEST_S = 0.5, 60.0  # between two tries
_DENIED_S = 300.0  # the same where we are not let in

log = logging.getLogger("speeddata")


@dataclass(frozen=True)
class Wish:
    """What is wanted of the messages.

    Attributes:
        form: of what is written.
        most: messages that are taken before they are acknowledged.
        count: end after so many; None: no end.
        follow: wait for more than is there, and for a destination that is away, or does not let us in.
        command: takes each lot on its standard input, in a shell; empty: standard output does.
        escaped: for a terminal, which no message is to steer.
    """

    form: Form = "message"
    most: int = 100
    count: int | None = None
    follow: bool = False
    command: str = ""
    escaped: bool = False


def listen(
    inlet: Inlet,
    wish: Wish,
    stop: Stop,
    *,
    into: Bytes,
    dedup: Dedup | None = None,
    checkpoint: Checkpoint | None = None,
    behind: int = 0,
    changed: Callable[[], bool] = lambda: False,
) -> int:
    """Hand on messages until there are no more, or for as long as it is asked; return how many.

    A message is acknowledged once its lines are written, or the command that took them has ended well. What
    was seen before is acknowledged and not handed on; nor is what has a sequence up to *behind*, unless it is
    newer than the checkpoint.

    Args:
        changed: whether the connection string is another one now, so that a new try is worth while.

    Raises:
        StdoutClosed: nobody reads any more.
        Unreachable, Denied: the engine is away or does not let us in, and no more were waited for.
        Busy: another one has the name; what was not acknowledged comes again.
    """
    if checkpoint is not None:
        checkpoint.save(None)  # whether it can be is told before a message left
    listener = _Listener(inlet, wish, stop, into, dedup, checkpoint, behind, changed)
    try:
        listener.run()
    finally:
        if checkpoint is not None:
            if dedup is not None:
                checkpoint.save(dedup)
            checkpoint.close()
    return listener.handed_on


class _Listener:
    def __init__(
        self,
        inlet: Inlet,
        wish: Wish,
        stop: Stop,
        into: Bytes,
        dedup: Dedup | None,
        checkpoint: Checkpoint | None,
        behind: int,
        changed: Callable[[], bool],
    ) -> None:
        self._behind, self._changed = behind, changed
        self._behind_ns = (checkpoint.time_ns if checkpoint is not None else 0) or float("inf")
        self._inlet, self._wish, self._stop, self._into = inlet, wish, stop, into
        self._dedup, self._checkpoint = dedup, checkpoint
        self._bound = wish.follow
        self._told_empty = False
        self.handed_on = 0

    def run(self) -> None:
        count, tries = self._wish.count, 0
        while not self._stop.asked and (count is None or self.handed_on < count):
            try:
                if not self._lot(
                    self._wish.most if count is None else min(self._wish.most, count - self.handed_on)
                ):
                    return
            except (Unreachable, Denied) as exc:
                if self._stop.asked:  # a server that does not answer is not waited for any more
                    return
                if not (self._wish.follow or (isinstance(exc, Denied) and self._changed())):
                    raise
                tries += 1
                if tries == 1:
                    log.warning("%s; trying again", exc)
                self._wait(_DENIED_S if isinstance(exc, Denied) else _delay(tries))
            else:
                if tries:
                    log.warning("connected again")
                tries = 0

    def _lot(self, most: int) -> bool:
        """Hand on what there is, at most so many messages; return whether to go on."""
        if not self._bound:
            self._inlet.until_now()
            self._bound = True
        received = self._inlet.fetch(most, _LOOK_S)
        if not received:
            return self._more_may_come()
        new = [each for each in received if not self._left_before(each)]
        if not new:
            self._inlet.acknowledge(received)
            return True
        looks = [_looked(self._dedup, each) for each in new]
        fresh = [each for each, _ in looks if each is not None]
        left = not fresh or self._hand_on(fresh)
        if self._dedup is not None:
            for _, look in looks:
                if look is not None:
                    (self._dedup.done if left else self._dedup.undone)(look)
        if not left:
            self._inlet.give_back(received)
            return False
        self.handed_on += len(fresh)
        if self._checkpoint is not None:
            news = {} if self._dedup is None else self._dedup.news([look for _, look in looks if look])
            self._checkpoint.moved(received[-1], self._dedup, news)
        self._inlet.acknowledge(received)
        return True

    def _left_before(self, received: Received) -> bool:
        """By the checkpoint; a stream that was made anew counts from 1 again, but its messages are newer."""
        return (
            self._behind > 0
            and int(received.sequence) <= self._behind
            and received.time_ns <= self._behind_ns
        )

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._changed():
            if self._stop.wait(min(left, _LOOK_S)):
                return

    def _more_may_come(self) -> bool:
        """Raises:
        StdoutClosed: nobody reads any more, which writing would tell only with the next message.
        """
        if not self._wish.command and _reader_left(self._into.fd):
            raise StdoutClosed
        return not self._inlet.ended

    def _hand_on(self, fresh: Sequence[Received]) -> bool:
        """Write messages, or feed them to the command until it ends well; False: asked to stop before."""
        written = [line(each, self._wish.form) for each in fresh]
        if not (all(written) or self._told_empty):
            self._told_empty = True
            empty = fresh[written.index(b"")]
            log.warning("message %s has no datapoints, so --points leaves it out", printable(empty.sequence))
        data = b"".join(written)
        if not self._wish.command:
            self._into.write(shown(data) if self._wish.escaped else data)
            return True
        tries = 0
        while not self._stop.asked:
            status = _run(self._wish.command, data)
            if status == 0:
                return True
            tries += 1
            if not self._stop.asked:
                wait_s = _delay(tries)
                said = f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
                log.warning("--exec: the command %s; again in %.1f s", said, wait_s)
                self._stop.wait(wait_s)
        return False


def _delay(tries: int) -> float:
    longest = min(_LONGEST_S, _FIRST_S * 2.0 ** min(tries - 1, 16))
    return random.uniform(longest / 2, longest)


def _looked(dedup: Dedup | None, received: Received) -> tuple[Received | None, Look | None]:
    """What is new of a message, None where nothing is; and what *dedup* wants to know again of it."""
    if dedup is None:
        return received, None
    items = items_of(received.body)
    look = dedup.look(received.id, items, time.time_ns())
    if look.again or (items and not look.items):
        return None, look
    if look.dropped:
        received = replace(received, body=with_items(received.body, look.items))
    return received, look


def _reader_left(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)  # of a pipe without a reader the error is told unasked
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _run(command: str, data: bytes) -> int:
    """The status of *command* in a shell, after it was given *data*.

    bash where there is one, since only that tells of a failure before the last `|`. A process group of its
    own: Ctrl-C is for us, and what has begun gets to its end.
    """
    bash = shutil.which("bash")
    shell = [bash, "-o", "pipefail"] if bash else ["/bin/sh"]
    process = subprocess.Popen([*shell, "-c", command], stdin=subprocess.PIPE, process_group=0)
    assert process.stdin is not None
    try:
        with contextlib.suppress(BrokenPipeError):  # it may end without reading all: its status decides
            process.stdin.write(data)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        return process.wait()
    except BaseException:  # it took too long after we were asked to end
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, posix_signal.SIGTERM)
        raise
