"""A channel's directory, as the writer thread fills it: blocks written, files rotated, losses told."""

from __future__ import annotations

import bisect
import errno
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from speeddata.avro.schema import Schema
from speeddata.recording import catalogue
from speeddata.recording.blockfile import BlockFile
from speeddata.recording.blockindex import Entry as IndexEntry
from speeddata.recording.blockindex import IndexWriter, index_path
from speeddata.recording.gathering import (
    Offsets,
    OpenBlock,
    ReadyBlock,
    joined,
    ready_blocks,
    reason,
    sift,
)
from speeddata.recording.ledger import LEDGER_NAME, Counts, Entry, FileRange, Ledger
from speeddata.recording.outages import Outages
from speeddata.recording.rejects import REJECTS_NAME, Reject, Rejects

_NAMES_TRIED = 1000
_FRAME_BYTES = 64  # more than a block ever has beside its data

log = logging.getLogger("speeddata")


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a file is closed and the next one begun.

    Attributes:
        size: bytes that a file does not exceed.
        time_ns: how long a file is written to.
    """

    size: int = 50 << 20
    time_ns: int = 3600 * 10**9


@dataclass(frozen=True, slots=True)
class SessionBegin:
    """One run of one source begins. *known*: `Tally.known` at that moment."""

    id: str
    schema: Schema
    known: Counts


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """The session is over. *known*: `Tally.known` at that moment."""

    known: Counts


class Tally:
    """What became of a channel's datums since the recorder began. Each number is written by one thread.

    Attributes:
        recorded: are in a file.
        rejected: are no datums of the schema.
        refused: the writer thread could not write them (disk full or gone).
        dropped: could not be handed to the writer thread (disk too slow).
        file: the file being written; None between files.
    """

    def __init__(self) -> None:
        self.recorded = self.rejected = self.refused = self.dropped = 0
        self.file: Path | None = None
        self._heard = self._heard_before = Counts()

    def hear(self, received: int, lost: int, lost_kernel: int) -> None:
        """Take totals that only the relay knows; they may begin again at zero, as after it forgot us."""
        if received < self._heard.received:
            self._heard_before += self._heard
        self._heard = Counts(received=received, lost=lost, lost_kernel=lost_kernel)

    @property
    def lost_disk(self) -> int:
        """Arrived, and not recorded because the disk was full, gone or too slow."""
        return self.refused + self.dropped

    @property
    def known(self) -> Counts:
        """What the caller's thread knows at this moment."""
        return self._heard_before + self._heard + Counts(lost_disk=self.dropped)

    @property
    def done(self) -> Counts:
        """What the writer thread knows at this moment."""
        return Counts(recorded=self.recorded, lost_disk=self.refused, rejected=self.rejected)


class _OpenRecording:
    """A recording that is being written, and its index."""

    def __init__(self, file: BlockFile, schema: Schema, begun_ns: int) -> None:
        self.file, self.begun_ns = file, begun_ns
        self._unsynced = False
        self.least: int | float | None = None
        self.greatest: int | float | None = None
        self._index = IndexWriter(schema, file.sync)
        self._index_path = index_path(file.path)
        self._index_rows = bytearray()

    def append(self, blocks: Sequence[ReadyBlock]) -> int:
        """Write the first of *blocks*, as many as one write takes; how many, at least one.

        Raises:
            OSError: the disk gave out; the file is to be closed.
        """
        begins = self.file.append_many([(block.datums, block.data) for block in blocks])
        self._unsynced = True
        for block, (begin, end) in zip(blocks, pairwise([*begins, self.file.size]), strict=False):
            least, greatest = block.least, block.greatest
            if least is not None and greatest is not None and least <= greatest:  # neither is NaN
                self.least = least if self.least is None else min(self.least, least)
                self.greatest = greatest if self.greatest is None else max(self.greatest, greatest)
            self._index_rows += self._index.add(IndexEntry(begin, end - begin, block.datums, least, greatest))
        return len(begins)

    def write_index(self) -> None:
        """Bring the index up to date. It is derived: a disk that refuses costs nothing but time later."""
        rows, self._index_rows = self._index_rows, bytearray()
        if not rows:
            return
        try:
            with open(self._index_path, "ab") as file:
                file.write(rows)
        except OSError as exc:
            log.debug("%s: %s", self._index_path, exc.strerror)

    def to_platter(self) -> None:
        """Make sure that the disk has all that was written; raises OSError as `append` does."""
        if self._unsynced:
            self.file.to_platter()
            self._unsynced = False


