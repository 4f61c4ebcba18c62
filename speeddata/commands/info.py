"""`speeddata info`: what a channel is, and whether all of it is whole."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from speeddata import options, table
from speeddata.errors import DataError, UsageError
from speeddata.legible import json_line, printable

if TYPE_CHECKING:
    from speeddata.findings import Findings, Keep
    from speeddata.inspection import Look
    from speeddata.interrupts import Stop
    from speeddata.sources import Wanted

log = logging.getLogger("speeddata")


@click.command()
@click.argument("source", required=False)
@click.option("--sequence", metavar="NAME", help="Signal that counts samples: say what is missing in it.")
@click.option("--repair", metavar="FILE", help="Write what is whole as a new container.")
@options.as_json
@options.duration.but(help="Of a live channel, look at this long: 90s, 10m, 1h.")
@options.schema_file.but(help="Schema of an ADDR:PORT that nobody announces (.avsc).")
@options.time_unit
@options.interface.but(
    help="Interface to receive on; may be repeated.  [default: loopback and every multicast interface]"
)
def command(
    source: str | None,
    sequence: str | None,
    repair: str | None,
    as_json: bool,
    duration_ns: int | None,
    schema: options.SchemaFile | None,
    time_unit: str | None,
    interface: Sequence[str],
) -> None:
    """Tell what a channel is: its schema, range, counts, rate and gaps, what was lost, and what is damaged.

    SOURCE is a file or a directory, told by a / in it or by .avro at its end; - for a container on standard
    input; a live channel by name, or an ADDR:PORT where datums arrive. Of a live channel it is told what is
    announced, and with -d what arrives.

    A gap is a step of the abscissa of at least one and a half times the median step: another sample has its
    place there. With --sequence, a gap is each step of that signal beyond its median step.

    The status is 3 when something is damaged: bytes that are no block, or a block whose datums are not what
    the schema says. The torn end of a file is told, and is no damage; that of a file still being written is
    not even told. --repair leaves out all of these, and changes the status of none.

    \b
    Examples:
        speeddata info data/rig/
        speeddata info data/ --json | jq 'select(.damaged) | .damage'
        speeddata info ./torn.avro --repair whole.avro
        speeddata info rig -d 10 --sequence counter
    """
    from speeddata import inspection, telling
    from speeddata.inspection import Look
    from speeddata.interrupts import watch
    from speeddata.sources import Wanted, is_file, standard_input

    source = source or standard_input()
    live = source != "-" and not is_file(source)
    _refuse_senseless(source, live, repair, duration_ns, schema, sequence)
    damaged: list[str] = []
    with watch() as stop, _repaired(repair) as keep:
        look = Look(sequence, time_unit, keep)
        if live:
            wanted = Wanted(
                schema=schema.read(time_unit) if schema else None,
                time_unit=time_unit,
                on=interface,
                duration_ns=duration_ns,
            )
            findings = _live(source, wanted, look, stop)
        elif source == "-":
            findings = iter([inspection.of_stream(look, stop)])
        else:
            findings = inspection.of_files(Path(source), look, stop)
        for number, found in enumerate(findings):
            if as_json:
                click.echo(json_line(telling.record(found, sequence)))
            else:
                click.echo("\n".join([""] * min(number, 1) + list(telling.lines(found, sequence))))
            if found.damaged:
                damaged.append(found.channel)
    if damaged:
        mend = "" if repair else "--repair FILE writes what is whole"
        raise DataError("damaged", where=printable(", ".join(damaged)), mend=mend)


def _refuse_senseless(
    source: str,
    live: bool,
    repair: str | None,
    duration_ns: int | None,
    schema: object,
    sequence: str | None,
) -> None:
    """Raises:
    UsageError: an option that has no meaning for this SOURCE, or lacks one that gives it a meaning.
    """
    if live and repair is not None:
        raise UsageError("a live channel cannot be repaired", where="--repair", mend="name a file")
    if not live:
        options.refuse_of_recordings(source, "duration_ns", "schema")
    elif duration_ns is None and (schema is not None or sequence is not None):
        given = "--schema" if sequence is None else "--sequence"
        raise UsageError(f"{given} is for what arrives", where=source, mend="say how long with --duration")


def _live(source: str, wanted: Wanted, look: Look, stop: Stop) -> Iterator[Findings]:
    """What is announced, and with a duration what arrives.

    Raises:
        PartlyDone: datums were dropped, or were none.
    """
    from speeddata import inspection, sources

    told = None
    if wanted.schema is None:
        told = inspection.announced(source, wanted.on, stop, wanted.time_unit)
    if wanted.duration_ns is None:
        if told is None and not stop.asked:
            raise UsageError(
                "nobody announces what arrives there", where=source, mend="look at it with -d 5s"
            )
        yield from [told] if told else []
        return
    with sources.channel(source, wanted, stop) as channel:
        found = inspection.of_channel(channel, look)
    if told is not None:
        found.announced, found.counts = told.announced, told.counts
    yield found
    if shortfall := channel.shortfall():
        raise shortfall


@contextlib.contextmanager
def _repaired(path: str | None) -> Iterator[Keep | None]:
    """What takes the whole blocks of a repair."""
    if path is None:
        yield None
        return
    from speeddata.repairing import Repair

    with Repair(Path(path)) as repair:
        yield repair.keep
    log.info(f"{table.many(repair.datums, 'datum')} written to {path}")
