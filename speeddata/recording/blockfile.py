"""A container file that grows: locked while open, a block a write, no torn block where the disk gives out."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

from speeddata.avro import container

_NO_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS))


class BlockFile:
    """A container on its way to disk, holding an exclusive `flock` from its first moment until it is closed.

    Made by `create` or `extend`. After an OSError it may end in a torn block: close it, write nothing more.

    Attributes:
        path: where it is.
        sync: its sync marker.
        size: bytes of header and whole blocks.
    """

    def __init__(self, path: Path, descriptor: int, sync: bytes, *, head: bytes = b"", size: int = 0) -> None:
        self.path, self.sync, self.size = path, sync, size
        self._descriptor, self._head = descriptor, head
        self._aside: Path | None = None  # what it is called until its first block is in it
        self._name_is_safe = False

    @classmethod
    def create(cls, path: Path, metadata: Mapping[str, str]) -> BlockFile:
        """Begin a new file. It gets its name once header and first block are in it: none is without datums.

        Until then it has a hidden one, which a kill leaves behind and the next file takes over.

        Raises:
            FileExistsError: *path* is taken.
            OSError: the directory takes no file.
        """
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        sync = os.urandom(container.SYNC_SIZE)
        head = container.write_header({**metadata, "avro.codec": "null"}, sync)
        aside = path.with_name(f".{metadata.get('speeddata.role', 'container')}.new")
        aside.unlink(missing_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        file = cls(path, _locked(descriptor), sync, head=head)
        file._aside = aside
        return file

    @classmethod
    def extend(cls, path: Path, sync: bytes, size: int) -> BlockFile:
        """Go on with a container of *size* bytes of whole blocks; a torn tail behind them is cut off.

        Raises:
            OSError: *path* cannot be written.
        """
        descriptor = _locked(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
        try:
            os.ftruncate(descriptor, size)
        except OSError:
            os.close(descriptor)
            raise
        return cls(path, descriptor, sync, size=size)

    @property
    def removed(self) -> bool:
        """Whether somebody deleted the file: what is written to it goes nowhere."""
        return os.fstat(self._descriptor).st_nlink == 0

    def append(self, count: int, data: bytes | memoryview) -> int:
        """Write a block of *count* datums, *data*, with one write.

        Returns:
            Where in the file the block begins.

        Raises:
            OSError: the disk is full, or gave out; nothing of the block stays, if that can be done.
        """
        pieces = [self._head + container.frame(count, len(data)), data, self.sync]
        length = sum(map(len, pieces))
        try:
            written = os.writev(self._descriptor, pieces)
            if written < length:  # a full disk takes a part first, and says ENOSPC only when asked again
                rest = b"".join(pieces)
                while written < length:
                    written += os.write(self._descriptor, rest[written:])
            if self._aside is not None:
                _name(self._aside, self.path)
                self._aside = None
        except OSError:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                os.ftruncate(self._descriptor, self.size)
            raise
        begin = self.size + len(self._head)
        self._head = b""
        self.size += length
        return begin

    def to_platter(self) -> None:
        """Wait until the disk has what was written (fdatasync), and, once, the file's name."""
        getattr(os, "fdatasync", os.fsync)(self._descriptor)
        if not self._name_is_safe:
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
            self._name_is_safe = True

    def close(self) -> None:
        """Close and unlock; a file into which nothing was written is taken away again."""
        try:
            if self._aside is not None:
                with contextlib.suppress(OSError):
                    self._aside.unlink()
        finally:
            os.close(self._descriptor)


def _name(aside: Path, path: Path) -> None:
    """Give the file its name, and never that of another."""
    try:
        os.link(aside, path)
        aside.unlink()
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        os.rename(aside, path)  # a file system without links: `create` has looked, and the directory is ours


def _locked(descriptor: int) -> int:
    """*descriptor*, with the exclusive lock. A reader that is just asking who holds it lets go at once."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
