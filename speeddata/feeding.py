"""SOURCE on its way to a server: what is read goes out in windows, cut by size, or by time while it is live.

Reading runs in threads of its own, a few megabytes ahead. Recordings and pipes wait while the server is away;
who sends live cannot be made to wait, and what finds no room is counted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from speeddata.batch import Batch
from speeddata.errors import PartlyDone
from speeddata.interrupts import Stop
from speeddata.legible import printable
from speeddata.recording.catalogue import Position
from speeddata.recording.reading import Choice, Reader, Recorded
from speeddata.sources import Channel, Wanted, channels, is_file
from speeddata.spool import Spool
from speeddata.table import many

WINDOW_BYTES = 4 << 20
_AHEAD_BYTES = 8 << 20
_LIVE_BYTES = 64 << 20
_ITEM_BYTES = 600  # what an item costs beside its datums
_ROOM_S = 0.02  # between two looks for room
_LOOK_S = 0.2  # between two looks at the directory, while there is none


@dataclass(frozen=True, slots=True)
class Item:
    """Datums of a channel, and where they were recorded; None where they were not."""

    channel: str
    batch: Batch
    recorded: Recorded | None = None


class Feed:
    """Reads SOURCEs, as a context manager; iterating, once, yields windows.

    Args:
        names: sources, at least one. Files and directories are read together.
        wanted: what the options say about them.
        stop: ends the reading; what was read by then is still handed out.
        start: of recordings, where to begin, by channel.
        only: of recordings, the channels to read; None = all, and those that come.
        choice: of recordings, leaves out blocks by what their index says.
        flush_s: a window is handed out so long after its first datum came, full or not.
        idle_s: an empty window is handed out when nothing came for so long; None: never.

    Attributes:
        dropped: datums that came live and found no room.
    """

    def __init__(
        self,
        names: Sequence[str],
        wanted: Wanted,
        stop: Stop,
        *,
        start: Mapping[str, Position] | None = None,
        only: Collection[str] | None = None,
        choice: Choice | None = None,
        flush_s: float = 5.0,
        idle_s: float | None = None,
    ) -> None:
        names = list(dict.fromkeys(names))
        self._flush_s, self._idle_s = flush_s, idle_s
        self._wanted, self._stop, self._quit = wanted, stop, False
        self._live_names = [name for name in names if not is_file(name)]
        self._spool: Spool[Item] = Spool(_LIVE_BYTES if self._live_names else _AHEAD_BYTES)
        paths = [Path(name) for name in names if is_file(name)]
        self._reader: Reader | None = None
        if paths:
            self._reader = Reader(
                paths,
                stop=stop,
                follow=wanted.follow,
                channels=only,
                start=start,
                choice=choice,
                time_unit=wanted.time_unit,
            )
        self.dropped = 0
        self._live: list[Channel] = []
        self._stack = ExitStack()
        self._threads: list[threading.Thread] = []
        self._running = 0
        self._lock = threading.Lock()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        """Raises:
        UsageError, PeerError, HostError, DataError: a source cannot be opened.
        """
        with ExitStack() as stack:
            tasks: list[Callable[[], None]] = []
            if self._live_names:
                opened = stack.enter_context(channels(self._live_names, self._wanted, self._stop))
                self._live = list(opened.live)
                tasks = [
                    partial(self._read_live, *pair) for pair in zip(self._live_names, self._live, strict=True)
                ]
            if self._reader is not None:
                tasks.append(self._read_recorded)
            self._running = len(tasks)
            self._threads = [threading.Thread(target=self._run, args=(task,), name="feed") for task in tasks]
            for thread in self._threads:
                thread.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._quit = True
        if any(thread.is_alive() for thread in self._threads):
            self._stop.ask()
        for thread in self._threads:
            thread.join()
        self._stack.__exit__(kind, exc, trace)

    def __iter__(self) -> Iterator[list[Item]]:
        """Raises what reading raised, once all that came before it was handed out."""
        while True:
            window = self._window()
            if window:
                yield window
            elif self._spool.drained:
                break
            elif self._idle_s is not None:
                yield window
        if self._failure is not None:
            raise self._failure

    def gone(self) -> list[tuple[str, str]]:
        """Channel and name of files that were gone before they were read; each is told once.

        A window with later blocks of that channel comes after it is told.
        """
        found = []
        while self._reader is not None and self._reader.gone:
            found.append(self._reader.gone.popleft())
        return found

    @property
    def damaged_bytes(self) -> int:
        """Passed over in the middle of files, so far."""
        return self._reader.damaged_bytes if self._reader is not None else 0

    def shortfall(self) -> PartlyDone | None:
        """What could not be read, once the windows are at their end; None when nothing is missing."""
        told = [f"{printable(each.name)}: {what}" for each in self._live for what in each.shortfalls]
        if self.dropped:
            told.append(f"the server was too slow: {many(self.dropped, 'datum')} dropped")
        if self._reader is not None and self._reader.damaged_bytes:
            told.append(f"{many(self._reader.damaged_bytes, 'damaged byte')} skipped")
        if self._reader is not None and self._reader.gaps:
            told.append(f"{many(self._reader.gaps, 'file')} gone before the end was read")
        return PartlyDone(", ".join(told)) if told else None

    def _window(self) -> list[Item]:
        window: list[Item] = []
        size, deadline = 0, 0.0
        while size < WINDOW_BYTES:
            left = deadline - time.monotonic() if window else self._idle_s
            if left is not None and left <= 0:
                break
            item = self._spool.get(left)
            if item is None:
                break  # the time is over, or there is no more
            if not window:
                deadline = time.monotonic() + self._flush_s
            window.append(item)
            size += len(item.batch.data)
        return window

    def _run(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as exc:  # handed to the thread that takes the windows
            self._failure = self._failure or exc
            if len(self._threads) > 1:  # the others would go on for ever; who is alone ends without a word
                self._stop.ask()
        finally:
            with self._lock:
                self._running -= 1
                if not self._running:
                    self._spool.close()

    def _read_recorded(self) -> None:
        assert self._reader is not None
        for recorded in self._reader:
            if not self._wait_for_room(Item(recorded.channel, recorded.batch, recorded)):
                return

    def _read_live(self, source: str, channel: Channel) -> None:
        for batch in channel.batches:
            if source == "-":
                if not self._wait_for_room(Item(channel.name, batch)):
                    return
                continue
            # Who sends to an endpoint may not say a name: then it is that of the schema, as in the survey.
            unnamed = channel.name == source and ":" in source
            name = batch.schema.name.rpartition(".")[2] if unnamed else channel.name
            if not self._put(Item(name, batch)):
                self.dropped += batch.count

    def _wait_for_room(self, item: Item) -> bool:
        looked = time.monotonic()
        while not self._put(item):
            if self._quit:
                return False
            time.sleep(_ROOM_S)
            if self._reader is not None and item.recorded and time.monotonic() - looked > _LOOK_S:
                self._reader.look()  # what retention takes meanwhile shall be missed
                looked = time.monotonic()
        return True

    def _put(self, item: Item) -> bool:
        return self._spool.put(item, _ITEM_BYTES + len(item.batch.data))
