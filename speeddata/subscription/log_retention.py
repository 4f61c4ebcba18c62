"""What an embedded log keeps: the newest, for so long and so many bytes; consumers do not hold it back."""

from __future__ import annotations

import time

from speeddata.subscription.database import Database

KEEP_S = 7 * 86400.0
KEEP_BYTES = 1 << 30

_EVERY_S = 1.0  # that the age is looked at; the bytes are each time
_AT_ONCE_S = 0.05  # that is spent on it each time
_PART_MESSAGES = 500  # in a transaction
_PART_BYTES = 16 << 20


class Retention:
    """Takes the oldest messages away; for a producer, which calls it after it has sent.

    Args:
        keep_s: how old a message gets, in seconds.
        keep_bytes: how much of the file is in use before the oldest ones go.
    """

    def __init__(self, keep_s: float, keep_bytes: int) -> None:
        self._keep_s, self._keep_bytes = keep_s, keep_bytes
        self._done_at = time.monotonic()

    def apply(self, database: Database) -> None:
        """Take away what is too old or too much, for a moment only: other writers come in between.

        Raises:
            Unavailable, DataError: as for `Database.writing`.
        """
        begin = time.monotonic()
        while begin - self._done_at >= _EVERY_S or self._beyond(database) > 0:
            if not self._take_part(database):
                self._done_at = begin
                return
            if time.monotonic() - begin > _AT_ONCE_S:
                return  # there is more: next time

    def _beyond(self, database: Database) -> int:
        """Bytes in use that are too many. A file does not shrink; what is free in it is written again."""
        pages = database.number("PRAGMA page_count") - database.number("PRAGMA freelist_count")
        return pages * database.number("PRAGMA page_size") - self._keep_bytes

    def _take_part(self, database: Database) -> bool:
        """Take away the oldest ones; return whether there may be more to take."""
        beyond = self._beyond(database)
        oldest_ns = time.time_ns() - int(self._keep_s * 1e9)
        rows = database.rows(
            "SELECT sequence, topic, taken_ns, length(body) FROM message ORDER BY sequence LIMIT ?",
            (_PART_MESSAGES,),
        )
        last, size, trimmed = 0, 0, dict[int, int]()
        for sequence, topic, taken_ns, length in rows:
            if (taken_ns >= oldest_ns and size >= beyond) or size > _PART_BYTES:
                break
            last = trimmed[topic] = sequence
            size += length
        if not last:
            return False
        with database.writing() as connection:
            connection.execute("DELETE FROM message WHERE sequence <= ?", (last,))
            connection.executemany(
                "UPDATE topic SET trimmed = max(trimmed, ?) WHERE id = ?",
                [(sequence, topic) for topic, sequence in trimmed.items()],
            )
        return True
