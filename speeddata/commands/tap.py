"""`speeddata tap`: a channel, live or recorded, to standard output."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import click

from speeddata import options

_GRACE_S = 3.0  # after a signal, for a reader that stalls


@click.command()
@click.argument("source", required=False)
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
    help="Interface to receive on; may be repeated.  [default: loopback and every multicast interface]"
)
def command(
    source: str | None,
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
) -> None:
    """Copy a channel to standard output: a container when that is a pipe or a file, JSON Lines on a terminal.

    SOURCE is a live channel by name; an ADDR:PORT where datums arrive; a file or directory, told by a / in it
    or by .avro at its end; or - for a container on standard input.

    A moment is inside the range from --since on, and before --until. With --follow, --last says how far back
    to begin.

    A reader that is too slow for a live channel loses datums, never delays the channel: how many is told at
    the end, with status 5.

    \b
    Examples:
        speeddata tap rig
        speeddata tap rig -d 10 > rig.avro
        speeddata tap rig -f json --time iso | head -n 3
        speeddata tap data/rig/ --since -10m -f csv > minutes.csv
        speeddata tap data/rig/ --follow -f csv
    """
    from speeddata import output, sources, stages
    from speeddata.interrupts import watch

    options.refuse_of_recordings(source)
    form = options.form_of_output(text_format)
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
    with watch(_GRACE_S) as stop, sources.channel(source, wanted, stop) as channel:
        if form != "avro" and not channel.live:
            channel.batches = stages.gathered(channel.batches)
        batches = channel.batches if form == "avro" and count is None else channel.told_apart()
        metadata = {"speeddata.channel": channel.name, **channel.thinning.metadata}
        output.copy(stages.limited(batches, count), channel.schema, form, metadata, iso=time == "iso")
    if shortfall := channel.shortfall():
        raise shortfall
