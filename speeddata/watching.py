"""What the stripchart watches: live channels, growing recordings, files, pipes; taken a frame at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Self

from speeddata.avro import codec
from speeddata.avro.schema import parse as parse_schema
from speeddata.batch import Batch
from speeddata.errors import DataError, HostError, SpeedDataError
from speeddata.inbox import ChannelState, Inbox, News, Watched
from speeddata.interrupts import Stop
from speeddata.names import Endpoint
from speeddata.recording import catalogue
from speeddata.recording.blockindex import read_index
from speeddata.recording.catalogue import Position
from speeddata.recording.reading import Reader
from speeddata.sources import Wanted, is_file, live_place
from speeddata.streams import ContainerStream, file_pieces
from speeddata.table import many
from speeddata.wire.live import LiveChannel
from speeddata.wire.livechannels import LiveChannels
from speeddata.wire.sessions import SILENCE_NS

__all__ = ("ChannelState", "News", "Watch")

_TAIL_BYTES = 4 << 20  # of each channel of a recording: what lies before is for the archive to look up

log = logging.getLogger("speeddata")


class Watch:
    """Receives and reads as long as the context lasts; never more waits than is bounded.

    Channels by name, announced groups, and all that is announced share one thread. A SOURCE that is a file,
    standard input, or an endpoint that nobody announces to the discovery group has one of its own. Of a
    recording only the end is read, and what it grows by where `Wanted.follow` asks for that.

    Args:
        sources: as everywhere; none for every channel that is announced.
        wanted: what the options say about them.
        stop: ends the reception of live channels, too.
        thin: take decimated groups where their method, "minmax", hides no spike.

    Raises:
        UsageError: a SOURCE means nothing.
        HostError, DataError: a file cannot be read, or is none of ours.
    """

    def __init__(self, sources: Sequence[str], wanted: Wanted, stop: Stop, *, thin: bool = False) -> None:
        self._wanted = wanted
        self._quit = Stop()
        self._inbox = Inbox()
        self._stack = ExitStack()
        self._failure: SpeedDataError | None = None
        self._heard: dict[int, tuple[Watched, int]] = {}  # channels that do not tell how they are
        self._endpoints: list[tuple[str, Endpoint]] = []
        self._reads: list[Callable[[], None]] = []
        names: list[str] = []
        groups: list[Endpoint] = []
        for source in dict.fromkeys(sources):
            if source == "-":
                self._reads.append(self._stream(source))
            elif is_file(source):
                self._reads.append(self._files(source))
            elif isinstance(place := live_place(source, wanted), str):
                names.append(place)
            elif place.is_group and wanted.schema is None:
                groups.append(place)
            else:
                self._endpoints.append((source, place))
        self._live = LiveChannels(
            self._inbox,
            stop,
            names=names,
            endpoints=groups,
            everything=not sources,
            on=wanted.on,
            decimated=wanted.decimated,
            thin=thin,
            time_unit=wanted.time_unit,
        )
        self._announced = bool(names or groups or not sources)

    def __enter__(self) -> Self:
        """Raises:
        HostError: an endpoint cannot be listened on.
        """
        with ExitStack() as stack:
            stack.callback(self._quit.ask)
            if self._announced:
                stack.enter_context(self._live)
            for source, place in self._endpoints:
                self._reads.append(self._endpoint(source, place, stack))
            for number, read in enumerate(self._reads):
                thread = threading.Thread(target=read, name=f"source-{number}", daemon=True)
                thread.start()
                stack.callback(thread.join)
            stack.callback(self._quit.ask)  # the first thing to be done
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def failure(self) -> SpeedDataError | None:
        """What a command would end with, since a SOURCE makes no sense; None while all is well."""
        return self._failure or self._live.failure

    def take(self) -> list[News]:
        """What came since the last time; never waits."""
        return self._inbox.take()

    def wait(self, seconds: float) -> bool:
        """Wait until there is something to take, at most *seconds*; return whether there is."""
        return self._inbox.wait(seconds)

    def channels(self) -> list[ChannelState]:
        """Every channel as it is now, in the order they came."""
        now_ns = time.time_ns()
        for watched, heard_ns in list(self._heard.values()):
            if watched.state == "live" and now_ns - heard_ns > SILENCE_NS:
                watched.state, watched.since_ns = "silent", heard_ns
        return self._inbox.states()

    # -- what has a thread of its own -----------------------------------------------------------------------

    def _guarded(self, read: Callable[[], None], channels: Callable[[], Iterable[Watched]]) -> None:
        """Read, and tell by its *channels* why that ended; a picture that just stands still tells nothing."""
        try:
            read()
            return
        except SpeedDataError as exc:
            failure: SpeedDataError = exc
        except Exception as exc:
            log.debug("reading ended", exc_info=True)
            failure = HostError(f"reading ended: {exc}")
        self._failure = self._failure or failure
        for watched in channels():
            watched.state, watched.since_ns, watched.problem = "end", time.time_ns(), str(failure)

    def _beat(self, watched: Watched, heard_ns: int | None = None) -> None:
        """It was heard at *heard_ns*, or just now; `channels` tells when that is too long ago."""
        self._heard[id(watched)] = (watched, time.time_ns() if heard_ns is None else heard_ns)
        watched.state, watched.since_ns = "live", None

    def _endpoint(self, source: str, place: Endpoint, stack: ExitStack) -> Callable[[], None]:
        """Datums that a source sends straight to *place*."""
        live = stack.enter_context(
            LiveChannel(
                place,
                self._quit,
                schema=self._wanted.schema,
                on=self._wanted.on,
                time_unit=self._wanted.time_unit,
            )
        )
        watched = self._inbox.open(source, source)
        watched.endpoint = str(place)

        def receive() -> None:
            for batch in live:
                if live.channel:
                    self._inbox.rename(watched, live.channel)
                self._inbox.begin(watched, batch.schema)
                watched.received += batch.count
                self._inbox.put(watched, batch)
                self._beat(watched)

        return partial(self._guarded, receive, lambda: [watched])

    def _stream(self, source: str) -> Callable[[], None]:
        """A container on standard input."""
        watched = self._inbox.open(source, source)
        watched.state, time_unit = "reading", self._wanted.time_unit

        def read() -> None:
            pieces = file_pieces(source, self._quit)
            stream = ContainerStream(pieces, where="standard input", time_unit=time_unit, stop=self._quit)
            self._inbox.rename(watched, stream.channel)
            self._inbox.begin(watched, stream.schema)
            for batch in stream:
                self._put(watched, batch)
            if stream.damaged_bytes:
                watched.problem = f"{many(stream.damaged_bytes, 'damaged byte')} skipped"
            watched.state, watched.since_ns = "end", time.time_ns()

        return partial(self._guarded, read, lambda: [watched])

    def _files(self, source: str) -> Callable[[], None]:
        """The channels in a file, or below a directory: known at once, and then read from near their ends."""
        found = catalogue.recording_files(Path(source))
        if not found and not self._wanted.follow:
            raise DataError("holds no recording", where=source)
        known: dict[str, Watched] = {}
        starts: dict[str, Position] = {}
        for name, paths in found.items():
            known[name] = watched = self._inbox.open(name, source)
            watched.state = "reading"
            header = catalogue.header_of(paths[-1])
            if header is not None:
                schema = parse_schema(
                    header.schema_text, where=str(paths[-1]), time_unit=self._wanted.time_unit
                )
                self._inbox.begin(watched, schema)
            starts[name] = _near_the_end(paths)
        reader = Reader(
            Path(source),
            stop=self._quit,
            follow=self._wanted.follow,
            start=starts,
            time_unit=self._wanted.time_unit,
        )

        return partial(
            self._guarded,
            lambda: self._follow(reader, known, source),
            lambda: known.values() or [self._inbox.open(source, source)],
        )

    def _follow(self, reader: Reader, known: dict[str, Watched], source: str) -> None:
        for recorded in reader:
            watched = known.get(recorded.channel)
            if watched is None:
                watched = known[recorded.channel] = self._inbox.open(recorded.channel, source)
            self._inbox.begin(watched, recorded.batch.schema)
            self._put(watched, recorded.batch)
            if self._wanted.follow:
                self._beat(watched, _written_ns(recorded.path))  # what is there already may be long past
        for watched in known.values():
            watched.state = "file"
            if reader.damaged_bytes:
                watched.problem = f"{many(reader.damaged_bytes, 'damaged byte')} skipped"

    def _put(self, watched: Watched, batch: Batch) -> None:
        try:
            codec.offsets(batch)
        except DataError:
            watched.undecodable += batch.count
            return
        watched.received += batch.count
        self._inbox.put_waiting(watched, batch, self._quit)


def _written_ns(path: Path) -> int | None:
    """When *path* was written to last, in nanoseconds since 1970; None where that is gone, or to come."""
    try:
        written_ns = path.stat().st_mtime_ns
    except OSError:
        return None
    return written_ns if written_ns <= time.time_ns() else None


def _near_the_end(paths: Sequence[Path]) -> Position:
    """Where to begin to read *paths*, in recording order, so that little more than the end is read."""
    left = _TAIL_BYTES
    for path in reversed(paths):
        header = catalogue.header_of(path)
        size = path.stat().st_size
        if header is None or size < left:
            left -= size
            continue
        for entry in reversed(read_index(path, header, size)):
            if size - entry.offset >= left:
                return Position(path.name, entry.offset)
        return Position(path.name)
    return Position(paths[0].name)
