"""A container file that grows: locked while open, a block a write, no torn block where the disk gives out."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

from speeddata.avro import container


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
        self._name_is_safe = False

    @classmethod
    def create(cls, path: Path, metadata: Mapping[str, str]) -> BlockFile:
        """Begin a new file. Its header is written together with its first block: no file is without datums.

        Raises:
            FileExistsError: *path* is taken.
            OSError: the directory takes no file.
        """
        sync = os.urandom(container.SYNC_SIZE)
        head = container.write_header({**metadata, "avro.codec": "null"}, sync)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        return cls(path, _locked(descriptor), sync, head=head)

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

    def append(self, count: int, data: bytes) -> int:
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
            if self.size == 0:
                with contextlib.suppress(OSError):
                    self.path.unlink()
        finally:
            os.close(self._descriptor)


def _locked(descriptor: int) -> int:
    """*descriptor*, with the exclusive lock. A reader that is just asking who holds it lets go at once."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
