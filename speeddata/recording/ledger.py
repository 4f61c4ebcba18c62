"""The ledger of a channel: what was received, lost and rejected, and when: JSON Lines beside its recordings.

Two kinds of lines. A `loss` line tells of a second, more or less, in which something was lost or rejected;
a `file` line of everything from the close of the file before to the close of this one. Both hold differences,
never totals, so lines of one kind add up; the two kinds tell the same losses twice: never add them together.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path

LEDGER_NAME = "ledger.jsonl"
PENDING_LINES = 1200
TRIM_BYTES = 4 * 2**20
_MOST = 2**62

log = logging.getLogger("speeddata")


@dataclass(frozen=True, slots=True)
class Counts:
    """Datums by what became of them.

    Attributes:
        received: arrived from the session's source.
        recorded: are in a recording.
        lost: sent, and never arrived.
        lost_kernel: dropped by this host's kernel; part of `lost`.
        lost_disk: arrived, and not recorded because the disk was full or too slow.
        rejected: arrived, and are no datums of the schema.
    """

    received: int = 0
    recorded: int = 0
    lost: int = 0
    lost_kernel: int = 0
    lost_disk: int = 0
    rejected: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def losing(self) -> bool:
        """Whether anything was lost or rejected. (`lost` may sink again when late datums arrive.)"""
        return any((self.lost, self.lost_kernel, self.lost_disk, self.rejected))


@dataclass(frozen=True, slots=True)
class FileRange:
    """What a closed file holds.

    Attributes:
        name: the file's name inside the channel's directory.
        size: bytes.
        least, greatest: of the abscissa, in its own unit; None where it is no number.
    """

    name: str
    size: int
    least: int | float | None = None
    greatest: int | float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the ledger.

    Attributes:
        since_ns, until_ns: the span told of, UTC, in nanoseconds since 1970.
        session: whose datums they were.
        counts: what happened within the span.
        file: for a `file` line, the file that was closed; None for a `loss` line.
    """

    since_ns: int
    until_ns: int
    session: str
    counts: Counts
    file: FileRange | None = None

    def line(self) -> str:
        """The entry as a line of JSON."""
        record: dict[str, object] = {
            "kind": "file" if self.file else "loss",
            "since": self.since_ns,
            "until": self.until_ns,
            "session": self.session,
        }
        record |= asdict(self.counts)
        if self.file:
            record |= {
                "file": self.file.name,
                "size": self.file.size,
                "least": _finite(self.file.least),
                "greatest": _finite(self.file.greatest),
            }
        return json.dumps(record) + "\n"

    @classmethod
    def parse(cls, line: str | bytes) -> Entry | None:
        """Read one line; None where it is torn or no line of a ledger."""
        try:
            record = json.loads(line)
            counts = Counts(**{each.name: _whole(record[each.name]) for each in fields(Counts)})
            file = None
            if record["kind"] == "file":
                bounds = _bound(record["least"]), _bound(record["greatest"])
                file = FileRange(_text(record["file"]), _whole(record["size"]), *bounds)
            since_ns, until_ns = _whole(record["since"]), _whole(record["until"])
            return cls(since_ns, until_ns, _text(record["session"]), counts, file)
        except (ValueError, TypeError, KeyError, RecursionError):
            return None


def _whole(value: object) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError(value)
    return value


def _bound(value: object) -> int | float | None:
    return value if value is None or isinstance(value, float) else _whole(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _finite(number: int | float | None) -> int | float | None:
    """JSON has no word for NaN and infinities."""
    return number if isinstance(number, int) or (number is not None and abs(number) < float("inf")) else None


class Ledger:
    """The writing end. What the disk does not take is held in memory, in bounded detail, for later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending: list[Entry] = []

    @property
    def pending(self) -> int:
        """How many lines wait for the disk."""
        return len(self._pending)

    def add(self, entry: Entry) -> None:
        """Take *entry*; `flush` writes it."""
        self._pending.append(entry)
        if len(self._pending) > PENDING_LINES:
            self._pending = _coarser(self._pending)[-PENDING_LINES:]

    def flush(self) -> bool:
        """Write what is pending, all of it or nothing; False when the disk did not take it."""
        if not self._pending:
            return True
        try:
            _append(self.path, "".join(entry.line() for entry in self._pending).encode())
        except OSError as exc:  # the writer tells about the disk; the lines are kept, and tried again
            log.debug("%s: %s", self.path, exc.strerror)
            return False
        self._pending.clear()
        return True

    def forget(self, before_ns: int) -> None:
        """Drop the lines about times before *before_ns* once the file is large: their recordings are gone.

        A ledger that cannot be rewritten stays as it is.
        """
        try:
            if self.path.stat().st_size < TRIM_BYTES:
                return
            aside = self.path.with_name(f".{self.path.name}.new")
            with open(aside, "w", encoding="utf-8") as file:
                file.writelines(entry.line() for entry in read(self.path, since_ns=before_ns))
            aside.replace(self.path)
        except OSError as exc:
            log.debug("%s: %s", self.path, exc.strerror)


def read(path: Path, since_ns: int | None = None, until_ns: int | None = None) -> Iterator[Entry]:
    """The lines that tell of times in [since_ns, until_ns), in the order written.

    A torn last line, and anything else that is no entry, is passed over. A ledger that is not there is empty.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115  (the generator closes it)
    except FileNotFoundError:
        return
    with file:
        for line in file:
            entry = Entry.parse(line)
            if entry is None:
                continue
            if since_ns is not None and entry.until_ns < since_ns:
                continue
            if until_ns is not None and entry.since_ns >= until_ns:
                continue
            yield entry


def losses(entries: Iterable[Entry]) -> Counts:
    """What the `loss` lines among *entries* add up to; `received` and `recorded` are of the same seconds.

    At most 2**62 each: sources may claim to have sent any number, and it has to fit an HDF5 file.
    """
    total = sum((entry.counts for entry in entries if entry.file is None), Counts())
    return Counts(*(min(each, _MOST) for each in astuple(total)))


def _coarser(entries: list[Entry]) -> list[Entry]:
    """*entries* with neighbouring `loss` lines of one session made one, two at a time."""
    merged: list[Entry] = []
    paired = False
    for entry in entries:
        last = merged[-1] if merged else None
        if last and not paired and not last.file and not entry.file and last.session == entry.session:
            merged[-1] = replace(last, until_ns=entry.until_ns, counts=last.counts + entry.counts)
            paired = True
        else:
            merged.append(entry)
            paired = False
    return merged


def _append(path: Path, lines: bytes) -> None:
    """Add whole *lines* to *path*, or leave it as it was. A torn line of an earlier run is ended first."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            lines = b"\n" + lines
        try:
            written = os.write(descriptor, lines)
            while written < len(lines):  # a full disk takes a part first, and says so only when asked again
                written += os.write(descriptor, lines[written:])
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
