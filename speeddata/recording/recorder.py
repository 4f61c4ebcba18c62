"""The writing side of a recording directory: arrivals become blocks here, and files in a thread of its own.

The caller is never held up. What the disk does not take in time is counted, and only the recording loses it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, TypeAlias

from speeddata.avro.schema import Schema
from speeddata.errors import HostError, PartlyDone
from speeddata.names import is_channel_name
from speeddata.recording.channelfiles import ChannelFiles, Rotation, SessionBegin, SessionEnd, Tally
from speeddata.recording.directorylock import DirectoryLock
from speeddata.recording.gathering import BLOCK_BYTES, Address, Offsets, OpenBlock, cut
from speeddata.recording.outages import Outages
from speeddata.recording.rememberedports import RememberedPorts
from speeddata.recording.retention import Limits, Retention
from speeddata.spool import Spool

BLOCK_NS = 100_000_000
SPOOL_BYTES = 64 << 20
_SECOND_NS = 1_000_000_000
_RETENTION_NS = 10 * _SECOND_NS
# The writer thread rests so long between two looks: a wake-up for each arrival costs more than the work.
_REST_S = 0.01
# Unless so much waits: what is written while it is still in the processor's cache costs half.
_ENOUGH_BYTES = 1 << 20
_TOGETHER_BYTES = 1 << 20  # of one channel's blocks that are seen to together, about
# An arrival as large as this is recorded as it is: nothing of it waits in an open block to be joined to the
# next, which would copy all of both.
_LARGE_BYTES = 4 * BLOCK_BYTES
_TYPE_WEIGHT = 400  # bytes of memory that a type of a schema takes, roughly
_STALL_S = 5.0
_NAMES_KEPT = 1024  # channels whose tally is kept; beyond that those that ended are forgotten

log = logging.getLogger("speeddata")

_Job: TypeAlias = SessionBegin | list[OpenBlock] | SessionEnd
_Work: TypeAlias = tuple[ChannelFiles, _Job]


class ChannelWriter:
    """Takes the datums of one session of a channel, from the thread that owns the recorder.

    Made by `Recorder.channel`.

    Attributes:
        tally: what became of the channel's datums, of this session and of those before it.
    """

    def __init__(self, recorder: Recorder, files: ChannelFiles, begin: SessionBegin) -> None:
        self.tally = files.tally
        self._recorder, self._files = recorder, files
        self._begin: SessionBegin | None = begin  # until the writer thread has it
        self._block: OpenBlock | None = None
        self._closed = False

    def add(self, data: bytes, offsets: Offsets, address: Address, now_ns: int) -> None:
        """Take datums. Full blocks go to the writer thread at once, the rest with `Recorder.tick`.

        The blocks that one arrival fills go together: it costs much less to look at their datums together.

        Args:
            data: datums end to end; they must not change afterwards.
            offsets: where each begins and the last ends: int64, shape (count + 1,).
            address: where they came from.
            now_ns: monotonic.

        Raises:
            ValueError: the session is closed.
        """
        if self._closed:
            raise ValueError("this session is closed")
        if self._begin is not None and not self._begun():
            self._recorder._lose(self._files, len(offsets) - 1)
            return
        if len(data) >= _LARGE_BYTES and offsets[-1] - offsets[0] >= _LARGE_BYTES:
            self.flush()
            blocks = cut(data, offsets, address, now_ns, self._recorder._clock())
            self._recorder._hand_over(self, self._files, blocks)
            return
        first, count = 0, len(offsets) - 1
        full = []
        while first < count:
            if self._block is None:
                self._block = self._recorder._begin_block(self, now_ns)
            first = self._block.take(data, offsets, first, address, now_ns)
            if first < count or self._block.is_full:
                full.append(self._block)
                self._block = None
        if full:
            if self._block is not None:
                self._block.settle()
            self._recorder._hand_over(self, self._files, full)

    def flush(self) -> None:
        """Let what is in the open block be written now, though it is neither full nor due."""
        block, self._block = self._block, None
        if block is not None:
            self._recorder._hand_over(self, self._files, [block])

    def counts(self, *, received: int, lost: int, lost_kernel: int) -> None:
        """Tell the ledger what only the caller knows: totals of the channel."""
        self.tally.hear(received, lost, lost_kernel)

    def close(self) -> None:
        """End the session: the writer thread writes what is open and closes the file. Never waits."""
        if not self._closed:
            self.flush()
            self._closed = True
            self._recorder._end_session(self._files, begun=self._begin is None)

    def _begun(self) -> bool:
        """Whether the writer thread has been told of the session: not where too much waits for it already.

        A session weighs what its schema does, else endless ones would fill the memory while the disk stalls.
        """
        begin = self._begin
        if begin is not None:
            weight = 2 * len(begin.schema.text) + _TYPE_WEIGHT * begin.schema.types
            if self._recorder._spool.put((self._files, begin), weight):
                self._begin = None
        return self._begin is None


class Recorder:
    """Records channels in a directory, which it holds alone until it is closed.

    All methods are for one thread; none but `close` waits for the disk, once the recorder is made.

    Args:
        directory: made if it is not there.
        rotation: when a channel's next file is begun.
        limits: what may stay on the disk.
        sync_ns: how often written blocks are forced to the platter; None leaves that to the system.
        spool_bytes: how much may wait for the disk.
        clock: nanoseconds UTC, for file names.

    Raises:
        HostError: the directory cannot be made or written, or another relay records there.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        rotation: Rotation | None = None,
        limits: Limits | None = None,
        sync_ns: int | None = None,
        spool_bytes: int = SPOOL_BYTES,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.directory = Path(directory)
        self._lock = DirectoryLock(self.directory)
        self._rotation, self._clock = rotation or Rotation(), clock
        self._ports = RememberedPorts(self.directory)
        self._retention = Retention(self.directory, limits or Limits())
        self._sync_ns = sync_ns
        self._outages = Outages(self.directory)
        self._files: dict[str, ChannelFiles] = {}
        self._spellings = {path.name.lower(): path.name for path in sorted(self.directory.iterdir())}
        self._writers: dict[str, ChannelWriter] = {}
        self._open: dict[ChannelWriter, int] = {}  # oldest first -> when its block is due
        self._overflow = _Overflow(self.directory)
        self._spool: Spool[_Work] = Spool(spool_bytes)
        self._handed = self._done = 0  # datums given to the writer thread, and seen to by it
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        """Close, waiting as long as the disk takes anything.

        Raises:
            PartlyDone: the disk stalls, and datums are not written.
        """
        left = self.close(_STALL_S)
        while left and (still_left := self.close(_STALL_S)) < left:
            left = still_left
        if left:
            what = f"the disk stalls: {left:,} datums are not recorded"
            problem = PartlyDone(what, where=str(self.directory), mend="record to another disk")
            if kind is None:
                raise problem
            log.error("%s", problem)

    # -- the caller's thread --------------------------------------------------------------------------------

    def channel(self, name: str, schema: Schema, session: str) -> ChannelWriter:
        """Begin a session of channel *name*: a new file, with its first block. One that is open is ended.

        Raises:
            ValueError: *name* may not name a channel, or the recorder is closed.
        """
        if self._closed:
            raise ValueError("this recorder is closed")
        if not is_channel_name(name):
            raise ValueError(f"{name!r} is no channel name")
        key = name.lower()
        if key in self._writers:
            self._writers[key].close()
        self._forget_some()
        files = self._files.get(key)
        if files is None:
            home = self.directory / self._spellings.setdefault(key, name)
            files = self._files[key] = ChannelFiles(
                name, home, self._rotation, self._outages, self._lock.hold, self._make_room
            )
        begin = SessionBegin(session, schema, files.tally.known)
        writer = self._writers[key] = ChannelWriter(self, files, begin)
        writer._begun()
        return writer

    def tick(self, now_ns: int) -> None:
        """Hand over the blocks that are due. *now_ns* is monotonic, as in `ChannelWriter.add`."""
        if self._open and now_ns >= next(iter(self._open.values())):
            # What is due soon goes along: many slow channels then wake us as often as one.
            for writer, due_ns in list(self._open.items()):
                if due_ns - now_ns > BLOCK_NS // 2:
                    break
                writer.flush()
        self._overflow.look(self._spool)

    def deadline(self) -> int | None:
        """When `tick` has to be called next, monotonic nanoseconds; None = nothing is open."""
        return next(iter(self._open.values()), None)

    def tally(self, name: str) -> Tally | None:
        """What became of the datums of channel *name*, all sessions together; None where it is not known."""
        files = self._files.get(name.lower())
        return files.tally if files else None

    def close(self, timeout_s: float | None = None) -> int:
        """End all sessions, wait until everything is written, and let go of the directory.

        Args:
            timeout_s: how long to wait for a disk that stalls; None = for ever.

        Returns:
            Datums that are not written: 0 unless the time ran out.
        """
        if not self._closed:
            self._closed = True
            for writer in list(self._writers.values()):
                writer.close()
            self._spool.close()
        self._thread.join(timeout_s)
        if self._thread.is_alive():  # it keeps its files and the lock; both go with the process
            return max(1, self._handed - self._done)
        self._lock.release()
        return self._handed - self._done

    def remembered(self) -> dict[str, int]:
        """Ports given to channels, in this run and earlier ones, by name."""
        return self._ports.ports

    def remember(self, name: str, port: int) -> None:
        """Keep the port of *name* for the next run. A disk that refuses costs the memory, and no more."""
        self._ports.remember(name, port)

    def _begin_block(self, writer: ChannelWriter, now_ns: int) -> OpenBlock:
        self._open.pop(writer, None)  # the newest goes last
        self._open[writer] = now_ns + BLOCK_NS
        return OpenBlock(now_ns, self._clock())

    def _hand_over(self, writer: ChannelWriter, files: ChannelFiles, blocks: list[OpenBlock]) -> None:
        if writer._block is None:
            self._open.pop(writer, None)
        count = sum(block.count for block in blocks)
        if self._spool.put((files, blocks), sum(block.weight for block in blocks)):
            self._handed += count
        else:
            self._lose(files, count)

    def _lose(self, files: ChannelFiles, count: int) -> None:
        files.tally.dropped += count
        self._overflow.lose(count)

    def _end_session(self, files: ChannelFiles, *, begun: bool) -> None:
        if begun:  # there is room for it: sessions that begin are limited, and nothing of no size is refused
            self._spool.put((files, SessionEnd(files.tally.known)), 0)
        del self._writers[files.name.lower()]

    def _forget_some(self) -> None:
        if len(self._files) < _NAMES_KEPT:
            return
        for key in [key for key, files in self._files.items() if key not in self._writers and files.idle]:
            if not self._files.pop(key).tally.recorded:
                del self._spellings[key]

    # -- the writer's thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        now_ns = time.monotonic_ns()
        second_ns, retention_ns, closed = now_ns + _SECOND_NS, now_ns, 0
        sync_ns = now_ns + self._sync_ns if self._sync_ns else None
        while not self._spool.drained:
            due_ns = min(second_ns, sync_ns or second_ns)
            work = self._spool.get(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))
            while work is not None:
                work = self._do_with_next(*work)
            if not self._spool.closed:
                self._spool.gather(_ENOUGH_BYTES, _REST_S)
            now_ns = time.monotonic_ns()
            if self._sync_ns and sync_ns and now_ns >= sync_ns:
                self._each(ChannelFiles.to_platter)
                sync_ns = time.monotonic_ns() + self._sync_ns
            if now_ns >= second_ns:
                self._each(ChannelFiles.every_second)
                self._ports.save()
                second_ns = now_ns + _SECOND_NS
                before, closed = closed, sum(files.closed for files in list(self._files.values()))
                if closed != before:  # a fast channel fills many files between two looks
                    retention_ns = now_ns
            if now_ns >= retention_ns:
                self._make_room()
                retention_ns = now_ns + _RETENTION_NS
        self._ports.save()

    def _do_with_next(self, files: ChannelFiles, work: _Job) -> _Work | None:
        """Do *work*, with what waits behind it of the same kind and channel; what comes next."""
        following = self._spool.get(0)
        if isinstance(work, list):
            size = sum(block.size for block in work)
            while following and following[0] is files and isinstance(following[1], list):
                if (size := size + sum(block.size for block in following[1])) > _TOGETHER_BYTES:
                    break
                work += following[1]
                following = self._spool.get(0)
        self._do(files, work)
        return following

    def _do(self, files: ChannelFiles, work: _Job) -> None:
        with _contained(files.name):
            if isinstance(work, list):
                try:
                    files.write(work)
                finally:
                    self._done += sum(block.count for block in work)
            elif isinstance(work, SessionBegin):
                files.begin(work)
            else:
                files.end(work)

    def _each(self, look_after: Callable[[ChannelFiles], None]) -> None:
        for files in list(self._files.values()):
            with _contained(files.name):
                look_after(files)

    def _make_room(self) -> None:
        """Let go of what retention does not keep."""
        open_files = [files.tally.file for files in list(self._files.values()) if files.tally.file]
        with _contained("retention"):
            self._retention.enforce(open_files, time.time_ns())


@contextlib.contextmanager
def _contained(what: str) -> Iterator[None]:
    """A fault of ours in one place must not cost the recording of all: it is told, the rest goes on."""
    try:
        yield
    except Exception:
        log.exception("%s: recording met a fault of the program", what)


class _Overflow:
    """Tells, once, that the disk does not keep up, and once that it does again."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._lost = directory, 0

    def lose(self, count: int) -> None:
        """*count* datums did not fit into the spool."""
        if not self._lost:
            what = "the disk does not keep up: recording loses datums, re-serving goes on"
            log.error("%s", HostError(what, where=str(self._directory), mend="record to a faster disk"))
        self._lost += count

    def look(self, spool: Spool[_Work]) -> None:
        """It is over when half of the spool is free again."""
        if self._lost and spool.bytes <= spool.limit_bytes // 2:
            log.warning("%s: the disk keeps up again; datums missing: %s", self._directory, f"{self._lost:,}")
            self._lost = 0
