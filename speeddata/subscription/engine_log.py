"""The log that comes with the program: messages in one SQLite file, numbered, kept for some days.

It serves the processes of one machine, without a server. Its consumers are exclusive: each name is one
reader's at a time, for as long as its process lives.

    topic         name, and the number of the newest message that retention took
    message       its number over all topics, which is its sequence; id, unique in the topic; key; body; when
                  it was taken
    consumer      name and topic; all messages up to `acknowledged` are done with
    ahead         those behind it that are, too
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from speeddata.errors import UsageError
from speeddata.interrupts import Stop
from speeddata.subscription.database import Database, Kind, Lost, Unavailable, lock
from speeddata.subscription.engine import (
    Busy,
    Closing,
    Message,
    Mode,
    Position,
    Received,
    TooLarge,
    Unreachable,
    Unsupported,
)
from speeddata.subscription.log_retention import KEEP_BYTES, KEEP_S, Retention

MOST_BYTES = 16 << 20  # of one message's body

_POLL_S = 0.05  # a query that finds nothing takes some 10 us
_TRANSACTION_BYTES = 16 << 20  # what a transaction writes at most, so that others come in between
_TRANSACTION_MESSAGES = 5000
_FETCH_BYTES = 32 << 20  # what is handed out at once
_MOST_SEQUENCE = 2**63 - 1
_NEWEST = "SELECT seq FROM sqlite_sequence WHERE name = 'message'"  # of all that there ever were

_KIND = Kind(
    "log of messages",
    0x53444C47,  # "SDLG"
    1,
    (
        "CREATE TABLE topic (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, "
        "trimmed INTEGER NOT NULL DEFAULT 0)",
        # AUTOINCREMENT: a number is never given twice, not even after the newest message was deleted
        "CREATE TABLE message (sequence INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER NOT NULL, "
        "id TEXT, taken_ns INTEGER NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, UNIQUE (topic, id))",
        # without it a reader's query goes by the ids; with the time `since` need not read the messages
        "CREATE INDEX message_by_topic ON message (topic, sequence, taken_ns)",
        "CREATE TABLE consumer (id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, name TEXT NOT NULL, "
        "acknowledged INTEGER NOT NULL, UNIQUE (topic, name))",
        "CREATE TABLE ahead (consumer INTEGER NOT NULL, sequence INTEGER NOT NULL, "
        "PRIMARY KEY (consumer, sequence)) WITHOUT ROWID",
    ),
)

log = logging.getLogger("speeddata")


class LogOutlet(Closing):
    """The producing end; any number of processes may have one.

    Args:
        path: of the file; made where there is none.
        keep_s, keep_bytes: retention: older messages, and the oldest beyond so many bytes of the file, are
            taken away while new ones come, whether they were read or not.

    Raises:
        DataError: the file is no log, damaged, or of a newer version.
        Unreachable: it cannot be opened now.
    """

    def __init__(self, path: Path, *, keep_s: float = KEEP_S, keep_bytes: int = KEEP_BYTES) -> None:
        self._path, self._retention = path, Retention(keep_s, keep_bytes)
        self._topics: dict[str, int] = {}
        self._database: Database | None = None
        self._opened()

    def close(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def send(self, messages: Sequence[Message]) -> list[str]:
        """As `Outlet.send`: in few transactions, so that many small messages cost little.

        Raises:
            DataError: the file is damaged.
        """
        small = next((at for at, m in enumerate(messages) if len(m.body) > MOST_BYTES), len(messages))
        with _unreachable(self):
            database = self._opened()
            sequences: list[str] = []
            for part in _parts(messages[:small]):
                sequences += self._write(database, part)
            self._retention.apply(database)
        if small < len(messages):
            raise TooLarge(
                f"a message of {len(messages[small].body)} bytes",
                id=messages[small].id,
                where=str(self._path),
                mend=f"the log takes {MOST_BYTES} bytes at most",
            )
        return sequences

    def _opened(self) -> Database:
        if self._database is None:
            with _unreachable(self):
                self._database = Database(self._path, _KIND)
            self._topics.clear()
        return self._database

    def _write(self, database: Database, messages: Sequence[Message]) -> list[str]:
        known = dict(self._topics)
        sequences = []
        with database.writing() as connection:
            now_ns = time.time_ns()
            for message in messages:
                topic = known.get(message.topic)
                if topic is None:
                    topic = known[message.topic] = _topic(connection, message.topic)
                done = connection.execute(
                    "INSERT INTO message (topic, id, taken_ns, key, body) VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT DO NOTHING",
                    (topic, message.id or None, now_ns, message.key, message.body),
                )
                if done.rowcount:
                    sequences.append(str(done.lastrowid))
                else:
                    where = "SELECT sequence FROM message WHERE topic = ? AND id = ?"
                    ((sequence,),) = connection.execute(where, (topic, message.id))
                    sequences.append(str(sequence))
        self._topics = known  # only now: a topic of a transaction that failed is not there
        return sequences


class LogInlet(Closing):
    """The consuming end: the consumer *name* of *topic*, this process's alone until it is closed.

    Args:
        path: of the file; made where there is none.
        topic: need not be there yet.
        position: where to begin; any but `unread` forgets what was acknowledged.
        stop: ends waiting.

    Raises:
        Unsupported: shared consumers.
        Busy: another one of that name is open.
        UsageError: the position's sequence is no number.
        DataError, Unreachable: as for `LogOutlet`.
    """

    def __init__(
        self,
        path: Path,
        *,
        topic: str,
        name: str,
        mode: Mode = "exclusive",
        position: Position | None = None,
        stop: Stop | None = None,
    ) -> None:
        if mode != "exclusive":
            raise Unsupported("the embedded log has no shared consumers", mend="use NATS or Kafka for them")
        self._path, self._topic_name, self._name = path, topic, name
        self._position = position or Position()
        self._stop = stop or Stop()
        self._database: Database | None = None
        self._lock: int | None = None
        self._read = 0  # the newest one that was handed out
        self._outstanding: set[int] = set()  # handed out, and not acknowledged
        self._back: list[int] = []  # those of them that were given back
        self._ahead: set[int] = set()  # acknowledged, while one before them is not
        self._last = _MOST_SEQUENCE  # that is to be handed out
        self._drained = False  # there were no more up to that one
        _whole(self._position)
        self._opened()

    def close(self) -> None:
        """Let another one have the name; what was not acknowledged is handed out to it."""
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def fetch(self, most: int, wait_s: float) -> list[Received]:
        """As `Inlet.fetch`; fewer than there are where they are large. What retention took is told as a note.

        Raises:
            DataError: the file is damaged.
        """
        end = time.monotonic() + wait_s
        while True:
            with _unreachable(self):
                found = self._take(self._opened(), most)
            left = end - time.monotonic()
            if found or self.ended or left <= 0 or self._stop.wait(min(left, _POLL_S)):
                return found

    @property
    def ended(self) -> bool:
        return self._drained and self._last < _MOST_SEQUENCE and not self._back

    def until_now(self) -> None:
        """As `Inlet.until_now`.

        Raises:
            DataError: the file is damaged.
        """
        with _unreachable(self):
            self._last = self._opened().number(_NEWEST)

    def acknowledge(self, received: Sequence[Received]) -> None:
        """As `Inlet.acknowledge`.

        Raises:
            Unreachable, DataError: it is not kept; they may be handed out again.
        """
        done = {int(one.sequence) for one in received}
        with _unreachable(self):
            database = self._opened()
            left = self._outstanding - done
            before = min(left) - 1 if left else self._read
            ahead = {sequence for sequence in self._ahead | done if sequence > before}
            with database.writing() as connection:
                connection.execute(
                    "UPDATE consumer SET acknowledged = ? WHERE id = ?", (before, self._consumer)
                )
                if self._ahead or ahead:
                    connection.execute("DELETE FROM ahead WHERE consumer = ?", (self._consumer,))
                    connection.executemany(
                        "INSERT INTO ahead VALUES (?, ?)", [(self._consumer, s) for s in ahead]
                    )
        self._outstanding.difference_update(done)
        self._ahead = ahead

    def give_back(self, received: Sequence[Received]) -> None:
        """As `Inlet.give_back`: they come before all others."""
        for sequence in {int(one.sequence) for one in received} & self._outstanding - set(self._back):
            heapq.heappush(self._back, sequence)

    def _opened(self) -> Database:
        if self._database is None:
            with _unreachable(self):
                self._database = Database(self._path, _KIND)
                try:
                    self._begin(self._database)
                except BaseException:
                    self.close()
                    raise
        return self._database

    def _begin(self, database: Database) -> None:
        """Be the consumer, and go to where it begins."""
        with database.writing() as connection:
            self._topic = _topic(connection, self._topic_name)
            who = (self._topic, self._name)
            trimmed = database.number("SELECT trimmed FROM topic WHERE id = ?", (self._topic,))
            connection.execute(
                "INSERT INTO consumer (topic, name, acknowledged) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (*who, trimmed),
            )
            self._consumer = database.number("SELECT id FROM consumer WHERE topic = ? AND name = ?", who)
            self._lock = lock(self._path.with_name(f"{self._path.name}-consumer-{self._consumer}"))
            if self._lock is None:
                raise Busy(
                    f"another consumer is '{self._name}'",
                    where=str(self._path),
                    mend="stop it, or give this one a name of its own",
                )
            if self._position.kind != "unread":
                before = self._before(database, trimmed)
                connection.execute(
                    "UPDATE consumer SET acknowledged = ? WHERE id = ?", (before, self._consumer)
                )
                connection.execute("DELETE FROM ahead WHERE consumer = ?", (self._consumer,))
        self._position = Position()  # it was told once: from now on, where it is
        self._read = database.number("SELECT acknowledged FROM consumer WHERE id = ?", (self._consumer,))
        ahead = database.rows("SELECT sequence FROM ahead WHERE consumer = ?", (self._consumer,))
        self._ahead = {sequence for (sequence,) in ahead}
        self._outstanding.clear()
        self._back.clear()

    def _before(self, database: Database, trimmed: int) -> int:
        """The number behind which the position is."""
        if self._position.kind == "beginning":
            return trimmed
        if self._position.kind == "sequence":
            return max(_whole(self._position) - 1, 0)
        if self._position.kind == "since":
            first = database.number(
                "SELECT sequence FROM message WHERE topic = ? AND taken_ns >= ? ORDER BY sequence LIMIT 1",
                (self._topic, self._position.time_ns),
            )
            if first:
                return first - 1
        return database.number(_NEWEST)

    def _take(self, database: Database, most: int) -> list[Received]:
        columns = "SELECT sequence, id, key, taken_ns, body FROM message WHERE"
        rows: list[Any] = []
        while self._back and len(rows) < most:
            row = database.rows(f"{columns} sequence = ?", (self._back[0],))
            sequence = heapq.heappop(self._back)
            rows += row
            if not row:
                self._outstanding.discard(sequence)
                log.warning("%s: retention took message %d, which was given back", self._path, sequence)
        if not rows:
            query = f"{columns} topic = ? AND sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?"
            wanted = (self._topic, self._read, self._last, most + len(self._ahead))
            rows = database.rows(query, wanted, _FETCH_BYTES)
            self._drained = not rows
            if rows:
                self._tell_gap(database, rows[0][0])
                self._read = rows[-1][0]
        found = [
            Received(str(sequence), id or "", self._topic_name, key, body, taken_ns)
            for sequence, id, key, taken_ns, body in rows
            if sequence not in self._ahead
        ]
        if len(found) > most:
            found = found[:most]
            self._read = int(found[-1].sequence)
        self._outstanding.update(int(one.sequence) for one in found)
        return found

    def _tell_gap(self, database: Database, first: int) -> None:
        trimmed = database.number("SELECT trimmed FROM topic WHERE id = ?", (self._topic,))
        if self._read < trimmed < first:
            what = "retention took messages up to %d before '%s', which had read up to %d, came to them"
            log.warning("%s: " + what, self._path, trimmed, self._name, self._read)


def _topic(connection: Any, name: str) -> int:
    connection.execute("INSERT INTO topic (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
    ((topic,),) = connection.execute("SELECT id FROM topic WHERE name = ?", (name,))
    return int(topic)


def _whole(position: Position) -> int:
    if position.kind != "sequence":
        return 0
    text = position.sequence
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _MOST_SEQUENCE):
        raise UsageError(f"'{text[:40]}' is no sequence of the log", mend="write the number of a message")
    return int(text)


def _parts(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """*messages*, cut to what one transaction may hold."""
    size, part = 0, 0
    cut: list[tuple[int, Message]] = []
    for at, message in enumerate(messages):
        size += len(message.body)
        cut.append((part, message))
        if size >= _TRANSACTION_BYTES or (at + 1) % _TRANSACTION_MESSAGES == 0:
            size, part = 0, part + 1
    for _, run in groupby(cut, key=lambda pair: pair[0]):
        yield [message for _, message in run]


@contextlib.contextmanager
def _unreachable(end: LogOutlet | LogInlet) -> Iterator[None]:
    """What keeps the file from us now is what keeps a server: come again. A lost one is opened anew then."""
    try:
        yield
    except Unavailable as exc:
        if isinstance(exc, Lost):
            end.close()
        raise Unreachable(exc.what, where=exc.where, mend=exc.mend) from exc
