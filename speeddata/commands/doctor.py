"""`speeddata doctor`: what would go wrong, before it does."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from speeddata import options
from speeddata.errors import HostError, Interrupted, SpeedDataError
from speeddata.legible import json_line
from speeddata.names import LISTEN_PORT, Endpoint

if TYPE_CHECKING:
    from speeddata.doctor.finding import Finding
    from speeddata.settings import ChannelSettings
    from speeddata.symptoms.examination import Plan

_COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "fault": "red"}


@click.command()
@options.output.but(help="Directory of the recording.  [default: where relay would record: data]")
@click.option(
    "--listen", type=options.LISTEN, help=f"Where announced sources send.  [default: {LISTEN_PORT}]"
)
@options.interface.but(help="Interface to serve and join groups on; may be repeated.  [default: as relay]")
@click.option(
    "--expect",
    type=options.SIZE,
    help="Bytes a second that will be recorded.  [default: what is live now]",
)
@options.as_json
def command(
    output: str | None,
    listen: Endpoint | None,
    interface: Sequence[str],
    expect: int | None,
    as_json: bool,
) -> None:
    """Say what would go wrong, before it does: each finding in a line, with its cure in the next.

    It looks at what `speeddata relay` would use if it were started here and now, with the same options,
    variables and speeddata.toml: interfaces, routes and groups, the receive buffer, the ports, the disk, the
    clock, and what is live. It joins groups for a moment and asks relays as `speeddata ls` does; the datagram
    that it sends to try a group does not leave the machine. At most 64 MiB are written where the recording is
    to be, and are gone when it ends. It takes a few seconds at most, and changes nothing.

    A finding is ok; a note: good to know, or something that cannot be told here; a warning: it may well go
    wrong; a fault: it does not work. The status is 1 when there is a warning or a fault. With --json each is
    a line with `about`, `state`, `what`, `cure`, and the figures `measured`.

    \b
    Examples:
        speeddata doctor
        speeddata doctor -o /srv/rig --interface eth1 --expect 2MiB
        speeddata doctor --json | jq -r 'select(.state == "fault") | .cure'
    """
    from speeddata.doctor import finding
    from speeddata.interrupts import watch
    from speeddata.symptoms.examination import examine

    plan = _as_relay_would(output, listen, interface, expect)
    told: list[Finding] = []
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    with watch() as stop:
        for found in examine(plan, stop):
            if stop.asked:
                break
            told.append(found)
            if as_json:
                click.echo(json_line(finding.record(found)))
                continue
            first, *rest = finding.lines(found)
            state = click.style(found.state, fg=_COLOURS[found.state], bold=True)
            lines = [state + first.removeprefix(found.state), *(click.style(line, dim=True) for line in rest)]
            click.echo("\n".join(lines), color=False if plain else None)
        if stop.asked:
            raise Interrupted(stop.status)
    if bad := finding.verdict(told):
        raise HostError(bad, where="doctor", mend="" if as_json else "each is told above, with its cure")


def _as_relay_would(
    output: str | None, listen: Endpoint | None, interface: Sequence[str], expect: int | None
) -> Plan:
    """What is given here; all else as variables and settings have it for `relay`.

    Raises:
        UsageError: the settings make no sense.
    """
    from speeddata.commands import relay
    from speeddata.doctor.disk import Keeping
    from speeddata.symptoms.examination import Plan

    channels = options.current_settings().channels()
    complete = options.complete(relay.command)
    with complete.make_context("relay", [], parent=click.get_current_context().find_root()) as asked:
        wanted = asked.params
    listen = listen or wanted["listen"]
    listening = [(each.listen, each.name) for each in channels.values() if each.listen is not None]
    if listen is None and not listening:
        listen = Endpoint("0.0.0.0", LISTEN_PORT)
    keep_time = wanted["keep_time"]
    return Plan(
        None if wanted["no_record"] and output is None else Path(output or wanted["output"]),
        [*([(listen, "")] if listen else []), *listening],
        interface or wanted["interface"],
        Keeping(
            wanted["min_free"],
            wanted["keep_size"],
            None if keep_time is None else keep_time / 1e9,
            wanted["rotate_size"],
        ),
        expect,
        list(_unreadable(channels)),
    )


def _unreadable(channels: Mapping[str, ChannelSettings]) -> Iterator[tuple[str, str]]:
    for channel in channels.values():
        if channel.schema is not None:
            try:
                options.SchemaFile(str(channel.schema)).read()
            except SpeedDataError as exc:
                yield channel.name, str(exc)
