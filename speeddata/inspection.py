"""Channels looked at where they are: in files and directories, in a pipe, on the air.

What is found is in the `Findings`; a torn end and a file that is gone are noted through `logging`, too.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from speeddata.avro.schema import Schema
from speeddata.avro.schema import parse as parse_schema
from speeddata.errors import DataError, HostError, Interrupted, PeerError, UsageError
from speeddata.findings import FileFindings, Findings, Inspector, Keep
from speeddata.interrupts import Stop
from speeddata.legible import printable
from speeddata.names import Endpoint
from speeddata.recording import catalogue, ledger
from speeddata.sources import Channel
from speeddata.streams import file_pieces
from speeddata.wire import finding, interfaces
from speeddata.wire.discovery import Discovery
from speeddata.wire.finding import Found

_SAID = ("state", "rate_hz", "full", "decimated", "factor", "method")
_COUNTED = ("received", "lost", "lost_kernel", "lost_disk", "rejected")

log = logging.getLogger("speeddata")


@dataclass(frozen=True)
class Look:
    """What is wanted of an inspection.

    Attributes:
        sequence: name of a signal that counts samples.
        time_unit: of an abscissa that does not tell its own.
        keep: takes each whole block; then there has to be one channel.
    """

    sequence: str | None = None
    time_unit: str | None = None
    keep: Keep | None = None


# -- pipes and files ----------------------------------------------------------------------------------------


def of_stream(look: Look, stop: Stop) -> Findings:
    """The findings on a container on standard input: all of it, or what came until asked to stop.

    Raises:
        DataError: it is none.
    """
    file = FileFindings("standard input")
    inspector = Inspector(
        "", look.sequence, keep=look.keep, accept=lambda schema: _refuse_unknown([schema], look.sequence)
    )
    inspector.container(file_pieces("-", stop), file, look.time_unit)
    found = inspector.finish()
    assert found.schema is not None
    found.channel = file.channel or found.schema.name.rpartition(".")[2]
    if stop.asked:
        file.torn = 0
    _note_torn(file)
    return found


def of_files(path: Path, look: Look, stop: Stop) -> Iterator[Findings]:
    """The findings on each channel in *path*, a file or a directory.

    Raises:
        HostError: it cannot be read.
        DataError: a file that was named is no container, or a directory holds none.
        UsageError: no channel has the signal that counts; several channels and only one can be kept.
        Interrupted: asked to stop before the end.
    """
    channels = catalogue.recording_files(path)
    unreadable = list(_unreadable(path, channels))
    if not channels:
        raise DataError(unreadable[0][1] if unreadable else "holds no recording", where=str(path))
    if look.keep is not None and len(channels) > 1:
        names = ", ".join(sorted(channels))
        raise UsageError(f"several channels: {names}", where=str(path), mend="name the directory of one")
    _refuse_unknown(_schemas(channels), look.sequence)
    for name, files in sorted(channels.items()):
        inspector = Inspector(name, look.sequence, keep=look.keep)
        for file in files:
            _read(inspector, file, look, stop, named=file == path)
        found = inspector.finish()
        own = {str(file.parent) for file in files}
        found.unreadable += [why for place, why in unreadable if place in own or len(channels) == 1]
        found.counts = _counts(path, files)
        yield found


def _read(inspector: Inspector, path: Path, look: Look, stop: Stop, *, named: bool) -> None:
    """Look at one file; *named*: that one was asked for."""
    file = FileFindings(str(path), writing=catalogue.is_open(path))  # asked first: what is torn then is torn
    try:
        inspector.container(file_pieces(str(path), stop), file, look.time_unit)
    except HostError as exc:
        if named or not isinstance(exc.__cause__, FileNotFoundError):
            raise
        log.warning("%s: gone before it was read", path)
        inspector.findings.files.pop()
        return
    except DataError as exc:
        if stop.asked:
            raise Interrupted(stop.status) from None
        if named or look.keep is not None:
            raise
        inspector.findings.unreadable.append(str(exc))
    if stop.asked:
        raise Interrupted(stop.status)
    if not file.writing:
        _note_torn(file)


def _note_torn(file: FileFindings) -> None:
    if file.torn:
        log.warning("%s: torn: the last %d bytes are no whole block, and are left out", file.name, file.torn)


def _schemas(channels: dict[str, list[Path]]) -> Iterator[Schema]:
    """Of the newest file of each channel."""
    for files in channels.values():
        try:
            header = catalogue.header_of(files[-1])
            if header is not None:
                yield parse_schema(header.schema_text, where=str(files[-1]))
        except (DataError, HostError):  # told when all of it is read
            continue


def _refuse_unknown(schemas: Iterator[Schema] | Sequence[Schema], sequence: str | None) -> None:
    if sequence is None:
        return
    signals = [signal for schema in schemas for signal in schema.signals]
    kinds = [signal.kind for signal in signals if signal.name == sequence]
    if any(kind in ("int", "long") for kind in kinds):
        return  # the channels where it does not count have no such gaps
    if kinds:
        raise UsageError(f"{sequence} is of type {kinds[0]}, and cannot count", where="--sequence")
    names = list(dict.fromkeys(signal.name for signal in signals))
    near = difflib.get_close_matches(sequence, names, n=1, cutoff=0.5)
    mend = f"did you mean {near[0]}?" if near else f"choose from {', '.join(names[:8])}"
    raise UsageError(f"there is no signal '{printable(sequence)}'", where="--sequence", mend=mend)


def _unreadable(root: Path, channels: dict[str, list[Path]]) -> Iterator[tuple[str, str]]:
    """Directory and reason of files that are recordings by their names, and not by their headers."""
    if not root.is_dir():
        return
    known = {file for files in channels.values() for file in files}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if path in known or catalogue.parse_file_name(name) is None:
                continue
            try:
                header = catalogue.header_of(path)
                if header is None and not catalogue.is_open(path):
                    yield folder, f"{path}: ends before an Avro header is whole"
                elif header is not None and header.text("speeddata.role", catalogue.ROLE) == catalogue.ROLE:
                    parse_schema(header.schema_text, where=str(path))
            except (DataError, HostError) as exc:
                yield folder, str(exc)


def _counts(path: Path, files: list[Path]) -> dict[str, int] | None:
    """What the ledgers beside *files* tell; of a file that was named, what was told when it was closed."""
    homes = {file.parent / ledger.LEDGER_NAME for file in files}
    if not any(home.exists() for home in homes):
        return None
    entries = [ledger.read(home) for home in sorted(homes)]
    if path.is_dir():
        return asdict(sum((ledger.losses(each) for each in entries), ledger.Counts()))
    closed = [entry for each in entries for entry in each if entry.file and entry.file.name == path.name]
    return asdict(closed[-1].counts) if closed else None


# -- on the air ---------------------------------------------------------------------------------------------


def announced(source: str, on: Sequence[str], stop: Stop, time_unit: str | None = None) -> Findings | None:
    """What is announced of a live channel, by name or by the group it is served to; None for any other
    endpoint, and when asked to stop.

    Raises:
        PeerError: nobody announces it.
        UsageError: two relays do.
    """
    endpoint = Endpoint.parse(source) if ":" in source else None
    if endpoint is not None and not endpoint.is_group:
        return None
    with Discovery(interfaces.receiving(on), interfaces.sending(on), stop=stop) as discovery:
        try:
            if endpoint is not None:
                found = finding.by_endpoint(discovery, endpoint, stop)
            else:
                found = finding.by_name(discovery, source, stop)
        except PeerError as exc:
            if Path(source).is_dir():
                raise PeerError(exc.what, where=exc.where, mend=f"for the directory write {source}/") from exc
            raise
    return None if found is None else _told(found, time_unit)


def _told(found: Found, time_unit: str | None) -> Findings:
    said = found.announcement
    told = Findings(said.channel, counts={name: said.number(name) for name in _COUNTED})
    where = f"announced by {found.address[0]}:{found.address[1]}"
    told.schema = parse_schema(found.schema_text, where=where, time_unit=time_unit)
    told.announced = {name: said.fields[name] for name in _SAID if name in said.fields}
    told.announced |= {"relay": f"{found.address[0]}:{found.address[1]}", "session": said.session}
    return told


def of_channel(channel: Channel, look: Look) -> Findings:
    """The findings on what comes from *channel* until its end."""
    if channel.schema is not None:
        _refuse_unknown([channel.schema], look.sequence)
    inspector = Inspector(channel.name, look.sequence)
    for batch in channel.told_apart():
        inspector.batch(batch)
    return inspector.finish()
