"""What `send` sends: a container, JSON Lines, CSV or the demo's waveforms, as batches cut into datums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from speeddata import rows
from speeddata.avro import codec
from speeddata.avro.container import MAGIC
from speeddata.avro.schema import Schema
from speeddata.avro.schema import parse as parse_schema
from speeddata.batch import Batch
from speeddata.errors import DataError, Interrupted, PartlyDone, UsageError
from speeddata.interrupts import Stop
from speeddata.sending import waveforms
from speeddata.stages import Tally, told_apart
from speeddata.streams import ContainerStream, file_pieces
from speeddata.table import many

_SUFFIXES = {".avro": "avro", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".csv": "csv"}


@dataclass(frozen=True)
class Feed:
    """Batches of one channel on their way out.

    Attributes:
        schema: of every datum.
        name: what the input calls the channel, or "".
        batches: with known boundaries; ends with the input, or when asked to stop, or raises PartlyDone when
            a part of the input had to be left out.
    """

    schema: Schema
    name: str
    batches: Iterator[Batch]


def demo(rate_hz: float, start_ns: int) -> Feed:
    """Waveforms without end, computed a tenth of a second at a time."""
    schema = parse_schema(waveforms.SCHEMA_TEXT)
    step = min(10_000, max(1, round(rate_hz / 10)))

    def batches() -> Iterator[Batch]:
        first = 0
        while True:
            yield codec.encode(schema, waveforms.columns(first, step, start_ns=start_ns, rate_hz=rate_hz))
            first += step

    return Feed(schema, "demo", batches())


def read(
    path: str,
    stop: Stop,
    *,
    form: str | None = None,
    schema: Schema | None = None,
    time_unit: str | None = None,
    stamp: Callable[[], int | float] | None = None,
) -> Feed:
    """Open a file, or standard input when *path* is `-`.

    Of lines on standard input nothing is read before the batches are asked for, so that a source is announced
    also while it has nothing to say yet.

    Args:
        form: "avro", "json" or "csv"; None: told from the suffix, else from the first bytes.
        schema: of lines of text; a container has its own.
        stamp: gives the abscissa of lines of text, which then need not have one.

    Raises:
        UsageError: text without a schema; a directory.
        HostError: it cannot be read.
        DataError: it is not what it claims to be.
        Interrupted: asked to stop before the first byte told what it is.
    """
    where = "standard input" if path == "-" else path
    if Path(path).is_dir():
        raise UsageError(
            "is a directory",
            where=where,
            mend=f"send a file of it, or: speeddata tap {path} | speeddata send -",
        )
    pieces = file_pieces(path, stop)

    def opened() -> Feed:
        first = next(pieces, b"")
        if not first and schema is None and form is None:
            if stop.asked:
                raise Interrupted(stop.status)
            raise DataError("is empty", where=where)
        told = form or _SUFFIXES.get(Path(path).suffix.lower()) or _form_of(first)
        if told == "avro":
            stream = ContainerStream(chain([first], pieces), where=where, time_unit=time_unit, stop=stop)
            if schema is not None and schema.fingerprint != stream.schema.fingerprint:
                raise UsageError(
                    "a container has its own schema, here another one", where=where, mend="leave out --schema"
                )
            return Feed(stream.schema, stream.channel, _bounded(stream, where))
        if schema is None:
            raise UsageError(
                f"{told} has no schema of its own", where=where, mend="give one with --schema FILE.avsc"
            )
        reader = (rows.JsonRows if told == "json" else rows.CsvRows)(schema, where=where, stamp=stamp)
        return Feed(schema, "", _lines(reader, chain([first], pieces)))

    if path == "-" and schema is not None and form != "avro":
        return Feed(schema, "", _later(opened))
    return opened()


def _later(opened: Callable[[], Feed]) -> Iterator[Batch]:
    yield from opened().batches


def _lines(reader: rows.Rows, pieces: Iterable[bytes]) -> Iterator[Batch]:
    for piece in pieces:
        yield from reader.feed(piece)
    yield from reader.finish()


def _bounded(stream: ContainerStream, where: str) -> Iterator[Batch]:
    tally = Tally()
    yield from told_apart(stream, tally)
    shortfalls = []
    if stream.damaged_bytes:
        shortfalls.append(f"{many(stream.damaged_bytes, 'damaged byte')} skipped")
    if tally.undecodable:
        shortfalls.append(tally.shortfall)
    if shortfalls:
        raise PartlyDone(", ".join(shortfalls), where=where)


def _form_of(first: bytes) -> str:
    if first.startswith(MAGIC):
        return "avro"
    return "json" if first.lstrip()[:1] == b"{" else "csv"
