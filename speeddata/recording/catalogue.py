"""Recordings as they lie on disk: what their files are called, which files they are, and places in them.

Section 5 of the formats. How they are read is in `reading`.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import stat
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from speeddata.avro import schema as schemas
from speeddata.avro.container import HEADER_LIMIT, Header, read_header
from speeddata.errors import DataError, HostError, UsageError
from speeddata.names import is_channel_name
from speeddata.timerange import iso_utc

ROLE = "recording"

_NAME = re.compile(r"(.+)_([0-9]{8}T[0-9]{6})\.([0-9]{9})Z\.avro")

log = logging.getLogger("speeddata")


# -- names and places ---------------------------------------------------------------------------------------


def file_name(channel: str, time_ns: int) -> str:
    """`CHANNEL_YYYYMMDDTHHMMSS.nnnnnnnnnZ.avro`: names sort in the order of time."""
    return f"{channel}_{iso_utc(time_ns).replace('-', '').replace(':', '')}.avro"


def parse_file_name(name: str) -> tuple[str, int] | None:
    """Channel and time in nanoseconds of what `file_name` made; None for any other name."""
    match = _NAME.fullmatch(name)
    if match is None or not is_channel_name(match[1]):
        return None
    try:
        begun = datetime.strptime(match[2], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return match[1], int(begun.timestamp()) * 10**9 + int(match[3])


def recording_order(name: str) -> tuple[int, int, str]:
    """Sorts names of files in recording order: ours by time; all others, before them, by name."""
    parsed = parse_file_name(name)
    return (0, 0, name) if parsed is None else (1, parsed[1], name)


@dataclass(frozen=True)
class Position:
    """A place in a recording that stays valid for good: text and back by `str` and `parse`.

    Attributes:
        file: name of the file, without its directory.
        block: offset of the block's frame in it, in bytes; 0 = the first one.
        datum: index of the datum in the block.
    """

    file: str
    block: int = 0
    datum: int = 0

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read FILE:BLOCK:DATUM.

        Raises:
            UsageError: *text* is nothing of the kind.
        """
        match = re.fullmatch(r"([^/]+):([0-9]{1,18}):([0-9]{1,18})", text, re.DOTALL)
        if match is None:
            raise UsageError(f"{text[:100]!r} is no position", mend="write FILE:BLOCK:DATUM")
        return cls(match[1], int(match[2]), int(match[3]))

    def __str__(self) -> str:
        return f"{self.file}:{self.block}:{self.datum}"


# -- which files --------------------------------------------------------------------------------------------


def is_ours(header: Header) -> bool:
    """Whether a relay wrote the file as a recording: such files it may delete, too."""
    return header.text("speeddata.role") == ROLE and "speeddata.channel" in header.metadata


def is_open(file: Path | int) -> bool:
    """Whether a relay is writing *file* (a path or a descriptor): it holds an exclusive `flock` meanwhile."""
    if isinstance(file, Path):
        try:
            fd = open_file(file)
        except OSError:
            return False
        try:
            return is_open(fd)
        finally:
            os.close(fd)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system that knows no locks, a pipe
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def header_of(path: Path) -> Header | None:
    """The header of a container file; None while it is not whole.

    Raises:
        DataError: it is no container.
        HostError: it cannot be read.
    """
    try:
        fd = open_file(path)
        try:
            return read_head(fd, where=str(path))
        finally:
            os.close(fd)
    except OSError as exc:
        raise HostError(f"cannot read: {exc.strerror}", where=str(path)) from exc


def recording_files(path: Path) -> dict[str, list[Path]]:
    """The files of each channel in *path*, in recording order; of a file that was named, just that one.

    A directory is searched recursively, without following links to directories. Containers with another role
    than `recording` (rejects) are left out, and so is what cannot be read as a container of records.

    Raises:
        HostError: *path* cannot be read.
        DataError: *path* is a file, and no container.
    """
    files: dict[str, list[Path]] = {}
    for channel, file in Catalogue(path).new():
        files.setdefault(channel, []).append(file)
    return files


