"""`speeddata hxpush map`: which signal is which point, drafted or checked."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from speeddata import options
from speeddata.commands import hxpush_options
from speeddata.errors import PartlyDone, UsageError
from speeddata.legible import json_line, printable
from speeddata.table import lines, many

if TYPE_CHECKING:
    from speeddata.haystack.joining import Joined

log = logging.getLogger("speeddata")

_POINT = ("signal", "point", "dis", "kind", "unit", "tz", "precision")
_PROBLEM = ("signal", "point", "what", "mend")
_PRECISIONS = {10**9: "1s", 10**6: "1ms"}


@click.command("map")
@click.argument("source", nargs=-1)
@click.option(
    "--init", is_flag=True, help="Write the draft of a map of all signals, as TOML, to standard output."
)
@click.option("--check", is_flag=True, help="Join the map with what the server has, and say what is wrong.")
@hxpush_options.map_file
@hxpush_options.server
@options.schema_file.but(help="Schema of an ADDR:PORT that nobody announces (.avsc).")
@options.time_unit
@options.interface.but(
    help="Interface to receive on; may be repeated.  [default: loopback and every multicast interface]"
)
@options.as_json
def command(
    source: Sequence[str],
    init: bool,
    check: bool,
    map: str | None,
    url: str | None,
    user: str | None,
    password_file: str | None,
    ca_file: str | None,
    allow_cleartext: bool,
    schema: options.SchemaFile | None,
    time_unit: str | None,
    interface: Sequence[str],
    as_json: bool,
) -> None:
    """Draft the map from the signals of SOURCE to points, or check one against the server.

    A draft has a line for each signal, and what may be said of it as comments. A check says of each signal
    what keeps it from its point (no such point, kind, unit, time zone, precision), and how to mend it; the
    status is 5 where a signal would not be written.

    \b
    Examples:
        speeddata hxpush map --init rig > map.toml
        speeddata hxpush map --check data/ --map map.toml --url https://host/api/demo --user su
    """
    from speeddata import sources
    from speeddata.haystack import addressing, drafting
    from speeddata.haystack.surveying import survey
    from speeddata.interrupts import watch

    if init == check:
        raise UsageError(
            "say --init or --check", where="hxpush map", mend="the one drafts, the other compares"
        )
    said = click.get_current_context().get_parameter_source("map")
    if init and said is ParameterSource.COMMANDLINE:  # from the settings, it is for the other verbs
        raise UsageError("is not read for a draft", where="--map", mend="leave it out")
    named = list(source) or [sources.standard_input()]
    options.refuse_of_all_recordings(named)
    wanted = sources.Wanted(
        schema=schema.read(time_unit) if schema else None, time_unit=time_unit, on=interface
    )
    if init:
        with watch() as stop:
            surveyed = survey(named, wanted, stop)
        channels = [(name, each) for name, used in surveyed.schemas.items() for each in used]
        click.echo(drafting.draft(channels, sub_second=surveyed.sub_second), nl=False)
        return
    mapping = hxpush_options.mapping(map)
    target = hxpush_options.target(url, user, ca_file, allow_cleartext)
    password = hxpush_options.password(password_file, target)
    with watch() as stop:
        surveyed = survey(named, wanted, stop)
        entries = addressing.entries(mapping, surveyed.schemas)
        addressing.refuse_none(entries, surveyed.schemas, mapping)
        with (
            hxpush_options.interruptible(stop),
            hxpush_options.client(target, password, stop, retry_s=0.0) as client,
        ):
            joined = addressing.addressed(
                client, mapping, entries, surveyed.schemas, sub_second=surveyed.sub_second
            )
    channels = [(name, each) for name, used in surveyed.schemas.items() for each in used]
    for line in _told(joined, as_json=as_json):
        click.echo(line)
    for rule in mapping.idle(channels):
        log.warning(
            "%s: %s: decides about no signal here; it is misspelt, or a rule above takes all",
            *(map, rule.place),
        )
    if fatal := len(joined.fatal):
        raise PartlyDone(f"{many(fatal, 'signal')} would not be written", where=target.origin)


def _told(joined: Joined, *, as_json: bool) -> list[str]:
    """Every point, and every problem."""
    from speeddata.haystack.joining import HEADING

    points = [
        (
            f"{p.channel}.{p.signal}",
            f"@{p.id}",
            p.dis,
            p.kind,
            p.unit or "",
            p.zone,
            _PRECISIONS[p.precision_ns],
        )
        for p in joined.points
    ]
    problems = [each.row() for each in joined.problems]
    if as_json:
        told = [dict(zip(_POINT, row, strict=True)) for row in points]
        told += [dict(zip(_PROBLEM, row, strict=True)) for row in problems]
        return [json_line(each) for each in told]
    shown = lines(_POINT, [[printable(cell) for cell in row] for row in points]) if points else []
    if problems:
        shown += [""] * bool(shown) + lines(HEADING, problems)
    return shown
