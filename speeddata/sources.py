"""SOURCE, the same in every command that reads: standard input, files, an endpoint or a live channel."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from speeddata.avro.schema import Schema
from speeddata.avro.schema import parse as parse_schema
from speeddata.batch import Batch
from speeddata.errors import DataError, PartlyDone, PeerError, UsageError
from speeddata.interrupts import Stop
from speeddata.names import Endpoint, is_channel_name, printable
from speeddata.recording import catalogue
from speeddata.recording.reading import Reader
from speeddata.stages import Tally, decodable, told_apart
from speeddata.streams import ContainerStream, file_pieces
from speeddata.wire.live import LiveChannel


@dataclass(frozen=True)
class Wanted:
    """What the options say about a SOURCE.

    Attributes:
        schema: of datums that nobody announces.
        time_unit: of an abscissa that does not tell its own.
        on: interfaces by name or address; empty for all.
        decimated: of a live channel, the thin group.
        follow: of files, go on while they grow.
        duration_ns: end after so long.
    """

    schema: Schema | None = None
    time_unit: str | None = None
    on: Sequence[str] = ()
    decimated: bool = False
    follow: bool = False
    duration_ns: int | None = None


@dataclass
class Channel:
    """One channel to read.

    Attributes:
        name: of the channel.
        schema: of the first batch, where it is known before.
        batches: boundaries are known where they came from the network.
        live: datums come as they happen: hand them on at once.
        shortfalls: what could not be read, told so far.
    """

    name: str
    schema: Schema | None
    batches: Iterator[Batch]
    live: bool = False
    shortfalls: list[str] = field(default_factory=list)

    def told_apart(self) -> Iterator[Batch]:
        """The batches with their boundaries known; a block where none can be found is left out, and told."""
        tally = Tally()
        try:
            yield from told_apart(self.batches, tally)
        finally:
            self._tell_undecodable(tally)

    def _tell_undecodable(self, tally: Tally) -> None:
        if tally.undecodable:
            self.shortfalls.append(f"{tally.undecodable} datums are not what the schema says")

    def shortfall(self) -> PartlyDone | None:
        """What could not be read, once the batches are at their end; None when nothing is missing."""
        if not self.shortfalls:
            return None
        return PartlyDone(", ".join(self.shortfalls), where=printable(self.name))


def is_file(source: str) -> bool:
    """Whether SOURCE means a file or a directory rather than a live channel."""
    return "/" in source or source.endswith(".avro")


@contextmanager
def channel(source: str | None, wanted: Wanted, stop: Stop) -> Iterator[Channel]:
    """Open a SOURCE that has to be one channel.

    Raises:
        UsageError: it means nothing, or several channels.
        PeerError: a live channel that nobody announces.
        HostError, DataError: it cannot be read, or is not what it claims to be.
    """
    if source is None:
        if sys.stdin.isatty():
            raise UsageError(
                "no SOURCE", mend="name a channel, an ADDR:PORT, a file with a / in it, or pipe into it"
            )
        source = "-"
    kind = _stream if source == "-" else _files if is_file(source) else _live
    with kind(source, wanted, stop) as opened:
        if wanted.duration_ns is None:
            yield opened
        else:
            with stop.after(wanted.duration_ns / 1e9):
                yield opened


@contextmanager
def _stream(source: str, wanted: Wanted, stop: Stop) -> Iterator[Channel]:
    stream = ContainerStream(
        file_pieces(source, stop), where="standard input", time_unit=wanted.time_unit, stop=stop
    )
    opened = Channel(stream.channel, stream.schema, iter(stream), live=True)
    yield opened
    _tell_damage(opened, stream.damaged_bytes)


@contextmanager
def _files(source: str, wanted: Wanted, stop: Stop) -> Iterator[Channel]:
    files = catalogue.recording_files(Path(source))
    if len(files) > 1:
        raise UsageError(
            f"several channels: {', '.join(sorted(files))}", where=source, mend="name the directory of one"
        )
    if not files and not wanted.follow:
        raise DataError("holds no recording", where=source)
    name, schema = Path(source).name, None
    if files:
        ((name, paths),) = files.items()
        header = catalogue.header_of(paths[0])
        if header is not None:
            schema = parse_schema(header.schema_text, where=str(paths[0]), time_unit=wanted.time_unit)
    reader = Reader(Path(source), stop=stop, follow=wanted.follow, time_unit=wanted.time_unit)
    opened = Channel(name, schema, (recorded.batch for recorded in reader), live=wanted.follow)
    yield opened
    _tell_damage(opened, reader.damaged_bytes)
    if reader.gaps:
        opened.shortfalls.append(f"{reader.gaps} files were gone before they were read")


def _tell_damage(opened: Channel, damaged_bytes: int) -> None:
    if damaged_bytes:
        opened.shortfalls.append(f"{damaged_bytes} damaged bytes skipped")


@contextmanager
def _live(source: str, wanted: Wanted, stop: Stop) -> Iterator[Channel]:
    place: str | Endpoint = source
    if ":" in source:
        place = Endpoint.parse(source)
        if wanted.decimated:
            raise UsageError(
                "--decimated is for a channel by name", where=source, mend="give the decimated endpoint"
            )
    elif not is_channel_name(source):
        raise UsageError(
            f"'{printable(source[:80])}' is no SOURCE",
            mend="a channel's name, an ADDR:PORT, a file with a / in it, or -",
        )
    elif wanted.schema is not None:
        raise UsageError(
            "a channel by name is announced with its schema", where=source, mend="leave out --schema"
        )
    live = LiveChannel(
        place,
        stop,
        schema=wanted.schema,
        on=wanted.on,
        decimated=wanted.decimated,
        time_unit=wanted.time_unit,
    )
    tally = Tally()
    with _found(source, live):
        opened = Channel(live.channel or source, live.schema, decodable(live, tally), live=True)
        yield opened
    if live.dropped:
        opened.shortfalls.append(f"the reader was too slow: {live.dropped} datums dropped")
    if live.dropped_kernel:
        opened.shortfalls.append(f"{live.dropped_kernel} datagrams dropped by the kernel")
    opened._tell_undecodable(tally)


@contextmanager
def _found(source: str, live: LiveChannel) -> Iterator[None]:
    """*live*, entered; whoever forgot the slash of a directory is told."""
    with ExitStack() as stack:
        try:
            stack.enter_context(live)
        except PeerError as exc:
            if Path(source).is_dir():
                raise PeerError(exc.what, where=exc.where, mend=f"for the directory write {source}/") from exc
            raise
        yield
