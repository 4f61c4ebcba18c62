"""SOURCE, the same in every command that reads: standard input, files, an endpoint or a live channel."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from speeddata.avro.schema import Schema
from speeddata.avro.schema import parse as parse_schema
from speeddata.batch import Batch
from speeddata.errors import DataError, Interrupted, PartlyDone, PeerError, UsageError
from speeddata.interrupts import Stop
from speeddata.legible import printable
from speeddata.names import Endpoint, is_channel_name
from speeddata.recording import catalogue
from speeddata.recording.reading import Choice, Reader, Recorded
from speeddata.stages import Tally, decodable, gathered, told_apart
from speeddata.streams import STDIN, ContainerStream, file_pieces
from speeddata.table import many
from speeddata.thinning import Thinning
from speeddata.thinning import told as thinning_told

if TYPE_CHECKING:
    from speeddata.cutting import Range
    from speeddata.wire.live import LiveChannel

_CUT_BYTES = 1 << 20  # of files, decoded together to see their times

log = logging.getLogger(__name__)


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
        span: of one channel, only this range of time.
    """

    schema: Schema | None = None
    time_unit: str | None = None
    on: Sequence[str] = ()
    decimated: bool = False
    follow: bool = False
    duration_ns: int | None = None
    span: Range | None = None


@dataclass
class Channel:
    """One channel to read.

    Attributes:
        name: of the channel.
        schema: of the first batch, where it is known before.
        batches: boundaries are known where they came from the network.
        live: datums come as they happen: hand them on at once.
        shortfalls: what could not be read, told so far.
        files: those that its batches came from, so far.
        thinning: of the samples, before they came here.
    """

    name: str
    schema: Schema | None
    batches: Iterator[Batch]
    live: bool = False
    shortfalls: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    thinning: Thinning = field(default_factory=Thinning)

    def told_apart(self) -> Iterator[Batch]:
        """The batches with their boundaries known; a block where none can be found is left out, and told."""
        tally = Tally()
        try:
            yield from told_apart(self.batches, tally)
        finally:
            self._tell_undecodable(tally)

    def _tell_undecodable(self, tally: Tally) -> None:
        if tally.undecodable:
            self.shortfalls.append(tally.shortfall)

    def shortfall(self) -> PartlyDone | None:
        """What could not be read, once the batches are at their end; None when nothing is missing."""
        if not self.shortfalls:
            return None
        return PartlyDone(", ".join(self.shortfalls), where=printable(self.name))


def is_file(source: str) -> bool:
    """Whether SOURCE means a file or a directory rather than a live channel."""
    return "/" in source or source.endswith(".avro")


def standard_input() -> str:
    """The SOURCE that is meant where none is named.

    Raises:
        UsageError: standard input is a terminal.
    """
    if os.isatty(STDIN):
        raise UsageError(
            "no SOURCE", mend="name a channel, an ADDR:PORT, a file with a / in it, or pipe into it"
        )
    return "-"


@contextmanager
def channel(source: str | None, wanted: Wanted, stop: Stop) -> Iterator[Channel]:
    """Open a SOURCE that has to be one channel.

    Raises:
        UsageError: it means nothing, or several channels.
        PeerError: a live channel that nobody announces.
        HostError, DataError: it cannot be read, or is not what it claims to be.
        Interrupted: at the end, where a signal came before that of a recording.
    """
    source = source or standard_input()
    kind = _stream if source == "-" else _files if is_file(source) else _live
    with kind(source, wanted, stop) as opened:
        if wanted.span is not None:
            opened.batches = _within(opened, opened.batches, wanted.span)
        if wanted.duration_ns is None:
            yield opened
        else:
            with stop.after(wanted.duration_ns / 1e9):
                yield opened


def _within(opened: Channel, batches: Iterator[Batch], span: Range) -> Iterator[Batch]:
    """What of *batches* is in the range; a block that is none of datums is left out, and told."""
    from speeddata.cutting import cut

    tally = Tally()
    together = batches if opened.live else gathered(batches, _CUT_BYTES)
    try:
        yield from cut(told_apart(together, tally), span)
    finally:
        opened._tell_undecodable(tally)


class Channels:
    """Several channels; iterating, once, yields first those that are live, then those in files.

    Live ones go on at the same time: read each in a thread of its own. One in files has to be read to its end
    before the next one is asked for, and is there only if it has a block to read.
    """

    def __init__(self, live: Sequence[Channel], recorded: Reader | None) -> None:
        self.live = live
        self._recorded = recorded
        self._all = list(live)

    def __iter__(self) -> Iterator[Channel]:
        yield from self.live
        if self._recorded is not None:
            for name, blocks in groupby(self._recorded, key=lambda block: block.channel):
                opened = Channel(name, None, iter(()))
                opened.batches = _noting_files(opened, blocks)
                self._all.append(opened)
                yield opened

    def shortfall(self) -> PartlyDone | None:
        """What could not be read of all of them, once they are at their end; None when nothing is missing."""
        told = [f"{printable(each.name)}: {what}" for each in self._all for what in each.shortfalls]
        if self._recorded is not None:
            told += _unread(self._recorded)
        return PartlyDone(", ".join(told)) if told else None


def _noting_files(opened: Channel, blocks: Iterator[Recorded]) -> Iterator[Batch]:
    for block in blocks:
        if not opened.files or opened.files[-1] is not block.path:
            if not opened.files and (header := catalogue.header_of(block.path)) is not None:
                opened.thinning = thinning_told(header.text)
            opened.files.append(block.path)
        yield block.batch


