"""The marks of a recording, in `marks.jsonl` beside its channels: a line is appended for whatever changes."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from speeddata.chart import marks
from speeddata.chart.marks import LINE_LIMIT, Mark, Removal
from speeddata.errors import DataError, HostError, SpeedDataError, UsageError
from speeddata.recording.catalogue import open_file
from speeddata.timerange import iso_utc

MARKS_NAME = "marks.jsonl"

_FILE_LIMIT = 16 << 20  # bytes that are read

log = logging.getLogger("speeddata")


class MarkFile:
    """Marks that several programs read and write at the same time.

    A later line about a mark replaces the earlier ones. Lines that are none, or that a crash has torn, are
    left out, and told once.

    Args:
        path: of the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._told: set[int] = set()  # numbers of lines

    @classmethod
    def of(cls, directory: Path) -> MarkFile:
        """The marks of the recording in *directory*, or of the one whose channel it holds."""
        above = directory.absolute().parent / MARKS_NAME
        here = directory / MARKS_NAME
        return cls(above if above.is_file() and not here.is_file() else here)

    def read(self) -> list[Mark]:
        """Every mark, in the order they were first made; none where there is no file.

        Raises:
            HostError: it cannot be read.
            DataError: it is far too large to be ours.
        """
        found: dict[str, Mark] = {}
        for number, text in enumerate(self._lines(), 1):
            if not text.strip():
                continue
            try:
                if len(text) > LINE_LIMIT:
                    raise DataError("no mark: too long")
                said = marks.parse(text.decode())
            except (SpeedDataError, UnicodeDecodeError) as exc:
                if number not in self._told:
                    self._told.add(number)
                    what = exc.what if isinstance(exc, SpeedDataError) else "no UTF-8"
                    log.warning("%s: line %d: %s; left out", self.path, number, what)
                continue
            if isinstance(said, Removal):
                found.pop(said.key, None)
            else:
                found[said.key] = said
        return list(found.values())

    def write(self, mark: Mark) -> None:
        """Add *mark*, or put it in the place of the one with its name; the directory is made.

        Raises:
            UsageError: it is none that could be read again.
            HostError: it cannot be written; then the file is as it was.
        """
        self._append(marks.line(mark))

    def rename(self, mark: Mark, name: str) -> None:
        """Call *mark* by another *name*, in one write; otherwise as `write`."""
        renamed = marks.line(
            Mark(marks.mark_name(name), mark.begin_ns, mark.end_ns, mark.channels, mark.created_ns)
        )
        if name.lower() == mark.key:
            self._append(renamed)
        else:
            self._append(f"{marks.removal(mark.name)}\n{renamed}")

    def remove(self, mark: Mark) -> None:
        """Take *mark* away; otherwise as `write`."""
        self._append(marks.removal(mark.name))

    def _lines(self) -> list[bytes]:
        try:
            fd = open_file(self.path)
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise HostError(f"cannot read: {exc.strerror}", where=str(self.path)) from exc
        try:
            with open(fd, "rb") as file:
                data = file.read(_FILE_LIMIT + 1)
        except OSError as exc:
            raise HostError(f"cannot read: {exc.strerror}", where=str(self.path)) from exc
        if len(data) > _FILE_LIMIT:
            raise DataError(f"has more than {_FILE_LIMIT >> 20} MiB of marks", where=str(self.path))
        return data.split(b"\n")

    def _append(self, text: str) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            fd = os.open(self.path, flags, 0o666)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                _append_whole(fd, text.encode() + b"\n")
            finally:
                os.close(fd)
        except OSError as exc:
            raise HostError(f"cannot write: {exc.strerror}", where=str(self.path)) from exc


def _append_whole(fd: int, data: bytes) -> None:
    """Append *data* behind whole lines, or nothing."""
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":  # a line that a crash has torn stays alone
        data = b"\n" + data
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        os.ftruncate(fd, size)
        raise


def marked(directories: Sequence[Path], name: str) -> Mark:
    """The mark *name* of the recordings in *directories*: the first of them that has it.

    Raises:
        UsageError: none has it, or it has no end yet.
        HostError, DataError: the marks cannot be read.
    """
    files = list({file.path: file for file in map(MarkFile.of, directories)}.values())
    there = [file for file in files if file.path.exists()]
    if not there:
        where = ", ".join(str(file.path.parent) for file in files)
        raise UsageError(f"{where} has no {MARKS_NAME}", where="--mark", mend="`speeddata tui` makes marks")
    found: dict[str, Mark] = {}
    for file in there:
        for mark in file.read():
            found.setdefault(mark.key, mark)
    mark = marks.named(list(found.values()), name, where=", ".join(str(file.path) for file in there))
    if mark.end_ns is None:
        begun = iso_utc(mark.begin_ns)
        mend = f"end it in `speeddata tui`, or cut with --since {begun}"
        raise UsageError(f"mark {mark.name} has no end yet", where="--mark", mend=mend)
    return mark