class ChannelFiles:
    """What the writer thread does for one channel, session after session. Only `tally` is for other threads.

    Args:
        name: of the channel.
        home: its directory, made when it is needed; files are named after it.
        rotation: when to begin the next file.
        outages: the troubles of the directory, shared by its channels.
        hold: makes sure that the directory is still ours before a file is begun in it; raises OSError.
        make_room: asked to delete what has to go when the disk gives out.

    Attributes:
        closed: how many recordings were closed so far.
    """

    def __init__(
        self,
        name: str,
        home: Path,
        rotation: Rotation,
        outages: Outages,
        hold: Callable[[], None],
        make_room: Callable[[], None],
    ) -> None:
        self.name, self.home, self.rotation = name, home, rotation
        self.tally = Tally()
        self.closed = 0
        self._outages, self._hold, self._make_room = outages, hold, make_room
        self._session: SessionBegin | None = None
        self._current: _OpenRecording | None = None
        self._ledger = Ledger(home / LEDGER_NAME)
        self._rejects = Rejects(home / REJECTS_NAME, name)
        self._told, self._told_ns = Counts(), 0  # by `loss` lines
        self._filed, self._filed_ns = Counts(), 0  # by `file` lines

    @property
    def idle(self) -> bool:
        """Whether nothing is open and nothing waits to be written."""
        return self._session is None and not self._ledger.pending

    def begin(self, session: SessionBegin) -> None:
        """A new session: its first block will begin a new file."""
        self.end(SessionEnd(session.known))
        self._session = session
        self._filed = session.known + self.tally.done
        self._told_ns = self._filed_ns = time.time_ns()

    def end(self, end: SessionEnd) -> None:
        """The session is over: its file is closed, its ledger complete."""
        if self._session is None:
            return
        self._close_file(end.known)
        self._account(end.known)
        self._rejects.close()
        self._outages.forget(self.name)
        self._session = None

    def write(self, blocks: Sequence[OpenBlock]) -> None:
        """Record what is good in *blocks*, keep what is not; count what the disk does not take.

        Their datums are looked at together, and written together, since both cost a fixed price each time.
        """
        assert self._session is not None
        schema, tally = self._session.schema, self.tally
        seen_to = tally.recorded + tally.rejected
        try:
            data, offsets = joined(blocks)
            good, good_offsets, bad = sift(schema, data, offsets)
            if bad:
                self._reject(blocks, data, offsets, bad)
            ready = ready_blocks(schema, blocks, good, good_offsets, bad)
            while ready:
                may_try = self._outages.may_try(self.name, time.monotonic_ns())
                ready = ready[self._record(ready) if may_try else 1 :]
        finally:
            count = sum(block.count for block in blocks)
            if missing := count - (tally.recorded + tally.rejected - seen_to):
                tally.refused += missing
                self._outages.lose(self.name, missing)

    def every_second(self) -> None:
        """Look after the files: rotate by time, notice deletion, index, ledger."""
        if (current := self._current) is not None:
            if current.file.removed:
                log.warning(
                    "%s: deleted while it was written; the next block begins another", current.file.path
                )
                self._close_file()
            elif time.monotonic_ns() - current.begun_ns >= self.rotation.time_ns:
                self._close_file()
            else:
                current.write_index()
        self._rejects.look_again()
        self._account()

    def to_platter(self) -> None:
        """fdatasync what was written since the last time."""
        if self._current is None:
            return
        try:
            self._current.to_platter()
        except OSError as exc:
            self._fail(exc)

    # -- recordings -----------------------------------------------------------------------------------------

    def _record(self, blocks: Sequence[ReadyBlock]) -> int:
        """Write some of *blocks*, the first ones; how many were seen to: one, where the disk refuses it."""
        assert self._session is not None
        try:
            fitting = self._fitting(blocks)
            if not fitting:
                self._close_file()
            current = self._current
            if current is None:
                current = self._current = self._begin_file(blocks[0].time_ns, self._session.schema)
            written = current.append(blocks[: max(fitting, 1)])
        except OSError as exc:
            self._fail(exc)
            return 1
        self.tally.file = current.file.path
        self.tally.recorded += sum(block.datums for block in blocks[:written])
        self._outages.over(self.name, time.monotonic_ns())
        return written

    def _fitting(self, blocks: Sequence[ReadyBlock]) -> int:
        """How many of *blocks* the open file has room for; 0 where the next file is to be begun."""
        if self._current is None:
            return 0
        ends = list(accumulate(len(block.data) + _FRAME_BYTES for block in blocks))
        return bisect.bisect_right(ends, self.rotation.size - self._current.file.size)

    def _begin_file(self, time_ns: int, schema: Schema) -> _OpenRecording:
        assert self._session is not None
        self._hold()
        self.home.mkdir(exist_ok=True)
        newest = max(self._stamps(), default=0)
        first = max(time_ns, newest + 1)  # the clock may have stepped back; names sort in recording order
        metadata = {
            "avro.schema": schema.text,
            "speeddata.channel": self.name,
            "speeddata.session": self._session.id,
            "speeddata.role": catalogue.ROLE,
        }
        for stamp in range(first, first + _NAMES_TRIED):
            path = self.home / catalogue.file_name(self.home.name, stamp)
            try:
                return _OpenRecording(BlockFile.create(path, metadata), schema, time.monotonic_ns())
            except FileExistsError:
                continue
        raise FileExistsError(errno.EEXIST, "no free file name", str(path))

    def _stamps(self) -> Iterator[int]:
        """The times in the names of the channel's recordings."""
        for path in self.home.iterdir():
            parsed = catalogue.parse_file_name(path.name)
            if parsed is not None:
                yield parsed[1]

    def _close_file(self, known: Counts | None = None) -> None:
        current, self._current = self._current, None
        self.tally.file = None
        if current is None:
            return
        self.closed += 1
        file = current.file
        try:
            current.write_index()
            file.close()
        except OSError as exc:  # NFS tells here what it could not write
            log.error("%s: %s", file.path, exc.strerror)
        if file.size:
            closed = FileRange(file.path.name, file.size, current.least, current.greatest)
            self._account(known, closed)

    def _fail(self, problem: OSError) -> None:
        """The disk refused: nothing more is written to the file, so that what is in it stays whole."""
        self._close_file()
        if self._outages.begin(self.name, problem, time.monotonic_ns()):
            self._make_room()

    # -- rejects and the ledger -----------------------------------------------------------------------------

    def _reject(self, blocks: Sequence[OpenBlock], data: bytes, offsets: Offsets, bad: Sequence[int]) -> None:
        assert self._session is not None
        schema = self._session.schema
        self.tally.rejected += len(bad)

        def rejects() -> Iterator[Reject]:
            ends = list(accumulate(block.count for block in blocks))
            for number in bad:
                which = bisect.bisect_right(ends, number)
                source, time_ns = blocks[which].origin(number - ends[which] + blocks[which].count)
                begin, end = int(offsets[number]), int(offsets[number + 1])
                yield Reject(time_ns, source, reason(schema, data, begin, end), data[begin:end])

        if self._has_home():
            self._rejects.keep(rejects())

    def _account(self, known: Counts | None = None, closed: FileRange | None = None) -> None:
        """Put into the ledger what has happened since the last time, if it is worth a line."""
        if self._session is not None:
            counts, now_ns = (known or self.tally.known) + self.tally.done, time.time_ns()
            since = counts - self._told
            if since.losing:
                begun_ns = min(self._told_ns, now_ns)  # the clock may have stepped back
                self._ledger.add(Entry(begun_ns, now_ns, self._session.id, since))
            self._told, self._told_ns = counts, now_ns
            if closed is not None:
                begun_ns = min(self._filed_ns, now_ns)
                self._ledger.add(Entry(begun_ns, now_ns, self._session.id, counts - self._filed, closed))
                self._filed, self._filed_ns = counts, now_ns
        if self._ledger.pending and self._has_home():
            self._ledger.flush()

    def _has_home(self) -> bool:
        try:
            self.home.mkdir(exist_ok=True)
        except OSError as exc:
            log.debug("%s: %s", self.home, exc.strerror)
            return False
        return True
