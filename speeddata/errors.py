"""What can go wrong, each kind with the exit status that it ends a command with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from speeddata.legible import printable


class SpeedDataError(Exception):
    """One line for a person: where it went wrong, what went wrong, how to mend it.

    It stays one line, and steers no terminal, whatever of a file's or a peer's text is quoted in it.

    Args:
        what: the fact, without a full stop.
        where: the file, line, endpoint or option that it is about.
        mend: what the reader can do about it.
    """

    status = 1

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.mend = what, where, mend

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        mend = f"; {self.mend}" if self.mend else ""
        return printable(f"{where}{self.what}{mend}")


@contextmanager
def told_where(where: str) -> Iterator[None]:
    """Say *where* of an error inside that says only what."""
    try:
        yield
    except SpeedDataError as exc:
        exc.where = exc.where or where
        raise


class HostError(SpeedDataError):
    """The system said no: a port in use, a directory that cannot be written, no such interface."""

    status = 1


class UsageError(SpeedDataError):
    """The command line or the configuration asks for what makes no sense."""

    status = 2


class DataError(SpeedDataError):
    """The data is not what it claims to be."""

    status = 3


class PeerError(SpeedDataError):
    """A server, relay or source refused, or cannot be reached."""

    status = 4


class PartlyDone(SpeedDataError):
    """The work was done in part; the rest is told."""

    status = 5


class Interrupted(SpeedDataError):
    """Stopped by a signal with work undone."""

    def __init__(self, status: int) -> None:
        super().__init__("interrupted with work undone")
        self.status = status


class StdoutClosed(Exception):
    """The reader of standard output left: the end of the work, and no failure."""
