"""`speeddata decimate`: a channel, live or recorded, with fewer datums."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from speeddata import options
from speeddata.errors import UsageError
from speeddata.legible import printable
from speeddata.names import Endpoint, is_channel_name

if TYPE_CHECKING:
    from speeddata.avro.schema import Schema
    from speeddata.batch import Batch
    from speeddata.decimation import Decimator
    from speeddata.interrupts import Stop

_LONGEST_NAME = 64
GATHERED_BYTES = 4 << 20  # of files: large batches are quick to decode
_UNPACED_HZ = 100_000.0  # a file read at full speed would be lost on the way: UDP waits for nobody


@click.command()
@click.argument("source", required=False)
@options.factor
@options.method
@click.option(
    "--every", "every_ns", type=options.DURATION, help="Windows of this length by the abscissa instead of -n."
)
@click.option("--whole", is_flag=True, help="Leave out the last window when it is short.")
@click.option(
    "--to", type=options.ENDPOINT, help="Send to a relay's port or to a group.  [default: standard output]"
)
@click.option(
    "--name", type=options.NAME, help="Name of the channel that is sent.  [default: SOURCE's, and the method]"
)
@options.text_format.but(help="Form of the output.  [default: json on a terminal, else avro]")
@options.since
@options.until
@options.last
@options.count
@options.duration
@options.schema_file.but(help="Schema of an ADDR:PORT that nobody announces (.avsc).")
@options.time_unit
@options.time.but(help="How JSON and CSV write the time.")
@options.decimated
@options.follow
@options.interface.but(
    help="Interface to receive and send on; may be repeated.  [default: receive on all, send on loopback]"
)
@options.ttl
def command(
    source: str | None,
    factor: int,
    method: str,
    every_ns: int | None,
    whole: bool,
    to: Endpoint | None,
    name: str | None,
    text_format: str | None,
    since: str | None,
    until: str | None,
    last: str | None,
    count: int | None,
    duration_ns: int | None,
    schema: options.SchemaFile | None,
    time_unit: str | None,
    time: str,
    decimated: bool,
    follow: bool,
    interface: Sequence[str],
    ttl: int,
) -> None:
    """Keep one window in N datums of a channel: to standard output, or sent on as a channel of its own.

    \b
    pick    the first datum, byte for byte
    minmax  two datums: the lows at its first time, the highs at its last; no spike is lost
    mean    the arithmetic mean at its first time, in double precision
    rms     the root of the mean square, likewise

    Of minmax, mean and rms: nulls and NaN are left out; a window of nothing else is null, or NaN. What is no
    number, arrays too, keeps the last value of the window. In a mean or rms all numbers become doubles, and
    the schema says so; integers with a logical type, dates for instance, keep their last value there.

    The last window is kept though it may be short, unless --whole. With --every windows begin at whole
    multiples of that time, however many datums are in each.

    \b
    Examples:
        speeddata tap rig -d 5 | speeddata decimate - -n 50 -m mean > slow.avro
        speeddata decimate data/rig/ --every 1s -m minmax --last 1h -f json
        speeddata decimate rig -n 100 -m minmax --to 239.1.1.9:27500
    """
    from speeddata import decimation, output, sources, stages
    from speeddata.interrupts import watch

    _refuse_senseless(source, to, every_ns, text_format, name)
    form = options.form_of_output(text_format) if to is None else None
    wanted = sources.Wanted(
        schema=schema.read(time_unit) if schema else None,
        time_unit=time_unit,
        on=interface,
        decimated=decimated,
        follow=follow,
        duration_ns=duration_ns,
    )
    if (since, until, last) != (None, None, None):
        from speeddata import within  # with NumPy

        span = within.asked(source, since, until, last, follow=follow, time_unit=time_unit)
        wanted = dataclasses.replace(wanted, span=span)

    def opened(schema: Schema) -> Decimator:
        return decimation.make(method, factor, schema, every_ns=every_ns, whole=whole)

    with watch() as stop, sources.channel(source, wanted, stop) as channel:
        if not channel.live:
            channel.batches = stages.gathered(channel.batches, GATHERED_BYTES)
        batches = stages.limited(decimation.thinned(channel.told_apart(), opened), count)
        begun = opened(channel.schema).schema if channel.schema is not None else None
        if to is not None:
            sent_as = name or _sent_as(channel.name, method)
            paced = batches if channel.live else _unhurried(batches, stop)
            _send(paced, begun, to, name=sent_as, interface=interface, ttl=ttl)
        else:
            thinned = channel.thinning.then(factor if every_ns is None else 0, method)
            said = {"speeddata.channel": channel.name, **thinned.metadata}
            output.copy(batches, begun, form, said, iso=time == "iso")
    if shortfall := channel.shortfall():
        raise shortfall


def _refuse_senseless(
    source: str | None, to: Endpoint | None, every_ns: int | None, text_format: str | None, name: str | None
) -> None:
    """Raises:
    UsageError: an option that has no meaning beside the others.
    """
    if every_ns == 0:
        raise UsageError("a window has some length", where="--every", mend="write it like 1s or 10m")
    if every_ns is not None and options.given("factor"):
        raise UsageError("--every and --factor are two kinds of windows", mend="give one of them")
    if to is not None and text_format is not None:
        raise UsageError("--format is for standard output", mend="leave it out: datums are sent")
    if to is not None and options.given("time"):
        raise UsageError("--time is for standard output", mend="leave it out: datums are sent")
    if to is None and name is not None:
        raise UsageError("--name is for what is sent", mend="leave it out, or say where to with --to")
    if to is None and options.given("ttl"):
        raise UsageError("--ttl is for what is sent", mend="leave it out, or say where to with --to")
    options.refuse_of_recordings(source)


def _sent_as(channel: str, method: str) -> str:
    """Another name than SOURCE's: where two announce one name, nobody could tell which is meant."""
    name = f"{channel[: _LONGEST_NAME - len(method) - 1]}-{method}"
    if not is_channel_name(name):
        raise UsageError(f"'{printable(channel[:80])}' cannot name a channel", mend="give a name with --name")
    return name


def _send(
    batches: Iterable[Batch],
    begun: Schema | None,
    to: Endpoint,
    *,
    name: str,
    interface: Sequence[str],
    ttl: int,
) -> None:
    """Each datum as one packet, announced with its schema; a session ends where the schema changes."""
    from speeddata.sending.sender import SourceSender

    runs: Iterable[tuple[Schema, Iterable[Batch]]] = itertools.groupby(batches, lambda batch: batch.schema)
    if begun is not None:  # announced before the first datum, however long that may take
        runs = itertools.chain([(begun, ())], runs)
    sender = None
    with ExitStack() as session:
        for schema, run in runs:
            if sender is None or sender.schema != schema:
                session.close()
                sender = SourceSender(to, name=name, schema=schema, on=interface, ttl=ttl)
                session.enter_context(sender)
            for batch in run:
                sender.send(batch)


def _unhurried(batches: Iterable[Batch], stop: Stop) -> Iterator[Batch]:
    from speeddata.sending.pacing import ByRate
    from speeddata.sending.sender import on_time

    return on_time(batches, ByRate(_UNPACED_HZ), stop)
