"""Who gets which signals, and how far each has got: one SQLite file that all commands share.

No secret is in it: of a destination only what may be shown.

    customer       destination, state, last error, counters; its revision grows with its subscriptions
    subscription   a pattern or an id, from which time on, until when
    series         ids that were used or imported, for ever
    position       of a customer in a channel of a recording
    gap            what a customer never got
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from uuid import UUID

from speeddata.errors import HostError, UsageError
from speeddata.legible import printable
from speeddata.subscription.customers import Customer, Gap, Place, State, Subscription, customer_name
from speeddata.subscription.database import Database, Kind, lock, state_directory
from speeddata.subscription.series import Pattern, Series

_LOCK_WAIT_S = 0.2  # longer than anybody takes to look whether there is a run

_KIND = Kind(
    "registry of subscriptions",
    0x53445342,  # "SDSB"
    1,
    (
        "CREATE TABLE customer (name TEXT PRIMARY KEY, destination TEXT NOT NULL DEFAULT '', "
        "rev INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'idle', state_ns INTEGER, "
        "error TEXT NOT NULL DEFAULT '', error_ns INTEGER, messages INTEGER NOT NULL DEFAULT 0, "
        "datapoints INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0)",
        "CREATE TABLE subscription (customer TEXT NOT NULL, pattern TEXT NOT NULL, rev INTEGER NOT NULL, "
        "added_ns INTEGER NOT NULL, since_ns INTEGER, expires_ns INTEGER, PRIMARY KEY (customer, pattern))",
        "CREATE TABLE series (id TEXT PRIMARY KEY, channel TEXT NOT NULL, signal TEXT NOT NULL, unit TEXT, "
        "imported INTEGER NOT NULL)",
        "CREATE UNIQUE INDEX series_by_name ON series (lower(channel), signal)",
        "CREATE TABLE position (customer TEXT NOT NULL, directory TEXT NOT NULL, channel TEXT NOT NULL, "
        "file TEXT NOT NULL, sync BLOB NOT NULL, block INTEGER NOT NULL, datum INTEGER NOT NULL, "
        "time_ns INTEGER, size INTEGER, PRIMARY KEY (customer, directory, channel))",
        "CREATE TABLE gap (customer TEXT NOT NULL, directory TEXT NOT NULL, channel TEXT NOT NULL, "
        "from_ns INTEGER, to_ns INTEGER, noticed_ns INTEGER NOT NULL, what TEXT NOT NULL, "
        "UNIQUE (customer, directory, channel, what))",
    ),
)


class Busy(HostError):
    """Another run serves the customer."""


def customer_names(path: Path) -> list[str]:
    """The customers in the registry at *path*, read at once or not at all; none is made.

    Raises:
        sqlite3.Error: there is none, or it cannot be read now.
    """
    address = f"file:{quote(os.fspath(path.absolute()))}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, 0.0, uri=True)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM customer ORDER BY name")]


class Registry:
    """The file at *path*, for one thread; also a context manager. Any number of processes may have it open.

    Raises:
        DataError: it is something else, damaged, or of a newer version.
        HostError: it cannot be opened; so say all methods when it cannot be written, and nothing is changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = Database(path, _KIND)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._database.close()

    # -- customers ------------------------------------------------------------------------------------------

    def customers(self) -> list[Customer]:
        """All, by name."""
        columns = "name, destination, rev, state, state_ns, error, error_ns, messages, datapoints, bytes"
        return [
            Customer(*row) for row in self._database.rows(f"SELECT {columns} FROM customer ORDER BY name")
        ]

    def customer(self, name: str) -> Customer | None:
        """The one called *name*, if there is one."""
        return next((customer for customer in self.customers() if customer.name == name), None)

    def set_destination(self, customer: str, shown: str) -> None:
        """Keep what may be shown of where *customer* wants its messages; makes the customer."""
        with self._database.writing() as connection:
            _make(connection, customer)
            connection.execute("UPDATE customer SET destination = ? WHERE name = ?", (shown, customer))

    def forget(self, customer: str) -> bool:
        """Drop all that is known of *customer*; return whether there was any."""
        with self._database.writing() as connection:
            for table in ("subscription", "position", "gap"):
                connection.execute(f"DELETE FROM {table} WHERE customer = ?", (customer,))
            return connection.execute("DELETE FROM customer WHERE name = ?", (customer,)).rowcount > 0

    def tell(self, customer: str, state: State, now_ns: int, error: str | None = None) -> None:
        """Keep what a run of *customer* does, and the error that it met, if any."""
        with self._database.writing() as connection:
            _make(connection, customer)
            connection.execute(
                "UPDATE customer SET state_ns = CASE state WHEN ? THEN ifnull(state_ns, ?) ELSE ? END, "
                "state = ? WHERE name = ?",
                (state, now_ns, now_ns, state, customer),
            )
            if error is not None:
                connection.execute(
                    "UPDATE customer SET error = ?, error_ns = ? WHERE name = ?",
                    (printable(error)[:1000], now_ns, customer),
                )

    @contextlib.contextmanager
    def serving(self, customer: str) -> Iterator[None]:
        """Be the one run that serves *customer*; the lock dies with the process.

        Raises:
            Busy: there is another.
        """
        path = self._lock_path(customer)
        end = time.monotonic() + _LOCK_WAIT_S
        while (fd := lock(path)) is None:
            if time.monotonic() > end:
                raise Busy(
                    "another run serves this customer", where=customer, mend="wait for its end, or stop it"
                )
            time.sleep(0.02)
        try:
            yield
        finally:
            os.close(fd)

    def served(self, customer: str) -> bool:
        """Whether a run serves *customer* now."""
        try:
            fd = os.open(self._lock_path(customer), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def _lock_path(self, customer: str) -> Path:
        return self.path.with_name(f"{self.path.name}-run-{customer_name(customer)}")

    # -- subscriptions --------------------------------------------------------------------------------------

    def add(
        self,
        customer: str,
        patterns: Iterable[str],
        now_ns: int,
        *,
        since_ns: int | None,
        expires_ns: int | None = None,
        anew: bool = False,
    ) -> list[str]:
        """Subscribe *customer* to *patterns*; makes the customer. One that is there gets the new end only.

        Args:
            since_ns: as in `Subscription`; *now_ns* for what comes from now on.
            anew: one that is there gets the new begin, too.

        Returns:
            Those that were not there.
        """
        wanted = list(dict.fromkeys(patterns))
        with self._database.writing() as connection:
            _make(connection, customer)
            rev = self._rev(customer) + 1
            known = {one.pattern for one in self.subscriptions(customer)}
            new = [pattern for pattern in wanted if pattern not in known]
            begin = ", added_ns = excluded.added_ns, since_ns = excluded.since_ns" if anew else ""
            for pattern in wanted:
                connection.execute(
                    "INSERT INTO subscription VALUES (?, ?, ?, ?, ?, ?) "
                    f"ON CONFLICT DO UPDATE SET expires_ns = excluded.expires_ns{begin}",
                    (customer, pattern, rev, now_ns, since_ns, expires_ns),
                )
            if new or anew:
                _set_rev(connection, customer, rev)
            return new

    def remove(self, customer: str, patterns: Iterable[str]) -> list[str]:
        """Unsubscribe *customer* from *patterns*, as they were written; return those that were there."""
        wanted = set(patterns)
        return self._drop(customer, lambda one: one.pattern in wanted)

    def expire(self, customer: str, now_ns: int) -> list[str]:
        """Drop what has come to its end; return it."""
        past = [s for s in self.subscriptions(customer) if _is_past(s, now_ns)]
        return self._drop(customer, lambda one: _is_past(one, now_ns)) if past else []

    def subscriptions(self, customer: str) -> list[Subscription]:
        """Of *customer*, in the order of adding; those that `expire` would drop among them."""
        rows = self._database.rows(
            "SELECT pattern, rev, added_ns, since_ns, expires_ns FROM subscription WHERE customer = ? "
            "ORDER BY rev, rowid",
            (customer,),
        )
        return [Subscription(*row) for row in rows]

    def _rev(self, customer: str) -> int:
        return self._database.number("SELECT rev FROM customer WHERE name = ?", (customer,))

    def _drop(self, customer: str, condition: Callable[[Subscription], bool]) -> list[str]:
        with self._database.writing() as connection:
            gone = [one.pattern for one in self.subscriptions(customer) if condition(one)]
            connection.executemany(
                "DELETE FROM subscription WHERE customer = ? AND pattern = ?",
                [(customer, pattern) for pattern in gone],
            )
            if gone:
                _set_rev(connection, customer, self._rev(customer) + 1)
                self._forget_unwanted(connection, customer)
            return gone

    def _forget_unwanted(self, connection: Any, customer: str) -> None:
        """Drop positions in channels that no subscription is left for: a new one begins anew."""
        left = [Pattern.parse(one.pattern) for one in self.subscriptions(customer)]
        channels = {channel for (channel,) in self._database.rows("SELECT DISTINCT channel FROM position")}
        named = {id: channel for (channel, _), id in self.ids().items()}
        wanted = {channel for channel in channels for one in left if one.may_fit(channel, named)}
        connection.executemany(
            "DELETE FROM position WHERE customer = ? AND channel = ?",
            [(customer, channel) for channel in channels - wanted],
        )

    # -- series ---------------------------------------------------------------------------------------------

    def ids(self) -> dict[tuple[str, str], UUID]:
        """All that are kept, by the channel's name in lower case and the signal."""
        rows = self._database.rows("SELECT lower(channel), signal, id FROM series")
        return {(channel, signal): UUID(id) for channel, signal, id in rows}

    def freeze(self, series: Iterable[Series]) -> None:
        """Keep ids that are going to be used; a series that has one already keeps it.

        Raises:
            UsageError: an id is that of another series.
        """
        known = self.ids()
        new = [one for one in series if (one.channel.lower(), one.signal) not in known]
        if new:
            with self._database.writing() as connection:
                for one in new:
                    if not _has_its_id(connection, one):
                        _keep(connection, one, imported=False)

    def import_ids(self, series: Sequence[Series]) -> None:
        """Give series ids from elsewhere: all of them, or, after an exception, none.

        Raises:
            UsageError: an id is another series', or a series has another one.
        """
        with self._database.writing() as connection:
            for one in series:
                if not _has_its_id(connection, one):
                    _keep(connection, one, imported=True)
            for (customer,) in connection.execute("SELECT name FROM customer").fetchall():
                _set_rev(connection, customer, self._rev(customer) + 1)

    # -- positions ------------------------------------------------------------------------------------------

    def directories(self, customer: str) -> list[Path]:
        """The recordings in which *customer* has positions."""
        query = "SELECT DISTINCT directory FROM position WHERE customer = ? ORDER BY directory"
        return [Path(directory) for (directory,) in self._database.rows(query, (customer,))]

    def places(self, customer: str, directory: Path) -> dict[str, Place]:
        """How far *customer* has got in the recording *directory*, by channel in lower case."""
        rows = self._database.rows(
            "SELECT channel, file, sync, block, datum, time_ns, size FROM position "
            "WHERE customer = ? AND directory = ?",
            (customer, str(directory.absolute())),
        )
        return {row[0].lower(): Place(*row) for row in rows}

    def moved(
        self,
        customer: str,
        directory: Path,
        places: Sequence[Place],
        *,
        gaps: Sequence[Gap] = (),
        messages: int = 0,
        datapoints: int = 0,
        bytes: int = 0,
    ) -> None:
        """Keep how far *customer* has got, what it never gets, and what was acknowledged since: at once.

        A place without a newest datum keeps that of the one before it. A gap that is known, as one is until
        the position has moved on behind it, is kept once.
        """
        with self._database.writing() as connection:
            _make(connection, customer)
            where = (customer, str(directory.absolute()))
            for place in places:
                channel, *rest = astuple(place)
                connection.execute(
                    "INSERT INTO position VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                    "file = excluded.file, sync = excluded.sync, block = excluded.block, "
                    "datum = excluded.datum, time_ns = ifnull(excluded.time_ns, time_ns), "
                    "size = excluded.size",
                    (*where, channel.lower(), *rest),
                )
            connection.executemany(
                "INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [(customer, *gap) for gap in gaps],
            )
            connection.execute(
                "UPDATE customer SET messages = messages + ?, datapoints = datapoints + ?, "
                "bytes = bytes + ? WHERE name = ?",
                (messages, datapoints, bytes, customer),
            )

    def forget_place(self, customer: str, directory: Path, channel: str) -> None:
        """Drop how far *customer* has got in a channel that it does not want any more."""
        with self._database.writing() as connection:
            connection.execute(
                "DELETE FROM position WHERE customer = ? AND directory = ? AND channel = ?",
                (customer, str(directory.absolute()), channel.lower()),
            )

    def gaps(self, customer: str) -> list[Gap]:
        """What *customer* never got, in the order of noticing."""
        rows = self._database.rows(
            "SELECT directory, channel, from_ns, to_ns, noticed_ns, what FROM gap WHERE customer = ? "
            "ORDER BY rowid",
            (customer,),
        )
        return [Gap(*row) for row in rows]


def registry_path(environ: Mapping[str, str]) -> Path:
    """Where the registry is, as the XDG base directories say it."""
    return state_directory(environ) / "subscribe.db"


def _make(connection: Any, customer: str) -> None:
    insert = "INSERT INTO customer (name) VALUES (?) ON CONFLICT DO NOTHING"
    connection.execute(insert, (customer_name(customer),))


def _has_its_id(connection: Any, series: Series) -> bool:
    """Whether *series* is kept, with that very id.

    Raises:
        UsageError: it has another, or the id is another's.
    """
    name = printable(f"{series.channel}/{series.signal}")
    rows = connection.execute(
        "SELECT id, channel, signal FROM series WHERE id = ? OR (lower(channel) = ? AND signal = ?)",
        (str(series.id), series.channel.lower(), series.signal),
    ).fetchall()
    for id, channel, signal in rows:
        if id != str(series.id):
            mend = "it may be in use: ids stay"
            raise UsageError(f"has the id {id} already", where=name, mend=mend)
        if (channel.lower(), signal) != (series.channel.lower(), series.signal):
            raise UsageError(f"the id {id} is that of {printable(f'{channel}/{signal}')}", where=name)
    return bool(rows)


def _keep(connection: Any, series: Series, *, imported: bool) -> None:
    row = (str(series.id), series.channel, series.signal, series.unit, imported)
    connection.execute("INSERT INTO series VALUES (?, ?, ?, ?, ?)", row)


def _set_rev(connection: Any, customer: str, rev: int) -> None:
    connection.execute("UPDATE customer SET rev = ? WHERE name = ?", (rev, customer))


def _is_past(subscription: Subscription, now_ns: int) -> bool:
    return subscription.expires_ns is not None and subscription.expires_ns <= now_ns
