"""Recordings read block by block: one channel or many, to their end or for as long as they grow.

What is worth a note (a torn end, a damaged place, a file gone before it was read) is told through `logging`.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from speeddata.avro.container import SYNC_SIZE, Block, ContainerReader
from speeddata.avro.schema import Schema
from speeddata.avro.skipper import skipper
from speeddata.batch import Batch
from speeddata.errors import DataError, HostError
from speeddata.interrupts import Stop
from speeddata.recording.blockindex import Entry, read_index
from speeddata.recording.catalogue import Catalogue, Position, is_open, open_file, read_head, recording_order

POLL_S = 0.05  # between two looks at files that do not grow
_PIECE_BYTES = 1 << 20
_PLACES_TOLD = 10  # damaged places of a file that are told one by one

# Of a block that the index knows: has it to be read? Only asked where the index is there.
Choice = Callable[[Schema, Entry], bool]

log = logging.getLogger("speeddata")


class Recorded(NamedTuple):
    """A block that was read, and whose it is.

    Attributes:
        channel: its name.
        path: of the file.
        block: its batch and its place; the batch has only the rest where reading began in the middle.
        first: index in the block of the batch's first datum.
        sync: marker of the file, by which it is known under any name.
    """

    channel: str
    path: Path
    block: Block
    first: int = 0
    sync: bytes = b""

    @property
    def batch(self) -> Batch:
        return self.block.batch

    def position(self, index: int) -> Position:
        """Where datum *index* of the batch is; of `batch.count`, where reading goes on after this batch."""
        if index >= self.batch.count:
            return Position(self.path.name, self.block.offset + self.block.size)
        return Position(self.path.name, self.block.offset, self.first + index)


@dataclass
class _Missed:
    """What was there and could not be read."""

    damaged_bytes: int = 0
    gaps: int = 0
    files: deque[tuple[str, str]] = field(default_factory=deque)


class Reader:
    """Reads the recordings of *paths*, directories or files; iterating, once, yields their blocks.

    Without *follow* it reads channel after channel, each in recording order. With *follow* it goes on with
    all of them in turn, new files and new channels among them, until asked to stop. A file is left when its
    successor is there, which means that the writer was done with it, and all of it was read.

    Args:
        paths: directories, searched recursively, or files; one of them, or several.
        stop: ends the iteration when asked.
        follow: wait for more.
        channels: names of those to read, compared without case; None = all.
        start: where to begin, by channel; other channels from their first file on.
        choice: leaves out blocks by what their index says of them. Those that no index knows are read.
        time_unit: of an abscissa that does not tell its own.

    Attributes:
        damaged_bytes: passed over in the middle of files, so far.
        gaps: files gone before they were read, so far.
    """

    def __init__(
        self,
        paths: Path | Sequence[Path],
        *,
        stop: Stop,
        follow: bool = False,
        channels: Collection[str] | None = None,
        start: Mapping[str, Position] | None = None,
        choice: Choice | None = None,
        time_unit: str | None = None,
    ) -> None:
        self._stop, self._follow = stop, follow
        self._wanted = None if channels is None else {name.lower() for name in channels}
        self._starts = {name.lower(): position for name, position in (start or {}).items()}
        self._choice, self._time_unit = choice, time_unit
        self._catalogues = [Catalogue(path) for path in ([paths] if isinstance(paths, Path) else paths)]
        self._channels: dict[str, _Channel] = {}
        self._missed = _Missed()

    @property
    def damaged_bytes(self) -> int:
        return self._missed.damaged_bytes

    @property
    def gaps(self) -> int:
        return self._missed.gaps

    @property
    def gone(self) -> deque[tuple[str, str]]:
        """Channel and name of those files, before any later block is read. Take away what is known."""
        return self._missed.files

    def look(self) -> None:
        """See which files are there, between two blocks: who keeps the iteration waiting for long calls this.

        A file that came and went meanwhile would not be missed otherwise.
        """
        if self._follow:
            self._find()

    def __iter__(self) -> Iterator[Recorded]:
        """Raises:
        HostError: a file or the directory cannot be read.
        DataError: a file is no container of records, or a position is none of its file.
        """
        try:
            self._find()
            if self._follow:
                yield from self._go_on()
            else:
                for name in sorted(self._channels):
                    channel = self._channels[name]
                    while not (channel.idle or self._stop.asked):
                        yield from channel.step(last=True)
        finally:
            for channel in self._channels.values():
                channel.close()

    def _go_on(self) -> Iterator[Recorded]:
        while not self._stop.asked:
            for channel in list(self._channels.values()):
                yield from channel.step()
            if all(channel.idle for channel in self._channels.values()):
                self._stop.wait(POLL_S)
            self._find()

    def _find(self) -> None:
        found = dict.fromkeys(pair for catalogue in self._catalogues for pair in catalogue.new())
        if len(self._catalogues) > 1:
            found = dict.fromkeys(sorted(found, key=lambda pair: recording_order(pair[1].name)))
        for name, path in found:
            key = name.lower()
            if self._wanted is not None and key not in self._wanted:
                continue
            if key not in self._channels:
                start = self._starts.get(key)
                self._channels[key] = _Channel(name, start, self._choice, self._time_unit, self._missed)
            self._channels[key].add(path)


class _Channel:
    """The files of one channel, one after the other.

    Attributes:
        idle: there was nothing to read at the last step.
    """

    def __init__(
        self,
        name: str,
        start: Position | None,
        choice: Choice | None,
        time_unit: str | None,
        missed: _Missed,
    ) -> None:
        self.name = name
        self.idle = False
        self._start, self._choice, self._time_unit, self._missed = start, choice, time_unit, missed
        self._waiting: deque[Path] = deque()
        self._file: _File | None = None
        self._schema: Schema | None = None  # of the file before
        self._cut_at, self._first = -1, 0  # the block in whose middle reading begins, and its datum

    def add(self, path: Path) -> None:
        """Read *path*, too, after those that were added before."""
        if self._start is None or recording_order(path.name) >= recording_order(self._start.file):
            self._waiting.append(path)
            self.idle = False

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def step(self, *, last: bool = False) -> Iterator[Recorded]:
        """Read a piece of a file. *last*: a file without a successor will not get one."""
        if self._file is None:
            self._file = self._next()
            if self._file is None:
                self.idle = True
                return
        file = self._file
        # Looked at before reading: what is read after a successor was seen is all there will be.
        succeeded = last or bool(self._waiting)
        yield from self._recorded(file, file.blocks())
        self.idle = file.ended and not succeeded
        if file.ended and succeeded:
            yield from self._recorded(file, file.finish())
            self.close()

    def _recorded(self, file: _File, blocks: Iterator[Block]) -> Iterator[Recorded]:
        for block in blocks:
            first, self._cut_at = (self._first if block.offset == self._cut_at else 0), -1
            if first < block.batch.count:
                rest = _without(block, first, file.path) if first else block
                yield Recorded(self.name, file.path, rest, first, file.sync)

    def _next(self) -> _File | None:
        while self._waiting:
            path = self._waiting.popleft()
            start, self._start = self._start, None
            if start is not None and start.file != path.name:
                self._tell_gap(start.file, f"gone, and what was to be read from byte {start.block} on")
                start = None
            try:
                file = _File(path, self._time_unit, self._schema, self._missed)
            except FileNotFoundError:
                self._tell_gap(path.name, "gone before it was read")
                continue
            except OSError as exc:
                raise HostError(f"cannot read: {exc.strerror}", where=str(path)) from exc
            self._schema = file.schema
            try:
                if start is not None:
                    self._cut_at, self._first = file.begin_at(start.block), start.datum
                if self._choice is not None:
                    file.leave_out(self._choice)
            except BaseException:
                file.close()
                raise
            return file
        return None

    def _tell_gap(self, file: str, what: str) -> None:
        self._missed.gaps += 1
        self._missed.files.append((self.name, file))
        log.warning("%s: %s; its datums of channel %s are missing", file, what, self.name)


def _without(block: Block, count: int, path: Path) -> Block:
    """*block* without its first *count* datums."""
    batch = block.batch
    skip, at = skipper(batch.schema), 0
    try:
        for _ in range(count):
            at = skip(batch.data, at, len(batch.data))
    except ValueError as exc:
        raise DataError(f"the block at byte {block.offset} is damaged: {exc}", where=str(path)) from exc
    return block._replace(batch=Batch(batch.schema, batch.data[at:], batch.count - count))


class _File:
    """An open file, perhaps a growing one.

    Attributes:
        schema: the writer's schema.
        sync: the file's marker.
        ended: the last look found nothing more.
    """

    def __init__(self, path: Path, time_unit: str | None, like: Schema | None, missed: _Missed) -> None:
        """Raises OSError, DataError. The Schema *like* serves again where the file has the same."""
        self.path = path
        self.ended = False
        self._time_unit, self._missed = time_unit, missed
        self._damaged_places = 0
        self._unwanted: deque[tuple[int, int]] = deque()  # from where to where to jump
        self._fd = open_file(path)
        try:
            header = read_head(self._fd, where=str(path))
            if header is None:
                raise DataError("ends before an Avro header is whole", where=str(path))
            self._header, self.sync = header, header.sync
            self._container = self._resumed(
                header.size, like if like is not None and like.text == header.schema_text else None
            )
            assert self._container.schema is not None
            self.schema = self._container.schema
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._fd)

    def blocks(self) -> Iterator[Block]:
        """The blocks that the next piece of the file completes."""
        try:
            piece = self._piece()
        except OSError as exc:
            raise HostError(f"cannot read: {exc.strerror}", where=str(self.path)) from exc
        self.ended = not piece
        for block in self._container.feed(piece):
            self._tell_damage()
            yield block
        self._tell_damage()

    def finish(self) -> Iterator[Block]:
        """The rest of a file that is left; a torn end is told, unless the writer is still at it."""
        held = is_open(self._fd)  # asked first: all that was written before it was let go is then read
        self.ended = False
        while not self.ended:
            yield from self.blocks()
        torn = self._container.finish()
        if torn and not held:
            log.warning("%s: torn: the last %d bytes are no whole block, and are left out", self.path, torn)
        if self._damaged_places > _PLACES_TOLD:
            log.warning("%s: %d damaged places in all", self.path, self._damaged_places)

    def begin_at(self, offset: int) -> int:
        """Read from the block at *offset* on, 0 = the first; return its offset.

        Raises:
            DataError: no block begins or ended there.
        """
        if offset <= self._header.size:
            return self._header.size
        if not self._ends_block(offset):
            raise DataError(f"no block begins at byte {offset}", where=str(self.path))
        self._container = self._resumed(offset, self.schema)
        return offset

    def leave_out(self, choice: Choice) -> None:
        """Jump over the blocks that *choice* does not want, as far as the index knows them."""
        for entry in read_index(self.path, self._header, os.fstat(self._fd).st_size):
            if entry.offset < self._container.offset or choice(self.schema, entry):
                continue
            begin, end = entry.offset, entry.offset + entry.size
            if self._unwanted and self._unwanted[-1][1] == begin:
                begin, _ = self._unwanted.pop()
            self._unwanted.append((begin, end))

    def _piece(self) -> bytes:
        if self._unwanted and self._unwanted[0][0] == self._read_to:
            self._jump()
        most = min(_PIECE_BYTES, self._unwanted[0][0] - self._read_to) if self._unwanted else _PIECE_BYTES
        piece = os.pread(self._fd, most, self._read_to)
        if not piece and (size := os.fstat(self._fd).st_size) < self._read_to:
            # A writer whose disk is full takes back the block that it could not finish: forget it, too.
            self._container = self._resumed(min(size, self._container.offset), self.schema)
            piece = os.pread(self._fd, most, self._read_to)
        self._read_to += len(piece)
        return piece

    def _jump(self) -> None:
        _, end = self._unwanted.popleft()
        if self._container.finish() == 0 and self._ends_block(end):
            self._container = self._resumed(end, self.schema)
        else:  # the index is wrong
            self._unwanted.clear()

    def _resumed(self, offset: int, known: Schema | None) -> ContainerReader:
        self._read_to = offset
        return ContainerReader.resume(
            self._header, offset, where=str(self.path), schema_override=known, time_unit=self._time_unit
        )

    def _ends_block(self, offset: int) -> bool:
        return os.pread(self._fd, SYNC_SIZE, offset - SYNC_SIZE) == self._header.sync

    def _tell_damage(self) -> None:
        for place in self._container.damage:
            self._missed.damaged_bytes += place.size
            self._damaged_places += 1
            if self._damaged_places <= _PLACES_TOLD:
                log.warning(
                    "%s: %d bytes damaged at byte %d, passed over", self.path, place.size, place.offset
                )
        self._container.damage.clear()


def end_of(path: Path) -> Position:
    """The position behind the last whole block of a file: what is recorded later begins there.

    Raises:
        OSError: it cannot be read.
        DataError: it is no container of records.
    """
    file = _File(path, None, None, _Missed())
    try:
        file.leave_out(lambda _schema, _entry: False)
        while not file.ended:
            for _ in file.blocks():
                pass
        return Position(path.name, file._container.offset)
    finally:
        file.close()
