"""What directories and files hold together, before it is read: files and schemas by channel, and the end."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from speeddata.avro.container import Header
from speeddata.avro.schema import Schema
from speeddata.avro.schema import parse as parse_schema
from speeddata.cutting import time_ns
from speeddata.errors import DataError
from speeddata.recording import catalogue
from speeddata.recording.contents import blocks_of, entries_of

_FARTHEST = 2**63

Listing = Mapping[str, Sequence[Path]]  # by channel, in recording order


def listing(paths: Iterable[Path]) -> Listing:
    """The recordings in *paths*, directories or files; each file once, channels by name.

    Raises:
        HostError: one cannot be read.
        DataError: one is a file, and no container.
    """
    found: dict[str, dict[Path, Path]] = {}
    spelled: dict[str, str] = {}
    for path in paths:
        for name, files in catalogue.recording_files(path).items():
            channel = spelled.setdefault(name.lower(), name)
            for file in files:
                found.setdefault(channel, {}).setdefault(Path(os.path.realpath(file)), file)
    return {
        channel: sorted(files.values(), key=lambda file: catalogue.recording_order(file.name))
        for channel, files in sorted(found.items())
    }


def schemas(files: Iterable[Path], time_unit: str | None = None) -> list[Schema]:
    """The schemas of *files*, each one once, in the order they were used.

    Raises:
        HostError, DataError: a file cannot be read, or holds no records.
    """
    found: dict[str, Schema] = {}
    for file in files:
        header = catalogue.header_of(file)
        if header is not None and header.schema_text not in found:
            found[header.schema_text] = parse_schema(header.schema_text, where=str(file), time_unit=time_unit)
    return list(found.values())


def end_ns(files: Sequence[Path], time_unit: str | None = None) -> int | None:
    """The greatest time in the newest of *files* that has any, in nanoseconds since 1970; None without one.

    Null, NaN, and what is beyond 64 bits, are no times.

    Raises:
        UsageError: the abscissa is no time.
        HostError, DataError: a file cannot be read, or holds no records.
    """
    for file in reversed(files):
        header = catalogue.header_of(file)
        if header is None:
            continue
        schema = parse_schema(header.schema_text, where=str(file), time_unit=time_unit)
        entries = list(entries_of(file, header))
        if entries:
            schema.ticks("leave out the range")
        ends = [each.greatest for each in entries if each.greatest is not None]
        if len(ends) < len(entries) or not all(abs(end) <= _FARTHEST for end in ends):
            ends = list(_greatest_times(file, header))
        if ends:
            return time_ns(schema, max(ends))
    return None


def _greatest_times(file: Path, header: Header) -> Iterator[int | float]:
    """The greatest abscissa of each block that has one, read: no index knows of nulls and the like."""
    from speeddata.avro import codec  # with NumPy

    for block in blocks_of(file, header, header.size):
        try:
            times = codec.abscissa(block.batch)
        except DataError:  # for those who read its datums to tell
            continue
        if times.dtype.kind == "f":
            times = times[abs(times) <= _FARTHEST]
        elif block.batch.schema.abscissa.nullable:
            times = times[times > -_FARTHEST]
        if len(times):
            yield times.max().item()
