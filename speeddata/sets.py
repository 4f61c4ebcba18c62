"""What was recorded, in Python: `speeddata.read` gives a set of channels."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from speeddata import columnar, cutting, sources
from speeddata.avro.schema import Schema
from speeddata.batch import Batch
from speeddata.cutting import Range
from speeddata.errors import HostError, UsageError
from speeddata.interrupts import Stop
from speeddata.legible import printable
from speeddata.samples import Samples, refuse_unknown, unknown
from speeddata.stages import Tally

_HDF5 = b"\x89HDF\r\n\x1a\n"

Source = str | os.PathLike[str]


class ChannelSet(Mapping[str, Samples]):
    """Channels over the same range, by name; names are compared without case.

    Attributes:
        shortfalls: what could not be read, in words; nothing where all was whole.
    """

    def __init__(self, channels: Iterable[Samples], shortfalls: Sequence[str] = ()) -> None:
        self._channels = {channel.name: channel for channel in channels}
        self.shortfalls = tuple(shortfalls)

    def __getitem__(self, name: str) -> Samples:
        found = self._channels.get(name)
        if found is None and isinstance(name, str):
            found = next((each for key, each in self._channels.items() if key.lower() == name.lower()), None)
        if found is None:
            raise unknown("channel", name, "the set", self._channels)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    def __len__(self) -> int:
        return len(self._channels)

    def __repr__(self) -> str:
        return f"<set of {', '.join(map(repr, self._channels.values())) or 'no channels'}>"


def read(
    source: Source | Sequence[Source],
    *,
    since: str | None = None,
    until: str | None = None,
    signals: str | Sequence[str] | None = None,
    time_unit: str | None = None,
) -> ChannelSet:
    """Everything that is recorded in *source*, in memory.

    Args:
        source: a container, a directory of recordings, or an HDF5 set; or several of them, whose channels
            then have different names.
        since: only samples from then on: RFC 3339, `now`, or so long ago: "-10m".
        until: only samples before then.
        signals: names or globs; the abscissa always comes along. None = all.
        time_unit: of an abscissa that does not tell its own: ns, us, ms or s.

    Returns:
        The channels that have samples within the range. What could not be read is noted through `logging`,
        and in `ChannelSet.shortfalls`.

    Raises:
        UsageError: there is nothing of that name, or no signal, or no such range.
        DataError: *source* is not what it claims to be, or a signal changed its type.
        HostError: it cannot be read.
    """
    wanted = cutting.range_of(since, until, None, time.time_ns())
    patterns = [signals] if isinstance(signals, str) else list(signals or ()) or None
    names = [os.fspath(each) for each in ([source] if isinstance(source, str | os.PathLike) else source)]
    sets = [name for name in names if _is_set(name)]
    others = [_as_file(name) for name in names if name not in sets]
    schemas: list[Schema] = []
    channels: list[Samples] = []
    shortfalls: list[str] = []
    if sets:
        from speeddata.h5reading import read_set  # with h5py, which takes its time to load

        for name in sets:
            channels += read_set(Path(name), wanted, patterns, schemas, time_unit)
    if others:
        channels += _recorded(others, wanted, patterns, schemas, shortfalls, time_unit)
    if patterns and schemas:
        refuse_unknown(schemas, patterns)
    twice = {each.name for each in channels if [other.name for other in channels].count(each.name) > 1}
    if twice:
        raise UsageError(f"several sources have a channel {min(twice)}", mend="read them one by one")
    return ChannelSet(channels, shortfalls)


def _is_set(name: str) -> bool:
    """Whether the file *name* is HDF5.

    Raises:
        HostError: it cannot be read.
    """
    try:
        if not os.path.isfile(name):
            return False
        with open(name, "rb") as file:
            return file.read(len(_HDF5)) == _HDF5
    except OSError as exc:
        raise HostError(f"cannot read: {exc.strerror}", where=name) from exc


def _as_file(name: str) -> str:
    """*name* so that it means a file or directory, also without a slash."""
    if not os.path.exists(name) and not sources.is_file(name):
        raise UsageError(
            "there is no such file or directory",
            where=printable(name),
            mend="of a live channel, take speeddata.tap",
        )
    return name if sources.is_file(name) else os.path.join(os.curdir, name)


def _recorded(
    names: Sequence[str],
    wanted: Range,
    patterns: Sequence[str] | None,
    schemas: list[Schema],
    shortfalls: list[str],
    time_unit: str | None,
) -> Iterator[Samples]:
    """The channels of containers and directories; what they are like goes to *schemas* and *shortfalls*."""
    how = sources.Wanted(time_unit=time_unit)
    with sources.channels(names, how, Stop(), choice=cutting.choice(wanted)) as channels:
        for channel in channels:
            tally = Tally()
            batches = cutting.cut(_noted(channel.batches, schemas), wanted)
            pieces = list(columnar.pieces(batches, patterns, tally=tally, where=channel.name))
            if tally.undecodable:
                shortfalls.append(f"{channel.name}: {tally.shortfall}")
            if pieces:
                signals, columns = columnar.together(pieces)
                yield Samples(channel.name, pieces[-1][0], signals, columns)
    missed = channels.shortfall()
    if missed is not None:
        shortfalls.append(missed.what)


def _noted(batches: Iterable[Batch], schemas: list[Schema]) -> Iterator[Batch]:
    for batch in batches:
        if not schemas or batch.schema is not schemas[-1]:
            schemas.append(batch.schema)
        yield batch
