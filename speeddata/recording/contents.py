"""What a recording holds, channel by channel: from the indexes where there are any, else from the blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from speeddata.avro.container import Block, ContainerReader, Header
from speeddata.avro.schema import TICK_NS, Schema
from speeddata.avro.schema import parse as parse_schema
from speeddata.recording import catalogue, ledger
from speeddata.recording.blockindex import Entry, entry_of, read_index

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Contents:
    """A channel in a recording.

    Attributes:
        channel: its name.
        schema: of the newest file.
        files: how many.
        size: bytes in all.
        datums: how many.
        least, greatest: of the abscissa, in its own unit; None where it is no number, or there is no datum.
        lost: as the ledger tells, all kinds together.
        rejected: likewise.
    """

    channel: str
    schema: Schema
    files: int
    size: int
    datums: int
    least: int | float | None
    greatest: int | float | None
    lost: int
    rejected: int

    @property
    def rate_hz(self) -> float | None:
        """Mean rate over the whole range; None where the abscissa is no time."""
        if (
            self.least is None
            or self.greatest is None
            or self.schema.time_unit is None
            or self.greatest <= self.least
        ):
            return None
        span_s = (self.greatest - self.least) * TICK_NS[self.schema.time_unit] / 1e9
        return (self.datums - 1) / span_s


def contents(directory: Path) -> Iterator[Contents]:
    """Each channel recorded below *directory*, by name.

    Raises:
        HostError: it cannot be read.
    """
    for channel, paths in sorted(catalogue.recording_files(directory).items()):
        datums = size = 0
        least: int | float | None = None
        greatest: int | float | None = None
        schema = None
        for path in paths:
            try:
                bytes_there, header = path.stat().st_size, catalogue.header_of(path)
                entries = list(entries_of(path, header)) if header is not None else []
            except FileNotFoundError:  # retention was quicker
                continue
            if header is None:
                continue
            schema = parse_schema(header.schema_text, where=str(path))
            size += bytes_there
            for entry in entries:
                datums += entry.count
                if entry.least is not None and entry.greatest is not None:
                    least = entry.least if least is None else min(least, entry.least)
                    greatest = entry.greatest if greatest is None else max(greatest, entry.greatest)
        if schema is not None:
            told = _told(paths)
            lost = told.lost + told.lost_disk
            yield Contents(channel, schema, len(paths), size, datums, least, greatest, lost, told.rejected)


def entries_of(path: Path, header: Header) -> Iterator[Entry]:
    """The blocks of a file: those that its index knows, then the rest, which have to be read."""
    known = read_index(path, header, path.stat().st_size)
    yield from known
    begin = known[-1].offset + known[-1].size if known else header.size
    yield from map(entry_of, blocks_of(path, header, begin))


def blocks_of(path: Path, header: Header, begin: int) -> Iterator[Block]:
    """The blocks of a file from the one at offset *begin* on, read."""
    reader = ContainerReader.resume(header, begin, where=str(path))
    with path.open("rb") as file:
        os.lseek(file.fileno(), begin, os.SEEK_SET)
        while piece := os.read(file.fileno(), _PIECE_BYTES):
            yield from reader.feed(piece)


def _told(paths: list[Path]) -> ledger.Counts:
    homes = {path.parent / ledger.LEDGER_NAME for path in paths}
    return sum((ledger.losses(ledger.read(home)) for home in homes), ledger.Counts())
