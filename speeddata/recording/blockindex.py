"""The index beside a recording: where its blocks lie and what they span, so that some need not be read.

Derived from the recording and never needed: what is missing, stale, torn or wrong is as if it were not there.
An index is rows of 32 bytes, little-endian: the head, then a row a block, appended as blocks are.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from speeddata.avro.container import SYNC_SIZE, Block, Header
from speeddata.errors import DataError

if TYPE_CHECKING:
    from speeddata.avro.schema import Schema

MAGIC = b"SDix"
VERSION = 1

_HEAD = struct.Struct("<4sBc10x16s")  # magic, version, kind of abscissa, sync marker of the recording
_ROW_SIZE = 32
# Kind of abscissa -> a row: offset, size, count, least, greatest.
_ROWS = {b"i": struct.Struct("<QIIqq"), b"f": struct.Struct("<QIIdd"), b"-": struct.Struct("<QII16x")}
_KINDS = {"int": b"i", "long": b"i", "float": b"f", "double": b"f"}
_UNKNOWN = (1, 0)  # least and greatest, in a row of which they are not known
_LEAST_BLOCK = 2 + SYNC_SIZE
_ENTRY_LIMIT = 1 << 22  # entries that are read: of 256 GiB in blocks of 64 KiB


@dataclass(slots=True)
class Entry:
    """A block, unread.

    Attributes:
        offset: of the block's frame in the recording.
        size: of the frame in bytes, sync marker included.
        count: of its datums.
        least: the smallest abscissa in it; None = not known, so that the block has to be read.
        greatest: the largest; None together with *least*.
    """

    offset: int
    size: int
    count: int
    least: int | float | None
    greatest: int | float | None


def index_path(recording: Path) -> Path:
    """Where the index of *recording* is."""
    return recording.with_suffix(".index")


class IndexWriter:
    """Gives the bytes to append to an index, a block at a time; the first ones begin with its head.

    Args:
        schema: of the recording.
        sync: its sync marker, which ties the index to it.
    """

    def __init__(self, schema: Schema, sync: bytes) -> None:
        kind = _kind(schema)
        self._row, self._head = _ROWS[kind], _HEAD.pack(MAGIC, VERSION, kind, sync)

    def add(self, block: Entry) -> bytes:
        """The row of the next block. Bounds that are NaN are not known."""
        head, self._head = self._head, b""
        if self._row is _ROWS[b"-"]:
            return head + self._row.pack(block.offset, block.size, block.count)
        least, greatest = block.least, block.greatest
        if least is None or greatest is None or not least <= greatest:
            least, greatest = _UNKNOWN
        return head + self._row.pack(block.offset, block.size, block.count, least, greatest)


def read_index(recording: Path, header: Header, size: int) -> list[Entry]:
    """What the index of *recording* says of its leading blocks, without a gap from the first on.

    Args:
        recording: the path of the recording.
        header: of the recording.
        size: of the recording in bytes; the index may know no more than that.

    Returns:
        As much as holds together; nothing when there is no index, or it belongs to something else. An offset
        is as good as the index: look for the sync marker in front of it before you believe it.
    """
    try:
        fd = os.open(index_path(recording), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            head = file.read(_ROW_SIZE)
            if len(head) < _ROW_SIZE:
                return []
            magic, version, kind, sync = _HEAD.unpack(head)
            if (magic, version, sync) != (MAGIC, VERSION, header.sync) or kind not in _ROWS:
                return []
            return list(islice(_believable(_ROWS[kind], file, header.size, size), _ENTRY_LIMIT))
    except OSError:
        return []


def _believable(form: struct.Struct, file: BinaryIO, at: int, size: int) -> Iterator[Entry]:
    """The rows up to the first that does not begin where the one before ends, or lies behind the end."""
    while rows := file.read(_ROW_SIZE << 10):
        for offset, length, count, *bounds in form.iter_unpack(rows[: len(rows) // _ROW_SIZE * _ROW_SIZE]):
            if offset != at or length < _LEAST_BLOCK or offset + length > size or not count:
                return
            at += length
            known = bool(bounds) and bounds[0] <= bounds[1]
            yield Entry(offset, length, count, *(bounds if known else (None, None)))


def entry_of(block: Block) -> Entry:
    batch = block.batch
    least: int | float | None = None
    greatest: int | float | None = None
    if _kind(batch.schema) != b"-":
        from speeddata.avro import codec  # with NumPy, which readers of an index do without

        try:
            values = codec.abscissa(batch)
            if len(values) and (bounds := (values.min().item(), values.max().item()))[0] <= bounds[1]:
                least, greatest = bounds  # neither is NaN
        except DataError:  # datums that do not fill the block: for its reader to find out
            pass
    return Entry(block.offset, block.size, batch.count, least, greatest)


def _kind(schema: Schema) -> bytes:
    abscissa = schema.abscissa
    return b"-" if abscissa.nullable else _KINDS.get(abscissa.kind, b"-")