@contextmanager
def channels(
    names: Sequence[str],
    wanted: Wanted,
    stop: Stop,
    *,
    only: Collection[str] | None = None,
    choice: Choice | None = None,
) -> Iterator[Channels]:
    """Open every SOURCE of *names*; files and directories are read together, each channel in recording order.

    Args:
        names: sources, at least one.
        wanted: what the options say about them.
        stop: ends them when asked.
        only: of files, the channels to read; None = all.
        choice: of files, leaves out blocks by what their index says (see `reading.Reader`).

    Raises:
        UsageError: one means nothing, or standard input is named twice.
        PeerError: a live channel that nobody announces.
        HostError, DataError: one cannot be read, or is not what it claims to be.
    """
    names = list(dict.fromkeys(names))
    paths = [Path(name) for name in names if is_file(name)]
    recorded = None
    if paths:
        recorded = Reader(paths, stop=stop, channels=only, choice=choice, time_unit=wanted.time_unit)
    others = [name for name in names if not is_file(name)]
    if paths and others and wanted.duration_ns is not None:
        what = "of files would be left out what is not read by then"
        raise UsageError(what, where="--duration", mend="name files, or what is live")
    with ExitStack() as stack:
        live = [
            stack.enter_context((_stream if name == "-" else _live)(name, wanted, stop)) for name in others
        ]
        if live and wanted.duration_ns is not None:
            stack.enter_context(stop.after(wanted.duration_ns / 1e9))
        yield Channels(live, recorded)


@contextmanager
def _stream(source: str, wanted: Wanted, stop: Stop) -> Iterator[Channel]:
    stream = ContainerStream(
        file_pieces(source, stop), where="standard input", time_unit=wanted.time_unit, stop=stop
    )
    # what was redirected from a file is all there: small blocks may be gathered
    there = stat.S_ISREG(os.fstat(STDIN).st_mode)
    opened = Channel(stream.channel, stream.schema, iter(stream), live=not there, thinning=stream.thinning)
    yield opened
    _refuse_part(opened, stop)
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
    name, schema, thinning = Path(source).name, None, Thinning()
    if files:
        ((name, paths),) = files.items()
        header = catalogue.header_of(paths[0])
        if header is not None:
            thinning = thinning_told(header.text)
            schema = parse_schema(header.schema_text, where=str(paths[0]), time_unit=wanted.time_unit)
    choice = None
    if wanted.span is not None:
        from speeddata import cutting

        choice = cutting.choice(wanted.span)
    reader = Reader(Path(source), stop=stop, follow=wanted.follow, choice=choice, time_unit=wanted.time_unit)
    blocks = (recorded.batch for recorded in reader)
    opened = Channel(name, schema, blocks, live=wanted.follow, thinning=thinning)
    yield opened
    _refuse_part(opened, stop)
    opened.shortfalls += _unread(reader)


def _refuse_part(opened: Channel, stop: Stop) -> None:
    """Raises:
    Interrupted: a signal ended what has an end of its own, and is not all there.
    """
    if stop.status and not opened.live:
        raise Interrupted(stop.status)


def _unread(reader: Reader) -> list[str]:
    told = []
    if reader.damaged_bytes:
        told.append(f"{many(reader.damaged_bytes, 'damaged byte')} skipped")
    if reader.gaps:
        told.append(f"{many(reader.gaps, 'file')} gone before the end was read")
    return told


def _tell_damage(opened: Channel, damaged_bytes: int) -> None:
    if damaged_bytes:
        opened.shortfalls.append(f"{many(damaged_bytes, 'damaged byte')} skipped")


def live_place(source: str, wanted: Wanted) -> str | Endpoint:
    """The channel's name, or the endpoint, that a SOURCE means which is neither a file nor standard input.

    Raises:
        UsageError: it means nothing, or not together with the options.
    """
    if ":" in source:
        endpoint = Endpoint.parse(source)
        if wanted.decimated:
            raise UsageError(
                "--decimated is for a channel by name", where=source, mend="give the decimated endpoint"
            )
        return endpoint
    if not is_channel_name(source):
        raise UsageError(
            f"'{printable(source[:80])}' is no SOURCE",
            mend="a channel's name, an ADDR:PORT, a file with a / in it, or -",
        )
    if wanted.schema is not None:
        raise UsageError(
            "a channel by name is announced with its schema", where=source, mend="leave out --schema"
        )
    return source


@contextmanager
def _live(source: str, wanted: Wanted, stop: Stop) -> Iterator[Channel]:
    from speeddata.wire.live import LiveChannel  # with all of the network, which files do not need

    live = LiveChannel(
        live_place(source, wanted),
        stop,
        schema=wanted.schema,
        on=wanted.on,
        decimated=wanted.decimated,
        time_unit=wanted.time_unit,
    )
    tally, came = Tally(), False

    def batches() -> Iterator[Batch]:
        nonlocal came
        for batch in decodable(live, tally):
            came = True
            if wanted.schema is None:  # a source that sends straight here has said its name by now
                opened.name = live.channel or source
            yield batch

    with _found(source, live):
        opened = Channel(live.channel or source, live.schema, batches(), live=True)
        opened.thinning = live.thinning
        if live.ended:
            log.warning("%s: its source has ended; waiting for it to begin again", opened.name)
        yield opened
    if live.schema is None and not came and not stop.status:
        raise PeerError(
            "nothing came that says its schema", where=source, mend="of bare datums give --schema FILE.avsc"
        )
    if live.dropped:
        opened.shortfalls.append(f"the reader was too slow: {many(live.dropped, 'datum')} dropped")
    if live.dropped_kernel:
        opened.shortfalls.append(f"{many(live.dropped_kernel, 'datagram')} dropped by the kernel")
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