def open_file(path: Path) -> int:
    """A descriptor to read the regular file *path*; raises OSError, also for pipes and devices."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hold us up
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file")
    return fd


def read_head(fd: int, *, where: str) -> Header | None:
    """The header of the container open as *fd*, whose file offset stays; None while it is not whole.

    Raises:
        DataError: it is no container.
        OSError: it cannot be read.
    """
    data = bytearray()
    try:
        while len(data) < HEADER_LIMIT and (piece := os.pread(fd, 1 << 14, len(data))):
            data += piece
            if (header := read_header(data)) is not None:
                return header
    except DataError as exc:
        raise DataError(exc.what, where=where) from None
    return None


def _channel(path: Path, header: Header) -> str:
    """Whose file it is: as its metadata says, else the name of the record.

    Raises:
        DataError: neither says it.
    """
    named = header.text("speeddata.channel")
    if is_channel_name(named):
        return named
    return schemas.parse(header.metadata.get("avro.schema", b""), where=str(path)).name.rpartition(".")[2]


@dataclass
class _Folder:
    """A directory as it was last listed."""

    changed_ns: int
    settled: bool  # a later change shows in its time, so that it need not be listed again before
    folders: list[Path] = field(default_factory=list)
    known: set[str] = field(default_factory=set)


class Catalogue:
    """The recordings below a directory, or one file; each is told once, when its header is whole."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[Path, _Folder] = {}
        self._names: dict[str, str] = {}  # channels are compared without case
        self._file_told = False
        self._refused: set[Path] = set()

    def new(self) -> list[tuple[str, Path]]:
        """Channel and path of the files that came since the last call, in recording order.

        Raises:
            HostError, DataError: see `recording_files`.
        """
        if self._file_told:
            return []
        try:
            is_folder = stat.S_ISDIR(self.root.stat().st_mode)
            found = self._search() if is_folder else self._named_file()
        except OSError as exc:
            raise HostError(f"cannot read: {exc.strerror}", where=str(self.root)) from exc
        found.sort(key=lambda pair: (*recording_order(pair[1].name), str(pair[1])))
        return [(self._names.setdefault(channel.lower(), channel), path) for channel, path in found]

    def _named_file(self) -> list[tuple[str, Path]]:
        header = header_of(self.root)
        if header is None and not is_open(self.root):
            raise DataError("ends before an Avro header is whole", where=str(self.root))
        self._file_told = header is not None
        return [] if header is None else [(_channel(self.root, header), self.root)]

    def _search(self) -> list[tuple[str, Path]]:
        found: list[tuple[str, Path]] = []
        folders, waiting = self._folders, [self.root]
        self._folders = {}
        while waiting:
            path = waiting.pop()
            try:
                folder = self._listed(path, folders.get(path), found)
            except OSError as exc:
                if path == self.root:
                    raise
                if not isinstance(exc, FileNotFoundError) and path not in self._refused:
                    self._refused.add(path)
                    log.warning("%s: cannot read: %s", path, exc.strerror)
                continue
            self._folders[path] = folder
            waiting += folder.folders
        return found

    def _listed(self, path: Path, before: _Folder | None, found: list[tuple[str, Path]]) -> _Folder:
        changed_ns = path.stat().st_mtime_ns
        if before is not None and before.settled and before.changed_ns == changed_ns:
            return before
        known = before.known if before is not None else set()
        # Times of directories are coarse: a second change at the same tick would not show.
        folder = _Folder(changed_ns, settled=time.time_ns() - changed_ns > 10**9)
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folder.folders.append(path / entry.name)
                elif entry.name.endswith(".avro") and entry.is_file():
                    if entry.name in known or self._look(path / entry.name, found):
                        folder.known.add(entry.name)
                    else:
                        folder.settled = False
        return folder

    def _look(self, path: Path, found: list[tuple[str, Path]]) -> bool:
        """Add a file to *found* if it is a recording; False when that cannot be said yet."""
        try:
            header = header_of(path)
            if header is None:
                return False
            if header.text("speeddata.role", ROLE) == ROLE:
                found.append((_channel(path, header), path))
        except (DataError, HostError) as exc:
            gone = isinstance(exc.__cause__, FileNotFoundError)
            strange = isinstance(exc, DataError) and parse_file_name(path.name) is None
            log.log(logging.DEBUG if gone or strange else logging.WARNING, "%s; left out", exc)
        return True
