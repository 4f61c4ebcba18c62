"""Which blocks of a channel lie where: kept for all of its files, brought up to date as they grow."""

from __future__ import annotations

import math
import os
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speeddata.avro.container import SYNC_SIZE, Block, ContainerReader, Header
from speeddata.avro.schema import TICK_NS, Schema, parse
from speeddata.chart.abscissas import axis_of
from speeddata.errors import DataError
from speeddata.interrupts import Stop
from speeddata.recording.blockindex import Entry, entry_of, read_index
from speeddata.recording.catalogue import open_file, read_head

_PIECE_BYTES = 1 << 20
_FARTHEST = 2**62

X = int | float


class ChangedError(Exception):
    """What a table says of a file holds no longer; `BlockTable.renew` mends that."""


class FileTable:
    """The blocks of one file, from its index as far as that goes, else from what is in them.

    Attributes:
        path: of the file.
        schema: the writer's.
        offsets: of the blocks and, at last, of what is behind them.
        least, greatest: place of the first and the last sample of each; infinite where that is not known.
        gone: the file is there no more.
        counts: how often its blocks were counted anew, since the index was wrong.

    Raises:
        DataError: it holds no records.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, *, time_unit: str | None = None) -> None:
        self.path, self._time_unit = path, time_unit
        fd = open_file(path)
        try:
            header = read_head(fd, where=str(path))
        finally:
            os.close(fd)
        if header is None:
            raise DataError("ends before an Avro header is whole", where=str(path))
        self._header: Header = header
        self.schema: Schema = parse(header.schema_text, where=str(path), time_unit=time_unit)
        self._integers = axis_of(self.schema) == "time"
        self.offsets, self.least, self.greatest = [header.size], list[X](), list[X]()
        self._size = 0
        self.gone = False
        self.counts = 0

    def refresh(self, stop: Stop) -> bool:
        """Take in what was written since; returns whether there is more than before."""
        known = len(self.least)
        try:
            fd = open_file(self.path)
        except FileNotFoundError:
            self.gone = True
            return True
        try:
            size = os.fstat(fd).st_size
            if size == self._size:
                return False
            if not self.counts:
                self._take_index(fd, size)
            for block in self._read(fd, self.offsets[-1], size, stop):
                self._add(entry_of(block))
            self._size = size if not stop.asked else 0
        finally:
            os.close(fd)
        return len(self.least) > known

    def blocks(self, first: int, last: int, stop: Stop) -> Iterator[Block]:
        """The blocks with numbers *first* to *last* (exclusive), as far as they are still there.

        Raises:
            ChangedError: the file is gone, or its index was wrong.
            OSError: it cannot be read.
        """
        begin, end = self.offsets[first], self.offsets[last]
        try:
            fd = open_file(self.path)
        except FileNotFoundError:
            self.gone = True
            raise ChangedError from None
        try:
            if first and os.pread(fd, SYNC_SIZE, begin - SYNC_SIZE) != self._header.sync:
                self._forget()
                raise ChangedError
            yield from self._read(fd, begin, end, stop)
        finally:
            os.close(fd)

    def number_of(self, offset: int) -> int:
        """Which block begins at *offset*."""
        return bisect_left(self.offsets, offset)

    def _take_index(self, fd: int, size: int) -> None:
        entries = read_index(self.path, self._header, size)
        if not entries or os.pread(fd, SYNC_SIZE, _end(entries[-1]) - SYNC_SIZE) != self._header.sync:
            return
        for entry in entries[len(self.least) :]:
            if entry.offset != self.offsets[-1]:
                return
            self._add(entry)

    def _read(self, fd: int, begin: int, end: int, stop: Stop) -> Iterator[Block]:
        reader = ContainerReader.resume(
            self._header,
            begin,
            where=str(self.path),
            schema_override=self.schema,
            time_unit=self._time_unit,
        )
        while begin < end and not stop.asked:
            piece = os.pread(fd, min(_PIECE_BYTES, end - begin), begin)
            if not piece:
                return
            begin += len(piece)
            yield from reader.feed(piece)

    def _add(self, entry: Entry) -> None:
        least, greatest = self._place(entry.least, -1), self._place(entry.greatest, 1)
        self.offsets[-1] = entry.offset  # behind what was damaged
        self.offsets.append(_end(entry))
        self.least.append(least)
        self.greatest.append(greatest)

    def _place(self, value: X | None, side: int) -> X:
        if value is None or not math.isfinite(value):
            return side * (_FARTHEST if self._integers else math.inf)
        if not self._integers:
            return float(value)
        tick_ns = TICK_NS[self.schema.time_unit or "ns"]
        place = value * tick_ns if isinstance(value, int) else round(value * tick_ns) + side
        return max(-_FARTHEST, min(_FARTHEST, place))

    def _forget(self) -> None:
        self.counts, self._size = self.counts + 1, 0
        self.offsets, self.least, self.greatest = [self._header.size], [], []


class BlockTable:
    """The blocks of all files of one channel.

    Attributes:
        files: in recording order.
        version: another number whenever there is more, or less.
    """

    def __init__(self) -> None:
        self.files: list[FileTable] = []
        self.version = 0
        self._stacked: tuple[int, NDArray[np.int64], NDArray[Any]] = (
            -1,
            np.zeros(0, np.int64),
            np.zeros((2, 0)),
        )

    def refresh(self, stop: Stop) -> None:
        """Look whether files have grown, or are gone. Only the last two may still grow."""
        known = len(self.files)
        for number, file in enumerate(self.files):
            if stop.asked:
                break
            if number >= known - 2 or not file.least:
                self.version += file.refresh(stop)
        self.version += self._drop_gone()

    def renew(self, stop: Stop) -> None:
        """Something changed while it was read: forget files that are gone, count blocks anew."""
        for file in self.files:
            if not (file.gone or file.least):
                self.version += file.refresh(stop)
        self.version += self._drop_gone()

    def _drop_gone(self) -> bool:
        left = [file for file in self.files if not file.gone]
        fewer, self.files = len(left) < len(self.files), left
        return fewer

    def span(self) -> tuple[X, X] | None:
        """The first and the last place known; None without one."""
        _, places = self._places()
        known = np.abs(places) < _FARTHEST
        whole = known.all(axis=0)
        if not whole.any():
            return None
        return places[0, whole].min().item(), places[1, whole].max().item()

    def near(self, begin: X, end: X) -> Iterator[tuple[FileTable, int, int]]:
        """Runs of blocks that may hold samples of [begin, end), and the nearest block on either side of it.

        Yields:
            File, number of the first block and of the one behind the last; in recording order.
        """
        _, (least, greatest) = self._places()
        chosen = (greatest >= begin) & (least < end)
        for side, beside in ((greatest < begin, greatest), (least >= end, -least)):
            if side.any():
                rows = np.flatnonzero(side)
                chosen[rows[np.argmax(beside[rows])]] = True
        for file, first, last, _ in self._runs(np.flatnonzero(chosen)):
            yield file, first, last

    def within(self, begin: X, end: X) -> Iterator[tuple[FileTable, int, int, NDArray[np.bool_]]]:
        """Runs of blocks that may hold samples of [begin, end), and no others.

        Yields:
            As `near`, and of which blocks every sample lies in there.
        """
        _, (least, greatest) = self._places()
        whole = (least >= begin) & (greatest < end)
        for file, first, last, rows in self._runs(np.flatnonzero((greatest >= begin) & (least < end))):
            yield file, first, last, whole[rows]

    def _runs(self, rows: NDArray[np.int64]) -> Iterator[tuple[FileTable, int, int, NDArray[np.int64]]]:
        """The blocks in *rows* of `_places` as runs of neighbours: file, first, last; and their rows."""
        if not len(rows):
            return
        numbers, _ = self._places()
        breaks = (rows[1:] != rows[:-1] + 1) | (numbers[rows[1:]] != numbers[rows[:-1]])
        starts = np.flatnonzero(np.append(True, breaks))
        ends = np.append(starts[1:], len(rows)) - 1
        base = np.searchsorted(numbers, np.arange(len(self.files))).tolist()
        for start, last in zip(rows[starts].tolist(), rows[ends].tolist(), strict=True):
            file = int(numbers[start])
            yield self.files[file], start - base[file], last - base[file] + 1, np.arange(start, last + 1)

    def _places(self) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Which file each block is of, and its least and greatest place: shapes (blocks,), (2, blocks)."""
        if self._stacked[0] != self.version:
            counts = [len(file.least) for file in self.files]
            dtype = np.int64 if all(axis_of(file.schema) == "time" for file in self.files) else np.float64
            places = np.array(
                [
                    [place for file in self.files for place in file.least],
                    [place for file in self.files for place in file.greatest],
                ],
                dtype,
            )
            self._stacked = self.version, np.repeat(np.arange(len(counts)), counts), places
        return self._stacked[1], self._stacked[2]


def _end(entry: Entry) -> int:
    return entry.offset + entry.size
