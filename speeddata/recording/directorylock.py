"""Who records in a directory: whoever holds the lock on it, and nobody else."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
from pathlib import Path

from speeddata.errors import HostError


class DirectoryLock:
    """An exclusive `flock` on the directory itself.

    Args:
        directory: made if it is not there.

    Raises:
        HostError: it cannot be made or written, or another relay has it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptor = -1
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._descriptor = _locked_directory(directory)
            _try_writing(directory)
        except BlockingIOError:
            raise HostError(
                "another relay records here",
                where=str(directory),
                mend="give each relay its own directory (-o)",
            ) from None
        except OSError as exc:
            self.release()
            mend = "name a directory that can be written (-o), or record nothing (--no-record)"
            raise HostError(f"cannot record here: {exc.strerror}", where=str(directory), mend=mend) from exc

    def hold(self) -> None:
        """Make sure that the directory at that path is still the one that is locked: disks may be changed.

        Raises:
            OSError: it is gone, or another relay has taken it.
        """
        here = os.stat(self._directory)
        if not os.path.samestat(here, os.fstat(self._descriptor)):
            try:
                descriptor = _locked_directory(self._directory)
            except BlockingIOError:
                raise BlockingIOError(
                    errno.EAGAIN, "another relay records here", str(self._directory)
                ) from None
            self.release()
            self._descriptor = descriptor

    def release(self) -> None:
        """Let others record here."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _locked_directory(directory: Path) -> int:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _try_writing(directory: Path) -> None:
    """Make a file and take it away. A disk that is only full passes: recording begins when there is room."""
    try:
        descriptor, name = tempfile.mkstemp(dir=directory, prefix=".speeddata-")
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            return
        raise
    os.close(descriptor)
    with contextlib.suppress(OSError):
        os.unlink(name)
