"""Where a customer goes on in a recording: behind what was acknowledged, or where its subscription begins."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from speeddata.avro.container import SYNC_SIZE, ContainerReader, Header
from speeddata.avro.schema import Schema
from speeddata.avro.schema import parse as parse_schema
from speeddata.cutting import Range, bounds, time_ns
from speeddata.errors import DataError, HostError, UsageError
from speeddata.recording import catalogue
from speeddata.recording.catalogue import Position, parse_file_name, recording_order
from speeddata.recording.contents import entries_of
from speeddata.recording.reading import end_of
from speeddata.subscription.customers import Gap, Place, Subscription
from speeddata.subscription.departed import Closed, Ledgers, and_more, in_words

Files = Mapping[str, Sequence[Path]]  # by channel, in recording order

_PIECE_BYTES = 1 << 20


class Begin(NamedTuple):
    """Where to begin.

    Attributes:
        position: of the channel; None: there is nothing to read yet.
        gap: what is gone between the place before and this one.
        place: where the customer stands, should that be behind all that is there.
        anew: whether it is no matter how far the customer was before.
    """

    position: Position | None
    gap: Gap | None = None
    place: Place | None = None
    anew: bool = False


def schemas(paths: Sequence[Path], time_unit: str | None = None) -> list[Schema]:
    """The schemas of files, each one once, in the order they were used; files that retention takes are none.

    Raises:
        HostError, DataError: a file cannot be read, or is none of ours.
    """
    found: dict[str, Schema] = {}
    for path in paths:
        header = _header(path)
        if header is not None and header.schema_text not in found:
            found[header.schema_text] = parse_schema(header.schema_text, where=str(path), time_unit=time_unit)
    return list(found.values())


def behind(place: Place, paths: Sequence[Path], ledgers: Ledgers, now_ns: int) -> Begin:
    """Where reading goes on behind *place*; a file is known by its sync marker, whatever it is called now.

    Files that came and went since then are a gap, where *ledgers* tell of them.

    Raises:
        HostError, DataError: a file cannot be read, or is none of ours.
    """
    where = str(ledgers.directory.absolute())
    for path in sorted(paths, key=lambda path: path.name != place.file):
        header = _header(path)
        if header is not None and header.sync == place.sync:
            block = _block_from(path, header, place.block)
            if block == place.block or place.block <= header.size:
                return Begin(Position(path.name, place.block))
            what = f"{path.name}: damaged: no block begins at byte {place.block} any more; goes on at {block}"
            return Begin(
                Position(path.name, block), Gap(where, place.channel, place.time_ns, None, now_ns, what)
            )
    further = later(paths, place.file)
    gone = ledgers.gone(place.channel, place.file, further[0].name if further else None)
    names = [each.name for each in gone]
    size = place.size if place.size is not None else ledgers.size(place.channel, place.file)
    what = in_words(names) if names else ""
    if size is None or place.block < size:
        what = f"{place.file}: gone, and what was to be sent from byte {place.block} on{and_more(names)}"
    gap = None
    if what:
        begin_ns = time_at(further, Position(further[0].name)) if further else None
        gap = Gap(where, place.channel, place.time_ns, begin_ns, now_ns, what)
    if further:
        return Begin(Position(further[0].name), gap)
    return Begin(end(paths), gap, past(place, gone))


def later(paths: Sequence[Path], file: str) -> list[Path]:
    """Those behind *file* in recording order."""
    order = recording_order(file)
    return [path for path in paths if recording_order(path.name) > order]


def past(place: Place, gone: Sequence[Closed]) -> Place:
    """*place* when all of its file was sent, or is gone, and so are the files *gone* behind it."""
    if not gone:
        return replace(place, size=place.block)
    last = gone[-1]
    return replace(place, file=last.name, sync=b"", block=last.size, size=last.size)


def asked_for(
    channel: str,
    paths: Sequence[Path],
    wants: Sequence[Subscription],
    ledgers: Ledgers,
    now_ns: int,
    time_unit: str | None = None,
    before: Place | None = None,
) -> Begin:
    """Where a channel begins for which there are *wants*; files of theirs that are gone are a gap.

    Args:
        wants: one at least.
        before: where the customer stood; only what came after that can be missing.

    Raises:
        HostError, DataError: a file cannot be read, or is none of ours.
    """
    begins = [each.since_ns for each in wants]
    since_ns = None if None in begins else min(filter(None, begins), default=None)
    position = at_time(paths, since_ns, time_unit)
    first = position.file if position is not None else paths[0].name if paths else None
    gone = ledgers.gone(channel, None if before is None else before.file, first)
    if gone:
        known = [each for each in schemas(paths, time_unit) if each.time_unit is not None]
        gone = [
            file for file in gone if any(_is_of(file, each, known[-1] if known else None) for each in wants)
        ]
    if not gone:
        return Begin(position, anew=True)
    begin_ns = None if first is None else time_at(paths, position or Position(first))
    from_ns = since_ns if before is None else before.time_ns
    what = in_words([each.name for each in gone])
    gap = Gap(str(ledgers.directory.absolute()), channel, from_ns, begin_ns, now_ns, what)
    if first is not None:
        return Begin(position, gap, anew=True)
    return Begin(None, gap, past(before or Place(channel, gone[-1].name, b"", 0), gone))


def _is_of(file: Closed, wanted: Subscription, schema: Schema | None) -> bool:
    """Whether a file that is gone had, or may have had, what is wanted; *schema*: of its neighbours."""
    if wanted.since_ns is None:  # all that was there; and it was there then if it was closed later
        return file.until_ns > wanted.added_ns
    if file.begun_ns >= wanted.since_ns:
        return True
    if schema is None or file.greatest is None:
        return file.until_ns >= wanted.since_ns
    try:
        return time_ns(schema, file.greatest) >= wanted.since_ns
    except UsageError:  # no time
        return False


def at_time(paths: Sequence[Path], since_ns: int | None, time_unit: str | None = None) -> Position | None:
    """The first block that has a time from *since_ns* on, or the end of what there is; None: everything.

    A file that was begun since then is of later datums, whatever time its source takes it to be.

    Raises:
        HostError, DataError: a file cannot be read, or is none of ours.
    """
    if since_ns is None or not paths:
        return None
    for path in paths:
        header = _header(path)
        if header is None:
            continue
        named = parse_file_name(path.name)
        if named is not None and named[1] >= since_ns:
            return Position(path.name)
        schema = parse_schema(header.schema_text, where=str(path), time_unit=time_unit)
        try:
            first, _ = bounds(schema, Range(since_ns))
        except UsageError:  # no time: nothing of it can be sent
            continue
        try:
            for entry in entries_of(path, header):
                if entry.greatest is None or entry.greatest >= first:
                    return Position(path.name, entry.offset)
        except FileNotFoundError:  # retention was quicker
            continue
        except OSError as exc:
            raise HostError(f"cannot read: {exc.strerror}", where=str(path)) from exc
    return end(paths)


def end(paths: Sequence[Path]) -> Position | None:
    """Behind the last whole block; None where there is no file.

    Raises:
        HostError, DataError: the file cannot be read, or is none of ours.
    """
    for path in reversed(paths):
        try:
            return end_of(path)
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise HostError(f"cannot read: {exc.strerror}", where=str(path)) from exc
    return None


def time_at(paths: Sequence[Path], position: Position) -> int | None:
    """The least time of the block at *position*, since 1970; None where there is no block, or no time."""
    try:
        path = next((path for path in paths if path.name == position.file), None)
        header = None if path is None else catalogue.header_of(path)
        if path is None or header is None:
            return None
        entry = next((each for each in entries_of(path, header) if each.offset >= position.block), None)
        if entry is None or entry.least is None:
            return None
        return time_ns(parse_schema(header.schema_text, where=str(path)), entry.least)
    except (DataError, HostError, UsageError, OSError):
        return None


def closed_size(path: Path) -> int | None:
    """Bytes of a file that nobody writes any more; None while somebody does, and where there is none."""
    if catalogue.is_open(path):
        return None
    try:
        return path.stat().st_size
    except OSError:
        return None


def sync_of(path: Path) -> bytes:
    """The marker of a file; empty where it is gone.

    Raises:
        HostError, DataError: it cannot be read, or is none of ours.
    """
    header = _header(path)
    return b"" if header is None else header.sync


def _header(path: Path) -> Header | None:
    """None while it is not whole, and where the file is gone."""
    try:
        return catalogue.header_of(path)
    except HostError as exc:
        if isinstance(exc.__cause__, FileNotFoundError):
            return None
        raise


def _block_from(path: Path, header: Header, offset: int) -> int:
    """*offset* where a block ends there; else the first block behind it, or the end of the whole ones."""
    try:
        with path.open("rb") as file:
            if offset <= header.size or os.pread(file.fileno(), SYNC_SIZE, offset - SYNC_SIZE) == header.sync:
                return offset
            reader = ContainerReader.resume(header, header.size, where=str(path))
            file.seek(header.size)
            for piece in _pieces(file.fileno()):
                for block in reader.feed(piece):
                    if block.offset >= offset:
                        return block.offset
            return reader.offset
    except OSError as exc:
        raise HostError(f"cannot read: {exc.strerror}", where=str(path)) from exc


def _pieces(fd: int) -> Iterator[bytes]:
    while piece := os.read(fd, _PIECE_BYTES):
        yield piece
