"""`speeddata hxpush provision`: the sites, equips and points that a map needs and a server lacks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from speeddata import options
from speeddata.commands import hxpush_options
from speeddata.errors import PartlyDone
from speeddata.legible import json_line
from speeddata.table import lines, many

if TYPE_CHECKING:
    from speeddata.haystack.kinds import Grid
    from speeddata.haystack.provisioning import Plan

log = logging.getLogger("speeddata")


@click.command("provision")
@click.argument("source", nargs=-1)
@hxpush_options.server
@hxpush_options.map_file
@click.option("--apply", is_flag=True, help="Make what is shown, all of it or nothing.")
@options.schema_file.but(help="Schema of an ADDR:PORT that nobody announces (.avsc).")
@options.time_unit
@options.interface.but(
    help="Interface to receive on; may be repeated.  [default: loopback and every multicast interface]"
)
@options.as_json
def command(
    source: Sequence[str],
    url: str | None,
    user: str | None,
    password_file: str | None,
    ca_file: str | None,
    allow_cleartext: bool,
    map: str | None,
    apply: bool,
    schema: options.SchemaFile | None,
    time_unit: str | None,
    interface: Sequence[str],
    as_json: bool,
) -> None:
    """Show the sites, equips and points that the signals of SOURCE need and the server lacks; make them.

    Without --apply nothing is made. What is there stays as it is: nothing is ever changed or removed. Where
    the map gives no site, equip or point of a signal, `path` in the map does, as SITE/EQUIP/POINT.

    \b
    Examples:
        speeddata hxpush provision data/ --map map.toml --url https://host/api/demo --user su
        speeddata hxpush provision data/ --map map.toml --url https://host/api/demo --user su --apply
    """
    from speeddata import sources
    from speeddata.haystack import addressing, provisioning
    from speeddata.haystack.surveying import survey
    from speeddata.interrupts import watch

    named = list(source) or [sources.standard_input()]
    options.refuse_of_all_recordings(named)
    wanted = sources.Wanted(
        schema=schema.read(time_unit) if schema else None, time_unit=time_unit, on=interface
    )
    target = hxpush_options.target(url, user, ca_file, allow_cleartext)
    mapping = hxpush_options.mapping(map)
    password = hxpush_options.password(password_file, target)
    with watch() as stop:
        surveyed = survey(named, wanted, stop)
        entries = addressing.entries(mapping, surveyed.schemas)
        addressing.refuse_none(entries, surveyed.schemas, mapping)
        timeless = addressing.timeless(entries, surveyed.schemas)
        without = {(problem.channel, problem.signal) for problem in timeless}
        entries = [entry for entry in entries if (entry.channel, entry.signal) not in without]
        with (
            hxpush_options.interruptible(stop),
            hxpush_options.client(target, password, stop, retry_s=0.0) as client,
        ):
            found = client.read(provisioning.read_filter(mapping.key_tag))
            zone = client.about().get("tz")
            plan = provisioning.plan(
                entries,
                found,
                key_tag=mapping.key_tag,
                zone=zone if isinstance(zone, str) else None,
                sub_second=surveyed.sub_second,
            )
            for line in _told(plan, as_json=as_json):
                click.echo(line)
            made = client.commit(plan.commit_grid()) if apply and plan else None
    problems = [*timeless, *plan.problems]
    for problem in problems:
        log.warning("%s", hxpush_options.told(problem))
    counts = ", ".join(
        many(count, what)
        for count, what in (
            *((len(plan.sites), "site"), (len(plan.equips), "equip"), (len(plan.points), "point")),
        )
        if count
    )
    if made is not None:
        _check(made, plan)
        log.info("%s: made %s", target.origin, counts)
    elif plan:
        log.info("%s: lacks %s; --apply makes them", target.origin, counts)
    else:
        log.info("%s: lacks nothing", target.origin)
    if fatal := sum(problem.fatal for problem in problems):
        raise PartlyDone(f"{many(fatal, 'signal')} without a point", where=target.origin)


def _told(plan: Plan, *, as_json: bool) -> list[str]:
    from speeddata.haystack.provisioning import HEADING

    rows = plan.table()
    if as_json:
        keys = ("state", "record", "path", "signal", "holds")
        return [json_line(dict(zip(keys, row, strict=True))) for row in rows]
    return lines(HEADING, rows) if rows else []


def _check(made: Grid, plan: Plan) -> None:
    """Raises:
    PartlyDone: the server answers with other records than it was asked for.
    """
    asked = len(plan.sites) + len(plan.equips) + len(plan.points)
    if len(made.rows) != asked:
        raise PartlyDone(f"the server made {len(made.rows)} of {asked} records")
