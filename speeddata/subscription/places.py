"""How far a customer is in the channels of a recording: kept in the registry first, and known here."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from speeddata.cutting import time_ns
from speeddata.errors import UsageError
from speeddata.recording.blockindex import entry_of
from speeddata.recording.catalogue import Position, recording_order
from speeddata.recording.reading import Recorded
from speeddata.subscription import starting
from speeddata.subscription.customers import Gap, Place
from speeddata.subscription.departed import Closed, Ledgers, in_words
from speeddata.subscription.registry import Registry

log = logging.getLogger("speeddata")


class Places:
    """The places of *customer* in the recording *directory*, by channel in any case.

    Attributes:
        ledgers: of the recording.
        gaps: that were found since this was made.
    """

    def __init__(self, registry: Registry, customer: str, directory: Path) -> None:
        self._registry, self._customer, self._directory = registry, customer, directory
        self._places = registry.places(customer, directory)
        self.ledgers = Ledgers(directory)
        self._gone: dict[str, list[str]] = {}  # files, by channel, behind which nothing was read yet
        self.gaps = 0

    def get(self, channel: str) -> Place | None:
        """Where *channel* goes on; None where it was never read."""
        return self._places.get(channel.lower())

    def begin(self, channel: str, begin: starting.Begin, paths: Sequence[Path]) -> None:
        """*channel* goes on at *begin*; without a position there, at the first of its files."""
        position, place = begin.position, begin.place
        if position is None and paths:
            position = Position(paths[0].name)
        if position is not None and place is None:
            sync = next((starting.sync_of(path) for path in paths if path.name == position.file), b"")
            time_ns = starting.time_at(paths, position) if begin.anew else None
            place = Place(channel, position.file, sync, position.block, 0, time_ns)
        self._keep(place, begin.gap)

    def moved(
        self,
        channel: str,
        recorded: Recorded,
        *,
        begin: bool = False,
        newest_ns: int | None = None,
        messages: int = 0,
        datapoints: int = 0,
        bytes: int = 0,
    ) -> None:
        """All before *recorded* was acknowledged (*begin*), or that, too; and so many since the last time."""
        at = recorded.position(0 if begin else recorded.batch.count)
        place = Place(channel, recorded.path.name, recorded.sync, at.block, 0, newest_ns)
        self._keep(place, None, messages=messages, datapoints=datapoints, bytes=bytes)

    def gone(self, files: Iterable[tuple[str, str]]) -> None:
        """Channels and names of files that were gone before they were read."""
        for channel, file in files:
            known = self._gone.setdefault(channel.lower(), [])
            if file not in known:
                known.append(file)

    def missing(self, files: starting.Files) -> None:
        """Channels that have none of *files* now: when there are some again, what was not sent is gone.

        Where there is not even a ledger, the disk may be another one.
        """
        there = {channel.lower() for channel in files}
        for channel, place in self._places.items():
            if channel not in there and (place.size is None or place.block < place.size):
                self.gone([(channel, place.file)])

    def reach(self, channel: str, recorded: Recorded) -> None:
        """*recorded* comes next: what is gone before it is a gap."""
        before, file = self.get(channel), recorded.path.name
        if before is not None and before.file == file and not self._gone:
            return
        self.ledgers.know(recorded.path.parent)
        known = self._gone.get(channel.lower(), [])
        past = [name for name in known if recording_order(name) < recording_order(file)]
        if past:
            self._gone[channel.lower()] = [name for name in known if name not in past]
        if before is not None and before.file != file:
            past += [each.name for each in self.ledgers.gone(channel, before.file, file)]
        if past:
            place = Place(channel, file, recorded.sync, recorded.block.offset)
            self._keep(place, self._gap(channel, past, before, _begin_ns(recorded)))

    def end(self, files: starting.Files, wanted: Collection[str]) -> None:
        """Nothing more comes: what is gone at the end is a gap, too, of *wanted* channels in lower case.

        What lies before something that was not read is found again when reading goes on there.
        """
        there = {channel.lower(): paths for channel, paths in files.items()}
        for channel in wanted:
            before, names = self.get(channel), self._gone.get(channel, [])
            gone, place = list[Closed](), None
            if before is not None and (before.file in names or _is_at_end(before, there.get(channel, ()))):
                later = starting.later(there.get(channel, ()), before.file)
                gone = self.ledgers.gone(channel, before.file, later[0].name if later else None)
                place = starting.past(before, gone)
            if names or gone:
                self._keep(place, self._gap(channel, [*names, *(each.name for each in gone)], before, None))
        self._gone.clear()

    def settle(self, files: starting.Files) -> None:
        """Remember of places at the end of closed files that they are: what is not there is not missed."""
        for channel, paths in files.items():
            place = self.get(channel)
            if place is None or place.size is not None:
                continue
            path = next((path for path in paths if path.name == place.file), None)
            size = None if path is None else starting.closed_size(path)
            if size is not None and place.block >= size:
                self._keep(replace(place, size=size), None)

    def forget(self, channel: str) -> None:
        """*channel* is not wanted any more: should it be again, that is another beginning."""
        if self._places.pop(channel.lower(), None) is not None:
            self._registry.forget_place(self._customer, self._directory, channel)

    def keep_gap(self, channel: str, from_ns: int | None, to_ns: int | None, what: str) -> None:
        """What the customer never gets."""
        where = str(self._directory.absolute())
        self._keep(None, Gap(where, channel, from_ns, to_ns, time.time_ns(), what))

    def _gap(self, channel: str, files: Iterable[str], before: Place | None, to_ns: int | None) -> Gap:
        what = in_words(sorted(set(files), key=recording_order))
        from_ns = None if before is None else before.time_ns
        return Gap(str(self._directory.absolute()), channel, from_ns, to_ns, time.time_ns(), what)

    def _keep(
        self, place: Place | None, gap: Gap | None, *, messages: int = 0, datapoints: int = 0, bytes: int = 0
    ) -> None:
        if gap is not None:
            self.gaps += 1
            log.warning("%s: %s; channel %s lacks it", self._customer, gap.what, gap.channel)
        if place is None and gap is None:
            return
        self._registry.moved(
            self._customer,
            self._directory,
            [] if place is None else [place],
            gaps=[] if gap is None else [gap],
            messages=messages,
            datapoints=datapoints,
            bytes=bytes,
        )
        if place is not None:
            before = self.get(place.channel)
            if place.time_ns is None and before is not None:
                place = replace(place, time_ns=before.time_ns)
            self._places[place.channel.lower()] = place


def _begin_ns(recorded: Recorded) -> int | None:
    least = entry_of(recorded.block).least
    try:
        return None if least is None else time_ns(recorded.batch.schema, least)
    except UsageError:
        return None


def _is_at_end(place: Place, paths: Sequence[Path]) -> bool:
    """Whether all that there was of its file was read."""
    path = next((path for path in paths if path.name == place.file), None)
    if path is None:
        return place.size is not None and place.block >= place.size
    size = starting.closed_size(path)
    return size is not None and place.block >= size
