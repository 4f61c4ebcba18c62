"""Messages handed on: to a pipe or to a command, and acknowledged once they have left."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import select
import shutil
import signal as posix_signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from speeddata.errors import DataError, HostError, StdoutClosed
from speeddata.interrupts import Stop
from speeddata.output import Bytes
from speeddata.subscription.dedup import Dedup, Look
from speeddata.subscription.engine import Inlet, Received, Unreachable
from speeddata.subscription.presenting import Form, items_of, line, shown, with_items

_LOOK_S = 0.5  # for a first message, before what else was asked is looked at again
_JOIN_S = 30.0  # for an engine that has to agree with other consumers before it hands anything out
_FIRST_S, _LONGEST_S = 0.5, 60.0  # between two tries
_SAVE_S, _SAVE_SHARE = 1.0, 0.1  # between two writings of much, and of the time that they may take
_CHECKPOINT_BYTES = 64 << 20
_VERSION = 1

log = logging.getLogger("speeddata")


@dataclass(frozen=True)
class Wish:
    """What is wanted of the messages.

    Attributes:
        form: of what is written.
        most: messages that are taken before they are acknowledged.
        count: end after so many; None: no end.
        follow: wait for more, and for a destination that is away.
        quiet_s: else, after so long without a message there are no more.
        command: takes each lot on its standard input, in a shell; empty: standard output does.
        escaped: for a terminal, which no message is to steer.
    """

    form: Form = "message"
    most: int = 100
    count: int | None = None
    follow: bool = False
    quiet_s: float = 0.0
    command: str = ""
    escaped: bool = False


class Checkpoint:
    """A file with the place behind the last message that left, and what is remembered of those before.

    Attributes:
        sequence: of that message; empty where none left yet.
        dedup: as `Dedup.state` gives it.

    Raises:
        DataError: the file is none of ours, or damaged.
        HostError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sequence = ""
        self.dedup: dict[str, Any] = {}
        self._saved, self._took = float("-inf"), 0.0
        try:
            with path.open("rb") as file:
                data = file.read(_CHECKPOINT_BYTES)
            said = json.loads(data)
            if said["version"] != _VERSION or not isinstance(said["sequence"], str):
                raise ValueError
            self.sequence, self.dedup = said["sequence"], said["dedup"]
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise HostError(f"cannot be read: {exc.strerror}", where=str(path)) from exc
        except (ValueError, KeyError, TypeError, RecursionError):
            mend = "to begin anew, move it away"
            raise DataError("is no checkpoint, or damaged", where=str(path), mend=mend) from None

    def moved(self, sequence: str, dedup: Dedup | None) -> None:
        """The message *sequence* has left. What *dedup* remembers may be much, and is kept now and then."""
        self.sequence = sequence
        if dedup is None or time.monotonic() - self._saved > max(_SAVE_S, self._took / _SAVE_SHARE):
            self.save(dedup)

    def save(self, dedup: Dedup | None) -> None:
        """Raises:
        HostError: it cannot be written; then the file is as it was.
        """
        begun = time.monotonic()
        if dedup is not None:
            self.dedup = dedup.state()
        said = {"version": _VERSION, "sequence": self.sequence, "dedup": self.dedup}
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            with new.open("wb") as file:
                file.write(json.dumps(said, separators=(",", ":")).encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self.path)
        except OSError as exc:
            raise HostError(f"cannot be written: {exc.strerror}", where=str(self.path)) from exc
        self._saved = time.monotonic()
        self._took = self._saved - begun


def listen(
    inlet: Inlet,
    wish: Wish,
    stop: Stop,
    *,
    into: Bytes,
    dedup: Dedup | None = None,
    checkpoint: Checkpoint | None = None,
    behind: int = 0,
) -> int:
    """Hand on messages until there are no more, or for as long as it is asked; return how many.

    A message is acknowledged once its lines are written, or the command that took them has ended well. What
    was seen before, or has a sequence up to *behind*, is acknowledged and not handed on.

    Raises:
        StdoutClosed: nobody reads any more.
        Unreachable: the engine is away, and no more were waited for.
        Denied, Busy: the engine does not let us in any more; what was not acknowledged comes again.
    """
    if checkpoint is not None:
        checkpoint.save(None)  # whether it can be is told before a message left
    listener = _Listener(inlet, wish, stop, into, dedup, checkpoint, behind)
    try:
        listener.run()
    finally:
        if checkpoint is not None and dedup is not None:
            checkpoint.save(dedup)
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
    ) -> None:
        self._behind = behind
        self._inlet, self._wish, self._stop, self._into = inlet, wish, stop, into
        self._dedup, self._checkpoint = dedup, checkpoint
        self._join_until = time.monotonic() + _JOIN_S
        self.handed_on = 0

    def run(self) -> None:
        count, tries = self._wish.count, 0
        while not self._stop.asked and (count is None or self.handed_on < count):
            try:
                if not self._lot(
                    self._wish.most if count is None else min(self._wish.most, count - self.handed_on)
                ):
                    return
            except Unreachable as exc:
                if not self._wish.follow:
                    raise
                tries += 1
                if tries == 1:
                    log.warning("%s; trying again", exc)
                self._stop.wait(_delay(tries))
            else:
                if tries:
                    log.warning("connected again")
                tries = 0

    def _lot(self, most: int) -> bool:
        """Hand on what there is, at most so many messages; return whether to go on."""
        joined = getattr(self._inlet, "joined", True) or time.monotonic() > self._join_until
        wait_s = self._wish.quiet_s if joined and not self._wish.follow else _LOOK_S
        received = self._inlet.fetch(most, wait_s)
        if not received:
            return self._more_may_come() or not joined
        new = [each for each in received if not self._behind or int(each.sequence) > self._behind]
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
            self._checkpoint.moved(received[-1].sequence, self._dedup)
        self._inlet.acknowledge(received)
        return True

    def _more_may_come(self) -> bool:
        """Raises:
        StdoutClosed: nobody reads any more, which writing would tell only with the next message.
        """
        if not self._wish.command and _reader_left(self._into.fd):
            raise StdoutClosed
        ended: bool | None = getattr(self._inlet, "ended", None)  # only an input that is a pipe has an end
        return self._wish.follow if ended is None else not ended

    def _hand_on(self, fresh: Sequence[Received]) -> bool:
        """Write messages, or feed them to the command until it ends well; False: asked to stop before."""
        data = b"".join(line(each, self._wish.form) for each in fresh)
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
