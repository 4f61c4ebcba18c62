"""An SQLite file of ours: made whole or not at all, never mistaken for another's, its errors in our words.

Write-ahead logging: readers never wait for a writer, nor it for them; writers wait for each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from speeddata.errors import DataError, HostError, UsageError

BUSY_S = 5.0  # that a writer waits for another one; less than the grace after a first Ctrl-C

_AGAIN_S = 0.001
_LEAST_BYTES = 512  # the smallest page; SQLite would write over a file that is shorter


class Unavailable(HostError):
    """The file cannot be read or written now: the disk is full, or another process keeps it."""


class Lost(Unavailable):
    """This connection to it is of no use any more: open it anew."""


@dataclass(frozen=True)
class Kind:
    """What sort of file it is.

    Attributes:
        what: for people, such as "log of messages".
        application: `application_id` of its header, which tells it from the files of other programs.
        version: of its tables; a file of a newer one is refused.
        tables: the statements that make them.
    """

    what: str
    application: int
    version: int
    tables: tuple[str, ...]


def state_directory(environ: Mapping[str, str]) -> Path:
    """Where files of this kind are, as the XDG base directories say it."""
    home = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(home):  # one that is relative is to be ignored (XDG Base Directory Specification)
        home = os.path.join(environ.get("HOME", "/"), ".local", "state")
    return Path(home) / "speeddata"


class Database:
    """A connection to the file at *path*, for one thread; also a context manager.

    Args:
        path: made if there is nothing, for its owner alone, and so is its directory. On a disk of this
            machine: the processes share memory beside it.
        kind: what it has to be.

    Raises:
        DataError: it is another program's, damaged, or of a newer version. It stays as it is.
        UsageError: no plain file.
        Unavailable: it cannot be opened now.
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        self.path, self._kind = path, kind
        self._where = str(path)
        with self._told():
            _make(path)
            self._identity = _identity(path)
            # The file is opened by SQLite alone: closing a descriptor of our own would drop its locks.
            address = f"file:{quote(os.fspath(path.absolute()))}?mode=rw"
            self._connection = sqlite3.connect(address, 0.0, isolation_level=None, uri=True)
        try:
            with self._told():
                self._begin()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; what was not committed is forgotten."""
        with contextlib.suppress(sqlite3.Error):  # nothing of ours is open; there is nothing to lose
            self._connection.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all that is done in it is kept, or, after an exception, nothing.

        Raises:
            Unavailable: full, kept by another process, or no longer the file that was opened.
            DataError: damaged.
        """
        with self._told():
            self._stay()
            self._when_free("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._when_free("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite ends it itself where the disk is full
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, values: Sequence[object] = (), most_bytes: int | None = None) -> list[Any]:
        """The rows of *query*; it ends after the one whose last column goes beyond *most_bytes* in all.

        Raises:
            Unavailable, DataError: as for `writing`.
        """
        with self._told():
            self._stay()
            cursor = self._when_free(query, values)
            if most_bytes is None:
                return cursor.fetchall()
            found: list[Any] = []
            for row in cursor:
                found.append(row)
                most_bytes -= len(row[-1])
                if most_bytes <= 0:
                    break
            cursor.close()  # an open one would keep the write-ahead log from being taken over
            return found

    def number(self, query: str, values: Sequence[object] = ()) -> int:
        """The one number that *query* gives; 0 for nothing.

        Raises:
            Unavailable, DataError: as for `writing`.
        """
        rows = self.rows(query, values)
        return int(rows[0][0] or 0) if rows else 0

    def _stay(self) -> None:
        if _identity(self.path) != self._identity:
            raise Lost("was removed, or replaced by another, while in use", where=self._where)

    def _begin(self) -> None:
        """See that it is ours, or make it so where it is empty."""
        self._when_free("PRAGMA trusted_schema = OFF")
        if not self._is_ours():
            self._when_free("PRAGMA journal_mode = WAL").fetchall()
            with self.writing() as connection:
                if not self._is_ours():  # another process may have been faster
                    for statement in self._kind.tables:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {self._kind.application}")
                    connection.execute(f"PRAGMA user_version = {self._kind.version}")
        # A killed process loses nothing. What a power cut may lose is what was committed since the
        # write-ahead log was last copied into the file (every 1000 pages); the file stays whole. To sync at
        # each commit would cost a disk's latency a batch; the recording before it is not synced, either.
        self._when_free("PRAGMA synchronous = NORMAL")
        # Zeros in place of what was deleted, a default of some systems, would be written for nobody.
        self._when_free("PRAGMA secure_delete = OFF")
        self._when_free(f"PRAGMA journal_size_limit = {64 << 20}")

    def _is_ours(self) -> bool:
        """Raises DataError: it is of somebody else, or of a newer version."""
        if 0 < os.stat(self.path).st_size < _LEAST_BYTES:
            raise DataError(f"no {self._kind.what}", where=self._where, mend="name another file")
        (application,) = self._when_free("PRAGMA application_id").fetchone()
        (version,) = self._when_free("PRAGMA user_version").fetchone()
        (tables,) = self._when_free("SELECT count(*) FROM sqlite_master").fetchone()
        if application == 0 and version == 0 and tables == 0:
            return False
        if application != self._kind.application:
            raise DataError(
                f"an SQLite file, but no {self._kind.what}", where=self._where, mend="name another file"
            )
        if version != self._kind.version:
            raise DataError(
                f"written by another version of SpeedData (its tables have version {version}, ours "
                f"{self._kind.version})",
                where=self._where,
                mend="use that version, or move the file away to begin anew",
            )
        return True

    def _when_free(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Execute *statement*, waiting for other processes as SQLite would, but not ever longer each time.

        Of two busy writers, one that waits 100 ms for what is free for 1 ms hardly ever has its turn.
        """
        end = 0.0
        while True:
            try:
                return self._connection.execute(statement, values)
            except sqlite3.OperationalError as exc:
                if getattr(exc, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                now = time.monotonic()
                end = end or now + BUSY_S
                if now > end:
                    raise
            time.sleep(_AGAIN_S)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise  # faults of ours
        except sqlite3.Error as exc:
            raise self._in_words(exc) from exc
        except OSError as exc:
            raise Lost(f"cannot be opened: {exc.strerror or exc}", where=self._where) from exc

    def _in_words(self, exc: sqlite3.Error) -> HostError | DataError:
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF  # the rest says where in SQLite
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            what = f"no {self._kind.what}" if code == sqlite3.SQLITE_NOTADB else f"damaged: {exc}"
            mend = "name another file, or move this one away to begin anew"
            return DataError(what, where=self._where, mend=mend)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Unavailable(f"another process has kept it for {BUSY_S:g} s", where=self._where)
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(self.path)):
            return Unavailable("the disk is full", where=self._where, mend="make room")
        if code in (0, sqlite3.SQLITE_ERROR):  # text that is no UTF-8; a table that is not as it was made
            return DataError(f"damaged: {exc}", where=self._where, mend="move it away to begin anew")
        return Lost(f"cannot be used: {exc}", where=self._where)


def lock(path: Path) -> int | None:
    """A descriptor that holds the lock of the file *path*, until it is closed or its process dies.

    Returns:
        None where another one holds it.

    Raises:
        HostError: the file cannot be made.
    """
    try:
        _make_directory(path.parent)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as exc:
        raise HostError(f"cannot write: {exc.strerror}", where=str(path)) from exc
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError as exc:
        os.close(fd)
        raise HostError(f"cannot be locked: {exc.strerror}", where=str(path)) from exc
    return fd


def _make_directory(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)


def _make(path: Path) -> None:
    """An empty file where there is none; SQLite gives its companions the same mode."""
    _make_directory(path.parent)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    if not stat.S_ISREG(os.stat(path).st_mode):  # a FIFO would make SQLite wait for ever
        raise UsageError("no plain file", where=str(path), mend="name another one")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _is_full(path: Path) -> bool:
    return os.statvfs(path.parent).f_bavail == 0
