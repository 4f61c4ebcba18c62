"""Which recordings have to go: the oldest first, across channels, and never more than the limits ask for."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from speeddata.errors import DataError, HostError
from speeddata.names import is_channel_name
from speeddata.recording import catalogue
from speeddata.recording.blockindex import index_path
from speeddata.recording.ledger import LEDGER_NAME, Counts, Entry, FileRange, Ledger

log = logging.getLogger("speeddata")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may stay. None = no limit.

    Attributes:
        keep_time_ns: a file whose last datum is older than this goes.
        keep_size: bytes that the recordings of a directory, indexes included, may have together.
        min_free: share of the file system that shall stay free, 0 to 1.
    """

    keep_time_ns: int | None = None
    keep_size: int | None = None
    min_free: float = 0.05


@dataclass(frozen=True, slots=True, order=True)
class Kept:
    """A recording in the directory; recordings sort by age.

    Attributes:
        time_ns: when it was begun: the time in its name.
        channel: its directory's name.
        path: of the file.
        size: bytes, its index included.
        until_ns: when it was last written.
        is_open: it is being written.
    """

    time_ns: int
    channel: str
    path: Path
    size: int
    until_ns: int
    is_open: bool


def surplus(
    files: Iterable[Kept], limits: Limits, now_ns: int, missing: int, is_ours: Callable[[Path], bool]
) -> Iterator[Kept]:
    """The files of *files* that have to go, oldest first.

    Only closed files go. A channel keeps its last file, open or closed, as long as another has two; and it
    keeps it always when it is free space that is short: what fills the disk may be none of ours.

    Args:
        files: all recordings of a directory, in any order.
        limits: what may stay.
        now_ns: UTC.
        missing: bytes by which the file system is short of `limits.min_free`.
        is_ours: whether a file's header says that it is a recording; asked only about files that would go.
    """
    left = sorted(files)
    counts = Counter(file.channel for file in left)
    total = sum(file.size for file in left)
    for spare_last in (True, False):
        if not spare_last and any(count > 1 for count in counts.values()):
            return
        staying = []
        for file in left:
            too_old = limits.keep_time_ns is not None and file.until_ns < now_ns - limits.keep_time_ns
            too_much = (limits.keep_size is not None and total > limits.keep_size) or (
                spare_last and missing > 0
            )
            last = spare_last and counts[file.channel] < 2
            if file.is_open or last or not (too_old or too_much) or not is_ours(file.path):
                staying.append(file)
                continue
            counts[file.channel] -= 1
            total -= file.size
            missing -= file.size
            yield file
        left = staying


class Retention:
    """Holds a recording directory within its limits.

    Args:
        directory: of the recordings of all channels.
        limits: what may stay in it.
    """

    def __init__(self, directory: Path, limits: Limits) -> None:
        self.directory, self.limits = directory, limits
        self._ours: dict[Path, bool] = {}

    def enforce(self, open_files: Collection[Path], now_ns: int) -> list[Kept]:
        """Delete what has to go, each recording together with its index; tell what was deleted.

        A disk that refuses is left as it is, until the next time.
        """
        gone: list[Kept] = []
        try:
            self._delete(open_files, now_ns, gone)
        except OSError as exc:
            log.debug("%s: %s", self.directory, exc)
        for home, file in {file.path.parent: file for file in gone}.items():
            Ledger(home / LEDGER_NAME).forget(file.until_ns)
        if gone:
            text = f"{len(gone)} recordings deleted, the last of them {gone[-1].path.name}"
            log.info("%s: %s", self.directory, text)
        return gone

    def _delete(self, open_files: Collection[Path], now_ns: int, gone: list[Kept]) -> None:
        missing = self._missing()
        if missing <= 0 and self.limits.keep_time_ns is None and self.limits.keep_size is None:
            return
        ledgers: dict[Path, _Known] = {}
        for file in surplus(scan(self.directory, open_files), self.limits, now_ns, missing, self._is_ours):
            home = file.path.parent
            ledger = ledgers.get(home) or ledgers.setdefault(home, _Known(home / LEDGER_NAME))
            ledger.take_down(file)
            file.path.unlink(missing_ok=True)
            index_path(file.path).unlink(missing_ok=True)
            ledger.flush()  # now there is room, if there was none
            self._ours.pop(file.path, None)
            gone.append(file)

    def _missing(self) -> int:
        system = os.statvfs(self.directory)
        return int(system.f_blocks * self.limits.min_free - system.f_bavail) * system.f_frsize

    def _is_ours(self, path: Path) -> bool:
        if path not in self._ours:
            self._ours[path] = has_our_header(path)
        return self._ours[path]


class _Known(Ledger):
    """A ledger that gets a line for a file that goes and has none: a relay that was killed left it open.

    Who has not read the file yet learns from the line that there was one.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._content = path.read_bytes()
        except OSError as exc:
            log.debug("%s: %s", path, exc.strerror)
            self._content = b""

    def take_down(self, file: Kept) -> None:
        name = file.path.name
        if f'"file": {json.dumps(name)}'.encode() in self._content:
            return
        try:
            header = catalogue.header_of(file.path)
            size = file.path.stat().st_size
        except (DataError, HostError, OSError) as exc:
            log.debug("%s: %s", file.path, exc)
            return
        if header is not None and size > header.size:  # else there is no datum in it
            begun_ns, session = min(file.time_ns, file.until_ns), header.text("speeddata.session")
            self.add(Entry(begun_ns, file.until_ns, session, Counts(), FileRange(name, size)))
            self.flush()


def scan(directory: Path, open_files: Collection[Path] = ()) -> list[Kept]:
    """The recordings in *directory*, by their names: `CHANNEL/CHANNEL_TIME.avro`; all else is passed over."""
    found = []
    for home in _entries(directory):
        if not is_channel_name(home.name) or not home.is_dir(follow_symlinks=False):
            continue
        sizes = {}
        for entry in _entries(Path(home.path)):
            if entry.is_file(follow_symlinks=False):
                sizes[entry.name] = entry
        for name, entry in sizes.items():
            parsed = catalogue.parse_file_name(name)
            if parsed is None or parsed[0] != home.name:
                continue
            path = Path(entry.path)
            try:
                stat = entry.stat()
                index = sizes.get(index_path(path).name)
                size = stat.st_size + (index.stat().st_size if index else 0)
            except FileNotFoundError:  # somebody else deleted it just now
                continue
            found.append(Kept(parsed[1], home.name, path, size, stat.st_mtime_ns, path in open_files))
    return found


def has_our_header(path: Path) -> bool:
    """Whether the file is a container that says it is a recording of ours."""
    try:
        header = catalogue.header_of(path)
    except (DataError, HostError):
        return False
    return header is not None and catalogue.is_ours(header)


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
