"""The way to HDF5: one thread at a time, and work for it handed to threads in bounded amounts."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py

from speeddata.errors import HostError
from speeddata.h5disk import Disk

_WAITING_BYTES = 24 << 20  # of a channel, on the way to the file


class Guard:
    """The door for one thread at a time; closed once the disk has refused something.

    Attributes:
        file: as HDF5 sees it, made new at *aside*.
        disk: what lies below, for chunks that pass HDF5 by.

    Raises:
        HostError: it cannot be made.
    """

    def __init__(self, path: Path, aside: Path) -> None:
        self._path, self._lock = path, threading.RLock()
        try:
            self.disk = Disk(aside)
        except OSError as exc:
            raise self._refused(exc.strerror or str(exc)) from exc
        # what HDF5 would keep of chunks that it decodes itself: ours pass it by
        self.file = h5py.File(self.disk, "w", rdcc_nbytes=0)

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            self.check()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_exc: object) -> None:
        try:
            self.check()
        finally:
            self._lock.release()

    def check(self) -> None:
        """Raises:
        HostError: not all was written.
        """
        if self.disk.why:
            raise self._refused(self.disk.why)

    def close(self) -> None:
        self.file.close()
        self.disk.close()

    def _refused(self, why: str) -> HostError:
        return HostError(f"cannot write the set: {why}", where=str(self._path))


class Jobs:
    """Work handed to threads, a bounded amount of it; what one raises comes out at the next door."""

    def __init__(self, pool: ThreadPoolExecutor, guard: Guard) -> None:
        self._pool, self.guard = pool, guard
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self._bytes = 0

    def put(self, size: int, work: Callable[..., None], *args: Any) -> None:
        self._waiting.append((self._pool.submit(work, *args), size))
        self._bytes += size
        while self._bytes > _WAITING_BYTES:
            self._take()

    def wait(self) -> None:
        while self._waiting:
            self._take()

    def _take(self) -> None:
        job, size = self._waiting.popleft()
        self._bytes -= size
        job.result()
