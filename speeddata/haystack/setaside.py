"""Samples that were not sent, kept in a file of JSON Lines for a person to look at, or to send again."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from speeddata.errors import HostError
from speeddata.haystack.points import Table
from speeddata.haystack.preparing import Aside
from speeddata.recording.catalogue import open_file
from speeddata.timerange import iso_utc

LIMIT_BYTES = 64 << 20

_LINE_SAMPLES = 1000
_LINE_BYTES = 1 << 16  # of samples, after which another line begins
_LINE_LIMIT = 4 << 20  # bytes of a line that is read

log = logging.getLogger("speeddata")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the file.

    Attributes:
        time: when the samples were set aside, as ISO 8601 says it, UTC.
        channel, signal: where they came from.
        point: where they were to go, the id without the `@`.
        reason: why they were not sent.
        unit: of their times: ns, us, ms or s since 1970.
        samples: pairs of time and value; a time is None where there was none; NaN and infinities are text.
    """

    time: str
    channel: str
    signal: str
    point: str
    reason: str
    unit: str
    samples: list[list[Any]]


class SetAside:
    """The writing end; the file is made when it is first needed, for its owner alone, and never removed.

    Args:
        path: of the file; its directory must be there.
        limit_bytes: beyond that, samples are counted and not kept. That is told once.

    Attributes:
        count: samples set aside, up to now.
        unkept: those of them for which there was no room.
    """

    def __init__(self, path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.path, self.limit_bytes = path, limit_bytes
        self.count = self.unkept = 0

    def keep(self, table: Table, reason: str) -> None:
        """Set the samples of *table* aside; they are on the disk when this returns.

        Raises:
            HostError: the file cannot be written.
        """
        asides = []
        for cells in table.cells:
            times, values = table.times_ns, cells.values
            if cells.present is not None:
                times, values = times[cells.present], values[cells.present]
            if len(times):
                asides.append(Aside(cells.point, reason, "ns", times, values))
        self.keep_all(asides)

    def keep_all(self, asides: Iterable[Aside]) -> None:
        """Set aside what could not be sent; otherwise as `keep`."""
        asides = [aside for aside in asides if len(aside.times)]
        if not asides:
            return
        try:
            self._append(asides)
        except OSError as exc:
            mend = "what is not sent has to be kept somewhere: make room, or name another directory (--state)"
            raise HostError(f"cannot write: {exc.strerror}", where=str(self.path), mend=mend) from exc

    def _append(self, asides: Iterable[Aside]) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        fd = os.open(self.path, flags, 0o600)
        try:
            size = os.fstat(fd).st_size
            data = bytearray()
            if size and os.pread(fd, 1, size - 1) != b"\n":  # a line that a crash has torn stays alone
                data += b"\n"
            kept = lost = 0
            for aside in asides:
                for first, end, line in _lines(aside, iso_utc(time.time_ns())):
                    if lost or size + len(data) + len(line) > self.limit_bytes:
                        lost += end - first
                        continue
                    data += line
                    kept += end - first
                    if len(data) >= _LINE_LIMIT:
                        _write(fd, data)
                        size += len(data)
                        data.clear()
            if kept:
                _write(fd, data)
                os.fsync(fd)
        finally:
            os.close(fd)
        if lost and not self.unkept:
            log.warning(
                "%s: has %d MiB; what is set aside from now on is counted, not kept; move it away",
                *(self.path, self.limit_bytes >> 20),
            )
        self.count += kept + lost
        self.unkept += lost


def entries(path: Path) -> Iterator[Entry]:
    """What was set aside, line by line; lines that are none of these, or torn, are left out.

    Raises:
        HostError: the file cannot be read; one that is not there has no entries.
    """
    try:
        fd = open_file(path)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise HostError(f"cannot read: {exc.strerror}", where=str(path)) from exc
    with open(fd, "rb") as file:
        whole = True  # the line before was read to its end
        while line := _read(file.readline, path):
            if whole and line.endswith(b"\n") and (entry := _parsed(line)) is not None:
                yield entry
            whole = line.endswith(b"\n")


def _read(readline: Any, path: Path) -> bytes:
    try:
        return bytes(readline(_LINE_LIMIT))
    except OSError as exc:
        raise HostError(f"cannot read: {exc.strerror}", where=str(path)) from exc


def _parsed(line: bytes) -> Entry | None:
    try:
        record = json.loads(line)
        entry = Entry(**{each.name: record[each.name] for each in fields(Entry)})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    texts = (entry.time, entry.channel, entry.signal, entry.point, entry.reason, entry.unit)
    if not all(isinstance(text, str) for text in texts) or not isinstance(entry.samples, list):
        return None
    whole = all(isinstance(pair, list) and len(pair) == 2 for pair in entry.samples)
    return entry if whole else None


def _lines(aside: Aside, now: str) -> Iterator[tuple[int, int, bytes]]:
    """Which samples, and the line that they make."""
    point = aside.point
    said = {"time": now, "channel": point.channel, "signal": point.signal, "point": point.id}
    head = json.dumps(said | {"reason": aside.reason[:2000], "unit": aside.unit})[:-1] + ', "samples": ['
    first, size = 0, 0
    pairs: list[str] = []
    for begin in range(0, len(aside.times), _LINE_SAMPLES):
        part = slice(begin, begin + _LINE_SAMPLES)
        for at, pair in enumerate(zip(aside.times[part].tolist(), aside.values[part].tolist(), strict=True)):
            pairs.append(json.dumps([_plain(each) for each in pair]))
            size += len(pairs[-1])
            if len(pairs) == _LINE_SAMPLES or size >= _LINE_BYTES:
                yield first, begin + at + 1, f"{head}{', '.join(pairs)}]}}\n".encode()
                first, size = begin + at + 1, 0
                pairs.clear()
    if pairs:
        yield first, len(aside.times), f"{head}{', '.join(pairs)}]}}\n".encode()


def _plain(value: Any) -> Any:
    """JSON has no word for NaN and infinities."""
    if isinstance(value, float) and value - value != 0:
        return "NaN" if value != value else "INF" if value > 0 else "-INF"
    return value


def _write(fd: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    finally:
        view.release()
