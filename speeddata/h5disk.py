"""The file below HDF5, which never hears of a failure: a library that could not write might crash."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KEPT_BYTES = 4 << 20  # of what cannot be written any more, for HDF5 to read again while it closes

_TOGETHER = 256  # pieces of memory in one call; the system takes 1024


class Disk:
    """A new file, as h5py's driver for file objects wants it.

    Attributes:
        why: what the system said when it refused; "" while all is well. From then on nothing is written.

    Raises:
        OSError: it cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        self.why = ""
        self._at = self._end = 0
        self._kept: list[tuple[int, bytes]] = []
        self._room = _KEPT_BYTES

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (self._end if whence == os.SEEK_END else self._at if whence == os.SEEK_CUR else 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def write(self, data: memoryview) -> int:
        size, at = len(data), self._at
        if not self.why:
            try:
                done = 0
                while done < size:  # a full disk takes a part first, and says so only when asked again
                    done += os.pwrite(self._fd, data[done:], at + done)
            except OSError as exc:
                self.why = exc.strerror or str(exc)
        if self.why and size <= self._room:
            self._kept.append((at, bytes(data)))
            self._room -= size
        self._at = at + size
        self._end = max(self._end, self._at)
        return size

    def write_at(self, parts: Iterable[tuple[int, NDArray[np.uint8]]]) -> None:
        """Write bytes, shape (n,), to where they belong, in that order; past HDF5, from any thread."""
        waiting: list[memoryview] = []
        begin = end = 0
        for at, octets in parts:
            if waiting and (at != end or len(waiting) == _TOGETHER):
                self._write_together(begin, waiting)
                waiting = []
            if not waiting:
                begin = at
            waiting.append(octets.data)
            end = at + len(octets)
        self._write_together(begin, waiting)

    def _write_together(self, at: int, waiting: list[memoryview]) -> None:
        while waiting and not self.why:
            try:
                done = os.pwritev(self._fd, waiting, at)
            except OSError as exc:
                self.why = exc.strerror or str(exc)
                return
            at += done
            while waiting and done >= len(waiting[0]):
                done -= len(waiting.pop(0))
            if done:  # a full disk takes a part first
                waiting[0] = waiting[0][done:]

    def read(self, size: int) -> bytes:
        into = bytearray(size)
        self.readinto(memoryview(into))
        return bytes(into)

    def readinto(self, into: memoryview) -> int:
        size, at = len(into), self._at
        found = os.pread(self._fd, size, at).ljust(size, b"\0")
        into[:] = found
        for start, data in self._kept:
            first, end = max(start, at), min(start + len(data), at + size)
            if first < end:
                into[first - at : end - at] = data[first - start : end - start]
        self._at = at + size
        return size

    def truncate(self, size: int) -> int:
        if not self.why:
            try:
                os.ftruncate(self._fd, size)
            except OSError as exc:
                self.why = exc.strerror or str(exc)
        self._end = size
        return size

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        os.close(self._fd)
