"""Bytes from a descriptor as they come, and a container among them: its header first, then its batches."""

from __future__ import annotations

import logging
import os
import select
import sys
from collections.abc import Iterable, Iterator
from itertools import chain

from speeddata.avro.container import Block, ContainerReader, Header
from speeddata.avro.schema import Schema
from speeddata.batch import Batch
from speeddata.errors import DataError, HostError, Interrupted
from speeddata.interrupts import Stop
from speeddata.legible import printable
from speeddata.thinning import told

STDIN = 0
_PIECE_BYTES = 1 << 20

log = logging.getLogger("speeddata")


def pieces(fd: int, stop: Stop, *, where: str) -> Iterator[bytes]:
    """What can be read from *fd*, as it comes, until its end or until asked to stop.

    Raises:
        HostError: it cannot be read.
    """
    poll = select.poll()
    poll.register(stop.fd, select.POLLIN)
    poll.register(fd, select.POLLIN)
    while not stop.wait(0):
        if not any(ready == fd for ready, _ in poll.poll()):
            continue
        try:
            piece = os.read(fd, _PIECE_BYTES)
        except OSError as exc:
            raise HostError(f"cannot read: {exc.strerror}", where=where) from exc
        if not piece:
            return
        yield piece


def file_pieces(path: str, stop: Stop) -> Iterator[bytes]:
    """The same of a file, or of standard input when *path* is `-`."""
    if path == "-":
        yield from pieces(STDIN, stop, where="standard input")
        return
    # A named pipe that nobody writes yet is waited for in poll(), which Stop ends, not in open().
    waiting = os.O_NONBLOCK if sys.platform == "linux" else 0
    try:
        fd = os.open(path, os.O_RDONLY | waiting)
        os.set_blocking(fd, True)
    except OSError as exc:
        raise HostError(f"cannot read: {exc.strerror}", where=path) from exc
    try:
        yield from pieces(fd, stop, where=path)
    finally:
        os.close(fd)


class ContainerStream:
    """A container read from *source*, or several of one channel (`cat *.avro`); iterating yields the batches.

    Reads until the header is whole, at once.

    Attributes:
        schema: the writer's.
        channel: as its metadata says, else the record's name.
        thinning: of the samples, as the metadata says.

    Raises:
        DataError: it is no container, or ended before its header did.
        Interrupted: asked to stop before that.
    """

    def __init__(
        self, source: Iterable[bytes], *, where: str, time_unit: str | None = None, stop: Stop | None = None
    ) -> None:
        self._reader = ContainerReader(where=where, time_unit=time_unit)
        self._where, self._stop = where, stop
        self._source = iter(source)
        self._first: Iterator[Block] = iter(())
        self._told = 0
        for piece in self._source:
            blocks = self._reader.feed(piece)
            if self._reader.schema is not None:
                self._first = blocks
                break
        if self._reader.schema is None or self._reader.header is None:
            if stop and stop.asked:
                raise Interrupted(stop.status)
            raise DataError("ended before an Avro container's header was whole", where=where)
        self.schema: Schema = self._reader.schema
        self._header = self._reader.header
        self.channel = _channel(self._header, self.schema)
        self.thinning = told(self._header.text)

    def __iter__(self) -> Iterator[Batch]:
        """Raises:
        DataError: a container of another channel follows.
        """
        for blocks in chain([self._first], map(self._reader.feed, self._source)):
            for block in blocks:
                if self._reader.header is not self._header:
                    self._go_on(block)
                yield block.batch
            self._tell_damage()
        torn = self._reader.finish()
        self._tell_damage()
        if torn and not (self._stop and self._stop.asked):
            log.warning("%s: torn: the last %d bytes are no whole block, and are left out", self._where, torn)

    def _go_on(self, block: Block) -> None:
        assert self._reader.header is not None
        self._header = self._reader.header
        channel = _channel(self._header, block.batch.schema)
        if channel.lower() != self.channel.lower():
            both = f"{printable(self.channel)}, and from byte {block.offset} on {printable(channel)}"
            raise DataError(
                f"two channels: {both}",
                where=self._where,
                mend="name the files instead",
            )

    @property
    def damaged_bytes(self) -> int:
        """Bytes skipped so far, in the middle: the next sync marker was looked for."""
        return sum(damage.size for damage in self._reader.damage)

    def _tell_damage(self) -> None:
        for damage in self._reader.damage[self._told :]:
            log.warning("%s: %d bytes damaged at byte %d; skipped", self._where, damage.size, damage.offset)
        self._told = len(self._reader.damage)


def _channel(header: Header, schema: Schema) -> str:
    return header.text("speeddata.channel") or schema.name.rpartition(".")[2]
