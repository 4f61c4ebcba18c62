"""A container file that grows: locked while open, a block a write, no torn block where the disk gives out."""

from __future__ import annotations

import bisect
import contextlib
import errno
import fcntl
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from speeddata.avro import container

_BLOCKS_A_WRITE = 256  # three pieces each, of the 1024 that writev takes
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
        """Write one block; otherwise as `append_many`. Where in the file it begins."""
        return self.append_many([(count, data)])[0]

    def append_many(self, blocks: Sequence[tuple[int, bytes | memoryview]]) -> list[int]:
        """Write blocks with one write: the page cache takes many together for 0.6 of the price of one by one.

        Args:
            blocks: how many datums each has, and these end to end; at least one.

        Returns:
            Where in the file each begins that is in it now: the first of them, at least one. The others are
            to be asked for again, since one write takes only so many, and a disk that fills up only a part.

        Raises:
            OSError: the disk is full, or gave out; nothing of the first block stays, if that can be done.
        """
        pieces: list[bytes | memoryview] = [self._head]
        bounds = [self.size + len(self._head)]
        for count, data in blocks[:_BLOCKS_A_WRITE]:
            frame = container.frame(count, len(data))
            pieces += (frame, data, self.sync)
            bounds.append(bounds[-1] + len(frame) + len(data) + len(self.sync))
        try:
            end = self.size + os.writev(self._descriptor, pieces)
            if end < bounds[1]:  # a full disk takes a part first, and says ENOSPC only when asked again
                first = b"".join(pieces[:4])
                while end < bounds[1]:
                    end += os.write(self._descriptor, first[end - self.size :])
            whole = bisect.bisect_right(bounds, end) - 1
            if end > bounds[whole]:
                os.ftruncate(self._descriptor, bounds[whole])
            if self._aside is not None:
                _name(self._aside, self.path)
                self._aside = None
        except OSError:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                os.ftruncate(self._descriptor, self.size)
            raise
        self._head = b""
        self.size = bounds[whole]
        return bounds[:whole]

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
