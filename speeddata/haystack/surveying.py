"""What SOURCEs are before they are read: the schemas of each channel, and which are fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speeddata.avro.schema import TICK_NS, Schema
from speeddata.avro.schema import parse as parse_schema
from speeddata.errors import DataError
from speeddata.interrupts import Stop
from speeddata.names import Endpoint
from speeddata.recording import catalogue, listing
from speeddata.recording.contents import entries_of
from speeddata.recording.listing import Listing
from speeddata.sources import Wanted, channel, is_file, live_place
from speeddata.wire import interfaces
from speeddata.wire.discovery import Discovery
from speeddata.wire.finding import FIND_S, by_endpoint, by_name

_MANY_HZ = 1.05  # a source of one sample a second is not always exact


@dataclass
class Survey:
    """What there is.

    Attributes:
        schemas: of each channel, in the order they were used.
        sub_second: the channels that have several samples in a second.
        files: of recordings, by channel.
    """

    schemas: dict[str, list[Schema]] = field(default_factory=dict)
    sub_second: set[str] = field(default_factory=set)
    files: Listing = field(default_factory=dict)


def survey(names: Sequence[str], wanted: Wanted, stop: Stop, *, listen: bool = True) -> Survey:
    """Look at *names*, SOURCEs as everywhere; of standard input only the header is read.

    Args:
        listen: where datums come straight to this machine, take some to hear whose they are. Else nothing
            is known of that source, and nothing of it lost.

    Raises:
        UsageError: one means nothing.
        PeerError: a live channel that nobody announces.
        HostError, DataError: a file cannot be read, or is none of ours.
    """
    found = Survey(files=listing.listing(Path(name) for name in names if is_file(name)))
    if any(is_file(name) for name in names) and not found.files and not wanted.follow:
        raise DataError("holds no recording", where=", ".join(filter(is_file, names)))
    for name, paths in found.files.items():
        found.schemas[name] = listing.schemas(paths, wanted.time_unit)
        if any(_is_fast(path, wanted.time_unit) for path in paths[-2:]):  # the newest may hold nothing yet
            found.sub_second.add(name)
    for name in names:
        if name == "-":
            with channel(name, wanted, stop) as opened:
                if opened.schema is not None:
                    found.schemas.setdefault(opened.name, []).append(opened.schema)
        elif not is_file(name):
            _live(found, name, wanted, stop, listen=listen)
    return found


def _live(found: Survey, name: str, wanted: Wanted, stop: Stop, *, listen: bool) -> None:
    place = live_place(name, wanted)
    if wanted.schema is not None:
        found.schemas.setdefault(wanted.schema.name.rpartition(".")[2], []).append(wanted.schema)
        return
    if isinstance(place, Endpoint) and not place.is_group:  # whoever sends there says its name there, too
        if listen:
            _hear(found, name, wanted)
        return
    with Discovery(interfaces.receiving(wanted.on), interfaces.sending(wanted.on)) as discovery:
        if isinstance(place, Endpoint):
            told = by_endpoint(discovery, place, stop)
        else:
            told = by_name(discovery, place, stop, decimated=wanted.decimated)
    if told is None:
        return
    said = told.announcement
    schema = parse_schema(told.schema_text, where=said.channel, time_unit=wanted.time_unit)
    found.schemas.setdefault(said.channel, []).append(schema)
    try:
        if float(said.fields.get("rate_hz", "")) > _MANY_HZ:
            found.sub_second.add(said.channel)
    except ValueError:
        pass


def _hear(found: Survey, name: str, wanted: Wanted) -> None:
    ended = Stop()
    with channel(name, wanted, ended) as opened, ended.after(FIND_S):
        batch = next(opened.batches, None)
        ended.ask()
        if batch is not None:
            found.schemas.setdefault(opened.name, []).append(batch.schema)


def _is_fast(path: Path, time_unit: str | None) -> bool:
    header = catalogue.header_of(path)
    if header is None:
        return False
    schema = parse_schema(header.schema_text, where=str(path), time_unit=time_unit)
    if schema.time_unit is None:
        return False
    count, least, greatest = 0, None, None
    for entry in entries_of(path, header):
        if entry.least is not None and entry.greatest is not None:
            count += entry.count
            least = entry.least if least is None else min(least, entry.least)
            greatest = entry.greatest if greatest is None else max(greatest, entry.greatest)
    if least is None or greatest is None or greatest <= least:
        return count > 1
    return (count - 1) / ((greatest - least) * TICK_NS[schema.time_unit] / 1e9) > _MANY_HZ
