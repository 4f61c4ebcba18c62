"""Files of a recording that came and went unseen: the ledgers beside it tell of every file that was closed.

A ledger is read as it grows, and no more of it than fits; what in it is no line of ours is passed over.
"""

from __future__ import annotations

import bisect
import logging
import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from speeddata.recording.catalogue import open_file, parse_file_name, recording_order
from speeddata.recording.ledger import LEDGER_NAME, Entry

_MOST_BYTES = 16 << 20  # of a ledger, its last ones; a relay trims its own long before
_LINE_BYTES = 1 << 16
_PIECE_BYTES = 1 << 20
_MOST_FILES = 50_000  # of a ledger

log = logging.getLogger("speeddata")


class Closed(NamedTuple):
    """A file of a recording that a relay was done with.

    Attributes:
        name: without its directory; of the form that `catalogue.parse_file_name` reads.
        size: bytes.
        until_ns: when it was closed, since 1970.
        greatest: of the abscissa, in its own unit; None where it is no number.
    """

    name: str
    size: int
    until_ns: int
    greatest: int | float | None

    @property
    def begun_ns(self) -> int:
        """When it was begun: the time in its name."""
        return recording_order(self.name)[1]


class Ledgers:
    """The ledgers below *directory*; a channel is the directory that its ledger is in, in any case.

    What cannot be read is as what is not there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ledgers: dict[Path, _Ledger] = {}

    def look(self) -> set[str]:
        """Look for ledgers; return the channels that have one, in lower case."""
        for folder, _, names in os.walk(self.directory):
            if LEDGER_NAME in names:
                self.know(Path(folder))
        return {ledger.channel.lower() for ledger in self._ledgers.values()}

    def know(self, home: Path) -> None:
        """Ask the ledger in *home*, too, which may be there only later."""
        self._ledgers.setdefault(home, _Ledger(home / LEDGER_NAME))

    def gone(self, channel: str, after: str | None = None, before: str | None = None) -> list[Closed]:
        """The closed files of *channel* that are not there now, in recording order.

        Args:
            after, before: names of files, between which those are in recording order; None: no bound. Nothing
                is known to be after a name that no relay gives.
        """
        if after is not None and parse_file_name(after) is None:
            return []
        found = {
            each.name: each
            for ledger in self._of(channel)
            for each in ledger.between(after, before)
            if _is_gone(ledger.path.with_name(each.name))
        }
        return sorted(found.values(), key=lambda each: recording_order(each.name))

    def size(self, channel: str, name: str) -> int | None:
        """The bytes of a file when it was closed; None where no ledger tells."""
        for ledger in self._of(channel):
            for each in ledger.between(None, None):
                if each.name == name:
                    return each.size
        return None

    def _of(self, channel: str) -> list[_Ledger]:
        ledgers = [each for each in self._ledgers.values() if each.channel.lower() == channel.lower()]
        for ledger in ledgers:
            ledger.look()
        return ledgers


def in_words(names: Collection[str]) -> str:
    """What is told of files that were gone before they were read."""
    first, *more = names
    return f"{first}{and_more(more)}: gone before all of it was read"


def and_more(names: Collection[str]) -> str:
    """The rest of a list of files, of which the first was named."""
    return f", and {len(names)} more up to {list(names)[-1]}" if names else ""


class _Ledger:
    """One ledger, as far as it was read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.channel = path.parent.absolute().name
        self._identity: tuple[int, int] | None = None
        self._read_to = 0
        self._rest = b""  # of a line that is not whole
        self._files: dict[str, Closed] = {}
        self._orders: list[tuple[int, int, str]] | None = None

    def look(self) -> None:
        """Read what was added."""
        try:
            fd = open_file(self.path)
        except OSError as exc:
            log.debug("%s: %s", self.path, exc.strerror)
            return
        try:
            status = os.fstat(fd)
            identity = (status.st_dev, status.st_ino)
            if identity != self._identity or status.st_size < self._read_to:  # what is known stays known
                self._identity, self._rest = identity, b""
                self._read_to = max(0, status.st_size - _MOST_BYTES)
            while self._read_to < status.st_size and (piece := os.pread(fd, _PIECE_BYTES, self._read_to)):
                self._read_to += len(piece)
                *whole, self._rest = (self._rest + piece).split(b"\n")
                for line in whole:
                    self._take(line)
                self._rest = self._rest if len(self._rest) <= _LINE_BYTES else b""
        except OSError as exc:
            log.debug("%s: %s", self.path, exc.strerror)
        finally:
            os.close(fd)

    def between(self, after: str | None, before: str | None) -> list[Closed]:
        """The files that it tells of, in recording order."""
        if self._orders is None:
            self._orders = sorted(map(recording_order, self._files))
        low, high = 0, len(self._orders)
        if after is not None:
            low = bisect.bisect_right(self._orders, recording_order(after))
        if before is not None:
            high = bisect.bisect_left(self._orders, recording_order(before))
        return [self._files[name] for _, _, name in self._orders[low:high]]

    def _take(self, line: bytes) -> None:
        if b'"file"' not in line or len(line) > _LINE_BYTES:
            return
        entry = Entry.parse(line)
        if entry is None or entry.file is None:
            return
        parsed = parse_file_name(entry.file.name)
        if parsed is None or parsed[0] != self.channel or entry.file.size < 0:
            return
        greatest = entry.file.greatest
        if greatest is not None and not math.isfinite(greatest):
            greatest = None
        if len(self._files) >= _MOST_FILES:
            self._files.pop(next(iter(self._files)))
        name = entry.file.name
        self._files[name] = Closed(name, entry.file.size, entry.until_ns, greatest)
        self._orders = None


def _is_gone(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
